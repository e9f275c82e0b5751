"""The types that every part of the application speaks."""

from __future__ import annotations

from collections.abc import Callable

ShowProgress = Callable[[str, float], None]
"""Called with a stage's name and the share of it that is done, 0..1; from any thread."""
