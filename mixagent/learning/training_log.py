"""Where a training run writes its figures and sounds: its folder, TensorBoard, and W&B where it is there."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat

from mixagent.learning.train_settings import Logging
from mixagent.messages import say
from mixagent.pipeline.files import atomically
from mixagent.pipeline.types import Audio


class TrainingLog:
    """The logger of a run, and what can be heard of it.

    Args:
        folder: of the run.
        name: of the run, for W&B.
        settings: what to write.
        config: the resolved configuration, for W&B's record.
    """

    def __init__(self, folder: Path, name: str, settings: Logging, config: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._wandb = _start_wandb(folder, name, settings, config)
        self._tensorboard = TensorBoardOutputFormat(str(folder)) if settings.tensorboard else None
        formats: list[KVWriter] = [CSVOutputFormat(str(folder / "progress.csv"))]
        formats += [self._tensorboard] if self._tensorboard else []
        formats += [self._wandb] if self._wandb else []
        self.logger = Logger(str(folder), formats)

    def sound(self, name: str, audio: Audio, step: int) -> None:
        """Keep a sound as FLAC in the run's folder, and show it where figures are shown."""
        path = self._folder / "audio" / f"{step:07d}" / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        peak = max(float(np.abs(audio.samples).max(initial=0.0)), 1.0)
        with atomically(path) as place:
            soundfile.write(place, (audio.samples / peak).T, audio.rate)
        if self._tensorboard:
            mono = (audio.samples / peak).mean(axis=0, keepdims=True)
            self._tensorboard.writer.add_audio(name, mono, step, audio.rate)
        if self._wandb:
            self._wandb.sound(name, path, step)

    def sounds(self, pairs: Mapping[str, tuple[Audio, Audio]], step: int) -> None:
        """Keep cases before and after, and show them side by side in a table."""
        for name, sides in pairs.items():
            for side, audio in zip(("before", "after"), sides, strict=True):
                self.sound(f"{name}.{side}", audio, step)
        if self._wandb and pairs:
            folder = self._folder / "audio" / f"{step:07d}"
            self._wandb.table(
                {name: (folder / f"{name}.before.flac", folder / f"{name}.after.flac") for name in pairs},
                step,
            )

    def close(self) -> None:
        """Finish every file."""
        self.logger.close()


class _Wandb(KVWriter):
    """Sends figures to a W&B run; what goes wrong there never ends the training."""

    def __init__(self, module: Any, run: Any) -> None:
        self._module, self._run = module, run

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        """Log the figures of a step."""
        figures = {
            name: value for name, value in key_values.items() if isinstance(value, (int, float, np.number))
        }
        self._try(lambda: self._run.log({**figures, "renders": step}))

    def sound(self, name: str, path: Path, step: int) -> None:
        """Log a sound."""
        self._try(lambda: self._run.log({f"audio/{name}": self._module.Audio(str(path)), "renders": step}))

    def table(self, pairs: Mapping[str, tuple[Path, Path]], step: int) -> None:
        """Log sounds before and after as a table, a case a row."""

        def logged() -> None:
            rows = [[name, *(self._module.Audio(str(side)) for side in pair)] for name, pair in pairs.items()]
            table = self._module.Table(columns=["case", "before", "after"], data=rows)
            self._run.log({"audio/before and after": table, "renders": step})

        self._try(logged)

    def close(self) -> None:
        """End the run."""
        self._try(self._run.finish)

    def _try(self, action: Any) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - W&B also fails by errors that are not its own
            say(f"W&B: {_one_line(error)}; training goes on")


def _start_wandb(folder: Path, name: str, settings: Logging, config: Mapping[str, Any]) -> _Wandb | None:
    if settings.wandb == "disabled":
        return None
    try:
        wandb = cast(Any, importlib.import_module("wandb"))
    except ImportError:
        say("wandb is not installed: figures go to the run's folder only")
        return None
    except Exception as error:  # noqa: BLE001 - a broken package fails on import by any error
        say(f"W&B could not be loaded ({_one_line(error)}): figures go to the run's folder only")
        return None
    try:
        run = wandb.init(
            project=settings.project,
            name=name,
            dir=str(folder),
            mode=settings.wandb,
            config=dict(config),
            settings=wandb.Settings(silent=True),
        )
    except Exception as error:  # noqa: BLE001 - as above
        say(f"W&B could not be started ({_one_line(error)}): figures go to the run's folder only")
        return None
    return _Wandb(wandb, run)


def _one_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
