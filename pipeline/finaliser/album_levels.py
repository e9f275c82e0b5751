"""Levels and tone of an album: one loudness for all, the songs' levels among each other, a similar tone.

An album is normalised as a whole by players that keep to it (AES TD1008): the quiet songs stay as far
below the loud ones as they were made. So the album gets one target and its songs what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude, power_to_db
from mixagent.pipeline.dsp.equaliser import BANDS_HZ
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.analysis import MidSideSpectrum, third_octaves_db
from mixagent.pipeline.measure.meters import programme_loudness
from mixagent.pipeline.types import AudioSource, Float64Array, blocks

BOUND_LU = 6.0
"""The distance in LU that a song may have from the album's loudness unless another bound is given.

On 21 finished soundtracks (`scripts/measure_albums.py`) the quietest song lay 0.9 to 6.2 LU below the
album's loudness and the loudest 0.5 to 4.9 LU above it: a record is made within this.
"""

TONE_SHARE = 1 / 3
"""Share of its way to the album's mean tone that a song goes unless another is given."""

MOST_TONE_DB = 1.5
"""Most that a band is moved."""

BOTH_SPEAKERS_LU = power_to_db(2)
"""By how much a mono song is louder on the two loudspeakers of a stereo album than BS.1770 has it."""

SHORTEST_TONE_S = 5.0
"""A song of less has no tone of its own."""

SILENT_DBFS = -60.0
"""Sound under this level between two songs counts as their pause."""

_LEAST_MOVE_DB = 0.1
_OTHER_BAND_DB = 15.0
"""A band that differs by more is one that the song does not have, or nothing but."""

_SMOOTHING = (0.25, 0.5, 0.25)
_EMPTY_DB = -110.0
_SEARCH_STEPS = 40


def kept_offset_lu(offset_lu: float, bound_lu: float) -> float:
    """A song's level against its album, held within ± the bound.

    Up to half of the bound it stays as it is; from there on it bends towards the bound (a hyperbolic
    tangent, without a corner), so that of two songs the quieter one is always the quieter one.
    """
    knee = bound_lu / 2
    beyond = abs(offset_lu) - knee
    if beyond <= 0 or knee == 0:
        return offset_lu if knee else 0.0
    return math.copysign(knee + knee * math.tanh(beyond / knee), offset_lu)


@dataclass(frozen=True)
class SongLevel:
    """The level of one song in its album.

    Attributes:
        target_lufs: integrated loudness of its master.
        moved_lu: by how much it comes nearer to the album than the songs whose levels are kept.
    """

    target_lufs: float
    moved_lu: float


def song_levels(
    own_lufs: Sequence[float],
    sources: Sequence[Float64Array],
    target_lufs: float,
    bound_lu: float = BOUND_LU,
) -> list[SongLevel]:
    """The level of each song with which the album has the target's loudness, gated over all of it.

    The songs keep their levels against each other, and none lies further from the target than the bound.

    Args:
        own_lufs: integrated loudness of each song as it came; finite.
        sources: `momentary_lufs` of what each song's master is made of, at any level.
        target_lufs: of the album.
        bound_lu: 0 makes all songs equally loud.
    """
    levels = [programme_loudness([source]) for source in sources]

    def targets(anchor_lufs: float) -> list[float]:
        return [target_lufs + kept_offset_lu(lufs - anchor_lufs, bound_lu) for lufs in own_lufs]

    def album_lufs(anchor_lufs: float) -> float:
        songs = zip(sources, levels, targets(anchor_lufs), strict=True)
        return programme_loudness([source + (wanted - level) for source, level, wanted in songs])

    low, high = min(own_lufs, default=0.0) - bound_lu, max(own_lufs, default=0.0) + bound_lu
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if album_lufs(middle) < target_lufs else (middle, high)
    pairs = zip(own_lufs, targets(low), strict=True)
    return [SongLevel(wanted, wanted - target_lufs - (lufs - low)) for lufs, wanted in pairs]


def tone_db(source: AudioSource) -> Float64Array:
    """Mean level of a source in each band of the equaliser, in dB around their mean; NaN where it is empty.

    A band's level is the mean over its third octaves in dB, of mid and side together.
    """
    spectrum = MidSideSpectrum(source.rate)
    for block in blocks(source):
        left, right = block[0], block[-1]
        spectrum.update(np.stack([(left + right) * np.float32(0.5), (left - right) * np.float32(0.5)]))
    power = spectrum.mean_power(source.frames).sum(axis=0)
    octaves = np.array(third_octaves_db(power, source.rate))
    octaves[octaves < _EMPTY_DB] = np.nan
    centres = np.array(THIRD_OCTAVES_HZ)
    inside = [octaves[(centres >= low) & (centres < high)] for low, high in BANDS_HZ]
    levels = np.array([np.nan if np.isnan(band).any() else band.mean() for band in inside])
    return np.asarray(levels - np.nanmean(levels)) if np.isfinite(levels).any() else levels


def silences_s(source: AudioSource, floor_db: float = SILENT_DBFS) -> tuple[float, float]:
    """Seconds at the start and at the end in which no sample rises over the floor (dB re full scale)."""
    floor, first, last, start = db_to_amplitude(floor_db), source.frames, 0, 0
    for block in blocks(source):
        loud = np.flatnonzero(np.abs(block).max(axis=0) > floor)
        if loud.size:
            first, last = min(first, start + int(loud[0])), start + int(loud[-1]) + 1
        start += block.shape[1]
    return first / source.rate, (source.frames - last) / source.rate


def tone_moves_db(
    tones: Sequence[Float64Array], share: float = TONE_SHARE, most_db: float = MOST_TONE_DB
) -> list[Float64Array]:
    """By how much each band of each song goes towards the mean of all songs.

    What differs is smoothed over neighbouring bands, so that a tilt and wide humps are left of it. A
    band that some song does not have is moved in no song.

    Args:
        tones: of each song, shape (bands,), as `tone_db`.
        share: 0 to 1, of the way to the mean.
        most_db: bound of each band's move.
    """
    if len(tones) < 2:
        return [np.zeros(len(BANDS_HZ)) for _ in tones]
    mean = np.mean(tones, axis=0)
    return [_move_db(mean - tone, share, most_db) for tone in tones]


def _move_db(away_db: Float64Array, share: float, most_db: float) -> Float64Array:
    there = np.isfinite(away_db) & (np.abs(away_db) <= _OTHER_BAND_DB)
    moves = np.zeros(away_db.size)
    if not there.any():
        return moves
    padded = np.pad(away_db[there], 1, mode="edge")
    smooth = np.convolve(padded, _SMOOTHING, "valid")
    moves[there] = np.clip(share * (smooth - smooth.mean()), -most_db, most_db)
    moves[np.abs(moves) < _LEAST_MOVE_DB] = 0.0
    return np.round(moves, 2)
