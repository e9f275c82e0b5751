"""Rules of thumb for a mix, each scaled by what was measured of the stem: what a trained policy must beat.

Drums whose peaks stand far out are glued, low mids that stand above the rest of a harmonic stem are carved, a
voice that is masked where words are understood is lifted there, sides wider than those of finished songs are
narrowed, and stems without a room get one, the same for all. Each rule answers what lies beyond an edge that
hardly any finished song crosses, as much as it lies beyond, and the less the less sure it is that the stem is
there (`stems_there`). The master is what the band of finished music answers to the mix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mixagent.pipeline.chain.parameters import STEM_NAMES
from mixagent.pipeline.decibels import db_to_amplitude, db_to_power, powers_to_db
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.separation.presence import THERE, stems_there
from mixagent.pipeline.types import Float64Array
from mixagent.policies.band import BandPolicy
from mixagent.policies.base import Context, Decision

LEAST_DB = 0.5
"""Moves smaller than this are left out: nobody hears them."""

HARMONIC = tuple(name for name in STEM_NAMES if name not in ("drums", "bass"))

LOW_MIDS_DB: Mapping[str, float] = MappingProxyType({"vocals": 4.0})
OTHER_LOW_MIDS_DB = 8.0
"""Most that 200–400 Hz of a stem of finished songs stands over its 500–2000 Hz, by third octave."""

DRUM_PEAKS_DB = 21.0
"""Peak over loudness of drums of finished songs: hardly any has more than 2 dB more."""

MASKED_DB = -4.0
"""Where a voice of finished songs stands at least against all else at 2.5–5 kHz."""

SIDES_DB: Mapping[str, float] = MappingProxyType({"vocals": -3.0, "bass": -8.0})
OTHER_SIDES_DB = 0.0
"""The loudest that sides of a stem of finished songs are against its mid."""

DRY_DB: Mapping[str, float] = MappingProxyType({"vocals": -28.0, "drums": -22.0})
OTHER_DRY_DB = -16.0
"""A stem whose sides lie further under its mid has no room of its own."""

_CARVED_HZ, _LIFTED_HZ, _VOICE_HZ = (200.0, 400.0), (2500.0, 5000.0), (500.0, 2000.0)
_MOST_CARVED_DB, _MOST_LIFTED_DB, _NARROWEST = 6.0, 4.0, 0.4
_FAINT_SEND_DB, _FULL_SEND_DB, _DRIEST_DB = -34.0, -20.0, 15.0

Move = tuple[str, float, str]
"""Parameter, value in its unit, reason."""


@dataclass(frozen=True)
class _Stem:
    """A stem that is there, how surely, and what stands beside it."""

    name: str
    analysis: Analysis
    sure: float
    others: tuple[Analysis, ...]


@dataclass(frozen=True)
class MixRulePolicy:
    """Sets the strips of the stems that are there by rules of thumb, and the master by the band."""

    name: str = "mix_rules"
    hears_stems: int = 4
    reads_features: bool = False

    def decide(self, context: Context) -> Decision:
        """The settings; no strip is moved for a stem that is not there."""
        master = BandPolicy().decide(context)
        moves = {name: (value, why) for name, value, why in _moves(context) if name in context.space}
        values = {name: value for name, (value, _) in moves.items()}
        reasons = {name: why for name, (_, why) in moves.items()}
        settings = context.space.settings({**master.settings.changed(), **values})
        return Decision(settings, {**master.reasons, **reasons})


def _moves(context: Context) -> Iterator[Move]:
    sure = stems_there(context.stems, context.mix)
    there = [name for name, value in sure.items() if value >= THERE]
    for name in there:
        others = tuple(context.stems[other] for other in there if other != name)
        stem = _Stem(name, context.stems[name], sure[name], others)
        for rule in _RULES:
            yield from rule(stem)


def _glued(stem: _Stem) -> Iterator[Move]:
    over_db = stem.sure * (stem.analysis.plr_db - DRUM_PEAKS_DB)
    if stem.name != "drums" or over_db < LEAST_DB:
        return
    share = min(over_db / 6.0, 1.0)
    why = f"peaks of the drums stand {stem.analysis.plr_db:.0f} dB over their loudness: hits are glued"
    yield "drum_bus.comp_ratio", 1.0 + 2.0 * share, why
    yield "drum_bus.comp_attack_ms", 3.0 - 2.0 * share, why
    yield "drum_bus.comp_release_ms", 120.0, why


def _carved(stem: _Stem) -> Iterator[Move]:
    if stem.name not in HARMONIC:
        return
    stands_db = _level_db(stem.analysis, _CARVED_HZ) - _level_db(stem.analysis, _VOICE_HZ)
    over_db = stem.sure * (stands_db - LOW_MIDS_DB.get(stem.name, OTHER_LOW_MIDS_DB))
    # A bass line among the others is no mud: low mids have to be what the stem is loudest in.
    if over_db < LEAST_DB or stem.analysis.bands_db["low_mid"] < -6.0:
        return
    cut_db = min(over_db, _MOST_CARVED_DB)
    why = f"200–400 Hz of the {stem.name} stands {stands_db:.1f} dB over its middle: {cut_db:.1f} dB carved"
    yield f"{stem.name}.bell_hz", 290.0, why
    yield f"{stem.name}.bell_q", 0.9, why
    yield f"{stem.name}.bell_db", -cut_db, why


def _lifted(stem: _Stem) -> Iterator[Move]:
    if stem.name != "vocals" or not stem.others:
        return
    beside = sum(_power(other, _LIFTED_HZ) for other in stem.others)
    margin_db = float(powers_to_db(_power(stem.analysis, _LIFTED_HZ) / beside))
    lift_db = min(stem.sure * (MASKED_DB - margin_db), _MOST_LIFTED_DB)
    if lift_db >= LEAST_DB:
        why = f"at 3–5 kHz the voice stands {-margin_db:.1f} dB under the rest of the mix"
        yield "vocals.presence_db", lift_db, why


def _narrowed(stem: _Stem) -> Iterator[Move]:
    sides_db = _sides_db(stem.analysis)
    over_db = stem.sure * (sides_db - SIDES_DB.get(stem.name, OTHER_SIDES_DB))
    if over_db >= LEAST_DB:
        why = f"sides of the {stem.name} stand {sides_db:.1f} dB over its mid, wider than in finished songs"
        yield f"{stem.name}.width", max(float(db_to_amplitude(-over_db)), _NARROWEST), why


def _placed(stem: _Stem) -> Iterator[Move]:
    under_db = DRY_DB.get(stem.name, OTHER_DRY_DB) - _sides_db(stem.analysis)
    if stem.name == "bass" or stem.analysis.channels < 2 or under_db < LEAST_DB:
        return
    share = stem.sure * min(under_db / _DRIEST_DB, 1.0)
    send_db = _FAINT_SEND_DB + (_FULL_SEND_DB - _FAINT_SEND_DB) * share
    yield f"{stem.name}.reverb_send_db", send_db, f"the {stem.name} has no room of its own: it shares one"


_RULES: tuple[Callable[[_Stem], Iterator[Move]], ...] = (_glued, _carved, _lifted, _narrowed, _placed)


def _power(analysis: Analysis, hz: tuple[float, float]) -> float:
    """Mean power of a third octave from `hz` to `hz`, mid and side together; never 0."""
    centres = np.array(analysis.third_octave_hz)
    inside = (centres >= 0.95 * hz[0]) & (centres <= 1.05 * hz[1])
    powers = _powers(analysis.third_octave_mid_db) + _powers(analysis.third_octave_side_db)
    return float(powers[inside].mean()) + 1e-15


def _level_db(analysis: Analysis, hz: tuple[float, float]) -> float:
    return float(powers_to_db(_power(analysis, hz)))


def _sides_db(analysis: Analysis) -> float:
    """Side against mid over the whole spectrum, −60 for mono."""
    mid, side = (_powers(x).sum() for x in (analysis.third_octave_mid_db, analysis.third_octave_side_db))
    return float(np.clip(powers_to_db((side + 1e-15) / (mid + 1e-15)), -60.0, 60.0))


def _powers(levels_db: tuple[float, ...]) -> Float64Array:
    return np.asarray(db_to_power(np.array(levels_db)))
