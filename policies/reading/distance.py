"""The distance to the original that moves leave, on long-term bands, differentiable.

Tone and image as `reward.recovery` measures them, in its units, at equal loudness.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mixagent.pipeline.measure.song_bands import BANDS, CENTRES_HZ, EDGES_HZ, THIRDS_HZ

THIRDS = len(THIRDS_HZ)
_SIDE_FLOOR_DB, _FLOOR_DB, _WORST_DB = 30.0, 70.0, 20.0
_UNIT_DB = 2.0
_OCTAVES_HZ = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
_WIDTH_DB = 10 * torch.tensor(EDGES_HZ).diff().log10()
_OCTAVE = torch.tensor(CENTRES_HZ).log2()
_SLOPES_DB = (-18.0, -3.0)


@dataclass(frozen=True)
class LongTerm:
    """Mean powers of an excerpt by band, each (B, BANDS): of mid, of side, and of their product."""

    mid: Tensor
    side: Tensor
    cross: Tensor

    @classmethod
    def of(cls, stacked: Tensor) -> LongTerm:
        """The long term of `SongBands.stacked`, (B, rows, T)."""
        mid, side = (10 ** (stacked[:, k * BANDS : (k + 1) * BANDS] / 10) for k in (0, 1))
        cross = stacked[:, 2 * BANDS : 3 * BANDS] * (mid * side).sqrt()
        return cls(mid.mean(-1), side.mean(-1), cross.mean(-1))

    def moved(self, moves_db: Tensor) -> LongTerm:
        """Balanced, then with mid and side raised, by third octaves: (B, 3, THIRDS) of mid, side, balance."""
        banded = torch.nn.functional.pad(
            moves_db.repeat_interleave(2, -1), (0, BANDS - 2 * THIRDS), mode="replicate"
        )
        mid_db, side_db, balance_db = banded.unbind(1)
        left = (self.mid + self.side + 2 * self.cross) * 10 ** (-balance_db / 20)
        right = (self.mid + self.side - 2 * self.cross) * 10 ** (balance_db / 20)
        both = self.mid - self.side
        mid = ((left + right) / 4 + both / 2).clamp(min=1e-12) * 10 ** (mid_db / 10)
        side = ((left + right) / 4 - both / 2).clamp(min=1e-12) * 10 ** (side_db / 10)
        return LongTerm(mid, side, (left - right) / 4 * 10 ** ((mid_db + side_db) / 20))

    def extended(self, end: Tensor, level_db: Tensor) -> LongTerm:
        """With air above band `end` (B,), `BANDS` for none: the slope of the octave below, carried on."""
        index = torch.arange(BANDS, device=end.device)
        inside = ((index <= end[:, None]) & (index > end[:, None] - 6)).float()
        level = 10 * (self.mid + self.side + 1e-12).log10() - _WIDTH_DB
        count = inside.sum(1, keepdim=True).clamp(min=1)
        centre = (inside * _OCTAVE).sum(1, keepdim=True) / count
        away = inside * (_OCTAVE - centre)
        slope = (away * level).sum(1, keepdim=True) / away.square().sum(1, keepdim=True).clamp(min=1e-6)
        carried = slope.clamp(*_SLOPES_DB) * (_OCTAVE - centre) + level_db[:, None] + _WIDTH_DB
        above = (index > end[:, None]) & (index < BANDS - 1)

        def filled(power: Tensor) -> Tensor:
            mean = (
                10
                * (inside * power / 10 ** (_WIDTH_DB / 10)).sum(1, keepdim=True).div(count).add(1e-12).log10()
            )
            wanted = 10 ** ((mean + carried) / 10)
            return torch.where(above, torch.maximum(power, wanted), power)

        return LongTerm(filled(self.mid), filled(self.side), self.cross)


def distance(moved: LongTerm, original: LongTerm) -> tuple[Tensor, Tensor]:
    """Distance in tone and in image in their units, (B,) each."""
    ours, theirs = _figures(moved), _figures(original)
    tone = (ours[0] - theirs[0]).clamp(-_WORST_DB, _WORST_DB)
    return _rms(tone) / _UNIT_DB, _rms(ours[1] - theirs[1]) / _UNIT_DB


def _figures(bands: LongTerm) -> tuple[Tensor, Tensor]:
    """Third octaves of mid and side in dB (B, 54); side to mid by octave and the lean (B, 9)."""
    weighted = ((bands.mid + bands.side) * _K_WEIGHTS).sum(1, keepdim=True)
    mid, side = bands.mid / weighted, bands.side / weighted
    floored = side + 10 ** (-_SIDE_FLOOR_DB / 10) * mid
    floor = 10 ** (-_FLOOR_DB / 10)
    thirds = [p[:, 2 : 2 * THIRDS].reshape(len(p), -1, 2).sum(-1) for p in (mid, floored)]
    tone = torch.cat([10 * p.clamp(min=floor).log10() for p in thirds], 1)
    mids, sides = (p @ _OCTAVE_SUMS for p in (mid, side))
    ratio = (10 * ((sides + 1e-9) / (mids + 1e-9)).log10()).clamp(-_SIDE_FLOOR_DB, 12.0)
    both, cross = (bands.mid + bands.side).sum(1), 2 * bands.cross.sum(1)
    lean = 10 * ((both - cross).clamp(min=1e-9) / (both + cross).clamp(min=1e-9)).log10()
    return tone, torch.cat((ratio, lean.clamp(-_WORST_DB, _WORST_DB)[:, None]), 1)


def _rms(difference: Tensor) -> Tensor:
    return (difference.square().mean(1) + 1e-2).sqrt()


def _k_weights() -> Tensor:
    """BS.1770's pre-filter and high-pass in powers, at the bands' centres, by their corner figures."""
    hz = torch.tensor(CENTRES_HZ)
    shelf_db = 4.0 / (1 + (1682.0 / hz) ** 2)
    high_pass = 1 / (1 + (38.0 / hz) ** 4)
    return high_pass * 10 ** (shelf_db / 10)


def _octave_sums() -> Tensor:
    centres = torch.tensor(CENTRES_HZ)
    rows = [((centres >= hz / 2**0.5) & (centres < hz * 2**0.5)).float() for hz in _OCTAVES_HZ]
    return torch.stack(rows, 1)


_K_WEIGHTS, _OCTAVE_SUMS = _k_weights(), _octave_sums()
