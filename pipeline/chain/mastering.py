"""The master chain before the finaliser: settings in, processors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mixagent.pipeline.chain.bands import (
    BandProgrammes,
    dynamic_equaliser,
    listens,
    measure_bands,
    multiband,
)
from mixagent.pipeline.chain.mixing import compressors, place_cuts, sections_of, transient_shapers
from mixagent.pipeline.chain.parameters import (
    ADVANCED_PLACES,
    BELLS,
    EQ_BANDS,
    FINALISER_PLACES,
    GRAPHIC_HZ,
    REPAIR,
    Settings,
)
from mixagent.pipeline.chain.riding import Ride, Rider
from mixagent.pipeline.dsp.cascade import Cascade, even_rows
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
from mixagent.pipeline.restoration.spectral_holes import SpectralHoleFiller, SpectralHoles
from mixagent.pipeline.types import AudioSource, Float64Array

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Inserts

_NO_EXTENSION_HZ = 22050.0
"""The neutral value of `master.extend_from_hz`."""


def is_mastered(settings: Settings) -> bool:
    """True if anything between the mix and the finaliser is off neutral."""
    return any(settings.active(where) for where in ("master", *ADVANCED_PLACES - FINALISER_PLACES - {REPAIR}))


def extends(settings: Settings) -> bool:
    """True if the highs are to be extended, for which they have to be measured."""
    return settings["master.extend_from_hz"] < _NO_EXTENSION_HZ


def band_programmes(source: AudioSource, settings: Settings) -> BandProgrammes | None:
    """The levels that the bands' thresholds stand against, in one pass; None where nothing needs them.

    Measured behind the equalisers, so that what they change is not taken for the programme's own.
    """
    if not listens(settings):
        return None
    before = equalisers(settings, source.rate, source.channels)
    return measure_bands(process_blocks(source, before), source.rate, source.channels, settings)


@dataclass(frozen=True)
class Chain:
    """The settings and measures that an effect of the master is built from.

    Attributes:
        settings: of every parameter.
        rate: sample rate in Hz.
        channels: width, balance and mono lows work on two and are left out otherwise.
        programme: the level of the mix that goes in, which the thresholds stand against.
        holes: the spectral holes of the mix, for `gap_fill_db`; nothing is filled without them.
        bands: `band_programmes` of the mix; what needs them is left out without them.
        ride: `measure_ride` of the mix, for `ride_db`; no level is ridden without it.
        highs: where the highs of the mix end, for `extend_from_hz`; taken at its word without them.
        blinks: the bands of the mix that blink, for `blink_fill_db`; nothing is filled without them.
        late: frames by which the effects before it are late.
        inserts: plug-ins that stand in for effects.
    """

    settings: Settings
    rate: int
    channels: int
    programme: Programme
    holes: SpectralHoles | None = None
    bands: BandProgrammes | None = None
    ride: Ride | None = None
    highs: Highs | None = None
    blinks: Blinks | None = None
    late: int = 0
    inserts: Inserts | None = None

    @cached_property
    def master(self) -> Mapping[str, float]:
        """The values of the place `master`."""
        return self.settings.section("master")


Effect = Callable[[Chain], list[Processor]]
"""Builds an effect's processors; none where its parameters are neutral or the sound has no place for it."""


def master_processors(chain: Chain) -> list[Processor]:
    """The master chain in the order of the signal, without what is neutral or beyond Nyquist."""
    processors: list[Processor] = []
    for effect in EFFECTS.values():
        late = sum(processor.latency for processor in processors)
        # The same chain where nothing is later than before: it keeps the values that were read of it.
        chain = chain if late == chain.late else replace(chain, late=late)
        processors += effect(chain)
    return processors


def _balance(chain: Chain) -> list[Processor]:
    balance_db = chain.master["balance_db"]
    return [Image(image_matrix(balance_db=balance_db))] if chain.channels == 2 and balance_db else []


def _blink_filler(chain: Chain) -> list[Processor]:
    most_db = chain.master["blink_fill_db"]
    if chain.blinks is None or not chain.blinks.found or most_db <= 0:
        return []
    return [BlinkFiller(chain.blinks, most_db, chain.rate, chain.channels)]


def _cuts(chain: Chain) -> list[Processor]:
    return place_cuts(
        chain.master, chain.rate, chain.channels, chain.programme, place="master", inserts=chain.inserts
    )


def _resonances(chain: Chain) -> list[Processor]:
    most_db = chain.master["resonance_cut_db"]
    if most_db == 0 or not ResonanceSuppressor.fits(chain.rate):
        return []
    return [ResonanceSuppressor(most_db, chain.rate, chain.channels)]


def _spectral_hole_filler(chain: Chain) -> list[Processor]:
    most_db = chain.master["gap_fill_db"]
    if chain.holes is None or not chain.holes.holes or most_db <= 0:
        return []
    return [SpectralHoleFiller(chain.holes, most_db, chain.rate, chain.channels)]


def _equalisers(chain: Chain) -> list[Processor]:
    return equalisers(chain.settings, chain.rate, chain.channels)


def _dynamic_equaliser(chain: Chain) -> list[Processor]:
    if chain.bands is None:
        return []
    return [*dynamic_equaliser(chain.settings, chain.rate, chain.channels, chain.bands)]


def _extension(chain: Chain) -> list[Processor]:
    master = chain.master
    if master["extend_from_hz"] >= _NO_EXTENSION_HZ:
        return []
    from mixagent.pipeline.restoration.extension import extension

    found = extension(master["extend_from_hz"], master["extend_db"], chain.rate, chain.channels, chain.highs)
    return [] if found is None else [found]


def _rider(chain: Chain) -> list[Processor]:
    if chain.ride is None or not chain.ride.moves:
        return []
    return [Rider(chain.ride, chain.rate, late=chain.late)]


def _transients(chain: Chain) -> list[Processor]:
    return transient_shapers(chain.master, chain.rate, chain.channels)


def _expander(chain: Chain) -> list[Processor]:
    ratio = chain.master["expand_ratio"]
    return [expander(ratio, chain.programme, chain.rate, chain.channels)] if ratio > 1 else []


def _compressors(chain: Chain) -> list[Processor]:
    values, inserts = chain.master, chain.inserts
    if inserts is not None and values["comp_ratio"] != 1 and inserts.at("master", "comp"):
        from mixagent.pipeline.chain.inserted import master_compressor

        return master_compressor(inserts, values, chain.rate, chain.channels, chain.programme)
    return [*compressors(values, chain.rate, chain.channels, chain.programme)]


def _multiband(chain: Chain) -> list[Processor]:
    return [*multiband(chain.settings, chain.rate, chain.channels, chain.bands)]


def _width(chain: Chain) -> list[Processor]:
    width = chain.master["width"]
    return [Image(image_matrix(width=width))] if chain.channels == 2 and width != 1 else []


def _mono_lows(chain: Chain) -> list[Processor]:
    below_hz = chain.master["mono_below_hz"]
    return [mono_below(below_hz, chain.rate)] if chain.channels == 2 and below_hz > 20 else []


EFFECTS: dict[str, Effect] = {
    "balance": _balance,
    # First of what is late: it counts the windows of the mix that the blinks were measured in.
    "blinks": _blink_filler,
    "dynamic cuts": _cuts,
    "resonances": _resonances,
    "gaps": _spectral_hole_filler,
    "equalisers": _equalisers,
    "dynamic equaliser": _dynamic_equaliser,
    "extension": _extension,
    "ride": _rider,
    "transients": _transients,
    "expander": _expander,
    "compressors": _compressors,
    "multiband": _multiband,
    "width": _width,
    "mono lows": _mono_lows,
}
"""The effects of the master in the order of the signal.

A new one is a builder in a file of its own, a row here, and the rows of its parameters in
`mixagent.pipeline.chain.parameters`.
"""


def equalisers(settings: Settings, rate: int, channels: int) -> list[Processor]:
    """The graphic equaliser, the master's and the one of mid and side; of a mono sound all is mid."""
    linear = settings["equaliser.linear_phase"] > 0
    sections = sections_of(master_filters(settings, rate), rate)
    sides = [sections_of(_band_filters(settings.section(part), rate), rate) for part in ("mid", "side")]
    if channels != 2:
        sections, sides = sections + sides[0], [[], []]
    made = _graphic(settings, rate, channels, linear)
    if sections:
        made.append(_filtered(np.stack(sections), rate, channels, linear))
    if any(sides):
        made.append(MidSide(_filtered(even_rows(sides), rate, channels, linear)))
    return made


def master_filters(settings: Settings, rate: int) -> list[Filter]:
    """The shelves and bells of the master's equaliser, on both channels alike; the graphic one is another."""
    master = settings.section("master")
    bells = (
        Filter("bell", master[f"bell_{n}_hz"], master[f"bell_{n}_db"], master[f"bell_{n}_q"])
        for n in range(1, BELLS + 1)
    )
    return [*_band_filters(master, rate), *bells]


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
