"""All that a service keeps, in one file: its database, the bytes that rows name, its secret.

The file is a tar archive of plain names, a table of them first. What can be made again (finished stages of
songs, jobs at work) is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixagent import __version__
from mixagent.pipeline.errors import InputError, OutputError, UsageError
from mixagent.pipeline.files import atomically, check_room, clear_leftovers, exclusive_lock, scratch_folder
from mixagent.service.settings import ServiceSettings
from mixagent.service.store.blobs import hash_of

SCHEMA = "mixagent.backup/1"
TABLE = "backup.json"
"""First member of an archive: schema, versions, and the hash and size of every other member."""

_DATABASE, _SECRET, _BLOBS, _INCOMING = "service.sqlite", "secret", "blobs", "incoming"
_MEMBER = re.compile(r"service\.sqlite|secret|blobs/[0-9a-f]{64}|incoming/upl_[a-z2-9]{24}")
_MOST_TABLE_BYTES = 1 << 30
_SNAPSHOTS = 20

_NAMED = (
    "SELECT blob FROM uploads WHERE blob IS NOT NULL UNION SELECT blob FROM job_inputs "
    "UNION SELECT blob FROM job_files"
)
_COMING = "SELECT id, received_bytes FROM uploads WHERE state IN ('receiving', 'checking')"
_COUNTS = ("users", "uploads", "jobs")


@dataclass(frozen=True)
class Saved:
    """The content of a backup, counted.

    Attributes:
        rows: how many users, uploads and jobs.
        files: how many blobs and unfinished uploads.
        bytes: of all of it.
    """

    rows: Mapping[str, int]
    files: int
    bytes: int

    def sentence(self) -> str:
        """It in words."""
        counted = ", ".join(
            f"{count} {name if count != 1 else name[:-1]}" for name, count in self.rows.items()
        )
        return f"{counted}, {self.files} files, {self.bytes / 1e6:.1f} MB"


def backup(settings: ServiceSettings, to: Path) -> Saved:
    """Write all that a service keeps into a file, while it runs or not.

    The database is copied as it is at one moment; of the bytes that it names then, none is missing.

    Args:
        settings: of the service; its folder is read.
        to: the archive, which appears whole or not at all, and only its user may read.

    Raises:
        UsageError: there is no service in the folder.
        OutputError: the archive cannot be written, or the database.
    """
    if not settings.database.exists():
        raise UsageError(f"no service has worked in {settings.data}: there is nothing to back up")
    with scratch_folder(settings.data) as folder:
        _gather(settings, folder)
        table = _table_of(folder)
        check_room(to.absolute().parent, sum(row["bytes"] for row in table["files"].values()), str(to))
        with atomically(to, durable=True) as place:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with tarfile.open(place, "w", format=tarfile.PAX_FORMAT) as archive:
                _add(archive, TABLE, folder)
                for name in table["files"]:
                    _add(archive, name, folder)
        return _saved(table)


def _gather(settings: ServiceSettings, folder: Path) -> None:
    """Copy the database, and hold what it names by hard links, until nothing of a copy is missing.

    Bytes are deleted while this looks: then a new copy of the database does not name them any more.
    """
    for name in (_BLOBS, _INCOMING):
        (folder / name).mkdir()
    with closing(_open(settings.database)) as live:
        _note(live, "backup")
        # Most of the bytes are held before the copy is made: what is left takes no time.
        _hold(settings, folder, live)
        for _ in range(_SNAPSHOTS):
            (folder / _DATABASE).unlink(missing_ok=True)
            with closing(_open(folder / _DATABASE)) as copy:
                live.backup(copy)
                # One file, with nothing beside it.
                copy.execute("PRAGMA journal_mode=DELETE")
                if _hold(settings, folder, copy):
                    _forget_others(folder, copy)
                    break
        else:
            raise OutputError(f"{settings.data} changes faster than it can be copied: try again")
    shutil.copyfile(settings.data / _SECRET, folder / _SECRET)


def _hold(settings: ServiceSettings, folder: Path, database: sqlite3.Connection) -> bool:
    """Have every file that a database names in a folder; whether all were there."""
    there = True
    for (sha256,) in database.execute(_NAMED):
        place = folder / _BLOBS / sha256
        there &= place.exists() or _linked(settings.blobs / sha256[:2] / sha256, place)
    for id_, count in database.execute(_COMING):
        place = folder / _INCOMING / id_
        place.unlink(missing_ok=True)
        there &= _first_bytes(settings.incoming / id_, place, count)
    return there


def _linked(source: Path, place: Path) -> bool:
    try:
        with suppress(OSError):
            place.hardlink_to(source)
            return True
        shutil.copyfile(source, place)
    except FileNotFoundError:
        place.unlink(missing_ok=True)
        return False
    return True


def _first_bytes(source: Path, place: Path, count: int) -> bool:
    """Copy the bytes of an upload that were put down; whether they were there."""
    try:
        with source.open("rb") as read, place.open("wb") as written:
            left = count
            while left > 0 and (piece := read.read(min(left, 1 << 20))):
                written.write(piece)
                left -= len(piece)
    except FileNotFoundError:
        return False
    return left == 0


def _forget_others(folder: Path, database: sqlite3.Connection) -> None:
    """Let go of what was deleted since it was held: it is not to come back."""
    named = {sha256 for (sha256,) in database.execute(_NAMED)}
    coming = {id_ for id_, _ in database.execute(_COMING)}
    for room, kept in ((_BLOBS, named), (_INCOMING, coming)):
        for file in (folder / room).iterdir():
            if file.name not in kept:
                file.unlink()


def _table_of(folder: Path) -> dict[str, Any]:
    """The table of a folder's files, written beside them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if _MEMBER.fullmatch(name):
            files[name] = {"sha256": hash_of(path), "bytes": path.stat().st_size}
    with closing(_open(folder / _DATABASE)) as database:
        rows = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTS}
    table = {"schema": SCHEMA, "version": __version__, "rows": rows, "files": files}
    (folder / TABLE).write_text(json.dumps(table, indent=1))
    return table


def _add(archive: tarfile.TarFile, name: str, folder: Path) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = (folder / name).stat().st_size, 0o600
    with (folder / name).open("rb") as opened:
        archive.addfile(member, opened)


def restore(settings: ServiceSettings, archive: Path) -> Saved:
    """Bring what a backup holds into a folder in which no service has worked.

    Nothing is believed of the archive: each file has to be in its table, with the hash and size that it has
    there, and what the database names has to be among them. The folder is filled at the end, at once.

    Raises:
        UsageError: a service runs there, or has worked there.
        InputError: it is no backup, or a damaged one.
        OutputError: the folder cannot be written.
    """
    if not archive.is_file():
        raise InputError(f"there is no file {archive}")
    with _alone(settings), scratch_folder(settings.data) as folder:
        try:
            table = _unpacked(archive, folder)
        except (tarfile.TarError, EOFError) as error:
            raise InputError(f"{archive} is no backup, or a damaged one: {error}") from error
        _check_database(archive, folder)
        with closing(_open(folder / _DATABASE)) as database:
            _note(database, "restore")
        _put_in_place(settings, folder)
        return _saved(table)


@contextmanager
def _alone(settings: ServiceSettings) -> Iterator[None]:
    """A folder that no service has, and that none gets meanwhile."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = exclusive_lock(settings.data / "service.lock")
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        raise UsageError(f"a service works in {settings.data}: stop it, or name another folder") from None
    try:
        clear_leftovers(settings.data)
        there = sorted(path.name for path in settings.data.iterdir() if path.name != "service.lock")
        if there:
            raise UsageError(f"{settings.data} is not empty ({there[0]} lies in it): name an empty folder")
        yield
    finally:
        lock.release()


def _unpacked(archive: Path, folder: Path) -> dict[str, Any]:
    """Write an archive's files into a folder, each held against the table."""
    with tarfile.open(archive, "r:") as opened:
        first = opened.next()
        if first is None or first.name != TABLE or not first.isreg() or first.size > _MOST_TABLE_BYTES:
            raise InputError(f"{archive} is no backup: its first file is not {TABLE}")
        table = _read_table(archive, opened.extractfile(first).read())  # type: ignore[union-attr]
        check_room(folder, sum(row["bytes"] for row in table["files"].values()), str(folder))
        left = dict(table["files"])
        while (member := opened.next()) is not None:
            wanted = left.pop(member.name, None)
            if wanted is None or not member.isreg() or member.size != wanted["bytes"]:
                raise InputError(f"{archive} holds {member.name!r}, which its table does not: it was changed")
            _write(archive, opened, member, folder / member.name, wanted["sha256"])
    if left:
        raise InputError(
            f"{archive} is cut short: {len(left)} of its {len(table['files'])} files are missing"
        )
    return table


def _read_table(archive: Path, data: bytes) -> dict[str, Any]:
    try:
        table = json.loads(data)
        files, rows, known = table["files"], table["rows"], table["schema"]
        sound = all(
            _MEMBER.fullmatch(name) and isinstance(row["bytes"], int) and row["bytes"] >= 0 and row["sha256"]
            for name, row in files.items()
        )
        sound &= {_DATABASE, _SECRET} <= {*files} and all(isinstance(rows[name], int) for name in _COUNTS)
    except (ValueError, TypeError, KeyError, AttributeError):
        sound, known = False, None
    if not sound:
        raise InputError(f"{archive} is no backup, or a damaged one: its table cannot be read")
    if known != SCHEMA:
        raise InputError(f"{archive} is a backup of another kind ({known!r}): this version reads {SCHEMA}")
    return {"files": files, "rows": {name: rows[name] for name in _COUNTS}}


def _write(archive: Path, opened: tarfile.TarFile, member: tarfile.TarInfo, place: Path, sha256: str) -> None:
    place.parent.mkdir(exist_ok=True, mode=0o700)
    source = opened.extractfile(member)
    assert source is not None
    hashed = hashlib.sha256()
    with place.open("xb") as written:
        while piece := source.read(1 << 20):
            hashed.update(piece)
            written.write(piece)
    place.chmod(0o600)
    if hashed.hexdigest() != sha256 or place.stat().st_size != member.size:
        raise InputError(f"{archive} is damaged: {member.name} is not what was backed up")


def _check_database(archive: Path, folder: Path) -> None:
    """Check that the database is whole, and that all that it names is there."""
    try:
        with closing(_open(folder / _DATABASE)) as database:
            (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
            named = {f"{_BLOBS}/{sha256}" for (sha256,) in database.execute(_NAMED)}
            named |= {f"{_INCOMING}/{id_}" for id_, _ in database.execute(_COMING)}
    except sqlite3.Error as error:
        raise InputError(f"{archive} is damaged: its database cannot be read ({error})") from error
    missing = [name for name in named if not (folder / name).is_file()]
    if sound != "ok" or missing:
        why = f"{len(missing)} files that it names are missing" if missing else sound
        raise InputError(f"{archive} is damaged: its database is not whole ({why})")


def _put_in_place(settings: ServiceSettings, folder: Path) -> None:
    for blob in [*(folder / _BLOBS).glob("*")]:
        place = settings.blobs / blob.name[:2] / blob.name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        blob.replace(place)
    settings.incoming.mkdir(exist_ok=True, mode=0o700)
    for file in [*(folder / _INCOMING).glob("*")]:
        file.replace(settings.incoming / file.name)
    (folder / _SECRET).replace(settings.data / _SECRET)
    # Last: without it there is no service, and what is there is not empty.
    (folder / _DATABASE).replace(settings.database)


def _saved(table: Mapping[str, Any]) -> Saved:
    files = table["files"]
    count = sum("/" in name for name in files)
    return Saved(dict(table["rows"]), count, sum(row["bytes"] for row in files.values()))


def _note(database: sqlite3.Connection, what: str) -> None:
    """Put down in the audit log what is done, before it is."""
    line = (time.time(), "local", what, "", "command line")
    try:
        database.execute("INSERT INTO audit (at, user, what, about, address) VALUES (?, ?, ?, ?, ?)", line)
    except sqlite3.OperationalError as error:
        raise OutputError(f"the database cannot be written ({error}): try again") from error


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
    # What a file says of itself runs nothing.
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection
