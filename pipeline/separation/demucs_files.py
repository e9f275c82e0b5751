"""Finds the Demucs models' weights in the hub's cache on this machine. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

from mixagent.pipeline.errors import ModelMissingError, option

_FOUR = ("vocals", "drums", "bass", "other")
STEM_NAMES = {
    "htdemucs": _FOUR,
    "htdemucs_ft": _FOUR,
    "htdemucs_6s": (*_FOUR, "piano", "guitar"),
    "hdemucs_mmi": _FOUR,
}
"""The stems of each model by name."""

REPOSITORIES = {
    "htdemucs": "adefossez/HTDemucs",
    "htdemucs_ft": "adefossez/HTDemucs-ft",
    "htdemucs_6s": "adefossez/HTDemucs-6s",
    "hdemucs_mmi": "adefossez/Demucs-hdemucs_mmi",
}
"""Each model's repository on the hub."""

_ANSWER_S = 5.0


@dataclass(frozen=True)
class BagFiles:
    """A model's files: one weights file a network, and the weight of each for each stem.

    `segment_s` is the longest chunk in seconds that the model as a whole asks for, None for no wish.
    """

    weights: tuple[Path, ...]
    shares: tuple[tuple[float, ...], ...] | None
    revision: str
    segment_s: float | None = None


def installed() -> bool:
    """True if the demucs package is here."""
    return util.find_spec("demucs") is not None


def find_bag(name: str, cache: Path | None = None) -> BagFiles:
    """The files of a model in the hub's cache, without going to the network.

    Raises:
        ModelMissingError: the package or any of the files is missing.
    """
    return _bag(name, partial(_cached, name, cache))


def present_files(name: str) -> tuple[Path, ...]:
    """The weights of a model in the hub's cache, none where any is missing."""
    try:
        return find_bag(name).weights
    except ModelMissingError:
        return ()


def cache_folder(name: str) -> Path:
    """The folder of the hub's cache for a model, whether it exists or not."""
    _require_package(name)
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=REPOSITORIES[name], repo_type="model")


def download(name: str) -> BagFiles:
    """The files of a model, fetched from the hub where they are not in its cache.

    Raises:
        ModelMissingError: the package is missing or the hub cannot be reached, which shows within seconds.
    """
    _require_package(name)
    _require_hub(name)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    def fetched(filename: str) -> Path:
        try:
            return Path(hf_hub_download(REPOSITORIES[name], filename))
        except (HfHubHTTPError, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise ModelMissingError(f"{name} could not be downloaded from the hub: {reason}") from error

    return _bag(name, fetched)


def _bag(name: str, locate: Callable[[str], Path]) -> BagFiles:
    _require_package(name)
    from omegaconf import OmegaConf

    index = locate(f"{name}.yaml")
    bag: Any = OmegaConf.to_container(OmegaConf.load(index))
    weights = tuple(locate(f"{signature}.safetensors") for signature in bag["models"])
    shares = bag.get("weights")
    return BagFiles(
        weights, tuple(map(tuple, shares)) if shares else None, index.parent.name[:12], bag.get("segment")
    )


def _require_package(name: str) -> None:
    if not installed():
        raise ModelMissingError(
            f"{name} needs the demucs package: run pip install 'mixagent[demucs]' and mixagent models pull "
            f"{name}, or use {option('separator', 'embedded')}"
        )


def _require_hub(name: str) -> None:
    """One request with a short limit: the hub's own client tries for half a minute before it gives up."""
    from ssl import SSLError
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    offline = f"offline there is {option('separator', 'embedded')}"
    if constants.HF_HUB_OFFLINE:
        raise ModelMissingError(f"{name} could not be downloaded: HF_HUB_OFFLINE is set; {offline}")
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=_ANSWER_S):
            return
    except HTTPError:
        return
    except OSError as error:
        if isinstance(getattr(error, "reason", error), SSLError):
            return  # It answers; whom to trust is settled between the hub's client and its own list.
        raise ModelMissingError(
            f"{name} could not be downloaded: {constants.ENDPOINT} does not answer; {offline}"
        ) from error


def _cached(name: str, cache: Path | None, filename: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(REPOSITORIES[name], filename, cache_dir=cache)
    if not isinstance(found, str):
        raise ModelMissingError(
            f"the weights of {name} are not here: run mixagent models pull {name}, or use "
            f"{option('separator', 'embedded')}"
        )
    return Path(found)
