"""Signing in and out of the page: with a name and a password, with an API key, or by an OpenID provider."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Body, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from mixagent.service.access import Caller
from mixagent.service.accounts.openid import OpenId
from mixagent.service.accounts.sessions import LONGEST_S
from mixagent.service.api.schemas import PROBLEMS, KeyText, NameAndPassword, OldAndNew
from mixagent.service.api.security import (
    Reader,
    ServiceDep,
    address_of,
    audited,
    cookie_name,
    is_secure,
)
from mixagent.service.jobs.view import session_dict
from mixagent.service.problems import Problem
from mixagent.service.service import Service

router = APIRouter(prefix="/v1", tags=["access"], responses=PROBLEMS)

PASSWORD, KEY, OPENID = "password", "key", "openid"
"""Ways to sign in."""

OPENID_COOKIE = "mixagent_openid"
_OPENID_PATH = "/v1/openid"
_OPENID_S = 600.0


@router.get("/session")
def ways(service: ServiceDep) -> dict[str, Any]:
    """The ways to sign in here; they are told to everybody."""
    openid = service.settings.openid
    return {
        "accounts": service.settings.accounts,
        "ways": [*([PASSWORD] if service.users.any_with_password() else []), KEY],
        "openid": None if openid is None else {"label": openid.label, "url": _OPENID_PATH},
    }


@router.post("/session", status_code=204)
async def open_session(
    body: Annotated[NameAndPassword | KeyText, Body()], request: Request, service: ServiceDep
) -> Response:
    """A cookie for the page in exchange for a name and a password, or for an API key."""
    service.rates.check(f"session {address_of(request)}")
    way = KEY if isinstance(body, KeyText) else PASSWORD
    try:
        if isinstance(body, KeyText):
            caller = await run_in_threadpool(service.keys.caller, body.key)
        else:
            # A hash takes 64 MB: those who wait for theirs hold no thread that others need.
            caller = await to_thread.run_sync(
                service.users.sign_in,
                body.name,
                body.password,
                address_of(request),
                limiter=request.app.state.sign_ins,
            )
    except Problem as problem:
        await run_in_threadpool(_not_signed_in, request, service, body, problem)
        raise
    response = Response(status_code=204)
    await run_in_threadpool(signed_in, request, response, service, caller, way)
    return response


def _not_signed_in(
    request: Request, service: Service, body: NameAndPassword | KeyText, problem: Problem
) -> None:
    name = body.name if isinstance(body, NameAndPassword) else ""
    # What is nobody's name may be a password that was typed into the wrong field.
    known = name if any(row.name == name for row in service.users.all()) else ""
    audited(request, service, Caller(known, ()), "sign in failed", problem.code)


def signed_in(request: Request, response: Response, service: Service, caller: Caller, way: str) -> None:
    """Open a session, and give its cookie with an answer."""
    token = service.sessions.open(caller, way, address_of(request))
    response.set_cookie(
        cookie_name(request, service),
        token,
        max_age=round(LONGEST_S),
        httponly=True,
        samesite="strict",
        secure=is_secure(request, service),
        path="/",
    )
    audited(request, service, caller, "sign in", way)


@router.delete("/session", status_code=204)
def close_session(request: Request, service: ServiceDep, caller: Reader) -> Response:
    """Sign out."""
    service.sessions.close(caller)
    audited(request, service, caller, "sign out", "")
    return _without_cookie(request, service)


@router.get("/sessions")
def sessions(service: ServiceDep, caller: Reader) -> dict[str, Any]:
    """One's sessions, the newest first."""
    rows = service.sessions.all(caller.user)
    return {"sessions": [session_dict(row, row.hash == caller.session) for row in rows]}


@router.delete("/sessions", status_code=204)
def close_sessions(request: Request, service: ServiceDep, caller: Reader) -> Response:
    """Sign out everywhere."""
    count = service.sessions.close_all(caller.user)
    audited(request, service, caller, "sign out everywhere", str(count))
    return _without_cookie(request, service)


@router.put("/password", status_code=204)
async def change_password(body: OldAndNew, request: Request, service: ServiceDep, caller: Reader) -> Response:
    """Change one's password; all other sessions end."""

    def change() -> None:
        service.users.sign_in(caller.user, body.old, address_of(request))
        service.users.set_password(caller.user, body.new, caller.session)
        audited(request, service, caller, "password", caller.user)

    await to_thread.run_sync(change, limiter=request.app.state.sign_ins)
    return Response(status_code=204)


@router.get("/openid", status_code=303, include_in_schema=False)
def to_provider(request: Request, service: ServiceDep) -> Response:
    """To the OpenID provider, and from there to `/v1/openid/answer`."""
    openid = _openid(service)
    service.rates.check(f"session {address_of(request)}")
    begun = openid.begin(_answer_place(request, service))
    response = RedirectResponse(begun.url, 303)
    response.set_cookie(
        OPENID_COOKIE,
        service.signer.sign(OPENID, begun.words, _OPENID_S),
        max_age=round(_OPENID_S),
        httponly=True,
        # The provider sends the browser here from its own site: a strict cookie would stay behind.
        samesite="lax",
        secure=is_secure(request, service),
        path=_OPENID_PATH,
    )
    return response


@router.get("/openid/answer", status_code=303, include_in_schema=False)
def from_provider(request: Request, service: ServiceDep) -> Response:
    """Back from the provider, to the page: signed in, or with the code of what went wrong."""
    openid = _openid(service)
    service.rates.check(f"session {address_of(request)}")
    response = RedirectResponse("/", 303)
    try:
        words = service.signer.read(OPENID, request.cookies.get(OPENID_COOKIE, ""))
        caller = openid.end(words, dict(request.query_params), _answer_place(request, service))
        signed_in(request, response, service, caller, OPENID)
    except Problem as problem:
        audited(request, service, Caller("", ()), "sign in failed", f"{OPENID} {problem.code}")
        response = RedirectResponse(f"/#/sign-in/{problem.code}", 303)
    response.delete_cookie(OPENID_COOKIE, path=_OPENID_PATH)
    return response


def _openid(service: Service) -> OpenId:
    if service.openid is None:
        raise Problem("missing", "no OpenID provider was set up")
    return service.openid


def _answer_place(request: Request, service: Service) -> str:
    origin = service.settings.origin or f"{request.url.scheme}://{request.url.netloc}"
    return f"{origin}{_OPENID_PATH}/answer"


def _without_cookie(request: Request, service: Service) -> Response:
    response = Response(status_code=204)
    response.delete_cookie(
        cookie_name(request, service),
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_secure(request, service),
    )
    return response
