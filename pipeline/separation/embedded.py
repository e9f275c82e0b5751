"""The embedded separator: four stems on a CPU, from weights that come with the program.

Vocals are what Spleeter's two-stem network finds; drums, bass and other are shared out of the rest by a
network of this project (`splitter_network`, `checkpoints/splitter`). Both work on one spectrum.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.separation.chunks import run_chunks, write_stems
from mixagent.pipeline.separation.spleeter import (
    CHUNK_HOPS,
    NET_LEVEL_DB,
    OVERLAP_S,
    SpleeterSeparator,
    active_rms,
    fast_hop,
    loaded_networks,
)
from mixagent.pipeline.types import AudioSource, Progress, Stems
from mixagent.pipeline.warm import MODELS

if TYPE_CHECKING:
    from mixagent.pipeline.separation.splitter_network import SplitterNetwork

STEM_NAMES = ("vocals", "drums", "bass", "other")

_SPLITTER_BYTES, _WORK_BYTES = 16e6, 0.5e9

SPLITTER_VERSION = 2
"""Of the splitter's form, `version` in its configuration: weights of another form do not fit."""


class EmbeddedSeparator:
    """Vocals, drums, bass and other, which sum to the mix, at any rate.

    `checkpoint` is the folder with the splitter's weights; without one, those that the package ships.
    Rates and channels are handled as `SpleeterSeparator` does.
    """

    name = "embedded"
    stem_names = STEM_NAMES

    def __init__(self, device: str = "cpu", checkpoint: Path | None = None) -> None:
        self._device = device
        self._checkpoint = checkpoint or shipped_checkpoint()

    @property
    def version(self) -> str:
        """Spleeter's version, the start of the splitter's hash, and this module's own revision."""
        digest = read_config(self._checkpoint)["weights_sha256"][:12]
        return f"{SpleeterSeparator().version}-splitter-{digest}+2"

    def separate(self, mix: AudioSource, scratch: Path, progress: Progress | None = None) -> Stems:
        """See `Separator.separate`."""
        from mixagent.pipeline.separation.spleeter_network import Masker
        from mixagent.pipeline.separation.splitter_network import Splitter

        rms = active_rms(mix)
        with loaded_networks(self._device, _WORK_BYTES) as spleeter, self._network() as network:
            masker = Masker(fast_hop(mix.rate), spleeter, db_to_amplitude(NET_LEVEL_DB) / rms)
            splitter = Splitter(masker, network, 1 / rms)
            pieces = run_chunks(mix, splitter, CHUNK_HOPS * masker.hop, round(OVERLAP_S * mix.rate))
            return Stems(mix, write_stems(pieces, STEM_NAMES, scratch, mix, progress))

    def _network(self) -> AbstractContextManager[SplitterNetwork]:
        from mixagent.pipeline.separation.splitter_network import load_splitter

        folder, device = self._checkpoint, self._device
        # Under folder and hash, so that another's weights are never taken for it.
        return MODELS.loaded(
            f"splitter {folder} {read_config(folder)['weights_sha256']} on {device}",
            lambda: load_splitter(read_weights(folder), device),
            _SPLITTER_BYTES,
            keep=device == "cpu",
        )


def shipped_checkpoint() -> Path:
    """The folder of the splitter that the package ships."""
    return checkpoint_folder("splitter")


def read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a checkpoint.

    Raises:
        ModelMissingError: there is none, it cannot be read, or it is of another version of the network.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        config["weights_sha256"]
        version = config["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelMissingError(
            f"the embedded separator's {folder / 'config.json'} is missing or broken: reinstall mixagent"
        ) from error
    if version != SPLITTER_VERSION:
        raise ModelMissingError(
            f"the splitter in {folder} is of version {version}, and this program's of {SPLITTER_VERSION}: "
            "reinstall mixagent, or train one with scripts/train_splitter.py"
        )
    return dict(config)


def read_weights(folder: Path) -> bytes:
    """The splitter's weights, a safetensors file's content.

    Raises:
        ModelMissingError: they are missing, or are not those that the configuration names.
    """
    expected = read_config(folder)["weights_sha256"]
    path = folder / "weights.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelMissingError(f"the embedded separator's {path} is missing: reinstall mixagent") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise ModelMissingError(
            f"{path} is not the file that its config.json names (SHA-256 differs): reinstall mixagent"
        )
    return data
