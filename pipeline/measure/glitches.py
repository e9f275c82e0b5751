"""Glitches of a song: clicks, dropouts, foreign bursts, splices and jumps of level.

Dropouts are found by rule: the music falls to next to nothing and comes back, both at once. Wherever else
something may have broken, boosted trees judge by cues of both sides (`glitch_cues`), which
`scripts/train_glitches.py` grew. A glitch begins and ends within a millisecond or two and the music goes on
behind it as it was; an attack starts something. What a song does all the time is its texture, and no glitch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from numba import njit
from numpy.typing import NDArray

from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.measure.glitch_cues import (
    LEVEL_CUE,
    RESIDUAL_CUES,
    Quarters,
    edge_cues,
    find_edges,
    measure_quarters,
    with_repetition,
)
from mixagent.pipeline.measure.trees import Trees
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress

DROPOUT, BURST, SPLICE, JUMP = "dropout", "burst", "splice", "jump"
_PEAK = "peak"
"""An edge so sharp that a song full of them crackles; no glitch by itself."""

LONGEST_DROPOUT_S = 2.5
LONGEST_BURST_S = 0.2
LONGEST_JUMP_S = 8.0

MOST_NEAR = {DROPOUT: (10, 10.0), BURST: (3, 30.0), SPLICE: (4, 30.0), JUMP: (3, 30.0)}
"""So many of a kind at most within so many seconds either way: with more the song means them."""

READ_HZ = (40000.0, 50000.0)
"""Rates at which the trees read; a song of another is brought to `BROUGHT_HZ` for them."""

BROUGHT_HZ = 44100

_CHUNK_S, _MARGIN_S = 60.0, 9.0
_SIDE_BY_SIDE = 2
_MIRRORED_S, _END_S = 0.1, 0.002
_TEXTURE_PER_S, _CRACKLE_DB = 2.0, 20.0
_PEAK_LEAST = 3e-3
_LEAST_JUMP_DB, _LIKE_JUMP_DB, _LEAST_SCORE = 3.5, 2.5, -5.0
_LEAST_BURST_MS, _BESIDE_S, _OUT_DB, _ALL_BUT = 3, 0.03, 5.0, 4.0
_ONE_S, _CROWD_S, _CROWD, _SHARE, _USUAL_SCORE = 0.02, 30.0, 4, 0.5, -1.0
_SILENT, _LOUD, _LEAST_CUT_MS, _AT_ONCE_DB, _HELD_DB = 1e-9, 1e-5, 10, 4.0, 20.0
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
        cut: silence at the very start or end, where the song was cut into; nothing says how it went there.
    """

    glitches: tuple[Glitch, ...]
    texture: tuple[str, ...]
    cut: tuple[Glitch, ...] = ()


def find_glitches(source: AudioSource, progress: Progress) -> Glitches:
    """The glitches of a source, of any length, rate and one channel or two.

    Raises:
        ModelMissingError: the trees' files are missing or not those that their configurations name.
    """
    trees, rate, frames = GlitchTrees.shipped(), source.rate, source.frames
    chunk, margin, end_frames = (round(s * rate) for s in (_CHUNK_S, _MARGIN_S, _END_S))

    def found_from(start: int) -> list[Glitch]:
        samples, begin = _mirrored(source, max(start - margin, 0), min(start + chunk + margin, frames))
        told = []
        for glitch in (*dropouts(samples, rate), *_broken(samples, rate, trees)):
            at, end = begin + glitch.start, begin + glitch.stop
            if start <= at < start + chunk and end_frames < at <= end < frames - end_frames:
                told.append(replace(glitch, start=at, stop=end))
        return told

    found: list[Glitch] = []
    starts = range(0, frames, chunk)
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for place in range(0, len(starts), _SIDE_BY_SIDE):
            some = starts[place : place + _SIDE_BY_SIDE]
            found += [glitch for told in pool.map(found_from, some) for glitch in told]
            progress(min(some[-1] + chunk, frames) / frames)
    cut = tuple(cut_ends(source))
    ends = [end for one in cut for end in (one.start, one.stop)]
    apart = [g for g in found if all(abs(g.start - end) > 0.005 * rate for end in ends)]
    return replace(_judged(apart, rate, frames / rate), cut=cut)


def _mirrored(source: AudioSource, first: int, last: int) -> tuple[FloatArray, int]:
    """A part of a source, its ends mirrored where they are the song's, and the frame that it begins at."""
    samples = source.read(first, last)
    reach = max(min(round(_MIRRORED_S * source.rate), samples.shape[1] - 1), 0)
    before, behind = (reach if end else 0 for end in (first == 0, last == source.frames))
    return np.pad(samples, ((0, 0), (before, behind)), mode="reflect"), first - before


def cut_ends(source: AudioSource) -> Iterable[Glitch]:
    """Silence of a channel at the very start or end of a song, up to `LONGEST_DROPOUT_S`, beside which the
    music stands at once at the level that it holds: what begins has an attack, and what ends dies away.
    """
    hop = milliseconds(source.rate)
    reach = round((LONGEST_DROPOUT_S + 0.2) * source.rate)
    for ends in (False, True):
        part = (
            source.read(source.frames - min(reach, source.frames), source.frames)
            if ends
            else source.read(0, reach)
        )
        for channel, x in enumerate(part[:, ::-1] if ends else part):
            silent = _silence_before(np.ascontiguousarray(x), hop)
            if silent:
                stretch = (source.frames - silent, source.frames) if ends else (0, silent)
                yield Glitch(DROPOUT, *stretch, (channel,), -99.0)


def _silence_before(x: FloatArray, hop: int) -> int:
    """Frames of silence at a channel's start behind which music stands at once; 0 where there are none."""
    sounding = np.flatnonzero(x**2 > _SILENT)
    first = int(sounding[0]) if len(sounding) else 0
    music = x[first : first + 100 * hop]
    if first < _LEAST_CUT_MS * hop or len(music) < 100 * hop or np.mean(music**2) < _LOUD:
        return 0
    levels = []
    for signal in (music, _residuals(music)[0]):
        powers = (signal[: 100 * hop].reshape(100, hop) ** 2).mean(axis=1) + 1e-12
        levels.append(abs(10 * np.log10(powers[1:5].mean() / powers[20:].mean())))
        levels.append(float(np.ptp(10 * np.log10(powers[1:].reshape(-1, 9).mean(axis=1)))) - _HELD_DB)
    return first if max(levels[0], levels[2]) < _AT_ONCE_DB and max(levels[1], levels[3]) < 0 else 0


def _broken(samples: FloatArray, rate: int, trees: GlitchTrees) -> Iterable[Glitch]:
    """Bursts, jumps and splices of a piece."""
    if READ_HZ[0] <= rate <= READ_HZ[1]:
        yield from found_by_trees(Piece.of(samples, rate), trees)
        return
    brought = soxr.resample(np.ascontiguousarray(samples.T), rate, BROUGHT_HZ).T
    for glitch in found_by_trees(Piece.of(np.ascontiguousarray(brought, np.float32), BROUGHT_HZ), trees):
        start, stop = (round(at * rate / BROUGHT_HZ) for at in (glitch.start, glitch.stop))
        yield replace(glitch, start=start, stop=max(stop, start + 1))


def _judged(found: list[Glitch], rate: int, length_s: float) -> Glitches:
    """Glitches without the kinds that come so often somewhere that the song means them."""
    kept, texture = list[Glitch](), list[str]()
    for kind, (most, near_s) in MOST_NEAR.items():
        of_kind = list(_apart([g for g in found if g.kind == kind], rate))
        full = _TEXTURE_PER_S * min(2 * near_s, length_s)
        if kind == SPLICE:
            crowd = _crowd(list(_apart([g for g in found if g.kind == _PEAK], rate)), near_s * rate)
        else:
            crowd = _crowd(of_kind, near_s * rate)
        if kind in (DROPOUT, SPLICE) and crowd > full:
            texture.append(kind)
        elif _crowd(of_kind, near_s * rate) <= most:
            kept += of_kind
    return Glitches(tuple(sorted(_apart(kept, rate), key=lambda g: g.start)), tuple(texture))


def _crowd(glitches: Sequence[Glitch], near: float) -> int:
    """The most glitches that begin within `near` frames of any of them."""
    at = np.array([g.start for g in glitches])
    return max((int((np.abs(at - n) < near).sum()) for n in at), default=0)


def _apart(found: list[Glitch], rate: int) -> Iterable[Glitch]:
    """Of glitches that overlap or all but touch the first in the order of kinds, its stretch widened."""
    order = (DROPOUT, BURST, JUMP, SPLICE, _PEAK)
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
    """A piece of a song as the trees read it.

    Attributes:
        samples: float32 (channels, frames).
        residual: what linear prediction leaves of them.
        foreign: mean square of what is left in each millisecond by a prediction that knows only what lies
            before and behind, (channels, milliseconds).
        rate: in Hz.
        hop: frames in a millisecond.
        quarters: its quarters of a millisecond.
        rms: of all of it.
    """

    samples: FloatArray
    residual: FloatArray
    foreign: FloatArray
    rate: int
    hop: int
    quarters: Quarters
    rms: float

    @classmethod
    def of(cls, samples: FloatArray, rate: int) -> Piece:
        """A piece with what is read of it."""
        hop = milliseconds(rate)
        residual, foreign = residuals(samples)
        powers = np.stack([mean_squares(x, hop) for x in foreign])
        quarters = measure_quarters(samples, residual, foreign, hop)
        return cls(
            samples, residual, powers, rate, hop, quarters, float(np.sqrt(np.mean(samples**2) + 1e-12))
        )


def milliseconds(rate: int) -> int:
    """Frames in a millisecond, at least 8."""
    return max(round(rate / 1000), 8)


def mean_squares(x: FloatArray, hop: int) -> FloatArray:
    """Of each whole hop of a channel."""
    cells = x[: len(x) // hop * hop].reshape(-1, hop)
    return np.asarray(np.einsum("ij,ij->i", cells, cells) / np.float32(hop), np.float32)


@dataclass(frozen=True)
class Edges:
    """Places of a piece at which something may have broken.

    Attributes:
        at: frame of each.
        channel: of each.
        cues: float32 (edges, EDGE_CUES).
    """

    at: NDArray[np.int64]
    channel: NDArray[np.int64]
    cues: FloatArray


def edge_rows(piece: Piece) -> Edges:
    """The edges of all channels, in order of channel and time."""
    quarters, rows = piece.quarters, list[FloatArray]()
    places, channels = list[NDArray[np.int64]](), list[NDArray[np.int64]]()
    for channel, sums in enumerate(quarters.sums):
        found = find_edges(sums, quarters.power)
        cues = edge_cues(sums, quarters.sums[len(quarters.sums) - 1 - channel], quarters.power, found)
        at = np.array([_sharpest(piece.residual[channel], q * quarters.size, piece.hop) for q in found])
        places.append(at.astype(np.int64))
        channels.append(np.full(len(at), channel))
        rows.append(with_repetition(cues, piece.samples[channel], places[-1], piece.rate))
    return Edges(np.concatenate(places), np.concatenate(channels), np.concatenate(rows))


def _sharpest(residual: FloatArray, at: int, reach: int) -> int:
    first = max(at - reach, 0)
    return first + int(np.argmax(np.abs(residual[first : at + reach])))


def dropouts(samples: FloatArray, rate: int) -> Iterable[Glitch]:
    """Stretches of next to nothing, which begin and end at once, of samples (channels, frames)."""
    hop = milliseconds(rate)
    longest = round(LONGEST_DROPOUT_S * rate / hop)
    least = 1e-2 * (float(np.mean(samples**2)) + 1e-12) if samples.size else 0.0
    for channel, x in enumerate(samples):
        for first, last, ratio in find_dropouts(mean_squares(x, hop), least, longest):
            start, stop = _quiet(x, first * hop, last * hop, hop)
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


@dataclass(frozen=True)
class Pair:
    """Two edges between which the music stands at another level: their rows, by how much, and the score."""

    first: int
    last: int
    size_db: float
    score: float


def jump_pairs(at: NDArray[np.int64], cues: FloatArray, scores: FloatArray, rate: int) -> list[Pair]:
    """Pairs of a channel's edges of which one takes back what the other did, the best first, none shared.

    Args:
        at: frames of the edges, in order.
        cues: of each, (edges, EDGE_CUES).
        scores: of each as the end of a jump.
        rate: in Hz.
    """
    likely = np.flatnonzero((scores > _LEAST_SCORE) & (np.abs(cues[:, LEVEL_CUE]) > _LEAST_JUMP_DB))
    pairs = list[Pair]()
    for k, first in enumerate(likely):
        for last in likely[k + 1 :]:
            if at[last] - at[first] > LONGEST_JUMP_S * rate:
                break
            up, down = float(cues[first, LEVEL_CUE]), float(cues[last, LEVEL_CUE])
            if abs(up + down) < _LIKE_JUMP_DB:
                score = float(scores[first] + scores[last])
                pairs.append(Pair(int(first), int(last), (up - down) / 2, score))
    kept, used = list[Pair](), set[int]()
    for pair in sorted(pairs, key=lambda one: -one.score):
        if not {pair.first, pair.last} & used:
            used |= {pair.first, pair.last}
            kept.append(pair)
    return kept


@dataclass(frozen=True)
class Judge:
    """Trees and the score from which on they are believed."""

    trees: Trees
    threshold: float

    @classmethod
    def read(cls, folder: Path) -> Judge:
        """The trees of a folder; raises as `Trees.read`."""
        trees = Trees.read(folder)
        return cls(
            trees, float(json.loads((folder / "config.json").read_text(encoding="utf-8"))["threshold"])
        )


@dataclass(frozen=True)
class GlitchTrees:
    """The judges of edges: as splices, ends of bursts among them, and as ends of a jump of level."""

    splice: Judge
    jump: Judge

    @classmethod
    @functools.cache
    def shipped(cls) -> GlitchTrees:
        """Those of `checkpoints/glitches`; raises as `Trees.read`."""
        folder = checkpoint_folder("glitches")
        return cls(*(Judge.read(folder / name) for name in ("splice", "jump")))


def found_by_trees(piece: Piece, trees: GlitchTrees) -> Iterable[Glitch]:
    """The bursts, jumps and splices of a piece, and its peaks."""
    edges = edge_rows(piece)
    scores, jump_scores = trees.splice.trees(edges.cues), trees.jump.trees(edges.cues)
    peaks = np.abs(piece.residual[edges.channel, edges.at])
    likely = scores > trees.splice.threshold - _ALL_BUT
    scores[likely] -= asked_more(edges.at, scores, edges.at[likely], piece.rate)
    scores[peaks < _PEAK_LEAST * piece.rms] = -np.inf
    for channel in range(len(piece.samples)):
        mine = np.flatnonzero(edges.channel == channel)
        at, cues, left = edges.at[mine], edges.cues[mine], scores[mine]
        for pair in jump_pairs(at, cues, jump_scores[mine], piece.rate):
            if pair.score > trees.jump.threshold:
                left[[pair.first, pair.last]] = -np.inf
                yield Glitch(JUMP, int(at[pair.first]), int(at[pair.last]), (channel,), pair.size_db)
        for first, last, size_db in burst_ends(piece, channel, at, left, trees.splice.threshold):
            left[[first, last]] = -np.inf
            yield Glitch(BURST, int(at[first]), int(at[last]), (channel,), size_db)
        sharp = cues[:, RESIDUAL_CUES].min(axis=1)
        for k in np.flatnonzero(left > trees.splice.threshold):
            yield Glitch(SPLICE, int(at[k]), int(at[k]) + 1, (channel,), float(sharp[k]))
        for k in np.flatnonzero(sharp > _CRACKLE_DB):
            yield Glitch(_PEAK, int(at[k]), int(at[k]) + 1, (channel,), float(sharp[k]))


def asked_more(at: NDArray[np.int64], scores: FloatArray, places: NDArray[np.int64], rate: int) -> FloatArray:
    """How much more is asked of edges at some places of a song that has its like around: half of what the
    fourth best of the others within 30 s has over a usual song's.

    Args:
        at: frames of all edges of the song, of all channels.
        scores: of each.
        places: frames that are asked about.
        rate: in Hz.
    """
    more = np.zeros(len(places), np.float32)
    if not len(at):
        return more
    order = np.argsort(at, kind="stable")
    firsts = np.flatnonzero(np.diff(at[order], prepend=-rate) > _ONE_S * rate)
    best, event = np.maximum.reduceat(scores[order], firsts), at[order][firsts]
    for k, place in enumerate(places):
        low, high = np.searchsorted(event, (place - _CROWD_S * rate, place + _CROWD_S * rate))
        apart = np.abs(event[low:high] - place) > _ONE_S * rate
        others = best[low:high][apart]
        if len(others) >= _CROWD:
            fourth = np.partition(others, len(others) - _CROWD)[len(others) - _CROWD]
            more[k] = _SHARE * max(fourth - _USUAL_SCORE, 0.0)
    return more


def burst_ends(
    piece: Piece, channel: int, at: NDArray[np.int64], scores: FloatArray, threshold: float
) -> Iterable[tuple[int, int, float]]:
    """Pairs of a channel's edges between which something else stands: their rows, and how far it stands out
    of what lies on either side, in dB. One of the two is sure, the other all but.
    """
    foreign, hop = piece.foreign[channel], piece.hop
    floor, used = 1e-8 * piece.rms**2, -1
    longest, side = LONGEST_BURST_S * piece.rate, round(_BESIDE_S * piece.rate / hop)
    likely = np.flatnonzero(scores > threshold - _ALL_BUT)
    for k, first in enumerate(likely):
        start = int(at[first]) // hop
        for last in likely[k + 1 :]:
            if at[last] - at[first] > longest:
                break
            stop = int(at[last]) // hop
            if (
                first <= used
                or stop - start < _LEAST_BURST_MS
                or max(scores[first], scores[last]) < threshold
            ):
                continue
            inside = foreign[start + 1 : stop]
            beside = max(_average(foreign, start - side, start), _average(foreign, stop + 1, stop + 1 + side))
            over_db = 10 * np.log10((float(np.median(inside)) + floor) / (beside + floor))
            if over_db > _OUT_DB:
                used = int(last)
                yield int(first), int(last), float(over_db)


def _average(values: FloatArray, start: int, stop: int) -> float:
    part = values[max(start, 0) : stop]
    return float(part.mean()) if part.size else 0.0


def residuals(samples: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What prediction leaves of samples (channels, frames) that knows them, and that knows only what lies
    before and behind; of their shape.
    """
    both = [_residuals(np.ascontiguousarray(x)) for x in samples]
    return np.stack([residual for residual, _ in both]), np.stack([foreign for _, foreign in both])


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
