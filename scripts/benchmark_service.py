"""The service under load: nothing lost, nothing twice, users in turn, what it costs.

    python scripts/benchmark_service.py load [--jobs 200] [--users 20] [--seconds 20] [--kind master]
        [--engine embedded|celery] [--broker URL]
    python scripts/benchmark_service.py streams [--streams 1000]
    python scripts/benchmark_service.py times SONG

`load` queues the jobs of all users at once, each with a song of its own, so that no result is found in the
cache. The library alone runs the same songs in as many warm processes as the service has workers for them,
one half before and the other half after, so that a machine that gets slower does so for both: `throughput`
is the share of the bare engine's, by CPU seconds and by wall time from the first upload to the last end, and
the client that uploads takes its part of the same cores. `cpu_s` says what took the service's seconds: its
own process, the workers, the processes that check uploads. `worst_lead_jobs` is the worst lead that one user
had over another in jobs begun while both waited; `other_bytes` counts masters that are not the library's.
With `--engine celery` the service gets a broker, a redis-server of its own where no `--broker` is named.

`streams` opens event streams and gives the memory of the service's
process. `times` is what a person waits for: start to page, drop to verdict, a preview of a song that nothing
else was asked of, a master until it can be heard and until all of it is there, the same after a tweak.
Beside each stand the CPU seconds of the service and all its processes, which other programs of the machine
do not lengthen as they do the wait.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
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

_SETTLE_S, _IDLE_SHARE = 2.0, 0.1


@dataclass
class Server:
    """A service in a process of its own; `more` are further options of `mixagent serve`.

    Where they name a broker, `mixagent work` is started beside it, and counted with its workers.
    """

    data: Path
    workers: int = 1
    port: int = 0
    process: subprocess.Popen[str] | None = None
    address: str = ""
    more: Sequence[str] = ()
    beside: subprocess.Popen[bytes] | None = None

    def start(self, accounts: bool = False) -> float:
        """Start it; seconds until it answers."""
        begun = time.monotonic()
        host = "0.0.0.0" if accounts else "127.0.0.1"
        command = [sys.executable, "-m", "mixagent", "serve", "--no-browser", "--data", str(self.data)]
        command += ["--port", str(self.port), "--workers", str(self.workers), "--host", host, *self.more]
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
        if "--broker" in self.more:
            program = [sys.executable, "-m", "mixagent", "work", "--data", str(self.data)]
            program += ["--workers", str(self.workers), *self.more]
            self.beside = subprocess.Popen(program, stderr=subprocess.DEVNULL)
        return time.monotonic() - begun

    def settle(self) -> None:
        """Wait until its workers are there and have loaded what they load ahead."""
        while httpx.get(f"{self.address}/readyz", timeout=60).status_code != 200:
            time.sleep(0.1)
        before, now = -1.0, sum(self.cpu_s().values())
        while now - before > _IDLE_SHARE * _SETTLE_S:
            time.sleep(_SETTLE_S)
            before, now = now, sum(self.cpu_s().values())

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds until now of its own process, of workers, and of processes that check uploads."""
        assert self.process is not None
        found = {"service": cpu_of(self.process.pid)[0], "workers": 0.0, "checks": 0.0}
        for child in self.children():
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
            found["checks" if b"check_child" in words else "workers"] += cpu_of_all(child)
        if self.beside is not None:
            found["workers"] += cpu_of_all(self.beside.pid)
        return found

    def _drain(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        for _ in self.process.stderr:
            pass

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it."""
        for process in (self.beside, self.process):
            if process is not None:
                process.send_signal(how)
                process.wait()

    def children(self) -> list[int]:
        """Its worker processes, and those that check uploads."""
        assert self.process is not None
        return children_of(self.process.pid)


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


def load(
    jobs: int, users: int, seconds: float, kind: str, workers: int, more: Sequence[str] = ()
) -> dict[str, Any]:
    """Many jobs of many users at once, beside the bare engine."""
    processes = workers + (kind == "analyze")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        songs = write_songs(folder, jobs, seconds)
        first = bare_engine(songs[::2], kind, folder, processes)
        service, hashes = loaded(songs, users, kind, workers, folder, more)
        second = bare_engine(songs[1::2], kind, folder, processes)
    own = {**first.pop("hashes"), **second.pop("hashes")}
    bare = {name: round(first[name] + second[name], 2) for name in first}
    return {
        "jobs": jobs,
        "users": users,
        "song_s": seconds,
        "kind": kind,
        "workers": workers,
        "processes": processes,
        "bare": bare,
        "service": service,
        "other_bytes": sum(own[name] != sha256 for name, sha256 in hashes.items()),
        "throughput_wall": round(bare["wall_s"] / service["wall_s"], 3),
        "throughput_cpu": round(bare["cpu_s"] / sum(service["cpu_s"].values()), 3),
        "load_average": os.getloadavg()[0],
    }


_BARE = """
import json, sys, time, mixagent, numpy
songs, out, kind, options = json.loads(sys.argv[1])
rng = numpy.random.default_rng(0)
noise = mixagent.Audio((0.1 * rng.standard_normal((2, 44100))).astype("f4"), 44100)

def run(song, name):
    if kind == "analyze":
        mixagent.analyze(song)
        return
    reports = [f"{out}/{name}.json", f"{out}/{name}.html"]
    mixagent.master(song, output=f"{out}/{name}.wav", report=reports, **options)

run(noise, "noise")
print("ready", flush=True)
sys.stdin.readline()
begun, before = time.monotonic(), time.process_time()
for song in songs:
    run(song, song.rpartition("/")[2])
print(json.dumps({"wall_s": time.monotonic() - begun, "cpu_s": time.process_time() - before}))
"""


def bare_engine(songs: Sequence[Path], kind: str, folder: Path, processes: int) -> dict[str, Any]:
    """The same calls of the library in warm processes: seconds, and the hashes of the masters."""
    cache, out = folder / "bare cache", folder / "bare"
    out.mkdir()
    environment = {**os.environ, "MIXAGENT_CACHE": str(cache), "MIXAGENT_DATA": str(folder / "bare data")}
    started = []
    for number in range(processes):
        words = json.dumps([[str(song) for song in songs[number::processes]], str(out), kind, OPTIONS])
        command = [sys.executable, "-c", _BARE, words]
        started.append(
            subprocess.Popen(
                command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    begun = time.monotonic()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [json.loads(process.communicate()[0]) for process in started]
    found = {"wall_s": time.monotonic() - begun, "cpu_s": sum(each["cpu_s"] for each in told)}
    hashes = {path.name.removesuffix(".wav"): sha256_of(path) for path in out.glob("song*.wav.wav")}
    shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(out)
    return {**found, "hashes": hashes}


def sha256_of(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def children_of(process: int) -> list[int]:
    """The processes that one started and that still run."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            found += [int(number) for number in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def cpu_of_all(process: int) -> float:
    """CPU seconds of a process and of all below it; 0 where it has ended meanwhile."""
    try:
        return sum(cpu_of(process)) + sum(cpu_of_all(child) for child in children_of(process))
    except OSError:
        return 0.0


def cpu_of(process: int) -> tuple[float, float]:
    """CPU seconds of a process, and of those that it started and waited for."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    user, system, of_user, of_system = (int(word) / os.sysconf("SC_CLK_TCK") for word in words[11:15])
    return user + system, of_user + of_system


def loaded(
    songs: Sequence[Path], users: int, kind: str, workers: int, folder: Path, more: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """All jobs through a service, each user's one after the other, users side by side; hashes of masters."""
    from mixagent.service.access import Keys
    from mixagent.service.store.database import Database

    data = folder / "data"
    database = Database(data / "service.sqlite")
    keys = [Keys(database).create(f"user{n}", "load", ["write"])[0] for n in range(users)]
    database.close()
    server = Server(data, workers, more=more)
    server.start(accounts=True)
    server.settle()
    before = server.cpu_s()
    clients = [Client(server.address, key) for key in keys]
    owner = {}
    begun = time.time()
    for number, song in enumerate(songs):
        client = clients[number % users]
        upload = client.upload(song)
        job = client.submit(kind, [upload], {} if kind == "analyze" else OPTIONS)
        owner[job["id"]] = number % users
    submitted_s = time.time() - begun
    ended = followed(clients, owner)
    after = server.cpu_s()
    states = Counter(row["state"] for row in ended.values())
    attempts = Counter(row["attempts"] for row in ended.values())
    times = sorted((row["started_at"], owner[id_]) for id_, row in ended.items())
    waits = sorted(seconds_between(row["created_at"], row["started_at"]) for row in ended.values())
    last = max(datetime.fromisoformat(row["ended_at"]).timestamp() for row in ended.values())
    for client in clients:
        client.close()
    server.stop()
    masters = {
        row["name"]: file["sha256"]
        for row in ended.values()
        for file in row["files"]
        if file["role"] == "master"
    }
    return {
        "wall_s": round(last - begun, 2),
        "submitted_s": round(submitted_s, 2),
        "cpu_s": {name: round(after[name] - before[name], 2) for name in after},
        "states": dict(states),
        "attempts": dict(attempts),
        "lost": len(owner) - len(ended),
        "worst_lead_jobs": fairness([user for _, user in times], users),
        "wait_median_s": round(waits[len(waits) // 2], 2),
    }, masters


@contextmanager
def engine_options(engine: str, broker: str | None) -> Iterator[list[str]]:
    """The options of `mixagent serve` for an engine, whose broker is started where none is named."""
    if engine == "embedded":
        yield []
        return
    if broker is not None:
        yield ["--broker", broker]
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    redis = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    try:
        yield ["--broker", f"redis://127.0.0.1:{port}/0"]
    finally:
        redis.terminate()
        redis.wait()


def followed(clients: Sequence[Client], owner: dict[str, int]) -> dict[str, Any]:
    """Every job once it has ended."""
    ended: dict[str, Any] = {}
    while len(ended) < len(owner):
        time.sleep(1.0)
        for user, client in enumerate(clients):
            if any(id_ not in ended for id_, of in owner.items() if of == user):
                rows = client._json("GET", "/v1/jobs?limit=200")["jobs"]
                ended |= {row["id"]: row for row in rows if row["state"] in FINAL and row["id"] in owner}
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
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


# --- streams -----------------------------------------------------------------------------------------


def streams(count: int) -> dict[str, Any]:
    """Memory of the service with so many event streams open."""
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as server:
        assert server.process is not None
        server.settle()
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
        # One user may ask fifty times a second.
        await asyncio.sleep(0.02)
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


_ASKED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "preview of 30 s": ("master", {"preview": 30}),
    "dry run": ("master", {"dry_run": True}),
    "master": ("master", {}),
    "tweak: brighter": ("master", {"goal": "brighter"}),
    "tweak: loud": ("master", {"preset": "loud"}),
    "the same again": ("master", {}),
}
"""What is asked of a song after its verdict."""


def times(song: Path) -> dict[str, Any]:
    """What a person waits for."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch) / "data")
        begun = time.monotonic()
        server.start()
        try:
            httpx.get(server.address).raise_for_status()
            found["start to page, s"] = round(time.monotonic() - begun, 2)
            server.settle()
            with Client(server.address) as client:
                upload, found["upload and check"] = measured(server, lambda: client.upload(song))
                _, found["verdict"] = measured(server, lambda: heard(client, "analyze", upload, {}))
                for name, (kind, options) in _ASKED.items():
                    job, taken = measured(server, lambda k=kind, o=options: heard(client, k, upload, o))
                    found[name] = {**taken, "stages": long_stages(job)}
                    whole, rest = timed(lambda id_=job["id"]: client.wait(id_))
                    found[name]["until all is there, s"] = round(taken["s"] + rest, 2)
                    found[name]["cached"] = whole["cached"]
                    print(name, json.dumps(found[name]), file=sys.stderr, flush=True)
            assert server.process is not None
            found["memory, MB"] = round((resident_bytes(server.process.pid) or 0) / 1e6)
        finally:
            server.stop()
    found["drop to verdict, s"] = round(found["upload and check"]["s"] + found["verdict"]["s"], 2)
    found["load average"] = os.getloadavg()[0]
    return found


def long_stages(job: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of the stages that a person notices."""
    return {name: seconds for name, seconds in job["result"]["stages"].items() if seconds >= 0.3}


def heard(client: Client, kind: str, upload: str, options: dict[str, Any]) -> Any:
    """A job from its request until its result can be heard; a page of its report may still be written."""
    job = client.submit(kind, [upload], options)
    while job["result"] is None:
        time.sleep(0.05)
        job = client.job(job["id"])
    return job


def measured(server: Server, work: Any) -> tuple[Any, dict[str, float]]:
    """What work gives, with its seconds, and the CPU seconds of all processes of the service meanwhile."""
    before = sum(server.cpu_s().values())
    found, seconds = timed(work)
    return found, {"s": seconds, "cpu_s": round(sum(server.cpu_s().values()) - before, 2)}


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
    of_load.add_argument("--engine", choices=("embedded", "celery"), default="embedded")
    of_load.add_argument("--broker")
    which.add_parser("streams").add_argument("--streams", type=int, default=1000)
    which.add_parser("times").add_argument("song", type=Path)
    given = parser.parse_args()
    if given.which == "load":
        with engine_options(given.engine, given.broker) as more:
            found = load(given.jobs, given.users, given.seconds, given.kind, given.workers, more)
    elif given.which == "streams":
        found = streams(given.streams)
    else:
        found = times(given.song)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
