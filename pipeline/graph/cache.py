"""Stage results on disk, addressed by their content's origin and shared between runs and programs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mixagent.pipeline.errors import OutputError, reason
from mixagent.pipeline.types import DiskAudio

Values = Mapping[str, Any]

_META = "meta.json"
_ABANDONED_S = 24 * 3600.0
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
    """What a stage left: a folder of files, and values that went through JSON.

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
    place, so there is never half of one, and programs may share a cache. Whoever uses a result
    holds a shared lock on its `meta.json` until the cache is closed; of the others, the least
    recently used go first.
    """

    def __init__(self, root: Path, budget_bytes: float) -> None:
        self._root, self._budget_bytes = root, budget_bytes
        self._held: dict[Path, int] = {}
        self._busy: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error

    @classmethod
    @contextmanager
    def temporary(cls, parent: Path | None = None) -> Iterator[Cache]:
        """A cache that keeps everything while it is open and nothing afterwards."""
        with (
            tempfile.TemporaryDirectory(prefix="mixagent-", dir=parent) as root,
            cls(Path(root), float("inf")) as cache,
        ):
            yield cache

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all results and evict down to the budget."""
        with self._lock:
            while self._held:
                os.close(self._held.popitem()[1])
        self.evict()

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
        for _, size, entry in entries:
            if excess > 0 and _remove_unheld(entry):
                excess -= size
        for folder in self._root.glob("*/*/.*"):
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(folder, ignore_errors=True)

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, size in bytes and folder of each result."""
        for meta in self._root.glob(f"*/??/[!.]*/{_META}"):
            # Another program may evict it in between.
            with suppress(FileNotFoundError):
                size = sum(file.stat().st_size for file in meta.parent.rglob("*"))
                yield meta.stat().st_mtime, size, meta.parent

    def _find(self, entry: Path) -> Result | None:
        if not self._hold(entry, entry / _META):
            return None
        try:
            meta = json.loads((entry / _META).read_text())
            whole = all((entry / name).stat().st_size == size for name, size in meta["files"].items())
        except (OSError, ValueError, KeyError):
            whole = False
        if not whole:
            self._release(entry)
            _remove(entry)
            return None
        os.utime(entry / _META)
        return Result(entry, meta["values"], meta["skipped"])

    def _make(self, entry: Path, fill: Callable[[Path], Values | None]) -> None:
        folder = entry.with_name(f".{entry.name}.{secrets.token_hex(6)}")
        folder.mkdir(parents=True)
        try:
            values = fill(folder)
            files = {str(f.relative_to(folder)): f.stat().st_size for f in folder.rglob("*") if f.is_file()}
            meta = {"skipped": values is None, "values": dict(values or {}), "files": files}
            (folder / _META).write_text(json.dumps(meta))
            self._publish(folder, entry)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, folder: Path, entry: Path) -> None:
        # Locked before it can be seen, so that nobody evicts it before its maker has it.
        self._hold(entry, folder / _META)
        try:
            folder.rename(entry)
        except OSError as error:
            self._release(entry)
            # Another program was faster: its result serves as well. Half an entry gives way.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not (entry / _META).exists():
                _remove(entry)

    def _hold(self, entry: Path, meta: Path) -> bool:
        with self._lock:
            if entry in self._held:
                return True
            try:
                descriptor = os.open(meta, os.O_RDONLY)
            except FileNotFoundError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink == 0:
                # It was evicted while the lock was waited for.
                os.close(descriptor)
                return False
            self._held[entry] = descriptor
            return True

    def _release(self, entry: Path) -> None:
        with self._lock:
            os.close(self._held.pop(entry))

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


def _remove_unheld(entry: Path) -> bool:
    try:
        descriptor = os.open(entry / _META, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(entry)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(entry: Path) -> None:
    # Renamed first: a result that is half removed must not be found.
    doomed = entry.with_name(f".{entry.name}.{secrets.token_hex(6)}")
    with suppress(FileNotFoundError):
        entry.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
