"""What brings a song to the inner edge of a band, in parameters of the chain.

Nothing that lies within the inner edge is touched. What lies beyond is brought there, as far as the band's
word counts for this song (`Judgement.trust`), smoothed over neighbouring bands and bounded: nothing is raised
where there is nothing to raise, the lows' sides never.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.fingerprint import IMAGE_EDGES_HZ
from mixagent.pipeline.finished.band import Judgement
from mixagent.pipeline.finished.measures import INDEX, TONE_HZ, WIDTH_HZ
from mixagent.pipeline.parameters import GRAPHIC_HZ

Float64Array = NDArray[np.float64]

INNER = 0.35
"""The inner edge in spreads: what lies further out is brought to here."""

INNER_NARROW = 0.75
"""The same on the narrow side: voices keep records narrow, and a side must be there to be raised."""

CUT_DB, RAISE_DB = 12.0, 10.0
"""Most that a band of tone is lowered and raised."""

LOWS_HZ, LOWS_RAISE_DB = 45.0, 3.0
"""What lies under this is rumble in most songs that lack it."""

NARROW_DB, WIDEN_DB = 10.0, 6.0
"""Most that the sides of a band are lowered and raised against the mid."""

LEAST_WIDENED_HZ = 160.0
"""Below this a side is never raised: wide lows cancel on one loudspeaker."""

BALANCE_DB = 6.0

SILENT_DB = -55.0
"""A band so far under the song's tone holds nothing to be raised."""

LEAST_DB = 0.3
"""Moves smaller than this everywhere are left out: nobody hears them."""

_SMOOTH_BANDS = 0.8


@dataclass(frozen=True)
class Answer:
    """Values of `graphic.*` parameters by name, in dB; what is not named stays neutral."""

    tone: Mapping[str, float]
    width: Mapping[str, float]
    balance: Mapping[str, float]

    @property
    def values(self) -> dict[str, float]:
        """All of them."""
        return {**self.tone, **self.width, **self.balance}


def answer(judgement: Judgement) -> Answer:
    """The moves of tone, width and balance by third octaves that bring the song to the inner edge."""
    width_db = _width_db(judgement)
    tone_db = _tone_db(judgement) + _made_up_db(judgement, width_db)
    return Answer(
        _named("tone", tone_db), _named("width", width_db), _named("balance", _balance_db(judgement))
    )


def beyond(deviations: Float64Array, inner: float, inner_low: float | None = None) -> Float64Array:
    """What lies beyond the inner edge, in spreads, with its sign; 0 where there is nothing to judge."""
    low = inner if inner_low is None else inner_low
    out = np.maximum(deviations - inner, 0.0) + np.minimum(deviations + low, 0.0)
    return np.where(np.isfinite(out), out, 0.0)


def _tone_db(judgement: Judgement) -> Float64Array:
    hz = np.array(TONE_HZ)
    spread = judgement.band.spread[[INDEX[f"tone_{h:.0f}"] for h in TONE_HZ]]
    moves = -beyond(judgement.of("tone"), INNER) * np.where(np.isfinite(spread), spread, 0.0)
    moves = _smoothed(moves) * judgement.trust["tone"]
    highest = np.where(hz < LOWS_HZ, LOWS_RAISE_DB, RAISE_DB)
    ends_hz = 16000.0 * 2 ** judgement.measures["bandwidth"]
    empty = (hz * 2 ** (1 / 6) > ends_hz) | (judgement.measures.of("tone") < SILENT_DB)
    return np.clip(moves, -CUT_DB, np.where(empty, 0.0, highest))


def _width_db(judgement: Judgement) -> Float64Array:
    spread = judgement.band.spread[[INDEX[f"width_{h:.0f}"] for h in WIDTH_HZ]]
    moves = -beyond(judgement.of("width"), INNER, INNER_NARROW) * np.where(np.isfinite(spread), spread, 0.0)
    moves = _smoothed(moves) * judgement.trust["width"]
    highest = np.where(np.array(WIDTH_HZ) < LEAST_WIDENED_HZ, 0.0, WIDEN_DB)
    moves = np.clip(moves, -NARROW_DB, highest)
    below = len(TONE_HZ) - len(WIDTH_HZ)
    # Under the lowest band judged the sides go with it, but only down.
    return np.concatenate([np.full(below, min(moves[0], 0.0)), moves])


def _made_up_db(judgement: Judgement, width_db: Float64Array) -> Float64Array:
    """What the tone loses with a quieter side, and the other way round."""
    sides_db = judgement.measures.of("width")
    ratio = np.zeros(len(TONE_HZ))
    ratio[-len(WIDTH_HZ) :] = np.where(np.isfinite(sides_db), 10 ** (sides_db / 10), 0.0)
    ratio[: -len(WIDTH_HZ)] = ratio[-len(WIDTH_HZ)]
    made_up: Float64Array = 10 * np.log10((1 + ratio) / (1 + ratio * 10 ** (width_db / 10)))
    return made_up


def _balance_db(judgement: Judgement) -> Float64Array:
    names = [f"lean_{hz:.0f}" for hz in IMAGE_EDGES_HZ[:-1]]
    spread = judgement.band.spread[[INDEX[name] for name in names]]
    moves = -beyond(judgement.of("balance"), 1.0) * np.where(np.isfinite(spread), spread, 0.0)
    moves = np.clip(moves * judgement.trust["balance"], -BALANCE_DB, BALANCE_DB)
    centres = np.sqrt(np.array(IMAGE_EDGES_HZ[:-1]) * np.array(IMAGE_EDGES_HZ[1:]))
    return np.interp(np.log(TONE_HZ), np.log(centres), moves)


def _smoothed(values: Float64Array) -> Float64Array:
    reach = np.arange(-3, 4)
    weights = np.exp(-0.5 * (reach / _SMOOTH_BANDS) ** 2)
    return np.convolve(np.pad(values, 3, mode="edge"), weights / weights.sum(), "valid")


def _named(what: str, gains_db: Float64Array) -> dict[str, float]:
    if float(np.abs(gains_db).max()) < LEAST_DB:
        return {}
    pairs = zip(GRAPHIC_HZ, gains_db, strict=True)
    return {
        f"graphic.{what}_{hz}_db": round(float(gain), 2) + 0.0
        for hz, gain in pairs
        if not math.isclose(gain, 0.0, abs_tol=0.005)
    }
