"""Bytes are deleted with the last row that names them.

A blob is put before its row is written, and may be deleted in between. So blobs are deleted inside of a
transaction that writes, and whoever writes a row looks inside of theirs whether the blob is there.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import CompoundSelect, select, union
from sqlalchemy.orm import Session

from mixagent.service.store.blobs import Blobs
from mixagent.service.store.tables import Job, JobFile, JobInput, Upload


def named_blobs(session: Session) -> set[str]:
    """Every blob that a row names."""
    named: CompoundSelect[str] = union(
        select(Upload.blob).where(Upload.blob.is_not(None)), select(JobInput.blob), select(JobFile.blob)
    )
    return {blob for (blob,) in session.execute(named)}


def release(session: Session, blobs: Blobs, freed: Iterable[str | None]) -> int:
    """Delete those of some blobs that no row names; how many. The session writes."""
    count = 0
    for sha256 in {each for each in freed if each is not None}:
        named = any(
            session.scalars(select(column).where(column == sha256).limit(1)).first()
            for column in (Upload.blob, JobInput.blob, JobFile.blob)
        )
        if not named:
            blobs.delete(sha256)
            count += 1
    return count


def delete_job(session: Session, blobs: Blobs, row: Job) -> None:
    """Delete a job that has ended, with the bytes that nobody else has."""
    freed = [file.blob for file in row.files] + [each.blob for each in row.inputs]
    session.delete(row)
    session.flush()
    release(session, blobs, freed)
