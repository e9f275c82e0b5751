"""Jobs: asked for, listed, cancelled, deleted."""

from __future__ import annotations

import threading
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from mixagent.service.api.paging import Page, page_of
from mixagent.service.api.schemas import PROBLEMS, NewJob
from mixagent.service.api.security import Reader, ServiceDep, Writer, audited
from mixagent.service.jobs.options import given
from mixagent.service.jobs.queue import places
from mixagent.service.jobs.submit import Asked
from mixagent.service.jobs.view import job_dict
from mixagent.service.problems import Problem
from mixagent.service.service import Service
from mixagent.service.store.release import delete_job
from mixagent.service.store.tables import FINAL, QUEUED, RUNNING, Job
from mixagent.service.webhooks import check_url

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)

_SWEEP_AFTER_S = 2.0


@router.post("", status_code=201)
def submit(
    body: Annotated[NewJob, Body()],
    request: Request,
    response: Response,
    service: ServiceDep,
    caller: Writer,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> dict[str, Any]:
    """Queue a job. The same `Idempotency-Key` and body give the same job again, for a day."""
    webhook = None if body.webhook is None else body.webhook.model_dump()
    if webhook is not None:
        check_url(webhook["url"], service.settings.private_webhooks)
    sources = [source if isinstance(source, str) else source.model_dump() for source in body.uploads]
    asked = Asked(body.kind, sources, given(body.options), webhook, service.traces.current())
    id_, new = service.submitter.submit(caller.user, asked, idempotency_key)
    response.status_code = 201 if new else 200
    if new:
        _made(request, service, caller.user, body.kind, id_)
        audited(request, service, caller, "job", id_)
    return _shown(service, caller.user, id_)


def _made(request: Request, service: Service, user: str, kind: str, id_: str) -> None:
    service.metrics.submitted.labels(kind).inc()
    service.learner.wake()
    with service.database.reading() as session:
        row = _own(session, user, id_)
        if row.cached:
            service.metrics.cache_hits.labels(kind).inc()
        elif row.state == QUEUED:
            service.engine.offer(id_, row.quick)


def _own(session: Session, user: str, id_: str) -> Job:
    row = session.scalars(select(Job).where(Job.id == id_)).first()
    if row is None or row.user != user or row.delete_asked:
        raise Problem("missing", f"there is no job {id_}")
    return row


def own_job(service: Service, user: str, id_: str) -> Job:
    """A job of a user, with its files.

    Raises:
        Problem: there is none, or it is another's.
    """
    with service.database.reading() as session:
        row = _own(session, user, id_)
        # Read while the session is open.
        _ = row.files
        return row


def _shown(service: Service, user: str, id_: str) -> dict[str, Any]:
    with service.database.reading() as session:
        row = _own(session, user, id_)
        place = service.queue.place(session, row) if row.state == QUEUED else None
        left_s = service.queue.left_s(row, place) if row.state in (QUEUED, RUNNING) else None
        return job_dict(row, place, left_s)


@router.get("")
def jobs(service: ServiceDep, caller: Reader, page: Page) -> dict[str, Any]:
    """One's jobs, the newest first; `search` looks in names and goals."""
    wanted = (
        select(Job)
        .where(Job.user == caller.user, Job.delete_asked.is_(False))
        .options(selectinload(Job.files))
    )
    for word in (page.search or "").lower().split():
        wanted = wanted.where(Job.search.contains(word, autoescape=True))
    if page.kind:
        wanted = wanted.where(Job.kind == page.kind)
    if page.state:
        wanted = wanted.where(Job.state == page.state)
    with service.database.reading() as session:
        rows, following = page_of(session, wanted, page, Job.created_at, Job.id)
        waiting = places(session, [row for row in rows if row.state == QUEUED])
        shown = [
            job_dict(row, waiting.get(row.id), service.queue.left_s(row, waiting.get(row.id)))
            if row.state in (QUEUED, RUNNING)
            else job_dict(row)
            for row in rows
        ]
    return {"jobs": shown, "next": following}


@router.get("/{id_}")
def one_job(id_: str, service: ServiceDep, caller: Reader) -> dict[str, Any]:
    """One job."""
    return _shown(service, caller.user, id_)


@router.post("/{id_}/cancel")
def cancel(id_: str, request: Request, service: ServiceDep, caller: Writer) -> dict[str, Any]:
    """Stop a job that waits or runs."""
    with service.database.writing() as session:
        row = _own(session, caller.user, id_)
        service.queue.cancel(session, row)
    service.engine.cancel(id_)
    audited(request, service, caller, "cancel", id_)
    return _shown(service, caller.user, id_)


@router.delete("/{id_}", status_code=204)
def delete(id_: str, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """Delete a job with its files; one that runs is stopped first."""
    with service.database.writing() as session:
        row = _own(session, caller.user, id_)
        if row.state not in FINAL:
            service.queue.cancel(session, row)
        if row.state in FINAL:
            delete_job(session, service.blobs, row)
            after_s = 0.0
        else:
            row.delete_asked = True
            after_s = service.settings.worker.cancel_s + _SWEEP_AFTER_S
    audited(request, service, caller, "delete job", id_)
    if after_s:
        timer = threading.Timer(after_s, service.sweeper.wake)
        timer.daemon = True
        timer.start()
    else:
        service.sweeper.wake()
    return Response(status_code=204)
