"""The net that mixes learns from the user: preferences and corrections move it, held-out truth holds it.

The terms are those of `policies.learning`, over the actions of the strips whose effect is known without a
render (`steering.STATIC`). The others (compressor, transients, send) are not learnt from ratings, since no
held-out case could tell whether that does harm; they are held where they are, and checked.

A candidate is promoted only if it loses nowhere: on held-out mixes in disorder of all kinds, on those whose
balance is out, on finished songs, and in the actions that cannot be judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.measure.stem_features import features, present
from mixagent.pipeline.types import FloatArray, ShowProgress
from mixagent.policies.experience import Experience, Preference
from mixagent.policies.learning import (
    LEAST_GAIN,
    NOTHING_NEW,
    Difference,
    LearnSettings,
    agreement,
    blended,
    fine_tune,
    plain_agreement,
    user_loss,
)
from mixagent.policies.mixing.agent import frozen_net
from mixagent.policies.mixing.forward import BoundMixer, FrozenMixer
from mixagent.policies.mixing.held_out import CLEAN, UNBALANCED, HeldOut, losses
from mixagent.policies.mixing.network import MixingNet, Shape
from mixagent.policies.mixing.policy import (
    CAUTION,
    Mixers,
    MixingCheckpoint,
    Shown,
    set_actions,
    shown_of,
)
from mixagent.policies.mixing.steering import MOVING, STATIC
from mixagent.policies.preference_data import Anchors, PreferenceData, example_weights, votes

REACH = 0.3
"""However much is learnt, no action of a net goes further than this from its warm start."""

LEAST_APART = 1e-3
"""Versions whose strips are nearer to each other than this teach nothing about strips."""

MIX_SETTINGS = LearnSettings(steps=150, learning_rate=5e-4, deviation=0.08, reward=0.02, blur=0.3)
"""Actions of strips are small: 0.08 is about a dB of a fader. See `LearnSettings`."""

_ORDER = torch.arange(0)
"""The actor's answer has one order."""


# --- the actor -------------------------------------------------------------------------------------


class MixActor(nn.Module):
    """Nets that mix as one actor: from what is shown to what the policy would do with the strips."""

    def __init__(self, mixers: Mixers, shape: Shape) -> None:
        super().__init__()
        self.reach = [max(mixer.reach, REACH) for mixer in mixers]
        self.nets = nn.ModuleList(_net(mixer.net, shape) for mixer in mixers)
        self.starts = nn.ModuleList(_net(mixer.start or mixer.net, shape) for mixer in mixers)
        for start in self.starts:
            start.requires_grad_(False)

    def forward(self, observation: Mapping[str, Tensor], order: Tensor) -> Tensor:
        """The actions of `STATIC` by role, (B, roles · len(STATIC)).

        Args:
            observation: `features` (B, roles, F), `present` and `shares` (B, roles).
            order: not used.
        """
        return self.actions(observation)[..., : len(STATIC)].flatten(1)

    def actions(self, observation: Mapping[str, Tensor]) -> Tensor:
        """All actions, (B, roles, len(STEERED)), as `MixPolicy` does them, small ones too."""
        shown, there = observation["features"], observation["present"]
        wanted = []
        for net, start, reach in zip(self.nets, self.starts, self.reach, strict=True):
            begun = start(shown, there)
            wanted.append(begun + (net(shown, there) - begun).clamp(-reach, reach))
        actions = CAUTION * observation["shares"][..., None] * torch.stack(wanted).mean(0)
        return _balanced(actions, shown, observation["shares"] > 0)

    def mixers(self) -> Mixers:
        """The nets as they decide now, without torch."""
        parts = zip(self.nets, self.starts, self.reach, strict=True)
        return tuple(BoundMixer(_frozen(net), _frozen(start), reach) for net, start, reach in parts)


def _net(frozen: FrozenMixer, shape: Shape) -> MixingNet:
    net = MixingNet(replace(shape, dropout=0.0))
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in frozen.weights.items()})
    return net.eval()


def _frozen(net: nn.Module) -> FrozenMixer:
    assert isinstance(net, MixingNet)
    return frozen_net(net)


def _balanced(actions: Tensor, features: Tensor, there: Tensor) -> Tensor:
    """The actions less the gain that all stems that are there have in common: the finaliser makes it up."""
    powers = 10 ** (features[..., 0] / 10) * there
    share = powers / powers.sum(-1, keepdim=True).clamp(min=1e-12)
    common = (share * actions[..., 0]).sum(-1, keepdim=True) * there
    return torch.cat(((actions[..., 0] - common)[..., None], actions[..., 1:]), -1)


def observed(measures: FloatArray, shares: FloatArray | None = None) -> dict[str, Tensor]:
    """Songs as the actor is shown them: of measures (N, 1 + roles, ROW) and shares (N, roles), 1 if none."""
    there = present(measures)
    parts = {"features": features(measures), "present": there, "shares": there if shares is None else shares}
    return {name: torch.from_numpy(np.ascontiguousarray(part, np.float32)) for name, part in parts.items()}


# --- what there is to learn ------------------------------------------------------------------------


def strip_data(
    experiences: Sequence[Experience], preferences: Sequence[Preference], temperature: float
) -> PreferenceData | None:
    """Masters whose song was heard in stems, and preferences among them; None where there is none.

    A version of a song that was not taken apart had its strips at neutral, as the song as it came.
    """
    seen = {each.number: shown for each in experiences if (shown := _shown(each)) is not None}
    if not seen:
        return None
    known = {each.number: each for each in experiences}
    place = {number: row for row, number in enumerate(seen)}
    rows, better, worse, said = [], [], [], []
    for each in preferences:
        heard = [side for side in (each.better, each.worse) if side in seen]
        if not heard or not {each.better, each.worse} <= {*known, None}:
            continue
        sides = [_set(known.get(side or 0), seen[heard[0]]) for side in (each.better, each.worse)]
        if np.abs(sides[0] - sides[1]).max() >= LEAST_APART:
            rows.append(place[heard[0]])
            better.append(sides[0])
            worse.append(sides[1])
            said.append(each)
    weights = example_weights([known[number] for number in seen], preferences, temperature)
    size = len(next(iter(seen.values())).shares) * len(STATIC)
    return PreferenceData(
        observation=observed(
            np.stack([shown.measures for shown in seen.values()]),
            np.stack([shown.shares for shown in seen.values()]),
        ),
        order=_ORDER,
        actions=_rows([_set(known[number], shown) for number, shown in seen.items()], size),
        weights=torch.tensor([weights[number] for number in seen]),
        rows=torch.tensor(rows, dtype=torch.int64),
        better=_rows(better, size),
        worse=_rows(worse, size),
        votes=votes(said),
    )


def _shown(experience: Experience) -> Shown | None:
    return None if experience.context is None else shown_of(experience.context)


def _set(experience: Experience | None, shown: Shown) -> FloatArray:
    """The strips' actions but for the gain that all have in common; neutral for the song as it came."""
    settings = None if experience is None else _settings(experience)
    if settings is None:
        return np.zeros(len(shown.shares) * len(STATIC), np.float32)
    seen = observed(shown.measures[None], shown.shares[None])
    actions = torch.from_numpy(set_actions(settings))[None]
    return _balanced(actions, seen["features"], seen["shares"] > 0)[..., : len(STATIC)].flatten().numpy()


def _settings(experience: Experience) -> Settings | None:
    if experience.context is None:
        return None
    space = experience.context.space
    return space.settings({name: value for name, value in experience.settings.items() if name in space})


def _rows(rows: Sequence[FloatArray], size: int) -> Tensor:
    return torch.from_numpy(np.array(rows, np.float32).reshape(-1, size))


def holding(cases: HeldOut, actor: MixActor) -> Anchors:
    """The mixes on which the actor should stay as it is."""
    spread = actor.nets[0].get_buffer("spread")
    return Anchors(observed(cases.anchors), _ORDER, {"features": spread})


# --- judging the candidate -------------------------------------------------------------------------


@dataclass(frozen=True)
class MixComparison:
    """Candidate less net in use on held-out cases, in shares of what a mix in disorder lacks on the mean.

    Attributes:
        cases, songs: how many.
        truth: what is undone of disorders of all kinds.
        scrambled: of those whose balance is out.
        finished: how much less far songs are moved that are as they were made.
        unheard: the mean change of the actions that no case can judge.
    """

    cases: int
    songs: int
    truth: Difference
    scrambled: Difference
    finished: Difference
    unheard: float

    def lost(self, settings: LearnSettings) -> tuple[str, ...]:
        """The gates at which the candidate lost, or where a loss over the margin cannot be ruled out."""
        gates = self._gates(settings)
        lost = [name for name, (each, loss, margin) in gates.items() if each.loses(loss, margin)]
        return (*lost, *(["what cannot be judged"] if self.unheard > MOST_UNHEARD else []))

    def harmed(self, settings: LearnSettings) -> tuple[str, ...]:
        """The gates at which it surely lost."""
        return tuple(name for name, (each, loss, _) in self._gates(settings).items() if each.harms(loss))

    def _gates(self, settings: LearnSettings) -> dict[str, tuple[Difference, float, float]]:
        """By name, the difference, and what may be lost on the mean and at 95 % certainty."""
        undone = settings.loss, settings.margin
        return {
            "held-out truth": (self.truth, *undone),
            "mixes out of balance": (self.scrambled, *undone),
            "finished songs": (self.finished, settings.moved, settings.moved_margin),
        }


MOST_UNHEARD = 0.02
"""Under this, an effect would be left at neutral: see `mixing.policy.LEAST_ACTION`."""


@torch.no_grad()
def compare(current: MixActor, candidate: MixActor, cases: HeldOut, seed: int = 0) -> MixComparison:
    """Compare two actors on the held-out cases."""
    shown, batch = observed(cases.shown), cases.batch
    old, new = (actor.eval().actions(shown) for actor in (current, candidate))
    whole = losses(torch.zeros_like(old), batch)
    kinds = np.array(cases.kinds)
    scale = float(whole[kinds != CLEAN].mean())
    rose = (losses(old, batch) - losses(new, batch)) / scale
    unbalanced = np.array([any(word in kind for word in UNBALANCED) for kind in cases.kinds])

    def difference(chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> Difference:
        songs: dict[str, list[float]] = {}
        for song, value in zip(np.array(cases.songs)[chosen], rose[chosen], strict=True):
            songs.setdefault(str(song), []).append(float(value))
        return Difference.of(songs, seed)

    return MixComparison(
        cases=len(cases.songs),
        songs=len(set(cases.songs)),
        truth=difference(kinds != CLEAN),
        scrambled=difference(unbalanced),
        finished=difference(kinds == CLEAN),
        unheard=float((new - old)[..., -len(MOVING) :].abs().mean()),
    )


# --- the whole -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MixLearned:
    """The result of learning; the fields are those of `policies.learning.Learned`."""

    checkpoint: MixingCheckpoint | None
    why: str
    agreement: tuple[float, float]
    share: float
    comparison: MixComparison | None
    counts: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values, all finite or None."""
        return {
            "promoted": self.checkpoint is not None,
            "why": self.why,
            "agreement": plain_agreement(self.agreement),
            "share": self.share,
            "comparison": None if self.comparison is None else asdict(self.comparison),
            **self.counts,
        }


def learn_mix(
    current: MixingCheckpoint,
    experiences: Sequence[Experience],
    preferences: Sequence[Preference],
    cases: HeldOut | None = None,
    settings: LearnSettings = MIX_SETTINGS,
    seed: int = 0,
    progress: ShowProgress | None = None,
    kept: Path | None = None,
    shipped: MixingCheckpoint | None = None,
) -> MixLearned:
    """Fine-tune the net in use and say whether the result may take its place.

    Args:
        current: the checkpoint in use.
        experiences: what was mastered.
        preferences: what was said of it, or set right.
        cases: what the net must not get worse on; those that ship.
        settings: how.
        seed: of everything random.
        progress: as `policies.learning.learn`.
        kept: as there.
        shipped: the net that ships, where it is not the one in use: the candidate may not lose against it
            either, so that many small steps lead no further than one.

    Raises:
        UsageError: no song was heard in stems.
        ModelMissingError: the held-out cases cannot be used.
    """
    data = strip_data(experiences, preferences, settings.temperature)
    if data is None:
        raise UsageError("no song was heard in stems yet: master one with `--policy mix`")
    return learn_strips(current, data, cases or HeldOut.load(), settings, seed, progress, kept, shipped)


def learn_strips(
    current: MixingCheckpoint,
    data: PreferenceData,
    cases: HeldOut,
    settings: LearnSettings = MIX_SETTINGS,
    seed: int = 0,
    progress: ShowProgress | None = None,
    kept: Path | None = None,
    shipped: MixingCheckpoint | None = None,
) -> MixLearned:
    """As `learn_mix`, of preference data."""
    actor = MixActor(current.mixers, Shape(**current.shape))
    counts = {"experiences": len(data.actions), "preferences": len(data.rows)}
    goal = fine_tune(
        actor,
        [data],
        holding(cases, actor),
        settings,
        seed,
        progress,
        None if kept is None else kept / "mix.pt",
    )

    def told(candidate: MixActor, share: float, compared: MixComparison | None, why: str) -> MixLearned:
        agreed = [agreement(each, [data], settings) for each in (actor, candidate)]
        return MixLearned(None, why, (agreed[0], agreed[1]), share, compared, counts)

    if not user_loss(goal, actor, [data], settings) < user_loss(actor, actor, [data], settings) - LEAST_GAIN:
        return told(actor, 0.0, None, NOTHING_NEW)
    against = [actor] if shipped is None else [actor, MixActor(shipped.mixers, Shape(**shipped.shape))]
    for share in settings.shares:
        candidate = blended(actor, goal, share)
        gates = [compare(each, candidate, cases, seed) for each in against]
        lost = [name for gate in gates for name in gate.lost(settings)]
        if not lost:
            why = f"promoted: it loses on none of {gates[0].cases} held-out cases"
            learned = told(candidate, share, gates[0], why)
            return replace(learned, checkpoint=_kept(current, candidate, learned))
        if harmed := [name for gate in gates for name in gate.harmed(settings)]:
            return told(
                candidate, share, gates[0], f"not promoted: it loses for certain on {_listed(harmed)}"
            )
    return told(candidate, share, gates[0], f"not promoted: a loss cannot be ruled out on {_listed(lost)}")


def _listed(gates: Sequence[str]) -> str:
    return " and on ".join(dict.fromkeys(gates))


def _kept(current: MixingCheckpoint, candidate: MixActor, learned: MixLearned) -> MixingCheckpoint:
    training = {**current.training, "learned": {**learned.to_json(), "promoted": True}}
    return replace(current, mixers=candidate.mixers(), training=training)


def card(learned: MixLearned, came_after: str) -> str:
    """The model card of a promoted candidate."""
    counts, compared = learned.counts, learned.comparison
    assert compared is not None
    gates = {
        "Disorders of all kinds": compared.truth,
        "Mixes out of balance": compared.scrambled,
        "Finished songs left alone": compared.finished,
    }
    rose = [
        f"- **{what}**: {each.mean:+.4f}, with 95 % certainty over {each.least:+.4f}."
        for what, each in gates.items()
    ]
    return "\n".join(
        [
            "# A net that mixes, and learned from its user",
            "",
            f"Came after the net in `{came_after}`: its data and licence are its own too.",
            "",
            f"- **Learned from** {counts['experiences']} masters, {counts['preferences']} preferences.",
            f"- **Judged on** {compared.cases} cases of {compared.songs} songs, against the net before.",
            *rose,
            "",
            "It stays on this machine. `mixagent models rollback --policy mix` takes the one before.",
            "",
        ]
    )
