"""Parts of the service are killed at random moments while it works: no job may be lost, no file left over.

    python scripts/chaos_service.py [--strikes 100] [--every 4] [--seconds 1.5] [--seed 0] [--disk FOLDER]
        [--engine embedded|apart]

While masters of short songs are sent without pause, one of these happens every few seconds (`--every` on
average):

    service     SIGKILL to `mixagent serve`, which is started again
    worker      SIGKILL to a worker process
    check       SIGKILL to the process that decodes an upload
    disk        another program takes all of the disk's room, for a while
    lock        another program has the database locked, for a while, longer than a writer waits or shorter

With `--engine apart` the API has no workers: `mixagent work` is a program of its own, the database PostgreSQL
and the broker Redis, started here, and in the place of `lock` there are

    work        SIGKILL to `mixagent work`, which is started again
    redis       SIGKILL to Redis, which is started again and has forgotten everything
    database    every connection to the database is ended by it

Those that last go on beside the next ones. The data lie on a file system of their own of 2 GB: in memory
where this program may mount one, else in `--disk`; without either there is no `disk`. After the last
strike every job that was accepted must end, done or with a reason; each master that is done must have the
hash that the service names, and the bytes that the library makes of the same song undisturbed; after
uploads are deleted and a sweep has gone over it, no blob may lie there without a row, no unfinished
upload, no folder of a job, no stages of a song that nobody has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from benchmark_service import OPTIONS, Server, write_songs

import mixagent
from mixagent.client import FINAL, Client

SONGS = 12
_DISK_BYTES = 2_000_000_000
_WAITING = 6
"""Jobs that wait or run at a time: the end of a run is soon told."""

_WORK_S = 8.0
_END_S = 300.0


class Apart:
    """PostgreSQL, Redis and `mixagent work`, beside a service that has no workers of its own."""

    def __init__(self, data: Path, stack: ExitStack) -> None:
        # They are started as the tests do it.
        sys.path.append(str(Path(mixagent.__file__).parents[1] / "tests"))
        import servers

        self._servers, self._data, self._stack = servers, data, stack
        self.postgres = stack.enter_context(servers.postgres())
        self.url = self.postgres.url()
        self._port = servers.free_port()
        self._start_redis()
        os.environ["MIXAGENT_DATABASE"] = self.url
        os.environ["MIXAGENT_BROKER"] = f"redis://127.0.0.1:{self._port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        stack.callback(self.stop_work)

    def start_work(self) -> None:
        """Start workers."""
        command = [sys.executable, "-m", "mixagent", "work", "--data", str(self._data)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def stop_work(self) -> None:
        """Kill the program of workers."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def restart_redis(self) -> None:
        """Kill Redis, and start it on the same port."""
        self._redis.kill()
        self._redis.wait()
        self._start_redis()

    def _start_redis(self) -> None:
        _, self._redis = self._stack.enter_context(self._servers.redis(self._port))


@dataclass
class Chaos:
    """A service under fire, and what was seen of it."""

    server: Server
    songs: Sequence[Path]
    rng: random.Random
    disk: Path | None
    apart: Apart | None = None
    accepted: dict[str, tuple[int, float]] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    starts_failed: int = 0
    struck_at: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    lasting: list[threading.Thread] = field(default_factory=list)

    # --- the strikes -------------------------------------------------------------------------------

    def strike(self) -> str:
        """One of all strikes; `nothing` where there was nothing to strike."""
        # The service takes longest to come back, and nothing else is struck meanwhile.
        strikes: dict[Callable[[], str], int] = {self.service: 1, self.worker: 2, self.check: 2}
        if self.disk is not None:
            strikes[self.fill] = 2
        if self.apart is None:
            strikes[self.lock] = 2
        else:
            strikes |= {self.work: 1, self.redis: 2, self.database: 2}
        return self.rng.choices(list(strikes), list(strikes.values()))[0]()

    def service(self) -> str:
        """Kill the service, and start it until it answers."""
        self.server.stop(signal.SIGKILL)
        self.begin()
        return "service"

    def begin(self) -> None:
        """Start the service; it may take some tries while the disk is full."""
        while True:
            with suppress(httpx.HTTPError):
                self.server.start()
                return
            self.starts_failed += 1
            self.server.stop(signal.SIGKILL)
            time.sleep(0.5)

    def worker(self) -> str:
        """Kill a worker process."""
        return "worker" if self._kill("service.worker.child") else "nothing"

    def check(self) -> str:
        """Kill the process that decodes an upload, as soon as there is one."""
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            if self._kill("service.worker.check_child"):
                return "check"
            time.sleep(0.005)
        return "nothing"

    def work(self) -> str:
        """Kill the program of workers, and start it."""
        assert self.apart is not None
        self.apart.stop_work()
        self.apart.start_work()
        return "work"

    def redis(self) -> str:
        """Kill Redis, and start it without what it knew."""
        assert self.apart is not None
        self.apart.restart_redis()
        return "redis"

    def database(self) -> str:
        """End every connection to the database."""
        assert self.apart is not None
        self.apart.postgres.drop_connections()
        return "database"

    def _kill(self, module: str) -> bool:
        roots = [self.server.process, None if self.apart is None else self.apart.process]
        running = [child for root in roots if root is not None for child in below(root.pid)]
        found = [child for child in running if module in command_of(child)]
        if not found:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.rng.choice(found), signal.SIGKILL)
            return True
        return False

    def fill(self) -> str:
        """Take all room of the disk for a while."""
        self._last(self._filled, self.rng.uniform(0.2, 3.0))
        return "disk"

    def _filled(self, seconds: float) -> None:
        assert self.disk is not None
        file = self.disk / f"filler {threading.get_ident()}"
        try:
            with file.open("wb") as opened:
                with suppress(OSError):
                    while True:
                        opened.write(bytes(1 << 20))
                with suppress(OSError):
                    while True:
                        opened.write(bytes(512))
                        opened.flush()
                time.sleep(seconds)
        except OSError:
            time.sleep(seconds)
        finally:
            file.unlink(missing_ok=True)

    def lock(self) -> str:
        """Have the database locked for a while; a writer of the service waits 10 s."""
        self._last(self._locked, self.rng.choices((0.5, 3.0, 14.0), (5, 4, 1))[0])
        return "lock"

    def _locked(self, seconds: float) -> None:
        with suppress(sqlite3.Error):
            connection = sqlite3.connect(
                self.server.data / "service.sqlite", timeout=5.0, isolation_level=None
            )
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.rollback()
            connection.close()

    def _last(self, work: Callable[[float], None], seconds: float) -> None:
        thread = threading.Thread(target=work, args=(seconds,), daemon=True)
        thread.start()
        self.lasting.append(thread)

    # --- the work ----------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Have the kernels compiled: else worker processes are killed while they do nothing but that."""
        with Client(self.server.address) as client:
            job = client.submit("master", [client.upload(self.songs[0])], OPTIONS)
            client.wait(job["id"])
        # The library compares its masters by the same kernels.
        os.environ["MIXAGENT_CACHE"] = str(self.server.data / "engine")

    def keep_sending(self) -> None:
        """Send songs, each master with an amount of its own, however often it is refused."""
        number = 0
        while not self.done.is_set():
            try:
                with Client(self.server.address) as client:
                    self._wait_for_room(client)
                    amount = 0.5 + 0.001 * number
                    upload = client.upload(self.songs[number % len(self.songs)])
                    options = {**OPTIONS, "amount": amount}
                    job = client.submit("master", [upload], options, idempotency_key=f"job {number}")
                self.accepted[job["id"]] = (number % len(self.songs), amount)
                number += 1
            except mixagent.MixagentError as error:
                self.refused[error.code] += 1
                time.sleep(0.3)

    def wait_for_work(self) -> None:
        """Let a job be accepted since the last strike, for a while: else nothing but idleness is struck."""
        before, until = self.struck_at, time.monotonic() + _WORK_S
        while len(self.accepted) == before and time.monotonic() < until:
            time.sleep(0.1)
        self.struck_at = len(self.accepted)

    def _wait_for_room(self, client: Client) -> None:
        while not self.done.is_set():
            states = [client.job(id_)["state"] for id_ in list(self.accepted)[-2 * _WAITING :]]
            if sum(state not in FINAL for state in states) < _WAITING:
                return
            time.sleep(0.2)


def below(process: int) -> list[int]:
    """All processes that a process started, and those that these started."""
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                for child in map(int, (task / "children").read_text().split()):
                    found += [child, *below(child)]
    return found


def command_of(process: int) -> str:
    """The command line of a process."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def endured(chaos: Chaos, strikes: int, every_s: float, longest_s: float) -> dict[str, Any]:
    """All strikes, and what is there afterwards."""
    chaos.begin()
    if chaos.apart is not None:
        chaos.apart.start_work()
    chaos.warm_up()
    begun = time.monotonic()
    sender = threading.Thread(target=chaos.keep_sending, daemon=True)
    sender.start()
    until = time.monotonic() + longest_s
    while chaos.struck.total() - chaos.struck["nothing"] < strikes and time.monotonic() < until:
        time.sleep(chaos.rng.uniform(0.1, 1.9) * every_s)
        chaos.wait_for_work()
        struck = chaos.strike()
        chaos.struck[struck] += 1
        seconds = time.monotonic() - begun
        print(f"{seconds:.0f} s: {struck}; {len(chaos.accepted)} jobs", file=sys.stderr, flush=True)
    for thread in chaos.lasting:
        thread.join()
    chaos.done.set()
    sender.join()
    rows = ended(chaos)
    states = Counter(row["state"] for row in rows.values())
    return {
        "strikes": {name: count for name, count in chaos.struck.items() if name != "nothing"},
        "seconds": round(time.monotonic() - begun),
        "starts_failed": chaos.starts_failed,
        "uploads_and_jobs_refused": dict(chaos.refused),
        "accepted": len(chaos.accepted),
        "ended": dict(states),
        "reasons": dict(Counter(row["problem"]["code"] for row in rows.values() if row["state"] != "done")),
        "tries_of_those_done": dict(
            Counter(row["attempts"] for row in rows.values() if row["state"] == "done")
        ),
        "lost": len(chaos.accepted) - len(rows),
        **results(chaos, rows),
        "left_over": left_over(chaos),
    }


def ended(chaos: Chaos) -> dict[str, Any]:
    """The accepted jobs at their ends, as far as they come to one within minutes."""
    rows: dict[str, Any] = {}
    until = time.monotonic() + _END_S
    with Client(chaos.server.address) as client:
        while len(rows) < len(chaos.accepted) and time.monotonic() < until:
            for id_ in chaos.accepted:
                if id_ not in rows:
                    row = client.job(id_)
                    if row["state"] in FINAL:
                        rows[id_] = row
            time.sleep(0.5)
    return rows


def results(chaos: Chaos, rows: dict[str, Any]) -> dict[str, int]:
    """How many masters are not what they should be, by the service's hash and by the library."""
    torn = other = compared = 0
    with tempfile.TemporaryDirectory() as scratch, Client(chaos.server.address) as client:
        for id_, row in rows.items():
            if row["state"] != "done":
                continue
            (file,) = (file for file in row["files"] if file["role"] == "master")
            body = client._http.get(file["url"]).content
            torn += hashlib.sha256(body).hexdigest() != file["sha256"]
            # Every tenth, and all that were tried twice.
            if row["attempts"] > 1 or len(rows) < 20 or compared * 10 < len(rows):
                number, amount = chaos.accepted[id_]
                compared += 1
                other += body != undisturbed(chaos.songs[number], amount, Path(scratch))
    return {"torn": torn, "compared_with_the_library": compared, "other_bytes": other}


def undisturbed(song: Path, amount: float, folder: Path) -> bytes:
    """The master that the library makes of a song."""
    path = folder / f"{song.stem}.master.wav"
    path.unlink(missing_ok=True)
    words = {"overrides": {"experience.remember": False}, "amount": amount, **OPTIONS}
    mixagent.master(song, output=path, **words)
    return path.read_bytes()


def left_over(chaos: Chaos) -> dict[str, int]:
    """Files without an owner once all uploads are deleted and a sweep has gone over the folder."""
    from mixagent.service.store.database import Database
    from mixagent.service.store.release import named_blobs

    server = chaos.server
    with Client(server.address) as client:
        while rows := client._json("GET", "/v1/uploads?limit=200")["uploads"]:
            for row in rows:
                client.delete_upload(row["id"])
    server.stop()
    # A sweep leaves what is young.
    for path in server.data.rglob("*"):
        if path.is_file() and "service." not in path.name:
            os.utime(path, (0, 0))
    chaos.begin()
    time.sleep(4.0)
    database = Database(server.data / "service.sqlite" if chaos.apart is None else chaos.apart.url)
    with database.reading() as session:
        named = named_blobs(session)
    database.close()
    blobs = {path.name for path in (server.data / "blobs").rglob("*") if path.is_file()}
    caches = [path.read_text().split() for path in (server.data / "cache").glob("*/blobs.txt")]
    return {
        "blobs_without_a_row": len(blobs - named),
        "rows_without_a_blob": len(named - blobs),
        "unfinished_uploads": sum(1 for _ in (server.data / "incoming").iterdir()),
        "folders_of_jobs": sum(1 for _ in (server.data / "work").glob("*")),
        "stages_of_songs_that_are_gone": sum(not set(names) <= named for names in caches),
    }


@contextmanager
def small_disk(given: Path | None, folder: Path) -> Iterator[Path | None]:
    """A file system of its own: the one that was given, or one in memory where it may be mounted."""
    if given is not None:
        yield given
        return
    place = folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield place
    finally:
        # What is still open there, in a run that was interrupted, is let go of first.
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def main() -> None:
    """Strike, and print what was endured; exit code 1 where anything was lost or left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--strikes", type=int, default=100)
    parser.add_argument("--every", type=float, default=4.0)
    parser.add_argument("--longest", type=float, default=7200.0, help="seconds after which no more is struck")
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--disk", type=Path)
    parser.add_argument("--engine", choices=("embedded", "apart"), default="embedded")
    given = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        disk = stack.enter_context(small_disk(given.disk, scratch))
        songs = write_songs(scratch, SONGS, given.seconds)
        data = (disk or scratch) / "data"
        apart = Apart(data, stack) if given.engine == "apart" else None
        server = Server(data, workers=1 if apart is None else 0)
        stack.callback(server.stop, signal.SIGKILL)
        chaos = Chaos(server, songs, random.Random(given.seed), disk, apart)
        found = endured(chaos, given.strikes, given.every, given.longest)
    print(json.dumps(found, indent=2))
    wrong = found["lost"] + found["torn"] + found["other_bytes"] + sum(found["left_over"].values())
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
