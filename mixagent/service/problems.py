"""Errors as problem details (RFC 9457), with the one table of their codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixagent.pipeline.errors import MixagentError, as_argument

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Code:
    """A kind of problem: its status and its title."""

    status: int
    title: str


CODES: Mapping[str, Code] = {
    "request": Code(400, "The request makes no sense"),
    "key": Code(401, "An API key is needed"),
    "sign_in": Code(401, "Nobody was signed in"),
    "scope": Code(403, "The key may not do this"),
    "origin": Code(403, "The request came from another site"),
    "missing": Code(404, "There is no such thing"),
    "method": Code(405, "This cannot be done here"),
    "state": Code(409, "This cannot be done now"),
    "expired": Code(410, "Its time is over"),
    "too_large": Code(413, "Too many bytes"),
    "too_long": Code(413, "Too long"),
    "type": Code(415, "No audio that can be read"),
    "range": Code(416, "No such range"),
    "version": Code(412, "Another version of the protocol is spoken here"),
    "checksum": Code(460, "The bytes are not those that were meant"),
    "usage": Code(422, "An option makes no sense"),
    "input": Code(422, "The song cannot be used"),
    "idempotency": Code(422, "This key was used for another request"),
    "locked": Code(423, "Another request writes to it"),
    "limit": Code(429, "Too much at a time"),
    "fault": Code(500, "A fault of the service itself"),
    "busy": Code(503, "The service is busy"),
    "disk": Code(507, "There is no room"),
    "model_missing": Code(422, "A model is not here"),
    "output": Code(507, "It cannot be written"),
    "cancelled": Code(409, "It was cancelled"),
    "time_limit": Code(504, "It took too long"),
    "memory_limit": Code(507, "It took too much memory"),
    "set_aside": Code(500, "It was set aside"),
}
"""Every code, those of jobs that failed too."""


class Problem(Exception):
    """An error that a client is told of.

    Attributes:
        code: a key of `CODES`.
        detail: one sentence of what is wrong and what to do.
        field: the option or header at fault.
        retry_after_s: when it is worth trying again; None where it is not.
        headers: of the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.field = code, detail, field
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_after_s)))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code].status

    def to_dict(self) -> dict[str, Any]:
        """The problem's JSON."""
        kind = CODES[self.code]
        return {
            "type": f"urn:mixagent:problem:{self.code}",
            "title": kind.title,
            "status": kind.status,
            "code": self.code,
            "field": self.field,
            "detail": self.detail,
        }


def of_error(error: MixagentError, names: Mapping[str, str] | None = None) -> Problem:
    """An error of the library as a problem.

    Args:
        error: what was raised.
        names: the service's names of options by the library's, where they differ.
    """
    known = names or {}
    code = error.code if error.code in CODES else "input"
    sentence = error.sentence(lambda name, value: as_argument(known.get(name, name), value))
    field = None if error.field is None else known.get(error.field, error.field)
    return Problem(code, sentence, field=field)
