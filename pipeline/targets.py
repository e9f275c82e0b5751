"""Loudness targets: the one table behind `--target` and `--intent`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mixagent.pipeline.errors import UsageError


@dataclass(frozen=True)
class LoudnessTarget:
    """What the finaliser aims at.

    `max_reduction_db` is the most that the limiter may take off a peak; where loudness and ceiling
    cannot both be met within it, the ceiling holds and the loudness target is missed.
    """

    name: str
    integrated_lufs: float
    ceiling_dbtp: float = -1.0
    max_reduction_db: float = 9.0


TARGETS = {
    target.name: target
    for target in (
        LoudnessTarget("streaming", -14.0),
        LoudnessTarget("spotify", -14.0),
        LoudnessTarget("apple", -16.0),
        LoudnessTarget("youtube", -14.0),
        LoudnessTarget("club", -8.0, max_reduction_db=12.0),
        LoudnessTarget("loud", -8.0, max_reduction_db=12.0),
    )
}

LOUDEST_LUFS, QUIETEST_LUFS = -5.0, -40.0


def loudness_target(text: str, ceiling_dbtp: float | None = None) -> LoudnessTarget:
    """The target that a name of `TARGETS` or a number of LUFS stands for.

    Raises:
        UsageError: neither a name nor a number, or a number out of range.
    """
    target = TARGETS.get(text.lower())
    if target is None:
        try:
            lufs = float(text)
        except ValueError:
            raise UsageError(
                f"unknown target {text!r}: give LUFS (such as -14) or one of {', '.join(TARGETS)}"
            ) from None
        if not QUIETEST_LUFS <= lufs <= LOUDEST_LUFS:
            raise UsageError(f"target {lufs:g} LUFS is out of range {QUIETEST_LUFS:g} to {LOUDEST_LUFS:g}")
        target = LoudnessTarget(f"{lufs:g} LUFS", lufs, max_reduction_db=12.0 if lufs > -10 else 9.0)
    if ceiling_dbtp is None:
        return target
    if not -20.0 <= ceiling_dbtp <= 0.0:
        raise UsageError(f"ceiling {ceiling_dbtp:g} dBTP is out of range -20 to 0")
    return replace(target, ceiling_dbtp=ceiling_dbtp)
