"""What a person asks for beside what a policy decides: references to sound like, and a goal in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixagent.pipeline.chain.amounts import dimension
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.chain.section_settings import SectionSettings
from mixagent.pipeline.feedback import Aim, aims, graphic_aims, left_alone
from mixagent.pipeline.finaliser.targets import (
    QUIETEST_LUFS,
    LoudnessTarget,
    check_target,
    loudness_target,
)
from mixagent.pipeline.finished.band import Band, finished_music_band
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.matching.chosen import band_of
from mixagent.pipeline.matching.goals import GOAL_LUFS, Goal, Piece
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

    def target(self, asked: LoudnessTarget, named: bool, song_lufs: float = -math.inf) -> LoudnessTarget:
        """The target, as loud as the reference where that was asked for, then as the goal has it.

        Args:
            asked: the target without them.
            named: whether the user named it, so that a goal has no say.
            song_lufs: loudness of the song, which a goal may want to be kept.
        """
        loudness = None if self.listened is None else self.listened.aims.loudness
        target = asked if loudness is None else reference_target(loudness, asked.ceiling_dbtp)
        if named or self.goal is None:
            return target
        target, by_lu = _asked_of(self.goal, target, song_lufs), self.goal.loudness_lu
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
        wished |= self.kept(settings.space).keys()
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
        space = decision.settings.space
        if kept := self.kept(space):
            decision = _left_alone(decision, kept)
        moves = () if self.goal is None else self.goal.moves(space)
        return Decision(*moved(decision.settings, decision.reasons, moves)) if moves else decision

    def kept(self, space: ParameterSpace) -> dict[str, str]:
        """Parameters that a goal wants left at neutral, with the reason."""
        return {} if self.goal is None else self.goal.kept(space)


def _left_alone(decision: Decision, kept: Mapping[str, str]) -> Decision:
    """The decision with these parameters at neutral, and why."""
    settings, changed = decision.settings, decision.settings.changed()
    undone = {name: settings.space[name].neutral for name in kept if name in changed}
    reasons = {name: why for name, why in decision.reasons.items() if name not in undone}
    values = {**settings.values, **undone}
    return Decision(settings.space.settings(values), reasons | {name: kept[name] for name in undone})


def _asked_of(goal: Goal, target: LoudnessTarget, song_lufs: float) -> LoudnessTarget:
    """The target as a goal names it: a platform, then a figure of loudness, then a ceiling."""
    if goal.platform is not None:
        target = loudness_target(goal.platform)
    if goal.lufs is not None:
        target = loudness_target(f"{goal.lufs:g}", target.ceiling_dbtp)
    elif goal.keeps_loudness and QUIETEST_LUFS <= song_lufs < target.integrated_lufs:
        target = replace(
            loudness_target(f"{song_lufs:.2f}", target.ceiling_dbtp), name="the song's own loudness"
        )
    if goal.ceiling_dbtp is not None:
        target = check_target(replace(target, ceiling_dbtp=goal.ceiling_dbtp))
    return target


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
    guidance: Guidance, results: Results, space: ParameterSpace, sections: Sequence[SectionSettings]
) -> tuple[ReferenceSection | None, GoalSection | None]:
    """The report's sections `reference` and `goal`, None where there was none."""
    references, listened = guidance.references, guidance.listened
    reference = None
    if references is not None and listened is not None and "measure" in results:
        reference = reference_section(references, listened, results)
    return reference, None if guidance.goal is None else _goal_section(guidance.goal, space, sections)


def _goal_section(goal: Goal, space: ParameterSpace, sections: Sequence[SectionSettings]) -> GoalSection:
    return GoalSection(
        text=goal.text,
        understood=tuple(
            understood_words(piece) for piece in goal.pieces if (piece.words, piece.name) not in goal.genres
        ),
        genres=tuple(GenreWords(words=words, profile=profile) for words, profile in goal.genres),
        loudness_lu=goal.loudness_lu,
        moves=(
            *(GoalMove(name=move.name, by=move.by, reason=move.reason) for move in goal.moves(space)),
            *(move for each in sections for move in _section_moves(each, space)),
        ),
        not_understood=tuple(row.words for row in goal.unknown),
        conflicts=tuple((row.first, row.second) for row in goal.conflicts),
        decided=tuple(row.decided for row in goal.conflicts),
        corrected=tuple((row.words, row.read_as) for row in goal.corrected),
    )


def understood_words(piece: Piece) -> UnderstoodWords:
    """A piece of a goal as the report tells it."""
    amount = None if piece.amount is None else f"{piece.amount.value:g} {piece.amount.unit}"
    return UnderstoodWords(
        words=piece.words,
        means=piece.means,
        steps=piece.steps,
        scope=piece.scope.label,
        direction=piece.direction,
        amount=amount,
        needs_stems=piece.scope.stem is not None,
    )


def _section_moves(each: SectionSettings, space: ParameterSpace) -> list[GoalMove]:
    """What a goal moves in a section, by parameter: the level, then the others against their neutral."""
    place = f"{each.label} {each.start_s:.0f}–{each.stop_s:.0f} s"
    reason = f"{each.reason} ({place})"
    level = [GoalMove(name=f"{each.where}.level_db", by=each.gain_db, reason=reason)] if each.gain_db else []
    moved = [
        GoalMove(
            name=name,
            by=value / space[name].neutral if space[name].scale == "log" else value - space[name].neutral,
            reason=reason,
        )
        for name, value in each.values.items()
    ]
    return [*level, *moved]


def goal_words(section: GoalSection) -> str:
    """The understood part of a goal, in one sentence."""
    wishes = [f"{row.words} is {row.means}{_size(row)}" for row in section.understood]
    genres = [f"{row.words} is the profile {row.profile}" for row in section.genres]
    return f"Understood of “{section.text}”: {'; '.join([*wishes, *genres]) or 'nothing'}"


def _size(row: UnderstoodWords) -> str:
    if row.direction in ("keep", "set"):
        return ""
    if row.amount is not None:
        return f" by {row.amount}"
    return "" if abs(row.steps) == 1 else f" ({abs(row.steps):.1f} steps)"


def guidance_warnings(
    guidance: Guidance, space: ParameterSpace, target_named: bool, unplaced: Sequence[str] = ()
) -> list[str]:
    """What of references and goal could not be done, for the user."""
    found = [] if guidance.listened is None else [*guidance.listened.warnings]
    if guidance.goal is None:
        return found
    return [*found, *_goal_warnings(guidance, guidance.goal, space, target_named), *unplaced]


def _goal_warnings(guidance: Guidance, goal: Goal, space: ParameterSpace, target_named: bool) -> list[str]:
    lines = [*goal_lines(goal)]
    lines += [f"“{piece.words}” was not done: {why}" for piece, why in goal.out_of_reach(space)]
    if target_named and _aims(goal):
        lines.append("the goal's loudness was not followed: a target was named")
    used = () if guidance.references is None else guidance.references.all
    lines += [
        f"“{words}” was not followed: a reference says what it is to sound like"
        for words, profile in goal.genres
        if f"{GENRE}{profile}" not in [reference.name for reference in used]
    ]
    return lines


def _aims(goal: Goal) -> bool:
    """True where a goal says how loud the master is to be, or its ceiling."""
    named = (goal.lufs, goal.ceiling_dbtp, goal.platform)
    return bool(goal.loudness_lu) or goal.keeps_loudness or any(each is not None for each in named)


def goal_lines(goal: Goal) -> list[str]:
    """What is to be said of a goal before anything is done: conflicts, misspellings, what is not known."""
    lines = [*goal.problems]
    lines += [
        f"the goal asks for “{row.first}” and “{row.second}”, which contradict each other: {row.decided}"
        for row in goal.conflicts
    ]
    lines += [f"“{row.words}” was read as “{row.read_as}”" for row in goal.corrected]
    if goal.unknown:
        words = ", ".join(
            f"“{row.words}”" + (f" ({row.alike}?)" if row.alike else "") for row in goal.unknown
        )
        lines.append(f"not understood of the goal: {words}")
    return lines
