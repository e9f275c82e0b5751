"""The verdict on a move: it stands where its agent's figure falls and nothing else is worse."""

from __future__ import annotations

from mixagent.conductor.state import Grade

LEAST_GAIN = 0.1
"""The share of its concern that a move has to undo."""

LEAST_BLIND = 0.002
"""By how much the blind reward has to rise: less is within what a dither moves it."""

MORE_OUTSIDE = 0.03
"""Spreads by which another group of measures may go further out."""

LOST_OPINION = 0.1
"""Points of an opinion score by which the voice may fall: the models waver by as much."""


def verdict(
    before: Grade, after: Grade, concern: float, left: float, least_gain: float = LEAST_GAIN
) -> tuple[bool, str]:
    """Whether a move stands, and what spoke for it or against it.

    Args:
        before: of what stands.
        after: of the move's render.
        concern: the figure that its agent answers for, before it.
        left: the same after it.
        least_gain: the share of it that the move has to undo.
    """
    if left > (1 - least_gain) * concern:
        return False, f"its own figure went from {concern:.2f} to {left:.2f}"
    if not after.blind >= before.blind + LEAST_BLIND:
        return False, f"the blind reward went from {before.blind:.3f} to {after.blind:.3f}"
    for group, far in after.outside.items():
        if far > before.outside.get(group, far) + MORE_OUTSIDE:
            return False, f"{group} went further out, from {before.outside[group]:.2f} to {far:.2f} spreads"
    if sum(after.stems.values()) > sum(before.stems.get(role, 0.0) for role in after.stems) + MORE_OUTSIDE:
        return False, "the stems went further out of finished music"
    for model, opinion in after.voice.items():
        if opinion < before.voice.get(model, opinion) - LOST_OPINION:
            return False, f"the voice's {model} fell from {before.voice[model]:.2f} to {opinion:.2f}"
    return (
        True,
        f"its figure fell from {concern:.2f} to {left:.2f}, the blind reward rose to {after.blind:.3f}",
    )
