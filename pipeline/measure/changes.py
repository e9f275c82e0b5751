"""Measures what became of a source: the bands that changed, in how much of its time, and where most of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from mixagent.pipeline.decibels import amplitude_to_db, db_to_power, power_to_db, powers_to_db
from mixagent.pipeline.dsp.streaming import half_overlapping
from mixagent.pipeline.dsp.third_octaves import EDGES_HZ, THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import (
    BLOCK_FRAMES,
    AudioSource,
    Combination,
    Float64Array,
    FloatArray,
    Progress,
    blocks,
)

MOST_DB = 60.0
"""No gain is told as more than this: over next to nothing a gain says nothing."""

LEAST_MEAN_DB, LEAST_MOST_DB = 0.1, 1.0
"""A band whose level changed by less, and no line of which changed by more, is left out."""

PASSAGE_S = 8.0
"""Length of the passage that changed most."""

HEARD_DB = 60.0
"""A moment counts as changed where the difference is no further than this under the whole source."""

HOLDING_DB = -60.0
"""A band with less of a stem's power says nothing of its tone."""

_WINDOW_S = 0.0929
_MOMENT_S = 0.01
_AUDIBLE_DB = -90.0


@dataclass(frozen=True)
class BandGain:
    """The change of one third octave.

    Attributes:
        centre_hz: nominal centre of the band.
        mean_db: change of the band's level over the whole song.
        most_db: change of the level of the line that changed most, over the whole song.
        most_hz: where that line stands.
        share: share of the song's sounding moments in which the band's level changed by 1 dB or more.
    """

    centre_hz: float
    mean_db: float
    most_db: float
    most_hz: float
    share: float


@dataclass(frozen=True)
class Change:
    """What differs between a source and what was made of it.

    Attributes:
        bands: third octaves whose level changed.
        share: share of the source's time in which anything changed, 0..1.
        level_db: power of the difference over that of the source; −inf where nothing differs.
        peak_dbfs: highest sample of the difference; −inf where nothing differs.
        passage_s: start and end of the `PASSAGE_S` seconds that hold most of the difference.
    """

    bands: tuple[BandGain, ...]
    share: float
    level_db: float
    peak_dbfs: float
    passage_s: tuple[float, float]


@dataclass(frozen=True)
class StemChange:
    """What became of a stem between two places of its way.

    Attributes:
        lufs: integrated loudness before and after; −inf where it is silent.
        width_db: change of the side's level against the mid's; None where one of them is silent.
        crest_db: change of the highest sample over the mean power.
        bands: third octaves that hold `HOLDING_DB` of its power, the change of the whole included.
    """

    lufs: tuple[float, float]
    width_db: float | None
    crest_db: float
    bands: tuple[BandGain, ...]


def measure_stem(before: AudioSource, after: AudioSource, progress: Progress | None = None) -> StemChange:
    """What became of a stem; both sources are of one length, rate and channels.

    Args:
        before, after: read three times.
        progress: called with the share done.
    """
    told = progress or (lambda share: None)
    was, now = _levels(before), _levels(after)
    lufs = integrated_lufs(before), integrated_lufs(after)
    told(0.4)
    watched = _watched(blocks(before), before.frames, lambda share: told(0.4 + 0.6 * share))
    return StemChange(
        lufs=lufs,
        width_db=None if was.width_db is None or now.width_db is None else now.width_db - was.width_db,
        crest_db=now.crest_db - was.crest_db,
        bands=band_gains(watched, blocks(after), before.channels, before.rate, HOLDING_DB),
    )


@dataclass(frozen=True)
class _Levels:
    """Highest sample over mean power, and side over mid, in dB; None where one of both is silent."""

    crest_db: float
    width_db: float | None


def _levels(source: AudioSource) -> _Levels:
    peak, power, mid, side = 0.0, 0.0, 0.0, 0.0
    for block in blocks(source):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        power += float(np.sum(np.square(block, dtype=np.float64)))
        if source.channels == 2:
            mid += float(np.sum(np.square(block[0] + block[1], dtype=np.float64)))
            side += float(np.sum(np.square(block[0] - block[1], dtype=np.float64)))
    heard = min(mid, side) > max(mid, side) * db_to_power(_AUDIBLE_DB) > 0
    mean = power / max(source.frames * source.channels, 1)
    return _Levels(
        crest_db=amplitude_to_db(peak) - power_to_db(mean) if mean > 0 else 0.0,
        width_db=power_to_db(side / mid) if heard else None,
    )


def measure_change(before: AudioSource, after: AudioSource, progress: Progress | None = None) -> Change:
    """What differs between two sources of one length, rate and channels.

    Args:
        before: read twice.
        after: read twice.
        progress: called with the share done.
    """
    told = progress or (lambda share: None)
    moments, peak, power = _differences(before, after, lambda share: told(0.4 * share))
    changed = float(moments.sum())
    if changed == 0.0:
        return Change((), 0.0, -math.inf, -math.inf, (0.0, min(PASSAGE_S, before.frames / before.rate)))
    step = _moment(before.rate)
    heard = moments > power / max(before.frames, 1) * step * db_to_power(-HEARD_DB)
    watched = _watched(blocks(before), before.frames, lambda share: told(0.4 + 0.6 * share))
    return Change(
        bands=band_gains(watched, blocks(after), before.channels, before.rate),
        share=float(heard.mean()),
        level_db=power_to_db(changed / power) if power > 0 else math.inf,
        peak_dbfs=amplitude_to_db(peak),
        passage_s=_passage(moments, step, before),
    )


def band_gains(
    before: Iterable[FloatArray],
    after: Iterable[FloatArray],
    channels: int,
    rate: int,
    holding_db: float | None = None,
) -> tuple[BandGain, ...]:
    """The change of each third octave; unchanged bands are left out.

    Args:
        before, after: blocks (channels, frames) of one length in all.
        channels: of both.
        rate: in Hz.
        holding_db: gives the bands, changed or not, that hold as much of the power before, in dB of all.
    """
    size = 1 << max(round(math.log2(_WINDOW_S * rate)), 8)
    edges = np.clip(np.round(EDGES_HZ * size / rate).astype(int), 1, size // 2)
    sums = np.zeros((2, size // 2 + 1))
    moved, sounding = np.zeros(len(THIRD_OCTAVES_HZ)), 0
    for pair in zip(_powers(before, channels, size), _powers(after, channels, size), strict=True):
        sums += np.stack(pair)
        total = float(pair[0].sum())
        if total <= 1e-7 * size:
            continue
        sounding += 1
        floor = total * db_to_power(_AUDIBLE_DB)
        change_db = [powers_to_db(_sums(power, edges) + floor) for power in pair]
        moved += np.abs(change_db[1] - change_db[0]) >= 1.0
    return tuple(_bands(sums, edges, moved / max(sounding, 1), rate / size, holding_db))


def _differences(
    before: AudioSource, after: AudioSource, progress: Progress
) -> tuple[Float64Array, float, float]:
    """Power of the difference in each moment, its highest sample, and the power of the source."""
    step = _moment(before.rate)
    difference = Combination(((1.0, after), (-1.0, before)))
    size, peak, power = BLOCK_FRAMES // step * step, 0.0, 0.0
    moments = []
    for start in range(0, before.frames, size):
        stop = min(start + size, before.frames)
        changed = difference.read(start, stop)
        peak = max(peak, float(np.abs(changed).max(initial=0.0)))
        squares = np.sum(np.square(changed, dtype=np.float64), axis=0)
        moments.append(np.add.reduceat(squares, np.arange(0, squares.size, step)))
        power += float(np.sum(np.square(before.read(start, stop), dtype=np.float64)))
        progress(stop / before.frames)
    return np.concatenate(moments) if moments else np.zeros(0), peak, power


def _moment(rate: int) -> int:
    return max(round(_MOMENT_S * rate), 1)


def _passage(moments: Float64Array, step: int, source: AudioSource) -> tuple[float, float]:
    """The passage around the greatest share of the difference, which lies in its middle where it is short."""
    duration_s = source.frames / source.rate
    length = round(PASSAGE_S * source.rate / step)
    if duration_s <= PASSAGE_S or moments.size <= length:
        return 0.0, duration_s
    summed = np.concatenate([[0.0], np.cumsum(moments)])
    held = summed[length:] - summed[:-length]
    most = np.flatnonzero(held >= held.max() * (1.0 - 1e-9))
    start_s = min(float(most[len(most) // 2]) * step / source.rate, duration_s - PASSAGE_S)
    return start_s, start_s + PASSAGE_S


def _watched(parts: Iterable[FloatArray], frames: int, progress: Progress) -> Iterator[FloatArray]:
    done = 0
    for part in parts:
        yield part
        done += part.shape[1]
        progress(done / frames)


def _powers(parts: Iterable[FloatArray], channels: int, size: int) -> Iterator[Float64Array]:
    """The power spectrum of each window, of all channels together, shape (bins,)."""
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    for pieces in half_overlapping(parts, channels, size):
        for t in range(pieces.shape[1]):
            spectra = rfft(pieces[:, t] * window, axis=-1)
            yield np.sum(spectra.real**2 + spectra.imag**2, axis=0, dtype=np.float64)


def _sums(power: Float64Array, edges: NDArray[np.int_]) -> Float64Array:
    cumulated = np.concatenate([[0.0], np.cumsum(power)])
    return np.asarray(cumulated[edges[1:]] - cumulated[edges[:-1]])


def _bands(
    sums: Float64Array,
    edges: NDArray[np.int_],
    moved: Float64Array,
    bin_hz: float,
    holding_db: float | None,
) -> Iterator[BandGain]:
    floor = float(sums[0].sum()) * db_to_power(_AUDIBLE_DB)
    if floor <= 0:
        return
    held = _sums(sums[0], edges)
    means_db = _ratios_db(held, _sums(sums[1], edges), floor)
    lines_db = _ratios_db(sums[0], sums[1], 1e-2 * floor)
    for band, ((low, high), centre_hz) in enumerate(zip(pairwise(edges), THIRD_OCTAVES_HZ, strict=True)):
        if high <= low:
            continue
        most = low + int(np.argmax(np.abs(lines_db[low:high])))
        if holding_db is not None:
            told = held[band] >= sums[0].sum() * db_to_power(holding_db)
        else:
            told = abs(means_db[band]) >= LEAST_MEAN_DB or abs(lines_db[most]) >= LEAST_MOST_DB
        if not told:
            continue
        yield BandGain(
            centre_hz=centre_hz,
            mean_db=float(means_db[band]),
            most_db=float(lines_db[most]),
            most_hz=float(most * bin_hz),
            share=float(moved[band]),
        )


def _ratios_db(before: Float64Array, after: Float64Array, floor: float) -> Float64Array:
    return np.asarray(np.clip(powers_to_db((after + floor) / (before + floor)), -MOST_DB, MOST_DB))
