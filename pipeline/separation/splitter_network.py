"""The network that splits an accompaniment into drums, bass and other, and what it hears and gives.

It hears the power of left, right, mid and side in `BANDS` bands that are single bins of the spectrum at
the bottom and grow with frequency, and gives a real 2×2 matrix a stem for each band of each frame, by
which the stem's left and right are made from the mix's: not only a share of each side, but also what
lies in the middle less what lies to the left. A U-Net over bands and frames (Ronneberger et al., MICCAI
2015) whose bottom is a stack of dilated convolutions in time (Bai et al., "An empirical evaluation of
generic convolutional and recurrent networks for sequence modeling", 2018).

In the lowest `LOW` bands, where kick and bass share bins, it also hears phase: how far it turned since
the frame before against a tone in the bin's middle, which is steady in a bass note and sweeps in a kick,
and how far it turns from bin to bin, which tells where in the window the energy lies. There it gives
each stem complex weights too, for the bin and its neighbours in time and frequency (Mack and Habets,
"Deep filtering", IEEE Signal Processing Letters 27, 2020). `scripts/train_splitter.py` trained it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.separation.spleeter_network import Masker
from mixagent.pipeline.types import FloatArray

STEM_NAMES = ("drums", "bass", "other")
"""The stems that an accompaniment is split into, in the order of the network's outputs."""

NET_BINS = 2049
"""Bins of the spectrum that the bands cover: 0 to 22.05 kHz in steps of 10.8 Hz."""

FRAMES = 4
"""The network takes a multiple of this many frames."""

_GROWTH = 0.0336
"""Width of a band against its lower edge, from where that is more than one bin."""

_FLOOR = 3e-4
"""Amplitude added before the logarithm, against a mix of RMS 1: what lies below is alike to the network."""


def band_edges() -> NDArray[np.int64]:
    """The first bin of each band and, last, `NET_BINS`, shape (BANDS + 1,)."""
    edges = [0]
    while edges[-1] < NET_BINS:
        edges.append(min(edges[-1] + max(round(edges[-1] * _GROWTH), 1), NET_BINS))
    return np.array(edges)


EDGES = band_edges()
BANDS = len(EDGES) - 1


LOW = 44
"""Bands from the bottom up whose phase is inputs: single bins, up to 474 Hz."""

TAPS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))
"""The neighbours that a low bin's weights apply to, as steps in (frequency, time) from it."""


class Splitter:
    """Takes a chunk (channels, frames) to vocals, drums, bass and other, (4, channels, frames).

    The vocals are Spleeter's; what they leave of the spectrum is shared out. The gain brings the mix to
    an RMS of 1.
    """

    def __init__(self, masker: Masker, network: SplitterNetwork, gain: float) -> None:
        self.hop = masker.hop
        self._masker, self._network = masker, network
        # Parseval: a frame's bands sum to the mean power under its window.
        self._scale = gain * (2 / (4 * self.hop * 1.5 * self.hop)) ** 0.5

    def __call__(self, chunk: FloatArray) -> FloatArray:
        """The stems of a chunk; they sum to it."""
        if not chunk.any():
            return np.zeros((4, *chunk.shape), np.float32)
        with torch.inference_mode():
            device = next(self._network.parameters()).device
            mix = torch.from_numpy(np.ascontiguousarray(chunk)).to(device)
            spectrum = self._masker.spectrum(mix)
            vocals = spectrum * self._masker.vocal_share(spectrum)
            drums, bass = self._split(spectrum - vocals)
            parts = [self._masker.waveform(part, chunk.shape[1]) for part in (vocals, drums, bass)]
            return torch.stack((*parts, mix - parts[0] - parts[1] - parts[2])).cpu().numpy()

    def _split(self, spectrum: Tensor) -> list[Tensor]:
        """Drums and bass of a spectrum without vocals, complex (channels, bins, frames)."""
        channels, bins, frames = spectrum.shape
        bands = band_of_bins(bins).to(spectrum.device)
        pairs = torch.cat((spectrum, spectrum[-1:])) if channels % 2 else spectrum
        sides = pairs.reshape(-1, 2, bins, frames)
        padded = F.pad(sides[:, :, :NET_BINS] * self._scale, (0, -frames % FRAMES))
        matrices, weights = self._network(band_powers(padded), padded[:, :, :LOW])
        filtered = weighted_taps(weights[..., :frames], sides[:, :, :LOW])
        parts = []
        for stem in (0, 1):
            rows = matrices[:, stem, :, :, :, :frames][:, :, :, bands].unbind(2)
            part = rows[0] * sides[:, :1] + rows[1] * sides[:, 1:]
            part[:, :, :LOW] += filtered[:, stem]
            parts.append(part.flatten(0, 1)[:channels])
        return parts


def band_powers(sides: Tensor) -> Tensor:
    """The network's input from spectra (batch, 2, bins, frames): (batch, 4, BANDS, frames)."""
    left, right = sides.unbind(1)
    inputs = torch.stack((left, right, (left + right) / 2, (left - right) / 2), 1)
    powers = torch.zeros((*inputs.shape[:2], BANDS, inputs.shape[3]), device=sides.device)
    return powers.index_add_(2, band_of_bins(inputs.shape[2]).to(sides.device), _power(inputs))


def weighted_taps(weights: Tensor, low: Tensor) -> Tensor:
    """The low bins with the weights applied, complex (batch, 3, 2, LOW, frames).

    Args:
        weights: complex (batch, 3, TAPS, LOW, frames).
        low: of the mix, complex (batch, 2, LOW, frames).
    """
    made = torch.zeros((), dtype=low.dtype, device=low.device)
    for tap, (up, later) in enumerate(TAPS):
        aligned = _shifted(low, up, later) * _turn(later, low.device) * (-1) ** up
        made = made + weights[:, :, tap, None] * aligned[:, None]
    return made


def _shifted(x: Tensor, up: int, later: int) -> Tensor:
    """The bins shifted by so many bins and frames; 0 beyond the edges."""
    bins, frames = x.shape[-2:]
    padded = F.pad(x, (max(-later, 0), max(later, 0), max(-up, 0), max(up, 0)))
    first, start = max(up, 0), max(later, 0)
    return padded[..., first : first + bins, start : start + frames]


def _turn(frames: int, device: torch.device) -> Tensor:
    """Takes back what a tone in the middle of a low bin turns in so many frames of a quarter window."""
    quarters = torch.tensor([1, -1j, -1, 1j], device=device)
    return quarters[torch.arange(LOW, device=device) * frames % 4, None]


def _power(x: Tensor) -> Tensor:
    return x.real**2 + x.imag**2


def band_of_bins(bins: int) -> Tensor:
    """The band that each of the bins belongs to; bins above the last band belong to that one."""
    widths = torch.from_numpy(np.diff(EDGES))
    bands = torch.repeat_interleave(torch.arange(BANDS), widths)
    return F.pad(bands[:bins], (0, max(bins - NET_BINS, 0)), value=BANDS - 1)


def load_splitter(weights: bytes, device: str) -> SplitterNetwork:
    """The network with these weights, a safetensors file's content.

    Raises:
        ModelMissingError: they are not this network's.
    """
    network = SplitterNetwork()
    try:
        network.load_state_dict({name: _widened(value) for name, value in load(weights).items()})
    except (RuntimeError, SafetensorError) as error:
        raise ModelMissingError(
            "the splitter's weights are not this network's: reinstall mixagent"
        ) from error
    return network.to(device).eval()


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


class SplitterNetwork(nn.Module):
    """Band powers and low bins to the stems' matrices and, for the low bins, weights.

    Powers (batch, 4, BANDS, frames) are left's, right's, mid's and side's, against a mix whose RMS is 1;
    low bins, left's and right's, are complex (batch, 2, LOW, frames). A matrix, (batch, 3, 2, 2, BANDS,
    frames), takes the mix's left and right (its second index) to the stem's (its first); over stems they
    sum to identity. Weights, complex (batch, 3, TAPS, LOW, frames), sum to 0. Frames: a multiple of
    `FRAMES`.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 96),
        context: int = 256,
        dilations: Sequence[int] = (1, 2, 4, 8, 2, 4, 8, 16),
    ) -> None:
        super().__init__()
        first, second, third, last = widths
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.zeros(4, BANDS, 1))
        self.register_buffer("spread", torch.ones(4, BANDS, 1))
        self.place = nn.Parameter(torch.zeros(first, BANDS, 1))
        self.enter = nn.Conv2d(4, first, 3, padding=1)
        self.enter_norm = nn.BatchNorm2d(first)
        self.down = nn.ModuleList(
            (
                _convolved(first, second, stride=(2, 1)),
                _convolved(second, third, stride=(2, 2)),
                _convolved(third, last, stride=(2, 2)),
            )
        )
        rows = BANDS // 8
        self.narrow = nn.Sequential(
            nn.Conv1d(last * rows, context, 1, bias=False), nn.BatchNorm1d(context), nn.ReLU()
        )
        self.over_time = nn.ModuleList(_Dilated(context, dilation) for dilation in dilations)
        self.widen = nn.Conv1d(context, last * rows, 1)
        self.up = nn.ModuleList(
            (
                nn.ConvTranspose2d(last, third, 2, stride=2),
                nn.ConvTranspose2d(third, second, 2, stride=2),
                nn.ConvTranspose2d(second, first, (2, 1), stride=(2, 1)),
            )
        )
        self.smooth = nn.ModuleList(_convolved(width, width) for width in (third, second, first))
        self.leave = nn.Conv2d(first, 6 * len(STEM_NAMES), 1)
        with torch.no_grad():  # It begins with shares alone.
            for values in self.leave.parameters():
                values.view(len(STEM_NAMES), 6, -1)[:, 2:] = 0
        self.low = _Low(first)

    def forward(self, powers: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """The stems' matrices and weights."""
        inputs = (features(powers) - self.mean) / self.spread
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        x = torch.relu(self.enter_norm(self.enter(inputs)) + self.place)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = x + self._in_context(x)
        for up, smooth in zip(self.up, self.smooth, strict=True):
            x = smooth(torch.relu(up(x) + skips.pop()))
        more, weights = self.low(x[:, :, :LOW], low)
        return _matrices(self.leave(x) + F.pad(more, (0, 0, 0, BANDS - LOW))), weights

    def _in_context(self, x: Tensor) -> Tensor:
        batch, channels, rows, frames = x.shape
        y = self.narrow(x.contiguous().view(batch, channels * rows, frames))
        for layer in self.over_time:
            y = layer(y)
        return torch.as_tensor(self.widen(y)).view(batch, channels, rows, frames)


def _matrices(x: Tensor) -> Tensor:
    """Shares of each side on the diagonals, and what is added to any element, which sums to 0 over stems."""
    batch, _, bands, frames = x.shape
    raw = x.reshape(batch, len(STEM_NAMES), 6, bands, frames)
    more = torch.tanh(raw[:, :, 2:])
    more = more - more.mean(1, keepdim=True)
    shares = torch.softmax(raw[:, :, :2], 1)
    first, second = shares[:, :, :1] + more[:, :, :1], shares[:, :, 1:] + more[:, :, 3:]
    rows = torch.cat((first, more[:, :, 1:3], second), 2)
    return rows.reshape(batch, len(STEM_NAMES), 2, 2, bands, frames)


class _Low(nn.Module):
    """What the U-Net found in the low bands, and their phase, to what is added there.

    All bins of a frame are taken together and followed over time.
    """

    def __init__(self, found: int, width: int = 24, context: int = 192) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(width, LOW, 1))
        self.enter = _convolved(found + 4, width)
        self.narrow = nn.Sequential(
            nn.Conv1d(width * LOW, context, 1, bias=False), nn.BatchNorm1d(context), nn.ReLU()
        )
        self.over_time = nn.ModuleList(_Dilated(context, dilation) for dilation in (1, 2, 4, 8, 16, 32))
        self.widen = nn.Conv1d(context, width * LOW, 1)
        self.smooth = _convolved(width, width)
        self.leave = nn.Conv2d(width, len(STEM_NAMES) * (6 + 2 * len(TAPS)), 1)
        with torch.no_grad():  # It begins with nothing to add.
            for values in self.leave.parameters():
                values.zero_()

    def forward(self, found: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """The addition to the matrices, before they are bounded, and the weights."""
        x = self.enter(torch.cat((found, turns(low)), 1)) + self.place
        y = self.narrow(x.flatten(1, 2))
        for layer in self.over_time:
            y = layer(y)
        y = self.leave(self.smooth(x + self.widen(y).view_as(x)))
        shares = 6 * len(STEM_NAMES)
        raw = torch.tanh(y[:, shares:]).reshape(len(y), len(STEM_NAMES), len(TAPS), 2, *y.shape[2:])
        raw = raw - raw.mean(1, keepdim=True)
        return y[:, :shares], torch.complex(raw[:, :, :, 0], raw[:, :, :, 1])


def turns(low: Tensor) -> Tensor:
    """The turns of mid's phase from frame to frame and from bin to bin, as unit vectors.

    Low bins (batch, 2, LOW, frames) to (batch, 4, LOW, frames); 0 where there is nothing.
    """
    mid = low.mean(1)
    in_time = mid * _shifted(mid, 0, -1).conj() * _turn(1, low.device)
    in_frequency = -_shifted(mid, 1, 0) * mid.conj()
    both = torch.stack((in_time, in_frequency), 1)
    both = both / (both.abs() + _FLOOR**2)
    return torch.cat((both.real, both.imag), 1)


class _Dilated(nn.Module):
    """A residual convolution over time whose taps lie `dilation` frames apart."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(width)
        nn.init.constant_(self.norm.weight, 0.1)  # It begins with little to add.

    def forward(self, x: Tensor) -> Tensor:
        """Same shape, (batch, width, frames)."""
        return x + torch.relu(self.norm(self.convolution(x)))


def features(powers: Tensor) -> Tensor:
    """Log amplitudes of band powers."""
    return torch.log(powers.sqrt() + _FLOOR)


def _convolved(inward: int, outward: int, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inward, outward, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outward),
        nn.ReLU(),
    )
