"""What a run left is believed only where it can be."""

import json

import pytest

from mixagent.manifests import is_whole, read_account, write_json

ACCOUNT = {"key": "k", "files": {"vocals": "/music/a.wav"}, "bytes": {"vocals": 3}}


def test_an_account_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "split.json"
    write_json(ACCOUNT, path)
    assert read_account(path) == ACCOUNT
    assert not is_whole(ACCOUNT, tmp_path)
    (tmp_path / "a.wav").write_bytes(b"abc")
    assert is_whole(ACCOUNT, tmp_path)


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        {"files": {}},
        {**ACCOUNT, "files": None},
        {**ACCOUNT, "files": {"vocals": 3}},
        {**ACCOUNT, "bytes": {}},
        {**ACCOUNT, "bytes": {"vocals": "3"}},
        {**ACCOUNT, "bytes": {"vocals": True}},
        {"key": "k", "songs": 3},
        {"key": "k", "songs": [None]},
        {"key": "k", "songs": [{**ACCOUNT, "files": []}]},
    ],
)
def test_a_damaged_account_is_none(tmp_path, damaged):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(damaged))
    assert read_account(path) == {}


def test_an_account_without_files_is_not_whole(tmp_path):
    assert not is_whole({"key": "k"}, tmp_path)
