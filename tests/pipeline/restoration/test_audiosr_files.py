"""AudioSR's files: what counts as here, what is refused, what is told where something fails; no network."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.models import find_model, model_path, pull
from mixagent.pipeline.restoration import audiosr_files as files
from mixagent.pipeline.restoration import audiosr_worker as worker


def whole_environment():
    """An environment that counts as made, of this Python, with nothing in it."""
    folder = files.audiosr_folder() / "env" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder.parent / "mixagent.json").write_text(json.dumps({"pins": files._fingerprint()}))


def whole_weights(sha256=files.SHA256):
    folder = files.weights_folder()
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"123")
    config = {"source": {"sha256": sha256}, "weights_sha256": hashlib.sha256(b"123").hexdigest()}
    (folder / "config.json").write_text(json.dumps(config))


posix = pytest.mark.skipif(sys.platform == "win32", reason="an environment's Python lies elsewhere")


@posix
def test_environment_and_weights_make_it_present(data_folder):
    assert find_model("audiosr").present is False
    whole_environment()
    assert files.find_audiosr() is None
    whole_weights()
    assert files.find_audiosr().python == data_folder / "models" / "audiosr" / "env" / "bin" / "python"
    model = find_model("audiosr")
    assert (model.present, model.size_bytes, model.where) == (True, 3, str(files.weights_folder()))
    assert pull("audiosr") == model_path("audiosr") == files.weights_folder()


@posix
def test_an_environment_with_other_pins_is_made_anew(monkeypatch):
    whole_environment()
    whole_weights()
    monkeypatch.setattr(files, "PINS", (*files.PINS, "another==1.0"))
    assert files.find_audiosr() is None


@posix
def test_weights_of_another_file_do_not_count():
    whole_environment()
    whole_weights(sha256="0" * 64)
    assert files.find_audiosr() is None


def test_without_a_python_for_it_the_user_is_told_which(monkeypatch):
    monkeypatch.setattr(files.shutil, "which", lambda name: None)
    monkeypatch.setattr(files, "PYTHONS", ("3.1",))
    with pytest.raises(ModelMissingError, match=r"needs a Python of version 3\.1"):
        pull("audiosr")


@posix
def test_a_download_that_fails_says_why():
    whole_environment()
    # The environment's Python is this one, which has the hub's client and no network.
    pytest.importorskip("huggingface_hub")
    with pytest.raises(ModelMissingError, match=r"audiosr could not be downloaded: .+"):
        pull("audiosr")
    assert not files.present_weights()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('{"event": "ready"}\n{"event": "failed", "why": "no room"}\n', "no room"),
        ("what a package prints\n[1]\n", "its process ended without a word"),
        ("", "its process ended without a word"),
    ],
)
def test_the_last_event_says_what_failed(said, why):
    assert files.failure_of(said) == why


# --- what becomes of the official file -------------------------------------------------------------------


def checkpoint(path, **more):
    state = {
        "model.diffusion_model.weight": torch.arange(4.0),
        "first_stage_model.decoder.weight": torch.ones(2),
        "cond_stage_models.0.vae.encoder.weight": torch.ones(3),
        "cond_stage_models.0.vae.decoder.weight": torch.ones(3),
        "cond_stage_models.0.vae.vocoder.conv_pre.weight": torch.ones(3),
        "clap.model.weight": torch.ones(5),
        "model_ema.weight": torch.ones(4),
    }
    torch.save({"state_dict": state, **more}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_run_needs_is_kept_as_safetensors(tmp_path):
    file, folder = tmp_path / "pytorch_model.bin", tmp_path / "weights"
    sha256 = checkpoint(file)
    worker.convert(folder, file, sha256, {"repository": "a/b"})
    kept = load_file(folder / worker.WEIGHTS)
    assert set(kept) == {
        "model.diffusion_model.weight",
        "first_stage_model.decoder.weight",
        "cond_stage_models.0.vae.encoder.weight",
    }
    assert torch.equal(kept["model.diffusion_model.weight"], torch.arange(4.0))
    config = json.loads((folder / worker.CONFIG).read_text())
    assert config["source"] == {"repository": "a/b", "sha256": sha256}
    assert config["weights_sha256"] == worker.hash_of(folder / worker.WEIGHTS)


def test_a_file_of_another_hash_is_not_opened(tmp_path):
    file = tmp_path / "pytorch_model.bin"
    checkpoint(file)
    with pytest.raises(ValueError, match="is not the expected file"):
        worker.convert(tmp_path / "weights", file, "0" * 64)
    assert not (tmp_path / "weights").exists()


class Harmful:
    """Pickled, it is a call."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_what_a_pickle_would_run_is_not_run(tmp_path):
    file, trace = tmp_path / "pytorch_model.bin", tmp_path / "trace"
    sha256 = checkpoint(file, callback=Harmful(trace))
    with pytest.raises(Exception, match="Weights only load failed"):
        worker.convert(tmp_path / "weights", file, sha256)
    assert not trace.exists()


def test_the_worker_imports_nothing_of_this_program():
    lines = Path(worker.__file__).read_text().splitlines()
    imports = [line.strip() for line in lines if line.strip().startswith(("import ", "from "))]
    assert imports
    assert not [line for line in imports if "mixagent" in line]
