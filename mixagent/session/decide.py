"""The second step of a master: what the policy decides, bettered by a search, bent to references and goal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from mixagent.pipeline.chain.parameters import REPAIR, ParameterSpace, Settings
from mixagent.pipeline.chain.section_settings import SectionSettings
from mixagent.pipeline.matching.section_goals import section_settings
from mixagent.policies.base import Context, Decision, with_overrides
from mixagent.report.model import ConductorSection, FeedbackSection, SearchSection
from mixagent.session.analyse import AnalysedSong, Job
from mixagent.session.conducting import Conduct, conducted, conducting_stage
from mixagent.session.guidance import Guidance, known_guidance
from mixagent.session.request import Request
from mixagent.session.results import Results
from mixagent.session.search import Search, searched, searching_stage


@dataclass(frozen=True)
class Decided:
    """What is to be done with a song.

    Attributes:
        request: with the target that came of references and goal.
        guidance: what references and goal come to.
        decision: what the policy decided, as it was bent to them, before the amount is applied.
        search: how a search bettered it; None where none ran.
        conductor: what the conductor's agents tried; None where there was none.
        feedback: how the feedback loop revised it; None where it was left out.
        sections: what holds in stretches of the song beside the settings, before the amount is applied.
        unplaced: what a goal asks of sections and is not done, a line each.
        told: of plug-ins that failed, warnings.
    """

    request: Request
    guidance: Guidance
    decision: Decision
    search: SearchSection | None = None
    conductor: ConductorSection | None = None
    feedback: FeedbackSection | None = None
    sections: tuple[SectionSettings, ...] = ()
    unplaced: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def applied(self) -> Settings:
        """The settings that are rendered: as much of what was decided as was asked for."""
        return self.request.strengths.applied(self.decision.settings, self.request.amount)

    @property
    def applied_sections(self) -> tuple[SectionSettings, ...]:
        """As much of what sections have by themselves."""
        request, space = self.request, self.decision.settings.space
        return tuple(each.scaled(request.amount, request.strengths, space) for each in self.sections)


def decide(job: Job, song: AnalysedSong) -> Decided:
    """What is to be done; what was set by hand holds before the search and after it."""
    duration_s = song.heard.song.frames / song.heard.song.rate
    guidance = known_guidance(job.request.references, job.request.goal, duration_s, job.run)
    target = guidance.target(
        job.request.target, job.request.target_named, song.heard.analysis.integrated_lufs
    )
    request = replace(job.request, target=target)
    context = replace(song.context, target=request.target_of(song.heard.song.channels))
    by_hand = partial(with_overrides, values=request.config.chain, reason="set by hand")
    decision, section = by_hand(_with_repairs(job.policy.decide(context), song.heard.results)), None
    if request.search:
        search = Search(context, decision, tuple(request.config.chain), request.search, request.seed)
        stage = searching_stage(search, song.heard.results, request.restoration)
        decision, section = searched(search, job.run.stages([*song.hearing, stage])[stage.name])
    bent = by_hand(guidance.decided(decision, song.heard.measures))
    sections, unplaced = _by_section(guidance, song, bent.settings.space)
    if request.project is not None and sections:
        unplaced = (*unplaced, "the project holds nothing of what differs by section: the master alone does")
    decided = Decided(
        request, guidance, bent, section, sections=request.sections or sections, unplaced=unplaced
    )
    return decided if request.conductor is None else _conducted(job, song, decided, context, decision)


def _by_section(
    guidance: Guidance, song: AnalysedSong, space: ParameterSpace
) -> tuple[tuple[SectionSettings, ...], tuple[str, ...]]:
    """What a goal asks of sections of the song, and what of that is not done."""
    if guidance.goal is None or not guidance.goal.of_sections:
        return (), ()
    return section_settings(guidance.goal, song.heard.results.sections, space)


def _conducted(job: Job, song: AnalysedSong, decided: Decided, context: Context, unbent: Decision) -> Decided:
    """What the conductor makes of a decision; what was set by hand and what a goal moved stays."""
    request, begun = decided.request, decided.decision
    assert request.conductor is not None
    bent = [name for name, value in begun.settings.changed().items() if value != unbent.settings[name]]
    goal = bent if request.goal is not None else []
    # What references say is not another policy's to change.
    free = request.references is None and request.matchering is None and not decided.guidance.matchering
    held = (*request.config.chain, *goal, *decided.guidance.kept(begun.settings.space))
    others = _others(job, song) if free else ()
    words = "" if request.goal is None else request.goal.text
    conduct = Conduct(context, begun, held, request.conductor, others, words)
    stage = conducting_stage(conduct, song.heard.results, request.restoration)
    decision, section = conducted(conduct, job.run.stages([*song.hearing, stage])[stage.name])
    return replace(decided, decision=decision, conductor=section)


def _others(job: Job, song: AnalysedSong) -> tuple[str, ...]:
    """The policies whose opinion the conductor hears; one that sets stems only where the stems are known."""
    known = len(song.heard.stems.parts) > 2
    names = ["reading", *(["mix"] if known else [])]
    return tuple(name for name in names if name != job.policy.name)


def _with_repairs(decision: Decision, results: Results) -> Decision:
    """The decision with the repairs' own amounts, but for those that it weighs itself."""
    weighed = decision.settings.changed()
    for name, amount in results.repair_amounts.items():
        parameter = f"{REPAIR}.{name}"
        if parameter not in weighed:
            decision = with_overrides(decision, {parameter: amount}, results.repair_reason(name))
    return decision
