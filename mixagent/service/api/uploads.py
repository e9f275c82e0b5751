"""Uploads in one request, as multipart or as they are, and what is known of them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from typing import IO, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mixagent.service.api.bytes import Content, content_response
from mixagent.service.api.paging import Page, page_of
from mixagent.service.api.security import Reader, ServiceDep, Writer, audited
from mixagent.service.api.waveforms import waveform
from mixagent.service.jobs.view import upload_dict
from mixagent.service.problems import Problem
from mixagent.service.service import Service
from mixagent.service.store.tables import READY, REFUSED, Upload

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_PIECE_BYTES = 1 << 20


@router.post("", status_code=201)
async def upload(
    request: Request, service: ServiceDep, caller: Writer, name: str = Query(default="song", max_length=4096)
) -> dict[str, Any]:
    """Send a file: as the part `file` of multipart/form-data, or as the body itself."""
    stated = _stated_bytes(request.headers)
    most = service.settings.limits.upload_bytes
    if stated is not None and stated > most + _PIECE_BYTES:
        raise Problem("too_large", f"an upload has at most {most} bytes")
    if request.headers.get("Content-Type", "").startswith("multipart/form-data"):
        row = await _from_form(request, service, caller.user, most)
    else:
        row = await run_in_threadpool(service.uploads.begin, caller.user, name, stated)
        try:
            await write_body(request.stream(), service, row.id, most)
        except BaseException:
            await run_in_threadpool(drop, service, row.id)
            raise
    size = (await run_in_threadpool(service.uploads.file(row.id).stat)).st_size
    await run_in_threadpool(service.uploads.received, row.id, size)
    checked = await check(request, service, row.id)
    if checked.state == REFUSED and checked.problem is not None:
        await run_in_threadpool(drop, service, row.id)
        raise Problem(checked.problem["code"], checked.problem["detail"])
    await run_in_threadpool(audited, request, service, caller, "upload", row.id)
    return upload_dict(checked)


async def check(request: Request, service: Service, id_: str) -> Upload:
    """Check an upload that is all here, a few at a time; the rest wait without a thread that others need."""
    limiter: CapacityLimiter = request.app.state.checks
    return await to_thread.run_sync(service.uploads.check, id_, limiter=limiter)


async def _from_form(request: Request, service: Service, user: str, most: int) -> Upload:
    """The upload of a form's part `file`, its bytes written."""
    parser = MultiPartParser(request.headers, _counted(request.stream(), most), max_files=1, max_fields=20)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem("request", f"the form cannot be read: {error.message}") from error
    except (KeyError, ValueError) as error:
        raise Problem("request", "the form cannot be read") from error
    part = form.get("file")
    try:
        if not isinstance(part, UploadFile):
            raise Problem("request", "the form has no file in its part `file`", field="file")
        row = await run_in_threadpool(service.uploads.begin, user, part.filename or "song", part.size)
        try:
            await run_in_threadpool(_copy, part, service, row.id)
        except OSError:
            await run_in_threadpool(drop, service, row.id)
            raise
        return row
    finally:
        await form.close()


def _copy(part: UploadFile, service: Service, id_: str) -> None:
    part.file.seek(0)
    with service.uploads.file(id_).open("wb") as opened:
        shutil.copyfileobj(part.file, opened, _PIECE_BYTES)


async def _counted(pieces: AsyncIterator[bytes], most: int) -> AsyncGenerator[bytes, None]:
    taken = 0
    async for piece in pieces:
        taken += len(piece)
        if taken > most + _PIECE_BYTES:
            raise Problem("too_large", f"an upload has at most {most} bytes")
        yield piece


async def write_body(pieces: AsyncIterator[bytes], service: Service, id_: str, most: int) -> int:
    """Add a body to the bytes of an upload that are here; how many there were.

    What has arrived when the sender leaves is kept.

    Raises:
        Problem: more than `most` arrived, or the disk is full.
        ClientDisconnect: the sender left.
    """
    taken, waiting = 0, bytearray()
    try:
        # Nothing waits in a buffer of the file: it would be written again when a full disk closes it.
        with service.uploads.file(id_).open("ab", buffering=0) as opened:
            try:
                async for piece in pieces:
                    taken += len(piece)
                    if taken > most:
                        raise Problem("too_large", f"more than {most} bytes arrived")
                    waiting += piece
                    if len(waiting) >= _PIECE_BYTES:
                        await run_in_threadpool(_write, opened, waiting)
            finally:
                _write(opened, waiting)
    except OSError as error:
        words = f"the upload cannot be written: {error.strerror}"
        raise Problem("disk", words, retry_after_s=60) from error
    return taken


def _write(opened: IO[bytes], waiting: bytearray) -> None:
    """Write all that waits, of which a file takes as much as it likes at a time."""
    while waiting:
        del waiting[: opened.write(bytes(waiting))]


def _stated_bytes(headers: Headers) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def drop(service: Service, id_: str) -> None:
    """Forget an upload that came to nothing."""
    with service.database.writing() as session:
        row = session.get(Upload, id_)
        if row is not None:
            service.uploads.forget(session, row)


def own_upload(service: Service, user: str, id_: str) -> Upload:
    """An upload of a user.

    Raises:
        Problem: there is none, or it is another's.
    """
    with service.database.reading() as session:
        row = session.get(Upload, id_)
        if row is None or row.user != user:
            raise Problem("missing", f"there is no upload {id_}")
        return row


@router.get("")
def uploads(service: ServiceDep, caller: Reader, page: Page) -> dict[str, Any]:
    """One's uploads, the newest first."""
    wanted = select(Upload).where(Upload.user == caller.user)
    if page.search:
        wanted = wanted.where(Upload.name.icontains(page.search, autoescape=True))
    if page.state:
        wanted = wanted.where(Upload.state == page.state)
    with service.database.reading() as session:
        rows, following = page_of(session, wanted, page, Upload.created_at, Upload.id)
        return {"uploads": [upload_dict(row) for row in rows], "next": following}


@router.get("/{id_}")
def one_upload(id_: str, service: ServiceDep, caller: Reader) -> dict[str, Any]:
    """One upload."""
    return upload_dict(own_upload(service, caller.user, id_))


@router.delete("/{id_}", status_code=204)
def delete_upload(id_: str, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """Delete an upload; what jobs made of it stays until they are deleted."""
    own_upload(service, caller.user, id_)
    with service.uploads.held(id_):
        drop(service, id_)
    service.sweeper.wake()
    audited(request, service, caller, "delete upload", id_)
    return Response(status_code=204)


@router.head("/{id_}/content", include_in_schema=False)
@router.get("/{id_}/content")
def content(
    id_: str, request: Request, service: ServiceDep, caller: Reader, download: bool = False
) -> Response:
    """The song as it was sent, by ranges."""
    row = own_upload(service, caller.user, id_)
    if row.state != READY or row.blob is None or row.bytes is None:
        raise Problem("state", f"{row.name} is {row.state}, not ready")
    found = Content(row.blob, row.bytes, row.name, _media_type(row))
    return content_response(request, service, found, download)


@router.get("/{id_}/peaks")
def peaks(
    id_: str, service: ServiceDep, caller: Reader, points: int = Query(default=800, ge=1, le=4096)
) -> dict[str, Any]:
    """The waveform of a song: the lowest and highest sample of each of `points` equal stretches."""
    own_upload(service, caller.user, id_)
    with service.database.reading() as session:
        row = session.get_one(Upload, id_)
        return waveform(row.peaks, row.audio, points)


_MEDIA_TYPES = {
    "WAV": "audio/wav",
    "FLAC": "audio/flac",
    "MP3": "audio/mpeg",
    "OGG": "audio/ogg",
    "AIFF": "audio/aiff",
}


def _media_type(row: Upload) -> str:
    return _MEDIA_TYPES.get((row.audio or {}).get("container", ""), "application/octet-stream")
