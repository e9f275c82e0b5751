"""The process that runs jobs, one after the other; models and kernels stay loaded between them.

It is started as `python -P -m mixagent.service.worker.child` and talks in lines of JSON. It is given orders
on stdin, `{"run": {...}}` for a job, `{"one stage": {...}}` for a stage of another's, `{"cancel": true}`,
and `{"ended": NAME}` of a stage that it sent. On what was its stdout it says `{"ready": …}`, `{"stage": …}`,
`{"send": …}`, `{"done": …}` or `{"failed": …}`. It knows its folder and nothing else: no database, no other
job, no key. Where the other end is gone it ends.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mixagent.service.worker.sandbox import die_with_parent, give_way_in_need
from mixagent.service.worker.sending import Sender

if TYPE_CHECKING:
    from mixagent.pipeline.types import Audio
    from mixagent.service.jobs.running import Made, Ran

_TELL_EVERY_S = 0.2
_PARENT_GONE = 70


class Telephone:
    """Says things to the parent, from any thread."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, **words: Any) -> None:
        """One line; where nobody hears it any more this process has no purpose."""
        try:
            with self._lock:
                self._stream.write(json.dumps(words) + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            os._exit(_PARENT_GONE)


def main() -> None:
    """Run jobs until stdin ends."""
    die_with_parent()
    give_way_in_need()
    telephone = Telephone(_own_stdout())
    warm = "warm" in sys.argv[1:]
    _load(warm)
    from mixagent.pipeline.graph.runner import DISPATCH
    from mixagent.types import Cancel

    orders: queue.Queue[Mapping[str, Any]] = queue.Queue()
    current: list[Cancel] = []
    sender = Sender(telephone.say)
    threading.Thread(target=_listen, args=(orders, current, sender), daemon=True).start()
    DISPATCH.set(sender)
    telephone.say(ready=True)
    if warm:
        _load_more(orders)
    while True:
        words = orders.get()
        cancel = Cancel()
        current[:] = [cancel]
        if "run" in words:
            sender.begin()
            _run(words["run"], cancel, telephone)
        else:
            _run_stage(words["one stage"], cancel, telephone)
        current.clear()


def _own_stdout() -> IO[str]:
    """What was stdout, for us alone: what others print goes to stderr."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(ours, "w", encoding="utf-8")


def _listen(orders: queue.Queue[Mapping[str, Any]], current: list[Any], sender: Sender) -> None:
    for line in sys.stdin:
        words = json.loads(line)
        if "run" in words or "one stage" in words:
            orders.put(words)
        if "ended" in words:
            sender.ended(words["ended"])
        for cancel in current if words.get("cancel") else ():
            cancel.cancel()
    os._exit(_PARENT_GONE)


def _load(warm: bool) -> None:
    """Load what every job needs, and with `warm` also what measuring does."""
    import mixagent.session.master

    if warm:
        mixagent.analyze(_noise())


def _load_more(orders: queue.Queue[Mapping[str, Any]]) -> None:
    """Load what verdicts and previews need by making them of a second of noise, while nobody waits."""
    import mixagent
    from mixagent.pipeline.files import scratch_folder

    with scratch_folder() as folder:
        master = {"output": folder / "noise.wav", "report": folder / "noise.html"}
        for options in ({"dry_run": True}, {"renders": 1, **master}):
            if orders.empty():
                mixagent.master(_noise(), overrides={"experience.remember": False}, **options)


def _noise() -> Audio:
    import numpy as np

    from mixagent.pipeline.types import Audio

    rng = np.random.default_rng(0)
    return Audio((0.1 * rng.standard_normal((2, 44_100))).astype(np.float32), 44_100)


def _run(order: Mapping[str, Any], cancel: Any, telephone: Telephone) -> None:
    """One job in its folder; whatever goes wrong with it is said."""
    from mixagent.pipeline.errors import MixagentError

    home, engine = Path.cwd(), os.environ["MIXAGENT_CACHE"]
    os.environ["MIXAGENT_CACHE"] = order["cache"]
    # What a job leaves in between goes with its folder, also where it is stopped.
    tempfile.tempdir = os.environ["TMPDIR"] = order["scratch"]
    os.chdir(order["folder"])
    try:
        telephone.say(done=_made(order, cancel, telephone))
    except MixagentError as error:
        telephone.say(failed={"code": error.code, "field": error.field, "detail": str(error)})
    except MemoryError:
        telephone.say(failed={"code": "memory_limit", "field": None, "detail": "the memory is full"})
    except Exception as error:  # noqa: BLE001 - the last handler: the parent tells the user, the log has the rest
        from mixagent.faults import told

        traceback.print_exception(error)
        telephone.say(failed={"code": "fault", "field": None, "detail": told(error).partition(";")[0]})
    finally:
        os.chdir(home)
        os.environ["MIXAGENT_CACHE"] = engine


def _run_stage(told: Mapping[str, Any], cancel: Any, telephone: Telephone) -> None:
    """A stage of a job that another process runs; its result is in the cache that both have."""
    from mixagent.pipeline.errors import CancelledError
    from mixagent.pipeline.files import scratch_folder
    from mixagent.pipeline.graph.runner import Cache, run_order
    from mixagent.session.table import STAGES

    def progress(_share: float) -> None:
        if cancel.is_set():
            raise CancelledError("interrupted")

    try:
        with scratch_folder(Path.cwd()) as scratch, Cache(Path(told["cache"]), float("inf")) as cache:
            tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
            run_order(told["order"], STAGES, cache, progress)
        telephone.say(done={})
    except Exception as error:  # noqa: BLE001 - whatever it is, the job runs the stage itself and then tells it
        telephone.say(failed={"code": "fault", "field": None, "detail": str(error)[:300]})


def _made(order: Mapping[str, Any], cancel: Any, telephone: Telephone) -> dict[str, Any]:
    from mixagent.service.jobs.kinds import KINDS
    from mixagent.service.jobs.running import OUT, Call
    from mixagent.types import Event

    told_at: dict[str, float] = {}

    def on_event(event: Event) -> None:
        now = time.monotonic()
        ends = event.share >= 1.0 or event.stage not in told_at
        if ends or now - told_at[event.stage] >= _TELL_EVERY_S:
            told_at[event.stage] = now
            telephone.say(stage=event.stage, share=event.share)

    OUT.mkdir()
    call = Call(**{**order["call"], "songs": tuple(order["call"]["songs"])})
    begun = time.monotonic()
    files: dict[Path, dict[str, Any]] = {}

    def told(ran: Ran) -> dict[str, Any]:
        seconds = round(time.monotonic() - begun, 3)
        for made in ran.files:
            if made.path not in files:
                files[made.path] = _file(made)
        rows = [files[made.path] for made in ran.files]
        return {"result": dict(ran.result), "files": rows, "seconds": seconds, "device": _device()}

    return told(KINDS[order["kind"]].run(call, on_event, lambda ran: telephone.say(first=told(ran)), cancel))


def _file(made: Made) -> dict[str, Any]:
    from mixagent.service.worker.waveform import sound_of

    sound = sound_of(made.path) if made.role in ("master", "stem") else None
    return {
        "path": str(made.path),
        "name": made.path.name,
        "role": made.role,
        "stem": made.stem,
        "audio": None if sound is None else sound.audio,
        "peaks": None if sound is None else sound.peaks.hex(),
    }


def _device() -> str:
    from mixagent.pipeline.separation import resolve_device

    return resolve_device("auto")


if __name__ == "__main__":
    main()
