"""PostgreSQL, Redis and an S3 for tests, each started here on a free port and ended afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_START_S = 60.0


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@contextmanager
def _run(
    command: Sequence[object], port: int, log: Path, end: int = signal.SIGTERM, **more
) -> Iterator[subprocess.Popen]:
    """A server, once it takes connections; `end` is the signal that ends it."""
    with log.open("ab") as said:
        process = subprocess.Popen([*map(str, command)], stdout=said, stderr=said, **more)
    try:
        until = time.monotonic() + _START_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- Redis -------------------------------------------------------------------------------------------

NO_REDIS = None if shutil.which("redis-server") else "redis-server is not installed"


@contextmanager
def redis(port: int | None = None) -> Iterator[tuple[str, subprocess.Popen]]:
    """The URL of a Redis, and its process."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with _run(command, port, Path(folder) / "log") as process:
            yield f"redis://127.0.0.1:{port}/0", process


# --- PostgreSQL --------------------------------------------------------------------------------------

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
_AS_ROOT = os.name == "posix" and os.geteuid() == 0
_USER = "postgres"


def _why_no_postgres() -> str | None:
    if not _PROGRAMS:
        return "PostgreSQL is not installed"
    if _AS_ROOT:
        import pwd

        if shutil.which("setpriv") is None:
            return "PostgreSQL does not run as root, and setpriv is not installed"
        try:
            pwd.getpwnam(_USER)
        except KeyError:
            return f"PostgreSQL does not run as root, and there is no user {_USER}"
    return None


NO_POSTGRES = _why_no_postgres()


@dataclass
class Postgres:
    """A cluster: `url` leads to a database of its own for each test."""

    folder: Path
    port: int
    process: subprocess.Popen | None = None
    count: int = 0

    def sql(self, words: str, database: str = "postgres"):
        """The rows that a statement gives."""
        import psycopg

        where = f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"
        with psycopg.connect(where, autocommit=True) as connection:
            found = connection.execute(words)
            return found.fetchall() if found.description else []

    def url(self) -> str:
        """A new, empty database."""
        self.count += 1
        self.sql(f"CREATE DATABASE test{self.count} STRATEGY file_copy")
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/test{self.count}"

    def drop_connections(self) -> int:
        """End every connection but one's own, as a server does that is restarted; how many there were."""
        rows = self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return len(rows)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A cluster of PostgreSQL that is quick, and safe against nothing."""
    programs = _PROGRAMS[-1].parent
    # Not below pytest's own folder, which is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    prefix = []
    if _AS_ROOT:
        shutil.chown(folder, _USER, _USER)
        prefix = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
    data, port = folder / "data", free_port()
    try:
        command = [*prefix, str(programs / "initdb"), "-D", str(data), "-U", _USER, "-A", "trust"]
        subprocess.run([*command, "-E", "UTF8", "--no-sync"], check=True, capture_output=True, cwd=folder)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*prefix, programs / "postgres", "-D", data, "-p", port, *words]
        cluster = Postgres(folder, port)
        # Otherwise it would wait for its clients, and for the disk.
        with _run(command, port, folder / "log", signal.SIGQUIT, cwd=folder) as process:
            cluster.process = process
            _until_open(cluster)
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _until_open(cluster: Postgres) -> None:
    import psycopg

    until = time.monotonic() + _START_S
    while True:
        try:
            cluster.sql("SELECT 1")
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


# --- S3 ----------------------------------------------------------------------------------------------

try:
    import moto.server  # noqa: F401

    NO_S3 = None
except ImportError:
    NO_S3 = "moto[server] is not installed"

S3_KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
BUCKET = "songs"


@contextmanager
def s3() -> Iterator[str]:
    """The address of an S3 with a bucket."""
    import httpx

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="s3-") as folder:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
        with _run(command, port, Path(folder) / "log", cwd=folder):
            httpx.put(f"{address}/{BUCKET}").raise_for_status()
            yield address


class Unreliable:
    """An S3 behind a network that does as it is told: `faults` are met by the next requests, one each.

    `503` answers so, `drop` asks the S3 and hangs up without its answer, `twice` asks it two times and gives
    the second answer, `cut` gives half of a body, `slow` answers after half a second, `other` changes a byte
    of the answer.
    """

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.faults: list[str] = []
        self.asked: list[str] = []

    @contextmanager
    def open(self) -> Iterator[str]:
        """Its address."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_) -> None:
                pass

            def _any(self) -> None:
                proxy._answer(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        import httpx

        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        self.asked.append(f"{asked.command} {asked.path}")
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "503":
            asked.send_response(503)
            asked.send_header("Content-Length", "0")
            asked.end_headers()
            return
        if fault == "slow":
            time.sleep(0.5)
        headers = {name: value for name, value in asked.headers.items() if name.lower() != "connection"}
        for _ in range(2 if fault == "twice" else 1):
            found = httpx.request(
                asked.command, self.behind + asked.path, content=body, headers=headers, timeout=60
            )
        if fault == "drop":
            asked.close_connection = True
            asked.connection.shutdown(socket.SHUT_RDWR)
            return
        data = found.content
        if fault == "other":
            data = bytes([data[0] ^ 1]) + data[1:]
        asked.send_response(found.status_code)
        for name, value in found.headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                asked.send_header(name, value)
        length = found.headers["Content-Length"] if asked.command == "HEAD" else str(len(data))
        asked.send_header("Content-Length", length)
        asked.end_headers()
        with suppress(OSError):
            asked.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        if fault == "cut":
            asked.close_connection = True
