"""The master chain before the finaliser: settings in, processors out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixagent.pipeline.dsp.cascade import Cascade
from mixagent.pipeline.dsp.dynamics import expander
from mixagent.pipeline.dsp.equaliser import Filter, band_filters
from mixagent.pipeline.dsp.gaps import GapFiller, Gaps
from mixagent.pipeline.dsp.image import Image, image_matrix
from mixagent.pipeline.dsp.programme import Programme
from mixagent.pipeline.dsp.resonances import ResonanceSuppressor
from mixagent.pipeline.mixing import compressors, dynamic_cuts, sections_of, transient_shapers
from mixagent.pipeline.parameters import BELLS, Settings
from mixagent.pipeline.streaming import Processor

EQ_NAMES = ("sub", "bass", "low_mid", "mid", "presence", "brilliance", "air")

_NO_EXTENSION_HZ = 22050.0


def master_processors(
    settings: Settings, rate: int, channels: int, programme: Programme, gaps: Gaps | None = None
) -> list[Processor]:
    """The master chain in the order of the signal, without what is neutral or beyond Nyquist.

    Args:
        settings: their `master` section is used.
        rate: sample rate in Hz.
        channels: width, balance and mono lows work on two and are left out otherwise.
        programme: the level of the mix that goes in, which the thresholds stand against.
        gaps: the gaps of the mix, for `gap_fill_db`; nothing is filled without them.
    """
    master = settings.section("master")
    processors: list[Processor] = []
    if channels == 2 and master["balance_db"] != 0:
        processors.append(Image(image_matrix(balance_db=master["balance_db"])))
    processors += dynamic_cuts(master, rate, channels, programme)
    processors += _repairs(master, rate, channels)
    if gaps is not None and gaps.gaps and master["gap_fill_db"] > 0:
        processors.append(GapFiller(gaps, master["gap_fill_db"], rate, channels))
    processors += _equaliser(master, rate, channels)
    processors += _extension(master, rate, channels)
    processors += transient_shapers(master, rate, channels)
    if master["expand_ratio"] > 1:
        processors.append(expander(master["expand_ratio"], programme, rate, channels))
    processors += compressors(master, rate, channels, programme)
    if channels == 2:
        processors += _image(master, rate)
    return processors


def _repairs(master: Mapping[str, float], rate: int, channels: int) -> list[Processor]:
    most_db = master["resonance_cut_db"]
    if most_db == 0 or not ResonanceSuppressor.fits(rate):
        return []
    return [ResonanceSuppressor(most_db, rate, channels)]


def _equaliser(master: Mapping[str, float], rate: int, channels: int) -> list[Processor]:
    gains_db = tuple(master[f"eq_{name}_db"] for name in EQ_NAMES)
    bands = band_filters(gains_db, rate) if any(gains_db) else ()
    bells = (
        Filter("bell", master[f"bell_{n}_hz"], master[f"bell_{n}_db"], master[f"bell_{n}_q"])
        for n in range(1, BELLS + 1)
    )
    sections = sections_of([*bands, *bells], rate)
    return [Cascade(np.stack(sections), channels)] if sections else []


def _extension(master: Mapping[str, float], rate: int, channels: int) -> list[Processor]:
    from_hz = master["extend_from_hz"]
    if from_hz >= _NO_EXTENSION_HZ:
        return []
    from mixagent.pipeline.dsp.extension import AirExtension

    if not AirExtension.fits(from_hz, rate):
        return []
    return [AirExtension(from_hz, master["extend_db"], rate, channels)]


def _image(master: Mapping[str, float], rate: int) -> list[Processor]:
    processors: list[Processor] = []
    if master["width"] != 1:
        processors.append(Image(image_matrix(width=master["width"])))
    if master["mono_below_hz"] > 20:
        from mixagent.pipeline.dsp.mono_below import MonoBelow

        processors.append(MonoBelow(master["mono_below_hz"], rate))
    return processors
