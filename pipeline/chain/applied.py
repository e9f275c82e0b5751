"""Measures what the repairs of the master chain really did to a song, not their limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from mixagent.pipeline.chain.mastering import extends
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.dsp.resonances import ResonanceSuppressor
from mixagent.pipeline.dsp.streaming import Processor, half_overlapping, process_blocks
from mixagent.pipeline.dsp.third_octaves import EDGES_HZ, THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.blinks import measure_blinks
from mixagent.pipeline.measure.highs import measure_highs
from mixagent.pipeline.restoration.blinks import BlinkFiller
from mixagent.pipeline.restoration.extension import extension
from mixagent.pipeline.restoration.spectral_holes import SpectralHoleFiller, measure_spectral_holes
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, blocks

MOST_DB = 60.0
"""No gain is told as more than this: over next to nothing a gain says nothing."""

LEAST_MEAN_DB, LEAST_MOST_DB = 0.1, 1.0
"""A band whose level changed by less, and no line of which changed by more, is left out."""

_WINDOW_S = 0.0929
_AUDIBLE_DB = -90.0


@dataclass(frozen=True)
class BandGain:
    """The change that a processor made to one third octave.

    Attributes:
        centre_hz: nominal centre of the band.
        mean_db: change of the band's level over the whole song.
        most_db: change of the level of the line that changed most, over the whole song.
        most_hz: where that line stands.
        share: share of the song's sounding moments in which the band's level changed by 1 dB or more.
    """

    centre_hz: float
    mean_db: float
    most_db: float
    most_hz: float
    share: float


def repairs_applied(source: AudioSource, settings: Settings) -> dict[str, tuple[BandGain, ...]]:
    """The measured effect of each repair on a mix, by the parameter that switches it on.

    Each is measured on the mix itself, without the others. What found nothing to repair has no bands.
    """
    made = repair_processors(source, settings)
    return {name: applied_gains(source, found) if found else () for name, found in made.items()}


def repair_processors(source: AudioSource, settings: Settings) -> Mapping[str, Processor | None]:
    """The repairs that the settings switch on, as the master chain makes them for this mix; None for one
    that finds nothing to do.
    """
    rate, channels = source.rate, source.channels
    made: dict[str, Processor | None] = {}
    if most_db := settings["master.resonance_cut_db"]:
        fits = ResonanceSuppressor.fits(rate)
        made["master.resonance_cut_db"] = ResonanceSuppressor(most_db, rate, channels) if fits else None
    if most_db := settings["master.gap_fill_db"]:
        holes = measure_spectral_holes(source)
        made["master.gap_fill_db"] = (
            SpectralHoleFiller(holes, most_db, rate, channels) if holes.holes else None
        )
    if most_db := settings["master.blink_fill_db"]:
        blinks = measure_blinks(source)
        made["master.blink_fill_db"] = BlinkFiller(blinks, most_db, rate, channels) if blinks.found else None
    if extends(settings):
        from_hz, gain_db = settings["master.extend_from_hz"], settings["master.extend_db"]
        made["master.extend_from_hz"] = extension(from_hz, gain_db, rate, channels, measure_highs(source))
    return made


def applied_gains(source: AudioSource, processor: Processor) -> tuple[BandGain, ...]:
    """The change of a source by a processor, by third octave; unchanged bands are left out.

    Args:
        source: of any length; it is read twice.
        processor: fresh; it is used up.
    """
    size = 1 << max(round(math.log2(_WINDOW_S * source.rate)), 8)
    edges = np.clip(np.round(EDGES_HZ * size / source.rate).astype(int), 1, size // 2)
    sums = np.zeros((2, size // 2 + 1))
    moved, sounding = np.zeros(len(THIRD_OCTAVES_HZ)), 0
    pairs = zip(
        _powers(blocks(source), source.channels, size),
        _powers(process_blocks(source, [processor]), source.channels, size),
        strict=True,
    )
    for before, after in pairs:
        sums += np.stack([before, after])
        total = float(before.sum())
        if total <= 1e-7 * size:
            continue
        sounding += 1
        floor = total * db_to_power(_AUDIBLE_DB)
        change_db = [powers_to_db(_sums(p, edges) + floor) for p in (before, after)]
        moved += np.abs(change_db[1] - change_db[0]) >= 1.0
    return tuple(_bands(sums, edges, moved / max(sounding, 1), source.rate / size))


def _powers(parts: Iterable[FloatArray], channels: int, size: int) -> Iterator[Float64Array]:
    """The power spectrum of each window, of all channels together, shape (bins,)."""
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    for pieces in half_overlapping(parts, channels, size):
        for t in range(pieces.shape[1]):
            spectra = rfft(pieces[:, t] * window, axis=-1)
            yield np.sum(spectra.real**2 + spectra.imag**2, axis=0, dtype=np.float64)


def _sums(power: Float64Array, edges: NDArray[np.int_]) -> Float64Array:
    cumulated = np.concatenate([[0.0], np.cumsum(power)])
    return np.asarray(cumulated[edges[1:]] - cumulated[edges[:-1]])


def _bands(
    sums: Float64Array, edges: NDArray[np.int_], moved: Float64Array, bin_hz: float
) -> Iterator[BandGain]:
    floor = float(sums[0].sum()) * db_to_power(_AUDIBLE_DB)
    if floor <= 0:
        return
    means_db = _ratios_db(_sums(sums[0], edges), _sums(sums[1], edges), floor)
    lines_db = _ratios_db(sums[0], sums[1], 1e-2 * floor)
    for band, centre_hz in enumerate(THIRD_OCTAVES_HZ):
        low, high = edges[band], edges[band + 1]
        if high <= low:
            continue
        most = low + int(np.argmax(np.abs(lines_db[low:high])))
        if abs(means_db[band]) < LEAST_MEAN_DB and abs(lines_db[most]) < LEAST_MOST_DB:
            continue
        yield BandGain(
            centre_hz=centre_hz,
            mean_db=float(means_db[band]),
            most_db=float(lines_db[most]),
            most_hz=float(most * bin_hz),
            share=float(moved[band]),
        )


def _ratios_db(before: Float64Array, after: Float64Array, floor: float) -> Float64Array:
    return np.asarray(np.clip(powers_to_db((after + floor) / (before + floor)), -MOST_DB, MOST_DB))
