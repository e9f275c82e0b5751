"""Tunes a voice hard: its pitch is snapped to the nearest semitone at once, as by a corrector at speed 0.

    python scripts/hard_tune.py VOICE.wav -o TUNED.wav [--detune-cents 0]

The voice is read from a delay line at a varying speed. Where the line has run ahead or behind by a period,
it jumps back by whole periods, by the best-matching lag and with a crossfade, as the first correctors did.
Length and timing stay (to half a period). The benchmark of voices makes its tuned ones by this.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from numba import njit

from mixagent.pipeline.dsp.delay_line import read_between
from mixagent.pipeline.measure.pitch import FRAME_S, PitchTrack, track_pitch
from mixagent.pipeline.types import Audio, Float64Array

_HYSTERESIS_CENTS = 70.0
"""Distance from the semitone that sounds at which another one is taken."""

_BLOCK = 256
_SURE = 0.6


def main() -> None:
    """Read the command line, tune, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("voice", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--detune-cents", type=float, default=0.0, help="of the scale that it is tuned to")
    arguments = parser.parse_args()
    samples, rate = soundfile.read(arguments.voice, dtype="float32", always_2d=True)
    tuned = hard_tuned(Audio(np.ascontiguousarray(samples.T), rate), arguments.detune_cents)
    soundfile.write(arguments.output, tuned.samples.T, rate, subtype="FLOAT")


def hard_tuned(voice: Audio, detune_cents: float = 0.0) -> Audio:
    """The voice on the semitones of equal temperament, `detune_cents` off those of A = 440 Hz."""
    track = track_pitch(voice, lambda _: None)
    ratios = 2 ** (_corrections(track, detune_cents) / 1200)
    pitched = np.nan_to_num(track.hz, nan=0.0)
    blocks = np.arange(-(-voice.frames // _BLOCK)) * _BLOCK / voice.rate
    speeds = np.interp(blocks, track.times_s, ratios)
    nearest = np.clip(np.round(blocks / FRAME_S).astype(int), 0, len(pitched) - 1)
    with np.errstate(divide="ignore"):
        periods = np.where(pitched[nearest] > 0, voice.rate / pitched[nearest], 0.0)
    positions, jumped = _positions(voice.samples.mean(0, dtype=np.float64), speeds, periods)
    out = read_between(voice.samples, positions[0])
    fading = jumped > 0
    if fading.any():
        gone = read_between(voice.samples, positions[1][fading])
        share = jumped[fading].astype(np.float32)
        out[:, fading] = out[:, fading] * (1 - share) + gone * share
    return Audio(out, voice.rate)


def _corrections(track: PitchTrack, detune_cents: float) -> Float64Array:
    """Cents from the pitch to the semitone that it is snapped to, a frame each; 0 where none is sung."""
    cents = track.cents - detune_cents
    moves = np.zeros(len(cents))
    held = np.nan
    for frame, now in enumerate(cents):
        if not np.isfinite(now) or track.confidence[frame] < _SURE:
            held = np.nan
            continue
        if not np.isfinite(held) or abs(now - held) > _HYSTERESIS_CENTS:
            held = 100 * np.round(now / 100)
        moves[frame] = held - now
    return moves


@njit(cache=True)
def _positions(
    mono: Float64Array, speeds: Float64Array, periods: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Positions to read at (2, frames), the second those left by a jump, and the second's share."""
    frames = mono.size
    positions = np.zeros((2, frames))
    share = np.zeros(frames)
    place, left, fade, length = 0.0, 0.0, 0, 1
    for n in range(frames):
        block = n // 256
        period, speed = periods[block], speeds[block]
        drift = place - n
        if fade == 0 and period == 0.0 and drift != 0.0:
            # Where nothing is sung the line comes back to its place at once, under a short fade.
            left, place, fade, length = place, float(n), 256, 256
        elif fade == 0 and period > 0.0 and abs(drift) > period:
            towards = -1.0 if drift > 0 else 1.0
            lag = _best_lag(mono, int(place), period, towards)
            left, place = place, place + towards * lag
            length = int(period)
            fade = length
        positions[0, n] = place
        if fade > 0:
            positions[1, n] = left
            share[n] = fade / (length + 1.0)
            fade -= 1
            left += speed
        place += speed
    return positions, share


@njit(cache=True)
def _best_lag(mono: Float64Array, place: int, period: float, towards: float) -> float:
    """The lag near a period at which what follows is most like what was left."""
    size = int(period)
    best, best_lag = -2.0, period
    for lag in range(int(period * 0.9), int(period * 1.1) + 2):
        start = place + int(towards) * lag
        if start < 0 or start + size > mono.size or place < 0 or place + size > mono.size:
            continue
        one, two = mono[place : place + size], mono[start : start + size]
        match = (one * two).sum() / np.sqrt((one * one).sum() * (two * two).sum() + 1e-20)
        if match > best:
            best, best_lag = match, float(lag)
    return best_lag


if __name__ == "__main__":
    main()
