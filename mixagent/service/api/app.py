"""The application: routes, errors as problems, the page's files."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from mixagent import __version__, web
from mixagent.service.api import admin, events, files, info, jobs, ratings, sessions, tus, uploads
from mixagent.service.api.hub import Hub
from mixagent.service.api.security import Guard, problem_response
from mixagent.service.jobs.kinds import KINDS
from mixagent.service.problems import Problem
from mixagent.service.service import Service
from mixagent.service.worker.check import CHECKS

LOG = logging.getLogger(__name__)

ROUTERS = (
    *(info.router, uploads.router, tus.router, jobs.router, files.router, ratings.router, events.router),
    sessions.router,
    admin.router,
)

_SIGN_INS = 2
"""Passwords that are held against their hashes at a time."""

_CLIENT_LEFT = 499
_STATUS_CODES = {404: "missing", 405: "method", 401: "key", 403: "scope"}


def create_app(service: Service) -> FastAPI:
    """The application of a service, which starts and stops with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        await app.state.hub.start()
        yield
        await app.state.hub.stop()
        service.stop()

    app = FastAPI(
        title="mixagent",
        version=__version__,
        summary="Mastering, stems and repair of songs.",
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        # Its pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service, app.state.hub = service, Hub(service)
    app.state.checks, app.state.sign_ins = CapacityLimiter(CHECKS), CapacityLimiter(_SIGN_INS)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(OSError, _system)
    app.add_exception_handler(Exception, _fault)
    _serve_page(app)
    app.add_middleware(Guard, service=service)
    return app


def _serve_page(app: FastAPI) -> None:
    app.add_api_route("/", _page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route(
        f"/{web.ASSETS}/{{path:path}}", _page_asset, methods=["GET", "HEAD"], include_in_schema=False
    )


def _page(request: Request) -> Response:
    return _sent(request, web.index(), web.SECURITY_HEADERS)


def _page_asset(path: str, request: Request) -> Response:
    found = web.asset(path)
    if found is None:
        raise Problem("missing", f"the page has no file {path}")
    return _sent(request, found, {})


def _sent(request: Request, asset: web.Asset, more: Mapping[str, str]) -> Response:
    headers = {"Cache-Control": asset.cache_control, "ETag": asset.etag, **more}
    if request.headers.get("If-None-Match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


def _invalid(_request: Request, error: Exception) -> Response:
    """What pydantic found, the first of it, in a sentence."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()[0]
    place, kind = _place(found["loc"]), found["type"]
    if kind == "json_invalid":
        return problem_response(Problem("request", "the body is no JSON"))
    if kind == "extra_forbidden":
        return problem_response(Problem("usage", f"no option is called {place}", field=place))
    code = "usage" if found["loc"][0] == "body" else "request"
    words = f"{place}: {found['msg']}" if place else str(found["msg"])
    return problem_response(Problem(code, words[:500], field=place or None))


def _place(location: Sequence[int | str]) -> str:
    """The name of a field as its sender knows it: without the body, the kind, and the types tried."""
    names = [str(part) for part in location[1:]]
    if location[0] == "body" and names and names[0] in KINDS:
        names = names[1:]
    if names[:1] == ["options"]:
        names = names[1:]
    return ".".join(name for name in names if not name.startswith(("function-", "list[", "literal[", "str")))


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _STATUS_CODES.get(error.status_code, "request")
    return problem_response(Problem(code, str(error.detail), headers=error.headers))


def _left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=_CLIENT_LEFT)


def _system(request: Request, error: Exception) -> Response:
    """The system's errors: of a disk that is full its user is told."""
    assert isinstance(error, OSError)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return problem_response(Problem("disk", "the service's disk is full", retry_after_s=60))
    return _fault(request, error)


def _fault(request: Request, error: Exception) -> Response:
    LOG.error("a fault", exc_info=error, extra={"path": request.url.path})
    return problem_response(Problem("fault", "a fault of the service itself, of which it keeps a log"))
