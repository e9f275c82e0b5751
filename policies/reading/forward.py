"""The forward pass of `reading.network.ReadingNet` in NumPy: importing torch takes longer than a decision.

The moves are torch's to within rounding, which the tests hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.measure.song_bands import BANDS, FLOOR_DB, THIRDS_HZ

Array = NDArray[np.float32]

_THIRDS = len(THIRDS_HZ)
_EPSILON = 1e-5
"""What layer normalisation adds to the variance, torch's default."""


@dataclass(frozen=True)
class FrozenReader:
    """A trained net that only decides; `weights` are named as in the state of `ReadingNet`."""

    weights: Mapping[str, Array]

    def moves(self, stacked: Array, advice_db: Array) -> tuple[Array, Array]:
        """Moves of the third octaves in dB, (B, 3, THIRDS), and the others, (B, OTHERS).

        Args:
            stacked: `SongBands.stacked` of excerpts of one length, (B, rows, T).
            advice_db: the adviser's moves, (B, 3, THIRDS).
        """
        long, fast = _long_rows(stacked), stacked[:, 3 * BANDS :] / 5
        figures = np.concatenate((long.reshape(len(long), -1), fast.mean(-1), fast.std(-1, ddof=1)), 1)
        summary = _silu(self._norm("summary.1", self._linear("summary.0", figures)))
        summary = _silu(self._linear("summary.4", summary))
        frames = self._enter(_frame_rows(stacked))
        for block in range(self._count("frames")):
            frames = self._frame_block(f"frames.{block}", frames, summary)
        pooled = np.concatenate((frames.mean(1), frames.std(1, ddof=1), summary), 1)
        heard = _silu(self._norm("heard.1", self._linear("heard.0", pooled)))
        beside = self._linear("spread", heard).reshape(len(heard), -1, BANDS)
        above = ((0, 0), (0, 0), (0, BANDS - 2 * _THIRDS))
        advised = np.pad(np.repeat(advice_db, 2, axis=-1), above, mode="edge") / 6
        shown = np.concatenate((long, advised, beside), 1).astype(np.float32)
        bands = self._along("enter_bands", shown.swapaxes(1, 2))
        bands = np.asarray(bands + self.weights["place"].T, np.float32)
        for block in range(self._count("bands")):
            bands = self._band_block(f"bands.{block}", bands)
        # The two sixths of a third lie beside each other, channel by channel.
        pairs = bands[:, : 2 * _THIRDS].reshape(len(bands), _THIRDS, 2, -1).swapaxes(2, 3)
        answer = self._along("leave", pairs.reshape(len(bands), _THIRDS, -1)).transpose(0, 2, 1)
        residual, gate = np.split(answer, 2, axis=1)
        return gate * advice_db + 10 * residual, self._linear("others", heard)

    def _frame_block(self, name: str, frames: Array, summary: Array) -> Array:
        kernel = self.weights[f"{name}.depthwise.weight"][:, 0]  # (width, 7)
        padded = np.pad(frames, ((0, 0), (3, 3), (0, 0)))
        inner = np.broadcast_to(self.weights[f"{name}.depthwise.bias"], frames.shape).copy()
        for tap in range(kernel.shape[1]):
            inner += padded[:, tap : tap + frames.shape[1]] * kernel[:, tap]
        inner = self._norm(f"{name}.norm", inner)
        scale, shift = np.split(self._linear(f"{name}.bend", summary)[:, None], 2, axis=-1)
        inner = _silu(self._linear(f"{name}.wide", inner * (1 + scale) + shift))
        return frames + self._linear(f"{name}.narrow", inner)

    def _band_block(self, name: str, bands: Array) -> Array:
        inner = _silu(self._along(f"{name}.along", self._norm(f"{name}.norm", bands)))
        return bands + self._along(f"{name}.narrow", inner)

    def _enter(self, rows: Array) -> Array:
        """The convolution that halves the frames: (B, rows, T) to (B, T / 2, width)."""
        padded = np.pad(rows, ((0, 0), (0, 0), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 4, axis=-1)[:, :, ::2]
        flat = windows.transpose(0, 2, 1, 3).reshape(len(rows), windows.shape[2], -1)
        weight = self.weights["enter.weight"]
        return self._times(flat, weight.reshape(len(weight), -1), self.weights["enter.bias"])

    def _along(self, name: str, signal: Array) -> Array:
        """A convolution of odd length along the second axis: (B, N, in) to (B, N, out)."""
        weight = self.weights[f"{name}.weight"]  # (out, in, taps)
        reach = weight.shape[2] // 2
        padded = np.pad(signal, ((0, 0), (reach, reach), (0, 0)))
        parts = [padded[:, tap : tap + signal.shape[1]] for tap in range(weight.shape[2])]
        flat = weight.transpose(0, 2, 1).reshape(len(weight), -1)
        return self._times(np.concatenate(parts, -1), flat, self.weights[f"{name}.bias"])

    def _linear(self, name: str, signal: Array) -> Array:
        return self._times(signal, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _times(self, signal: Array, weight: Array, bias: Array) -> Array:
        flat = signal.reshape(-1, signal.shape[-1]) @ weight.T + bias
        return flat.reshape(*signal.shape[:-1], len(bias))

    def _norm(self, name: str, signal: Array) -> Array:
        centred = signal - signal.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        standard = centred / np.sqrt(variance + _EPSILON)
        return np.asarray(
            standard * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"], np.float32
        )

    def _count(self, name: str) -> int:
        return 1 + max(int(key.split(".")[1]) for key in self.weights if key.startswith(f"{name}."))


def _frame_rows(stacked: Array) -> Array:
    """See `network.frame_rows`."""
    mid_db, side_db, common, fast = np.split(stacked, (BANDS, 2 * BANDS, 3 * BANDS), axis=1)
    balance = _balance_db(10 ** (mid_db / 10), 10 ** (side_db / 10), common)
    rows = ((mid_db + 45) / 15, (side_db + 60) / 15, (side_db - mid_db) / 10, common, balance / 5, fast / 5)
    return np.concatenate(rows, 1)


def _balance_db(
    mid: NDArray[np.floating], side: NDArray[np.floating], common: NDArray[np.floating]
) -> NDArray[np.floating]:
    """See `network.balance_db`."""
    cross, floor = common * np.sqrt(mid * side), np.float32(10 ** ((FLOOR_DB + 5) / 10))
    right, left = np.maximum(mid + side - 2 * cross, 0), np.maximum(mid + side + 2 * cross, 0)
    return np.asarray(np.clip(10 * np.log10((right + floor) / (left + floor)), -20, 20))


def _long_rows(stacked: Array) -> Array:
    """See `network.long_rows`."""
    mid_db, side_db, common, _ = np.split(stacked, (BANDS, 2 * BANDS, 3 * BANDS), axis=1)
    mid, side = 10 ** (mid_db / 10), 10 ** (side_db / 10)
    cross = (common * np.sqrt(mid * side)).mean(-1)
    mid_mean, side_mean = mid.mean(-1), side.mean(-1)
    shared = cross / np.sqrt(mid_mean * side_mean)
    balance = _balance_db(mid_mean, side_mean, np.clip(shared, -1, 1))
    level, side_level = 10 * np.log10(mid_mean), 10 * np.log10(side_mean)
    moving = _balance_db(mid, side, common)
    rows = (
        *((level + 40) / 15, (side_level + 55) / 15, (side_level - level + 10) / 10, shared),
        *(balance / 5, (mid_db.std(-1, ddof=1) - 6) / 4, (side_db.std(-1, ddof=1) - 6) / 4),
        moving.std(-1, ddof=1) / 5,
    )
    return np.stack(rows, 1).astype(np.float32)


def _silu(signal: Array) -> Array:
    # x · sigmoid(x); the hyperbolic tangent cannot overflow.
    half: Array = np.float32(0.5) * signal
    return half + half * np.tanh(half)
