"""The stage that tells what became of each stem in its strip, and the section of the page that plays it.

It reads the stems once more through their strips, so it runs only where somebody is to see what it finds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.chain.edits import Span, section
from mixagent.pipeline.chain.mixing import is_active, strip_blocks
from mixagent.pipeline.chain.parameters import STEM_PLACES, ParameterSpace, Settings, repair_amounts
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.graph.runner import Stage, StageContext, audio_reference
from mixagent.pipeline.types import AudioSource, Combination, DiskAudio, Stems, blocks, spool
from mixagent.report.listening import choose_excerpt
from mixagent.session.results import Results
from mixagent.session.stages import inserted, inserts_of, placed, restored_stems, stems_part

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Insert

PASSAGE_S = 45.0
"""Longest passage of the stems that the page embeds, where these are no more than `_FILES`."""

_FILES = 8
_SHORTEST_S = 8.0


def strips_stage(
    heard: Iterable[str], settings: Settings, part: Span | None, inserts: Sequence[Insert] = ()
) -> Stage:
    """What the strips made of the stems.

    Args:
        heard: names of the hearing stages.
        settings: that are rendered.
        part: of the song that is rendered; None for all of it.
        inserts: plug-ins that stand in for effects.
    """
    changed = {
        name: value for name, value in settings.changed().items() if settings.space[name].where in STEM_PLACES
    }
    amounts = repair_amounts(settings.changed())
    wanted = {"settings": changed, "amounts": amounts, "part": part, **inserted(inserts)}
    return Stage("strips", measure_strips, tuple(heard), wanted, given=placed(inserts))


def measure_strips(context: StageContext) -> dict[str, Any] | None:
    """Every stem before and after its strip and bus: measured, and a passage of it to listen to."""
    from mixagent.pipeline.measure.meters import integrated_lufs
    from mixagent.pipeline.separation.confidence import stem_confidence

    inputs, wanted = Results(context.inputs), context.settings
    stems = restored_stems(inputs, wanted["amounts"])
    part = None if wanted["part"] is None else Span(*wanted["part"])
    stems = stems if part is None else stems_part(stems, part)
    if not stems.parts:
        return None
    settings = ParameterSpace.for_stems(tuple(stems.parts)).settings(wanted["settings"])
    # Of the musician's own tracks there is nothing to doubt.
    separated = inputs["separate"].values if "separate" in inputs else None
    confidences = {} if separated is None else stem_confidence(stems, separated.get("agreement_db"))
    context.progress(0.2)
    after = _through_strips(context, stems, settings)
    passage = _passage(inputs, stems, part, len(stems.parts) + len(after))
    mixes = stems.mix, _mix_of_strips(stems, after)
    values = {
        "passage_s": passage,
        "lufs": [finite_or_none(integrated_lufs(mix)) for mix in mixes],
        "confidence": {name: confidence.value for name, confidence in confidences.items()},
        "changes": {name: _change(stems.parts[name], made) for name, made in after.items()},
    }
    return {**values, "after": _kept(context, after, passage)}


def _through_strips(context: StageContext, stems: Stems, settings: Settings) -> dict[str, DiskAudio]:
    """The stems that a strip or bus works on, behind it, on disk."""
    active = [name for name in stems.parts if is_active(settings, name)]
    inserts = inserts_of(context)
    made = {}
    for done, name in enumerate(active, 1):
        to = context.directory / f"{name}.whole.f32"
        strip = strip_blocks(stems, name, settings, inserts=inserts)
        made[name] = spool(strip, to, stems.mix.rate, stems.mix.channels)
        context.progress(0.2 + 0.4 * done / len(active))
    return made


def _mix_of_strips(stems: Stems, after: Mapping[str, AudioSource]) -> AudioSource:
    """The mix with the stems behind their strips, without reverb and delay."""
    changes = ((1.0, made, -1.0, stems.parts[name]) for name, made in after.items())
    pairs = [term for up, made, down, part in changes for term in ((up, made), (down, part))]
    return Combination(((1.0, stems.mix), *pairs))


def _passage(inputs: Results, stems: Stems, part: Span | None, files: int) -> Span:
    """The passage that the page plays, in seconds of what is rendered: the loudest one of the song."""
    duration_s = stems.mix.frames / stems.mix.rate
    longest_s = max(PASSAGE_S * min(_FILES / files, 1.0), _SHORTEST_S)
    start_s = 0.0 if part is None else part.start_s
    levels = inputs.heard.analysis.short_term_lufs[round(start_s) : round(start_s + duration_s) + 1]
    found = choose_excerpt(duration_s, levels, math.floor(longest_s))
    return Span(found.start_s, found.stop_s)


def _change(before: AudioSource, after: AudioSource) -> dict[str, Any]:
    from mixagent.pipeline.measure.changes import measure_stem

    change = asdict(measure_stem(before, after))
    return {**change, "lufs": [finite_or_none(lufs) for lufs in change["lufs"]]}


def _kept(context: StageContext, whole: Mapping[str, DiskAudio], passage: Span) -> dict[str, Any]:
    """The passage of each stem behind its strip; the whole of it is not kept."""
    references = {}
    for name, made in whole.items():
        to = context.directory / f"{name}.f32"
        kept = spool(blocks(section(made, passage)), to, made.rate, made.channels)
        references[name] = audio_reference(kept)
        made.path.unlink()
    return references
