"""Fills a gap: by linear prediction where it is short, from the song itself where it is longer.

A longer gap takes its fine structure from the passage of the song that sounds most alike around it, and its
levels, band by band and frame by frame, from the network of `inpainting_network`. Both ends are seams: what
stands on their two sides is joined by linear prediction of a high order (Janssen et al. 1986).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.signal
from numpy.typing import NDArray

from mixagent.pipeline.restoration.passages import Frames, Song, measure_levels
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray

LONGEST_PREDICTED_S = 0.05
"""Gaps up to this long are filled by linear prediction alone."""

LONGEST_FILLED_S = 2.0

SEAM_S = 0.008
"""The part of a longer gap, at either end, that is joined by linear prediction."""

AROUND_S = 0.4
"""Audio on either side of a gap that filling it reads."""

_ORDER_S, _MOST_ORDER = 0.023, 1500
_FITTED_S = 0.15
_ITERATIONS = 4
_MOST_GAIN_DB = 24.0
_ALIGNED = 4
_TAPS = 32


@dataclass(frozen=True)
class Neighbourhood:
    """A gap in one piece of audio, and the passage that could stand in for it.

    Attributes:
        samples: float32 (channels, frames); in the gap anything.
        start, stop: the gap in it.
        passage: of the same shape, aligned to it to the sample; None where there is none.
    """

    samples: FloatArray
    start: int
    stop: int
    passage: FloatArray | None = None


def predicted(
    x: Float64Array, start: int, stop: int, rate: int, iterations: int = _ITERATIONS
) -> Float64Array:
    """Samples `start` to `stop` of one channel by the linear prediction of both sides (Janssen).

    Where too little stands beside them, fewer lags are used; with nothing on one side the other goes on.
    """
    count = stop - start
    reach = max(round(_FITTED_S * rate), 2 * count)
    low, high = max(start - reach, 0), min(stop + reach, len(x))
    around = x[low:high].astype(np.float64)
    first, last = start - low, stop - low
    most = min(round(_ORDER_S * rate), _MOST_ORDER, (len(around) - count) // 3)
    if most < 2:
        return np.zeros(count)
    # Beyond the song's ends there is silence.
    before, after = max(most - first, 0), max(most - (len(around) - last), 0)
    around = np.pad(around, (before, after))
    first, last = first + before, last + before
    around[first:last] = 0
    for iteration in range(iterations):
        filter_ = prediction(around, min(most, 32) if iteration == 0 and count < most // 8 else most)
        order = len(filter_) - 1
        weights = np.zeros(max(count, order + 1))
        weights[: order + 1] = np.correlate(filter_, filter_, "full")[order:]
        rest = around[first - order : last + order].copy()
        rest[order : order + count] = 0
        both = np.concatenate([weights[order:0:-1], weights[: order + 1]])
        known = -scipy.signal.fftconvolve(rest, both, "valid")
        around[first:last] = scipy.linalg.solve_toeplitz(weights[:count], known[:count])
    return around[first:last]


def prediction(around: Float64Array, order: int) -> Float64Array:
    """The prediction error filter of an order, by autocorrelation, shape (order + 1,)."""
    size = scipy.fft.next_fast_len(len(around) + order, real=True)
    spectrum = scipy.fft.rfft(around, size)
    lags = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[: order + 1]
    lags[0] = lags[0] * (1 + 1e-9) + 1e-12
    return np.concatenate([[1.0], -scipy.linalg.solve_toeplitz(lags[:-1], lags[1:])])


def filled(near: Neighbourhood, rate: int, levels: FloatArray | None = None) -> FloatArray:
    """The gap's samples, float32 (channels, stop - start).

    Args:
        near: the gap; with a passage it is filled from that one, else by prediction alone.
        rate: in Hz.
        levels: of mid and side in dB that the audio around the gap and in it shall have, as
            `measure_levels` of `near.samples` would give them; without them the passage keeps its own.
    """
    whole = near.samples.astype(np.float64)
    start, stop = near.start, near.stop
    seam = stop - start
    if near.passage is not None:
        seam = min(round(SEAM_S * rate), (stop - start) // 3)
        body = near.passage if levels is None else _levelled(near, rate, levels)
        whole[:, start:stop] = body[:, start:stop]
    for x in whole:
        if not np.any(x[:start]) and not np.any(x[stop:]):
            x[start:stop] = 0
        elif near.passage is None:
            x[start:stop] = predicted(x, start, stop, rate)
        else:
            joins = (predicted(x, start, start + seam, rate), predicted(x, stop - seam, stop, rate))
            x[start : start + seam], x[stop - seam : stop] = joins
    return whole[:, start:stop].astype(np.float32)


def _levelled(near: Neighbourhood, rate: int, levels: FloatArray) -> FloatArray:
    """The passage with the levels asked for in the gap, and those around it in the song."""
    frames = Frames.at(rate)
    assert near.passage is not None
    audio = near.samples.copy()
    audio[:, near.start : near.stop] = near.passage[:, near.start : near.stop]
    first = max(near.start // frames.hop - 1, 0)
    last = min(near.stop // frames.hop + 1, levels.shape[2])
    for _ in range(2):
        gains_db = np.clip(levels - measure_levels(audio, frames), -_MOST_GAIN_DB, _MOST_GAIN_DB)
        gains_db[:, :, :first] = gains_db[:, :, last:] = 0
        changed = _with_gains(audio, frames, gains_db)
        audio[:, near.start : near.stop] = changed[:, near.start : near.stop]
    return audio


def _with_gains(samples: FloatArray, frames: Frames, gains_db: FloatArray) -> FloatArray:
    """Mid and side of `samples`, each band of each frame multiplied by its gain."""
    hop, count = frames.hop, gains_db.shape[2]
    window = np.sqrt(np.hanning(2 * hop + 1)[:-1]).astype(np.float32)
    left, right = samples[0], samples[-1]
    made = []
    for row, signal in enumerate(((left + right) / 2, (left - right) / 2)):
        windows = np.lib.stride_tricks.sliding_window_view(signal, 2 * hop)[::hop][:count]
        gains = 10 ** ((gains_db[row].T @ frames.shares) / 20)
        parts = scipy.fft.irfft(scipy.fft.rfft(windows * window, axis=1) * gains, 2 * hop, axis=1) * window
        whole = signal.copy()
        whole[hop : count * hop] = parts[:-1, hop:].ravel() + parts[1:, :hop].ravel()
        made.append(whole)
    return np.stack([made[0] + made[1], made[0] - made[1]])[: len(samples)].astype(np.float32)


def neighbourhoods(source: AudioSource, song: Song, start: int, stop: int, most: int) -> list[Neighbourhood]:
    """The gap from `start` to `stop` of a source with each of the passages most like it, best first.

    Where the song has none, one neighbourhood without.
    """
    around = round(AROUND_S * source.rate)
    first, last = max(start - around, 0), min(stop + around, source.frames)
    samples = source.read(first, last).astype(np.float32)
    samples[:, start - first : stop - first] = 0
    made = []
    for lag in song.passages(start, stop, most):
        passage = _aligned(source, samples, start - first, stop - first, first + lag, song.frames.hop)
        made.append(Neighbourhood(samples, start - first, stop - first, passage))
    return made or [Neighbourhood(samples, start - first, stop - first)]


def _aligned(
    source: AudioSource, samples: FloatArray, start: int, stop: int, at: int, most: int
) -> FloatArray:
    """The source from near `at` on, moved by up to `most` frames to where it is most like `samples`."""
    wide = _read_padded(source, at - most, at + samples.shape[1] + most)
    beside = np.zeros(samples.shape[1], bool)
    beside[max(start - _ALIGNED * most, 0) : start] = True
    beside[stop : stop + _ALIGNED * most] = True
    likeness = np.zeros(2 * most + 1)
    power = np.zeros(2 * most + 1)
    for known, moved in zip(samples * beside, wide, strict=True):
        likeness += scipy.signal.fftconvolve(moved, known[::-1], "valid")
        power += scipy.signal.fftconvolve(moved**2, beside[::-1].astype(np.float32), "valid")
    move = int(np.argmax(likeness / np.sqrt(np.maximum(power, 1e-9))))
    return np.ascontiguousarray(wide[:, move : move + samples.shape[1]])


def _read_padded(source: AudioSource, start: int, stop: int) -> FloatArray:
    read = source.read(max(start, 0), min(stop, source.frames))
    return np.pad(read, ((0, 0), (max(-start, 0), max(stop - max(start, 0) - read.shape[1], 0))))


def in_gap(near: Neighbourhood, frames: Frames) -> NDArray[np.bool_]:
    """True for the windows that hold any of the gap."""
    first = np.arange(frames.count(near.samples.shape[1])) * frames.hop
    return (first + 2 * frames.hop > near.start) & (first < near.stop)


def from_other_channel(near: Neighbourhood, samples: FloatArray, channel: int, rate: int) -> FloatArray:
    """The gap's samples where only `channel` of two is gone, float32 (channels, frames).

    What of it the other channel predicts comes from that; what it does not, from the passage.

    Args:
        near: the gap, with a passage or without.
        samples: as `near.samples`, with the other channel as it is in the gap.
        channel: that is gone.
        rate: in Hz.
    """
    start, stop, other = near.start, near.stop, 1 - channel
    known = samples[other].astype(np.float64)
    guess = known * 0
    beside = np.r_[
        max(start - round(_FITTED_S * rate), 0) : start,
        stop : min(stop + round(_FITTED_S * rate), samples.shape[1]),
    ]
    filter_ = _between(known, samples[channel].astype(np.float64), beside)
    guess = np.convolve(known, filter_, "same")
    if near.passage is not None:
        passage = near.passage.astype(np.float64)
        guess = guess + passage[channel] - np.convolve(passage[other], filter_, "same")
    whole = samples.astype(np.float32).copy()
    whole[channel, start:stop] = guess[start:stop]
    joined = Neighbourhood(whole, start, stop, whole)
    made = filled(joined, rate)
    made[other] = samples[other, start:stop]
    return made


def _between(known: Float64Array, sought: Float64Array, beside: NDArray[np.int64]) -> Float64Array:
    """The short filter that makes most of one channel from the other, by what stands beside the gap."""
    half = _TAPS // 2
    padded = np.pad(known, half)
    rows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)[beside][:, ::-1]
    squares = rows.T @ rows
    squares += np.eye(len(squares)) * (1e-5 * np.trace(squares) / len(squares) + 1e-12)
    return np.asarray(np.linalg.solve(squares, rows.T @ sought[beside]), np.float64)
