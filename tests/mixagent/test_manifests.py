"""What a run left is believed only where it can be."""

import json

import pytest

from mixagent.manifests import is_whole, read_manifest, write_json

MANIFEST = {"key": "k", "files": {"vocals": "/music/a.wav"}, "bytes": {"vocals": 3}}


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "split.json"
    write_json(MANIFEST, path)
    assert read_manifest(path) == MANIFEST
    assert not is_whole(MANIFEST, tmp_path)
    (tmp_path / "a.wav").write_bytes(b"abc")
    assert is_whole(MANIFEST, tmp_path)


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        {"files": {}},
        {**MANIFEST, "files": None},
        {**MANIFEST, "files": {"vocals": 3}},
        {**MANIFEST, "bytes": {}},
        {**MANIFEST, "bytes": {"vocals": "3"}},
        {**MANIFEST, "bytes": {"vocals": True}},
        {"key": "k", "songs": 3},
        {"key": "k", "songs": [None]},
        {"key": "k", "songs": [{**MANIFEST, "files": []}]},
    ],
)
def test_a_damaged_manifest_is_none(tmp_path, damaged):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(damaged))
    assert read_manifest(path) == {}


def test_a_manifest_without_files_is_not_whole(tmp_path):
    assert not is_whole({"key": "k"}, tmp_path)
