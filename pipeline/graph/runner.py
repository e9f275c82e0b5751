"""The stage graph: named stages, run in the order of their needs, with progress and cancellation.

A result is addressed by what made it: the stage's name, version and settings, the code that makes sound
and the addresses of its inputs. So a second master of one song with another target finds its stems and
features again, and no program takes over what another version of it made.

A stage closes over nothing: all that it works with is in its context. So it can be sent to another
process, as an order (`order_of`, `run_order`).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

import mixagent
from mixagent.pipeline.errors import CancelledError
from mixagent.pipeline.graph.cache import Cache, Result, audio_reference
from mixagent.pipeline.memory import METER, Metered

__all__ = [
    "Cache",
    "Result",
    "Stage",
    "StageContext",
    "StageEvent",
    "audio_reference",
    "run_stages",
    "stage_keys",
]

Status = Literal["running", "ran", "cached", "skipped"]

_PROGRAM = (
    *("pipeline/**/*.py", "reward/**/*.py", "envs/**/*.py", "policies/**/*.py", "session/**/*.py"),
    "conductor/**/*.py",
    "conf/reward/*.yaml",
    "checkpoints/**/*.json",
    "checkpoints/**/*.safetensors",
)


@dataclass(frozen=True)
class StageContext:
    """The inputs and services that a running stage is given.

    Attributes:
        directory: an empty folder for its files.
        inputs: the results of the stages it needs, by name.
        progress: takes the share done, 0 to 1, and raises `CancelledError` when the run is to stop.
        settings: of the stage.
        given: of the stage.
    """

    directory: Path
    inputs: Mapping[str, Result]
    progress: Callable[[float], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


Run = Callable[[StageContext], Mapping[str, Any] | None]
"""The function of a stage: files into the context's folder, JSON-able values back; None where there was
nothing to do."""


@dataclass(frozen=True)
class Stage:
    """A named step. Its result may depend on `settings`, `version` and the needed results only.

    Attributes:
        name: of this stage in its run.
        run: what it does; of a stage that is to be sent to a worker, a function of a table such as
            `mixagent.session.table.STAGES`.
        needs: names of the stages whose results it works with.
        settings: JSON-able; what the result depends on.
        given: JSON-able; what the result does not depend on: where a file lies whose hash is in the
            settings, the device.
        version: changes where `run` makes something else of the same.
    """

    name: str
    run: Run
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1"
    given: Mapping[str, Any] = field(default_factory=dict)


Dispatch = Callable[[Stage, Sequence[Stage], Path, Callable[[float], None]], None]
"""Has a stage run in another process: takes it, its run, the folder of the cache, and who is told of its
progress. It comes back when the result is in the cache, or will not be."""

DISPATCH: ContextVar[Dispatch | None] = ContextVar("DISPATCH", default=None)
"""What the runs of this context ask before they make a result; they make it themselves where it is not there
afterwards."""


@dataclass(frozen=True)
class StageEvent:
    """The progress of a stage.

    Attributes:
        stage: its name.
        fraction: the share done, 0 to 1.
        status: how it stands.
        seconds: that it has taken.
        peak_bytes: the most memory of the whole program while it worked (see `memory.Metered`); None before
            its end, where it was in the cache, or where the system does not say.
        beside: stages that ran at some time of it, whose memory is in that figure.
    """

    stage: str
    fraction: float
    status: Status
    seconds: float
    peak_bytes: int | None = None
    beside: tuple[str, ...] = ()


@cache
def program_version() -> str:
    """The package's version and a SHA-256 of what makes the sound: code and fitted statistics.

    The version alone would let a development checkout find what its code made before an edit. Command
    line and reports are not among it: another word in a help text makes no other sound.
    """
    digest = hashlib.sha256()
    # More than one folder in a checkout without symbolic links.
    for root in (Path(mixagent.__file__).parent, *map(Path, mixagent.__path__[1:])):
        for file in sorted(file for pattern in _PROGRAM for file in root.glob(pattern)):
            digest.update(f"{file.relative_to(root)} {file.stat().st_size}\n".encode() + file.read_bytes())
    return f"{mixagent.__version__} {digest.hexdigest()}"


def stage_keys(stages: Iterable[Stage]) -> dict[str, str]:
    """The address of each stage's result, SHA-256 in hex, in an order that runs.

    Raises:
        ValueError: two stages of one name, a need that no stage meets, or a circle.
    """
    ordered = list(stages)
    by_name = {stage.name: stage for stage in ordered}
    missing = {need for stage in ordered for need in stage.needs} - by_name.keys()
    if missing or len(by_name) != len(ordered):
        raise ValueError(f"stage names are not unique, or these are needed and not there: {sorted(missing)}")
    keys: dict[str, str] = {}
    for name in TopologicalSorter({s.name: s.needs for s in ordered}).static_order():
        stage = by_name[name]
        parts = [name, stage.version, program_version(), stage.settings, [keys[need] for need in stage.needs]]
        keys[name] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return keys


def run_stages(
    stages: Sequence[Stage],
    cache: Cache,
    report: Callable[[StageEvent], None] | None = None,
    cancel: threading.Event | None = None,
    workers: int | None = None,
) -> dict[str, Result]:
    """Run the stages, those that do not need each other side by side, and give their results by name.

    On an error or Ctrl-C the stages that still run are stopped at their next progress call and
    waited for, and then the first error is raised.

    Args:
        stages: in any order.
        cache: where results are found and kept; they are valid until it is closed.
        report: called for each event, by one thread at a time.
        cancel: once set, the run ends with `CancelledError`.
        workers: stages at a time; the number of cores without it.
    """
    keys = stage_keys(stages)
    run = _Run({stage.name: stage for stage in stages}, keys, cache, report, cancel)
    order = TopologicalSorter({stage.name: stage.needs for stage in stages})
    order.prepare()
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="stage") as pool:
        try:
            _drive(run, order, pool)
        finally:
            run.stop_and_wait()
    return {stage.name: run.results[stage.name] for stage in stages}


def _drive(run: _Run, order: TopologicalSorter[str], pool: ThreadPoolExecutor) -> None:
    running: dict[Future[Result], str] = {}
    while order.is_active():
        running |= {pool.submit(run.stage, name): name for name in order.get_ready()}
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            name = running.pop(future)
            run.results[name] = future.result()
            order.done(name)


class _Run:
    def __init__(
        self,
        stages: Mapping[str, Stage],
        keys: Mapping[str, str],
        cache: Cache,
        report: Callable[[StageEvent], None] | None,
        cancel: threading.Event | None,
    ) -> None:
        self.results: dict[str, Result] = {}
        self._stop, self._running, self._ended = threading.Event(), 0, threading.Condition()
        self._stages, self._keys, self._cache = stages, keys, cache
        self._report, self._cancel, self._lock = report, cancel, threading.Lock()
        self._dispatch = DISPATCH.get()

    def stop_and_wait(self) -> None:
        """Stop the stages that run at their next progress call; no other starts.

        The pool alone would not wait for a thread whose start was interrupted by Ctrl-C.
        """
        self._stop.set()
        with self._ended:
            self._ended.wait_for(lambda: self._running == 0)

    def stage(self, name: str) -> Result:
        """The result of a stage, found or made."""
        with self._ended:
            self._running += 1
        try:
            return self._result(name)
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def _result(self, name: str) -> Result:
        stage, begin = self._stages[name], time.monotonic()

        def tell(fraction: float, status: Status = "running", taken: Metered | None = None) -> None:
            if self._stop.is_set() or (self._cancel is not None and self._cancel.is_set()):
                raise CancelledError("interrupted")
            if self._report is not None:
                peak, beside = (
                    (None, ()) if taken is None else (taken.peak_bytes, tuple(sorted(taken.beside)))
                )
                with self._lock:
                    self._report(StageEvent(name, fraction, status, time.monotonic() - begin, peak, beside))

        def fill(directory: Path) -> Mapping[str, Any] | None:
            inputs = {need: self.results[need] for need in stage.needs}
            return stage.run(StageContext(directory, inputs, tell, stage.settings, stage.given))

        tell(0.0)
        if self._dispatch is not None and not self._cache.has(name, self._keys[name]):
            self._dispatch(stage, tuple(self._stages.values()), self._cache.folder, tell)
        with METER.metered(name) as taken:
            result, cached = self._cache.obtain(name, self._keys[name], fill)
        status: Status = "skipped" if result.skipped else "cached" if cached else "ran"
        tell(1.0, status, None if cached else taken)
        return result


# --- stages for a worker -----------------------------------------------------------------------------


def order_of(stage: Stage, stages: Sequence[Stage], table: Mapping[str, Run]) -> dict[str, Any]:
    """A stage as a JSON-able object with which another process can run it on the same cache.

    Args:
        stage: one of `stages`.
        stages: its run.
        table: the stages that are known by name; the worker has the same.

    Raises:
        ValueError: the stage is none of the table's.
    """
    kind = next((name for name, run in table.items() if run is stage.run), None)
    if kind is None:
        raise ValueError(f"{stage.name} is no stage of the table, so no other process knows it")
    keys = stage_keys(stages)
    order = {
        "stage": stage.name,
        "kind": kind,
        "key": keys[stage.name],
        "inputs": {need: keys[need] for need in stage.needs},
        "settings": stage.settings,
        "given": stage.given,
    }
    # Tuples would come out of another process as lists.
    found: dict[str, Any] = json.loads(json.dumps(order))
    return found


def run_order(
    order: Mapping[str, Any],
    table: Mapping[str, Run],
    cache: Cache,
    progress: Callable[[float], None] = lambda share: None,
) -> Result:
    """Run an ordered stage, whose inputs are in the cache; what it makes is there for the orderer.

    Raises:
        KeyError: the order is of a stage that the table has not.
        LookupError: an input is not in the cache.
    """

    def missing(name: str) -> Callable[[Path], Mapping[str, Any] | None]:
        def fill(_: Path) -> Mapping[str, Any] | None:
            raise LookupError(f"{name}, which {order['stage']} needs, is not in the cache")

        return fill

    run = table[order["kind"]]
    inputs = {name: cache.obtain(name, key, missing(name))[0] for name, key in order["inputs"].items()}

    def fill(directory: Path) -> Mapping[str, Any] | None:
        return run(StageContext(directory, inputs, progress, order["settings"], order["given"]))

    return cache.obtain(order["stage"], order["key"], fill)[0]
