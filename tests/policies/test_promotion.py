"""Which trained policy is in use: the promoted one, the one before it, the shipped one; never a half."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.policies import promotion as module
from mixagent.policies.promotion import Promotions, find_checkpoint, weights_sha256


@pytest.fixture
def promotions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Promotions:
    monkeypatch.setenv("MIXAGENT_DATA", str(tmp_path / "data"))
    shipped = tmp_path / "shipped"
    _write(shipped / "default", "0")
    monkeypatch.setattr(module, "shipped_folder", lambda: shipped)
    return Promotions()


def _write(folder: Path, sha256: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"weights_sha256": sha256}))


def test_the_shipped_policy_is_in_use_until_one_is_promoted(promotions: Promotions) -> None:
    assert promotions.current() is None
    assert weights_sha256("learned") == "0"
    folder = promotions.promote(lambda place: _write(place, "1"))
    assert find_checkpoint("learned") == folder == Promotions().current()
    assert weights_sha256("learned") == "1"
    assert weights_sha256("default") == "0"
    assert weights_sha256("rules") == ""


def test_rollback_goes_back_one_at_a_time_and_keeps_everything(promotions: Promotions) -> None:
    one, two = (promotions.promote(lambda place, sha=sha: _write(place, sha)) for sha in ("1", "2"))
    assert promotions.rollback() == one
    assert weights_sha256("learned") == "1"
    assert promotions.rollback() is None
    assert weights_sha256("learned") == "0"
    assert two.is_dir()
    with pytest.raises(UsageError, match="the shipped policy is in use"):
        promotions.rollback()


def test_what_is_promoted_after_a_rollback_comes_after_what_was_in_use(promotions: Promotions) -> None:
    one, two = (promotions.promote(lambda place, sha=sha: _write(place, sha)) for sha in ("1", "2"))
    promotions.rollback()
    three = promotions.promote(lambda place: _write(place, "3"))
    assert len({one, two, three}) == 3
    assert promotions.rollback() == one


def test_a_write_that_fails_leaves_the_policy_in_use(promotions: Promotions) -> None:
    one = promotions.promote(lambda place: _write(place, "1"))

    def fail(place: Path) -> None:
        raise ModelMissingError("no")

    with pytest.raises(ModelMissingError, match="no"):
        promotions.promote(fail)
    assert promotions.current() == one
    assert promotions.promote(lambda place: _write(place, "2")) != one


def test_a_policy_that_is_gone_is_named_and_passed_over(promotions: Promotions) -> None:
    one, two = (promotions.promote(lambda place, sha=sha: _write(place, sha)) for sha in ("1", "2"))
    for folder in (one, two):
        (folder / "config.json").unlink()
    with pytest.raises(ModelMissingError, match="0002 is gone: `mixagent models rollback`"):
        find_checkpoint("learned")
    assert promotions.rollback() is None
    assert weights_sha256("learned") == "0"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": 9}'])
def test_a_damaged_pointer_is_one_line(promotions: Promotions, text: str) -> None:
    promotions.folder.mkdir(parents=True)
    (promotions.folder / "current.json").write_text(text)
    with pytest.raises(ModelMissingError, match="delete it to take the shipped policy") as error:
        find_checkpoint("learned")
    assert "\n" not in str(error.value)
