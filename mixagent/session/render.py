"""The third step of a master: the stages that render a decision."""

from __future__ import annotations

import math
from dataclasses import replace

from mixagent.pipeline.chain.edits import Span, section
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.graph.runner import Stage
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.report.listening import choose_excerpt
from mixagent.session.analyse import AnalysedSong
from mixagent.session.decide import Decided
from mixagent.session.reference_stages import matching_stage
from mixagent.session.request import Request
from mixagent.session.stages import Rendering, rendering_stages


def every_stage(song: AnalysedSong, decided: Decided) -> list[Stage]:
    """Hearing and rendering; the last one measures."""
    return [*song.hearing, *stages_of(song, decided)]


def stages_of(song: AnalysedSong, decided: Decided) -> list[Stage]:
    """The stages that depend on what was decided: `mix`, `match` where it is wanted, … `measure`."""
    request = decided.request
    matchering = request.matchering or decided.guidance.matchering
    part = rendered_part(song, request)
    target = request.target_of(song.heard.song.channels)
    rendering = Rendering(
        settings=decided.applied,
        rate=request.sample_rate,
        target=target if part is None else _part_target(song, target, part),
        edits=request.edits,
        codecs=request.codec_plan,
        part=part,
        matching=None
        if matchering is None
        else matching_stage(matchering, request.amount * request.strengths.eq),
        sections=decided.applied_sections,
        inserts=request.inserts,
    )
    return rendering_stages(song.heard.results, rendering)


def rendered_part(song: AnalysedSong, request: Request) -> Span | None:
    """The part of the song that is rendered alone, as for a preview; None for all of it."""
    return None if request.preview_s is None else loudest_part(song, request.preview_s)


def loudest_part(song: AnalysedSong, length_s: float) -> Span:
    """The part of a song with the most energy, of this length; all of a shorter song."""
    duration_s = song.heard.song.frames / song.heard.song.rate
    longest_s = max(math.floor(length_s), 2)
    found = choose_excerpt(duration_s, song.heard.analysis.short_term_lufs, longest_s)
    return Span(found.start_s, found.stop_s)


def _part_target(song: AnalysedSong, target: LoudnessTarget, part: Span) -> LoudnessTarget:
    """The target of a part: as far from that of the song as the part lies from the song."""
    song_lufs = song.heard.analysis.integrated_lufs
    part_lufs = integrated_lufs(section(song.heard.song, part))
    if not (math.isfinite(song_lufs) and math.isfinite(part_lufs)):
        return target
    return replace(target, integrated_lufs=target.integrated_lufs + part_lufs - song_lufs)
