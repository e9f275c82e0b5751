"""Uploads on their way: bytes into a file of their own, then the check of what they are, then a blob."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from mixagent.pipeline.files import exclusive_lock, write_atomically
from mixagent.service.limits import check_room, check_size, check_uploads
from mixagent.service.metrics import Metrics
from mixagent.service.naming import new_id, safe_name
from mixagent.service.problems import Problem
from mixagent.service.settings import ServiceSettings
from mixagent.service.store.blobs import Blobs
from mixagent.service.store.database import Database, now
from mixagent.service.store.release import lost_since, release
from mixagent.service.store.tables import CHECKING, READY, RECEIVING, REFUSED, Upload
from mixagent.service.worker.check import Checker

LOG = logging.getLogger(__name__)

LOCKED_AT_MOST_S = 5.0


class Uploads:
    """Takes uploads in."""

    def __init__(self, settings: ServiceSettings, database: Database, blobs: Blobs, metrics: Metrics) -> None:
        self._settings, self._database = settings, database
        self._blobs, self._metrics = blobs, metrics
        settings.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._node = _name_of(settings.data)
        self.checker = Checker(settings.incoming, settings.limits)

    def begin(self, user: str, name: str, size_bytes: int | None) -> Upload:
        """An upload without bytes yet.

        Args:
            user: whose it is.
            name: of the file, as its sender calls it.
            size_bytes: that are to come; None where that is not known.

        Raises:
            Problem: it would be too large, or the user or the disk has no room for it.
        """
        check_size(size_bytes or 0, self._settings.limits)
        check_room(self._settings.incoming, size_bytes or 0, self._settings.limits)
        id_, time = new_id("upl"), now()
        with self._database.writing() as session:
            check_uploads(session, user, size_bytes or 0, self._settings.limits)
            row = Upload(
                id=id_,
                user=user,
                name=safe_name(name),
                state=RECEIVING,
                bytes=size_bytes,
                received_bytes=0,
                warnings=[],
                created_at=time,
                expires_at=time + self._settings.retention.unfinished_uploads_s,
                node=self._node,
            )
            session.add(row)
        self.file(id_).touch(mode=0o600)
        return row

    def is_here(self, row: Upload) -> bool:
        """Whether this server has the bytes that have arrived of an upload."""
        return row.node in (None, self._node)

    def file(self, id_: str) -> Path:
        """The bytes of an upload that are here."""
        return self._settings.incoming / id_

    @contextmanager
    def held(self, id_: str) -> Iterator[None]:
        """Alone with an upload.

        Raises:
            Problem: another request has it.
        """
        lock = exclusive_lock(self._settings.incoming / f"{id_}.lock")
        try:
            lock.acquire(blocking=False)
        except TimeoutError:
            raise Problem(
                "locked", "another request writes to this upload", retry_after_s=LOCKED_AT_MOST_S
            ) from None
        try:
            yield
        finally:
            lock.release()

    def received(self, id_: str, size_bytes: int | None = None) -> Upload:
        """Put down how many bytes are here, and with `size_bytes` that these are all."""
        there = self.file(id_).stat().st_size
        with self._database.writing() as session:
            row = _there(session, id_)
            row.received_bytes = there
            row.bytes = size_bytes if size_bytes is not None else row.bytes
            if row.bytes == there and row.state == RECEIVING:
                row.state = CHECKING
            return row

    def check(self, id_: str) -> Upload:
        """Find out what an upload is whose bytes are all here, and keep it or refuse it."""
        with self._database.reading() as session:
            row = _there(session, id_)
        if row.state != CHECKING:
            return row
        file = self.file(id_)
        try:
            found = self.checker.check(file, row.name)
            blob = self._blobs.put(file)
        except Problem as problem:
            return self._refused(id_, problem)
        with self._database.writing() as session:
            row = _there(session, id_)
            if lost_since(session, self._blobs, [blob]):
                self._blobs.put(file)
            row.state, row.kind, row.blob = READY, found.kind, blob
            row.audio, row.peaks, row.warnings = found.audio, found.peaks, list(found.warnings)
            row.expires_at = now() + self._settings.retention.uploads_s
        self._drop(id_)
        self._metrics.uploads.labels("ready").inc()
        self._metrics.upload_bytes.inc(row.bytes or 0)
        return row

    def _refused(self, id_: str, problem: Problem) -> Upload:
        with self._database.writing() as session:
            row = _there(session, id_)
            row.state, row.problem = REFUSED, problem.to_dict()
        self._drop(id_)
        self._metrics.uploads.labels(problem.code).inc()
        LOG.info("upload refused", extra={"upload": id_, "code": problem.code})
        return row

    def check_left(self) -> None:
        """Check what a service that was killed had not come to."""
        with self._database.reading() as session:
            own = or_(Upload.node == self._node, Upload.node.is_(None))
            left = session.scalars(select(Upload.id).where(Upload.state == CHECKING, own)).all()
        for id_ in left:
            if self.file(id_).exists():
                self.check(id_)
            else:
                self._refused(id_, Problem("input", "its bytes were lost: send it again"))

    def forget(self, session: Session, row: Upload) -> None:
        """Delete an upload, with the bytes that nobody else has. The session writes."""
        blob = row.blob
        session.delete(row)
        session.flush()
        release(session, self._blobs, [blob])
        self._drop(row.id)

    def _drop(self, id_: str) -> None:
        self.file(id_).unlink(missing_ok=True)
        (self._settings.incoming / f"{id_}.lock").unlink(missing_ok=True)


def _name_of(data: Path) -> str:
    """The name of a server by its folder: what it has of uploads no other one has."""
    file = data / "node"
    with suppress(FileNotFoundError):
        return file.read_text()
    name = f"{socket.gethostname()[:100]} {new_id('evt')}"
    write_atomically(file, name)
    return name


def _there(session: Session, id_: str) -> Upload:
    row = session.get(Upload, id_)
    if row is None:
        raise Problem("missing", f"there is no upload {id_}")
    return row
