"""Highs that end early, made anew: the envelope network says how loud and how noise-like they would be.

What is there is left as it is. Above the end, what lies below it is copied up (`copy_up`) to the levels that
the network tells (`envelope`), as far as they are missing: a slope that falls slowly is raised first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.highs import measure_highs
from mixagent.pipeline.restoration.artefacts import calmed
from mixagent.pipeline.restoration.band_levels import (
    BIN_HZ,
    CENTRES_HZ,
    STEP,
    WINDOW,
    long_term_db,
    powers_of,
    spectra_of,
)
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.copy_up import (
    Target,
    between,
    bins_of,
    grown,
    signals_of,
    sounding,
    sources_of,
)
from mixagent.pipeline.restoration.envelope import (
    MARGIN_S,
    PIECE_S,
    envelope,
    song_power,
    spooled,
)
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress

TOP_HZ = 20000.0
LATEST_HZ = 15000.0
"""Highs that reach further end where many finished songs' do."""

LEAST_DROP_DB = 20.0
"""The level falls by so much over an eighth of an octave where something was cut off; music's own by less."""

LEAST_FALL_DB = 30.0
"""The same over a quarter of an octave, for edges that are ragged."""

_REACH_DB = 12.0
_LEAST_OCTAVES = 0.1
_FALLING_HZ = 14000.0
_LIFT_DB, _NO_LIFT_DB = 9.0, 18.0
_SPARSE_DB = 12.0
_NEAR = 4
_MAKING = 0.8


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """Highs that end in a cliff where music's own do not."""
    highs = measure_highs(source)
    progress(0.4)
    room_hz = min(TOP_HZ, source.rate / 2)
    if not highs.cliff or highs.end_hz * 2**_LEAST_OCTAVES > room_hz:
        return None
    power, reference = song_power(source, lambda share: progress(0.4 + 0.6 * share))
    reach_hz, drop_db, fall_db = _edge(power, highs.end_hz)
    if reach_hz > LATEST_HZ or (drop_db < LEAST_DROP_DB and fall_db < LEAST_FALL_DB):
        return None
    return Found(
        f"The highs end at {highs.end_hz / 1000:.1f} kHz.",
        {"end_hz": highs.end_hz, "drop_db": fall_db},
        {"end_hz": highs.end_hz, "density": reference},
    )


def _edge(power: Float64Array, end_hz: float) -> tuple[float, float, float]:
    """How far up a mean spectrum is hardly under what it is just below an end, and its drops from there over
    an eighth and over a quarter of an octave.
    """
    level_db = 10 * np.log10(_around(power[None])[0] + 1e-30)
    hz = np.arange(power.size) * BIN_HZ

    def typical_db(low: float, high: float) -> float:
        return float(np.median(level_db[(hz > low * end_hz) & (hz < high * end_hz)]))

    reach_hz = float(hz[level_db > typical_db(0.85, 0.97) - _REACH_DB].max(initial=end_hz))
    at_db = typical_db(0.93, 0.99)
    return reach_hz, at_db - typical_db(1.06, 1.12), at_db - typical_db(1.15, 1.25)


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source with highs above its end."""
    end_hz, reference = float(found.details["end_hz"]), float(found.details["density"])

    def make(number: int, piece: FloatArray) -> FloatArray:
        return extended(piece, end_hz, reference, number * PIECE_S - MARGIN_S)

    audio: AudioSource = spooled(
        source, make, scratch / "extended.f32", lambda share: progress(_MAKING * share)
    )
    audio = calmed(audio, end_hz, scratch, lambda share: progress(_MAKING + (1 - _MAKING) * share))
    why = f"Highs from {end_hz / 1000:.1f} kHz on were made anew."
    return Restored(audio, True, why, found.values)


Told = Callable[[FloatArray, float, FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class _Shares:
    """By bin, (2, 1, bins): by what to raise what is there, and the share of the target still missing."""

    lift: FloatArray
    missing: FloatArray


def extended(
    piece: FloatArray, end_hz: float, reference: float, second: int, told: Told | None = None
) -> FloatArray:
    """What a piece lacks above an end, mid and side (2, frames) at 44.1 kHz.

    Args:
        piece: mid and side.
        end_hz: where its highs end.
        reference: the song's density.
        second: of the song, at which the piece begins.
        told: gives the levels and the flatness of what is to be there, as `envelope`, the default, does.
    """
    spectra = spectra_of(piece)
    power = powers_of(spectra)
    read = power[:, ::STEP]
    gone = end_hz < CENTRES_HZ
    mask = np.broadcast_to(gone[None, :, None], (2, gone.size, read.shape[1])).astype(np.float32)
    levels_db, flatness_db = (told or envelope)(read, reference, mask)
    levels_db = _falling(levels_db, gone & (CENTRES_HZ > _FALLING_HZ))
    windows = power.shape[1]
    hz = np.arange(WINDOW // 2 + 1) * BIN_HZ
    above = (hz > end_hz) & (hz < TOP_HZ)
    target = Target(
        bins_of(between(levels_db, windows, STEP)) * np.float32(reference) * above * sounding(power),
        between(flatness_db, windows, STEP),
    )
    shares = _shares(power, target.power)
    made = grown(spectra, power, sources_of(above), target, second)
    added = made * np.sqrt(shares.missing) + spectra * ((shares.lift - 1) * above)
    return signals_of(np.asarray(added, np.complex64), piece.shape[1])


def _falling(levels_db: FloatArray, bands: NDArray[np.bool_]) -> FloatArray:
    """Levels whose mean over time does not rise with frequency in the bands: few songs tell of the last."""
    first = max(int(np.argmax(bands)) - 1, 0)
    mean_db = long_term_db(levels_db)[:, first:]
    lower = np.minimum.accumulate(mean_db, axis=1) - mean_db
    falling = levels_db.copy()
    falling[:, first:] += np.asarray(lower, np.float32)[..., None]
    return falling


def _shares(power: FloatArray, wanted: FloatArray) -> _Shares:
    """What to do about each bin, by its mean power over time."""
    # Of a lone blip that a codec left no more counts as there than a peak of noise would.
    have = _around(np.minimum(power, 3 * wanted).mean(axis=1, dtype=np.float64))
    want = np.maximum(wanted.mean(axis=1, dtype=np.float64), 1e-20)
    short_db = 10 * np.log10(want / np.maximum(have, 1e-20))
    sparse_db = 10 * np.log10(power.mean(axis=1) + 1e-20) - (10 * np.log10(power + 1e-20)).mean(axis=1)
    fading = np.clip((_NO_LIFT_DB - short_db) / (_NO_LIFT_DB - _LIFT_DB), 0.0, 1.0)
    lift_db = np.clip(short_db, 0.0, _LIFT_DB) * fading * (_around(sparse_db) < _SPARSE_DB)
    lifted = have * 10 ** (lift_db / 10)
    missing = np.clip(1 - lifted / want, 0.0, 1.0)
    return _Shares(
        np.asarray(10 ** (lift_db / 20), np.float32)[:, None], np.asarray(missing, np.float32)[:, None]
    )


def _around(values: Float64Array) -> Float64Array:
    """The mean over the neighbouring bins."""
    kernel = np.ones(2 * _NEAR + 1) / (2 * _NEAR + 1)
    padded = np.pad(values, ((0, 0), (_NEAR, _NEAR)), mode="edge")
    return np.stack([np.convolve(row, kernel, "valid") for row in padded])
