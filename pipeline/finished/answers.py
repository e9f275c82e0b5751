"""Parameters of the chain that bring a song to the inner edge of a band.

Every move has a fault that was found (`findings`): of a group that as a whole lies outside every part is
answered, else the stretches of bands that a fault of the same side reaches. Nothing that lies within the
inner edge is touched, and the edge lies further out the less the band's word counts for this song
(`Judgement.trust`): so a master that is mastered again is left alone. What lies beyond is brought to the
edge, smoothed over neighbouring bands and bounded: nothing is raised where there is nothing to raise, the
lows' sides never.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ
from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.finished.band import Judgement, finished_music_band
from mixagent.pipeline.finished.findings import BY_NAME, Fault, called_for, outer_edge
from mixagent.pipeline.finished.measures import (
    GROUPS,
    INDEX,
    LEVEL,
    LOWEST_DB,
    MEASURES,
    NARROWEST_DB,
    TONE_HZ,
    WIDEST_DB,
    WIDTH_HZ,
    Group,
    SongMeasures,
    beyond_end,
)
from mixagent.pipeline.measure.fingerprint import IMAGE_EDGES_HZ
from mixagent.pipeline.types import Float64Array

INNER = 0.25
"""The inner edge in spreads: what lies further out is brought to here."""

INNER_NARROW = 0.5
"""The same on the narrow side: voices keep records narrow, and a side must be there to be raised."""

DOUBT = 0.5
"""The spreads by which the inner edge is further out for a song that is half trusted."""

CUT_DB, RAISE_DB = 12.0, 10.0
"""Most that a band of tone is lowered and raised."""

ASKED_RAISE_DB = 16.0
"""Most that a band is raised where somebody chose what the song is to sound like."""

STILL_DB = 3.0
"""A band that moves so much more than a steady noise holds music; one that moves less is raised by as much
less, and rumble, hum and hiss not at all."""

LOWS_HZ, LOWS_RAISE_DB = 45.0, 3.0
"""Sound under this frequency is rumble in most songs that lack it."""

NARROW_DB, WIDEN_DB = 10.0, 8.0
"""Most that the sides of a band are lowered and raised against the mid."""

LONE_WIDEN_DB = 2.0
"""By how much more a band may be widened than the less widened of its neighbours: one alone draws the ear."""

EMPTY_SIDE_DB, FULL_SIDE_DB = -26.0, -18.0
"""A side so far under its mid holds what a codec or a room left, and is not raised; the other is in full."""

LEAST_WIDENED_HZ = 160.0
"""Below this a side is never raised: wide lows cancel on one loudspeaker."""

INNER_BALANCE = 1.0
"""The inner edge of the balance: records lean a little as they please."""

MADE_UP_DB = 3.0
"""Most that the tone makes up for a side that was changed."""

BALANCE_DB = 6.0

SILENT_DB = -60.0
"""A band so far under the song's tone holds nothing to be raised."""

LEAST_DB = 0.3
"""Moves smaller than this everywhere are left out: nobody hears them."""

INNER_PUNCH, INNER_BAND_PUNCH = 0.5, 1.0
"""The inner edges of dynamics, of the whole and of single bands, whose crossover costs the phase."""

ATTACK_DB, BAND_ATTACK_DB = 3.0, 5.0
"""Most that attacks are raised as a whole, and raised or lowered in a band."""

RIDE_DB, TOGETHER_DB = 4.0, 2.0
"""Most that sections are moved apart, and together: an arrangement is no fault."""

LEAST_ACTION = 0.2
"""Moves of attacks and sections smaller than this, in dB, are left out."""

_PLR_A_DB, _CREST_A_DB, _BAND_CREST_A_DB = 0.55, 0.27, 0.3
"""What a dB of attack adds to the peak to loudness ratio, to the crest in 3 s and to that of its band, in dB
(`scripts/benchmark_punch.py`)."""

_RANGE_A_DB = 0.9
"""What a dB of riding adds to the loudness range, in LU (`scripts/benchmark_punch.py`)."""

_BAND_OF = {
    "crest_presence": "high_mid_band",
    "crest_air": "high_band",
}
"""The band of the crossover whose attacks make a measured band's peaks."""

_SMOOTH_BANDS = 0.8


@dataclass(frozen=True)
class Answer:
    """Values of parameters by name, in their units; what is not named stays neutral."""

    tone: Mapping[str, float]
    width: Mapping[str, float]
    balance: Mapping[str, float]
    dynamics: Mapping[str, float]

    @property
    def values(self) -> dict[str, float]:
        """All of them."""
        return {**self.tone, **self.width, **self.balance, **self.dynamics}


def answer(judgement: Judgement) -> Answer:
    """The moves that bring the song to the inner edge: tone, width and balance by third octaves, dynamics."""
    width_db = _width_db(judgement)
    tone_db = _tone_db(judgement) + made_up_db(judgement.measures, width_db)
    return Answer(
        graphic_values("tone", tone_db),
        graphic_values("width", width_db),
        graphic_values("balance", _balance_db(judgement)),
        {**_attacks_db(judgement), **_ride_db(judgement)},
    )


def reached_by(song: SongMeasures, tone_db: Float64Array, width_db: Float64Array) -> dict[str, float]:
    """A song's tone and width behind the graphic equaliser: `tone_<hz>`, `width_<hz>` in dB.

    Args:
        song: what it measures before.
        tone_db, width_db: gains, one for each of `GRAPHIC_HZ`.
    """
    widths = np.concatenate([np.full(len(TONE_HZ) - len(WIDTH_HZ), math.nan), song.of("width")])
    ratio = np.where(np.isfinite(widths), db_to_power(widths), 0.0)
    both_db = song.of("tone") + tone_db + powers_to_db((1 + ratio * db_to_power(width_db)) / (1 + ratio))
    tone = np.maximum(both_db - both_db[LEVEL].mean(), LOWEST_DB)
    wide = np.clip(widths + width_db, NARROWEST_DB, WIDEST_DB)
    return {f"tone_{hz}": float(v) for hz, v in zip(GRAPHIC_HZ, tone, strict=True)} | {
        f"width_{hz}": float(v) for hz, v in zip(GRAPHIC_HZ, wide, strict=True)
    }


def beyond(deviations: Float64Array, inner: float, inner_low: float | None = None) -> Float64Array:
    """The distance beyond the inner edge, in spreads, with its sign; 0 where there is nothing to judge."""
    low = inner if inner_low is None else inner_low
    out = np.maximum(deviations - inner, 0.0) + np.minimum(deviations + low, 0.0)
    return np.where(np.isfinite(out), out, 0.0)


def edge(inner: float, trust: float) -> float:
    """The inner edge in spreads for a song that is held to the band so far (0 to 1); infinite at 0."""
    return inner + DOUBT * (1.0 / trust - 1.0) if trust > 0.0 else math.inf


def _apart_db(
    judgement: Judgement, places: NDArray[np.int64], inner: float, inner_low: float | None = None
) -> Float64Array:
    """The distance of some measures beyond an inner edge, in their unit, with the sign; 0 for none.

    Args:
        judgement: of the song.
        places: of the measures, all of one group.
        inner: the edge in spreads for a song that is trusted in full.
        inner_low: the same on the low side, where it is another.
    """
    trust = judgement.trust[MEASURES[places[0]].group]
    low = edge(inner if inner_low is None else inner_low, trust)
    out = beyond(judgement.deviations[places], edge(inner, trust), low)
    spread = judgement.band.spread[places]
    return np.asarray(out * np.where(np.isfinite(spread), spread, 0.0))


def _tone_db(judgement: Judgement) -> Float64Array:
    hz = np.array(TONE_HZ)
    moves = _answering(judgement, "tone", _smoothed(-_apart_db(judgement, GROUPS["tone"], INNER)))
    highest = np.where(hz < LOWS_HZ, LOWS_RAISE_DB, ASKED_RAISE_DB if judgement.chosen else RAISE_DB)
    highest = _over_noise_db(judgement, highest)
    empty = beyond_end(judgement.measures["bandwidth"]) | (judgement.measures.of("tone") < SILENT_DB)
    return np.clip(moves, -CUT_DB, np.where(empty, 0.0, highest))


def _over_noise_db(judgement: Judgement, most_db: Float64Array) -> Float64Array:
    """The dB that each band may be raised before its noise is audible: 0 for one that does not move.

    Nor is any raised so far that its quiet moments come out louder than those of nine finished songs in ten,
    unless somebody chose how loud they are to be. What is not known holds nothing back.
    """
    song = judgement.measures
    moving = np.clip(song.moves_db / STILL_DB, 0.0, 1.0)
    most_db = most_db * np.where(np.isfinite(moving), moving, 1.0)
    if judgement.chosen:
        return most_db
    room_db = np.maximum(finished_music_band().quiet_db - song.quiet_db, 0.0)
    return np.minimum(most_db, np.where(np.isfinite(room_db), room_db, np.inf))


def _answering(judgement: Judgement, group: Group, moves_db: Float64Array) -> Float64Array:
    """Of the moves of a group's bands those that answer a fault; all of them where somebody chose the band.

    Neighbouring bands that go one way share their cause: they go together.
    """
    found = called_for(judgement, group)
    if judgement.chosen or any(fault.side == "either" for fault in found):
        return moves_db
    signs = np.sign(np.round(moves_db, 1))
    edges = np.flatnonzero(np.diff(np.concatenate([[np.inf], signs, [np.inf]])))
    kept = np.zeros_like(moves_db)
    for start, stop in itertools.pairwise(edges):
        if any(_reaches(fault, group, signs[start], slice(start, stop)) for fault in found):
            kept[start:stop] = moves_db[start:stop]
    return kept


def _reaches(fault: Fault, group: Group, sign: float, bands: slice) -> bool:
    """True if moves of that sign in these bands of its group reduce a fault."""
    inside = {MEASURES[place].name for place in GROUPS[group][bands]}
    return sign == (-1.0 if fault.side == "high" else 1.0) and bool(inside & set(fault.measures))


def _width_db(judgement: Judgement) -> Float64Array:
    moves = _smoothed(-_apart_db(judgement, GROUPS["width"], INNER, INNER_NARROW))
    moves = _answering(judgement, "width", moves)
    sides_db = judgement.measures.of("width")
    holds = np.clip((sides_db - EMPTY_SIDE_DB) / (FULL_SIDE_DB - EMPTY_SIDE_DB), 0.0, 1.0)
    highest = np.where(np.array(WIDTH_HZ) < LEAST_WIDENED_HZ, 0.0, WIDEN_DB * np.nan_to_num(holds))
    moves = np.clip(moves, -NARROW_DB, highest)
    slope = LONE_WIDEN_DB * np.arange(len(moves))
    raised = np.maximum(moves, 0.0)
    below = np.minimum.accumulate(raised - slope) + slope
    above = np.minimum.accumulate((raised + slope)[::-1])[::-1] - slope
    moves = np.minimum(moves, np.minimum(below, above))
    below = len(TONE_HZ) - len(WIDTH_HZ)
    # Under the lowest band judged the sides go with it, but only down.
    return np.concatenate([np.full(below, min(moves[0], 0.0)), moves])


def made_up_db(song: SongMeasures, width_db: Float64Array) -> Float64Array:
    """The tone that is lost with a quieter side, as the gain in dB that makes up for it.

    Args:
        song: what it measures before.
        width_db: gains of the side, one for each of `GRAPHIC_HZ`.
    """
    sides_db = song.of("width")
    ratio = np.zeros(len(TONE_HZ))
    ratio[-len(WIDTH_HZ) :] = np.where(np.isfinite(sides_db), db_to_power(sides_db), 0.0)
    ratio[: -len(WIDTH_HZ)] = ratio[-len(WIDTH_HZ)]
    made_up = powers_to_db((1 + ratio) / (1 + ratio * db_to_power(width_db)))
    return np.asarray(np.clip(made_up, -MADE_UP_DB, MADE_UP_DB))


def _balance_db(judgement: Judgement) -> Float64Array:
    if not _answers_any(judgement, "leaning right", "leaning left"):
        return np.zeros(len(TONE_HZ))
    leans = np.array([INDEX[f"lean_{int(hz)}"] for hz in IMAGE_EDGES_HZ[:-1]])
    moves = np.clip(-_apart_db(judgement, leans, INNER_BALANCE), -BALANCE_DB, BALANCE_DB)
    centres = np.sqrt(np.array(IMAGE_EDGES_HZ[:-1]) * np.array(IMAGE_EDGES_HZ[1:]))
    return np.interp(np.log(TONE_HZ), np.log(centres), moves)


def _attacks_db(judgement: Judgement) -> dict[str, float]:
    """Attacks raised where the peaks are crushed; in single bands up or down where those stand out."""
    if not _answers_any(judgement, "crushed", "soft", "spiky", "other dynamics"):
        return {}
    plr_db, crest_db = (_beyond(judgement, name, INNER_PUNCH) for name in ("plr", "crest_3s"))
    crushed_db = max(-plr_db / _PLR_A_DB, -crest_db / _CREST_A_DB, 0.0)
    moves = {"master.transient_attack_db": min(crushed_db, ATTACK_DB)}
    for name, place in _BAND_OF.items():
        attack_db = -_beyond(judgement, name, INNER_BAND_PUNCH) / _BAND_CREST_A_DB
        moves[f"{place}.transient_attack_db"] = min(max(attack_db, -BAND_ATTACK_DB), BAND_ATTACK_DB)
    return {name: round(move, 2) for name, move in moves.items() if abs(move) >= LEAST_ACTION}


def _ride_db(judgement: Judgement) -> dict[str, float]:
    """Sections moved apart where the loudness hardly changes, together where it wanders.

    Apart to the inner edge; together no further than to the outer one: an arrangement may wander so far.
    """
    apart_lu = _beyond(judgement, "loudness_range", INNER_PUNCH)
    if not judgement.chosen:
        if _answers_any(judgement, "uneven"):
            outer = outer_edge(BY_NAME["uneven"], judgement.alike)
            apart_lu = max(_beyond(judgement, "loudness_range", outer), 0.0)
        else:
            apart_lu = min(apart_lu, 0.0) if _answers_any(judgement, "monotone") else 0.0
    ride_db = min(max(-apart_lu / _RANGE_A_DB / 2, -TOGETHER_DB), RIDE_DB)
    return {"master.ride_db": round(ride_db, 2)} if abs(ride_db) >= LEAST_ACTION else {}


def _answers_any(judgement: Judgement, *names: str) -> bool:
    """True if one of the faults was found, or somebody chose the band."""
    group = BY_NAME[names[0]].group
    return judgement.chosen or any(fault.name in names for fault in called_for(judgement, group))


def _beyond(judgement: Judgement, name: str, inner: float) -> float:
    """The same of one measure."""
    return float(_apart_db(judgement, np.array([INDEX[name]]), inner)[0])


def _smoothed(values: Float64Array) -> Float64Array:
    reach = np.arange(-3, 4)
    weights = np.exp(-0.5 * (reach / _SMOOTH_BANDS) ** 2)
    return np.convolve(np.pad(values, 3, mode="edge"), weights / weights.sum(), "valid")


def graphic_values(what: str, gains_db: Float64Array) -> dict[str, float]:
    """Gains of the graphic equaliser's `tone`, `width` or `balance` by parameter; none where all are slight.

    Args:
        what: which of the three.
        gains_db: one for each of `GRAPHIC_HZ`.
    """
    if float(np.abs(gains_db).max()) < LEAST_DB:
        return {}
    pairs = zip(GRAPHIC_HZ, gains_db, strict=True)
    return {
        f"graphic.{what}_{hz}_db": round(float(gain), 2) + 0.0
        for hz, gain in pairs
        if not math.isclose(gain, 0.0, abs_tol=0.005)
    }
