"""Strengths: how much of a decision is applied in each dimension of the sound.

`_NAMES` is the one place that says which parameter belongs to which dimension, by what its name says.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Literal

from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.errors import UsageError, option

Dimension = Literal["eq", "dynamics", "width", "saturation", "restore"]

_NAMES: tuple[tuple[Dimension, str], ...] = (
    ("eq", r"dynamic_\d\.|graphic\.tone_"),
    ("width", r"graphic\.(width|balance)_"),
    ("dynamics", r"(crossover|punch)\."),
    ("width", r"(reverb|delay)\."),
    ("saturation", r"clipper\.|.*\.(sat|drive)"),
    ("restore", r"repair\.|.*\.(resonance_cut|gap_fill|blink_fill|extend)"),
    ("width", r".*\.(width|pan|balance|mono_below|reverb_send|delay_send|align|invert)"),
    ("dynamics", r".*\.(comp|transient|expand|gain|ride)_"),
    ("eq", r".*\.(eq|bell|low_mid_cut|shimmer_cut|high_pass|low_shelf|presence|air|linear_phase)"),
)
"""The beginnings of each dimension's parameter names; the first that fits counts.

A dynamic equaliser is an equaliser. Levels of stems and buses are of dynamics; the rooms that they are
placed in, and when they play, are of width.
"""


@dataclass(frozen=True)
class Strengths:
    """The share of each dimension that is applied, 0 (none of it) to 1 (all that was decided).

    `restore` also scales the restoration stages that run before the mix.

    Raises:
        UsageError: one is not in 0..1.
    """

    eq: float = 1.0
    dynamics: float = 1.0
    width: float = 1.0
    saturation: float = 1.0
    restore: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 <= value <= 1.0:
                raise UsageError(
                    f"{option(name)} {value:g} is out of range: give 0 (none of it) to 1 (all of it)",
                    field=name,
                )

    def of(self, dimension: Dimension) -> float:
        """The strength of a dimension."""
        return float(getattr(self, dimension))

    def weakened(self) -> dict[str, float]:
        """The strengths that are not 1, by name."""
        return {name: value for name, value in asdict(self).items() if value != 1.0}

    def applied(self, settings: Settings, amount: float) -> Settings:
        """The settings, every action multiplied by `amount` and by the strength of its dimension."""
        shares = {p.name: self.of(dimension(p.name)) for p in settings.space} if self.weakened() else None
        return settings.scaled(amount, shares)


ALL = Strengths()
"""All that was decided."""


def dimension(name: str) -> Dimension:
    """The dimension of a parameter, by its name (`vocals.comp_ratio`: dynamics).

    Raises:
        KeyError: no dimension claims it.
    """
    found = next((known for known, pattern in _NAMES if re.match(pattern, name)), None)
    if found is None:
        raise KeyError(f"{name} belongs to no dimension: say so in pipeline/chain/amounts.py")
    return found
