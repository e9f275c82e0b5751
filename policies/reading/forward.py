"""The forward pass of `reading.network.ReadingNet` in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.measure.song_bands import BANDS, THIRDS_HZ
from mixagent.pipeline.types import FloatArray
from mixagent.policies.numpy_layers import layer_norm, linear, silu

_THIRDS = len(THIRDS_HZ)
_MOST_DB, _STEP_DB = 18.0, 10.0


@dataclass(frozen=True)
class FrozenReader:
    """A trained net that only decides; `weights` are named as in the state of `ReadingNet`."""

    weights: Mapping[str, FloatArray]

    def moves(self, rows: FloatArray, figures: FloatArray) -> FloatArray:
        """Moves of mid, side and balance in dB, (B, 3, THIRDS).

        Args:
            rows: `summary.shown`, (B, ROWS, BANDS).
            figures: of the same summaries, (B, FIGURES).
        """
        flat = np.concatenate((rows.reshape(len(rows), -1), figures), 1)
        summary = silu(self._norm("summary.1", self._linear("summary.0", flat)))
        summary = silu(self._linear("summary.4", summary))
        beside = self._linear("spread", summary).reshape(len(rows), -1, BANDS)
        bands = self._along("enter", np.concatenate((rows, beside), 1).swapaxes(1, 2))
        bands = np.asarray(bands + self.weights["place"].T, np.float32)
        for block in range(self._blocks):
            inner = silu(self._along(f"bands.{block}.along", self._norm(f"bands.{block}.norm", bands)))
            bands = bands + self._along(f"bands.{block}.narrow", inner)
        # The two sixths of a third lie beside each other, channel by channel.
        pairs = bands[:, : 2 * _THIRDS].reshape(len(bands), _THIRDS, 2, -1).swapaxes(2, 3)
        answer = self._along("leave", pairs.reshape(len(bands), _THIRDS, -1)).swapaxes(1, 2)
        return np.asarray(_MOST_DB * np.tanh(answer * (_STEP_DB / _MOST_DB)), np.float32)

    @property
    def _blocks(self) -> int:
        return 1 + max(int(key.split(".")[1]) for key in self.weights if key.startswith("bands."))

    def _along(self, name: str, signal: FloatArray) -> FloatArray:
        """A convolution of odd length along the second axis: (B, N, in) to (B, N, out)."""
        weight = self.weights[f"{name}.weight"]  # (out, in, taps)
        reach = weight.shape[2] // 2
        padded = np.pad(signal, ((0, 0), (reach, reach), (0, 0)))
        parts = [padded[:, tap : tap + signal.shape[1]] for tap in range(weight.shape[2])]
        flat = weight.transpose(0, 2, 1).reshape(len(weight), -1)
        return linear(np.concatenate(parts, -1), flat, self.weights[f"{name}.bias"])

    def _linear(self, name: str, signal: FloatArray) -> FloatArray:
        return linear(signal, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, signal: FloatArray) -> FloatArray:
        return layer_norm(signal, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])
