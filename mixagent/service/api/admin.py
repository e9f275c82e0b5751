"""Keys, sessions, the audit log, and what machines ask: health and figures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from mixagent.service.access import SESSION_S
from mixagent.service.api.paging import Page, page_of
from mixagent.service.api.schemas import PROBLEMS, KeyText, NewKey
from mixagent.service.api.security import COOKIE, SESSION, Admin, ServiceDep, address_of, audited
from mixagent.service.jobs.view import audit_dict, key_dict
from mixagent.service.limits import check_room
from mixagent.service.problems import Problem
from mixagent.service.settings import is_loopback
from mixagent.service.store.tables import AuditEntry

router = APIRouter(responses=PROBLEMS)


@router.post("/v1/session", status_code=204, tags=["access"])
def open_session(body: KeyText, request: Request, service: ServiceDep) -> Response:
    """A cookie for the page in exchange for an API key."""
    service.rates.check(f"session {address_of(request)}")
    caller = service.keys.caller(body.key)
    token = service.signer.sign(SESSION, {"key": caller.key}, SESSION_S)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        token,
        max_age=round(SESSION_S),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https" or (service.settings.origin or "").startswith("https"),
        path="/",
    )
    audited(request, service, caller, "session", caller.key or "")
    return response


@router.delete("/v1/session", status_code=204, tags=["access"])
def close_session() -> Response:
    """Forget the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


@router.post("/v1/keys", status_code=201, tags=["access"])
def create_key(body: NewKey, request: Request, service: ServiceDep, caller: Admin) -> dict[str, Any]:
    """A new API key, which is shown this once."""
    key, row = service.keys.create(body.user, body.label, body.scopes)
    audited(request, service, caller, "create key", row.id)
    return {**key_dict(row), "key": key}


@router.get("/v1/keys", tags=["access"])
def keys(service: ServiceDep, caller: Admin) -> dict[str, Any]:
    """All keys, but not what they are."""
    return {"keys": [key_dict(row) for row in service.keys.all()]}


@router.delete("/v1/keys/{id_}", status_code=204, tags=["access"])
def revoke_key(id_: str, request: Request, service: ServiceDep, caller: Admin) -> Response:
    """Make a key worth nothing."""
    service.keys.revoke(id_)
    audited(request, service, caller, "revoke key", id_)
    return Response(status_code=204)


@router.get("/v1/audit", tags=["access"])
def audit(service: ServiceDep, caller: Admin, page: Page) -> dict[str, Any]:
    """Who did what, the newest first."""
    wanted = select(AuditEntry)
    if page.search:
        wanted = wanted.where(AuditEntry.about.contains(page.search, autoescape=True))
    with service.database.reading() as session:
        rows, following = page_of(session, wanted, page, AuditEntry.at, AuditEntry.id)
        return {"entries": [audit_dict(row) for row in rows], "next": following}


@router.get("/healthz", tags=["health"])
def healthy() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", tags=["health"])
def ready(service: ServiceDep) -> dict[str, str]:
    """Jobs can be taken and will be worked on."""
    service.database.check()
    check_room(service.settings.data, 0, service.settings.limits)
    if not service.engine.alive():
        raise Problem("busy", "no worker is alive", retry_after_s=5)
    return {"status": "ready"}


@router.get("/metrics", tags=["health"])
def metrics(request: Request, service: ServiceDep) -> Response:
    """Figures for Prometheus: for this machine, and for keys of scope admin."""
    if not is_loopback(address_of(request)):
        from mixagent.service.api.security import who_may

        who_may("admin")(request)
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
