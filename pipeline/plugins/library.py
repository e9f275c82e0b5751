"""The plug-ins of this system: where they lie, what each says of itself, and a cache of that.

Each is loaded in a process of its own, once for each file as it is: a scan does not load again what did not
change, or what failed before.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mixagent.pipeline.errors import InputError, MixagentError
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.folders import cache_folder
from mixagent.pipeline.plugins.binaries import SUFFIXES, binary_of, code_hash
from mixagent.pipeline.plugins.child import LIMITS, Limits, PluginChild
from mixagent.pipeline.types import Progress

SCHEMA = "mixagent.plugins/1"

FOLDERS = "MIXAGENT_PLUGINS"
"""The variable of the environment that names more folders."""

_USUAL = {
    "linux": ("~/.vst3", "/usr/lib/vst3", "/usr/local/lib/vst3"),
    "darwin": (
        "~/Library/Audio/Plug-Ins/VST3",
        "/Library/Audio/Plug-Ins/VST3",
        "~/Library/Audio/Plug-Ins/Components",
        "/Library/Audio/Plug-Ins/Components",
    ),
    "win32": (r"%LOCALAPPDATA%\Programs\Common\VST3", r"%COMMONPROGRAMFILES%\VST3"),
}
_DEEPEST = 4
_MOST_IN_A_FILE = 64


class PluginMissingError(MixagentError):
    """A plug-in was asked for by name and is not here."""

    exit_code = 5
    code = "plugin_missing"
    field = "plugins"


@dataclass(frozen=True)
class PluginParameter:
    """A parameter of a plug-in.

    Attributes:
        key: by which it is set.
        name, unit: as the plug-in has them.
        low, high: its range; None where its values are words.
        value: its default; None where that is a word.
        text: that word.
        choices: the words.
    """

    key: str
    name: str
    unit: str
    low: float | None
    high: float | None
    value: float | None
    text: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plugin:
    """A plug-in that was loaded.

    Attributes:
        path: of its file or bundle.
        inside: its name in the file, where that holds several; else empty.
        sha256: of its code.
        name, version, maker, category, identifier: its own words.
        instrument: whether it makes sound of notes.
        latency: that it states, in frames.
        channels: the numbers of channels that it takes.
        parameters: without the host's and the meters.
    """

    path: str
    inside: str
    sha256: str
    name: str
    version: str
    maker: str
    category: str
    identifier: str
    instrument: bool
    latency: int
    channels: tuple[int, ...]
    parameters: tuple[PluginParameter, ...]

    @property
    def format(self) -> str:
        """VST3 or AU."""
        return "AU" if self.path.endswith(".component") else "VST3"

    def parameter(self, key: str) -> PluginParameter | None:
        """The parameter of this key."""
        return next((found for found in self.parameters if found.key == key), None)


@dataclass(frozen=True)
class Scanned:
    """A file of plug-ins.

    Attributes:
        path: of the file or bundle.
        stamp: of its code: size and time of change.
        plugins: that are in it.
        fault: why there are none; else empty.
    """

    path: str
    stamp: str
    plugins: tuple[Plugin, ...] = ()
    fault: str = ""


def plugin_folders() -> list[Path]:
    """The folders that are scanned: those of `MIXAGENT_PLUGINS`, then the system's."""
    named = [Path(text) for text in os.environ.get(FOLDERS, "").split(os.pathsep) if text]
    usual = [Path(os.path.expandvars(text)) for text in _USUAL.get(sys.platform, ())]
    found = []
    for folder in (*named, *usual):
        with suppress(RuntimeError):  # a home that no user has
            found.append(folder.expanduser())
    return found


def plugin_files(folders: Iterable[Path]) -> list[Path]:
    """The plug-ins in these folders, a folder that is one itself among them; in their order."""
    return [path for folder in folders for path in _inside(folder, _DEEPEST)]


def _inside(folder: Path, depth: int) -> Iterator[Path]:
    if folder.suffix in SUFFIXES:
        yield folder
    elif depth and folder.is_dir():
        with suppress(PermissionError):
            for path in sorted(folder.iterdir()):
                if path.suffix in SUFFIXES or path.is_dir():
                    yield from _inside(path, depth - 1)


def scan(
    folders: Sequence[Path] = (),
    again: bool = False,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> list[Scanned]:
    """Load every plug-in of some folders, or the system's, that is not known as it is.

    Args:
        folders: to look in; those of `plugin_folders` without any.
        again: load what is known too.
        limits: of each process.
        progress: called with the share done.
    """
    files = plugin_files(folders or plugin_folders())
    cache = _Cache()
    found = []
    for done, path in enumerate(files):
        if progress is not None:
            progress(done / len(files))
        found.append(_scanned(path, cache, again, limits))
        cache.write()
    return found


def known_plugins() -> list[Scanned]:
    """The last scans' plug-ins that are still there, without loading any."""
    return [row for row in _Cache().rows.values() if row.stamp == _stamp(Path(row.path))]


def find_plugin(text: str, limits: Limits = LIMITS) -> Plugin:
    """The plug-in of this name, in whatever case, or of this path.

    Raises:
        PluginMissingError: there is none.
        InputError: it cannot be loaded; the message says why.
    """
    path = Path(text)
    if path.suffix in SUFFIXES:
        if not path.exists():
            raise PluginMissingError(f"the plug-in {text} is not there")
        return _whole(_remembered(path.absolute(), limits))[0]
    wanted = text.casefold()
    files = [file for file in plugin_files(plugin_folders()) if file.stem.casefold() == wanted]
    scanned = [_remembered(file, limits) for file in files]
    for row in (*scanned, *known_plugins()):
        for plugin in row.plugins:
            if plugin.name.casefold() == wanted or (row in scanned and len(row.plugins) == 1):
                return plugin
    if scanned:
        return _whole(scanned[0])[0]
    raise PluginMissingError(_missing(text))


def _missing(text: str) -> str:
    names = {plugin.name for row in known_plugins() for plugin in row.plugins}
    names |= {path.stem for path in plugin_files(plugin_folders())}
    near = difflib.get_close_matches(text, sorted(names), n=1)
    advice = f": did you mean {near[0]}?" if near else ": `mixagent plugins scan` lists those that are"
    return f"no plug-in called {text[:80]!r} is here{advice}"


def _whole(row: Scanned) -> tuple[Plugin, ...]:
    if row.fault:
        raise InputError(row.fault, field="plugins", code="plugin")
    return row.plugins


def _remembered(path: Path, limits: Limits) -> Scanned:
    cache = _Cache()
    row = _scanned(path, cache, False, limits)
    if row.fault:
        # What failed in a scan may have been mended meanwhile: a licence was given, a screen unlocked.
        row = _scanned(path, cache, True, limits)
    cache.write()
    return row


def _scanned(path: Path, cache: _Cache, again: bool, limits: Limits) -> Scanned:
    stamp = _stamp(path)
    known = cache.rows.get(str(path))
    if known is not None and known.stamp == stamp and not again:
        return known
    try:
        row = Scanned(str(path), stamp, tuple(load(path, limits)))
    except InputError as error:
        row = Scanned(str(path), stamp, fault=str(error))
    cache.rows[str(path)] = row
    return row


def load(path: Path, limits: Limits = LIMITS) -> list[Plugin]:
    """The plug-ins of a file, loaded in processes that end afterwards.

    Raises:
        InputError: it is none, not for this system, or did not load.
    """
    sha256 = code_hash(binary_of(path))
    child = PluginChild(path, "", limits)
    try:
        names = child.ask("names", limits.load_s)["names"][:_MOST_IN_A_FILE]
        if len(names) <= 1:
            return [_plugin(path, "", sha256, child.ask("describe", limits.load_s))]
    finally:
        child.close()
    return [_one_of_several(path, name, sha256, limits) for name in names]


def _one_of_several(path: Path, name: str, sha256: str, limits: Limits) -> Plugin:
    child = PluginChild(path, name, limits)
    try:
        return _plugin(path, name, sha256, child.ask("describe", limits.load_s))
    finally:
        child.close()


def _plugin(path: Path, inside: str, sha256: str, told: Mapping[str, Any]) -> Plugin:
    parameters = tuple(_parameter(row) for row in told["parameters"])
    own = {name: told[name] for name in _OWN}
    channels = tuple(told["channels"])
    return Plugin(str(path), inside, sha256, channels=channels, parameters=parameters, **own)


_OWN = ("name", "version", "maker", "category", "identifier", "instrument", "latency")


def _parameter(row: Mapping[str, Any]) -> PluginParameter:
    return replace(PluginParameter(**row), choices=tuple(row["choices"]))


def _stamp(path: Path) -> str:
    try:
        found = binary_of(path).stat()
    except (InputError, OSError):
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


class _Cache:
    """What is known of files of plug-ins, by path; a damaged cache is an empty one."""

    def __init__(self) -> None:
        self._path = cache_folder() / "plugins.json"
        self.rows: dict[str, Scanned] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            held = json.loads(self._path.read_text(encoding="utf-8"))
            if held["schema"] == SCHEMA:
                self.rows = {row["path"]: _row(row) for row in held["files"]}

    def write(self) -> None:
        """Keep what is known; where nothing can be kept the next scan loads again."""
        with suppress(MixagentError, OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            files = [asdict(row) for row in self.rows.values()]
            write_atomically(self._path, json.dumps({"schema": SCHEMA, "files": files}))


def _row(row: Mapping[str, Any]) -> Scanned:
    plugins = tuple(_plugin(Path(p["path"]), p["inside"], p["sha256"], p) for p in row["plugins"])
    return Scanned(row["path"], row["stamp"], plugins, row["fault"])
