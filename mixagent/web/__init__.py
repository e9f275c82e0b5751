"""The page: what a browser is given, from files that come with the package.

Everything but `index.html` lies under an address that changes with its content: a browser keeps it for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

ASSETS = "assets"
"""First part of the addresses of all but the page itself: `assets/DIGEST/NAME`."""

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            *("script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"),
            *("form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"),
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of the page: it runs and loads nothing that is not this service's own."""

KEPT_FOR_GOOD = "public, max-age=31536000, immutable"
ASKED_EACH_TIME = "no-cache"

_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_OF_THE_REPORT = {"player.js": "player.js", "blind.js": "blind.js", "report.css": "page.css"}
"""What the page has in common with the report, by the name that it has here."""


@dataclass(frozen=True)
class Asset:
    """A file as it is sent.

    Attributes:
        body: its bytes.
        media_type: with the character set.
        cache_control: how long a browser may keep it.
        etag: of its content, in quotes.
    """

    body: bytes
    media_type: str
    cache_control: str
    etag: str


def index() -> Asset:
    """The page itself."""
    text = files(__name__).joinpath("index.html").read_text("utf-8").replace("DIGEST", digest())
    return _asset("index.html", text.encode(), ASKED_EACH_TIME)


def asset(path: str) -> Asset | None:
    """What lies at `DIGEST/NAME` under `assets/`; None where there is no such file, or it was another's."""
    first, _, name = path.partition("/")
    body = _bodies().get(name)
    if body is None or first != digest():
        return None
    return _asset(name, body, KEPT_FOR_GOOD)


@cache
def digest() -> str:
    """16 hex digits that change with any file of the page."""
    hashed = hashlib.sha256()
    for name, body in sorted(_bodies().items()):
        hashed.update(f"{name}\0{len(body)}\0".encode() + body)
    return hashed.hexdigest()[:16]


@cache
def _bodies() -> dict[str, bytes]:
    here, report = files(__name__), files("mixagent.report")
    shared = {name: report.joinpath(source).read_bytes() for name, source in _OF_THE_REPORT.items()}
    return {**_under(here, ""), **shared}


def _under(folder: Traversable, prefix: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _under(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".js", ".css", ".svg")):
            found[f"{prefix}{entry.name}"] = entry.read_bytes()
    return found


def _asset(name: str, body: bytes, cache_control: str) -> Asset:
    kind = _MEDIA_TYPES[name[name.rindex(".") :]]
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Asset(body, f"{kind}; charset=utf-8", cache_control, etag)
