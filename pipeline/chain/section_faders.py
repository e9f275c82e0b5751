"""Settings by section on the master chain."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mixagent.pipeline.chain.mastering import Chain, band_programmes, master_processors
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.chain.section_settings import MASTER, SectionSettings, section_faders
from mixagent.pipeline.dsp.programme import measure_programme
from mixagent.pipeline.dsp.streaming import Processor
from mixagent.pipeline.types import AudioSource


def fits(sections: Sequence[SectionSettings], stems: Collection[str]) -> bool:
    """True if any of the sections is about the master or one of these stems."""
    return any(each.where == MASTER or each.where in stems for each in sections)


def master_faders(
    sections: Sequence[SectionSettings],
    space: ParameterSpace,
    mix: AudioSource,
    before: Sequence[Processor],
) -> list[Processor]:
    """What makes the master's settings differ by section, behind the chain of the whole song.

    Args:
        sections: of any place.
        space: of the settings.
        mix: the sound that goes into the chain.
        before: the chain, which may be late.
    """

    def processors(values: Mapping[str, float]) -> list[Processor]:
        settings = space.settings(values)
        bands = band_programmes(mix, settings)
        return master_processors(Chain(settings, mix.rate, mix.channels, measure_programme(mix), bands=bands))

    late = sum(processor.latency for processor in before)
    return section_faders(sections, MASTER, mix.rate, mix.channels, processors, late)
