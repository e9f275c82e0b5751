"""What a person asks for beside what a policy decides: references to sound like, and a goal in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mixagent.pipeline.chain.amounts import dimension
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.feedback import Aim, aims, graphic_aims, left_alone
from mixagent.pipeline.finaliser.targets import LoudnessTarget, loudness_target
from mixagent.pipeline.finished.band import Band, finished_music_band
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.matching.chosen import band_of
from mixagent.pipeline.matching.goals import Goal
from mixagent.pipeline.matching.library import GENRE
from mixagent.pipeline.matching.moves import moved
from mixagent.policies.band import towards
from mixagent.policies.base import Decision
from mixagent.report.model import GenreWords, GoalMove, GoalSection, ReferenceSection, UnderstoodWords
from mixagent.session.reference_stages import Listened, listen
from mixagent.session.references import Reference, References, reference_target
from mixagent.session.reporting.references import reference_section
from mixagent.session.results import Results
from mixagent.session.running import Runner

GOAL_LUFS = (-24.0, -7.0)
"""A goal moves no target beyond these."""

_BENT = {"eq": "tone", "width": "width"}
"""What of the graphic equaliser's aims a goal bends that moves a parameter of the dimension."""


@dataclass(frozen=True)
class Guidance:
    """References and goal of one master, as far as they are known.

    Attributes:
        references: as asked for, with those that the goal's genres stand for.
        listened: what was found of them; None where there are none.
        goal: as it was understood.
    """

    references: References | None = None
    listened: Listened | None = None
    goal: Goal | None = None

    @property
    def matchering(self) -> Path | None:
        """The song whose tone and width matchering is to give to the mix."""
        return None if self.listened is None else self.listened.matchering

    @property
    def band(self) -> Band | None:
        """What the song is held against; matchering looks after tone and width by itself."""
        if self.listened is None:
            return None
        found = self.listened.aims
        if self.matchering is not None:
            return band_of(dynamics=found.dynamics)
        return band_of(found.tone, found.dynamics, found.width)

    def target(self, asked: LoudnessTarget, named: bool) -> LoudnessTarget:
        """The target, as loud as the reference where that was asked for, then as the goal has it.

        Args:
            asked: the target without them.
            named: whether the user named it, so that a goal has no say.
        """
        loudness = None if self.listened is None else self.listened.aims.loudness
        target = asked if loudness is None else reference_target(loudness, asked.ceiling_dbtp)
        by_lu = 0.0 if named or self.goal is None else self.goal.loudness_lu
        if by_lu == 0.0:
            return target
        lufs = min(max(target.integrated_lufs + by_lu, GOAL_LUFS[0]), GOAL_LUFS[1])
        shifted = loudness_target(f"{lufs:.2f}", target.ceiling_dbtp)
        return replace(
            shifted, name=f"{lufs:.1f} LUFS, {abs(by_lu):.1f} LU {'up' if by_lu > 0 else 'down'} by the goal"
        )

    def steered(
        self, target: LoudnessTarget, settings: Settings, song: SongMeasures | None
    ) -> tuple[Aim, ...]:
        """What the feedback loop steers: the tone towards the reference's, and nothing against the goal.

        Args:
            target: of the finaliser.
            settings: that are rendered first.
            song: what the song measures; None for silence.
        """
        wished = set() if self.goal is None else {move.name for move in self.goal.moves(settings.space)}
        tone = None if self.listened is None else self.listened.aims.tone
        steered = left_alone(aims(target, band_of(tone)), settings, wished)
        if song is None or self.matchering is not None:
            return steered
        bent = {_BENT[d] for name in wished if (d := dimension(name)) in _BENT}
        held = graphic_aims(song, settings, self.band or finished_music_band().band)
        return (*steered, *(aim for aim in held if aim.name.split("_")[0] not in bent))

    def decided(self, decision: Decision, song: SongMeasures | None) -> Decision:
        """The decision with the answer to the references, and with the goal on top.

        Args:
            decision: of the policy.
            song: what the song measures; None for silence, which is brought nowhere.
        """
        band = self.band
        if band is not None and song is not None:
            decision = towards(decision, song, band)
        moves = () if self.goal is None else self.goal.moves(decision.settings.space)
        return Decision(*moved(decision.settings, decision.reasons, moves)) if moves else decision


def known_guidance(references: References | None, goal: Goal | None, song_s: float, run: Runner) -> Guidance:
    """What references and goal come to, for a song of this length in seconds.

    Raises:
        MixagentError: a reference that cannot be used.
    """
    every = with_genres(references, goal)
    return Guidance(every, None if every is None else listen(every, song_s, run), goal)


def with_genres(references: References | None, goal: Goal | None) -> References | None:
    """The references, and a goal's genres for tone and width where no reference was named for these."""
    genres = () if goal is None else tuple(dict.fromkeys(profile for _, profile in goal.genres))
    if not genres:
        return references
    named = references or References()
    found = tuple(Reference(f"{GENRE}{genre}") for genre in genres)
    return replace(named, tone=named.tone or found, width=named.width or found)


def guidance_sections(
    guidance: Guidance, results: Results, space: ParameterSpace
) -> tuple[ReferenceSection | None, GoalSection | None]:
    """The report's sections `reference` and `goal`, None where there was none."""
    references, listened = guidance.references, guidance.listened
    reference = None
    if references is not None and listened is not None and "measure" in results:
        reference = reference_section(references, listened, results)
    return reference, None if guidance.goal is None else _goal_section(guidance.goal, space)


def _goal_section(goal: Goal, space: ParameterSpace) -> GoalSection:
    return GoalSection(
        text=goal.text,
        understood=tuple(
            UnderstoodWords(words=wish.words, means=wish.label, steps=wish.steps) for wish in goal.wishes
        ),
        genres=tuple(GenreWords(words=words, profile=profile) for words, profile in goal.genres),
        loudness_lu=goal.loudness_lu,
        moves=tuple(GoalMove(name=move.name, by=move.by, reason=move.reason) for move in goal.moves(space)),
        not_understood=tuple(words for words, _ in goal.unknown),
        conflicts=tuple(goal.conflicts),
    )


def goal_words(section: GoalSection) -> str:
    """The understood part of a goal, in one sentence."""
    wishes = [f"{row.words} is {row.means}{_size(row.steps)}" for row in section.understood]
    genres = [f"{row.words} is the profile {row.profile}" for row in section.genres]
    return f"Understood of “{section.text}”: {'; '.join([*wishes, *genres]) or 'nothing'}"


def _size(steps: float) -> str:
    return "" if abs(steps) == 1 else f" ({abs(steps):.1f} steps)"


def guidance_warnings(guidance: Guidance, space: ParameterSpace, target_named: bool) -> list[str]:
    """What of references and goal could not be done, for the user."""
    found = [] if guidance.listened is None else [*guidance.listened.warnings]
    return (
        found
        if guidance.goal is None
        else [*found, *_goal_warnings(guidance, guidance.goal, space, target_named)]
    )


def _goal_warnings(guidance: Guidance, goal: Goal, space: ParameterSpace, target_named: bool) -> list[str]:
    lines = [
        f"the goal asks for “{more}” and “{less}”, which contradict each other: neither was done"
        for more, less in goal.conflicts
    ]
    if goal.unknown:
        words = ", ".join(f"“{word}”" + (f" ({alike}?)" if alike else "") for word, alike in goal.unknown)
        lines.append(f"not understood of the goal: {words}")
    lines += [
        f"“{wish.words}” was not done: the chain has no means, or there is no such stem"
        for wish in goal.out_of_reach(space)
    ]
    if target_named and goal.loudness_lu:
        lines.append("the goal's loudness was not followed: a target was named")
    used = () if guidance.references is None else guidance.references.all
    lines += [
        f"“{words}” was not followed: a reference says what it is to sound like"
        for words, profile in goal.genres
        if f"{GENRE}{profile}" not in [reference.name for reference in used]
    ]
    return lines
