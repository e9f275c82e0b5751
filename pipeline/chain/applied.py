"""Measures what the repairs of the master chain really did to a song, not their limits."""

from __future__ import annotations

from collections.abc import Mapping

from mixagent.pipeline.chain.mastering import extends
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.dsp.resonances import ResonanceSuppressor
from mixagent.pipeline.dsp.streaming import Processor, process_blocks
from mixagent.pipeline.measure.blinks import measure_blinks
from mixagent.pipeline.measure.changes import BandGain, band_gains
from mixagent.pipeline.measure.highs import measure_highs
from mixagent.pipeline.restoration.blinks import BlinkFiller
from mixagent.pipeline.restoration.extension import extension
from mixagent.pipeline.restoration.spectral_holes import SpectralHoleFiller, measure_spectral_holes
from mixagent.pipeline.types import AudioSource, blocks


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
    after = process_blocks(source, [processor])
    return band_gains(blocks(source), after, source.channels, source.rate)
