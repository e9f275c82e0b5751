"""A language model's endpoint on a free port of this machine, which answers by a script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "secret-of-the-tests"


@dataclass
class Scripted:
    """A running endpoint: its address, and what it was sent."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def said(self) -> str:
        """All that it was sent."""
        return json.dumps(self.asked)


Answer = Callable[[BaseHTTPRequestHandler], None]


def completion(content: str, **message: Any) -> bytes:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}}
    return json.dumps({"choices": [choice], "usage": {"total_tokens": 900}}).encode()


def moves(*calls: tuple[str, dict[str, Any]], why: str = "because") -> bytes:
    """A completion whose answer calls these tools."""
    named = [{"tool": tool, "arguments": arguments} for tool, arguments in calls]
    return completion(json.dumps({"why": why, "calls": named}))


def body(data: bytes, status: int = 200, **headers: str) -> Answer:
    """Answers with these bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def closed(handler: BaseHTTPRequestHandler) -> None:
    """Breaks off in the middle."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Says nothing for longer than anybody waits."""
    time.sleep(1.5)


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, without end."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(30):
        time.sleep(0.05)
        handler.wfile.write(b" ")
        handler.wfile.flush()


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Megabytes."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b"x" * 100_000)


@contextmanager
def scripted(answers: Sequence[bytes | Answer]) -> Iterator[Scripted]:
    """An endpoint that gives these answers in turn, the last one for ever."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            running.asked.append(json.loads(sent))
            running.headers.append(dict(self.headers))
            answer = left.pop(0) if len(left) > 1 else left[0]
            try:
                (body(answer) if isinstance(answer, bytes) else answer)(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Scripted(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
