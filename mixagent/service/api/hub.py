"""Brings new events to all streams that are open: one look into the database for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import to_thread
from sqlalchemy import select

from mixagent.service.jobs import events
from mixagent.service.jobs.events import Event
from mixagent.service.jobs.queue import places
from mixagent.service.service import Service
from mixagent.service.store.tables import QUEUED, Job

LOG = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.2
_MOST_WAITING = 500

Told = Event | None
"""Something for a stream; None at the end of the service."""


class Stream:
    """One reader: of a job, or of all of a user's."""

    def __init__(self, user: str, job: str | None) -> None:
        self.user, self.job = user, job
        self.waiting: asyncio.Queue[Told] = asyncio.Queue(_MOST_WAITING)
        self.slow = False

    def takes(self, event: Event) -> bool:
        """Whether an event is for it."""
        return event.job == self.job if self.job is not None else event.user == self.user

    def give(self, event: Told) -> None:
        """Hand it an event; a reader too slow for that has to begin anew."""
        try:
            self.waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.slow = True


class Hub:
    """All open streams."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams: set[Stream] = set()
        self._last = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._last = await to_thread.run_sync(self._newest)
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End all streams."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for stream in self._streams:
            stream.give(None)

    @asynccontextmanager
    async def _open(self, stream: Stream) -> AsyncIterator[None]:
        if not self._streams:
            # Nobody looked meanwhile.
            newest = await to_thread.run_sync(self._newest)
            self._last = self._last if self._streams else newest
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    async def events(
        self, user: str, job: str | None, after: int | None, idle_s: float
    ) -> AsyncIterator[Told]:
        """Events of a job or a user from one on, as they come; None each time that there was none for long.

        Args:
            user: who reads.
            job: of this one alone.
            after: id of the last event that the reader has; None for those to come.
            idle_s: after how long None is given.
        """
        stream = Stream(user, job)
        async with self._open(stream):
            last = self._last if after is None else after
            while not stream.slow:
                rows = await to_thread.run_sync(self._since, last, user, job)
                for row in rows:
                    last = row.id
                    yield row
                if not rows:
                    break
            while not stream.slow:
                try:
                    told = await asyncio.wait_for(stream.waiting.get(), idle_s)
                except TimeoutError:
                    yield None
                    continue
                if told is None:
                    return
                if told.id > last or told.id == 0:
                    last = max(last, told.id)
                    yield told

    # --- looking -----------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self._look_once()
            except Exception:
                LOG.exception("events could not be read")

    async def _look_once(self) -> None:
        if not self._streams:
            return
        rows = await to_thread.run_sync(self._since, self._last, None, None)
        if not rows:
            return
        self._last = rows[-1].id
        for stream in tuple(self._streams):
            for row in rows:
                if stream.takes(row):
                    stream.give(row)
        if any(row.kind == "state" for row in rows):
            await self._tell_places()

    async def _tell_places(self) -> None:
        """Tell those who wait how many are before them now; such an event has no id, for it is not kept."""
        for row in await to_thread.run_sync(self._places):
            for stream in tuple(self._streams):
                if stream.takes(row):
                    stream.give(row)

    def _newest(self) -> int:
        with self._service.database.reading() as session:
            return events.newest(session)

    def _since(self, after: int, user: str | None, job: str | None) -> Sequence[Event]:
        with self._service.database.reading() as session:
            return events.since(session, after, user=None if job else user, job=job)

    def _places(self) -> Sequence[Event]:
        watched = {stream.job for stream in self._streams if stream.job} | {None}
        users = {stream.user for stream in self._streams if stream.job is None}
        with self._service.database.reading() as session:
            rows = session.scalars(select(Job).where(Job.state == QUEUED)).all()
            rows = [row for row in rows if row.id in watched or row.user in users]
            found = places(session, rows)
            return [Event(0, row.id, row.user, "state", self._place(row, found.get(row.id))) for row in rows]

    def _place(self, row: Job, place: int | None) -> Mapping[str, Any]:
        return self._service.queue.state_of(row, self._service.queue.left_s(row, place), place)
