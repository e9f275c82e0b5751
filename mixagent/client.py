"""A client of the service: uploads that resume, jobs that are waited for, results that are whole.

with Client("http://127.0.0.1:8300") as service:
    job = service.run("master", ["song.wav"], {"preset": "loud"})
    service.download(job, "song.master.wav", "out.wav")
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from mixagent.pipeline.errors import (
    CancelledError,
    InputError,
    MixagentError,
    ModelMissingError,
    OutputError,
    UsageError,
)
from mixagent.pipeline.files import atomically
from mixagent.types import Cancel, Event, OnEvent

Job = Mapping[str, Any]
"""A job as the service gives it, see docs/service.md."""

FINAL = ("done", "failed", "cancelled")

_PIECE_BYTES = 8 << 20
_TRIES = 6
_FIRST_WAIT_S = 0.5
_POLL_S = 1.0
_STREAM_S = 60.0
_TUS = {"Tus-Resumable": "1.0.0"}

_ERRORS: Mapping[str, type[MixagentError]] = {
    **dict.fromkeys(("input", "type", "too_long", "too_large"), InputError),
    "usage": UsageError,
    "request": UsageError,
    "model_missing": ModelMissingError,
    "output": OutputError,
    "disk": OutputError,
    "cancelled": CancelledError,
}


class ServiceError(MixagentError):
    """The service could not be reached, or does not do what was asked."""

    exit_code = 69
    """EX_UNAVAILABLE of sysexits.h."""
    code = "service"


class Client:
    """One service.

    Args:
        server: its address.
        key: an API key, where it asks for one.
        transport: how requests go out; over the network without it.

    Methods raise the library's errors: `UsageError` for an option, `InputError` for a song, `ServiceError`
    for what only a service can go wrong with.
    """

    def __init__(
        self, server: str, key: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        if not server.startswith(("http://", "https://")):
            raise UsageError(f"{server!r} is no address: give http://HOST:PORT", field="server")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=server, headers=headers, timeout=60.0, transport=transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def about(self) -> Mapping[str, Any]:
        """Engine, limits, who asks."""
        return self._json("GET", "/v1")

    def upload(self, path: str | Path, progress: Callable[[float], None] | None = None) -> str:
        """Send a file, going on where a connection broke; its id.

        Args:
            path: the file.
            progress: is called with the share that is sent, 0 to 1.

        Raises:
            InputError: it cannot be read, or the service refuses it.
        """
        file = Path(path)
        try:
            size = file.stat().st_size
            with file.open("rb") as opened:
                return self._sent(opened.read, opened.seek, file.name, size, progress)
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}", field="song") from error

    def _sent(
        self,
        read: Callable[[int], bytes],
        seek: Callable[[int], int],
        name: str,
        size: int,
        progress: Callable[[float], None] | None,
    ) -> str:
        metadata = f"filename {base64.b64encode(name.encode(errors='replace')).decode()}"
        headers = {**_TUS, "Upload-Length": str(size), "Upload-Metadata": metadata}
        place = self._asked("POST", "/v1/tus", headers=headers).headers["Location"]
        id_ = str(place.rpartition("/")[2])
        offset = 0
        while offset < size:
            seek(offset)
            data = read(_PIECE_BYTES)
            offset = self._piece(place, offset, data)
            if progress is not None:
                progress(offset / size)
        return self._checked(id_)

    def _piece(self, place: str, offset: int, data: bytes) -> int:
        """Send a piece; how much is there then, which is less where it did not come through."""
        headers = {
            **_TUS,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Upload-Checksum": f"sha256 {base64.b64encode(hashlib.sha256(data).digest()).decode()}",
        }
        for wait_s in (*_waits(), None):
            try:
                answer = self._http.patch(place, content=data, headers=headers)
                if answer.is_success:
                    return int(answer.headers["Upload-Offset"])
                if answer.status_code == 409:
                    return int(answer.headers["Upload-Offset"])
                if answer.status_code not in (423, 460, 502, 503, 504):
                    raise _error(answer)
                failed: MixagentError = _error(answer)
            except httpx.HTTPError as error:
                failed = _unreached(error)
            if wait_s is None:
                raise failed
            time.sleep(wait_s)
            there = self._offset(place)
            if there is not None and there != offset:
                return there
        raise AssertionError("unreachable")

    def _offset(self, place: str) -> int | None:
        try:
            answer = self._http.head(place, headers=_TUS)
        except httpx.HTTPError:
            return None
        return int(answer.headers["Upload-Offset"]) if answer.is_success else None

    def _checked(self, id_: str) -> str:
        while True:
            found = self._json("GET", f"/v1/uploads/{id_}")
            if found["state"] == "ready":
                return id_
            if found["state"] == "refused":
                problem = found["problem"]
                raise _of_problem(problem, field="song")
            time.sleep(_POLL_S / 4)

    def submit(
        self,
        kind: str,
        uploads: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
        *,
        webhook: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Queue a job, waiting while the service asks to."""
        body = {"kind": kind, "uploads": list(uploads), "options": dict(options or {})}
        if webhook is not None:
            body["webhook"] = dict(webhook)
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._json("POST", "/v1/jobs", json=body, headers=headers)

    def job(self, id_: str) -> Job:
        """How a job is."""
        return self._json("GET", f"/v1/jobs/{id_}")

    def cancel(self, id_: str) -> Job:
        """Stop a job."""
        return self._json("POST", f"/v1/jobs/{id_}/cancel")

    def delete(self, id_: str) -> None:
        """Delete a job with its files."""
        self._asked("DELETE", f"/v1/jobs/{id_}")

    def delete_upload(self, id_: str) -> None:
        """Delete an upload."""
        self._asked("DELETE", f"/v1/uploads/{id_}")

    def events(self, id_: str, after: int = 0) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """Events of a job until its end, each with its id and kind; a broken stream is opened again."""
        last, broken = after, 0
        while True:
            try:
                for number, kind, data in self._stream(id_, last):
                    last, broken = max(last, number), 0
                    yield number, kind, data
                    if kind == "end":
                        return
            except httpx.HTTPError as error:
                broken += 1
                if broken > _TRIES:
                    raise _unreached(error) from error
                time.sleep(_FIRST_WAIT_S)

    def _stream(self, id_: str, after: int) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        url, headers = f"/v1/jobs/{id_}/events", {"Last-Event-ID": str(after)}
        with self._http.stream("GET", url, headers=headers, timeout=_STREAM_S) as answer:
            if not answer.is_success:
                answer.read()
                raise _error(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")
                    continue
                if "data" in fields:
                    yield int(fields.get("id", 0)), fields.get("event", "message"), json.loads(fields["data"])
                fields = {}

    def wait(self, id_: str, *, on_event: OnEvent | None = None, cancel: Cancel | None = None) -> Job:
        """Wait for a job's end.

        Args:
            id_: of the job.
            on_event: is told how far it is, as by the library.
            cancel: stops it.

        Raises:
            MixagentError: it failed: of the kind that the library would have raised.
        """
        asked = False
        for _, kind, data in self.events(id_):
            if cancel is not None and cancel.cancelled and not asked:
                asked = True
                self.cancel(id_)
            if kind == "progress" and on_event is not None:
                on_event(Event(data["stage"], data["share"], data["seconds"]))
        job = self.job(id_)
        if job["state"] != "done":
            raise _of_problem(job["problem"])
        return job

    def run(
        self,
        kind: str,
        songs: Sequence[str | Path],
        options: Mapping[str, Any] | None = None,
        *,
        on_event: OnEvent | None = None,
        cancel: Cancel | None = None,
    ) -> Job:
        """Upload songs, run a job on them, and wait for its end; the uploads are deleted then.

        Raises:
            MixagentError: as `upload`, `submit` and `wait`.
        """
        uploads: list[str] = []
        begun = time.monotonic()

        def sent(share: float) -> None:
            if cancel is not None:
                cancel.check()
            if on_event is not None:
                whole = (len(uploads) + share) / len(songs)
                on_event(Event("upload", whole, time.monotonic() - begun))

        try:
            for song in songs:
                uploads.append(self.upload(song, sent))
            return self._done(self.submit(kind, uploads, options)["id"], on_event, cancel)
        finally:
            for upload in uploads:
                self.delete_upload(upload)

    def _done(self, id_: str, on_event: OnEvent | None, cancel: Cancel | None) -> Job:
        """A job that was waited for; where nobody waits any more it is stopped."""
        try:
            return self.wait(id_, on_event=on_event, cancel=cancel)
        except BaseException:
            with suppress(MixagentError):
                self.cancel(id_)
            raise

    def download(self, job: Job, name: str, to: str | Path) -> Path:
        """Write a file of a job, whole or not at all, going on where a connection broke.

        Raises:
            InputError: the job has no such file.
            OutputError: it cannot be written.
        """
        row = next((file for file in job["files"] if file["name"] == name), None)
        if row is None:
            known = ", ".join(file["name"] for file in job["files"])
            raise InputError(f"the job has no file {name}: it has {known or 'none'}")
        path = Path(to)
        with atomically(path, through_link=True) as made:
            self._fetch(row, made)
        return path

    def _fetch(self, row: Mapping[str, Any], to: Path) -> None:
        digest, done = hashlib.sha256(), 0
        waits = _waits()
        with to.open("wb") as opened:
            while done < row["bytes"]:
                headers = {"Range": f"bytes={done}-", "If-Range": f'"{row["sha256"]}"'}
                try:
                    with self._http.stream("GET", row["url"], headers=headers) as answer:
                        if answer.status_code not in (200, 206) or (done and answer.status_code == 200):
                            answer.read()
                            raise _error(answer)
                        for piece in answer.iter_bytes():
                            opened.write(piece)
                            digest.update(piece)
                            done += len(piece)
                except httpx.HTTPError as error:
                    wait_s = next(waits, None)
                    if wait_s is None:
                        raise _unreached(error) from error
                    time.sleep(wait_s)
        if digest.hexdigest() != row["sha256"]:
            raise ServiceError(f"{row['name']} did not arrive as it was sent: try again")

    def report(self, id_: str) -> Mapping[str, Any]:
        """The report of a job as JSON."""
        return self._json("GET", f"/v1/jobs/{id_}/report")

    def link(self, id_: str, file: str | None = None, expires_s: int = 604_800) -> str:
        """A signed link to a file of a job, or to its page, for whoever has it."""
        body = {"file": file, "expires_s": expires_s}
        made = self._json("POST", f"/v1/jobs/{quote(id_)}/links", json=body)
        return str(self._http.base_url.join(made["url"]))

    def _json(self, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._asked(method, url, **more).json()
        return found

    def _asked(self, method: str, url: str, **more: Any) -> httpx.Response:
        """An answer; one that says to ask again later is asked for again."""
        for wait_s in (*_waits(), None):
            try:
                answer = self._http.request(method, url, **more)
            except httpx.ConnectError as error:
                raise _unreached(error) from error
            except httpx.HTTPError as error:
                if wait_s is None or method == "POST":
                    raise _unreached(error) from error
                time.sleep(wait_s)
                continue
            if answer.is_success:
                return answer
            again = answer.status_code in (429, 503) and "Retry-After" in answer.headers
            if not again or wait_s is None:
                raise _error(answer)
            time.sleep(min(30.0, float(answer.headers["Retry-After"])))
        raise AssertionError("unreachable")


def _waits() -> Iterator[float]:
    return (_FIRST_WAIT_S * 2**tried for tried in range(_TRIES))


def _unreached(error: httpx.HTTPError) -> ServiceError:
    return ServiceError(f"the service cannot be reached: {error or type(error).__name__}", field="server")


def _error(answer: httpx.Response) -> MixagentError:
    try:
        problem = answer.json()
        known = isinstance(problem, dict) and "code" in problem
    except ValueError:
        known = False
    if not known:
        return ServiceError(f"the service answered {answer.status_code}")
    return _of_problem(problem)


def _of_problem(problem: Mapping[str, Any] | None, field: str | None = None) -> MixagentError:
    """An error of the library, as the service tells it."""
    if problem is None:
        return ServiceError("the job has no results and no reason")
    code = str(problem["code"])
    kind = _ERRORS.get(
        code, InputError if code in ("input", "type", "too_long", "too_large") else ServiceError
    )
    return kind(str(problem["detail"]), field=problem.get("field") or field, code=code)
