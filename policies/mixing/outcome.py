"""The outcome of strips' settings for true stems in disorder, differentiable: what is left to undo.

Levels by third octave of mid and side, at equal loudness of the mix. The agent sets the strips of stems that
a separator found; here they act on the true ones, of which those are an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mixagent.pipeline.dsp.third_octaves import MUSIC
from mixagent.pipeline.measure.stem_features import k_weights
from mixagent.pipeline.measure.stem_measures import SCALARS, THIRDS
from mixagent.policies.mixing.examples import Batch
from mixagent.policies.mixing.steering import NARROWEST, STATIC, TONES, tone_responses

_BALANCE = 2 * THIRDS + SCALARS.index("balance_db")
_FLOOR = 1e-13
_SIDE_FLOOR = 1e-3
_WORST_DB = 25.0
_HEARD_DB = 50.0


@dataclass(frozen=True)
class Outcome:
    """The errors that are left, in dB.

    Attributes:
        level: of each stem, K-weighted, (B, roles).
        mid, side: of each stem by third octave, (B, roles, THIRDS).
        weight: how much each of those counts: by the stem's share of what is heard there.
        side_share: the sides' share of a stem's power there.
        tone, image: of the mix's mid and of its sides by third octave, (B, bands).
        balance: of each stem, right against left, (B, roles).
    """

    level: Tensor
    mid: Tensor
    side: Tensor
    weight: Tensor
    side_share: Tensor
    tone: Tensor
    image: Tensor
    balance: Tensor


def outcome(batch: Batch, actions: Tensor) -> Outcome:
    """The outcome of actions (B, roles, len(STATIC)) on a batch."""
    mid_db, side_db, balance_db = gains_db(actions)
    truth, before = (10 ** (rows[..., : 2 * THIRDS] / 10) for rows in (batch.truth, batch.disordered))
    gains = 10 ** (torch.cat((mid_db, side_db), -1) / 10)
    stems = before[:, 1:] * gains
    mix = before[:, 0] * (stems.sum(1) + _FLOOR) / (before[:, 1:].sum(1) + _FLOOR)
    made_up = _level(truth[:, 0]) - _level(mix)
    stems, mix = (x * 10 ** (made_up.reshape(-1, *(1,) * (x.ndim - 1)) / 10) for x in (stems, mix))
    left = (_db(truth[:, 1:]) - _db(stems)).clamp(-_WORST_DB, _WORST_DB)
    both = before[:, 1:, :THIRDS] + before[:, 1:, THIRDS:]
    weight = (both / (both.sum(1, keepdim=True) + _FLOOR)).sqrt() * _heard(before[:, 0])[:, None]
    inside = torch.zeros(THIRDS)
    inside[MUSIC] = 1.0
    return Outcome(
        level=(_level(truth[:, 1:]) - _level(stems)).clamp(-_WORST_DB, _WORST_DB) * batch.there,
        mid=left[..., :THIRDS],
        side=left[..., THIRDS:],
        weight=weight * batch.there[..., None] * inside,
        side_share=before[:, 1:, THIRDS:] / (both + _FLOOR),
        tone=(_db(truth[:, 0, :THIRDS]) - _db(mix[:, :THIRDS]))[:, MUSIC].clamp(-_WORST_DB, _WORST_DB),
        image=(_sides(truth[:, 0]) - _sides(mix))[:, MUSIC].clamp(-_WORST_DB, _WORST_DB),
        balance=(batch.truth - batch.disordered)[:, 1:, _BALANCE].clamp(-12.0, 12.0) - balance_db,
    )


def loss_of(done: Outcome, batch: Batch) -> Tensor:
    """What an outcome costs, (B,), in dB: stems by band and in level, and the mix's tone and image."""
    count = batch.there.sum(1).clamp(min=1.0)
    total = done.weight.sum((1, 2)).clamp(min=1e-6)
    bands = (done.weight * (_bent(done.mid) + done.side_share * _bent(done.side))).sum((1, 2)) / total
    levels = (batch.there * _bent(done.level)).sum(1) / count
    shares = done.weight.mean(-1)
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-6)
    return (
        bands
        + levels
        + _rms(done.tone)
        + 0.5 * _rms(done.image)
        + 0.5 * (shares * _bent(done.balance)).sum(1)
    )


def gains_db(actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gains of mid and side by third octave (B, roles, THIRDS), and right against left (B, roles), in dB."""
    tones = actions[..., : len(TONES)] @ torch.tensor(tone_responses(), dtype=torch.float32)
    width, pan = actions[..., STATIC.index("width")], actions[..., STATIC.index("pan")]
    side_db = 20 * (1 + width).clamp(min=NARROWEST).log10()
    balance_db = 20 * ((pan.clamp(-0.9, 0.9) + 1) * torch.pi / 4).tan().log10()
    return tones, tones + side_db[..., None], balance_db


def _level(powers: Tensor) -> Tensor:
    return 10 * ((powers[..., :THIRDS] + powers[..., THIRDS:]) @ _weights() + _FLOOR).log10()


def _db(powers: Tensor) -> Tensor:
    return 10 * (powers + _FLOOR).log10()


def _sides(powers: Tensor) -> Tensor:
    return _db(powers[..., THIRDS:] + _SIDE_FLOOR * powers[..., :THIRDS])


def _heard(mix: Tensor) -> Tensor:
    """1 for the bands of a mix that are not far under its level, (B, THIRDS)."""
    return (_db(mix[..., :THIRDS] + mix[..., THIRDS:]) > _level(mix)[..., None] - _HEARD_DB).float()


def _bent(error_db: Tensor, knee_db: float = 3.0) -> Tensor:
    """Huber's loss, so that a stem that cannot be known does not decide about all."""
    size = error_db.abs()
    return torch.where(size < knee_db, size.square() / (2 * knee_db), size - knee_db / 2)


def _rms(error_db: Tensor) -> Tensor:
    return (error_db.square().mean(-1) + 1e-2).sqrt()


@cache
def _weights() -> Tensor:
    return torch.tensor(k_weights(), dtype=torch.float32)
