"""Models: what is here, where it lies, how to get the rest; no network."""

import json

import pytest

from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.models import available_models, find_model, model_path, pull
from mixagent.pipeline.separation import demucs_files


@pytest.fixture
def empty_hub(monkeypatch, tmp_path):
    pytest.importorskip("demucs")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_what_the_plain_install_needs_is_here():
    needed = [model for model in available_models() if model.needed]
    assert [model.name for model in needed] == ["embedded", "spleeter", "deepfilternet3"]
    assert all(model.present and model.where and model.size_bytes for model in needed)


def test_every_absent_model_says_how_to_get_it(empty_hub):
    for name in demucs_files.STEM_NAMES:
        model = find_model(name)
        assert (model.present, model.where, model.size_bytes) == (False, None, None)
        assert f"mixagent models pull {name}" in model.how


def test_every_model_has_a_licence_and_no_address():
    for model in available_models():
        assert model.licence
        assert "://" not in model.source + model.how


@pytest.mark.parametrize("name", ["embedded", "spleeter"])
def test_pulling_what_is_here_gives_its_folder(name):
    assert pull(name) == model_path(name)
    assert list(model_path(name).iterdir())


def test_pulling_offline_fails_with_a_reason(empty_hub):
    with pytest.raises(ModelMissingError, match="could not be downloaded"):
        pull("htdemucs")


def test_the_folder_of_an_absent_model_is_in_the_hubs_cache(empty_hub):
    assert empty_hub in model_path("htdemucs_ft").parents


def test_an_unknown_model_is_a_usage_error():
    with pytest.raises(UsageError, match="choose one of embedded"):
        find_model("nothing")


def test_the_commands_print_the_same(mixagent, empty_hub):
    assert "embedded" in mixagent("models", "list").out
    listed = json.loads(mixagent("models", "list", "--json").out)["models"]
    assert [model["name"] for model in listed] == [model.name for model in available_models()]
    assert mixagent("models", "path", "embedded").out == f"{model_path('embedded')}\n"
    assert mixagent("models", "pull", "embedded").code == 0
    refused = mixagent("models", "pull", "htdemucs")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (5, "", 1)
    assert mixagent("models", "path", "nothing").code == 2
