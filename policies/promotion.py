"""Chooses the trained policy: the user's own, where `mixagent learn` promoted one, else the shipped one.

The user's policies lie in folders beside each other and are never deleted; `current.json` says which
is in use and which each came after, so that going back is a change of one name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from mixagent.pipeline.errors import ModelMissingError, OutputError, UsageError
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.policies.experience import data_folder

LEARNED = "learned"
"""The name under which the trained policy in use is asked for."""

MIX = "mix"
"""The name under which the net that mixes is asked for."""

CONFIG = "config.json"
"""A folder with this file is a checkpoint, see `policies.learned`."""

_SCHEMA = 1


@dataclass(frozen=True)
class Promotions:
    """The user's own policies in a folder; the default is `policies` in `data_folder()`."""

    folder: Path = field(default_factory=lambda: data_folder() / "policies")

    @classmethod
    def of(cls, name: str) -> Promotions:
        """Those of the master's policy (`learned`), or of the net that mixes (`mix`)."""
        return cls(data_folder() / "mixing") if name == MIX else cls()

    def current(self) -> Path | None:
        """The checkpoint in use; None where that is the shipped one.

        Raises:
            ModelMissingError: `current.json` is damaged, or the checkpoint that it names is gone.
        """
        name, _ = self._state()
        if name is None:
            return None
        if not (self.folder / name / CONFIG).is_file():
            raise ModelMissingError(
                f"the policy in {self.folder / name} is gone: `mixagent models rollback` takes the one before"
            )
        return self.folder / name

    def promote(self, write: Callable[[Path], None]) -> Path:
        """Put a new checkpoint in use.

        Args:
            write: writes the checkpoint's files into a folder that exists.

        Returns:
            The checkpoint's folder. Where anything fails, the one in use stays in use.

        Raises:
            OutputError: it cannot be written.
        """
        before, came_after = self._state()
        try:
            folder = self._new_folder()
            write(folder)
            self._point(folder.name, {**came_after, folder.name: before})
        except OSError as error:
            raise OutputError(f"{self.folder}: the policy cannot be kept ({error.strerror})") from error
        return folder

    def rollback(self) -> Path | None:
        """Take the checkpoint before the current one into use; None where that is the shipped one.

        Checkpoints that are gone are passed over. What was in use is kept.

        Raises:
            UsageError: the shipped policy is in use already.
            ModelMissingError: `current.json` is damaged.
            OutputError: it cannot be written.
        """
        name, came_after = self._state()
        if name is None:
            raise UsageError("the shipped policy is in use: there is none before it")
        before = came_after.get(name)
        while before is not None and not (self.folder / before / CONFIG).is_file():
            before = came_after.get(before)
        try:
            self._point(before, came_after)
        except OSError as error:
            raise OutputError(f"{self._pointer}: cannot be written ({error.strerror})") from error
        return None if before is None else self.folder / before

    @property
    def _pointer(self) -> Path:
        return self.folder / "current.json"

    def _new_folder(self) -> Path:
        """A folder of the next free number; two programs never get the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(each.name) for each in self.folder.glob("[0-9]*")), default=0)
        while True:
            try:
                (self.folder / f"{number:04d}").mkdir()
            except FileExistsError:
                number += 1
            else:
                return self.folder / f"{number:04d}"

    def _state(self) -> tuple[str | None, Mapping[str, str | None]]:
        """The name of the policy in use, and of each the one before it."""
        try:
            found = json.loads(self._pointer.read_text(encoding="utf-8"))
            if found["schema"] != _SCHEMA:
                raise ValueError(f"schema {found['schema']}, this version of mixagent reads {_SCHEMA}")
            return found["current"], found["came_after"]
        except FileNotFoundError:
            return None, {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelMissingError(
                f"{self._pointer} cannot be used ({error}): delete it to take the shipped policy"
            ) from error

    def _point(self, name: str | None, came_after: Mapping[str, str | None]) -> None:
        state: dict[str, Any] = {"schema": _SCHEMA, "current": name, "came_after": dict(came_after)}
        write_atomically(self._pointer, json.dumps(state, indent=1) + "\n", durable=True)


def shipped_folder() -> Path:
    """The folder of the policies that come with the program, one folder each."""
    return Path(str(resources.files("mixagent.checkpoints"))) / "policy"


def find_checkpoint(name: str = LEARNED) -> Path | None:
    """The folder of the trained policy of this name; None where there is none.

    Args:
        name: `learned` and `mix` for the user's own, or else the shipped one; the name of a folder beside
            the shipped one; or the path of a folder.

    Raises:
        ModelMissingError: the user's own was damaged or is gone.
    """
    if name in (LEARNED, MIX):
        shipped = checkpoint_folder("mixing") if name == MIX else shipped_folder() / "default"
        places = [Promotions.of(name).current(), shipped]
    else:
        places = [shipped_folder() / name, Path(name).expanduser()]
    return next((place for place in places if place is not None and (place / CONFIG).is_file()), None)


def weights_sha256(name: str) -> str:
    """The hash of its weights in a trained policy's configuration; empty for one without weights."""
    folder = find_checkpoint(name)
    if folder is None:
        return ""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return str(config["weights_sha256"])
