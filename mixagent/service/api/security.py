"""What every request goes through: where it came from, who asks, and the headers of every answer."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixagent.service.access import ADMIN, LOCAL_USER, READ, WRITE, Caller
from mixagent.service.logs import REQUEST
from mixagent.service.naming import is_id
from mixagent.service.problems import MEDIA_TYPE, Problem
from mixagent.service.service import Service
from mixagent.service.settings import is_loopback
from mixagent.service.tracing import RequestSpan

LOG = logging.getLogger(__name__)

COOKIE = "mixagent_session"

MOST_JSON_BYTES = 1_000_000
"""Size of a body that is no upload."""

_STALLED_S = 60.0
"""A body of which nothing comes for so long is given up; what came of a tus upload is kept."""

_UPLOADS = ("/v1/uploads", "/v1/tus")
_SAFE = ("GET", "HEAD", "OPTIONS")

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'"
)
"""Scripts and styles from here alone, and none inline."""

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


def service_of(request: Request) -> Service:
    """The service that a request is made to."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(service_of)]


def _caller(request: Request, service: Service) -> Caller:
    if not service.settings.accounts:
        return Caller(LOCAL_USER, (ADMIN,))
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and key:
        return service.keys.caller(key.strip())
    caller = service.sessions.caller(request.cookies.get(cookie_name(request, service), ""))
    # A browser sends a cookie whoever made it ask; what says who did is `Guard`'s to judge.
    if request.method not in _SAFE and not {"origin", "sec-fetch-site"} & {*request.headers.keys()}:
        raise Problem("origin", "a request with a cookie says which site it came from: send Origin")
    return caller


def cookie_name(request: Request, service: Service) -> str:
    """The name of the session's cookie; over https no other host of the domain can set one of that name."""
    return f"__Host-{COOKIE}" if is_secure(request, service) else COOKIE


def is_secure(request: Request, service: Service) -> bool:
    """True if the browser came by https."""
    return request.url.scheme == "https" or (service.settings.origin or "").startswith("https:")


def who_may(scope: str) -> Callable[[Request], Caller]:
    """A dependency: who asks, if something of a scope is theirs to do."""

    def caller(request: Request) -> Caller:
        service = service_of(request)
        found = _caller(request, service)
        service.rates.check(found.user)
        if not found.may(scope):
            raise Problem("scope", f"this needs a key of scope {scope}")
        return found

    return caller


Reader = Annotated[Caller, Depends(who_may(READ))]
Writer = Annotated[Caller, Depends(who_may(WRITE))]
Admin = Annotated[Caller, Depends(who_may(ADMIN))]


def audited(request: Request, service: Service, caller: Caller, what: str, about: str) -> None:
    """Put an action down in the audit log."""
    service.audit.put(caller, what, about, address_of(request))


def address_of(request: Request) -> str:
    """The address a request came from; where a proxy stands before the service, as the proxy says."""
    peer = "" if request.client is None else request.client.host
    if service_of(request).settings.origin is None:
        return peer
    # What comes before the last one is what the client says of itself.
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(told))
    except ValueError:
        return peer


def problem_response(problem: Problem) -> JSONResponse:
    """A problem as an answer."""
    return JSONResponse(problem.to_dict(), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


class Guard:
    """Refuses what other sites send, bounds bodies, sets headers, counts and logs."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        token = REQUEST.set(request_id)
        try:
            headers = Headers(scope=scope)
            with self._service.traces.request(scope["method"], headers, request_id) as span:
                await self._answer(scope, receive, send, span)
        finally:
            REQUEST.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, span: RequestSpan) -> None:
        begun = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = REQUEST.get() or ""
                self._observe(scope, status, time.perf_counter() - begun, span)
                if headers.get("Content-Type", "").startswith("text/event-stream"):
                    span.end()
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, _bounded(scope, receive), sending)
        except Problem as problem:
            if status:
                raise
            await problem_response(problem)(scope, receive, sending)

    def _observe(self, scope: Scope, status: int, seconds: float, span: RequestSpan) -> None:
        route = getattr(scope.get("route"), "path", "other")
        about = _about(scope)
        named = {f"mixagent.{kind}": id_ for kind, id_ in about.items()}
        span.answered(f"{scope['method']} {route}", status, named)
        metrics = self._service.metrics
        metrics.requests.labels(scope["method"], route, status).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        if status >= 400:
            words = {"method": scope["method"], "route": route, "status": status}
            LOG.info("refused", extra={**words, **about, "seconds": round(seconds, 3)})

    def _check(self, scope: Scope) -> None:
        """Whether the request came from here, or brings a key that no other site has.

        Raises:
            Problem: it did not.
        """
        headers = Headers(scope=scope)
        size = headers.get("Content-Length", "0")
        if not scope["path"].startswith(_UPLOADS) and (
            not size.isdigit() or int(size[:18]) > MOST_JSON_BYTES
        ):
            raise Problem("too_large", f"a body has at most {MOST_JSON_BYTES} bytes")
        settings = self._service.settings
        host = headers.get("Host", "")
        name = urlsplit(f"//{host}").hostname or ""
        # A site whose name leads to this machine would else be taken for the page.
        if not settings.accounts and not (is_loopback(name) or name == settings.host):
            raise Problem("origin", f"this service is not called {name or 'like that'}")
        if scope["method"] in _SAFE or "Authorization" in headers:
            return
        own = settings.origin or f"{scope['scheme']}://{host}"
        origin = headers.get("Origin")
        foreign = origin is not None and origin != own
        if foreign or headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise Problem("origin", "the request came from another site")


def _about(scope: Scope) -> dict[str, str]:
    """The job or upload that a request was about, where it names one that can be."""
    id_ = scope.get("path_params", {}).get("id_", "")
    return {kind: id_ for kind, prefix in (("job", "job"), ("upload", "upl")) if is_id(id_, prefix)}


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """The body, no longer than it may be; a sender who stalls in the midst of it counts as gone."""
    most = None if scope["path"].startswith(_UPLOADS) else MOST_JSON_BYTES
    taken, more = 0, True

    async def receiving() -> Message:
        nonlocal taken, more
        try:
            message = await asyncio.wait_for(receive(), _STALLED_S if more else None)
        except TimeoutError:
            return {"type": "http.disconnect"}
        more = message.get("more_body", False)
        taken += len(message.get("body", b""))
        if most is not None and taken > most:
            raise Problem("too_large", f"the body has more than {most} bytes")
        return message

    return receiving
