"""Demucs 4.1 (the extra `[demucs]`): hybrid transformer separators whose weights live on a model hub.

Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023. The names
are the package's: htdemucs, htdemucs_ft (four models, one fine-tuned to each stem), htdemucs_6s
(piano and guitar too) and hdemucs_mmi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from mixagent.pipeline.errors import MixagentError, ModelMissingError, option
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.separation.base import SeparatedStems
from mixagent.pipeline.separation.chunks import run_batches, write_stems
from mixagent.pipeline.separation.demucs_files import STEM_NAMES, BagFiles, find_bag
from mixagent.pipeline.separation.stopping import stoppable
from mixagent.pipeline.types import (
    BLOCK_FRAMES,
    AudioSource,
    DiskAudio,
    FloatArray,
    Progress,
    Stems,
    blocks,
    spool,
)
from mixagent.pipeline.warm import MODELS

_CHUNK_S = 10.0
_OVERLAP_S = 1.0
_WORK_BYTES = 1.5e9

_GPU_BATCH = 8
"""Chunks that go through a network together. Halved where they do not fit."""

Precision = Literal["float32", "float16", "bfloat16"]

_CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs")
"""The classes that a weights file may name. The package's loader would import and call any name in it."""


class DemucsSeparator:
    """One of the Demucs models by name, on weights that are in the hub's cache already.

    On a GPU the networks run in half precision, several chunks at a time; the memory that this takes
    there depends on neither the song nor its length, and is given back at the end.

    `cache` is the hub's cache folder; without one the hub's own default (`HF_HUB_CACHE`) is used.
    Nothing is downloaded here: `mixagent.pipeline.models.pull` does that. `precision` is what the
    networks compute in, by default what `default_precision` says.
    """

    def __init__(
        self,
        name: str,
        device: str = "cpu",
        cache: Path | None = None,
        precision: Precision | None = None,
        batch: int | None = None,
    ) -> None:
        self.name = name
        self.stem_names: tuple[str, ...] = STEM_NAMES[name]
        self._device, self._cache = device, cache
        self._precision = precision or default_precision(device)
        self._batch = batch or (1 if device == "cpu" else _GPU_BATCH)

    @property
    def version(self) -> str:
        """The package's version, the weights' revision on the hub, and the precision."""
        bag = find_bag(self.name, self._cache)
        return f"demucs-{metadata.version('demucs')}-{bag.revision}-{self._precision}+2"

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """See `Separator.separate`. What lies above the model's 22 kHz stays in the residual.

        Raises:
            OutOfDeviceMemoryError: the GPU has no room for a single chunk.
        """
        files = find_bag(self.name, self._cache)
        with metered_device_memory(self._device) as peak_bytes:
            stems = self._separated(mix, files, scratch, progress)
            return SeparatedStems(mix, stems, device_peak_bytes=peak_bytes())

    def _separated(
        self, mix: AudioSource, files: BagFiles, scratch: Path, progress: Progress | None
    ) -> dict[str, AudioSource]:
        # Under a name of its own, and given up at the end: the stopping of a run hangs on its networks.
        with MODELS.loaded(
            f"{self.name} of {id(mix)} on {self._device}",
            lambda: load_bag(files, self._device),
            sum(path.stat().st_size for path in files.weights),
            work_bytes=_WORK_BYTES,
            keep=False,
        ) as bag:
            return self._run(mix, bag, scratch, progress)

    def _run(
        self, mix: AudioSource, bag: Bag, scratch: Path, progress: Progress | None
    ) -> dict[str, AudioSource]:
        resampled = resample(mix, bag.rate, scratch / "mix-at-model-rate.f32")
        runner = Runner(bag, self.stem_names, level(resampled), self._device, self._precision)
        overlap = round(_OVERLAP_S * bag.rate)
        pieces = run_batches(resampled, runner, bag.chunk, overlap, self._batch)
        with stoppable(bag.networks, progress) as shown:
            parts = write_stems(pieces, self.stem_names, scratch, resampled, shown)
        if isinstance(resampled, DiskAudio) and resampled is not mix:
            resampled.path.unlink()
        return {name: _fitted(part, mix, scratch / f"{name}.f32") for name, part in parts.items()}


def default_precision(device: str) -> Precision:
    """bfloat16 on a GPU that has it, float16 on one that has not, float32 on a CPU.

    bfloat16 has float32's range, so it cannot overflow; on a CPU both are slower than float32.
    """
    if device == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


@contextmanager
def metered_device_memory(device: str) -> Iterator[Callable[[], int | None]]:
    """Inside, memory on a GPU is metered, most bytes at a time; afterwards what was cached is released."""
    if device == "cpu":
        yield lambda: None
        return
    torch.cuda.reset_peak_memory_stats(device)
    try:
        yield lambda: int(torch.cuda.max_memory_allocated(device))
    finally:
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Bag:
    """Loaded networks with the share (networks, stems) that each has in each stem; columns sum to 1.

    `segment_s` is the longest chunk in seconds that they take: those of the transformer kind know
    nothing longer than what they were trained on (7.8 s).
    """

    networks: tuple[Any, ...]
    shares: Tensor
    segment_s: float

    @property
    def rate(self) -> int:
        """The networks' sample rate in Hz."""
        return int(self.networks[0].samplerate)

    @property
    def chunk(self) -> int:
        """Frames in a chunk: 10 s, or less where the networks ask for it."""
        return int(min(_CHUNK_S, self.segment_s) * self.rate)


def load_bag(files: BagFiles, device: str) -> Bag:
    """The networks of a model, ready to run on `device`."""
    networks = tuple(_load_network(path).to(device).eval() for path in files.weights)
    stems = len(networks[0].sources)
    shares = torch.tensor(files.shares or [[1.0] * stems] * len(networks), device=device)
    wished_s = (network.segment for network in networks)
    return Bag(networks, shares / shares.sum(0), min(files.segment_s or _CHUNK_S, *wished_s, _CHUNK_S))


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


class OutOfDeviceMemoryError(MixagentError):
    """The GPU's memory is too small for the model."""

    exit_code = ModelMissingError.exit_code


class Runner:
    """Takes chunks (channels, frames) at the networks' rate to their stems (stems, channels, frames)."""

    def __init__(
        self,
        bag: Bag,
        names: Sequence[str],
        level: tuple[float, float],
        device: str,
        precision: Precision = "float32",
    ) -> None:
        self._bag, self._level, self._device, self._precision = bag, level, device, precision
        self._order = [bag.networks[0].sources.index(name) for name in names]

    def __call__(self, chunks: Sequence[FloatArray]) -> list[FloatArray]:
        """Stems of each chunk; in two goes where the device has no room for all of them at a time."""
        try:
            return self._stems(chunks)
        except torch.OutOfMemoryError as error:
            if len(chunks) == 1:
                raise OutOfDeviceMemoryError(
                    f"the GPU has too little free memory for one chunk of {chunks[0].shape[1]} samples: "
                    f"close other programs, or use {option('device', 'cpu')}"
                ) from error
        if self._device != "cpu":
            torch.cuda.empty_cache()
        half = len(chunks) // 2
        return self(chunks[:half]) + self(chunks[half:])

    def _stems(self, chunks: Sequence[FloatArray]) -> list[FloatArray]:
        pairs = np.array([(left, min(left + 1, len(chunks[0]) - 1)) for left in range(0, len(chunks[0]), 2)])
        inputs = torch.stack([self._inputs(chunk[pairs]) for chunk in chunks]).flatten(0, 1)
        with torch.inference_mode():
            stems = self._separated(inputs)[:, self._order] * self._level[1]
        # (chunks, pairs, stems, 2, frames) -> (chunks, stems, channels, frames)
        stems = stems.view(len(chunks), len(pairs), *stems.shape[1:]).transpose(1, 2).flatten(2, 3)
        joined = stems[:, :, : len(chunks[0])].cpu().numpy()
        return [
            np.ascontiguousarray(out[..., : chunk.shape[1]]) * np.float32(chunk.any())
            for out, chunk in zip(joined, chunks, strict=True)
        ]

    def _inputs(self, pairs: FloatArray) -> Tensor:
        """(pairs, 2, frames) of the mix at the level of training: (pairs, 2, chunk)."""
        mean, deviation = self._level
        inputs = torch.zeros(len(pairs), 2, self._bag.chunk, device=self._device)
        inputs[..., : pairs.shape[-1]] = torch.from_numpy((pairs - np.float32(mean)) / np.float32(deviation))
        return inputs

    def _separated(self, inputs: Tensor) -> Tensor:
        """(pairs, 2, chunk) -> (pairs, sources, 2, chunk): each network by its share in each stem."""
        out = torch.zeros((), device=self._device)
        for network, share in zip(self._bag.networks, self._bag.shares, strict=True):
            out = out + self._run(network, inputs) * share[:, None, None]
        return out

    def _run(self, network: Any, inputs: Tensor) -> Tensor:
        if self._precision == "float32":
            return cast(Tensor, network(inputs))
        with torch.autocast(self._device, getattr(torch, self._precision)):
            out = cast(Tensor, network(inputs)).float()
        # float16 overflows at 65504; what went over is computed again.
        return out if bool(torch.isfinite(out).all()) else cast(Tensor, network(inputs))


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
