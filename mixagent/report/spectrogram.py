"""Spectrograms of a song before and after, and of what was added and taken, as PNG images in data URIs.

Both are brought to one loudness first. Rows are logarithmic bands, so that pink noise is of one colour.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mixagent.pipeline.types import AudioSource, Float64Array

Levels = NDArray[np.uint8]

LOW_HZ, HIGH_HZ = 30.0, 20_000.0
COLUMNS, ROWS = 480, 144

RANGE_DB = 48.0
"""A level further under the loudest band is drawn as silence."""

CHANGE_DB = 12.0
"""A change from here on has the full colour."""

FRAME = 4096
"""Samples that are transformed at a time, for a picture of a whole song."""

_FRAMES_PER_COLUMN = 3
_STEPS = 32
_LOUDEST_PERCENT = 99.5
_FLOOR = 1e-14
_NOTHING_DB = 0.5


@dataclass(frozen=True)
class Spectrograms:
    """Images of one size, as data URIs.

    Attributes:
        before, after: levels, of one scale.
        change: what was added and taken, on a transparent ground.
        is_changed: whether anything of that can be seen.
    """

    before: str
    after: str
    change: str
    is_changed: bool


def spectrograms(
    before: AudioSource, after: AudioSource, lufs: tuple[float, float], frame: int = FRAME
) -> Spectrograms | None:
    """The images; None where either side is silent or shorter than a frame.

    Args:
        before, after: of one length in seconds.
        lufs: integrated loudness of both; −inf for silence.
        frame: samples that are transformed at a time.
    """
    seconds = min(source.frames / source.rate for source in (before, after))
    if not all(map(math.isfinite, lufs)) or min(before.frames, after.frames) < frame:
        return None
    levels = [
        band_levels_db(source, seconds, frame) - loudness
        for source, loudness in zip((before, after), lufs, strict=True)
    ]
    top = max(float(np.percentile(level, _LOUDEST_PERCENT)) for level in levels)
    drawn = [np.clip((level - top) / RANGE_DB + 1, 0.0, 1.0) for level in levels]
    # What is faint on both sides is not heard, however much it changed.
    heard = np.maximum(*drawn)
    change = np.clip((levels[1] - levels[0]) / CHANGE_DB, -1.0, 1.0) * np.clip(4 * heard, 0.0, 1.0)
    change[np.abs(change) < _NOTHING_DB / CHANGE_DB] = 0.0
    old, new = (_uri(_steps(image, len(_LEVEL_COLOURS)), _LEVEL_COLOURS) for image in drawn)
    return Spectrograms(
        old,
        new,
        _uri(_steps((change + 1) / 2, len(_CHANGE_COLOURS)), _CHANGE_COLOURS),
        is_changed=bool(change.any()),
    )


def band_levels_db(source: AudioSource, seconds: float, frame: int = FRAME) -> Float64Array:
    """Level in dB of each band in each column, shape (ROWS, COLUMNS), the highest band first."""
    window = np.hanning(frame)
    edges = np.geomspace(LOW_HZ, HIGH_HZ, ROWS + 1) * frame / source.rate
    columns = np.empty((ROWS, COLUMNS))
    last = source.frames - frame
    for column in range(COLUMNS):
        parts = (column + (np.arange(_FRAMES_PER_COLUMN) + 0.5) / _FRAMES_PER_COLUMN) / COLUMNS
        starts = np.clip((parts * seconds * source.rate).astype(int) - frame // 2, 0, last)
        first = int(starts[0])
        audio = np.asarray(source.read(first, int(starts[-1]) + frame), np.float64)
        frames = np.stack([audio[:, start - first : start - first + frame] for start in starts])
        power = (np.abs(scipy.fft.rfft(frames * window, axis=-1)) ** 2).mean(axis=(0, 1))
        columns[:, column] = _band_power(power, edges)
    return np.asarray(10 * np.log10(columns[::-1] / window.sum() ** 2 + _FLOOR))


def _band_power(power: Float64Array, edges: Float64Array) -> Float64Array:
    """Power between the edges, in bins; a band narrower than a bin has its share of it."""
    summed = np.concatenate([[0.0], np.cumsum(power)])
    return np.diff(np.interp(edges + 0.5, np.arange(len(summed)), summed))


def _steps(image: Float64Array, steps: int) -> Levels:
    return np.round(image * (steps - 1)).astype(np.uint8)


def png(levels: Levels, colours: NDArray[np.uint8]) -> bytes:
    """A PNG of indexed colours.

    Args:
        levels: shape (rows, columns), indices of colours.
        colours: red, green, blue and opacity of each, shape (up to 256, 4).
    """
    rows, columns = levels.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), levels], axis=1).tobytes()
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", colours[:, :3].tobytes()),
            _chunk(b"tRNS", colours[:, 3].tobytes()),
            _chunk(b"IDAT", zlib.compress(lines, 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _uri(levels: Levels, colours: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png(levels, colours)).decode("ascii")


def _ramp(stops: list[tuple[float, tuple[int, int, int, int]]], steps: int = _STEPS) -> NDArray[np.uint8]:
    places, colours = zip(*stops, strict=True)
    at = np.linspace(0.0, 1.0, steps)
    mixed = [np.interp(at, places, [colour[k] for colour in colours]) for k in range(4)]
    return np.stack(mixed, axis=1).round().astype(np.uint8)


# From dark blue over grey to yellow, as the map cividis: its lightness alone tells the level, so it reads
# alike with every kind of colour vision.
_LEVEL_COLOURS = _ramp(
    [
        (0.0, (0, 32, 77, 255)),
        (0.25, (64, 77, 108, 255)),
        (0.5, (124, 123, 120, 255)),
        (0.75, (188, 175, 111, 255)),
        (1.0, (255, 234, 70, 255)),
    ]
)
_TAKEN, _ADDED = (201, 106, 18), (20, 128, 146)
_CHANGE_COLOURS = np.concatenate(
    [
        _ramp([(0.0, (*_TAKEN, 255)), (1.0, (*_TAKEN, 0))], _STEPS // 2),
        _ramp([(0.0, (*_ADDED, 0)), (1.0, (*_ADDED, 255))], _STEPS // 2 + 1),
    ]
)
