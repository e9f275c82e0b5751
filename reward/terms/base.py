"""The interface of terms, and the guards: terms that only ever take away."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from mixagent.pipeline.types import Float64Array
from mixagent.reward.render_pair import RenderPair


class Term(Protocol):
    """One aspect of how good a render is."""

    @property
    def name(self) -> str:
        """The name under which it is weighted and logged."""

    @property
    def low(self) -> float:
        """The worst score."""

    @property
    def high(self) -> float:
        """The best score."""

    @property
    def blind(self) -> bool:
        """True if it does without the original."""

    @property
    def hears_stems(self) -> bool:
        """True if it judges stems, and has no opinion of a render without them."""

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """One score a pair, shape (len(pairs),): 0 as the input; NaN for no opinion."""


@runtime_checkable
class VoiceTerm(Protocol):
    """A term that hears the voice of one render in so many."""

    every: int


@dataclass(frozen=True)
class Guard(ABC):
    """A harm against the input, finished alike: 0 up to `free` of it, −0.76 at `full`, −1 far beyond.

    The slope never ends, so that of two ruined renders the less ruined one still scores higher.

    Attributes:
        free: the harm, in the guard's own unit, that costs nothing.
        full: the harm at which tanh(1) = 0.76 of the guard is spent.
    """

    free: float
    full: float

    name: ClassVar[str]
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 0.0
    blind: ClassVar[bool] = True
    hears_stems: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.free < self.full:
            raise ValueError(f"{self.name}: free {self.free} must be from 0 to under full {self.full}")

    @abstractmethod
    def harm(self, pair: RenderPair) -> float:
        """The harm of this kind in the render beyond the input's, 0 or more."""

    def score(self, pairs: Sequence[RenderPair]) -> Float64Array:
        """−tanh of what exceeds `free`; 0 for an input that is silent."""
        return np.array([self._score(pair) for pair in pairs])

    def _score(self, pair: RenderPair) -> float:
        if pair.before.silent:
            return 0.0
        if pair.after.silent:
            return self.low
        over = self.harm(pair) - self.free
        return -math.tanh(max(over, 0.0) / (self.full - self.free))
