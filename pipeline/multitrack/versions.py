"""Aligns versions of one song: masters that start elsewhere, are trimmed, or came from a codec.

The offset is found in two steps: by their loudness over time to a tenth of a second, however far
apart, and from there by `alignment.relation` to the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.measure.meters import EnergyMeter
from mixagent.pipeline.multitrack.alignment import Relation, loud_starts, relation
from mixagent.pipeline.multitrack.placement import Placed, Placement
from mixagent.pipeline.types import AudioSource, Float64Array, blocks

LONGEST_S = 60.0
"""Offsets beyond this are not looked for."""

_NEAR_MS = 200.0
_FLOOR_DB = -40.0
_MOST_RISE_DB = 6.0
_CANDIDATES = 6


@dataclass(frozen=True)
class Offset:
    """The offset of a version from the first one.

    Attributes:
        later_s: by how much later the same sound comes in it; negative where it comes earlier.
        inverted: whether its polarity is turned.
    """

    later_s: float = 0.0
    inverted: bool = False


def offset_of(first: AudioSource, second: AudioSource) -> Offset | None:
    """The second version's offset from the first; None where they are not held to be one recording.

    Too little sound to compare, under some two seconds, is None too.

    Args:
        first: mono or stereo.
        second: of the first's rate; its level, tone and length may be others.
    """
    one, other = _energies(first), _energies(second)
    if not one.any() or not other.any():
        return None
    step = (first.rate + 5) // 10
    best: tuple[float, Offset] | None = None
    for steps in _candidates(one, other):
        found = _relation(first, second, (one, other), steps, step)
        if found is None or not found.one_sound or (best is not None and found.evidence <= best[0]):
            continue
        best = found.evidence, Offset(steps * step / first.rate + found.delay_s, found.inverted)
    return None if best is None else best[1]


def _relation(
    first: AudioSource, second: AudioSource, energies: Sequence[Float64Array], steps: int, step: int
) -> Relation | None:
    """The relation of the second to the first once it is brought forward by `steps` of `step` frames."""
    begin = max(-steps, 0)
    one, other = energies[0][begin:], energies[1][begin + steps :]
    count = min(one.size, other.size)
    starts = loud_starts(one[:count], other[:count], step)
    if not starts:
        return None
    moved = Placed(second, Placement("other", "map", "", advance=steps * step), second.channels, first.frames)
    return relation(first, moved, [begin * step + start for start in starts], _NEAR_MS)


def _energies(source: AudioSource) -> Float64Array:
    meter = EnergyMeter.k_weighted(source.rate, source.channels)
    for block in blocks(source):
        meter.update(block)
    return meter.energies


def _candidates(one: Float64Array, other: Float64Array) -> list[int]:
    """By how many steps the other may come later: 0, and where the levels' cross-correlation is highest."""
    levels = [_rises_db(energies) for energies in (one, other)]
    size = 1 << (one.size + other.size).bit_length()
    spectra = [np.fft.rfft(level, size) for level in levels]
    correlation = np.fft.irfft(np.conj(spectra[0]) * spectra[1], size)
    most = min(round(10 * LONGEST_S), size // 2 - 1)
    lags = np.concatenate([np.arange(most + 1), np.arange(-most, 0)])
    highest = lags[np.argsort(-correlation[lags], kind="stable")[:_CANDIDATES]]
    return list(dict.fromkeys([0, *highest.tolist()]))


def _rises_db(energies: Float64Array) -> Float64Array:
    """The changes of the level from step to step: a compressed version has the same ones, but smaller."""
    level = powers_to_db(np.maximum(energies / energies.max(), db_to_power(_FLOOR_DB)))
    return np.asarray(np.clip(np.diff(level), -_MOST_RISE_DB, _MOST_RISE_DB))


def common_spans(offsets: Sequence[Offset], durations_s: Sequence[float]) -> list[tuple[float, float]]:
    """Start and stop in seconds, in each version's own time, of what all versions have.

    Where they have nothing in common, each is taken from its start.

    Args:
        offsets: of each version, the first one's `Offset()`.
        durations_s: of the versions.
    """
    start_s = max(-each.later_s for each in offsets)
    stop_s = min(length - each.later_s for each, length in zip(offsets, durations_s, strict=True))
    if stop_s <= start_s:
        return [(0.0, min(durations_s))] * len(offsets)
    return [(start_s + each.later_s, stop_s + each.later_s) for each in offsets]
