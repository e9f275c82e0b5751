"""What jobs made: files, waveforms, reports, and links to them for others."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select

from mixagent.service.api.bytes import Content, content_response
from mixagent.service.api.jobs import own_job
from mixagent.service.api.schemas import PROBLEMS, NewLink
from mixagent.service.api.security import Reader, ServiceDep, Writer, audited
from mixagent.service.api.waveforms import waveform
from mixagent.service.jobs.view import time_text
from mixagent.service.problems import Problem
from mixagent.service.service import Service
from mixagent.service.store.tables import DONE, EXPERIENCE, Job, JobFile

router = APIRouter(prefix="/v1", tags=["results"], responses=PROBLEMS)

LINK = "link"
"""Purpose of a signed link's token."""

_SCRIPT = re.compile(rb"<script(?:\s[^>]*)?>(.*?)</script>", re.DOTALL)


def _file(service: Service, user: str, id_: str, name: str) -> JobFile:
    for row in own_job(service, user, id_).files:
        if row.name == name and row.role != EXPERIENCE:
            return row
    raise Problem("missing", f"the job has no file {name}")


def _of_role(row: Job, role: str) -> JobFile:
    for file in row.files:
        if file.role == role:
            return file
    if row.state != DONE:
        raise Problem("state", f"the job is {row.state}: it has a {role} when it is done")
    raise Problem("missing", f"a job of this kind has no {role}")


def _content(row: JobFile) -> Content:
    return Content(row.blob, row.bytes, row.name, row.media_type)


@router.get("/jobs/{id_}/files/{name}/peaks")
def peaks(
    id_: str, name: str, service: ServiceDep, caller: Reader, points: int = Query(default=800, ge=1, le=4096)
) -> dict[str, Any]:
    """The waveform of a result."""
    found = _file(service, caller.user, id_, name)
    with service.database.reading() as session:
        row = session.get(JobFile, found.id)
        return waveform(None if row is None else row.peaks, found.audio, points)


@router.head("/jobs/{id_}/files/{name}", include_in_schema=False)
@router.get("/jobs/{id_}/files/{name}")
def file(
    id_: str, name: str, request: Request, service: ServiceDep, caller: Reader, download: bool = False
) -> Response:
    """A result, by ranges."""
    found = _file(service, caller.user, id_, name)
    if download and found.role == "master" and service.ratings.taken(caller.user, id_) is not None:
        service.learner.wake()
    return content_response(request, service, _content(found), download)


@router.get("/jobs/{id_}/report")
def report(id_: str, request: Request, service: ServiceDep, caller: Reader) -> Response:
    """The report as JSON."""
    found = _of_role(own_job(service, caller.user, id_), "report")
    return content_response(request, service, _content(found), False)


@router.get("/jobs/{id_}/page")
async def page(id_: str, service: ServiceDep, caller: Reader) -> Response:
    """The report as a page to listen in."""
    row = await run_in_threadpool(own_job, service, caller.user, id_)
    return await _page_response(service, _of_role(row, "page"))


async def _page_response(service: Service, row: JobFile) -> Response:
    """A report's page, in which no script runs but its own, away from everything else of the service."""
    data = b"".join([piece async for piece in service.blobs.read(row.blob, 0, row.bytes)])
    scripts = " ".join(sorted({_source(script) for script in _SCRIPT.findall(data)}))
    policy = (
        f"sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; script-src {scripts}; "
        "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; connect-src data: blob:; "
        "frame-ancestors 'self'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "SAMEORIGIN",
        "Cache-Control": "private, max-age=3600",
        "ETag": f'"{row.blob}"',
    }
    return Response(data, headers=headers, media_type="text/html; charset=utf-8")


def _source(script: bytes) -> str:
    # A browser reads line ends as it reads HTML.
    text = script.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


@router.post("/jobs/{id_}/links", status_code=201)
def link(id_: str, body: NewLink, request: Request, service: ServiceDep, caller: Writer) -> dict[str, Any]:
    """A link for whoever has it, to a file or to the page; it ends with its time, or with the job."""
    row = own_job(service, caller.user, id_)
    found = _of_role(row, "page") if body.file is None else _file(service, caller.user, id_, body.file)
    words = {"job": id_, "file": found.name, "page": body.file is None}
    token = service.signer.sign(LINK, words, body.expires_s)
    # Not the file's name: it is the song's, and goes with it.
    audited(request, service, caller, "link", id_)
    until = service.signer.read(LINK, token)["until"]
    return {"url": f"/v1/links/{token}", "expires_at": time_text(until)}


@router.head("/links/{token}", include_in_schema=False)
@router.get("/links/{token}")
async def linked(token: str, request: Request, service: ServiceDep, download: bool = False) -> Response:
    """What a signed link leads to."""
    words = service.signer.read(LINK, token)
    row = await run_in_threadpool(_linked, service, words["job"], words["file"])
    if words["page"]:
        return await _page_response(service, row)
    return content_response(request, service, _content(row), download)


def _linked(service: Service, job: str, name: str) -> JobFile:
    with service.database.reading() as session:
        wanted = (
            select(JobFile)
            .join(Job, Job.id == JobFile.job)
            .where(Job.id == job, JobFile.name == name, Job.delete_asked.is_(False))
        )
        row = session.scalars(wanted).first()
    if row is None:
        raise Problem("expired", "what this link led to was deleted")
    return row
