"""The sound of the page's player: MP3 bytes and the outline of its waveform."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from mixagent.pipeline.types import BLOCK_FRAMES, AudioSource, FloatArray

LONGEST_S = 360.0
"""Longest excerpt that the page embeds: two sides at this bitrate come to about 19 MB as base64."""

BITRATE_KBPS = 160
_LISTENING_RATES = (44_100, 48_000)


@dataclass(frozen=True)
class Excerpt:
    """The part of a song that the player holds, in seconds."""

    start_s: float
    stop_s: float
    whole: bool

    def frames(self, rate: int) -> tuple[int, int]:
        """First frame and the frame after the last one at `rate` Hz."""
        return round(self.start_s * rate), round(self.stop_s * rate)


def choose_excerpt(
    duration_s: float, short_term_lufs: Sequence[float | None], longest_s: float = LONGEST_S
) -> Excerpt:
    """The whole song, or the `longest_s` of a longer one with the most energy.

    Args:
        duration_s: the song's length in seconds.
        short_term_lufs: short-term loudness once a second, `None` where there is none.
        longest_s: whole seconds, two or more.
    """
    if duration_s <= longest_s:
        return Excerpt(0.0, duration_s, whole=True)
    window = int(longest_s)
    power = np.array([0.0 if lufs is None else 10 ** (lufs / 10) for lufs in short_term_lufs])
    sums = np.convolve(power, np.ones(window), mode="valid") if power.size >= window else np.zeros(1)
    start_s = min(float(np.argmax(sums)), duration_s - longest_s)
    return Excerpt(start_s, start_s + longest_s, whole=False)


def listening_rate(rate: int) -> int:
    """The rate in Hz at which a source of `rate` Hz is embedded: 44.1 or 48 kHz."""
    if rate in _LISTENING_RATES:
        return rate
    return 44_100 if rate % 11_025 == 0 else 48_000


def mp3(source: AudioSource, excerpt: Excerpt, rate: int, kbps: int = BITRATE_KBPS) -> bytes:
    """The excerpt as MP3 at `rate` Hz and `kbps`, mono or stereo (the front pair of anything wider).

    Both sides of a comparison must have the same `rate`, so that the codec delays them alike.
    """
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer,
        "w",
        samplerate=rate,
        channels=min(source.channels, 2),
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=(320 - kbps) / (320 - 32),
    ) as file:
        for block in _resampled(source, excerpt, rate):
            file.write(block)
    return buffer.getvalue()


def _resampled(source: AudioSource, excerpt: Excerpt, rate: int) -> Iterator[FloatArray]:
    """Blocks of shape (frames, channels), as soundfile and soxr want them."""
    start, stop = excerpt.frames(source.rate)
    channels = min(source.channels, 2)
    stream = soxr.ResampleStream(source.rate, rate, channels, dtype="float32")
    for at in range(start, stop, BLOCK_FRAMES):
        block = np.ascontiguousarray(source.read(at, min(at + BLOCK_FRAMES, stop))[:channels].T)
        last = at + BLOCK_FRAMES >= stop
        yield block if source.rate == rate else stream.resample_chunk(block, last=last)


def peaks(source: AudioSource, excerpt: Excerpt, columns: int) -> tuple[NDArray[np.float32], ...]:
    """Lowest and highest sample over all channels in each of `columns` equal parts of the excerpt."""
    start, stop = excerpt.frames(source.rate)
    stop = min(stop, source.frames)
    columns = max(min(columns, stop - start), 0)
    edges = np.linspace(start, stop, columns + 1).astype(int)
    parts = [source.read(int(a), int(b)) for a, b in pairwise(edges)]
    low = np.array([part.min() for part in parts], np.float32)
    high = np.array([part.max() for part in parts], np.float32)
    return low, high
