"""The pitch of a voice over time, by the network SwiftF0 (arXiv 2508.18440).

Pitch is in cents above A1 (55 Hz). The network reads the mono sum at 16 kHz, a frame every 16 ms, and says
how sure it is; a frame in which it is not is without a pitch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr

from mixagent.pipeline.types import AudioSource, Float64Array, Progress, blocks

FRAME_S = 0.016
REFERENCE_HZ = 55.0

_RATE = 16000
_LOWEST_HZ, _HIGHEST_HZ = 65.0, 1400.0
_SURE = 0.5
_LEVEL_DBFS = -20.0
_GREATEST_GAIN = 100.0


@dataclass(frozen=True)
class PitchTrack:
    """The pitch of a voice in frames of `FRAME_S`, whose middles are at `times_s`.

    Attributes:
        hz: the pitch, NaN where none is sung.
        confidence: how sure the network is of a pitch, 0..1.
        level_db: level of the frame in dBFS.
    """

    hz: Float64Array
    confidence: Float64Array
    level_db: Float64Array

    @property
    def times_s(self) -> Float64Array:
        """The middle of each frame in seconds."""
        return np.arange(len(self.hz), dtype=np.float64) * FRAME_S

    @property
    def cents(self) -> Float64Array:
        """The pitch in cents above `REFERENCE_HZ`, NaN where none is sung."""
        return np.asarray(1200 * np.log2(self.hz / REFERENCE_HZ), np.float64)


def track_pitch(source: AudioSource, progress: Progress) -> PitchTrack:
    """The pitch of a source of any rate.

    Its level does not matter: the network hears it with its loudest second at −20 dBFS.
    """
    from swift_f0 import SwiftF0, concat

    gain = _gain(source)
    stream = SwiftF0(threads=1).stream(_LOWEST_HZ, _HIGHEST_HZ)
    resampler = soxr.ResampleStream(source.rate, _RATE, 1, dtype="float32")
    parts, done = [], 0
    for block in blocks(source):
        heard = np.nan_to_num(block.mean(0) * np.float32(gain), posinf=0.0, neginf=0.0)
        parts.append(stream.push(resampler.resample_chunk(heard), _RATE))
        done += block.shape[1]
        progress(done / source.frames)
    parts.append(stream.push(resampler.resample_chunk(np.zeros(0, np.float32), last=True), _RATE))
    parts.append(stream.flush())
    found = concat(parts)
    sung = found.confidence >= _SURE
    return PitchTrack(
        np.where(sung, found.pitch_hz, np.nan), found.confidence, found.loudness_db - 20 * math.log10(gain)
    )


def _gain(source: AudioSource) -> float:
    """The gain that brings the loudest second to −20 dBFS."""
    loudest = 0.0
    for block in blocks(source, source.rate):
        power = float(np.square(np.nan_to_num(block), dtype=np.float64).mean()) if block.size else 0.0
        loudest = max(loudest, power)
    if loudest <= 0.0:
        return 1.0
    return min(10 ** (_LEVEL_DBFS / 20) / math.sqrt(loudest), _GREATEST_GAIN)
