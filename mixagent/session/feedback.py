"""The feedback loop of a master: render, measure, revise what was decided, render again."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mixagent.pipeline.chain.edits import Edits, edited
from mixagent.pipeline.feedback import (
    Aim,
    Change,
    Figures,
    deviation,
    graphic_figures,
    misses,
    render_figures,
    revise,
    song_figures,
)
from mixagent.pipeline.graph.runner import Stage, StageContext
from mixagent.pipeline.io import resample
from mixagent.policies.base import Decision
from mixagent.report.model import FeedbackSection
from mixagent.session.reporting.feedback import change_words, feedback_section
from mixagent.session.results import Results
from mixagent.session.running import Runner

LEAST_GAIN = 0.5
"""By how much a render has to come closer to the aims, in tolerances."""

_LEVELS = "levels.npy"

RENDERING = ("mix", "match", "level", "finalise", "measure", "judge")
"""The stages of a render, which a later one has again."""


@dataclass(frozen=True)
class Rendered:
    """One render of the loop.

    Attributes:
        decision: what was rendered.
        figures: what was measured of it.
        deviation: how far it is from the aims, `feedback.deviation`.
        changes: since the render that it revises.
    """

    decision: Decision
    figures: Figures
    deviation: float
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Loop:
    """What is steered, and with what.

    Attributes:
        renders: the most there are to be.
        aims: what is steered.
        held: names of parameters that are not to be touched.
        stages: those that hear the song, render a decision and measure it.
        edits: of the song's ends, as in the stages.
        rate: of the master in Hz, None for the song's own.
    """

    renders: int
    aims: Sequence[Aim]
    held: Collection[str]
    stages: Callable[[Decision], Sequence[Stage]]
    edits: Edits
    rate: int | None


def run_feedback(loop: Loop, decision: Decision, run: Runner) -> tuple[Decision, FeedbackSection]:
    """The decision whose render came closest to the aims, and the report's section on all renders.

    A render stands unless the one after it is closer by `LEAST_GAIN`, and the first that is not ends the
    loop: nothing is changed, and no time spent, for what nobody hears.
    """
    results = run.stages([*loop.stages(decision), _listening(), _judging(loop)])
    song = _song(results)
    renders = [_rendered(loop, decision, results, song, ())]
    while (revised := _revised(loop, renders, song)) is not None and len(renders) < loop.renders:
        following, changes = revised
        labels = {name: f"{name} {len(renders) + 1}" for name in RENDERING}
        results = run.stages([*loop.stages(following), _listening(), _judging(loop)], labels=labels)
        renders.append(_rendered(loop, following, results, song, changes))
        if renders[-1].deviation > renders[-2].deviation - LEAST_GAIN:
            break
    kept = _kept(renders)
    return renders[kept].decision, feedback_section(loop.aims, song, renders, kept, revised is not None)


def _kept(renders: Sequence[Rendered]) -> int:
    """The last of them, or the one before where that came no closer."""
    worse = len(renders) > 1 and renders[-1].deviation > renders[-2].deviation - LEAST_GAIN
    return len(renders) - (2 if worse else 1)


def _revised(
    loop: Loop, renders: Sequence[Rendered], song: Figures
) -> tuple[Decision, tuple[Change, ...]] | None:
    """What the last render's misses call for; None where it has none, or nothing answers them."""
    last = renders[-1]
    missed = misses(loop.aims, last.figures, song)
    settings, changes = revise(last.decision.settings, renders[0].decision.settings, missed, loop.held)
    if not changes:
        return None
    return Decision(settings.without_idle(), _reasons(renders, changes)), changes


def _reasons(renders: Sequence[Rendered], changes: Sequence[Change]) -> dict[str, str]:
    """The last render's, and of each parameter why the loop first moved it."""
    moved_before = {change.name for render in renders for change in render.changes}
    reasons = dict(renders[-1].decision.reasons)
    for change in changes:
        if change.name not in moved_before:
            reasons[change.name] = "; ".join(
                [*filter(None, [reasons.get(change.name)]), change_words(change)]
            )
    return reasons


def _rendered(
    loop: Loop,
    decision: Decision,
    results: Results,
    song: Figures,
    changes: tuple[Change, ...],
) -> Rendered:
    judged = results["judge"].values
    measured = results.measured
    assert measured is not None
    figures = render_figures(measured.analysis, _or_silence(judged["harshness_db"]), judged["pumping_db"])
    measures = measured.measures
    figures |= {} if measures is None else graphic_figures(measures)
    return Rendered(decision, figures, deviation(loop.aims, figures, song), changes)


def _song(results: Results) -> Figures:
    return song_figures(results.heard.analysis, _or_silence(results["listen"].values["harshness_db"]))


def _or_silence(level_db: float | None) -> float:
    return -math.inf if level_db is None else level_db


def _listening() -> Stage:
    """What is asked of the song once, to hold every render against."""
    return Stage("listen", listen_to_song, ("decode",))


def _judging(loop: Loop) -> Stage:
    """What is asked of a render beside its analysis."""
    settings = {"edits": asdict(loop.edits), "rate": loop.rate}
    return Stage("judge", judge_render, ("decode", "listen", "mix", "finalise"), settings)


def listen_to_song(context: StageContext) -> dict[str, Any]:
    """Harshness of the song as it came, and its levels, which every render is held against."""
    from mixagent.pipeline.measure.artefacts import band_levels

    heard = band_levels(Results(context.inputs).song)
    np.save(context.directory / _LEVELS, heard.levels_db, allow_pickle=False)
    return {"harshness_db": _finite(heard.harshness_db), "window_s": heard.window_s}


def judge_render(context: StageContext) -> dict[str, Any]:
    """Pumping and harshness of a render."""
    from mixagent.pipeline.measure.artefacts import BandLevels, band_levels, pumping_between_db

    inputs, rate = Results(context.inputs), context.settings["rate"]
    song, master, span = inputs.song, inputs.master, inputs.span
    assert span is not None
    resampled = resample(song, rate or song.rate, context.directory / "song.f32")
    dry = edited(resampled, Edits(**context.settings["edits"]), span)
    if dry is song:
        listened = inputs["listen"]
        levels_db = np.load(listened.directory / _LEVELS, allow_pickle=False)
        harshness_db = _or_silence(listened.values["harshness_db"])
        before = BandLevels(levels_db, listened.values["window_s"], harshness_db)
    else:
        before = band_levels(dry)
    after = band_levels(master)
    return {
        "pumping_db": pumping_between_db(before, after),
        "harshness_db": _finite(after.harshness_db),
    }


def _finite(level_db: float) -> float | None:
    return level_db if math.isfinite(level_db) else None
