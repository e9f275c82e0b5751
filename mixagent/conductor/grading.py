"""The verdict on a move: it stands where its agent's figure falls and nothing else is worse."""

from __future__ import annotations

from mixagent.conductor.state import Grade, Move

MORE_OUTSIDE = 0.03
"""Spreads by which another group of measures may go further out."""

LOST_OPINION = 0.1
"""Points of an opinion score by which the voice may fall: the models waver by as much."""


def verdict(before: Grade, after: Grade, move: Move, left: float) -> tuple[bool, str]:
    """Whether a move stands, and what spoke for it or against it.

    Args:
        before: of what stands.
        after: of the move's render.
        move: the move.
        left: the figure that its agent answers for, after it.
    """
    concern, proof = move.concern, move.proof
    if left > (1 - proof.own) * concern:
        return False, f"its own figure went from {concern:.2f} to {left:.2f}"
    if not after.blind >= before.blind + proof.blind:
        return False, f"the blind reward went from {before.blind:.3f} to {after.blind:.3f}"
    nearer = sum(before.outside.values()) - sum(after.outside.values())
    if nearer < _least(proof.outside):
        return False, f"the song came {nearer:+.2f} spreads nearer to finished music"
    nearer = sum(before.stems.get(role, far) - far for role, far in after.stems.items())
    if after.stems and nearer < _least(proof.stems):
        return False, f"the stems came {nearer:+.2f} nearer to finished music"
    for model, opinion in after.voice.items():
        if opinion < before.voice.get(model, opinion) - LOST_OPINION:
            return False, f"the voice's {model} fell from {before.voice[model]:.2f} to {opinion:.2f}"
    return (
        True,
        f"its figure fell from {concern:.2f} to {left:.2f}, the blind reward rose to {after.blind:.3f}",
    )


def _least(wanted: float) -> float:
    """The least by which something has to come nearer; where nothing is wanted it may stray a little."""
    return wanted if wanted > 0.0 else -MORE_OUTSIDE
