"""Dynamics that a limiter crushed, given back by a course of gains.

A limited song gives itself away by peaks that crowd at one level. Boosted trees (`trees`) read what that
looks like around each hop of 3 ms (`limiter_traces`) and say by how much the limiter held it down;
`scripts/train_delimiter.py` grew them. The gains are at least 0 dB, so peaks may lie above full scale:
the finaliser has the last word on those.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mixagent.pipeline.decibels import amplitude_to_db, amplitudes_to_db, db_to_amplitude
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.trees import Trees
from mixagent.pipeline.restoration.base import Found, NotFiniteError, Restored
from mixagent.pipeline.restoration.limiter_traces import (
    AT_CEILING_DB,
    CEILING_SHARE,
    HOP_S,
    hop_peaks,
    traces,
)
from mixagent.pipeline.types import AudioSource, FloatArray, Progress, blocks, spool

LEAST_CREST_DB = 4.5
"""Under it lie tones and square waves, whose peaks are alike by nature; crushed music has more."""

OPENS_SHARE = 0.025
"""Share of the sounding hops at the ceiling from which on a song counts as crushed: 95 of 100 finished songs
lie under it, and nearly all that stood 9 dB over a limiter's ceiling over it."""

FULL_SHARE = 0.06
"""From here on the repair is applied in full."""

TRUSTED = 0.85
"""Share of the gain found that is given: at all of it some songs end further from what they were."""

MOST_DB = 15.0
STRETCH_HOPS = 1728
_STEP_HOPS = STRETCH_HOPS // 2
_LOWEST_DBFS, _HIGHEST_DBFS, _BINS_PER_DB = -80.0, 40.0, 50
_SOUNDING_DB = -40.0
_READ_SHARE = 0.8


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """Peaks that crowd at the song's ceiling."""
    if analysis.crest_db < LEAST_CREST_DB:
        return None
    ceiling, share = _crowding(source, progress)
    if share < OPENS_SHARE:
        return None
    amount = min((share - OPENS_SHARE) / (FULL_SHARE - OPENS_SHARE), 1.0)
    values = {
        "share_at_ceiling": share,
        "ceiling_dbfs": amplitude_to_db(ceiling),
        "plr_db": analysis.plr_db,
        "crest_db": analysis.crest_db,
    }
    why = f"Peaks stand at one ceiling for {share:.0%} of the time: a limiter holds the song down."
    return Found(why, values, {"ceiling": ceiling}, amount)


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source with what its limiter took given back; peaks may lie above full scale."""
    trees = Trees.read(checkpoint_folder("delimiter"))
    gains_db = gain_course(source, float(found.details["ceiling"]), trees, progress)
    if not np.isfinite(gains_db).all():
        raise NotFiniteError
    audio = spool(
        _raised(source, gains_db, progress), scratch / "delimited.f32", source.rate, source.channels
    )
    values = {
        **found.values,
        "gain_mean_db": float(gains_db.mean()),
        "gain_p95_db": float(np.quantile(gains_db, 0.95)),
    }
    why = f"Peaks were given back up to {values['gain_p95_db']:.1f} dB (95 % of the time less)."
    return Restored(audio, True, why, values)


def gain_course(source: AudioSource, ceiling: float, trees: Trees, progress: Progress) -> FloatArray:
    """The gain in dB ≥ 0 of each hop, float32 (hops,): stretches of 5 s that fade into each other."""
    hop = HOP_S * source.rate
    count = max(int(np.ceil(source.frames / hop)), 1)
    gains_db, weights = np.zeros(count, np.float32), np.zeros(count, np.float32)
    # At the ends of a stretch the traces see half of their surroundings.
    fade = np.minimum(np.arange(1, STRETCH_HOPS + 1), np.arange(STRETCH_HOPS, 0, -1)).astype(np.float32)
    for first in range(0, max(count - _STEP_HOPS, 1), _STEP_HOPS):
        stop = min(first + STRETCH_HOPS, count)
        samples = source.read(int(first * hop), int(stop * hop))
        if samples.shape[1] and np.any(samples):
            read_db = trees(traces(samples, source.rate, ceiling))[: stop - first]
            here = slice(first, first + len(read_db))
            gains_db[here] += fade[: len(read_db)] * read_db
            weights[here] += fade[: len(read_db)]
        progress(_READ_SHARE * stop / count)
    course_db: FloatArray = np.clip(TRUSTED * gains_db / np.maximum(weights, 1e-9), 0.0, MOST_DB)
    return course_db


def _raised(source: AudioSource, gains_db: FloatArray, progress: Progress) -> Iterator[FloatArray]:
    centres = (np.arange(len(gains_db)) + 0.5) * (HOP_S * source.rate)
    start = 0
    for block in blocks(source):
        stop = start + block.shape[1]
        course_db = np.interp(np.arange(start, stop), centres, gains_db)
        yield block * db_to_amplitude(course_db).astype(np.float32)
        start = stop
        progress(_READ_SHARE + (1 - _READ_SHARE) * stop / source.frames)


def _crowding(source: AudioSource, progress: Progress) -> tuple[float, float]:
    """The song's ceiling, linear, and the share of its sounding hops whose peaks are at it."""
    edges = np.arange(_LOWEST_DBFS, _HIGHEST_DBFS + 1e-9, 1 / _BINS_PER_DB)
    counts = np.zeros(len(edges) - 1, np.int64)
    length = int(STRETCH_HOPS * HOP_S * source.rate)
    for start in range(0, source.frames, length):
        samples = source.read(start, start + length)
        peaks = hop_peaks(samples, source.rate).max(axis=0)
        peaks_db = amplitudes_to_db(np.maximum(peaks, 1e-9))
        counts += np.histogram(np.minimum(peaks_db, _HIGHEST_DBFS - 1e-3), edges)[0]
        progress(min(start + length, source.frames) / source.frames)
    if not counts.any():
        return 0.0, 0.0
    ceiling_db = float(edges[np.searchsorted(np.cumsum(counts), CEILING_SHARE * counts.sum())])
    at = counts[edges[:-1] > ceiling_db - AT_CEILING_DB].sum()
    sounding = counts[edges[:-1] > ceiling_db + _SOUNDING_DB].sum()
    return float(db_to_amplitude(ceiling_db)), float(at / max(sounding, 1))
