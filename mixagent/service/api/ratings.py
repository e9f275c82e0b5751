"""Ratings: better or worse than the song as it came, or than another version of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from mixagent.service.api.schemas import PROBLEMS, NewRating
from mixagent.service.api.security import Reader, ServiceDep, Writer, audited
from mixagent.service.jobs.view import rating_dict

router = APIRouter(prefix="/v1/jobs", tags=["ratings"], responses=PROBLEMS)


@router.post("/{id_}/ratings", status_code=201)
def rate(
    id_: str,
    body: Annotated[NewRating, Body()],
    request: Request,
    response: Response,
    service: ServiceDep,
    caller: Writer,
) -> dict[str, Any]:
    """Say that a master is better or worse; what was said of the same two before is replaced."""
    better = body.verdict == "better"
    row, new = service.ratings.rate(caller.user, id_, body.than, better, body.note)
    response.status_code = 201 if new else 200
    audited(request, service, caller, "rate", id_)
    service.learner.wake()
    return rating_dict(row)


@router.get("/{id_}/ratings")
def ratings(id_: str, service: ServiceDep, caller: Reader) -> dict[str, Any]:
    """One's own ratings of a job and of others against it."""
    return {"ratings": [rating_dict(row) for row in service.ratings.of(caller.user, id_)]}


@router.delete("/{id_}/ratings/{rating}", status_code=204)
def take_back(id_: str, rating: str, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """Take a rating back; what was kept to learn from it goes too."""
    service.ratings.delete(caller.user, id_, rating)
    audited(request, service, caller, "unrate", id_)
    service.learner.wake()
    return Response(status_code=204)
