"""Server-sent events (HTML Living Standard, 9.2) of one job, or of all of one's jobs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from mixagent.service.api.hub import Hub
from mixagent.service.api.jobs import own_job
from mixagent.service.api.schemas import PROBLEMS
from mixagent.service.api.security import Reader, ServiceDep
from mixagent.service.jobs.events import Event
from mixagent.service.problems import Problem

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEMS)

IDLE_S = 15.0
"""After so long without an event comes a comment, so that nobody in between takes the stream for dead."""

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

After = Annotated[int | None, Query(ge=0, le=2**62)]
LastEvent = Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)]


@router.get("/jobs/{id_}/events", response_class=StreamingResponse)
async def of_job(
    id_: str,
    request: Request,
    service: ServiceDep,
    caller: Reader,
    after: After = None,
    last_event_id: LastEvent = None,
) -> StreamingResponse:
    """All events of a job from the first on, or from the one behind `Last-Event-ID`; it ends with the job."""
    await run_in_threadpool(own_job, service, caller.user, id_)
    service.metrics.streams.inc()
    begin = _begin(after, last_event_id) or 0
    return _stream(_lines(_hub(request), caller.user, id_, begin))


@router.get("/events", response_class=StreamingResponse)
async def of_user(
    request: Request,
    service: ServiceDep,
    caller: Reader,
    after: After = None,
    last_event_id: LastEvent = None,
) -> StreamingResponse:
    """Events of all of one's jobs from now on, or from the one behind `Last-Event-ID`."""
    service.metrics.streams.inc()
    return _stream(_lines(_hub(request), caller.user, None, _begin(after, last_event_id)))


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


def _begin(after: int | None, last: str | None) -> int | None:
    if last is None or last == "":
        return after
    if not (last.isascii() and last.isdigit()):
        raise Problem("request", "Last-Event-ID is no id of an event", field="Last-Event-ID")
    return int(last)


def _stream(lines: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(lines, media_type="text/event-stream", headers=_HEADERS)


async def _lines(hub: Hub, user: str, job: str | None, after: int | None) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    async for event in hub.events(user, job, after, IDLE_S):
        if event is None:
            yield ":\n\n"
            continue
        yield _text(event)
        if job is not None and event.kind == "end":
            return


def _text(event: Event) -> str:
    named = f"id: {event.id}\n" if event.id else ""
    return f"{named}event: {event.kind}\ndata: {json.dumps(event.data)}\n\n"
