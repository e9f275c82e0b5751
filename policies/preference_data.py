"""Preference data: experiences as tensors of what was observed, rendered and preferred."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixagent.envs.mixing import Adviser, CaseSource, Choice
from mixagent.envs.observation import observe
from mixagent.pipeline.errors import UsageError
from mixagent.policies.experience import Experience, Preference
from mixagent.policies.learned import Checkpoint, chosen_action, steered
from mixagent.policies.network import Actor

MOST_WEIGHT = 4.0
"""A past master counts at most this much as an example."""


@dataclass(frozen=True)
class PreferenceData:
    """Past masters of songs with the same stems, N of them, and P preferences among them.

    Attributes:
        observation: what the policy was shown, stacked: (N, …) each.
        order: of the steered parameters, see `Layout.order`.
        actions: what was rendered, (N, A).
        weights: how much each counts as an example, (N,).
        rows: which observation each preference is about, (P,).
        better, worse: the actions that a person chose between, (P, A); zeros for the song as it came.
        votes: how much each preference counts, (P,), their mean 1; None where all count alike.
    """

    observation: dict[str, Tensor]
    order: Tensor
    actions: Tensor
    weights: Tensor
    rows: Tensor
    better: Tensor
    worse: Tensor
    votes: Tensor | None = None


@dataclass(frozen=True)
class Anchors:
    """Observations of corpus cases, on which the policy should stay as it is.

    Attributes:
        observation: stacked, (N, …) each.
        order: of the steered parameters.
        spread: of the measures in an observation over the songs that the policy was trained on, by key.
    """

    observation: dict[str, Tensor]
    order: Tensor
    spread: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.observation.values())))

    def noisy(self, index: Tensor, noise: float, random: torch.Generator) -> dict[str, Tensor]:
        """The observations of some of the cases, see `blurred`."""
        rows = {key: value[index] for key, value in self.observation.items()}
        return self.blurred(rows, noise, random)

    def blurred(
        self, observation: Mapping[str, Tensor], noise: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        """Observations whose measures are moved at random by a share of their spread."""
        moved = dict(observation)
        for key, spread in self.spread.items() if noise else ():
            scale = noise * torch.where(spread.isfinite(), spread, 0.0)
            moved[key] = moved[key] + scale * torch.randn(moved[key].shape, generator=random)
        return moved


def anchors(
    cases: CaseSource, names: Sequence[str], choice: Choice, adviser: Adviser, actor: Actor
) -> Anchors:
    """The observations of these cases."""
    contexts = (cases.load(name).context(choice.space) for name in names)
    rows = [observe(context, choice.stems, choice.action(adviser(context))) for context in contexts]
    spread = {key: actor.encoder.get_buffer(f"{key}_spread") for key in ("mix", "stems", "diagnosis")}
    return Anchors(_stacked(rows), actor.encoder.layout.order(choice.names, choice.stems), spread)


def preference_data(
    experiences: Sequence[Experience],
    preferences: Sequence[Preference],
    checkpoint: Checkpoint,
    adviser: Adviser,
    temperature: float,
) -> list[PreferenceData]:
    """The data of experiences and preferences, in groups of songs with the same stems.

    Experiences without a context or without features are left out, and preferences about them too.

    Raises:
        UsageError: nothing is left.
    """
    known = [each for each in usable(experiences) if _has_features(each)]
    weights = example_weights(known, preferences, temperature)
    groups: dict[tuple[str, ...], list[Experience]] = {}
    for each in known:
        assert each.context is not None
        groups.setdefault(tuple(each.context.stems), []).append(each)
    return [
        _group(stems, group, preferences, weights, checkpoint, adviser) for stems, group in groups.items()
    ]


def usable(experiences: Sequence[Experience]) -> list[Experience]:
    """The experiences that this version can learn from.

    Raises:
        UsageError: none is.
    """
    if not experiences:
        raise UsageError(
            "there is no experience yet: master a song, then say `mixagent rate SONG --better A` or B"
        )
    known = [each for each in experiences if each.context is not None]
    if not known:
        raise UsageError(
            f"all {len(experiences)} experiences were measured by another version of mixagent: "
            "master the songs again"
        )
    return known


def has_features(experiences: Iterable[Experience]) -> bool:
    """True where the master's policy can learn from any of them: a service's jobs keep none."""
    return any(map(_has_features, experiences))


def _has_features(experience: Experience) -> bool:
    return experience.context is not None and "mix" in experience.context.features


def _group(
    stems: tuple[str, ...],
    group: Sequence[Experience],
    preferences: Iterable[Preference],
    weights: Mapping[int, float],
    checkpoint: Checkpoint,
    adviser: Adviser,
) -> PreferenceData:
    contexts = [each.context for each in group if each.context is not None]
    layout = checkpoint.actor.encoder.layout
    names = layout.steered(steered(contexts[0].space, checkpoint.parameters), stems)
    actions = np.array([_action(each, names) for each in group], np.float32)
    advice = [chosen_action(context.space, names, adviser(context).values) for context in contexts]
    rows = [observe(context, stems, each) for context, each in zip(contexts, advice, strict=True)]
    # The row after the last stands for the song as it came.
    place: dict[int | None, int] = {each.number: k for k, each in enumerate(group)}
    place[None] = len(group)
    about = [p for p in preferences if {p.better, p.worse} <= place.keys()]
    sides = [(place[p.better], place[p.worse]) for p in about]
    better, worse = np.array(sides, np.int64).reshape(-1, 2).T
    rendered = np.vstack([actions, np.zeros_like(actions[:1])])
    return PreferenceData(
        observation=_stacked(rows),
        order=layout.order(names, stems),
        actions=torch.from_numpy(actions),
        weights=torch.tensor([weights[each.number] for each in group]),
        rows=torch.from_numpy(np.minimum(better, worse)),
        better=torch.from_numpy(rendered[better]),
        worse=torch.from_numpy(rendered[worse]),
        votes=votes(about),
    )


def votes(preferences: Sequence[Preference]) -> Tensor:
    """How much each preference counts: every author has as much to say as any other, (P,), their mean 1."""
    said = Counter(each.author for each in preferences)
    shares = torch.tensor([1.0 / said[each.author] for each in preferences])
    return shares * len(preferences) / max(len(said), 1)


def _action(experience: Experience, names: Sequence[str]) -> NDArray[np.float32]:
    """The action (A,) of what was rendered; parameters that the actor does not steer are left out."""
    assert experience.context is not None
    space = experience.context.space
    known = {name: value for name, value in experience.settings.items() if name in space}
    return chosen_action(space, names, space.settings(known).values)


def example_weights(
    experiences: Sequence[Experience], preferences: Iterable[Preference], temperature: float
) -> dict[int, float]:
    """By number, exp(advantage ÷ temperature), bounded; the advantage is over the song's other masters.

    A song's only master is held against all songs' mean. One that was not judged, or that a person
    liked less than another, is no example.
    """
    disliked = {each.worse for each in preferences}
    judged = {each.number: (each.song, each.blind) for each in experiences if each.blind is not None}
    by_song: dict[str, list[float]] = {}
    for song, blind in judged.values():
        by_song.setdefault(song, []).append(blind)
    everywhere = float(np.mean([blind for _, blind in judged.values()])) if judged else 0.0
    weights = dict.fromkeys((each.number for each in experiences), 0.0)
    for number in judged.keys() - disliked:
        song, blind = judged[number]
        usual = float(np.mean(by_song[song])) if len(by_song[song]) > 1 else everywhere
        weights[number] = min(math.exp((blind - usual) / temperature), MOST_WEIGHT)
    return weights


def _stacked(rows: Sequence[Mapping[str, NDArray[np.float32]]]) -> dict[str, Tensor]:
    return {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}
