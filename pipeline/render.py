"""The one way from stems and settings to a master, for training, inference, search and replay alike.

`render` is `mixed` and then `finished`. A master keeps what `mixed` left between the two, so that another
target finds it; the samples are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixagent.pipeline.chain.edits import NO_EDITS, Edits, Span, edited, span_of
from mixagent.pipeline.chain.mastering import (
    Chain,
    band_programmes,
    equalisers,
    extends,
    is_mastered,
    master_processors,
)
from mixagent.pipeline.chain.mixing import Levels, is_active, mix_blocks, strip_blocks
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.chain.riding import measure_ride
from mixagent.pipeline.chain.section_faders import fits, master_faders
from mixagent.pipeline.chain.section_settings import SectionSettings
from mixagent.pipeline.decibels import db_to_power, power_to_db
from mixagent.pipeline.dsp.programme import Programme, measure_programme
from mixagent.pipeline.dsp.streaming import Processor, through
from mixagent.pipeline.errors import MixagentError
from mixagent.pipeline.finaliser.codecs import CodecPlan, CodecRender, finalise_through
from mixagent.pipeline.finaliser.loop import Finish, finalise
from mixagent.pipeline.finaliser.prediction import SourceMeasures
from mixagent.pipeline.finaliser.settings import finaliser_settings
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.measure.blinks import measure_blinks
from mixagent.pipeline.measure.highs import Highs, measure_highs
from mixagent.pipeline.restoration.spectral_holes import SpectralHoles, measure_spectral_holes
from mixagent.pipeline.types import Audio, AudioSource, FloatArray, Progress, Stems, blocks, collect, spool

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Inserts


class ChainError(MixagentError):
    """An effect gave something that is not a number."""


@dataclass(frozen=True)
class Render:
    """A rendered song: `audio` is the result, `premaster` what went into the finaliser.

    `finish` says what the finaliser did; without a target it is None and `audio` is the premaster.
    """

    audio: AudioSource
    premaster: AudioSource
    finish: Finish | None


def render(
    stems: Stems,
    settings: Settings,
    target: LoudnessTarget | None,
    scratch: Path | None = None,
    levels: Levels | None = None,
    progress: Progress | None = None,
    holes: SpectralHoles | None = None,
    highs: Highs | None = None,
    strips_done: Mapping[str, AudioSource] | None = None,
    sections: Sequence[SectionSettings] = (),
    inserts: Inserts | None = None,
) -> Render:
    """Mix, master chain and finaliser.

    Args:
        stems: the parts of the mix; any number, also none.
        settings: a value for every parameter; neutral gives the mix itself, bit for bit.
        target: loudness and ceiling; None leaves the finaliser out.
        scratch: folder for what lies on disk; None keeps everything in memory.
        levels: `measure_levels(stems)`, for a caller that renders the same stems many times.
        progress: called with the share done, 0..1; may raise to cancel.
        holes: `measure_spectral_holes` of the mix, for the same caller.
        highs: `measure_highs` of the mix, for the same caller.
        strips_done: stems behind their strips under these settings, where they were rendered already.
        sections: what holds in stretches of the song beside the settings.
        inserts: plug-ins that stand in for effects; one that fails raises its `InsertFault`.
    """
    chain_share = 0.6 if target else 1.0
    report = progress or _ignore
    source, _ = mixed(
        stems,
        settings,
        scratch,
        levels=levels,
        progress=lambda share: report(share * chain_share),
        holes=holes,
        highs=highs,
        strips_done=strips_done,
        sections=sections,
        inserts=inserts,
    )
    if target is None:
        return Render(source, source, None)
    rest = 1.0 - chain_share
    finish, _ = finished(
        source, settings, target, scratch, progress=lambda share: report(chain_share + share * rest)
    )
    return Render(finish.audio, source, finish)


def mixed(
    stems: Stems,
    settings: Settings,
    scratch: Path | None = None,
    rate: int | None = None,
    edits: Edits = NO_EDITS,
    levels: Levels | None = None,
    progress: Progress | None = None,
    holes: SpectralHoles | None = None,
    highs: Highs | None = None,
    strips_done: Mapping[str, AudioSource] | None = None,
    sections: Sequence[SectionSettings] = (),
    inserts: Inserts | None = None,
) -> tuple[AudioSource, Span]:
    """The finaliser's input: `premaster` at another rate, its ends edited; and the part that is left.

    Args:
        stems: the parts of the mix.
        settings: a value for every parameter.
        scratch: folder for what lies on disk; None keeps everything in memory.
        rate: in Hz; None for the song's own. Another rate needs the folder.
        edits: of the song's ends.
        levels: `measure_levels(stems)`, where it is known.
        progress: called with the share done, 0..1; may raise to cancel.
        holes: `measure_spectral_holes` of the mix, where it is known.
        highs: `measure_highs` of the mix, where it is known.
        strips_done: stems behind their strips under these settings, where they were rendered already.
        sections: what holds in stretches of the song beside the settings.
        inserts: plug-ins that stand in for effects; one that fails raises its `InsertFault`.
    """
    source = premaster(
        stems, settings, scratch, levels, progress, holes, highs, strips_done, sections, inserts
    )
    if rate is not None and rate != source.rate:
        assert scratch is not None, "another rate is made on disk"
        source = resample(source, rate, scratch / "resampled.f32")
    span = span_of(source, edits)
    return edited(source, edits, span), span


def finished(
    source: AudioSource,
    settings: Settings,
    target: LoudnessTarget,
    scratch: Path | None = None,
    codecs: CodecPlan | None = None,
    measures: SourceMeasures | None = None,
    progress: Progress | None = None,
) -> tuple[Finish, tuple[CodecRender, ...]]:
    """The finaliser: gain and limiter to the target, and through lossy codecs where these are to hold it.

    Args:
        source: what `mixed` left.
        settings: of which the finaliser's own are used.
        target: loudness and ceiling.
        scratch: folder for what lies on disk; None keeps everything in memory.
        codecs: that the master is checked with, and that its ceiling holds through; they need the folder.
        measures: `measure_source(source)`, where it is known.
        progress: called with the share done, 0..1; may raise to cancel.
    """
    by_hand, report = finaliser_settings(settings), progress or _ignore
    if codecs is None or not codecs.checked:
        return finalise(source, target, scratch, report, measures, by_hand), ()
    assert scratch is not None, "codecs are checked on disk"
    assert measures is not None, "codecs are checked on a measured mix"
    return finalise_through(source, target, codecs, scratch, report, measures, by_hand)


def premaster(
    stems: Stems,
    settings: Settings,
    scratch: Path | None = None,
    levels: Levels | None = None,
    progress: Progress | None = None,
    holes: SpectralHoles | None = None,
    highs: Highs | None = None,
    strips_done: Mapping[str, AudioSource] | None = None,
    sections: Sequence[SectionSettings] = (),
    inserts: Inserts | None = None,
) -> AudioSource:
    """Mix and master chain without the finaliser: in memory, or in `scratch` as `premaster.f32`.

    Neutral settings give the input itself and write nothing.

    Raises:
        ChainError: an effect gave samples that are not finite.
    """
    mix = stems.mix
    moved = any(is_active(settings, name) for name in stems.parts)
    if not is_mastered(settings) and not moved and not fits(sections, stems.parts):
        return mix
    blocks_out = premaster_blocks(stems, settings, levels, holes, highs, strips_done, sections, inserts)
    parts = _counted(_finite(blocks_out, settings), mix.frames, progress or _ignore)
    if scratch is None:
        made: AudioSource = collect(parts, mix.rate, mix.channels)
    else:
        made = spool(parts, scratch / "premaster.f32", mix.rate, mix.channels)
    if inserts is not None:
        inserts.settle()
    return made


def premaster_blocks(
    stems: Stems,
    settings: Settings,
    levels: Levels | None = None,
    holes: SpectralHoles | None = None,
    highs: Highs | None = None,
    strips_done: Mapping[str, AudioSource] | None = None,
    sections: Sequence[SectionSettings] = (),
    inserts: Inserts | None = None,
) -> Iterator[FloatArray]:
    """Mix and master chain in blocks, latency compensated, of the input's length in all."""
    mix = stems.mix
    mixed = mix_blocks(stems, settings, levels, strips_done=strips_done, sections=sections, inserts=inserts)
    processors = _master(stems, settings, levels, holes, highs, inserts)
    processors += master_faders(sections, settings.space, mix, processors)
    yield from through(mixed, processors, mix.channels) if processors else mixed


def render_stem(
    stems: Stems,
    name: str,
    settings: Settings,
    levels: Levels | None = None,
    holes: SpectralHoles | None = None,
    highs: Highs | None = None,
    strips_done: Mapping[str, AudioSource] | None = None,
) -> Audio:
    """One stem alone through its strip, its bus and the master chain, in memory; no sends, no finaliser.

    The master's levels and spectral holes stay those of the whole mix, so that the stem meets the chain
    that it meets in the mix.
    """
    part = stems.parts[name]
    done = (strips_done or {}).get(name)
    parts = strip_blocks(stems, name, settings, levels) if done is None else blocks(done)
    processors = _master(stems, settings, levels, holes, highs)
    return collect(through(parts, processors, part.channels), part.rate, part.channels)


def _master(
    stems: Stems,
    settings: Settings,
    levels: Levels | None,
    holes: SpectralHoles | None,
    highs: Highs | None = None,
    inserts: Inserts | None = None,
) -> list[Processor]:
    """The master chain for the mix of these stems."""
    mix = stems.mix
    if not is_mastered(settings):
        return []
    programme = levels["mix"] if levels is not None else measure_programme(mix)
    filled = settings["master.gap_fill_db"] > 0
    faded = _faded(programme, stems, settings, levels)
    bands = band_programmes(mix, settings)
    most_db = settings["master.ride_db"]
    chain = Chain(
        settings,
        mix.rate,
        mix.channels,
        faded,
        (holes or measure_spectral_holes(mix)) if filled else None,
        bands and bands.raised(faded.level_db - programme.level_db),
        # Behind the equalisers: a voice alone may be far under the chorus before they fill its lows.
        measure_ride(mix, most_db, equalisers(settings, mix.rate, mix.channels)) if most_db else None,
        (highs or measure_highs(mix)) if extends(settings) else None,
        measure_blinks(mix) if settings["master.blink_fill_db"] > 0 else None,
        inserts=inserts,
    )
    return master_processors(chain)


def _faded(programme: Programme, stems: Stems, settings: Settings, levels: Levels | None) -> Programme:
    """The mix's programme level after the faders, by the sum of the stems' powers."""
    gains = {name: settings[f"{name}.gain_db"] for name in stems.parts if is_active(settings, name)}
    if levels is None or not any(gains.values()):
        return programme
    powers = {name: db_to_power(levels[name].level_db) for name in stems.parts}
    after = sum(power * db_to_power(gains.get(name, 0.0)) for name, power in powers.items())
    return programme.raised(power_to_db(after / sum(powers.values())))


def _finite(parts: Iterator[FloatArray], settings: Settings) -> Iterator[FloatArray]:
    """The blocks, none of which may hold a NaN or an infinity: a limiter would pass it on for ever."""
    for part in parts:
        if not np.isfinite(part).all():
            moved = ", ".join(f"{name} {value:g}" for name, value in settings.changed().items())
            raise ChainError(f"the chain gave samples that are not finite numbers, with {moved}")
        yield part


def _counted(parts: Iterator[FloatArray], frames: int, progress: Progress) -> Iterator[FloatArray]:
    done = 0
    for part in parts:
        yield part
        done += part.shape[1]
        progress(done / max(frames, 1))


def _ignore(share: float) -> None:
    """No progress is wanted."""
