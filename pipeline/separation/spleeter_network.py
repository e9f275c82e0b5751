"""Spleeter's two-stem network, and the masks that it gives a chunk of the mix.

Hennequin et al., "Spleeter: a fast and efficient music source separation tool with pre-trained
models", JOSS 5(50), 2020. Two U-Nets estimate the magnitudes of vocals and accompaniment; their
squares, as shares, are the masks. Apart from the separator, because it loads torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mixagent.pipeline.types import FloatArray

NET_HOP = 1024
NET_FRAMES = 64
"""Six halvings: the number of frames must be a multiple of this."""

_NET_WINDOW = 4 * NET_HOP
_NET_BINS = 1024


class Masker:
    """Takes a chunk (channels, frames) to its stems (2, channels, frames)."""

    def __init__(self, hop: int, networks: tuple[UNet, ...], gain: float) -> None:
        self.hop = hop
        self._gain = gain * _NET_WINDOW / (4 * self.hop)
        self._networks = networks
        self._device = next(networks[0].buffers()).device
        self._window = torch.hann_window(4 * self.hop, device=self._device)

    def __call__(self, chunk: FloatArray) -> FloatArray:
        """Vocals and accompaniment of a chunk (channels, frames), shape (2, channels, frames)."""
        if not chunk.any():
            return np.zeros((2, *chunk.shape), np.float32)
        with torch.inference_mode():
            mix = torch.from_numpy(np.ascontiguousarray(chunk)).to(self._device)
            spectrum = self.spectrum(mix)
            vocals = self.waveform(spectrum * self.vocal_share(spectrum), chunk.shape[1])
            return torch.stack((vocals, mix - vocals)).cpu().numpy()

    def spectrum(self, wave: Tensor) -> Tensor:
        """(channels, samples) -> complex (channels, bins, frames)."""
        return torch.stft(
            wave, 4 * self.hop, self.hop, window=self._window, pad_mode="constant", return_complex=True
        )

    def waveform(self, spectrum: Tensor, frames: int) -> Tensor:
        """Complex (channels, bins, frames) to (channels, samples)."""
        return torch.istft(spectrum, 4 * self.hop, self.hop, window=self._window, length=frames)

    def vocal_share(self, spectrum: Tensor) -> Tensor:
        """The vocals' share 0..1 of each bin, shape of the spectrum. The accompaniment has the rest."""
        channels, bins, frames = spectrum.shape
        pairs = [(left, min(left + 1, channels - 1)) for left in range(0, channels, 2)]
        used = min(bins, _NET_BINS)
        magnitude = spectrum[:, :used].abs().transpose(1, 2) * self._gain
        padding = (0, _NET_BINS - used, 0, -frames % NET_FRAMES)
        inputs = F.pad(magnitude[torch.tensor(pairs)], padding)  # (pairs, 2, frames, 1024)
        vocals, accompaniment = (network(inputs)[:, :, :frames, :used] ** 2 for network in self._networks)
        share = (vocals + 5e-11) / (vocals + accompaniment + 1e-10)
        share = share.flatten(0, 1)[:channels].transpose(1, 2)  # (channels, used, frames)
        above = share.mean(1, keepdim=True).expand(-1, bins - used, -1)
        return torch.cat((share, above), 1)


class UNet(nn.Module):
    """One stem's network: magnitudes (batch, 2, frames, 1024) to that stem's magnitudes.

    Six 5×5 convolutions of stride 2 (2-16-32-64-128-256-512 channels), six back up with skips, and a
    sigmoid mask on the input. Frames must be a multiple of 64.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        for name, values in weights.items():
            self.register_buffer(name.replace(".", "_"), torch.from_numpy(values))

    def forward(self, magnitude: Tensor) -> Tensor:
        """The stem's magnitudes, same shape."""
        x, skips = magnitude, []
        for level in range(1, 7):
            x = F.conv2d(F.pad(x, (1, 2, 1, 2)), *self._kernel(f"down{level}_conv_1"), stride=2)
            skips.append(x)
            x = F.leaky_relu(self._normed(x, f"down{level}_act_0"), 0.2)
        x = skips.pop()
        for level in range(1, 7):
            x = F.conv_transpose2d(x, *self._kernel(f"up{level}_0"), stride=2, padding=1)[..., :-1, :-1]
            x = self._normed(F.relu(x), f"up{level}_3")
            if skips:
                x = torch.cat((skips.pop(), x), 1)
        return torch.sigmoid(F.conv2d(x, *self._kernel("up7_0"), padding=3, dilation=2)) * magnitude

    def _kernel(self, layer: str) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"{layer}_weight"), self.get_buffer(f"{layer}_bias")

    def _normed(self, x: Tensor, layer: str) -> Tensor:
        mean, var = self.get_buffer(f"{layer}_running_mean"), self.get_buffer(f"{layer}_running_var")
        return F.batch_norm(x, mean, var, *self._kernel(layer), eps=1e-3)


def load_networks(files: tuple[Path, Path], device: str) -> tuple[UNet, ...]:
    """The networks for vocals and accompaniment, 9.8 million parameters each."""
    return tuple(UNet(_read_weights(path)).to(device) for path in files)


def _read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The checkpoint's arrays. It is a pickle, so only the types of plain arrays may be built from it."""
    from numpy._core.multiarray import _reconstruct

    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        np.dtypes.Float32DType,
    ]
    with torch.serialization.safe_globals(allowed):
        weights: dict[str, NDArray[np.float32]] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
