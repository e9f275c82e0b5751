"""Stage results on disk, addressed by their content's origin and shared between runs and programs."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import xxhash

from mixagent.pipeline.errors import OutputError, reason
from mixagent.pipeline.files import exclusive_lock, scratch_folder
from mixagent.pipeline.types import DiskAudio

if TYPE_CHECKING:
    from filelock import BaseFileLock

Values = Mapping[str, Any]

_START = 2
"""Letters of its key that a result lies under."""

_META = "meta.json"
_LEASES = ".leases"
_READ_BYTES = 1 << 20
_POLL_S = 0.002
_DISK_ERRORS = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EEXIST,
    )
)


@dataclass(frozen=True)
class Result:
    """The result of a stage: a folder of files, and values that went through JSON.

    `skipped` says that the stage found nothing to do (its `run` returned None).
    """

    directory: Path
    values: Values
    skipped: bool = False

    def audio(self, *keys: str) -> DiskAudio:
        """The audio whose `audio_reference` stands in `values` under these nested keys."""
        found: Any = self.values
        for key in keys:
            found = found[key]
        return DiskAudio(self.directory / found["file"], found["rate"], found["channels"], found["frames"])


def audio_reference(audio: DiskAudio) -> dict[str, Any]:
    """A reference to audio that lies in a stage's folder, to stand in the values it returns."""
    return {"file": audio.path.name, "rate": audio.rate, "channels": audio.channels, "frames": audio.frames}


class Cache:
    """Results under `root`, at most `budget_bytes` of them beside those in use.

    A result lies in `root/stage/key[:2]/key`. It is made in a folder beside that and renamed into
    place, so there is never half of one, and programs may share a cache. What is read back is held
    against the hashes that were taken when it was made: a damaged result is made again. Each cache that
    is open has a lease, a locked file beside a list of what it uses; of what no lease names, the least
    recently used go first.
    """

    def __init__(self, root: Path, budget_bytes: float) -> None:
        self._root, self._budget_bytes = root, budget_bytes
        self._held: set[Path] = set()
        self._busy: dict[Path, threading.Lock] = {}
        self._lock = threading.RLock()
        self._token = secrets.token_hex(6)
        self._lease: BaseFileLock | None = None
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error

    @classmethod
    @contextmanager
    def temporary(cls, parent: Path | None = None) -> Iterator[Cache]:
        """A cache that keeps everything while it is open and nothing afterwards."""
        with scratch_folder(parent) as root, cls(root, float("inf")) as cache:
            yield cache

    @property
    def folder(self) -> Path:
        """The folder of the results."""
        return self._root

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all results and evict down to the budget."""
        with self._alone():
            self._held.clear()
            if self._lease is not None:
                self._lease.release()
                self._lease = None
                _remove_lease(self._leases / self._token)
        self.evict()

    def has(self, stage: str, key: str) -> bool:
        """Whether a result is there now; it may be damaged, or gone in a moment."""
        return (self._root / stage / key[:2] / key / _META).exists()

    def obtain(self, stage: str, key: str, fill: Callable[[Path], Values | None]) -> tuple[Result, bool]:
        """The result at an address, made by `fill` unless it is there; and whether it was.

        `fill` gets an empty folder to write to and returns JSON-able values, or None for a skip.

        Raises:
            OutputError: the disk is full or may not be written to.
        """
        entry = self._root / stage / key[:2] / key
        with self._lock:
            busy = self._busy.setdefault(entry, threading.Lock())
        cached = True
        with busy, self._disk_errors():
            while (result := self._find(entry)) is None:
                cached = False
                self._make(entry, fill)
        if not cached:
            self.evict()
        return result, cached

    def evict(self) -> None:
        """Remove the least recently used results that nobody holds until the budget is met."""
        entries = sorted(self._entries())
        excess = sum(size for _, size, _ in entries) - self._budget_bytes
        doomed = []
        with self._alone():
            used = self._used()
            held = set[str]().union(*used.values())
            for _, size, entry in entries:
                if excess > 0 and self._name(entry) not in held:
                    doomed += _out_of_the_way(entry)
                    excess -= size
            # What is being made is named by its lease.
            inside = [each for each in self._keyed() if each.name.startswith(".")]
            doomed += [each for each in inside if each.suffix[1:] not in used]
        for folder in doomed:
            shutil.rmtree(folder, ignore_errors=True)

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, size in bytes and folder of each result."""
        for entry in self._keyed():
            # Another program may evict it in between.
            with suppress(FileNotFoundError):
                if not entry.name.startswith("."):
                    used_at = (entry / _META).stat().st_mtime
                    yield used_at, sum(file.stat().st_size for file in entry.rglob("*")), entry

    def _keyed(self) -> Iterator[Path]:
        """All that lies in a stage's folder, two levels down: results, and what is being made or removed."""
        for stage in _inside(self._root):
            # Others' scratch folders lie here too, and come and go.
            if not stage.name.startswith("."):
                for start in _inside(stage):
                    yield from _inside(start) if len(start.name) == _START else ()

    def _find(self, entry: Path) -> Result | None:
        known = entry in self._held
        if not self._hold(entry):
            return None
        meta = _read_meta(entry)
        if meta is None or not (known or _is_whole(entry, meta["files"])):
            with self._alone():
                self._held.discard(entry)
                doomed = _out_of_the_way(entry)
            for folder in doomed:
                shutil.rmtree(folder, ignore_errors=True)
            return None
        os.utime(entry / _META)
        return Result(entry, meta["values"], meta["skipped"])

    def _make(self, entry: Path, fill: Callable[[Path], Values | None]) -> None:
        with self._alone():
            self._take_lease()
        folder = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}.{self._token}")
        folder.mkdir(parents=True)
        try:
            values = fill(folder)
            made = sorted(file for file in folder.rglob("*") if file.is_file())
            files = {f.relative_to(folder).as_posix(): [f.stat().st_size, _hash(f)] for f in made}
            meta = {"skipped": values is None, "values": dict(values or {}), "files": files}
            (folder / _META).write_text(json.dumps({**meta, "hash": _hash_of_meta(meta)}))
            self._publish(folder, entry)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, folder: Path, entry: Path) -> None:
        with self._alone():
            # Another program was faster: its result serves as well. Half an entry gives way.
            if (entry / _META).exists():
                return
            doomed = _out_of_the_way(entry)
            folder.rename(entry)
            # Before it can be seen by others, so that nobody evicts it before its maker has it.
            self._use(entry)
        for each in doomed:
            shutil.rmtree(each, ignore_errors=True)

    # --- what is in use ----------------------------------------------------------------------------

    @property
    def _leases(self) -> Path:
        return self._root / _LEASES

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or program holds, publishes or evicts meanwhile."""
        with self._lock, self._disk_errors():
            self._leases.mkdir(parents=True, exist_ok=True)
            with exclusive_lock(self._leases / "lock").acquire(poll_interval=_POLL_S):
                yield

    def _hold(self, entry: Path) -> bool:
        with self._lock:
            if entry in self._held:
                return True
        with self._alone():
            if not (entry / _META).exists():
                return False
            self._use(entry)
            return True

    def _use(self, entry: Path) -> None:
        self._take_lease()
        with (self._leases / f"{self._token}.used").open("a", encoding="utf-8") as file:
            file.write(f"{self._name(entry)}\n")
        self._held.add(entry)

    def _name(self, entry: Path) -> str:
        return entry.relative_to(self._root).as_posix()

    def _take_lease(self) -> None:
        if self._lease is None:
            lease = exclusive_lock(self._leases / f"{self._token}.lease")
            lease.acquire()
            self._lease = lease

    def _used(self) -> dict[str, set[str]]:
        """The keys that each living lease uses, by its token; those of programs that ended are removed."""
        used = {}
        for path in self._leases.glob("*.lease"):
            lease = path.with_suffix("")
            if path.stem == self._token or not _is_left(path):
                with suppress(FileNotFoundError):
                    used[path.stem] = set(lease.with_suffix(".used").read_text("utf-8").splitlines())
                used.setdefault(path.stem, set())
            else:
                _remove_lease(lease)
        return used

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write to the cache folder {self._root}: {reason(error)}; name another in MIXAGENT_CACHE"
        )


def _is_left(lease: Path) -> bool:
    lock = exclusive_lock(lease)
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        return False
    lock.release()
    return True


def _remove_lease(lease: Path) -> None:
    for suffix in (".used", ".lease"):
        lease.with_suffix(suffix).unlink(missing_ok=True)


def _inside(folder: Path) -> list[Path]:
    """What a folder holds; nothing where it is none, or another program has just removed it."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _out_of_the_way(entry: Path) -> list[Path]:
    """Rename what is to be removed: a result that is half removed must not be found."""
    doomed = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}.doomed")
    try:
        entry.rename(doomed)
    except FileNotFoundError:
        return []
    return [doomed]


# --- whether it is as it was made ------------------------------------------------------------------


def _read_meta(entry: Path) -> dict[str, Any] | None:
    """The metadata of an entry, or None where it is damaged."""
    try:
        meta = json.loads((entry / _META).read_bytes())
        whole = meta.pop("hash") == _hash_of_meta(meta)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta if whole and meta.keys() == {"skipped", "values", "files"} else None


def _is_whole(entry: Path, files: Mapping[str, Any]) -> bool:
    try:
        return all(
            [(entry / name).stat().st_size, _hash(entry / name)] == made for name, made in files.items()
        )
    except OSError:
        return False


def _hash_of_meta(meta: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(meta, sort_keys=True).encode())


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()
