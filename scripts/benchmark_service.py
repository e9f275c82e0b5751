"""The service under load: nothing lost, nothing twice, users in turn, what it costs.

    python scripts/benchmark_service.py load [--jobs 200] [--users 20] [--seconds 20] [--kind master]
    python scripts/benchmark_service.py streams [--streams 1000]
    python scripts/benchmark_service.py times SONG

`load` queues the jobs of all users at once, each with a song of its own, so that no result is found in the
cache, and runs the same songs through the library in one process: `throughput` is the share of the bare
engine's, by CPU seconds and by wall time. `order` is the worst lead that one user had over another in jobs
done while both waited. `streams` opens event streams and gives the memory of the service's process. `times`
is what a person waits for: start to page, drop to verdict, preview, second render after a tweak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

from mixagent.client import FINAL, Client
from mixagent.pipeline.memory import resident_bytes

RATE_HZ = 44_100
OPTIONS = {"separator": "none", "renders": 1}
"""A render of the master's chain alone: more load on the queue a second than with stems."""


@dataclass
class Server:
    """A service in a process of its own."""

    data: Path
    workers: int = 1
    port: int = 0
    process: subprocess.Popen[str] | None = None
    address: str = ""

    def start(self, accounts: bool = False) -> float:
        """Start it; seconds until it answers."""
        begun = time.monotonic()
        host = "0.0.0.0" if accounts else "127.0.0.1"
        command = [sys.executable, "-m", "mixagent", "serve", "--no-browser", "--data", str(self.data)]
        command += ["--port", str(self.port), "--workers", str(self.workers), "--host", host]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found = re.search(r"serving at http://[^:]+:(\d+)", line)
            if found:
                self.port = int(found[1])
                self.address = f"http://127.0.0.1:{self.port}"
                break
        threading.Thread(target=self._drain, daemon=True).start()
        httpx.get(f"{self.address}/healthz", timeout=60)
        return time.monotonic() - begun

    def _drain(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        for _ in self.process.stderr:
            pass

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()

    def children(self) -> list[int]:
        """Its worker processes, and those that check uploads."""
        assert self.process is not None
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                found += [int(number) for number in (task / "children").read_text().split()]
            except OSError:
                continue
        return found


@contextmanager
def running(folder: Path, workers: int = 1) -> Iterator[Server]:
    """A service, ended afterwards."""
    server = Server(folder / "data", workers)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def write_songs(folder: Path, count: int, seconds: float) -> list[Path]:
    """Songs that differ, so that no result of one is another's."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        notes = sum(np.sin(2 * np.pi * f * time_s + rng.uniform(0, 6)) for f in rng.uniform(80, 900, 5))
        beat = np.exp(-30 * (time_s % 0.5)) * rng.standard_normal(time_s.size)
        mono = 0.06 * notes + 0.2 * beat + 0.003 * rng.standard_normal(time_s.size)
        wide = np.stack([mono, mono + 0.01 * rng.standard_normal(time_s.size)], axis=1)
        paths.append(folder / f"song {number}.wav")
        soundfile.write(paths[-1], wide.astype(np.float32), RATE_HZ, "PCM_16")
    return paths


# --- load --------------------------------------------------------------------------------------------


def load(jobs: int, users: int, seconds: float, kind: str, workers: int) -> dict[str, Any]:
    """Many jobs of many users at once, beside the bare engine."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        songs = write_songs(folder, jobs, seconds)
        bare = bare_engine(songs, kind, folder)
        service = loaded(songs, users, kind, workers, folder)
    return {
        "jobs": jobs,
        "users": users,
        "song_s": seconds,
        "kind": kind,
        "workers": workers,
        "bare": bare,
        "service": service,
        "throughput_wall": round(bare["wall_s"] / service["wall_s"], 3),
        "throughput_cpu": round(bare["cpu_s"] / service["cpu_s"], 3),
    }


def bare_engine(songs: Sequence[Path], kind: str, folder: Path) -> dict[str, Any]:
    """The same calls of the library one after the other in one warm process."""
    cache = folder / "bare cache"
    program = (
        "import sys, json, mixagent; songs, out, kind, options = json.loads(sys.argv[1])\n"
        "for n, song in enumerate(songs):\n"
        "    if kind == 'analyze': mixagent.analyze(song)\n"
        "    else: mixagent.master(song, output=f'{out}/{n}.wav', "
        "report=[f'{out}/{n}.json', f'{out}/{n}.html'], **options)\n"
    )
    out = folder / "bare"
    out.mkdir()
    words = json.dumps([[str(song) for song in songs], str(out), kind, OPTIONS])
    environment = {**os.environ, "MIXAGENT_CACHE": str(cache), "MIXAGENT_DATA": str(folder / "bare data")}
    begun, before = time.monotonic(), children_cpu_s()
    subprocess.run([sys.executable, "-c", program, words], env=environment, check=True)
    found = {
        "wall_s": round(time.monotonic() - begun, 2),
        "cpu_s": round(children_cpu_s() - before, 2),
    }
    shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(out)
    return found


def children_cpu_s() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def loaded(songs: Sequence[Path], users: int, kind: str, workers: int, folder: Path) -> dict[str, Any]:
    """All jobs through a service; each user's jobs are queued one after the other, users side by side."""
    from mixagent.service.access import Keys
    from mixagent.service.store.database import Database

    data = folder / "data"
    database = Database(data / "service.sqlite")
    keys = [Keys(database).create(f"user{n}", "load", ["write"])[0] for n in range(users)]
    database.close()
    before = children_cpu_s()
    server = Server(data, workers)
    server.start(accounts=True)
    clients = [Client(server.address, key) for key in keys]
    owner = {}
    begun = time.monotonic()
    for number, song in enumerate(songs):
        client = clients[number % users]
        upload = client.upload(song)
        job = client.submit(kind, [upload], {} if kind == "analyze" else OPTIONS)
        owner[job["id"]] = number % users
    submitted_s = time.monotonic() - begun
    ended = followed(clients, owner)
    wall_s = time.monotonic() - begun
    states = Counter(row["state"] for row in ended.values())
    attempts = Counter(row["attempts"] for row in ended.values())
    times = sorted((row["started_at"], owner[id_]) for id_, row in ended.items())
    order = fairness([user for _, user in times], users)
    waits = sorted(seconds_between(row["created_at"], row["started_at"]) for row in ended.values())
    for client in clients:
        client.close()
    server.stop()
    return {
        "wall_s": round(wall_s, 2),
        "submitted_s": round(submitted_s, 2),
        "cpu_s": round(children_cpu_s() - before, 2),
        "states": dict(states),
        "attempts": dict(attempts),
        "lost": len(owner) - len(ended),
        "worst_lead_jobs": order,
        "wait_median_s": round(waits[len(waits) // 2], 2),
    }


def followed(clients: Sequence[Client], owner: dict[str, int]) -> dict[str, Any]:
    """Every job once it has ended."""
    ended: dict[str, Any] = {}
    while len(ended) < len(owner):
        for id_, user in owner.items():
            if id_ not in ended:
                row = clients[user].job(id_)
                if row["state"] in FINAL:
                    ended[id_] = row
        time.sleep(2.0)
    return ended


def fairness(served: Sequence[int], users: int) -> int:
    """The most jobs by which one user was ahead of another who still waited."""
    left, done = Counter(served), Counter[int]()
    worst = 0
    for user in served:
        done[user] += 1
        waiting = [other for other in range(users) if done[other] < left[other]]
        if waiting:
            worst = max(worst, done[user] - min(done[other] for other in waiting))
    return worst


def seconds_between(begin: str, end: str) -> float:
    """Seconds between two times of the API."""
    from datetime import datetime

    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


# --- streams -----------------------------------------------------------------------------------------


def streams(count: int) -> dict[str, Any]:
    """Memory of the service with so many event streams open."""
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as server:
        assert server.process is not None
        time.sleep(10.0)
        before = own_memory(server.process.pid)
        after = asyncio.run(held_open(server, count))
    return {
        "streams": count,
        "memory_before_mb": round(before / 1e6, 1),
        "memory_with_streams_mb": round(after / 1e6, 1),
        "kilobytes_a_stream": round((after - before) / count / 1e3, 1),
    }


async def held_open(server: Server, count: int) -> int:
    """Open streams, and look at the memory while they are."""
    assert server.process is not None
    connections = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await writer.drain()
        await reader.readuntil(b"retry: 2000")
        connections.append(writer)
    await asyncio.sleep(3.0)
    taken = own_memory(server.process.pid)
    for writer in connections:
        writer.close()
    return taken


def own_memory(process: int) -> int:
    """Memory of a process without those that it started."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# --- times -------------------------------------------------------------------------------------------


def times(song: Path) -> dict[str, Any]:
    """What a person waits for."""
    found: dict[str, Any] = defaultdict(float)
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch) / "data")
        found["start_to_answer_s"] = round(server.start(), 2)
        try:
            with Client(server.address) as client:
                while client._http.get("/readyz").status_code != 200:
                    time.sleep(0.1)
                time.sleep(8.0)
                upload, found["upload_and_check_s"] = timed(lambda: client.upload(song))
                for name, kind, options in (
                    ("verdict_s", "analyze", {}),
                    ("dry_run_s", "master", {"dry_run": True}),
                    ("preview_30_s_s", "master", {"preview": 30}),
                    ("full_s", "master", {}),
                    ("second_render_s", "master", {"preset": "loud"}),
                    ("same_again_s", "master", {}),
                ):
                    job, seconds = timed(lambda k=kind, o=options: waited(client, k, upload, o))
                    found[name] = seconds
                    found[f"{name}_runtime"] = job["result"]["runtime_seconds"]
            assert server.process is not None
            found["memory_mb"] = round((resident_bytes(server.process.pid) or 0) / 1e6)
        finally:
            server.stop()
    found["load_average"] = os.getloadavg()[0]
    return dict(found)


def waited(client: Client, kind: str, upload: str, options: dict[str, Any]) -> Any:
    """A job from its request to its end."""
    return client.wait(client.submit(kind, [upload], options)["id"])


def timed(work: Any) -> tuple[Any, float]:
    """What work gives, and the seconds that it took."""
    begun = time.monotonic()
    found = work()
    return found, round(time.monotonic() - begun, 2)


def main() -> None:
    """Run one of the benchmarks and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    which = parser.add_subparsers(dest="which", required=True)
    of_load = which.add_parser("load")
    of_load.add_argument("--jobs", type=int, default=200)
    of_load.add_argument("--users", type=int, default=20)
    of_load.add_argument("--seconds", type=float, default=20.0)
    of_load.add_argument("--kind", choices=("master", "analyze"), default="master")
    of_load.add_argument("--workers", type=int, default=1)
    which.add_parser("streams").add_argument("--streams", type=int, default=1000)
    which.add_parser("times").add_argument("song", type=Path)
    given = parser.parse_args()
    if given.which == "load":
        found = load(given.jobs, given.users, given.seconds, given.kind, given.workers)
    elif given.which == "streams":
        found = streams(given.streams)
    else:
        found = times(given.song)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
