"""Ratings of masters: rows of the database, handed to the experience log that `mixagent rate` writes to.

The rows are the truth. The log is told of new ones and of those that are gone, so that with a rating, a job
or a user goes what was kept of them there. Nothing is learnt from a job that nobody rated or set right.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from mixagent.pipeline.errors import MixagentError
from mixagent.pipeline.files import scratch_folder
from mixagent.service.access import LOCAL_USER
from mixagent.service.jobs.view import INPUT
from mixagent.service.naming import new_id
from mixagent.service.problems import Problem
from mixagent.service.settings import ServiceSettings
from mixagent.service.store.blobs import Blobs
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import DONE, EXPERIENCE, Job, JobFile, Rating

if TYPE_CHECKING:
    from mixagent.policies.experience import ExperienceStore

LOG = logging.getLogger(__name__)

RATING, CORRECTION = "rating", "correction"

BY_HAND = ("settings", "amount", "amounts", "repairs")
"""Options that set a version right; another target, reference or goal is another wish."""

AS_FILES = (
    "output_format",
    "bit_depth",
    "sample_rate",
    "write_stems",
    "replaygain",
    "check_codecs",
    "codecs",
)
"""Options that change nothing that is heard."""


@dataclass(frozen=True)
class Ratings:
    """The ratings of a service."""

    settings: ServiceSettings
    database: Database
    blobs: Blobs

    def rate(self, user: str, job: str, than: str, better: bool, note: str) -> tuple[Rating, bool]:
        """Say that a master is better or worse; the rating, and True where it is the first of the two.

        What the user said of the same two before is replaced, and keeps its id.

        Raises:
            Problem: there is no such master, or the other is of another song.
        """
        with self.database.writing() as session:
            row = _master(session, user, job, None)
            other = None if than == INPUT else _master(session, user, than, "than")
            if other is not None and (other.id == row.id or song_of(other) != song_of(row)):
                raise Problem("usage", "than names another version of the same song, or input", field="than")
            rated, new = self._put(session, user, row, other, better, RATING)
            rated.note = note
            return rated, new

    def _put(
        self, session: Session, user: str, job: Job, other: Job | None, better: bool, source: str
    ) -> tuple[Rating, bool]:
        than = None if other is None else other.id
        known = session.scalars(select(Rating).where(_about(user, job.id, than))).first()
        new = known is None
        if known is None:
            known = Rating(id=new_id("rat"), user=user, created_at=now())
            session.add(known)
        # Whichever of the two was named first before.
        known.job, known.than = job.id, than
        known.better, known.source, known.handed_at, known.note = better, source, None, ""
        session.flush()
        return known, new

    def of(self, user: str, job: str) -> Sequence[Rating]:
        """What a user said of a job, and what followed from their hand, the oldest first.

        Raises:
            Problem: there is no such job.
        """
        with self.database.reading() as session:
            _own(session, user, job, None)
            about = or_(Rating.job == job, Rating.than == job)
            wanted = select(Rating).where(Rating.user == user, about)
            return session.scalars(wanted.order_by(Rating.created_at, Rating.id)).all()

    def delete(self, user: str, job: str, rating: str) -> None:
        """Take a rating back.

        Raises:
            Problem: there is none.
        """
        with self.database.writing() as session:
            row = session.get(Rating, rating)
            if row is None or row.user != user or job not in (row.job, row.than):
                raise Problem("missing", f"there is no rating {rating} of {job}")
            session.delete(row)

    def taken(self, user: str, job: str) -> Rating | None:
        """Say that a user took a master: a version that was set right by hand is better than the one before.

        Nothing follows where it was not, or where something was said of the two already.
        """
        with self.database.writing() as session:
            row = session.scalars(select(Job).where(Job.id == job, Job.user == user)).first()
            before = None if row is None else _corrected(session, row)
            if row is None or before is None:
                return None
            if session.scalars(select(Rating).where(_about(user, row.id, before.id))).first() is not None:
                return None
            return self._put(session, user, row, before, True, CORRECTION)[0]

    # --- the experience log ------------------------------------------------------------------------

    def hand_over(self) -> int:
        """Tell the experience log what is new and what is gone; how much that was."""
        from mixagent.policies.experience import ExperienceStore

        store = ExperienceStore.default()
        with self.database.reading() as session:
            rows = session.scalars(select(Rating)).all()
        try:
            gone = self._withdrawn(store, {self._ref(row.id) for row in rows if row.handed_at is not None})
            fresh = [row for row in rows if row.handed_at is None]
            for row in fresh:
                self._hand_over(store, row)
        except MixagentError as error:
            LOG.warning("ratings wait for the experience log", extra={"why": str(error)})
            return 0
        return gone + len(fresh)

    def _withdrawn(self, store: ExperienceStore, kept: set[str]) -> int:
        if not store.path.is_file():
            return 0
        own = f"{self._own}:"
        gone = {each.ref for each in store.preferences() if each.ref.startswith(own)} - kept
        return store.withdraw(gone) if gone else 0

    def _hand_over(self, store: ExperienceStore, row: Rating) -> None:
        from mixagent.policies.experience import Preference

        sides = {job: self._number(store, job) for job in (row.job, row.than) if job is not None}
        if all(found is not None for found in sides.values()):
            numbers = {job: number for job, (_, number) in sides.items()}  # type: ignore[misc]
            song = sides[row.job][0]  # type: ignore[index]
            pair = (numbers[row.job], numbers.get(row.than or ""))
            better, worse = pair if row.better else pair[::-1]
            author = "" if row.user == LOCAL_USER else hashlib.sha256(row.user.encode()).hexdigest()[:12]
            store.prefer(Preference(song, better, worse, row.source, author, self._ref(row.id), row.note))
        with self.database.writing() as session:
            session.execute(update(Rating).where(Rating.id == row.id).values(handed_at=now()))

    def _number(self, store: ExperienceStore, job: str) -> tuple[str, int] | None:
        """The song of a job, and its number in the log; None where the job kept nothing to learn from."""
        from dataclasses import replace

        from mixagent.policies.experience import SERVICE, Experience

        with self.database.reading() as session:
            wanted = select(JobFile).where(JobFile.job == job, JobFile.role == EXPERIENCE)
            row = session.scalars(wanted).first()
        if row is None:
            return None
        try:
            with scratch_folder() as folder:
                place = folder / row.name
                self.blobs.fetch(row.blob, place)
                experience = Experience.from_bytes(place.read_bytes())
        except (OSError, MixagentError):
            LOG.warning("a job cannot be learnt from", extra={"job": job})
            return None
        for known in store.of(experience.master):
            if known.song == experience.song:
                return known.song, known.number
        return experience.song, store.add(replace(experience, origin=SERVICE))

    @property
    def _own(self) -> str:
        """This service among others that may tell the same log."""
        return hashlib.sha256(str(self.settings.data.absolute()).encode()).hexdigest()[:8]

    def _ref(self, rating: str) -> str:
        return f"{self._own}:{rating}"


def song_of(row: Job) -> Any:
    """The song, or the tracks, that a job is of: equal for versions of one song."""
    return [row.uploads, row.options.get("stems_in")]


def _about(user: str, job: str, than: str | None) -> Any:
    """A user's rating of two, whichever was named first."""
    forth = and_(Rating.job == job, Rating.than.is_(None) if than is None else Rating.than == than)
    back = and_(Rating.job == than, Rating.than == job)
    return and_(Rating.user == user, forth if than is None else or_(forth, back))


def _own(session: Session, user: str, job: str, field: str | None) -> Job:
    row = session.scalars(select(Job).where(Job.id == job)).first()
    if row is None or row.user != user or row.delete_asked:
        raise Problem("missing", f"there is no job {job}", field=field)
    return row


def _master(session: Session, user: str, job: str, field: str | None) -> Job:
    row = _own(session, user, job, field)
    if row.kind != "master" or row.options.get("dry_run") or row.options.get("preview"):
        raise Problem("usage", "only a whole master can be rated", field=field)
    if row.state != DONE:
        raise Problem("state", f"the job is {row.state}: it can be rated when it is done", field=field)
    return row


def _corrected(session: Session, row: Job) -> Job | None:
    """The last version before this one, where this one differs from it in what was set by hand alone."""
    if row.kind != "master" or row.state != DONE or not any(name in row.options for name in BY_HAND):
        return None
    earlier = (
        select(Job)
        .where(Job.user == row.user, Job.kind == "master", Job.state == DONE, Job.seq < row.seq)
        .where(Job.name == row.name, Job.delete_asked.is_(False))
        .order_by(Job.seq.desc())
    )
    for before in session.scalars(earlier):
        whole = not before.options.get("dry_run") and not before.options.get("preview")
        if whole and song_of(before) == song_of(row):
            same = _heard(before.options, BY_HAND) == _heard(row.options, BY_HAND)
            return before if same and _heard(before.options) != _heard(row.options) else None
    return None


def _heard(options: Mapping[str, Any], leaving: Sequence[str] = ()) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in (*leaving, *AS_FILES)}
