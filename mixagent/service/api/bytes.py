"""Blobs as answers: by ranges, with an ETag that is the content's hash (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from mixagent.service.naming import disposition
from mixagent.service.problems import Problem
from mixagent.service.service import Service

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_SIGNED_S = 900.0
"""How long a download may be begun at the store's own address."""

_POLICY = "default-src 'none'; sandbox"
"""A file that a browser shows runs nothing."""


@dataclass(frozen=True)
class Content:
    """A blob with what a browser is told of it."""

    sha256: str
    bytes: int
    name: str
    media_type: str


def content_response(request: Request, service: Service, content: Content, attachment: bool) -> Response:
    """All of a blob, the range of it that was asked for, or the news that it has not changed.

    Raises:
        Problem: the range lies behind its end.
    """
    tag = f'"{content.sha256}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": disposition(content.name, attachment),
        "Content-Security-Policy": _POLICY,
    }
    if _matches(request.headers.get("If-None-Match"), tag):
        return Response(status_code=304, headers=headers)
    part = _part(request.headers, tag, content.bytes)
    start, stop = part or (0, content.bytes)
    headers["Content-Length"] = str(stop - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.bytes}"
    if attachment and service.settings.presigned:
        address = service.blobs.address(content.sha256, content.name, content.media_type, _SIGNED_S)
        if address is not None:
            return Response(status_code=307, headers={"Location": address, "Cache-Control": "no-store"})
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content.media_type)
    return StreamingResponse(
        service.blobs.read(content.sha256, start, stop),
        status,
        headers=headers,
        media_type=content.media_type,
    )


def _matches(header: str | None, tag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in header.split(","))


def _part(headers: Mapping[str, str], tag: str, size: int) -> tuple[int, int] | None:
    """The range that was asked for; None for all: of several ranges, too, and where the blob is another."""
    found = _RANGE.fullmatch(headers.get("Range", "").replace(" ", ""))
    if found is None or headers.get("If-Range", tag) != tag:
        return None
    first, last = found[1], found[2]
    if not first and not last:
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), size if not last else min(size, int(last) + 1)
    if start >= size or stop <= start:
        raise Problem("range", f"it has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return start, stop
