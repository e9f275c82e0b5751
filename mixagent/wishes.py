"""What a person wishes for beside what a policy decides: references to sound like, and a goal in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixagent.pipeline.analysis import THIRD_OCTAVES_HZ, Analysis
from mixagent.pipeline.dsp.equaliser import band_filters
from mixagent.pipeline.feedback import Aim, aims, left_alone
from mixagent.pipeline.graph import Result
from mixagent.pipeline.parameters import EQ_BANDS, ParameterSpace, Settings
from mixagent.pipeline.references.dynamics import dynamics_moves
from mixagent.pipeline.references.goals import Goal
from mixagent.pipeline.references.library import GENRE
from mixagent.pipeline.references.moves import moved
from mixagent.pipeline.references.profile import profile_of, shifted
from mixagent.pipeline.targets import LoudnessTarget, loudness_target
from mixagent.policies.base import Decision
from mixagent.reference_account import reference_account
from mixagent.reference_stages import Listened, Match, listen
from mixagent.references import Aims, Reference, References, reference_target
from mixagent.running import Runner

GOAL_LUFS = (-24.0, -7.0)
"""A goal moves no target beyond these."""


@dataclass(frozen=True)
class Wishes:
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
    def match(self) -> Match | None:
        """How the mix is to be matched."""
        if self.listened is None:
            return None
        aims = self.listened.aims if self.goal is None else _bent(self.listened.aims, self.goal)
        return Match(aims, matchering=self.listened.matchering)

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

    def steered(self, target: LoudnessTarget, settings: Settings) -> tuple[Aim, ...]:
        """What the feedback loop steers: the tone towards the reference's, and nothing against the goal."""
        match = self.match
        tone = None if match is None or match.aims is None else match.aims.tone
        moves = () if self.goal is None else self.goal.moves(settings.space)
        return left_alone(aims(target, tone), settings, {move.name for move in moves})

    def decided(self, decision: Decision, song: Analysis) -> Decision:
        """The decision with what brings the song's dynamics towards the references', and with the goal."""
        moves = () if self.goal is None else self.goal.moves(decision.settings.space)
        dynamics = None if self.listened is None else self.listened.aims.dynamics
        if dynamics is not None and math.isfinite(song.integrated_lufs):
            moves = (*dynamics_moves(profile_of("the song", {"": song}), dynamics), *moves)
        return Decision(*moved(decision.settings, decision.reasons, moves)) if moves else decision


def _bent(aims: Aims, goal: Goal) -> Aims:
    """The aims with the tone and width that a goal asks for on top, or the match would take them back."""
    moves = {move.name: move.by for move in goal.moves(ParameterSpace.for_stems(()))}
    gains_db = tuple(moves.get(f"master.eq_{name}_db", 0.0) for name in EQ_BANDS)
    hz, rate = np.array(THIRD_OCTAVES_HZ), 48_000
    tone_db = sum((each.response_db(hz, rate) for each in band_filters(gains_db, rate)), np.zeros(hz.size))
    width_db = 20 * math.log10(max(1.0 + moves.get("master.width", 0.0), 0.1))
    tone, width = aims.tone, aims.width
    return replace(
        aims,
        tone=None if tone is None else shifted(tone, tone_db, 0.0),
        width=None if width is None else shifted(width, tone_db, width_db),
    )


def known_wishes(references: References | None, goal: Goal | None, song_s: float, run: Runner) -> Wishes:
    """What references and goal come to, for a song of this length in seconds.

    Raises:
        MixagentError: a reference that cannot be used.
    """
    every = with_genres(references, goal)
    return Wishes(every, None if every is None else listen(every, song_s, run), goal)


def with_genres(references: References | None, goal: Goal | None) -> References | None:
    """The references, and a goal's genres for tone and width where no reference was named for these."""
    genres = () if goal is None else tuple(dict.fromkeys(profile for _, profile in goal.genres))
    if not genres:
        return references
    named = references or References()
    found = tuple(Reference(f"{GENRE}{genre}") for genre in genres)
    return replace(named, tone=named.tone or found, width=named.width or found)


def wishes_account(wishes: Wishes, results: Mapping[str, Result], space: ParameterSpace) -> dict[str, Any]:
    """The report's entries `reference` and `goal`, None where there was none."""
    references, listened = wishes.references, wishes.listened
    reference = None
    if references is not None and listened is not None and "match" in results:
        reference = reference_account(references, listened, results)
    return {
        "reference": reference,
        "goal": None if wishes.goal is None else _goal_account(wishes.goal, space),
    }


def _goal_account(goal: Goal, space: ParameterSpace) -> dict[str, Any]:
    moves = goal.moves(space)
    return {
        "text": goal.text,
        "understood": [
            {"words": wish.words, "means": wish.label, "steps": wish.steps} for wish in goal.wishes
        ],
        "genres": [{"words": words, "profile": profile} for words, profile in goal.genres],
        "loudness_lu": goal.loudness_lu,
        "moves": [{"name": move.name, "by": move.by, "reason": move.reason} for move in moves],
        "not_understood": [words for words, _ in goal.unknown],
        "conflicts": [list(sides) for sides in goal.conflicts],
    }


def goal_words(account: Mapping[str, Any]) -> str:
    """What was understood of a goal, in one sentence, from the report's entry."""
    wishes = [f"{row['words']} is {row['means']}{_size(row['steps'])}" for row in account["understood"]]
    genres = [f"{row['words']} is the profile {row['profile']}" for row in account["genres"]]
    return f"Understood of “{account['text']}”: {'; '.join([*wishes, *genres]) or 'nothing'}"


def _size(steps: float) -> str:
    return "" if abs(steps) == 1 else f" ({abs(steps):.1f} steps)"


def wishes_warnings(wishes: Wishes, space: ParameterSpace, target_named: bool) -> list[str]:
    """What of references and goal could not be done, for the user."""
    found = [] if wishes.listened is None else [*wishes.listened.warnings]
    return (
        found if wishes.goal is None else [*found, *_goal_warnings(wishes, wishes.goal, space, target_named)]
    )


def _goal_warnings(wishes: Wishes, goal: Goal, space: ParameterSpace, target_named: bool) -> list[str]:
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
        lines.append("the goal's loudness was not followed: --target names one")
    used = () if wishes.references is None else wishes.references.all
    lines += [
        f"“{words}” was not followed: --reference says what it is to sound like"
        for words, profile in goal.genres
        if f"{GENRE}{profile}" not in [reference.name for reference in used]
    ]
    return lines
