"""The phase agent: stems that cancel each other in the lows, and lows that cancel between the channels.

A delay or a turn of polarity is asked for only where the sum of the lows rises by it, and by more than two
stems that have nothing to do with each other would give by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from scipy.signal import sosfiltfilt

from mixagent.conductor.agents.base import NOTHING, Desk
from mixagent.conductor.state import Move
from mixagent.conductor.studio import LOWS_HZ, Heard
from mixagent.pipeline.types import Audio, Float64Array

LATEST_MS = 12.0
"""The furthest that stems are moved against each other."""

LEAST_RISE_DB = 1.5
"""A rise of the lows' sum that is worth a move."""

LEAST_COHERENCE = 0.35
"""Correlation of the lows of two stems, at the delay where it is largest, that tells of a common sound."""

MONO_LOSS_DB = 1.0
_MONO_BELOW_HZ = 120.0
_LOW_STEMS = ("bass", "drums", "other")
_AUDIBLE_SHARE = 0.02


@dataclass(frozen=True)
class Alignment:
    """The best place of one stem against the others.

    Attributes:
        stem: which.
        later_ms: to be moved by so much.
        inverted: polarity turned.
        rise_db: of the sum's power in the lows.
        coherence: largest correlation of its lows with the others', 0 to 1.
    """

    stem: str
    later_ms: float
    inverted: bool
    rise_db: float
    coherence: float


_KNOWN: WeakKeyDictionary[Heard, Alignment | None] = WeakKeyDictionary()
"""Of renders that are still held: an agent is asked about one several times."""


@dataclass(frozen=True)
class PhaseAgent:
    """Delay and polarity of stems, and lows between the channels."""

    name: str = "phase"
    owns: tuple[str, ...] = ("*.align_ms", "*.invert", "master.mono_below_hz")
    dimensions: tuple[str, ...] = ()

    def concern(self, heard: Heard) -> float:
        """Decibels of lows that are lost to cancellation."""
        found = alignment(heard)
        rise_db = 0.0 if found is None else found.rise_db
        return max(rise_db if rise_db >= LEAST_RISE_DB else 0.0, heard.grade.mono_loss_db)

    def propose(self, desk: Desk) -> Move | None:
        """Lows made mono where the channels cancel; else the stem whose move raises the lows most."""
        concern = self.concern(desk.heard)
        if concern <= NOTHING:
            return None
        if desk.heard.grade.mono_loss_db >= MONO_LOSS_DB and desk.may_move("master.mono_below_hz"):
            wanted = max(desk.value("master.mono_below_hz"), _MONO_BELOW_HZ)
            if wanted > desk.value("master.mono_below_hz"):
                values = {"master.mono_below_hz": wanted}
                return Move(self.name, values, "the lows of the two channels cancel each other", concern)
        found = alignment(desk.heard)
        names = [] if found is None else [f"{found.stem}.align_ms", f"{found.stem}.invert"]
        if found is None or found.rise_db < LEAST_RISE_DB or not all(map(desk.may_move, names)):
            return None
        turned = (desk.value(names[1]) > 0) != found.inverted
        values = {names[0]: desk.value(names[0]) + found.later_ms, names[1]: float(turned)}
        what = "turned round" if found.inverted else "out of step"
        reason = (
            f"the lows of {found.stem} are {what} against the rest: {found.rise_db:.1f} dB of them are lost"
        )
        return Move(self.name, values, reason, concern)


def alignment(heard: Heard) -> Alignment | None:
    """The move of one stem that raises the sum of the lows most; None without stems with lows in common."""
    if heard not in _KNOWN:
        _KNOWN[heard] = _found(heard)
    return _KNOWN[heard]


def _found(heard: Heard) -> Alignment | None:
    parts: dict[str, list[Audio]] = {}
    for pair in heard.pairs:
        if pair.stems_after is None:
            return None
        for name, stem in pair.stems_after.stems.items():
            if name in _LOW_STEMS:
                parts.setdefault(name, []).append(stem)
    lows = {name: [_lows(stem) for stem in stems] for name, stems in parts.items()}
    powers = {name: sum(float(np.square(low).sum()) for low in found) for name, found in lows.items()}
    total = max(sum(powers.values()), 1e-20)
    audible = [name for name, power in powers.items() if power > _AUDIBLE_SHARE * total]
    if len(audible) < 2:
        return None
    rate = next(iter(parts.values()))[0].rate
    found = [_best(name, lows, [other for other in audible if other != name], rate) for name in audible]
    return max(found, key=lambda each: each.rise_db)


def _best(name: str, lows: dict[str, list[Float64Array]], others: list[str], rate: int) -> Alignment:
    reach = round(LATEST_MS * rate / 1000)
    cross = np.zeros(2 * reach + 1)
    own = rest = 0.0
    for k, low in enumerate(lows[name]):
        other = np.sum([lows[each][k] for each in others], axis=0)
        own, rest = own + float(np.square(low).sum()), rest + float(np.square(other).sum())
        cross += _cross(low, other, reach)
    now = own + rest + 2 * cross[reach]
    coherence = float(np.abs(cross).max() / max(np.sqrt(own * rest), 1e-20))
    place = int(np.argmax(np.abs(cross)))
    best = own + rest + 2 * abs(cross[place])
    rise_db = 10 * np.log10(max(best, 1e-20) / max(now, 1e-20))
    if coherence < LEAST_COHERENCE:
        rise_db = 0.0
    later_ms = 1000.0 * (place - reach) / rate
    return Alignment(name, later_ms, bool(cross[place] < 0), float(rise_db), coherence)


def _cross(low: Float64Array, other: Float64Array, reach: int) -> Float64Array:
    """Correlation sums of `low`, moved later by −reach … reach frames, with `other`; (channels, frames)."""
    size = 1 << int(np.ceil(np.log2(low.shape[1] + reach + 1)))
    spectra = np.fft.rfft(other, size) * np.conj(np.fft.rfft(low, size))
    whole = np.fft.irfft(spectra.sum(axis=0), size)
    return np.concatenate((whole[-reach:], whole[: reach + 1]))


def _lows(stem: Audio) -> Float64Array:
    from scipy.signal import butter

    sections = butter(4, LOWS_HZ, "lowpass", fs=stem.rate, output="sos")
    return np.asarray(sosfiltfilt(sections, stem.samples.astype(np.float64), axis=1))
