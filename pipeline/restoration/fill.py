"""Spectral holes that stand still and gaps that a codec left, filled again.

A hole is found as a flat dip of the long-term spectrum (`spectral_holes`). Where what lies in it is still the
song, only too soft, it is raised; else what lies below is copied into it. Gaps come and go: the envelope
network judges, cell by cell, where something was taken away, and noise is put there at the levels that it
tells. Above the end of the highs nothing is filled: that is for `bandwidth`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.highs import measure_highs
from mixagent.pipeline.restoration.band_levels import (
    BANDS,
    BIN_HZ,
    CENTRES_HZ,
    EDGES,
    RATE,
    STEP,
    WINDOW,
    levels_db,
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
    count_pieces,
    envelope,
    lacking,
    pieces,
    song_power,
    spooled,
)
from mixagent.pipeline.restoration.spectral_holes import SpectralHole, SpectralHoles, measure_spectral_holes
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, Progress

LOW_HZ, HIGH_HZ = 2000.0, 16000.0
AUDIBLE_DB = -65.0
LEAST_DB, LEAST_HZ = 13.0, 1100.0
"""Shallower and lower dips are an arrangement's own."""

LEAST_GAPS = 0.07
"""Share of the cells that can be heard; finished songs have fewer."""

_SURE = 0.5
# Flatter than noise can be: of a gap's own remains nothing is copied.
_ALL_NOISE_DB = 40.0
_LIFT_DB = 30.0
_SPARSER_DB = 4.0
_EDGE_OCTAVES = 0.04
_NEAR = 4


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """Static holes, or more gaps than finished music has."""
    measured = measure_spectral_holes(source)
    holes = [hole for hole in measured.holes if hole.depth_db > LEAST_DB and hole.centre_hz > LEAST_HZ]
    progress(0.3)
    highs = measure_highs(source)
    progress(0.5)
    end_hz = highs.end_hz if highs.cliff else min(source.rate / 2, HIGH_HZ)
    reference, gaps = _gap_share(source, end_hz, progress)
    if not holes and gaps < LEAST_GAPS:
        return None
    words = _words(holes, gaps)
    details = {
        "holes": [[hole.centre_hz, hole.width_octaves, hole.depth_db] for hole in holes],
        **_missing(measured, holes),
        "gaps": gaps >= LEAST_GAPS,
        "end_hz": end_hz,
        "density": reference,
    }
    values = {"holes": float(len(holes)), "gaps_share": gaps}
    return Found(f"There {words}.", values, details)


def _missing(measured: SpectralHoles, holes: Sequence[SpectralHole]) -> dict[str, list[float]]:
    """Where and by how much the spectrum is to be raised, in the holes that count."""
    octaves = np.log2(measured.hz)
    near = np.zeros(octaves.size, bool)
    for hole in holes:
        near |= np.abs(octaves - np.log2(hole.centre_hz)) < hole.width_octaves / 2 + 2 * _EDGE_OCTAVES
    near &= measured.missing_db > 0
    return {
        "missing_hz": [float(hz) for hz in measured.hz[near]],
        "missing_db": [float(db) for db in measured.missing_db[near]],
    }


def _words(holes: Sequence[SpectralHole], gaps: float) -> str:
    """What there is, after "there"."""
    places = [f"{hole.centre_hz / 1000:.1f}" for hole in holes]
    listed = " and ".join(part for part in (", ".join(places[:-1]), *places[-1:]) if part)
    parts = [f"a hole at {listed} kHz" if len(places) == 1 else f"holes at {listed} kHz"] if places else []
    if gaps >= LEAST_GAPS:
        parts.append(f"gaps in {100 * gaps:.0f} % of the highs")
    return f"{'is' if len(places) == 1 else 'are'} {' and '.join(parts)}"


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source with its holes and gaps filled."""
    details = found.details
    defect = Defect(
        tuple(SpectralHole(*hole) for hole in details["holes"]),
        _missing_db(np.array(details["missing_hz"]), np.array(details["missing_db"])),
        details["end_hz"] if details["gaps"] else 0.0,
    )

    def make(number: int, piece: FloatArray) -> FloatArray:
        return filled(piece, defect, float(details["density"]), number * PIECE_S - MARGIN_S)

    audio = spooled(source, make, scratch / "filled.f32", progress)
    what = found.why.removeprefix("There is ").removeprefix("There are ").rstrip(".")
    return Restored(audio, True, f"Filled: {what}.", found.values)


@dataclass(frozen=True)
class Defect:
    """What a song lacks: its holes, the dB missing by bin, and up to where gaps are filled, 0 for nowhere."""

    holes: tuple[SpectralHole, ...]
    missing_db: Float64Array
    gaps_to_hz: float

    @property
    def hollow(self) -> NDArray[np.bool_]:
        """The bins that lie in a hole."""
        return self.missing_db > 1.0


def _missing_db(hz: Float64Array, missing_db: Float64Array) -> Float64Array:
    if not hz.size:
        return np.zeros(WINDOW // 2 + 1)
    bins_hz = np.arange(WINDOW // 2 + 1) * BIN_HZ
    filled = np.interp(bins_hz, hz, missing_db, 0.0, 0.0)
    # Between two holes nothing is missing: the points there were left out.
    nearest = np.abs(np.log2(np.maximum(bins_hz, 1.0)[:, None] / hz)).min(axis=1)
    return np.where(nearest < _EDGE_OCTAVES, filled, 0.0)


def _judged(read: FloatArray, reference: float, end_hz: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells in which something was taken away, and those that could be judged, (2, BANDS, windows)."""
    inside = (CENTRES_HZ > LOW_HZ) & (min(end_hz / 1.06, HIGH_HZ) > CENTRES_HZ)
    gone = (lacking(read, reference) > _SURE) & inside[None, :, None]
    # A band counts while music is about: its own level says nothing where it is gone.
    lows_db = levels_db(read, reference)[:1, :12].max(axis=1, keepdims=True)
    judged = np.broadcast_to((lows_db > AUDIBLE_DB + 45) & inside[None, :, None], gone.shape)
    return gone & judged, judged


def _gap_share(source: AudioSource, end_hz: float, progress: Progress) -> tuple[float, float]:
    """The song's density, and the share of its cells that are gaps."""
    _, reference = song_power(source, lambda share: progress(0.5 + 0.2 * share))
    gone = judged = 0
    count, margin = count_pieces(source), MARGIN_S * RATE // (WINDOW // 2)
    for number, piece in enumerate(pieces(source)):
        read = powers_of(spectra_of(piece, WINDOW // 2))
        cells, all_cells = _judged(read, reference, end_hz)
        gone += int(cells[..., margin:-margin].sum())
        judged += int(all_cells[..., margin:-margin].sum())
        progress(0.7 + 0.3 * (number + 1) / count)
    return reference, gone / max(judged, 1)


def filled(piece: FloatArray, defect: Defect, reference: float, second: int) -> FloatArray:
    """What a piece lacks in holes and gaps, mid and side (2, frames) at 44.1 kHz.

    Args:
        piece: mid and side.
        defect: of the song.
        reference: the song's density.
        second: of the song, at which the piece begins.
    """
    spectra = spectra_of(piece)
    power = powers_of(spectra)
    read, windows = power[:, ::STEP], power.shape[1]
    hollow = defect.hollow
    in_hole = np.array([hollow[a:b].mean() > 0.5 for a, b in itertools.pairwise(EDGES)])
    mask = np.broadcast_to(in_hole[None, :, None], (2, BANDS, read.shape[1])).copy()
    gaps = np.zeros_like(mask)
    if defect.gaps_to_hz:
        gaps = _judged(read, reference, defect.gaps_to_hz)[0] & ~mask
    if not (mask.any() or gaps.any()):
        return np.zeros_like(piece)
    levels_db_, flatness_db = envelope(read, reference, (mask | gaps).astype(np.float32))
    wanted = bins_of(between(levels_db_, windows, STEP)) * np.float32(reference) * sounding(power)
    flatness = between(np.where(gaps, _ALL_NOISE_DB, flatness_db).astype(np.float32), windows, STEP)
    lift = _lift(power, defect)
    have = power * lift**2
    still = np.clip(1 - have.mean(axis=1) / np.maximum(wanted.mean(axis=1), 1e-20), 0, 1) * hollow
    # Where the song itself is raised by all that is missing, nothing is laid over it.
    still = still * (lift < 0.9 * 10 ** (defect.missing_db / 20))
    soft = _bins_of_cells(between(gaps.astype(np.float32), windows, STEP))
    short = np.maximum(wanted - _around(have), 0) * soft
    source = sources_of(hollow)
    away = soft.any(axis=(0, 1)) & ~hollow
    source[away] = np.flatnonzero(away) - 1  # noise will lie there, and takes nothing of its source
    target = Target(np.asarray(np.where(hollow, wanted * still[:, None], short), np.float32), flatness)
    made = grown(spectra, power, source, target, second) + spectra * (lift - 1)
    return signals_of(np.asarray(made, np.complex64), piece.shape[1])


def _lift(power: FloatArray, defect: Defect) -> FloatArray:
    """Amplitudes by which the bins are raised: whole holes, of which what lies in them is dense enough."""
    lift_db = np.minimum(defect.missing_db, _LIFT_DB)
    sparse_db = 10 * np.log10(power.mean(axis=1) + 1e-20) - (10 * np.log10(power + 1e-20)).mean(axis=1)
    octaves = np.log2(np.maximum(np.arange(lift_db.size), 0.5) * BIN_HZ)
    for hole in defect.holes:
        distance = np.abs(octaves - np.log2(hole.centre_hz))
        inside = distance < hole.width_octaves / 2 - _EDGE_OCTAVES
        beside = (distance > hole.width_octaves / 2 + _EDGE_OCTAVES) & (distance < hole.width_octaves)
        if not (inside.any() and beside.any()):
            continue
        if sparse_db[0, inside].mean() > sparse_db[0, beside].mean() + _SPARSER_DB:
            lift_db = np.where(distance < hole.width_octaves / 2 + _EDGE_OCTAVES, 0.0, lift_db)
    return np.asarray(10 ** (lift_db / 20), np.float32)


def _bins_of_cells(cells: FloatArray) -> FloatArray:
    """Values of bands (2, BANDS, windows) for the bins, (2, windows, bins)."""
    rows = np.repeat(np.swapaxes(cells, -1, -2), np.diff(EDGES), axis=-1)
    return np.pad(rows, ((0, 0), (0, 0), (EDGES[0], WINDOW // 2 + 1 - EDGES[-1])))


def _around(power: FloatArray) -> FloatArray:
    """The mean over neighbouring bins."""
    sums = np.cumsum(np.pad(power, ((0, 0), (0, 0), (_NEAR + 1, _NEAR))), axis=-1, dtype=np.float64)
    return np.asarray(
        (sums[..., 2 * _NEAR + 1 :] - sums[..., : -2 * _NEAR - 1]) / (2 * _NEAR + 1), np.float32
    )
