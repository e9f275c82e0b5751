"""Demucs 4.1 (the extra `[demucs]`): hybrid transformer separators whose weights live on a model hub.

Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023. The names
are the package's: htdemucs, htdemucs_ft (four models, one fine-tuned to each stem), htdemucs_6s
(piano and guitar too) and hdemucs_mmi.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixagent.pipeline.audio import BLOCK_FRAMES, AudioSource, DiskAudio, FloatArray, Stems, blocks, spool
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.resampling import resample
from mixagent.pipeline.separation.base import Progress
from mixagent.pipeline.separation.chunks import run_chunks, write_stems
from mixagent.pipeline.separation.demucs_files import STEM_NAMES, BagFiles, find_bag

_CHUNK_S = 10.0
_OVERLAP_S = 1.0

_CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs")
"""What a weights file may ask to be built. The package's loader would import and call any name in it."""


class DemucsSeparator:
    """One of the Demucs models by name, on weights that are in the hub's cache already.

    `cache` is the hub's cache folder; without one the hub's own default (`HF_HUB_CACHE`) is used.
    Nothing is downloaded here: `mixagent.pipeline.models.pull` does that.
    """

    def __init__(self, name: str, device: str = "cpu", cache: Path | None = None) -> None:
        self.name = name
        self.stem_names: tuple[str, ...] = STEM_NAMES[name]
        self._device, self._cache = device, cache

    @property
    def version(self) -> str:
        """The package's version and the weights' revision on the hub."""
        bag = find_bag(self.name, self._cache)
        return f"demucs-{metadata.version('demucs')}-{bag.revision}+1"

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """See `Separator.separate`. What lies above the model's 22 kHz stays in the residual."""
        bag = load_bag(find_bag(self.name, self._cache), self._device)
        heard = resample(mix, bag.rate, scratch / "mix-at-model-rate.f32")
        runner = _Runner(bag, self.stem_names, level(heard), self._device)
        pieces = run_chunks(heard, runner, runner.chunk, round(_OVERLAP_S * bag.rate))
        parts = write_stems(pieces, self.stem_names, scratch, heard, progress)
        if isinstance(heard, DiskAudio) and heard is not mix:
            heard.path.unlink()
        return Stems(mix, {name: _fitted(part, mix, scratch / f"{name}.f32") for name, part in parts.items()})


@dataclass(frozen=True)
class Bag:
    """Loaded networks with the share (networks, stems) that each has in each stem; columns sum to 1."""

    networks: tuple[Any, ...]
    shares: Tensor

    @property
    def rate(self) -> int:
        """The networks' sample rate in Hz."""
        return int(self.networks[0].samplerate)


def load_bag(files: BagFiles, device: str) -> Bag:
    """The networks of a model, ready to run on `device`."""
    networks = tuple(_load_network(path).to(device).eval() for path in files.weights)
    stems = len(networks[0].sources)
    shares = torch.tensor(files.shares or [[1.0] * stems] * len(networks), device=device)
    return Bag(networks, shares / shares.sum(0))


def _load_network(path: Path) -> Any:
    """One network from a safetensors file whose metadata names its class and arguments."""
    from demucs.hf import load_safetensors_model
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
    except SafetensorError as error:
        raise ModelMissingError(
            f"{path} is not a safetensors file ({error}): delete it and pull the model again"
        ) from error
    if described.get("klass") not in _CLASSES or "structure" in described:
        raise ModelMissingError(f"{path} is not a Demucs network: delete it and pull the model again")
    return load_safetensors_model(path)


def level(mix: AudioSource) -> tuple[float, float]:
    """Mean and deviation of the mono mix, by which the networks' input was normalised in training."""
    total = squares = 0.0
    for block in blocks(mix):
        mid = block.mean(0, dtype=np.float64)
        total, squares = total + float(mid.sum()), squares + float(np.square(mid).sum())
    count = max(mix.frames, 1)
    return total / count, max(squares / count - (total / count) ** 2, 0.0) ** 0.5 + 1e-8


class _Runner:
    """Takes a chunk (channels, frames) at the networks' rate to its stems (stems, channels, frames)."""

    def __init__(self, bag: Bag, names: Sequence[str], level: tuple[float, float], device: str) -> None:
        self._bag, self._level, self._device = bag, level, device
        self._order = [bag.networks[0].sources.index(name) for name in names]
        self.chunk = int(min(_CHUNK_S, *(network.segment for network in bag.networks)) * bag.rate)

    def __call__(self, chunk: FloatArray) -> FloatArray:
        channels, frames = chunk.shape
        if not chunk.any():
            return np.zeros((len(self._order), channels, frames), np.float32)
        mean, deviation = self._level
        pairs = np.array([(left, min(left + 1, channels - 1)) for left in range(0, channels, 2)])
        heard = torch.zeros(len(pairs), 2, self.chunk, device=self._device)
        heard[..., :frames] = torch.from_numpy((chunk[pairs] - np.float32(mean)) / np.float32(deviation))
        with torch.inference_mode():
            stems = self._separated(heard)[:, self._order, :, :frames] * deviation
        joined = stems.transpose(0, 1).flatten(1, 2)[:, :channels]
        return joined.contiguous().cpu().numpy()

    def _separated(self, heard: Tensor) -> Tensor:
        """(pairs, 2, chunk) -> (pairs, sources, 2, chunk): each network by its share in each stem."""
        out = torch.zeros((), device=self._device)
        for network, share in zip(self._bag.networks, self._bag.shares, strict=True):
            out = out + network(heard) * share[:, None, None]
        return out


def _fitted(part: DiskAudio, mix: AudioSource, to: Path) -> AudioSource:
    """A stem brought back to the mix's rate and to its exact length."""
    if part.rate == mix.rate:
        return part
    back = resample(part, mix.rate, to.with_suffix(".resampled"))
    fitted = spool(_padded(back, mix.frames), to, mix.rate, mix.channels)
    to.with_suffix(".resampled").unlink()
    return fitted


def _padded(source: AudioSource, frames: int) -> Iterator[FloatArray]:
    for start in range(0, frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, frames)
        block = source.read(start, stop)
        yield np.pad(block, ((0, 0), (0, stop - start - block.shape[1])))
