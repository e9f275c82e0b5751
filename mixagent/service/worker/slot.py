"""One worker: a thread that claims jobs and has a warm process run them."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from mixagent import __version__
from mixagent.service.jobs.estimates import Course
from mixagent.service.jobs.queue import Answer, Claimed
from mixagent.service.jobs.stages import SentStage
from mixagent.service.logs import about_job
from mixagent.service.problems import Problem
from mixagent.service.store.database import insist
from mixagent.service.store.tables import JobFile
from mixagent.service.tracing import JobSpan
from mixagent.service.worker.process import ProcessEndedError, WorkerProcess
from mixagent.service.worker.sending import Outbox
from mixagent.service.worker.tools import Tools

LOG = logging.getLogger(__name__)

MEDIA_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".cue": "text/plain; charset=utf-8",
}

_TELL_EVERY_S = 0.25
_WEIGH_EVERY_S = 0.5
_HEAR_S = 0.1
_START_S = 180.0
_IDLE_S = 1.0
_AGAIN_S = 5.0


class _EndedError(Exception):
    """A job's end without results: `problem` for its user, or None where it goes back to the queue."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__("" if problem is None else problem.detail)
        self.problem = problem


class Stopping(Protocol):
    """Says whether the end was asked for: a thread's event, or one that processes share."""

    def is_set(self) -> bool:
        """Whether it was."""

    def set(self) -> None:
        """Ask for it."""


class Slot:
    """Runs one job at a time.

    Attributes:
        quick_only: whether it takes nothing but verdicts and previews.
        name: of whoever claims, as jobs have it; who has a slot without a thread of its own may set it.
        call_others: told where a stage waits for somebody who is free.
    """

    def __init__(self, tools: Tools, number: int, quick_only: bool, stopping: Stopping | None = None) -> None:
        self._tools, self._number, self.quick_only = tools, number, quick_only
        self.name = f"{tools.node}:{number}"
        self.call_others: Callable[[], None] = lambda: None
        self._process: WorkerProcess | None = None
        self._stopping: Stopping = threading.Event() if stopping is None else stopping
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"slot-{number}", daemon=True)
        self._claimed: Claimed | None = None
        self._startless = False
        self._span = JobSpan(None, {})

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def stop(self) -> None:
        """Ask for the end; `join` waits for it."""
        self._stopping.set()
        self._woken.set()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether it works: its last process came up, or is coming up for the first time."""
        return self._thread.is_alive() and not self._startless

    # --- the loop ----------------------------------------------------------------------------------

    def _work(self) -> None:
        # Before the first job: loading takes longer than a user waits for a verdict.
        self.get_ready()
        while not self._stopping.is_set():
            try:
                busy = self.one_job()
            except Exception:
                LOG.exception("a worker met a fault", extra={"slot": self._number})
                busy = False
            if not busy:
                self._woken.wait(_IDLE_S)
                self._woken.clear()
        self.close()

    def close(self) -> None:
        """Let the process go."""
        if self._process is not None:
            self._process.close()

    def one_job(self) -> bool:
        """Run the next job; whether there was one."""
        if not self.get_ready():
            return False
        if not self.quick_only and self._one_stage():
            return True
        claimed = self._tools.queue.claim(self.quick_only, worker=self.name)
        if claimed is None:
            return False
        LOG.info("begun", extra={"job": claimed.id, "kind": claimed.kind, "attempt": claimed.attempt})
        begun = time.monotonic()
        self._claimed = claimed
        folder = self._tools.settings.work / claimed.token
        traced = self._tools.traces.job(claimed.id, claimed.kind, claimed.attempt, claimed.trace)
        try:
            with about_job(claimed.id), traced as self._span:
                self._run(claimed, folder)
        except _EndedError as ended:
            self._give_up(claimed, ended.problem)
        except Problem as problem:
            self._give_up(claimed, problem)
        except ProcessEndedError as error:
            words = "" if self._process is None else self._process.last_words
            LOG.warning("lost", extra={"job": claimed.id, "why": str(error), "said": words[-2000:]})
            self._tools.metrics.lost.labels(claimed.kind).inc()
            why = str(error)
            insist(lambda: self._tools.queue.lost(claimed, why))
        except OSError as error:
            self._give_up(claimed, Problem("output", f"the service cannot write: {error.strerror or error}"))
        except BaseException:
            # It may be at work still, and nobody would listen.
            if self._process is not None:
                self._process.kill()
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._tools.metrics.took(claimed.kind, time.monotonic() - begun)
            self._recycle()
        return True

    def overdue(self) -> None:
        """End the job that this was interrupted at."""
        if self._claimed is not None:
            self._give_up(self._claimed, Problem("time_limit", "it was stopped: its worker took too long"))

    def _give_up(self, claimed: Claimed, problem: Problem | None) -> None:
        queue = self._tools.queue
        if problem is None or problem.code == "busy":
            # A busy database or store is no fault of the job's.
            after_s = 0.0 if problem is None else problem.retry_after_s or _AGAIN_S
            insist(lambda: queue.give_back(claimed, after_s))
            return
        words = {"job": claimed.id, "code": problem.code, "detail": problem.detail}
        if problem.code == "fault" and self._process is not None:
            words["said"] = self._process.last_words
        LOG.info("failed", extra=words)
        self._tools.metrics.failed.labels(claimed.kind, problem.code).inc()
        insist(lambda: queue.fail(claimed, problem.to_dict()))

    def _one_stage(self) -> bool:
        """Run a stage of a job that another worker has; whether there was one. Jobs at work come first."""
        board = self._tools.board
        stage = board.claim(self._tools.machine, self.name)
        if stage is None:
            return False
        begun = time.monotonic()
        assert self._process is not None
        problem: Mapping[str, Any] | None = None
        try:
            self._process.say(**{"one stage": {"order": stage.order, "cache": stage.cache}})
            problem = self._watch_stage(stage)
        except ProcessEndedError as error:
            problem = {"detail": str(error)}
        finally:
            self._recycle()
        insist(lambda: board.end(stage, round(time.monotonic() - begun, 3), problem))
        return True

    def _watch_stage(self, stage: SentStage) -> Mapping[str, Any] | None:
        """Hear the process until a stage is done; None, or why it has no result."""
        process, beaten = self._process, time.monotonic()
        assert process is not None
        until = beaten + self._tools.settings.worker.time_limit_s
        while True:
            words = process.hear(_HEAR_S) or {}
            if "done" in words:
                return None
            if "failed" in words:
                failed: Mapping[str, Any] = words["failed"]
                return failed
            now, mine = time.monotonic(), True
            if now - beaten > 1.0:
                beaten, mine = now, self._tools.board.beat(stage)
            if not mine or now > until or self._stopping.is_set():
                process.kill()
                return {"detail": "it was stopped"}

    # --- one job -----------------------------------------------------------------------------------

    def _run(self, claimed: Claimed, folder: Path) -> None:
        tools = self._tools
        folder.mkdir(parents=True)
        (folder / "tmp").mkdir()
        for path, blob in claimed.inputs:
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                tools.blobs.fetch(blob, place)
            except FileNotFoundError as error:
                raise Problem("missing", f"{path} was deleted before the job began") from error
        cache = tools.caches.of([blob for _, blob in claimed.inputs])
        shape = f"{claimed.shape} again" if cache.used else claimed.shape
        course = Course(tools.estimates.expected(shape, claimed.audio_s), time.monotonic())
        assert self._process is not None
        self._process.say(
            run={
                "kind": claimed.kind,
                "call": dict(claimed.call),
                "folder": str(folder.absolute()),
                "scratch": str((folder / "tmp").absolute()),
                "cache": str(cache.folder.absolute()),
            }
        )
        done = self._watch(claimed, course, folder)
        files = [self._kept(folder, place, row) for place, row in enumerate(done["files"])]
        tools.estimates.learn(shape, claimed.audio_s, course.seconds)
        for stage, seconds in course.seconds.items():
            tools.metrics.stage.labels(_plain(stage)).observe(seconds)

        def put_again(lost: Collection[str]) -> None:
            for file, row in zip(files, done["files"], strict=True):
                if file.blob in lost:
                    tools.blobs.put(folder / row["path"])

        result = _result(done, course)
        kept = insist(lambda: tools.queue.finish(claimed, result, _copies(files), put_again))
        with suppress(Problem):
            tools.board.put_down(claimed.id, self.name, course.seconds)
        LOG.info("done", extra={"job": claimed.id, "seconds": done["seconds"], "kept": kept})

    def _kept(self, folder: Path, place: int, row: Mapping[str, Any]) -> JobFile:
        path = folder / row["path"]
        size = path.stat().st_size
        return JobFile(
            place=place,
            name=row["name"],
            role=row["role"],
            stem=row["stem"],
            media_type=MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream"),
            bytes=size,
            blob=self._tools.blobs.put(path),
            audio=row["audio"],
            peaks=None if row["peaks"] is None else bytes.fromhex(row["peaks"]),
        )

    def _early(self, claimed: Claimed, course: Course, folder: Path, told: Mapping[str, Any]) -> None:
        """Give a job what it has made already; what is wrong with that is told at its end."""
        files = [self._kept(folder, place, row) for place, row in enumerate(told["files"])]
        self._tools.queue.first(claimed, _result(told, course), files)

    def _watch(self, claimed: Claimed, course: Course, folder: Path) -> Mapping[str, Any]:
        """Hear the process until the job is done.

        Raises:
            _EndedError: it has no results.
            ProcessEndedError: the process died.
        """
        limits, process, queue = self._tools.settings.worker, self._process, self._tools.queue
        assert process is not None
        begun = told = beaten = weighed = time.monotonic()
        longest_s = limits.longest_s(claimed.audio_s)
        cancelled_at: float | None = None
        outbox = Outbox(self._tools.board, claimed.id, self._tools.machine, self._tools.settings.workers)
        changed = False
        while True:
            words = process.hear(_HEAR_S)
            now = time.monotonic()
            if words is not None and "done" in words:
                done: Mapping[str, Any] = words["done"]
                return done
            if words is not None and "send" in words:
                self._send(outbox, words["send"])
            for name in outbox.ended():
                process.say(ended=name)
            if words is not None and "first" in words:
                self._early(claimed, course, folder, words["first"])
            if words is not None and "failed" in words:
                failed = words["failed"]
                raise _EndedError(Problem(failed["code"], failed["detail"], field=failed["field"]))
            if words is not None and "stage" in words:
                self._span.stage(words["stage"], words["share"])
                changed |= course.tell(words["stage"], words["share"], now) or now - told > _TELL_EVERY_S
            answer = "go on"
            if changed and now - told > _TELL_EVERY_S:
                told = beaten = now
                changed = False
                answer = self._heard(
                    lambda: self._tools.queue.tell(claimed, course.to_dict(), course.brief())
                )
            elif now - beaten > 1.0:
                beaten = now
                answer = self._heard(lambda: queue.beat(claimed))
            if now - weighed > _WEIGH_EVERY_S:
                weighed = now
                self._bound(process, now - begun, longest_s)
            if answer == "lost":
                process.kill()
                raise _EndedError(None)
            if self._stopping.is_set():
                process.kill()
                raise _EndedError(None)
            if answer == "cancel" and cancelled_at is None:
                cancelled_at = now
                process.say(cancel=True)
            if cancelled_at is not None and now - cancelled_at > limits.cancel_s:
                process.kill()
                raise _EndedError(Problem("cancelled", "cancelled; nothing was written"))

    def _send(self, outbox: Outbox, told: Mapping[str, Any]) -> None:
        """Have somebody else run a stage, or tell the process that nobody will."""
        assert self._process is not None
        try:
            taken = outbox.take(told)
        except Problem:
            taken = False
        if taken:
            self.call_others()
        else:
            self._process.say(ended=told["name"])

    def _heard(self, say: Callable[[], Answer]) -> Answer:
        """The answer to a sign of life; while the database is away the job goes on."""
        try:
            return say()
        except Problem as problem:
            if problem.code != "busy":
                raise
            return "go on"

    def _bound(self, process: WorkerProcess, seconds: float, longest_s: float) -> None:
        """End a process that takes more than it may.

        Raises:
            _EndedError: it did.
        """
        if seconds > longest_s:
            process.kill()
            raise _EndedError(Problem("time_limit", f"it was stopped after {longest_s:.0f} s"))
        taken, most = process.memory_bytes, self._tools.settings.worker.most_bytes
        if taken > most:
            process.kill()
            raise _EndedError(
                Problem(
                    "memory_limit", f"it was stopped at {taken / 1e9:.1f} GB of memory, of {most / 1e9:.1f}"
                )
            )

    # --- the process -------------------------------------------------------------------------------

    def get_ready(self) -> bool:
        """Have a process that waits for orders; False where none came up."""
        if self._process is not None and self._process.alive:
            return True
        settings = self._tools.settings
        card = None
        if settings.gpus:
            card = "" if self.quick_only else settings.gpus[(self._number - 1) % len(settings.gpus)]
        process = WorkerProcess(settings.work, settings.engine, warm=self.quick_only, card=card)
        until = time.monotonic() + _START_S
        with suppress(ProcessEndedError):
            while time.monotonic() < until and not self._stopping.is_set():
                if process.hear(_HEAR_S) is not None:
                    self._process, self._startless = process, False
                    return True
        if not self._stopping.is_set():
            self._startless = True
            LOG.error("a worker process did not start", extra={"said": process.last_words[-2000:]})
        process.kill()
        return False

    def _recycle(self) -> None:
        """Let a process go that ran long enough or has grown."""
        process, limits = self._process, self._tools.settings.worker
        if process is not None and process.busy:
            # Nobody waits for its job any more, and what it says of it would be taken for the next one's.
            process.kill()
        if process is None or not process.alive:
            if process is not None:
                process.close()
            self._process = None
            return
        process.jobs += 1
        if process.jobs >= limits.jobs or process.memory_bytes > limits.memory_bytes:
            LOG.info("a worker process is replaced", extra={"jobs": process.jobs})
            process.close()
            self._process = None


def _copies(files: Sequence[JobFile]) -> list[JobFile]:
    """New rows for each try to write them: a transaction that failed leaves its own in it."""
    columns = [column.key for column in JobFile.__table__.columns if column.key not in ("id", "job")]
    return [JobFile(**{name: getattr(file, name) for name in columns}) for file in files]


def _plain(stage: str) -> str:
    """A stage without the number of the render or of the song that it was of."""
    return " ".join(word for word in stage.split() if not word.isdigit())


def _result(done: Mapping[str, Any], course: Course) -> dict[str, Any]:
    stages = {stage: round(seconds, 3) for stage, seconds in course.seconds.items()}
    return {
        "engine_name": "mixagent",
        "engine_version": __version__,
        "runtime_seconds": done["seconds"],
        "device": done["device"],
        "model_name": None,
        "warnings": [],
        "met": None,
        "missed": None,
        "summary": [],
        "done": [],
        "before": None,
        "after": None,
        "findings": [],
        "stages": stages,
        **done["result"],
    }
