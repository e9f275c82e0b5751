"""Keys, users, the audit log, and what machines ask: health and figures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import or_, select
from starlette.responses import JSONResponse

from mixagent.service.api.paging import Page, page_of
from mixagent.service.api.schemas import PROBLEMS, NewKey, NewPassword, NewUser
from mixagent.service.api.security import Admin, ServiceDep, address_of, audited
from mixagent.service.jobs.view import audit_dict, key_dict, user_dict
from mixagent.service.limits import check_room
from mixagent.service.problems import MEDIA_TYPE, Problem
from mixagent.service.service import Service
from mixagent.service.settings import is_loopback
from mixagent.service.store.tables import AuditEntry

LOG = logging.getLogger(__name__)

router = APIRouter(responses=PROBLEMS)


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


@router.post("/v1/users", status_code=201, tags=["access"])
def add_user(body: NewUser, request: Request, service: ServiceDep, caller: Admin) -> dict[str, Any]:
    """A new user; without a password they have keys, or sign in by OpenID."""
    row = service.users.add(body.name, body.password, body.scopes)
    audited(request, service, caller, "add user", row.name)
    return user_dict(row)


@router.get("/v1/users", tags=["access"])
def users(service: ServiceDep, caller: Admin) -> dict[str, Any]:
    """All users."""
    return {"users": [user_dict(row) for row in service.users.all()]}


@router.delete("/v1/users/{name}", status_code=204, tags=["access"])
def remove_user(name: str, request: Request, service: ServiceDep, caller: Admin) -> Response:
    """Let a user in no more, and delete all that is theirs."""
    service.users.remove(name)
    service.sweeper.wake()
    audited(request, service, caller, "remove user", name)
    return Response(status_code=204)


@router.put("/v1/users/{name}/password", status_code=204, tags=["access"])
def set_password(
    name: str, body: NewPassword, request: Request, service: ServiceDep, caller: Admin
) -> Response:
    """Give a user a new password; their sessions end."""
    service.users.set_password(name, body.password)
    audited(request, service, caller, "password", name)
    return Response(status_code=204)


@router.get("/v1/audit", tags=["access"])
def audit(service: ServiceDep, caller: Admin, page: Page) -> dict[str, Any]:
    """Who did what, the newest first."""
    wanted = select(AuditEntry)
    if page.search:
        columns = (AuditEntry.about, AuditEntry.user, AuditEntry.what, AuditEntry.address)
        wanted = wanted.where(or_(*(column.contains(page.search, autoescape=True) for column in columns)))
    with service.database.reading() as session:
        rows, following = page_of(session, wanted, page, AuditEntry.at, AuditEntry.id)
        return {"entries": [audit_dict(row) for row in rows], "next": following}


@router.get("/healthz", tags=["health"])
def healthy() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", tags=["health"])
def ready(service: ServiceDep) -> Response:
    """Jobs can be taken and will be worked on; or what of the service is not ready for it, and why."""
    parts = {name: _why_not(check) for name, check in _checks(service).items()}
    wrong = {name: why for name, why in parts.items() if why is not None}
    said = {"parts": {name: why or "ready" for name, why in parts.items()}}
    if not wrong:
        return JSONResponse({"status": "ready", **said})
    problem = Problem("busy", "; ".join(f"{name}: {why}" for name, why in wrong.items()), retry_after_s=5)
    return JSONResponse(
        {**problem.to_dict(), **said}, problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def _checks(service: Service) -> Mapping[str, Callable[[], None]]:
    def room() -> None:
        check_room(service.settings.data, 0, service.settings.limits)

    def store() -> None:
        service.blobs.has("0" * 64)

    def workers() -> None:
        if not service.engine.alive():
            raise Problem("busy", "no worker is alive")

    return {"database": service.database.check, "disk": room, "store": store, "workers": workers}


def _why_not(check: Callable[[], None]) -> str | None:
    try:
        check()
    except Problem as problem:
        return problem.detail
    except Exception as error:
        LOG.warning("not ready", exc_info=error)
        return f"it does not answer ({type(error).__name__})"
    return None


@router.get("/metrics", tags=["health"])
def metrics(request: Request, service: ServiceDep) -> Response:
    """Figures for Prometheus: for this machine, and for keys of scope admin."""
    # Where a proxy stands before it, everybody comes from this machine.
    if service.settings.origin is not None or not is_loopback(address_of(request)):
        from mixagent.service.api.security import who_may

        who_may("admin")(request)
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
