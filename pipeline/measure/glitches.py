"""Glitches of a song: clicks, dropouts, foreign bursts, splices and jumps of level.

A song is read as milliseconds: of each, the power, and of what linear prediction leaves of it, which drums
and notes raise for long and a seam for an instant. A glitch begins and ends within a millisecond or two and
the music goes on behind it as it was; an attack starts something. What a song does all the time is its
texture, and no glitch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress

DROPOUT, BURST, SPLICE, JUMP = "dropout", "burst", "splice", "jump"

LONGEST_DROPOUT_S = 2.5
LONGEST_BURST_S = 0.2
LONGEST_JUMP_S = 8.0

MOST_NEAR = {DROPOUT: (10, 10.0), BURST: (3, 30.0), SPLICE: (4, 30.0), JUMP: (3, 30.0)}
"""So many of a kind at most within so many seconds either way: with more the song means them."""

_CHUNK_S, _MARGIN_S = 60.0, 9.0
_TEXTURE_PER_S = 2.0
_ENDS_DB = 25.0
_BESIDE_S, _BANDS = 0.025, 14
_PEAK_LEAST, _PEAK_RATIO, _PEAK_ALONE = 3e-3, 8.0, 2.0
_NARROW, _WIDE, _NEAR, _CLEAR = 40, 100, 120, 30.0
_LEAST_JUMP_DB, _LIKE_JUMP_DB, _LIKE_SHAPE_DB = 3.5, 3.5, 7.0
_LIKE_LEVEL_DB, _LIKE_MUSIC_DB = 8.0, 9.0
_ORDER = 32
_SUB, _SUBS, _FAR = 1024, 5, 5


@dataclass(frozen=True)
class Glitch:
    """A glitch.

    Attributes:
        kind: DROPOUT, BURST, SPLICE or JUMP.
        start, stop: its first frame and the one after its last; a splice or click is near
            `start`; a jump's stretch is what stands at another level.
        channels: in which it is.
        size: over what is around it, in dB: a burst's or splice's residual; how far a dropout
            falls; by how much a jump's stretch is too loud, negative where too soft.
    """

    kind: str
    start: int
    stop: int
    channels: tuple[int, ...]
    size: float


@dataclass(frozen=True)
class Glitches:
    """The glitches of a song.

    Attributes:
        glitches: in order.
        texture: DROPOUT or SPLICE where the song is full of them, as of the crackle of a record; they are
            left alone.
    """

    glitches: tuple[Glitch, ...]
    texture: tuple[str, ...]


@dataclass(frozen=True)
class Cells:
    """Milliseconds of a piece of a song.

    Attributes:
        hop: frames in one.
        power: mean square, (channels, cells).
        left: mean square of the prediction residual, (channels, cells).
        foreign: the same of a prediction that knows only what lies before and behind, (channels, cells).
        peak: largest magnitude of the residual, (channels, cells).
        at: frame of that, (channels, cells).
    """

    hop: int
    power: FloatArray
    left: FloatArray
    foreign: FloatArray
    peak: FloatArray
    at: NDArray[np.int64]


def find_glitches(source: AudioSource, progress: Progress) -> Glitches:
    """The glitches of a source, of any length, rate and one channel or two; what lies within 50 ms of its
    ends is not looked at.
    """
    found = list[Glitch]()
    rate, frames = source.rate, source.frames
    chunk, margin = round(_CHUNK_S * rate), round(_MARGIN_S * rate)
    for start in range(0, frames, chunk):
        first = max(start - margin, 0)
        piece = Piece.of(source.read(first, min(start + chunk + margin, frames)), rate)
        for glitch in (*dropouts(piece), *bursts(piece), *peaks(piece)):
            if start <= first + glitch.start < start + chunk:
                at, end = first + glitch.start, first + glitch.stop
                found.append(replace(glitch, start=at, stop=end))
        progress(min(start + chunk, frames) / frames)
    return _judged(found, rate, frames / rate)


def _judged(found: list[Glitch], rate: int, length_s: float) -> Glitches:
    """Glitches without the kinds that come so often somewhere that the song means them."""
    kept, texture = list[Glitch](), list[str]()
    for kind, (most, near_s) in MOST_NEAR.items():
        of_kind = list(_apart([g for g in found if g.kind == kind], rate))
        at = np.array([g.start for g in of_kind])
        crowd = max((int((np.abs(at - n) < near_s * rate).sum()) for n in at), default=0)
        if crowd <= most:
            kept += of_kind
        elif kind in (DROPOUT, SPLICE) and crowd > _TEXTURE_PER_S * min(2 * near_s, length_s):
            texture.append(kind)
    return Glitches(tuple(sorted(_apart(kept, rate), key=lambda g: g.start)), tuple(texture))


def _apart(found: list[Glitch], rate: int) -> Iterable[Glitch]:
    """Of glitches that overlap or all but touch the first in the order of kinds, its stretch widened."""
    order = (DROPOUT, BURST, JUMP, SPLICE)
    kept = list[Glitch]()
    for glitch in sorted(found, key=lambda g: (order.index(g.kind), g.start)):
        near = rate // 200
        for k, other in enumerate(kept):
            if glitch.start < other.stop + near and other.start < glitch.stop + near:
                channels = tuple(sorted({*other.channels, *glitch.channels}))
                size = max(other.size, glitch.size, key=abs)
                start, stop = other.start, other.stop
                if glitch.kind == other.kind:
                    start, stop = min(start, glitch.start), max(stop, glitch.stop)
                kept[k] = replace(other, start=start, stop=stop, channels=channels, size=size)
                break
        else:
            kept.append(glitch)
    return kept


@dataclass(frozen=True)
class Piece:
    """A piece of a song as it is searched.

    Attributes:
        samples, residual: float32 (channels, frames).
        rate: in Hz.
        cells: its milliseconds.
        rms: of its louder half.
    """

    samples: FloatArray
    residual: FloatArray
    rate: int
    cells: Cells
    rms: float

    @classmethod
    def of(cls, samples: FloatArray, rate: int) -> Piece:
        """A piece with its cells."""
        cells, residual = measure_cells(samples, rate)
        return cls(samples, residual, rate, cells, float(np.sqrt(np.mean(samples**2) + 1e-12)))


def dropouts(piece: Piece) -> Iterable[Glitch]:
    """Stretches of next to nothing, which begin and end at once."""
    hop = piece.cells.hop
    longest = round(LONGEST_DROPOUT_S * piece.rate / hop)
    for channel, power in enumerate(piece.cells.power):
        for first, last, ratio in find_dropouts(power, 1e-2 * piece.rms**2, longest):
            start, stop = _quiet(piece.samples[channel], first * hop, last * hop, hop)
            yield Glitch(DROPOUT, start, stop, (channel,), float(10 * np.log10(max(ratio, 1e-12))))


def _quiet(x: FloatArray, start: int, stop: int, hop: int) -> tuple[int, int]:
    """The dropout in a stretch to the sample: its cells at both ends may be music in part."""
    inside = np.abs(x[start + hop : stop - hop])
    most = max(2 * float(inside.max(initial=0.0)), 1e-5)
    loud = np.abs(x[start:stop]) > most
    head, tail = loud[: hop + 1], loud[-hop - 1 :]
    begin = int(np.nonzero(head)[0][-1]) + 1 if head.any() else 0
    end = len(loud) - len(tail) + int(np.nonzero(tail)[0][0]) if tail.any() else len(loud)
    return start + begin, start + end


def bursts(piece: Piece) -> Iterable[Glitch]:
    """Stretches of something else that begin and end at once."""
    cells, hop = piece.cells, piece.cells.hop
    longest = round(LONGEST_BURST_S * piece.rate / hop)
    for channel, foreign in enumerate(cells.foreign):
        # A low tone leaves something only now and then.
        held = scipy.ndimage.maximum_filter1d(foreign, 3)
        for first, last, ratio in find_bursts(held, 1e-5 * piece.rms**2, longest):
            if last - first <= 4:
                continue
            change = _change(piece, channel, first * hop, last * hop)
            if abs(change.level_db) < _LIKE_LEVEL_DB and change.shape_db < _LIKE_MUSIC_DB:
                yield Glitch(BURST, first * hop, last * hop, (channel,), float(10 * np.log10(ratio)))


def peaks(piece: Piece) -> Iterable[Glitch]:
    """Lone, narrow peaks of the residual: clicks, splices and the ends of jumps of level."""
    cells = piece.cells
    found = list[tuple[Glitch, _Change]]()
    for channel in range(len(cells.left)):
        left, peak = cells.left[channel], cells.peak[channel]
        for cell, ratio in find_lone_peaks(left, peak, _PEAK_LEAST * piece.rms, _PEAK_RATIO, _PEAK_ALONE):
            at = int(cells.at[channel, cell])
            width = _width(piece.residual[channel], at)
            if width <= _NARROW or (ratio > _CLEAR and width <= _WIDE and _is_steady(left, cell)):
                change = _change(piece, channel, at - cells.hop // 4, at + cells.hop)
                if abs(change.level_db) > _ENDS_DB:
                    continue
                size = float(20 * np.log10(ratio))
                found.append((Glitch(SPLICE, at, at + 1, (channel,), size), change))
    yield from _jumps(found, piece.rate)


def _width(residual: FloatArray, at: int) -> int:
    near = np.abs(residual[max(at - _NEAR, 0) : at + _NEAR])
    return int(np.ptp(np.nonzero(near > abs(residual[at]) / 4)[0]))


def _is_steady(left: FloatArray, cell: int) -> bool:
    """True if as much is left behind a cell as before it, to 4 dB."""
    before, behind = _mean(left, cell - 15, cell - 2), _mean(left, cell + 3, cell + 16)
    return bool(0.4 * before < behind < 2.5 * before)


def _jumps(found: list[tuple[Glitch, _Change]], rate: int) -> Iterable[Glitch]:
    """Peaks, pairs of which between which the music stands at another level made into jumps."""
    found = sorted(found, key=lambda one: one[0].start)
    used = set[int]()
    for k, (first, up) in enumerate(found):
        if k in used or abs(up.level_db) < _LEAST_JUMP_DB or up.shape_db > _LIKE_SHAPE_DB:
            continue
        for j in range(k + 1, len(found)):
            last, down = found[j]
            if last.start - first.start > LONGEST_JUMP_S * rate:
                break
            if last.channels != first.channels or down.shape_db > _LIKE_SHAPE_DB:
                continue
            size = (up.level_db - down.level_db) / 2
            if abs(up.level_db + down.level_db) < _LIKE_JUMP_DB and abs(size) > _LEAST_JUMP_DB:
                used |= {k, j}
                yield Glitch(JUMP, first.start, last.start, first.channels, size)
                break
    for k, (glitch, _) in enumerate(found):
        if k not in used:
            yield glitch


@dataclass(frozen=True)
class _Change:
    """How the music behind a place differs from that before it.

    Attributes:
        level_db: of all of it.
        shape_db: deviation of the bands from that, by their median.
    """

    level_db: float
    shape_db: float


def _change(piece: Piece, channel: int, start: int, stop: int) -> _Change:
    size = round(_BESIDE_S * piece.rate)
    x = piece.samples[channel]
    if start < size or stop + size > len(x):
        return _Change(np.inf, np.inf)
    before, behind = _bands_db(x[start - size : start]), _bands_db(x[stop : stop + size])
    differs = behind - before
    level_db = float(np.median(differs))
    return _Change(level_db, 1.48 * float(np.median(np.abs(differs - level_db))))


def _bands_db(x: FloatArray) -> Float64Array:
    powers = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    edges = np.unique(np.round(np.geomspace(2, len(powers), _BANDS + 1)).astype(int))
    sums = np.add.reduceat(powers, edges[:-1]) / np.diff(edges)
    return np.asarray(10 * np.log10(sums + 1e-9 * sums.max() + 1e-12), np.float64)


def measure_cells(samples: FloatArray, rate: int) -> tuple[Cells, FloatArray]:
    """The cells of a piece, and its prediction residual of the same shape."""
    hop = max(round(rate / 1000), 8)
    both = [_residuals(np.ascontiguousarray(x)) for x in samples]
    residual = np.stack([residual for residual, _ in both])
    parts = [_cells(x, e, hop) for x, e in zip(samples, residual, strict=True)]
    foreign = np.stack([_cells(foreign, foreign, hop)[0] for _, foreign in both])
    power, left, peak = (np.stack([part[k] for part in parts]).astype(np.float32) for k in range(3))
    at = np.stack([part[3] for part in parts])
    return Cells(hop, power, left, foreign, peak, at), residual


@njit(cache=True, nogil=True, fastmath=True)
def _residuals(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What a prediction filter leaves that is fitted to the piece and what surrounds it, and what one
    leaves that is fitted to what surrounds it alone.

    Each of five pieces counts alike, however loud, so that a burst does not pass for music.
    """
    frames = len(x)
    count = (frames + _SUB - 1) // _SUB
    lags = np.zeros((count, _ORDER + 1))
    for sub in range(count):
        start, stop = sub * _SUB, min((sub + 1) * _SUB, frames)
        for lag in range(_ORDER + 1):
            total = np.float32(0)
            for n in range(start + lag, stop):
                total += x[n] * x[n - lag]
            lags[sub, lag] = total
        power = lags[sub, 0]
        for lag in range(_ORDER + 1):
            lags[sub, lag] = lags[sub, lag] / power if power > 1e-9 * _SUB else 0.0
    residual, foreign = np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    for sub in range(count):
        mean = np.zeros(_ORDER + 1)
        for other in range(max(sub - _SUBS // 2, 0), min(sub + _SUBS // 2 + 1, count)):
            mean += lags[other]
        filter_ = _levinson(mean).astype(np.float32)
        mean[:] = 0
        for other in range(max(sub - _FAR, 0), min(sub + _FAR + 1, count)):
            if abs(other - sub) > 1:
                mean += lags[other]
        without = _levinson(mean).astype(np.float32)
        for n in range(max(sub * _SUB, _ORDER), min((sub + 1) * _SUB, frames)):
            total, total_without = np.float32(0), np.float32(0)
            for lag in range(_ORDER + 1):
                total += filter_[lag] * x[n - lag]
                total_without += without[lag] * x[n - lag]
            residual[n], foreign[n] = total, total_without
    return residual, foreign


@njit(cache=True, nogil=True)
def _levinson(lags: Float64Array) -> Float64Array:
    filter_ = np.zeros(len(lags))
    filter_[0] = 1.0
    error = lags[0] * (1 + 1e-6) + 1e-9
    if lags[0] <= 0:
        return filter_
    for order in range(1, len(lags)):
        total = 0.0
        for k in range(order):
            total -= filter_[k] * lags[order - k]
        reflection = total / error
        for k in range(1, order // 2 + 1):
            low, high = filter_[k], filter_[order - k]
            filter_[k] = low + reflection * high
            filter_[order - k] = high + reflection * low
        filter_[order] = reflection
        error *= 1 - reflection * reflection
        if error <= 1e-9:
            break
    return filter_


@njit(cache=True, nogil=True)
def _cells(
    x: FloatArray, residual: FloatArray, hop: int
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.int64]]:
    count = len(x) // hop
    power, left = np.zeros(count, np.float32), np.zeros(count, np.float32)
    peak, at = np.zeros(count, np.float32), np.zeros(count, np.int64)
    for cell in range(count):
        for n in range(cell * hop, (cell + 1) * hop):
            power[cell] += x[n] * x[n]
            left[cell] += residual[n] * residual[n]
            if abs(residual[n]) > peak[cell]:
                peak[cell], at[cell] = abs(residual[n]), n
        power[cell] /= hop
        left[cell] /= hop
    return power, left, peak, at


@njit(cache=True, nogil=True)
def _mean(x: FloatArray, start: int, stop: int) -> float:
    start, stop = max(start, 0), min(stop, len(x))
    if stop <= start:
        return 0.0
    total = 0.0
    for n in range(start, stop):
        total += x[n]
    return total / (stop - start)


@njit(cache=True, nogil=True)
def _most(x: FloatArray, start: int, stop: int) -> float:
    most = 0.0
    for n in range(max(start, 0), min(stop, len(x))):
        most = max(most, x[n])
    return most


@njit(cache=True, nogil=True)
def find_dropouts(power: FloatArray, least: float, longest: int) -> list[tuple[int, int, float]]:
    """Stretches of cells that fall and come back at once: first cell, the one after the last, ratio."""
    found = [(0, 0, 0.0)][:0]
    cell, count = 21, len(power)
    while cell < count - 24:
        before = _mean(power, cell - 5, cell)
        under = before * _FALL
        if before < least or power[cell - 1] < 0.01 * before or power[cell + 1] > under:
            cell += 1
            continue
        if _most(power, cell + 1, cell + 4) > under:
            cell += 1
            continue
        start, stop = cell, cell + 4
        while stop < count and power[stop] <= _STAY * before and stop - start <= longest:
            stop += 1
        cell = stop
        if stop + 24 > count or stop - start > longest:
            continue
        behind = _mean(power, stop + 1, stop + 4)
        if behind < 0.01 * before:
            continue
        wide_before, wide_behind = _mean(power, start - 20, start), _mean(power, stop + 1, stop + 21)
        if wide_behind < wide_before / 100 or wide_before < wide_behind / 100:
            continue
        found.append((start, stop + 1, _most(power, start + 1, stop - 1) / before))
    return found


_FALL, _STAY = 10**-3.4, 10**-2.4


@njit(cache=True, nogil=True)
def find_bursts(foreign: FloatArray, least: float, longest: int) -> list[tuple[int, int, float]]:
    """Stretches of cells that stand out of the 30 ms before and behind them, level, and end at once."""
    found = [(0, 0, 0.0)][:0]
    cell, count = 32, len(foreign)
    while cell < count - 34:
        before = _mean(foreign, cell - 30, cell)
        most = max(3 * before, 1.6 * _most(foreign, cell - 30, cell), least)
        if foreign[cell] < most or _mean(foreign, cell, cell + 2) < 8 * before:
            cell += 1
            continue
        start, stop = cell, cell + 1
        while stop < count and foreign[stop] > most and stop - start <= longest:
            stop += 1
        if stop - start > longest or stop + 32 > count:
            cell += 1
            continue
        cell = stop
        # An edge may share its cell with what is beside it.
        behind, level = _mean(foreign, stop + 1, stop + 31), _mean(foreign, start, stop)
        if level < _OUT * max(before, behind) or _most(foreign, stop + 1, stop + 31) > level / 3:
            continue
        # A consonant swells and goes; a burst is there at once.
        if foreign[start + 1] < _AT_ONCE * level or foreign[stop - 2] < _AT_ONCE * level:
            continue
        third = max((stop - start) // 3, 1)
        # What was struck dies away.
        if _mean(foreign, stop - third, stop) < _LEVEL * _mean(foreign, start, start + third):
            continue
        found.append((start, stop + 1, level / max(before, behind, 1e-12)))
    return found


_OUT, _LEVEL, _AT_ONCE = 25.0, 0.25, 0.35


@njit(cache=True, nogil=True)
def find_lone_peaks(
    left: FloatArray, peak: FloatArray, least: float, ratio: float, alone: float
) -> list[tuple[int, float]]:
    """Cells whose residual peaks alone: cell, and peak over the RMS of what is around."""
    found = [(0, 0.0)][:0]
    for cell in range(18, len(peak) - 18):
        here = peak[cell]
        if here < least or here < _most(peak, cell - 2, cell) or here <= _most(peak, cell + 1, cell + 3):
            continue
        if here < alone * max(_most(peak, cell - 15, cell - 2), _most(peak, cell + 3, cell + 16)):
            continue
        around = (_mean(left, cell - 15, cell - 2) + _mean(left, cell + 3, cell + 16)) / 2
        if here > ratio * np.sqrt(around):
            found.append((cell, here / (np.sqrt(around) + 1e-9)))
    return found
