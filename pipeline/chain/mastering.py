"""The master chain before the finaliser: settings in, processors out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixagent.pipeline.chain.bands import (
    BandProgrammes,
    dynamic_equaliser,
    listens,
    measure_bands,
    multiband,
)
from mixagent.pipeline.chain.mixing import compressors, dynamic_cuts, sections_of, transient_shapers
from mixagent.pipeline.chain.parameters import (
    BELLS,
    EQ_BANDS,
    FINALISER_PLACES,
    FINE_PLACES,
    GRAPHIC_HZ,
    Settings,
)
from mixagent.pipeline.chain.riding import Ride, Rider
from mixagent.pipeline.dsp.cascade import Cascade, Float64Array, even_rows
from mixagent.pipeline.dsp.dynamics import expander
from mixagent.pipeline.dsp.equaliser import Filter, band_filters
from mixagent.pipeline.dsp.graphic import graphic_sections
from mixagent.pipeline.dsp.image import Image, MidSide, image_matrix, mono_below
from mixagent.pipeline.dsp.linear_phase import LinearPhase
from mixagent.pipeline.dsp.programme import Programme
from mixagent.pipeline.dsp.resonances import ResonanceSuppressor
from mixagent.pipeline.dsp.streaming import Processor, process_blocks
from mixagent.pipeline.measure.blinks import Blinks
from mixagent.pipeline.measure.highs import Highs
from mixagent.pipeline.restoration.blinks import BlinkFiller
from mixagent.pipeline.restoration.gaps import GapFiller, Gaps
from mixagent.pipeline.types import AudioSource

_NO_EXTENSION_HZ = 22050.0
"""The neutral value of `master.extend_from_hz`."""


def is_mastered(settings: Settings) -> bool:
    """Whether anything between the mix and the finaliser is off neutral."""
    return any(settings.active(where) for where in ("master", *FINE_PLACES - FINALISER_PLACES))


def extends(settings: Settings) -> bool:
    """Whether the highs are to be extended, for which they have to be measured."""
    return settings["master.extend_from_hz"] < _NO_EXTENSION_HZ


def band_programmes(source: AudioSource, settings: Settings) -> BandProgrammes | None:
    """The levels that the bands' thresholds stand against, in one pass; None where nothing needs them.

    Measured behind the equalisers, so that what they change is not taken for the programme's own.
    """
    if not listens(settings):
        return None
    equalisers = _equalisers(settings, source.rate, source.channels)
    return measure_bands(process_blocks(source, equalisers), source.rate, source.channels, settings)


def master_processors(
    settings: Settings,
    rate: int,
    channels: int,
    programme: Programme,
    gaps: Gaps | None = None,
    bands: BandProgrammes | None = None,
    ride: Ride | None = None,
    highs: Highs | None = None,
    blinks: Blinks | None = None,
) -> list[Processor]:
    """The master chain in the order of the signal, without what is neutral or beyond Nyquist.

    Args:
        settings: their `master` section and its finer tools are used.
        rate: sample rate in Hz.
        channels: width, balance and mono lows work on two and are left out otherwise.
        programme: the level of the mix that goes in, which the thresholds stand against.
        gaps: the gaps of the mix, for `gap_fill_db`; nothing is filled without them.
        bands: `band_programmes` of the mix; what needs them is left out without them.
        ride: `measure_ride` of the mix, for `ride_db`; no level is ridden without it.
        highs: where the highs of the mix end, for `extend_from_hz`; taken at its word without them.
        blinks: the bands of the mix that blink, for `blink_fill_db`; nothing is filled without them.
    """
    master = settings.section("master")
    processors: list[Processor] = []
    if channels == 2 and master["balance_db"] != 0:
        processors.append(Image(image_matrix(balance_db=master["balance_db"])))
    # First of what is late: it counts the windows of the mix that the blinks were measured in.
    if blinks is not None and blinks.found and master["blink_fill_db"] > 0:
        processors.append(BlinkFiller(blinks, master["blink_fill_db"], rate, channels))
    processors += dynamic_cuts(master, rate, channels, programme)
    processors += _repairs(master, rate, channels)
    if gaps is not None and gaps.gaps and master["gap_fill_db"] > 0:
        processors.append(GapFiller(gaps, master["gap_fill_db"], rate, channels))
    processors += _equalisers(settings, rate, channels)
    if bands is not None:
        processors += dynamic_equaliser(settings, rate, channels, bands)
    processors += _extension(master, rate, channels, highs)
    if ride is not None and ride.moves:
        processors.append(Rider(ride, rate, late=sum(processor.latency for processor in processors)))
    processors += transient_shapers(master, rate, channels)
    if master["expand_ratio"] > 1:
        processors.append(expander(master["expand_ratio"], programme, rate, channels))
    processors += compressors(master, rate, channels, programme)
    processors += multiband(settings, rate, channels, bands)
    if channels == 2:
        processors += _image(master, rate)
    return processors


def _repairs(master: Mapping[str, float], rate: int, channels: int) -> list[Processor]:
    most_db = master["resonance_cut_db"]
    if most_db == 0 or not ResonanceSuppressor.fits(rate):
        return []
    return [ResonanceSuppressor(most_db, rate, channels)]


def _equalisers(settings: Settings, rate: int, channels: int) -> list[Processor]:
    """The graphic equaliser, the master's and the one of mid and side; of a mono sound all is mid."""
    linear = settings["equaliser.linear_phase"] > 0
    master = settings.section("master")
    bells = (
        Filter("bell", master[f"bell_{n}_hz"], master[f"bell_{n}_db"], master[f"bell_{n}_q"])
        for n in range(1, BELLS + 1)
    )
    sections = sections_of([*_band_filters(master, rate), *bells], rate)
    sides = [sections_of(_band_filters(settings.section(part), rate), rate) for part in ("mid", "side")]
    if channels != 2:
        sections, sides = sections + sides[0], [[], []]
    equalisers = _graphic(settings, rate, channels, linear)
    if sections:
        equalisers.append(_filtered(np.stack(sections), rate, channels, linear))
    if any(sides):
        equalisers.append(MidSide(_filtered(even_rows(sides), rate, channels, linear)))
    return equalisers


def _graphic(settings: Settings, rate: int, channels: int, linear: bool) -> list[Processor]:
    """Balance of left and right, then tone and width on mid and side, in third octaves."""
    values = settings.section("graphic")
    tone, width, balance = (
        np.array([values[f"{what}_{hz}_db"] for hz in GRAPHIC_HZ]) for what in ("tone", "width", "balance")
    )
    equalisers: list[Processor] = []
    if channels != 2:
        return [_filtered(graphic_sections(tone, rate), rate, channels, linear)] if tone.any() else []
    if balance.any():
        sides = [graphic_sections(gains, rate) for gains in (-balance / 2, balance / 2)]
        equalisers.append(_filtered(np.stack(sides), rate, 2, linear))
    if width.any():
        sides = [graphic_sections(gains, rate) for gains in (tone, tone + width)]
        equalisers.append(MidSide(_filtered(np.stack(sides), rate, 2, linear)))
    elif tone.any():
        equalisers.append(_filtered(graphic_sections(tone, rate), rate, 2, linear))
    return equalisers


def _band_filters(values: Mapping[str, float], rate: int) -> tuple[Filter, ...]:
    gains_db = tuple(values[f"eq_{name}_db"] for name in EQ_BANDS)
    return band_filters(gains_db, rate) if any(gains_db) else ()


def _filtered(sections: Float64Array, rate: int, channels: int, linear: bool) -> Processor:
    return LinearPhase(sections, rate, channels) if linear else Cascade(sections, channels)


def _extension(master: Mapping[str, float], rate: int, channels: int, highs: Highs | None) -> list[Processor]:
    if master["extend_from_hz"] >= _NO_EXTENSION_HZ:
        return []
    from mixagent.pipeline.restoration.extension import extension

    found = extension(master["extend_from_hz"], master["extend_db"], rate, channels, highs)
    return [] if found is None else [found]


def _image(master: Mapping[str, float], rate: int) -> list[Processor]:
    processors: list[Processor] = []
    if master["width"] != 1:
        processors.append(Image(image_matrix(width=master["width"])))
    if master["mono_below_hz"] > 20:
        processors.append(mono_below(master["mono_below_hz"], rate))
    return processors
