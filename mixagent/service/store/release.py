"""Bytes are deleted with the last row that names them.

A blob is put before its row is written, and may be deleted in between. So blobs are deleted inside of a
transaction that writes, and whoever writes a row looks inside of theirs whether the blob is there.

A store behind a network would have all others wait meanwhile. There a blob is condemned, which is a row; the
sweeper deletes those that are condemned and still unnamed, many in one request, and leaves the row for those
who put the same bytes before that. So nobody asks the store inside of a transaction but the sweeper.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import CompoundSelect, delete, select, union
from sqlalchemy.orm import Session

from mixagent.service.store.blobs import Blobs
from mixagent.service.store.database import now
from mixagent.service.store.tables import Condemned, Job, JobFile, JobInput, Upload

_REMEMBERED_S = 86_400.0


def named_blobs(session: Session) -> set[str]:
    """Every blob that a row names."""
    named: CompoundSelect[str] = union(
        select(Upload.blob).where(Upload.blob.is_not(None)), select(JobInput.blob), select(JobFile.blob)
    )
    return {blob for (blob,) in session.execute(named)}


def release(session: Session, blobs: Blobs, freed: Iterable[str | None]) -> int:
    """Delete those of some blobs that no row names, or condemn them; how many. The session writes."""
    session.flush()
    unnamed = _unnamed(session, {each for each in freed if each is not None})
    for sha256 in unnamed:
        if blobs.remote:
            session.merge(Condemned(blob=sha256, at=now(), deleted_at=None))
        else:
            blobs.delete(sha256)
    return len(unnamed)


def lost_since(session: Session, blobs: Blobs, put: Collection[str]) -> list[str]:
    """Those of some blobs that were deleted since they were put. Rows that name them are to follow."""
    if not blobs.remote:
        return [sha256 for sha256 in put if not blobs.has(sha256)]
    rows = session.scalars(select(Condemned).where(Condemned.blob.in_(put))).all()
    for row in rows:
        session.delete(row)
    return [row.blob for row in rows if row.deleted_at is not None]


def execute(session: Session, blobs: Blobs, most: int) -> int:
    """Delete blobs that are condemned and still unnamed; how many. The session writes."""
    waiting = select(Condemned).where(Condemned.deleted_at.is_(None)).order_by(Condemned.at).limit(most)
    rows = {row.blob: row for row in session.scalars(waiting)}
    unnamed = _unnamed(session, rows)
    for sha256, row in rows.items():
        if sha256 in unnamed:
            row.deleted_at = now()
        else:
            session.delete(row)
    session.execute(delete(Condemned).where(Condemned.deleted_at < now() - _REMEMBERED_S))
    if unnamed:
        blobs.delete_all(unnamed)
    return len(unnamed)


def _unnamed(session: Session, some: Collection[str]) -> list[str]:
    return [
        sha256
        for sha256 in some
        if not any(
            session.scalars(select(column).where(column == sha256).limit(1)).first()
            for column in (Upload.blob, JobInput.blob, JobFile.blob)
        )
    ]


def delete_job(session: Session, blobs: Blobs, row: Job) -> None:
    """Delete a job that has ended, with the bytes that nobody else has."""
    freed = [file.blob for file in row.files] + [each.blob for each in row.inputs]
    session.delete(row)
    session.flush()
    release(session, blobs, freed)
