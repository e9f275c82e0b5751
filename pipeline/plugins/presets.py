"""Presets of plug-ins: a state with a name, kept among the user's own data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixagent.pipeline.errors import InputError, UsageError
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.plugins.child import LIMITS, Limits
from mixagent.pipeline.plugins.library import Plugin
from mixagent.pipeline.plugins.maps import Value, user_maps_folder
from mixagent.pipeline.plugins.pool import POOL

SCHEMA = "mixagent.plugin-preset/1"

_NAME = re.compile(r"[\w][\w .+-]{0,63}")
_MOST_STATE = 1 << 24


@dataclass(frozen=True)
class Preset:
    """A state of a plug-in.

    Attributes:
        name: of the preset.
        plugin, version: that it was saved of.
        state: base64, as the plug-in has it.
        values: of the parameters that were set by hand.
    """

    name: str
    plugin: str
    version: str
    state: str
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of the state."""
        return hashlib.sha256(self.state.encode("ascii")).hexdigest()

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> Preset:
        """A preset as it stands in a file or a report.

        Raises:
            InputError: it is none.
        """
        try:
            found = cls(**{key: data[key] for key in ("name", "plugin", "version", "state", "values")})
            base64.b64decode(found.state, validate=True)
            if len(found.state) > _MOST_STATE:
                raise ValueError("its state is too large")
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{where} is no preset of a plug-in: {error}", code="plugin_preset") from error
        return found


def save_preset(
    plugin: Plugin,
    name: str,
    values: Mapping[str, Value],
    file: Path | None = None,
    limits: Limits = LIMITS,
) -> Path:
    """Keep the state that a plug-in has with these values, or of a `.vstpreset` file and these values.

    Raises:
        UsageError: a name that no file can have.
        InputError: a value that the plug-in does not take; it failed.
    """
    place = _place(plugin.name, name)
    child = POOL.lend(Path(plugin.path), plugin.inside, limits)
    order = {"values": dict(values), "file": str(file or ""), "channels": max(plugin.channels, default=2)}
    state = child.ask("state", limits.load_s, order)["state"]
    POOL.give_back(child)
    preset = Preset(name, plugin.name, plugin.version, state, dict(values))
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, json.dumps({"schema": SCHEMA, **asdict(preset)}, indent=1))
    return place


def load_preset(plugin: str, name: str) -> Preset:
    """The preset of this name.

    Raises:
        InputError: there is none, or it is damaged.
    """
    place = _place(plugin, name)
    try:
        data = json.loads(place.read_text(encoding="utf-8"))
    except OSError:
        kept = ", ".join(presets_of(plugin)) or "none"
        raise InputError(
            f"{plugin} has no preset {name!r}: it has {kept}", field="plugins", code="plugin_preset"
        ) from None
    except ValueError as error:
        raise InputError(f"{place} is no preset: it is not JSON", field="plugins") from error
    return Preset.from_json(data, str(place))


def presets_of(plugin: str) -> list[str]:
    """The names of a plug-in's presets."""
    folder = user_maps_folder() / "presets" / _file_name(plugin)
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def _place(plugin: str, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:64]!r} is no name for a preset: give letters and digits", field="plugins")
    return user_maps_folder() / "presets" / _file_name(plugin) / f"{name}.json"


def _file_name(plugin: str) -> str:
    return re.sub(r"[^\w.+-]", "_", plugin.casefold())
