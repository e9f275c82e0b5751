"""From a request to a job in the queue: files found, options checked, limits held, results reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mixagent import __version__
from mixagent.pipeline.errors import MixagentError
from mixagent.service.jobs import events, queue
from mixagent.service.jobs.kinds import KINDS, is_quick
from mixagent.service.jobs.options import REFERENCES, names_of, plain_keywords
from mixagent.service.jobs.running import Call
from mixagent.service.limits import check_jobs
from mixagent.service.naming import new_id, safe_name
from mixagent.service.problems import Problem, of_error
from mixagent.service.settings import Limits
from mixagent.service.store.blobs import Blobs
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import (
    DONE,
    QUEUED,
    READY,
    Idempotency,
    Job,
    JobFile,
    JobInput,
    Upload,
)

TRACKS = "tracks"
"""Folder of a musician's own tracks, in that of the job."""


@dataclass(frozen=True)
class Asked:
    """A job as it was asked for; `trace` is of the request that did."""

    kind: str
    uploads: Sequence[Any]
    options: Mapping[str, Any]
    webhook: Mapping[str, str] | None = None
    trace: str | None = None


@dataclass(frozen=True)
class _Source:
    """A file that a job reads: who it is for people, its blob, its length in seconds."""

    id: str
    name: str
    blob: str
    kind: str
    duration_s: float


@dataclass
class _Inputs:
    """Files by their place in the job's folder."""

    places: dict[str, _Source] = field(default_factory=dict)

    def put(self, path: str, source: _Source, option: str) -> str:
        """Give a file its place.

        Raises:
            Problem: another has it.
        """
        if path in self.places:
            raise Problem("usage", f"two of the files are called {source.name}: rename one", field=option)
        self.places[path] = source
        return path


class Submitter:
    """Makes jobs of requests."""

    def __init__(self, database: Database, blobs: Blobs, limits: Limits) -> None:
        self._database, self._blobs, self._limits = database, blobs, limits

    def submit(self, user: str, asked: Asked, idempotency_key: str | None = None) -> tuple[str, bool]:
        """Queue a job, or end it at once where its results are there already.

        Args:
            user: who asks.
            asked: what for.
            idempotency_key: under which the same request gives the same job.

        Returns:
            The id of the job, and whether it is new.

        Raises:
            Problem: of the kind that says what is wrong.
        """
        request = _hash([asked.kind, list(asked.uploads), dict(asked.options), asked.webhook])
        with self._database.reading() as session:
            known = _seen(session, user, idempotency_key, request)
            if known is not None:
                return known, False
            row = self._job(session, user, asked)
        # Nothing of the library runs while others wait to write.
        with self._database.writing() as session:
            known = _seen(session, user, idempotency_key, request)
            if known is not None:
                return known, False
            self._add(session, row)
            if idempotency_key is not None:
                session.add(
                    Idempotency(user=user, key=idempotency_key, request=request, job=row.id, at=now())
                )
        return row.id, True

    def _job(self, session: Session, user: str, asked: Asked) -> Job:
        kind, options = KINDS[asked.kind], dict(asked.options)
        inputs = _Inputs()
        find = _Finder(session, user)
        songs = [find(source, "uploads", ("audio",)) for source in asked.uploads]
        self._check_songs(asked, len(songs))
        paths = [inputs.put(safe_name(song.name), song, "uploads") for song in songs]
        try:
            call = _call(asked.kind, paths, options, inputs, find)
            kind.check(call)
        except MixagentError as error:
            raise of_error(error, names_of(asked.kind, options)) from error
        name = songs[0].name if songs else f"{len(inputs.places)} tracks"
        files = [(path, source.blob) for path, source in inputs.places.items()]
        return Job(
            id=new_id("job"),
            user=user,
            kind=asked.kind,
            name=name,
            state=QUEUED,
            quick=is_quick(asked.kind, options),
            options=options,
            call=asdict(call),
            uploads=[{"id": song.id, "name": song.name} for song in songs],
            search=" ".join([*(song.name for song in songs), str(options.get("goal", ""))]).lower()[:1000],
            cache_key=_hash([asked.kind, asdict(call), sorted(files), __version__, *_learnt(options)]),
            audio_s=sum(source.duration_s for source in _heard(inputs)),
            created_at=now(),
            webhook=None if asked.webhook is None else dict(asked.webhook),
            trace=asked.trace,
            inputs=[JobInput(place=n, path=path, blob=blob) for n, (path, blob) in enumerate(files)],
            files=[],
        )

    def _check_songs(self, asked: Asked, count: int) -> None:
        least, most = KINDS[asked.kind].songs
        if asked.kind == "master" and bool(asked.uploads) == bool(asked.options.get("stems_in")):
            least, most = (1, 1) if not asked.uploads else (least, most)
        most = self._limits.songs if most is None else most
        if not least <= count <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise Problem("usage", f"{asked.kind} takes {wanted} songs: {count} were given", field="uploads")

    def _add(self, session: Session, row: Job) -> None:
        check_jobs(session, row, self._limits)
        session.add(row)
        session.flush()
        self._check_there(session, row)
        twin = queue.twin_of(session, row.cache_key)
        if twin is not None:
            queue.finish_from(session, self._blobs, row, twin)
            return
        place = queue.places(session, [row])[row.id]
        events.add(session, row, "state", {"job": row.id, "state": QUEUED, "place": place, "left_s": None})

    def _check_there(self, session: Session, row: Job) -> None:
        """Whether all files are held by somebody still: they may have been deleted since they were found."""
        for each in row.inputs:
            held = session.scalar(select(func.count()).select_from(Upload).where(Upload.blob == each.blob))
            made = session.scalar(select(func.count()).select_from(JobFile).where(JobFile.blob == each.blob))
            if not held and not made:
                raise Problem("missing", f"{each.path} was deleted meanwhile", field="uploads")


class _Finder:
    """Finds a user's files."""

    def __init__(self, session: Session, user: str) -> None:
        self._session, self._user = session, user

    def __call__(self, source: Any, option: str, kinds: Sequence[str]) -> _Source:
        """An upload by its id, or a result of a job.

        Raises:
            Problem: it is not there, not ready, or of another kind.
        """
        found = self._result(source, option) if isinstance(source, Mapping) else self._upload(source, option)
        if found.kind not in kinds:
            raise Problem("usage", f"{found.name} is no {' or '.join(kinds)}", field=option)
        return found

    def _upload(self, id_: str, option: str) -> _Source:
        row = self._session.get(Upload, id_)
        if row is None or row.user != self._user:
            raise Problem("missing", f"there is no upload {id_}", field=option)
        if row.state != READY or row.blob is None:
            raise Problem("state", f"{row.name} is {row.state}, not ready", field=option)
        audio = row.audio or {}
        return _Source(row.id, row.name, row.blob, row.kind or "", float(audio.get("duration_s", 0.0)))

    def _result(self, named: Mapping[str, str], option: str) -> _Source:
        wanted = (
            select(JobFile)
            .join(Job, Job.id == JobFile.job)
            .where(Job.id == named["job"], Job.user == self._user, Job.state == DONE)
            .where(JobFile.name == named["file"], Job.delete_asked.is_(False))
        )
        row = self._session.scalars(wanted).first()
        if row is None:
            raise Problem("missing", f"there is no file {named['file']} of {named['job']}", field=option)
        kind = "audio" if row.audio else "other"
        name = row.name.rpartition("/")[2]
        return _Source(named["job"], name, row.blob, kind, float((row.audio or {}).get("duration_s", 0.0)))


def _call(
    kind: str, songs: Sequence[str], options: Mapping[str, Any], inputs: _Inputs, find: _Finder
) -> Call:
    keywords = plain_keywords(kind, options)
    if options.get("preset") == "reference" and not options.get("reference"):
        raise Problem("usage", "preset=reference takes its loudness from reference: name one", field="preset")
    for name in REFERENCES:
        if options.get(name):
            keywords[name] = _references(name, options[name], inputs, find)
    if options.get("stems_in"):
        for source in options["stems_in"]:
            track = find(source, "stems_in", ("audio",))
            inputs.put(f"{TRACKS}/{safe_name(track.name)}", track, "stems_in")
        keywords["stems_in"] = TRACKS
    if "cue" in options:
        sheet = find(options["cue"], "cue", ("cue",))
        keywords["cue"] = inputs.put("cue/album.cue", sheet, "cue")
    output_format = options.get("output_format", "wav")
    return Call(
        songs=tuple(songs),
        keywords=keywords,
        write_stems=bool(options.get("write_stems")),
        format=output_format if isinstance(output_format, str) else "wav",
    )


def _references(
    name: str, rows: Sequence[Mapping[str, Any]], inputs: _Inputs, find: _Finder
) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        upload, profile, weight = row.get("upload"), row.get("profile"), float(row.get("weight", 1.0))
        if (upload is None) == (profile is None):
            raise Problem("usage", "a reference is an upload or a profile", field=name)
        if profile is not None:
            found[_shipped(profile, name)] = weight
            continue
        source = find(upload, name, ("audio", "profile"))
        place = f"references/{len(inputs.places)}/{safe_name(source.name)}"
        found[inputs.put(place, source, name)] = weight
    return found


def _shipped(profile: str, option: str) -> str:
    from mixagent.pipeline.matching.library import GENRE, shipped_names

    known = [f"{GENRE}{name}" for name in shipped_names()]
    if profile not in known:
        raise Problem("usage", f"there is no profile {profile!r}: give {', '.join(known)}", field=option)
    return profile


def _heard(inputs: _Inputs) -> list[_Source]:
    """The files whose length says how long a job takes."""
    return [source for path, source in inputs.places.items() if not path.startswith("references/")]


def _seen(session: Session, user: str, key: str | None, request: str) -> str | None:
    if key is None:
        return None
    row = session.get(Idempotency, (user, key))
    if row is None:
        return None
    if row.request != request:
        raise Problem(
            "idempotency", "this Idempotency-Key came with another request before", field="Idempotency-Key"
        )
    there = session.scalar(select(func.count()).select_from(Job).where(Job.id == row.job))
    if not there:
        session.delete(row)
        session.flush()
        return None
    return row.job


def _learnt(options: Mapping[str, Any]) -> list[str]:
    """The weights of a policy that goes on learning: what it decided before is not what it decides now."""
    if options.get("policy") not in ("mix", "learned"):
        return []
    from mixagent.policies.promotion import weights_sha256

    return [weights_sha256(options["policy"])]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
