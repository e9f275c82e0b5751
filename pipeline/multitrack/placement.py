"""The placement of a musician's tracks in the mix, and their sums as they are read.

Tracks of one role are summed into one stem, so the chain has one strip a role, as with a separator's
stems, and the musician's balance within a role stays. What is done to a single track (its side, its
offset, its polarity, a starting balance) is done before that sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.multitrack.names import LEFT_OUT, ROLES
from mixagent.pipeline.types import AudioSource, Combination, FloatArray

How = Literal["map", "name", "content", "sum", "silence"]


@dataclass(frozen=True)
class Placement:
    """The role and placement of a track.

    Attributes:
        role: one of `ROLES`, `residual`, or `out` for what is not in the mix.
        how: what decided the role.
        why: the same in one clause.
        side: −1 or 1 for one side of a stereo pair, else 0.
        advance: frames by which it is brought forward; negative where it is held back.
        invert: whether its polarity is turned.
        gain_db: of a starting balance.
    """

    role: str
    how: How
    why: str
    side: int = 0
    advance: int = 0
    invert: bool = False
    gain_db: float = 0.0

    @property
    def mixed(self) -> bool:
        """True if the track is in the mix."""
        return self.role != LEFT_OUT


@dataclass(frozen=True)
class Plan:
    """The placement of every track, in their order, and what the user should know.

    Attributes:
        placements: one for each track.
        channels: of the mix.
        frames: length of the mix.
        warnings: what the user should know.
        pairs: the misaligned tracks of one sound, and whether that was undone.
    """

    placements: tuple[Placement, ...]
    channels: int
    frames: int
    warnings: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that have a strip, in the order of `ROLES`."""
        found = {placement.role for placement in self.placements}
        return tuple(role for role in ROLES if role in found)


@dataclass(frozen=True)
class Placed:
    """A track in its place in the mix: its length, channels, side, offset, polarity and gain.

    A mono track stands in both channels of a stereo mix at its own level; a stereo one is folded to
    (L + R)/2 in a mono mix.
    """

    source: AudioSource
    placement: Placement
    channels: int
    frames: int

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return self.source.rate

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the placed track, silence outside it, shape (channels, frames)."""
        start = min(max(start, 0), self.frames)
        stop = min(max(stop, start), self.frames)
        advance = self.placement.advance
        samples = self.source.read(max(start + advance, 0), max(stop + advance, 0))
        block = np.zeros((self.channels, stop - start), np.float32)
        at = min(max(-start - advance, 0), stop - start)
        block[:, at : at + samples.shape[1]] = self._matrix() @ samples
        return block

    def _matrix(self) -> FloatArray:
        """Gains from the track's channels to the mix's, shape (channels, channels of the track)."""
        if self.source.channels == self.channels:
            gains = np.eye(self.channels)
        elif self.channels == 2:
            gains = np.array([[self.placement.side <= 0], [self.placement.side >= 0]], np.float64)
        else:
            gains = np.array([[0.5, 0.5]])
        turned = -1.0 if self.placement.invert else 1.0
        return np.asarray(turned * db_to_amplitude(self.placement.gain_db) * gains, np.float32)


def summed(tracks: Sequence[AudioSource], plan: Plan, role: str | None = None) -> AudioSource:
    """The sum of the tracks of a role, or of all that is in the mix, as it is read; silence for no track."""
    placed = [
        Placed(track, placement, plan.channels, plan.frames)
        for track, placement in zip(tracks, plan.placements, strict=True)
    ]
    chosen = [p for p in placed if (p.placement.mixed if role is None else p.placement.role == role)]
    return Combination(tuple((1.0, p) for p in chosen) or ((0.0, placed[0]),))
