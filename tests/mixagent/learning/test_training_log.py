"""Where a training run writes: its folder always, and W&B only as far as it works."""

from __future__ import annotations

import builtins
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mixagent.learning.train_settings import Logging
from mixagent.learning.training_log import TrainingLog
from mixagent.pipeline.types import Audio


def _noise() -> Audio:
    samples = np.random.default_rng(0).standard_normal((2, 4410)).astype(np.float32)
    return Audio(samples, 44100)


def _log(folder: Path, mode: str) -> TrainingLog:
    return TrainingLog(folder, "test", Logging(tensorboard=False, wandb=mode), {"trainer": {"seed": 1}})


def test_figures_and_sounds_lie_in_the_runs_folder(tmp_path: Path) -> None:
    log = _log(tmp_path, "disabled")
    log.logger.record("terms/truth", 0.25)
    log.logger.dump(128)
    log.sound("song.after", _noise(), 7)
    log.close()
    assert "terms/truth" in (tmp_path / "progress.csv").read_text()
    samples, rate = soundfile.read(tmp_path / "audio" / "0000007" / "song.after.flac", always_2d=True)
    assert samples.shape == (4410, 2)
    assert rate == 44100
    assert np.abs(samples).max() <= 1.0


def test_a_run_goes_on_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    log = _log(tmp_path, "offline")
    log.logger.record("x", 1.0)
    log.logger.dump(1)
    log.close()
    assert "wandb is not installed" in capsys.readouterr().err


class _BrokenRun:
    def log(self, figures: dict[str, Any]) -> None:
        raise OSError("no space left")

    def finish(self) -> None:
        raise OSError("no space left")


def test_a_run_goes_on_when_wandb_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = types.SimpleNamespace(
        Error=type("Error", (builtins.Exception,), {}),
        Settings=dict,
        Audio=lambda path: path,
        init=lambda **options: _BrokenRun(),
    )
    monkeypatch.setitem(sys.modules, "wandb", module)
    log = _log(tmp_path, "online")
    log.logger.record("x", 1.0)
    log.logger.dump(1)
    log.sound("song", _noise(), 1)
    log.close()
    assert capsys.readouterr().err.count("training goes on") == 3
    assert (tmp_path / "progress.csv").is_file()


def _start_fails(**options: object) -> None:
    raise RuntimeError("broken inside\nand more")


def test_a_run_goes_on_when_wandb_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = types.SimpleNamespace(Settings=dict, init=_start_fails)
    monkeypatch.setitem(sys.modules, "wandb", module)
    _log(tmp_path, "offline").close()
    assert "W&B could not be started (broken inside): figures go" in capsys.readouterr().err


def test_a_run_goes_on_when_the_package_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wandb.py").write_text("raise TypeError('made for another version')")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    _log(tmp_path / "run", "offline").close()
    assert "made for another version" in capsys.readouterr().err


def test_figures_reach_wandb_with_the_number_of_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    run = types.SimpleNamespace(log=sent.append, finish=lambda: sent.append({"finished": True}))
    module = types.SimpleNamespace(
        Error=OSError, Settings=dict, Audio=lambda path: path, init=lambda **options: run
    )
    monkeypatch.setitem(sys.modules, "wandb", module)
    log = _log(tmp_path, "offline")
    log.logger.record("terms/truth", 0.5)
    log.logger.dump(64)
    log.close()
    assert sent == [{"terms/truth": 0.5, "renders": 64}, {"finished": True}]
