"""The envelope network at work: what it says of a piece of a song, and a whole song brought to it in pieces.

Pieces are of 44.1 kHz, whatever the song's rate; what is made for them is brought back to it alone, so the
song itself is not resampled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.restoration.band_levels import (
    BANDS,
    RATE,
    WINDOW,
    flatness_db,
    levels_db,
    mid_side,
    powers_of,
    spectra_of,
)
from mixagent.pipeline.restoration.base import NotFiniteError
from mixagent.pipeline.types import AudioSource, DiskAudio, Float64Array, FloatArray, Progress, spool

if TYPE_CHECKING:
    from mixagent.pipeline.restoration.envelope_network import EnvelopeNetwork

PIECE_S = 10
MARGIN_S = 1
_FADE_S = 0.5

Make = Callable[[int, FloatArray], FloatArray]
"""Gives what is to be added to a piece, mid and side (2, frames), as mid and side; pieces are counted."""


def folder() -> Path:
    """Where the shipped weights are."""
    return checkpoint_folder("bandwidth")


@lru_cache(maxsize=1)
def network() -> EnvelopeNetwork:
    """The shipped network.

    Raises:
        ModelMissingError: its files are missing, or of another form.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from mixagent.pipeline.restoration.envelope_network import EnvelopeNetwork

    try:
        config = json.loads((folder() / "config.json").read_text(encoding="utf-8"))
        net = EnvelopeNetwork(BANDS, config["width"], config["depth"], config["kernel"])
        net.load_state_dict(load_file(folder() / "weights.safetensors"))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelMissingError(
            f"the network in {folder()} is missing or is not this program's: reinstall mixagent"
        ) from error
    return net.eval()


def envelope(power: FloatArray, reference: float, mask: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Levels in dB and flatness in dB with the masked cells continued, each (2, BANDS, windows).

    Args:
        power: of every `band_levels.STEP`th window, (2, windows, bins).
        reference: the song's density (`band_levels.density`).
        mask: 1 in the cells to be continued, (2, BANDS, windows).

    Raises:
        NotFiniteError: the network gave something that is not a number.
    """
    import torch

    with torch.inference_mode():
        parts = (levels_db(power, reference), flatness_db(power), np.asarray(mask, np.float32))
        said = network()(*(torch.from_numpy(np.ascontiguousarray(part))[None] for part in parts))
    return _numbers(said.levels_db[0].numpy()), _numbers(said.flatness_db[0].numpy())


def lacking(power: FloatArray, reference: float) -> FloatArray:
    """The chance that something was taken away, by cell (2, BANDS, windows); arguments as of `envelope`."""
    import torch

    with torch.inference_mode():
        levels = torch.from_numpy(levels_db(power, reference))[None]
        flatness = torch.from_numpy(flatness_db(power))[None]
        said = network()(levels, flatness, torch.zeros_like(levels))
    return _numbers(torch.sigmoid(said.lacking)[0].numpy())


def _numbers(values: FloatArray) -> FloatArray:
    if not np.isfinite(values).all():
        raise NotFiniteError
    return values


def pieces(source: AudioSource) -> Iterator[FloatArray]:
    """A song in pieces of `PIECE_S` with `MARGIN_S` of what is beside them, mid and side at 44.1 kHz.

    Every piece has one length, the last with silence after its end.
    """
    length, margin = PIECE_S * source.rate, MARGIN_S * source.rate
    frames = (PIECE_S + 2 * MARGIN_S) * RATE
    for start in range(0, source.frames, length):
        first, last = max(start - margin, 0), min(start + length + margin, source.frames)
        part = mid_side(source.read(first, last))
        part = np.pad(part, ((0, 0), (first - (start - margin), start + length + margin - last)))
        yield _brought(part, source.rate, RATE, frames)


def count_pieces(source: AudioSource) -> int:
    """How many pieces a song has."""
    return -(-source.frames // (PIECE_S * source.rate))


def added_to(source: AudioSource, make: Make, progress: Progress) -> Iterator[FloatArray]:
    """The source with what `make` adds to its pieces, in blocks; bit for bit where that is nothing."""
    rate, length, margin = source.rate, PIECE_S * source.rate, MARGIN_S * source.rate
    fade = round(_FADE_S * rate)
    rise = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade).astype(np.float32) ** 2
    tail: FloatArray | None = None
    for number, piece in enumerate(pieces(source)):
        start = number * length
        block = source.read(start, min(start + length, source.frames))
        made = make(number, piece)
        if not made.any():
            added = np.zeros((2, length + 2 * margin), np.float32)
        else:
            added = _brought(made, RATE, rate, length + 2 * margin)
        # The first moments of a piece are faded over from the margin of the one before.
        here = added[:, margin : margin + length].copy()
        if tail is not None:
            here[:, :fade] = here[:, :fade] * rise + tail * (1 - rise)
        tail = added[:, margin + length : margin + length + fade]
        mid, side = here[:, : block.shape[1]]
        change = np.stack([mid + side, mid - side]) if len(block) == 2 else mid[None]
        yield np.asarray(block + change, np.float32) if change.any() else block
        progress(min(start + length, source.frames) / source.frames)


def spooled(source: AudioSource, make: Make, path: Path, progress: Progress) -> DiskAudio:
    """The same written to `path`.

    Raises:
        NotFiniteError: `make` gave something that is not a number.
    """

    def checked(number: int, piece: FloatArray) -> FloatArray:
        return _numbers(make(number, piece))

    return spool(added_to(source, checked, progress), path, source.rate, source.channels)


def song_power(source: AudioSource, progress: Progress) -> tuple[Float64Array, float]:
    """The mean power of a song's bins, mid and side together, and its density (`band_levels.density`)."""
    margin, count = MARGIN_S * RATE, count_pieces(source)
    total = np.zeros(WINDOW // 2 + 1)
    for number, piece in enumerate(pieces(source)):
        inner = spectra_of(piece[:, margin:-margin], WINDOW)
        total += powers_of(inner).sum(axis=(0, 1), dtype=np.float64)
        progress((number + 1) / count)
    mean = total / max(source.frames / source.rate * RATE / WINDOW, 1.0)
    return mean, float(mean.mean()) + 1e-20


def _brought(samples: FloatArray, rate: int, to: int, frames: int) -> FloatArray:
    if rate != to:
        samples = soxr.resample(np.ascontiguousarray(samples.T), rate, to, "VHQ").T
    missing = max(frames - samples.shape[1], 0)
    return np.ascontiguousarray(np.pad(samples, ((0, 0), (0, missing)))[:, :frames], np.float32)
