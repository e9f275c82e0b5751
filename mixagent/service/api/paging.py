"""Lists in pages, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query
from sqlalchemy import Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from mixagent.service.problems import Problem

T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """Which page of a list."""

    search: str | None
    kind: str | None
    state: str | None
    limit: int
    after: str | None


def _asked(
    search: Annotated[str | None, Query(max_length=200)] = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    state: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> Asked:
    return Asked(search, kind, state, limit, after)


Page = Annotated[Asked, Depends(_asked)]


def page_of(
    session: Session,
    wanted: Select[T],
    page: Asked,
    time: InstrumentedAttribute[Any],
    id_: InstrumentedAttribute[Any],
) -> tuple[Sequence[T], str | None]:
    """The rows of a page, and the cursor of the next one."""
    if page.after is not None:
        at, _, last = page.after.partition("~")
        try:
            when, which = float(at), id_.type.python_type(last[:18] if last.isdigit() else last)
        except ValueError:
            raise Problem("request", "after is no cursor of this list", field="after") from None
        wanted = wanted.where(or_(time < when, and_(time == when, id_ < which)))
    rows = session.scalars(wanted.order_by(time.desc(), id_.desc()).limit(page.limit + 1)).all()
    if len(rows) <= page.limit:
        return rows, None
    kept = rows[: page.limit]
    return kept, f"{getattr(kept[-1], time.key)!r}~{getattr(kept[-1], id_.key)}"
