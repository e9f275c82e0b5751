"""The reward: terms with weights, summed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixagent.pipeline.errors import UsageError
from mixagent.reward.critic import Critic
from mixagent.reward.render_pair import RenderPair
from mixagent.reward.stem_critic import StemCritic
from mixagent.reward.terms.base import Term
from mixagent.reward.terms.critic import Judgement
from mixagent.reward.terms.dynamics import Dropouts, LostDynamics, LostTransients, OverCompression, Pumping
from mixagent.reward.terms.image import Lean, LostSides, MonoFoldLoss
from mixagent.reward.terms.loudness import Constraints, OverLimiting, TargetMissed
from mixagent.reward.terms.prior import Prior
from mixagent.reward.terms.residue import AddedClipping, AddedNoise, AddedTail, Smear
from mixagent.reward.terms.stems import Balance, Cancellation, StemBalance
from mixagent.reward.terms.tone import AddedMud, LostHighs, LostLows
from mixagent.reward.terms.truth import Truth


def _judgement(path: str | None = None) -> Term:
    return Judgement(Critic.load(path))


def _balance(path: str | None = None) -> Term:
    return Balance(StemCritic.load(path))


# The quality models bring torch with them, which the other terms do without.
def _nisqa(**options: Any) -> Term:
    from mixagent.reward.quality import nisqa_term

    return nisqa_term(**options)


def _distillmos(**options: Any) -> Term:
    from mixagent.reward.quality import distillmos_term

    return distillmos_term(**options)


TERMS: Mapping[str, Callable[..., Term]] = MappingProxyType(
    {
        "truth": Truth,
        "critic": _judgement,
        "constraints": Constraints,
        "loudness": TargetMissed,
        "over_limiting": OverLimiting,
        "clipping": AddedClipping,
        "pumping": Pumping,
        "lost_highs": LostHighs,
        "lost_lows": LostLows,
        "added_mud": AddedMud,
        "lost_transients": LostTransients,
        "lost_dynamics": LostDynamics,
        "over_compression": OverCompression,
        "mono_fold": MonoFoldLoss,
        "lost_sides": LostSides,
        "lean": Lean,
        "dropouts": Dropouts,
        "added_noise": AddedNoise,
        "added_tail": AddedTail,
        "smear": Smear,
        "cancellation": Cancellation,
        "stems": StemBalance,
        "balance": _balance,
        "prior": Prior,
        "nisqa": _nisqa,
        "distillmos": _distillmos,
    }
)
"""Every term there is, by the name under which `conf/reward` weights it."""


@dataclass(frozen=True)
class Score:
    """The score of a render against its input.

    Attributes:
        total: weighted sum of all terms that have an opinion.
        blind: the same without the terms that need the original.
        terms: each term unweighted, by name; a term without an opinion is left out.
    """

    total: float
    blind: float
    terms: Mapping[str, float]


@dataclass(frozen=True)
class RewardModel:
    """Terms and how much each counts.

    Attributes:
        terms: what judges.
        weights: by the terms' names, 0 or more.

    Raises:
        ValueError: a term without a weight, a weight without a term, or a negative weight.
    """

    terms: tuple[Term, ...]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        if sorted(names) != sorted(self.weights) or min(self.weights.values(), default=0.0) < 0.0:
            raise ValueError(f"terms {names} and weights {dict(self.weights)} do not go together")

    def score(self, pair: RenderPair) -> Score:
        """Judge one render."""
        return self.score_batch([pair])[0]

    def score_batch(self, pairs: Sequence[RenderPair]) -> list[Score]:
        """Judge many renders at once, in their order."""
        if not pairs:
            return []
        table = {term.name: term.score(pairs) for term in self.terms}
        return [self._sum({name: float(row[i]) for name, row in table.items()}) for i in range(len(pairs))]

    def _sum(self, scores: Mapping[str, float]) -> Score:
        known = {name: score for name, score in scores.items() if not math.isnan(score)}
        blind = sum(self.weights[t.name] * known[t.name] for t in self.terms if t.blind and t.name in known)
        rest = sum(
            self.weights[t.name] * known[t.name] for t in self.terms if not t.blind and t.name in known
        )
        return Score(total=blind + rest, blind=blind, terms=MappingProxyType(known))

    @property
    def hears_stems(self) -> bool:
        """True if a term judges the stems of a render."""
        return any(term.hears_stems for term in self.terms)

    def range(self) -> tuple[float, float]:
        """The lowest and highest total that the weights allow."""
        low = sum(self.weights[term.name] * term.low for term in self.terms)
        return low, sum(self.weights[term.name] * term.high for term in self.terms)


def load_reward(config: Mapping[str, Any] | str = "default") -> RewardModel:
    """The reward that a configuration describes.

    Args:
        config: the group `reward` of a composed configuration, or the name of a file of
            `conf/reward`. Its `terms` name each term with a `weight`; the other keys of a term are
            arguments of its class. A weight of 0 leaves the term out.

    Raises:
        UsageError: a file, term or argument that does not exist, or a value out of range.
        ModelMissingError: weights that a term needs are not here.
    """
    rows = _rows(config)
    unknown = sorted(set(rows) - set(TERMS))
    if unknown:
        raise UsageError(f"reward: unknown term {unknown[0]!r}; there are {', '.join(TERMS)}")
    chosen = {name: dict(row) for name, row in rows.items() if row.get("weight", 0.0)}
    weights = {name: float(row.pop("weight")) for name, row in chosen.items()}
    try:
        return RewardModel(tuple(TERMS[name](**row) for name, row in chosen.items()), weights)
    except (TypeError, ValueError) as error:
        raise UsageError(f"reward: {error}") from error


def _rows(config: Mapping[str, Any] | str) -> dict[str, dict[str, Any]]:
    composed = _read(config) if isinstance(config, str) else config
    plain = OmegaConf.to_container(composed) if isinstance(composed, DictConfig) else composed
    terms = plain.get("terms") if isinstance(plain, Mapping) else None
    if not isinstance(terms, Mapping) or not all(isinstance(row, Mapping) for row in terms.values()):
        raise UsageError("reward: `terms` must give each term by name with its weight")
    return {str(name): dict(row) for name, row in terms.items()}


def _read(name: str) -> Any:
    file = resources.files("mixagent.conf").joinpath(f"reward/{name}.yaml")
    if not file.is_file():
        raise UsageError(f"reward: there is no conf/reward/{name}.yaml")
    return OmegaConf.create(file.read_text("utf-8"))
