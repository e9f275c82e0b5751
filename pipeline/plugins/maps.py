"""Maps of our parameters to those of plug-ins, in `conf/plugins/` and among the user's own data.

A map says which effect a plug-in stands in for, at which places, what it is always set to (`fixed`) and what
follows our parameters (`follows`). The quantities that may be followed are named by `QUANTITIES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml  # type: ignore[import-untyped]

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.folders import data_folder
from mixagent.pipeline.plugins.library import Plugin

Value = float | bool | str

EFFECTS: Mapping[str, str] = MappingProxyType(
    {
        "comp": "compressor",
        "eq": "equaliser",
        "cut": "dynamic low-mid cut",
        "reverb": "reverb",
    }
)
"""The effects that a plug-in may stand in for, by the names of their slots, and in words."""

QUANTITIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "comp": ("threshold_dbfs", "peak_threshold_dbfs", "ratio", "attack_ms", "release_ms", "knee_db"),
        "eq": (
            *("high_pass_hz", "high_pass_on", "low_shelf_hz", "low_shelf_db", "bell_hz", "bell_db", "bell_q"),
            *("presence_hz", "presence_db", "presence_q", "air_hz", "air_db"),
        ),
        "cut": ("cut_db", "threshold_dbfs", "centre_hz", "width_oct"),
        "reverb": ("size", "damping", "decay_s", "high_cut_hz"),
    }
)
"""What a map of each effect may follow: our parameters, as levels, times and frequencies of their own."""

PLACES = ("strip", "bus", "master", "return")

_KEYS = (
    *("plugin", "effect", "places", "each_channel", "linked", "fixed", "follows", "tried", "source", "note"),
)
_MOST_GAIN_DB = {"comp": 12.0, "eq": 24.0, "cut": 12.0, "reverb": 30.0}


@dataclass(frozen=True)
class Follow:
    """A parameter that follows one of ours: `times` it, `plus` an offset."""

    of: str
    times: float = 1.0
    plus: float = 0.0

    def value(self, quantities: Mapping[str, float]) -> float:
        """The value for these of ours."""
        return self.times * quantities[self.of] + self.plus


@dataclass(frozen=True)
class PluginMap:
    """How a plug-in stands in for an effect.

    Attributes:
        plugin: its name.
        effect: a key of `EFFECTS`.
        places: of `PLACES`, where it may stand.
        each_channel: a mono plug-in, one a channel.
        linked: a mono plug-in that only multiplies: one, which hears the power of all channels.
        fixed: values that it always has, by its keys.
        follows: its keys that follow our parameters.
        tried: the version that the map was run with; empty where it was written from a list of parameters
            and never run.
        source: where that list is.
        note: what it does otherwise than ours.
    """

    plugin: str
    effect: str
    places: tuple[str, ...]
    each_channel: bool = False
    linked: bool = False
    fixed: Mapping[str, Value] = field(default_factory=dict)
    follows: Mapping[str, Follow] = field(default_factory=dict)
    tried: str = ""
    source: str = ""
    note: str = ""

    @property
    def most_gain_db(self) -> float:
        """How far its output may lie over its input."""
        return _MOST_GAIN_DB[self.effect]

    @property
    def keys(self) -> tuple[str, ...]:
        """The plug-in's parameters that are set."""
        return (*self.fixed, *self.follows)

    def set_by(self, key: str) -> str:
        """What sets a key, in words."""
        if key in self.fixed:
            return f"{self.fixed[key]}"
        follow = self.follows[key]
        times = "" if follow.times == 1.0 else f" × {follow.times:g}"
        return f"{follow.of}{times}{f' {follow.plus:+g}' if follow.plus else ''}"

    def about(self) -> tuple[str, ...]:
        """Where it may stand, whether it was run, and what it does otherwise; in words."""
        tried = f"run with {self.tried}" if self.tried else "written from a list of parameters, never run"
        channels = ("a mono plug-in a channel",) if self.each_channel else ()
        channels = ("a mono plug-in for all channels, linked",) if self.linked else channels
        return ("at " + ", ".join(self.places), *channels, tried, *([self.note] if self.note else []))

    def values(self, quantities: Mapping[str, float]) -> dict[str, Value]:
        """The plug-in's values for these of ours, by its keys."""
        return {**self.fixed, **{key: follow.value(quantities) for key, follow in self.follows.items()}}

    def check(self, plugin: Plugin) -> None:
        """Whether a plug-in has what the map sets.

        Raises:
            InputError: a parameter is missing, as in another version; one line.
        """
        missing = [key for key in self.keys if plugin.parameter(key) is None]
        if missing:
            made_for = f", which its map was made for in version {self.tried}" if self.tried else ""
            raise InputError(
                f"{plugin.name} {plugin.version} has no parameter {', '.join(missing)}{made_for}: `mixagent "
                f"plugins show {plugin.name}` lists those that it has, for a map of your own",
                field="plugins",
                code="plugin",
            )

    def to_json(self) -> dict[str, Any]:
        """As it stands in a file."""
        follows = {k: {"of": f.of, "times": f.times, "plus": f.plus} for k, f in self.follows.items()}
        found: dict[str, Any] = {key: getattr(self, key) for key in _KEYS if key != "follows"}
        return {**found, "places": list(self.places), "fixed": dict(self.fixed), "follows": follows}

    @classmethod
    def from_json(cls, data: object, where: str) -> PluginMap:
        """A map as it stands in a file or in a report.

        Raises:
            InputError: it is none; the message names `where`.
        """
        try:
            return cls(**_checked(data))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{where} is no map of a plug-in: {error}", code="plugin_map") from error


def _checked(data: object) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError("it is no table of keys")
    unknown = [str(key) for key in data if key not in _KEYS]
    if unknown:
        raise ValueError(f"it has no key {unknown[0]}")
    effect, places = str(data["effect"]), tuple(map(str, data["places"]))
    if effect not in EFFECTS or not places or not set(places) <= set(PLACES):
        raise ValueError(f"effect {effect!r} at {', '.join(places) or 'no place'}")
    fixed = {str(key): _value(value) for key, value in (data.get("fixed") or {}).items()}
    follows = {str(key): _follow(effect, row) for key, row in (data.get("follows") or {}).items()}
    words = {key: str(data.get(key) or "") for key in ("tried", "source", "note")}
    return {
        "plugin": str(data["plugin"]),
        "effect": effect,
        "places": places,
        "each_channel": bool(data.get("each_channel", False)),
        "linked": bool(data.get("linked", False)),
        "fixed": fixed,
        "follows": follows,
        **words,
    }


def _value(value: object) -> Value:
    if isinstance(value, bool | str):
        return value
    return float(value)  # type: ignore[arg-type]


def _follow(effect: str, row: object) -> Follow:
    found = Follow(row) if isinstance(row, str) else Follow(**row)  # type: ignore[arg-type]
    if found.of not in QUANTITIES[effect]:
        raise ValueError(f"{found.of!r} is none of {', '.join(QUANTITIES[effect])}")
    return Follow(found.of, float(found.times), float(found.plus))


def user_maps_folder() -> Path:
    """The folder of the user's own maps and presets."""
    return data_folder() / "plugins"


def all_maps() -> list[PluginMap]:
    """Every map: the user's own, then those that ship.

    Raises:
        InputError: one of the user's is none.
    """
    return [PluginMap.from_json(data, where) for where, data in _files()]


def map_of(name: str, effect: str) -> PluginMap | None:
    """The map of a plug-in for an effect; the user's own before that which ships."""
    wanted = name.casefold()
    found = (row for row in all_maps() if (row.plugin.casefold(), row.effect) == (wanted, effect))
    return next(found, None)


def _files() -> Iterator[tuple[str, object]]:
    own = user_maps_folder()
    for path in sorted(own.glob("*.yaml")) if own.is_dir() else ():
        yield str(path), _read(path.read_text(encoding="utf-8", errors="replace"), str(path))
    shipped = resources.files("mixagent.conf") / "plugins"
    for row in sorted(shipped.iterdir(), key=lambda row: row.name):
        if row.name.endswith(".yaml"):
            yield f"conf/plugins/{row.name}", _read(row.read_text(encoding="utf-8"), row.name)


def _read(text: str, where: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not YAML: {str(error).splitlines()[0]}", code="plugin_map") from error
