"""Figures as they are written to JSON, which knows no infinity and no NaN."""

from __future__ import annotations

import math


def finite_or_none(value: float, digits: int | None = None) -> float | None:
    """The figure as a float, rounded to `digits` decimal places if given; None for an infinity or NaN."""
    if not math.isfinite(value):
        return None
    return float(value) if digits is None else round(float(value), digits)
