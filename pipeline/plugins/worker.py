"""The program that a plug-in runs in: one plug-in, one process, which may die without harm.

Run by its path, it imports nothing of mixagent. It reads orders, a JSON object a line, from stdin and answers
each with one event on what was stdout; whatever the plug-in prints goes nowhere. Audio passes through a
memory-mapped file of float32, one half in and one half out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import signal
import sys
from typing import IO, Any

import numpy as np
import pedalboard

SHUNNED = ("buffer_size", "sample_rate", "latency", "current_program", "program", "bypass")
"""Parameters that belong to the host: never set, never learned. So do a plug-in's meters."""

_METERS = ("gain_reduction", "output_level", "output_left", "output_right", "output_low", "output_medium")
_MOST_CHOICES = 200
_LONGEST_TEXT = 200
_CHUNK_FRAMES = 1024
_NEAR = 0.02
_LEAST = 1e-9


class Failure(Exception):
    """An order that the plug-in does not take; the message is for the user."""


class Plugged:
    """The plug-in of this process, loaded by its path and made anew for each sound.

    Args:
        path: of the plug-in.
        name: of one of several in a file; the only one without it.
    """

    def __init__(self, path: str, name: str | None) -> None:
        self._path, self._name = path, name
        self._kind = pedalboard.AudioUnitPlugin if path.endswith(".component") else pedalboard.VST3Plugin
        self._plugins: list[Any] = []
        self._twins: list[Any] = []
        self._rate = 44100.0
        self._linked = False
        self._gains: dict[int, float] = {}
        self._buffer: np.ndarray[Any, Any] | None = None

    def names(self) -> list[str]:
        """The plug-ins that are in the file."""
        return [str(name) for name in self._kind.get_plugin_names_for_file(self._path)]

    def made(self) -> Any:
        """A new instance."""
        return self._kind(self._path, plugin_name=self._name)

    def described(self) -> dict[str, Any]:
        """The plug-in's own words for itself, its parameters, and which numbers of channels it takes."""
        plugin = self.made()
        channels = [count for count in (1, 2) if _takes(self.made(), count)]
        return {
            "name": _text(plugin.name),
            "version": _text(plugin.version),
            "maker": _text(plugin.manufacturer_name),
            "category": _text(plugin.category),
            "identifier": _text(plugin.identifier),
            "instrument": bool(plugin.is_instrument),
            "latency": int(plugin.reported_latency_samples),
            "channels": channels,
            "parameters": [
                _parameter(key, found, getattr(plugin, key, None))
                for key, found in plugin.parameters.items()
                if not is_shunned(key)
            ],
        }

    def open(self, order: dict[str, Any]) -> dict[str, Any]:
        """New instances with these values, one a channel where it is mono; what they were set to."""
        count = order["channels"] if order["each"] else 1
        self._linked, self._gains = order["linked"], {}
        self._plugins = [self.made() for _ in range(count)]
        self._twins = [self.made() for _ in range(count)] if order["twice"] else []
        self._rate = float(order["rate"])
        values: dict[str, Any] = {}
        for plugin in (*self._plugins, *self._twins):
            if order.get("state"):
                plugin.raw_state = base64.b64decode(order["state"])
            values = {key: _set(plugin, key, value) for key, value in order["values"].items()}
        shape = (2, order["channels"], order["frames"])
        self._buffer = np.memmap(order["buffer"], np.float32, "r+", shape=shape)
        first = self._plugins[0]
        return {
            "values": values,
            "state_sha256": _state_hash(first, order.get("state") or ""),
            "latency": int(first.reported_latency_samples),
        }

    def process(self, order: dict[str, Any]) -> dict[str, Any]:
        """The next frames of the buffer's first half through the plug-in into its second.

        Twins play the same; whether they made the same of it is in the answer.
        """
        assert self._buffer is not None
        frames = int(order["frames"])
        given, made = self._buffer[0, :, :frames], self._buffer[1]
        out = self._played(self._plugins, given)
        same = not self._twins or np.array_equal(out, self._played(self._twins, given))
        if out.shape[0] == made.shape[0] and out.shape[1] <= frames:
            made[:, : out.shape[1]] = out
        return {"shape": list(out.shape), "same": bool(same)}

    def _played(self, plugins: list[Any], given: Any) -> Any:
        if self._linked:
            return self._played_linked(plugins[0], given)
        rows = [given] if len(plugins) == 1 else [given[c : c + 1] for c in range(len(given))]
        return np.concatenate([self._through(plugin, row) for plugin, row in zip(plugins, rows, strict=True)])

    def _played_linked(self, plugin: Any, given: Any) -> Any:
        """One mono plug-in that only multiplies: what it does to the channels' power, all of them get.

        It plays the root of their mean square, which is nowhere negative, so its gain is what it made of that
        over that; where there is no sound it keeps the last one.
        """
        key = np.sqrt(np.mean(np.square(given, dtype=np.float64), axis=0)).astype(np.float32)
        made = self._through(plugin, key[None])[0]
        if len(made) != len(key):
            return made[None]
        sounds = key > _LEAST
        gains = np.divide(made, key, out=np.ones_like(key), where=sounds)
        last = np.maximum.accumulate(np.where(sounds, np.arange(len(key)), -1))
        gains = np.where(last >= 0, gains[last], np.float32(self._gains.get(id(plugin), 1.0)))
        self._gains[id(plugin)] = float(gains[-1])
        return given * gains

    def _through(self, plugin: Any, row: Any) -> Any:
        made = plugin.process(np.array(row), self._rate, buffer_size=_CHUNK_FRAMES, reset=False)
        return np.atleast_2d(made)

    def state(self, order: dict[str, Any]) -> dict[str, Any]:
        """The state of a new instance with these values, or of a `.vstpreset` file."""
        plugin = self.made()
        if order.get("file"):
            plugin.load_preset(order["file"])
        for key, value in order["values"].items():
            _set(plugin, key, value)
        # Some plug-ins put down what they were set to only once they have worked.
        plugin.process(np.zeros((order["channels"], _CHUNK_FRAMES), np.float32), self._rate, reset=False)
        return {"state": base64.b64encode(plugin.raw_state).decode("ascii")}


def is_shunned(key: str) -> bool:
    """Whether a parameter is the host's, or a meter."""
    return key.startswith((*SHUNNED, *_METERS))


def _takes(plugin: Any, channels: int) -> bool:
    silence = np.zeros((channels, _CHUNK_FRAMES), np.float32)
    try:
        return bool(plugin.process(silence, 44100.0, buffer_size=_CHUNK_FRAMES).shape[0] == channels)
    except (ValueError, RuntimeError, TypeError):
        return False


def _parameter(key: str, found: Any, value: Any) -> dict[str, Any]:
    low, high = _number(found.min_value), _number(found.max_value)
    choices = [] if low is not None else [_text(choice) for choice in found.valid_values[:_MOST_CHOICES]]
    return {
        "key": _text(key),
        "name": _text(found.name),
        "unit": _text((found.label or "").strip()),
        "low": low,
        "high": high,
        "value": value if isinstance(value, bool) else _number(value),
        "text": _text(value) if isinstance(value, str) else "",
        "choices": choices,
    }


def _set(plugin: Any, key: str, value: Any) -> Any:
    """Set a parameter, within its range; the value that it then has."""
    found = plugin.parameters.get(key)
    if found is None or is_shunned(key):
        raise Failure(f"it has no parameter {key!r}")
    if isinstance(getattr(plugin, key), bool):
        value = bool(value)
    low, high = _number(found.min_value), _number(found.max_value)
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and low is not None
        and high is not None
    ):
        value = min(max(float(value), low), high)
    try:
        setattr(plugin, key, value)
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise Failure(f"it does not take {value!r} for {key!r}") from error
    now = getattr(plugin, key)
    if isinstance(value, float) and low is not None and high is not None:
        now = float(now)
        if not abs(now - value) <= max(_NEAR * (high - low), 1e-6):
            raise Failure(f"it was given {value:g} for {key!r} and holds {now:g}")
        return now
    return now if isinstance(now, bool) else _text(now)


def _state_hash(plugin: Any, state: str) -> str:
    """A hash of the values of all parameters, and of the state that they were set on."""
    values = {key: _plain(getattr(plugin, key)) for key in plugin.parameters if not is_shunned(key)}
    return hashlib.sha256(json.dumps([values, state], sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else float(value) if isinstance(value, float) else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _text(value: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value))[:_LONGEST_TEXT].strip()


def _confine(memory_bytes: int) -> None:
    if os.name != "posix":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    # Its default ends the process even while a plug-in hangs, should nobody be left to end it.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _answers() -> IO[str]:
    """What was stdout, which the plug-in can no longer print to."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    return answers


def main() -> None:
    """Serve the plug-in that the arguments name until stdin ends."""
    path, name, memory_bytes = sys.argv[1:4]
    answers = _answers()
    _confine(int(memory_bytes))
    plugged = Plugged(path, name or None)
    orders = {
        "names": lambda order: {"names": plugged.names()},
        "describe": lambda order: plugged.described(),
        "open": plugged.open,
        "process": plugged.process,
        "state": plugged.state,
    }
    for line in sys.stdin:
        order = json.loads(line)
        if os.name == "posix":
            signal.alarm(math.ceil(order["patience_s"]) + 5)
        try:
            answer = {"ok": True, **orders[order["do"]](order)}
        except Failure as failure:
            answer = {"ok": False, "why": str(failure)}
        except MemoryError:
            answer = {"ok": False, "why": "it wanted more memory than it may have"}
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; its words go to the user
            answer = {"ok": False, "why": _text(str(error).partition("\n")[0]) or type(error).__name__}
        if os.name == "posix":
            signal.alarm(0)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    # The destructors of a plug-in may hang as well as anything else of it.
    os._exit(0)


if __name__ == "__main__":
    main()
