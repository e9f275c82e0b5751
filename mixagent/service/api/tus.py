"""Resumable uploads by tus 1.0.0: core, creation, creation-with-upload, checksum, termination, expiration.

Source: https://tus.io/protocols/resumable-upload, version 1.0.0.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from email.utils import formatdate

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from mixagent.service.api.security import Reader, ServiceDep, Writer, audited
from mixagent.service.api.uploads import check, drop, own_upload, write_body
from mixagent.service.problems import Problem
from mixagent.service.service import Service
from mixagent.service.store.database import now
from mixagent.service.store.tables import CHECKING, RECEIVING, Upload

router = APIRouter(prefix="/v1/tus", tags=["uploads"])

VERSION = "1.0.0"
_BODY = "application/offset+octet-stream"
_ALGORITHMS = ("sha256", "sha1", "md5")
_MOST_METADATA = 4096


def _headers(**more: str) -> dict[str, str]:
    return {"Tus-Resumable": VERSION, **{name.replace("_", "-"): value for name, value in more.items()}}


def _check_version(request: Request) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise Problem("version", f"send Tus-Resumable: {VERSION}", headers={"Tus-Version": VERSION})


@router.options("")
@router.options("/{id_}")
def what_is_there(service: ServiceDep, id_: str = "") -> Response:
    """What of tus there is."""
    return Response(
        status_code=204,
        headers=_headers(
            Tus_Version=VERSION,
            Tus_Extension="creation,creation-with-upload,checksum,termination,expiration",
            Tus_Max_Size=str(service.settings.limits.upload_bytes),
            Tus_Checksum_Algorithm=",".join(_ALGORITHMS),
        ),
    )


@router.post("", status_code=201)
async def create(request: Request, service: ServiceDep, caller: Writer) -> Response:
    """An upload of `Upload-Length` bytes; the body may have the first of them."""
    _check_version(request)
    if "Upload-Defer-Length" in request.headers:
        raise Problem("request", "give the Upload-Length: it cannot come later", field="Upload-Length")
    size = _number(request, "Upload-Length")
    name = _metadata(request.headers.get("Upload-Metadata", "")).get("filename", "song")
    row = await run_in_threadpool(service.uploads.begin, caller.user, name, size)
    await run_in_threadpool(audited, request, service, caller, "upload", row.id)
    offset = 0
    if request.headers.get("Content-Type") == _BODY:
        offset = await _append(request, service, row)
    else:
        await _settle(request, service, row.id)
    location = f"/v1/tus/{row.id}"
    return Response(
        status_code=201,
        headers=_headers(Location=location, Upload_Offset=str(offset), Upload_Expires=_expires(row)),
    )


@router.head("/{id_}")
async def offset_of(id_: str, request: Request, service: ServiceDep, caller: Reader) -> Response:
    """How many bytes are here."""
    _check_version(request)
    row = await run_in_threadpool(_unfinished, service, caller.user, id_)
    there = service.uploads.file(id_).stat().st_size if row.state == RECEIVING else row.bytes
    if row.state == RECEIVING and there == row.bytes:
        # All bytes came and it was not put down: who sent them was cut off, and will not send again.
        with service.uploads.held(id_):
            await _settle(request, service, id_)
    headers = _headers(Upload_Offset=str(there), Upload_Length=str(row.bytes), Upload_Expires=_expires(row))
    return Response(headers={**headers, "Cache-Control": "no-store"})


@router.patch("/{id_}", status_code=204)
async def append(id_: str, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """The bytes from `Upload-Offset` on."""
    _check_version(request)
    if request.headers.get("Content-Type") != _BODY:
        raise Problem("type", f"send Content-Type: {_BODY}", field="Content-Type")
    row = await run_in_threadpool(_unfinished, service, caller.user, id_)
    offset = await _append(request, service, row)
    return Response(
        status_code=204, headers=_headers(Upload_Offset=str(offset), Upload_Expires=_expires(row))
    )


@router.delete("/{id_}", status_code=204)
def terminate(id_: str, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """Give up an upload."""
    _check_version(request)
    own_upload(service, caller.user, id_)
    with service.uploads.held(id_):
        drop(service, id_)
    audited(request, service, caller, "delete upload", id_)
    return Response(status_code=204, headers=_headers())


async def _append(request: Request, service: Service, row: Upload) -> int:
    """Write a body behind the bytes that are here; how many are here then."""
    begun = _number(request, "Upload-Offset") if request.method == "PATCH" else 0
    sums = _Checksum.of(request.headers.get("Upload-Checksum"))
    file, size = service.uploads.file(row.id), row.bytes or 0
    with service.uploads.held(row.id):
        there = file.stat().st_size if file.exists() else size
        if begun != there:
            raise Problem(
                "state",
                f"{there} bytes are here: go on from there",
                headers=_headers(Upload_Offset=str(there)),
            )
        try:
            await write_body(sums.seen(request.stream()), service, row.id, size - there)
        except ClientDisconnect:
            # What arrived is kept, unless nothing says that it is whole.
            if sums.asked:
                _cut(service, row.id, there)
            await run_in_threadpool(service.uploads.received, row.id)
            raise
        except Problem:
            _cut(service, row.id, there)
            raise
        if not sums.right:
            _cut(service, row.id, there)
            raise Problem("checksum", "the bytes are not those of the checksum: send them again")
        now_there = file.stat().st_size
        await _settle(request, service, row.id)
    return now_there


async def _settle(request: Request, service: Service, id_: str) -> None:
    """Put down what is here, and check it where that is all."""
    row = await run_in_threadpool(service.uploads.received, id_)
    if row.state == CHECKING:
        await check(request, service, id_)


def _cut(service: Service, id_: str, size: int) -> None:
    with service.uploads.file(id_).open("r+b") as opened:
        opened.truncate(size)


class _Checksum:
    """The checksum of a body, taken as it comes by."""

    def __init__(self, algorithm: str | None, wanted: bytes) -> None:
        self.asked = algorithm is not None
        self._wanted = wanted
        self._sum = hashlib.new(algorithm or "md5", usedforsecurity=False)

    @classmethod
    def of(cls, header: str | None) -> _Checksum:
        """As `Upload-Checksum` has it."""
        if header is None:
            return cls(None, b"")
        algorithm, _, coded = header.strip().partition(" ")
        if algorithm not in _ALGORITHMS:
            raise Problem(
                "request", f"a checksum is one of {', '.join(_ALGORITHMS)}", field="Upload-Checksum"
            )
        return cls(algorithm, _decoded(coded, "Upload-Checksum"))

    async def seen(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same pieces."""
        async for piece in pieces:
            if self.asked:
                self._sum.update(piece)
            yield piece

    @property
    def right(self) -> bool:
        """Whether the body was the one that was meant."""
        return not self.asked or self._sum.digest() == self._wanted


def _unfinished(service: Service, user: str, id_: str) -> Upload:
    """An upload of a user that may go on.

    Raises:
        Problem: there is none, or its time is over.
    """
    row = own_upload(service, user, id_)
    if row.state == RECEIVING and not service.uploads.is_here(row):
        raise Problem("state", "its bytes are with another server of this service: send the rest there")
    if row.state == RECEIVING and row.expires_at < now():
        raise Problem("expired", "the upload's time is over: begin anew")
    return row


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem("request", f"{header} is a whole number of bytes", field=header)
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """`Upload-Metadata`: names, each with a value in base64."""
    if len(header) > _MOST_METADATA:
        raise Problem("request", "that is too much metadata", field="Upload-Metadata")
    found = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        name, _, coded = pair.partition(" ")
        found[name] = _decoded(coded.strip(), "Upload-Metadata").decode("utf-8", "replace")
    return found


def _decoded(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Problem("request", f"{field} is not in base64", field=field) from None


def _expires(row: Upload) -> str:
    return formatdate(row.expires_at, usegmt=True)
