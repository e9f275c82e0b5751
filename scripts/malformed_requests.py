"""Requests that make no sense, thousands of them: no answer may be a 500, hang, or tell of the inside.

    python scripts/malformed_requests.py [--schema 5000] [--hand 5000] [--seed 0]

A service is started, with one song and one job that is done. `--schema` requests are made by schemathesis
out of the service's own OpenAPI, of all routes, half of them such that the schema forbids; half of them
go to the song and the job that are there. `--hand` requests are bytes on a socket: request lines,
headers, bodies, chunks, ranges, forms and tus as no client sends them. Then the service must answer as
before, its log must tell of no fault, and after a sweep no file may lie there that no row names.

An answer falls if its status is 500 or above, if it takes longer than `--longest` seconds, or if it has
words of a trace or of a path of the service. A connection that the service closes without an answer
counts as refused.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import soundfile

RATE_HZ = 44_100
TUS = "Tus-Resumable: 1.0.0\r\n"
_INSIDE = re.compile(
    rb'Traceback \(most recent|File "/|site-packages|sqlalchemy|sqlite3?\.|starlette|pydantic_core|'
    rb"/blobs/[0-9a-f]"
)
"""Words that no answer has; `Target` adds the service's own folder."""

_PROGRAM = (
    "import sys; from pathlib import Path; from mixagent.service.serving import serve; "
    "from mixagent.service.settings import ServiceSettings, Limits; "
    "serve(ServiceSettings(data=Path(sys.argv[1]), port=0, "
    "limits=Limits(requests_a_second=1e6, uploads=100_000)), "
    "lambda words: print(words, file=sys.stderr, flush=True), False)"
)


@dataclass
class Target:
    """A service that is attacked: where it is, and what lies there."""

    address: str
    data: Path
    longest_s: float = 10.0
    upload: str = ""
    job: str = ""
    file: str = "song.master.wav"
    statuses: Counter[str] = field(default_factory=Counter)
    fallen: list[dict[str, Any]] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.address.rpartition("/")[2].rpartition(":")
        return host, int(port)

    def judge(self, what: str, sent: Any, status: int, body: bytes, seconds: float) -> None:
        """Put an answer down, and among the fallen if it is."""
        self.statuses[str(status)] += 1
        self.slowest_s = max(self.slowest_s, seconds)
        why = []
        if status >= 500:
            why.append(f"status {status}")
        if seconds > self.longest_s:
            why.append(f"took {seconds:.1f} s")
        told = _INSIDE.search(body) or re.search(re.escape(str(self.data).encode()), body)
        if told is not None:
            why.append(f"tells {told[0].decode()!r}")
        if why:
            row = {"what": what, "why": why, "sent": repr(sent)[:600], "answer": repr(body[:300])}
            self.fallen.append(row)
            print(f"fallen: {what}: {', '.join(why)}", file=sys.stderr, flush=True)

    def prepare(self, song: Path) -> None:
        """Have a song and a job that is done there."""
        from mixagent.client import Client

        with Client(self.address) as client:
            self.upload = client.upload(song)
            job = client.submit("master", [self.upload], {"separator": "none", "renders": 1})
            self.job = str(client.wait(job["id"])["id"])


def write_song(folder: Path, seconds: float = 1.0) -> Path:
    """A song of noise and a tone."""
    rng = np.random.default_rng(0)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    mono = 0.2 * np.sin(2 * np.pi * 220 * time_s) + 0.05 * rng.standard_normal(time_s.size)
    path = folder / "song.wav"
    soundfile.write(path, np.stack([mono, mono], axis=1).astype(np.float32), RATE_HZ, "PCM_16")
    return path


# --- by the schema -----------------------------------------------------------------------------------


def by_schema(target: Target, count: int, seed: int, only: Collection[str] = ()) -> int:
    """Requests that schemathesis makes of the OpenAPI; how many there were.

    Args:
        target: what is attacked.
        count: of requests.
        seed: of what is drawn.
        only: operations, such as `GET /v1/jobs`; all where none is named.
    """
    import httpx
    import schemathesis
    from schemathesis import GenerationMode

    document = httpx.get(f"{target.address}/v1/openapi.json", timeout=30).json()
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
    ways = [
        (operation, mode, known)
        for operation in operations
        for mode in (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)
        for known in ((False, True) if "{" in operation.path else (False,))
        if not only or operation.label in only
    ]
    each = max(1, round(count / len(ways)))
    made, number = 0, 0
    while made < count and ways:
        operation, mode, known = ways[number % len(ways)]
        of_it = _of_operation(target, operation, mode, known, min(each, count - made), seed + number)
        made, number = made + of_it, number + 1
        # Where there is nothing to vary, more of the others are made.
        if of_it <= 1 < each:
            ways = [way for way in ways if way != (operation, mode, known)]
    return made


def _of_operation(target: Target, operation: Any, mode: Any, known: bool, count: int, seed_: int) -> int:
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis.errors import HypothesisException, Unsatisfiable

    paths = {"id_": target.upload if "upload" in operation.path or "tus" in operation.path else target.job}
    paths["name"] = target.file
    fixed = {name: paths[name] for name in paths if f"{{{name}}}" in operation.path} if known else None
    if fixed and operation.method == "delete":
        # What is there is to stay.
        fixed = None
    made = 0

    @seed(seed_)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=fixed))
    def ask(case: Any) -> None:
        nonlocal made
        made += _asked(target, case)

    with suppress(HypothesisException, Unsatisfiable), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ask()
    return made


def _asked(target: Target, case: Any) -> bool:
    """Send a case; whether this client could."""
    import requests

    sent = case.as_transport_kwargs(base_url=target.address)
    if case.method.lower() == "get" and case.path.endswith("/events"):
        sent["headers"] = {**(sent.get("headers") or {}), "Connection": "close"}
    begun = time.monotonic()
    try:
        with requests.request(**sent, timeout=target.longest_s + 5, stream=True) as answer:
            streamed = "event-stream" in answer.headers.get("Content-Type", "")
            body = b"" if streamed else answer.content
            target.judge(case.operation.label, sent, answer.status_code, body, time.monotonic() - begun)
    except requests.exceptions.Timeout:
        target.judge(case.operation.label, sent, 599, b"", time.monotonic() - begun)
    except requests.exceptions.ConnectionError as error:
        # The service closed the connection: refused, unless it is gone, which the end of the run shows.
        target.statuses["closed"] += 1
        if time.monotonic() - begun > target.longest_s:
            target.judge(case.operation.label, sent, 599, repr(error).encode(), time.monotonic() - begun)
    except (requests.exceptions.RequestException, UnicodeError, ValueError):
        return False
    return True


# --- by hand -----------------------------------------------------------------------------------------

Kind = Callable[[Target, random.Random], bytes]
KINDS: dict[str, Kind] = {}


def kind(made: Kind) -> Kind:
    """Register a way to be malformed."""
    KINDS[made.__name__] = made
    return made


def _request(method: str, path: str, headers: str = "", body: bytes = b"", length: bool = True) -> bytes:
    stated = f"Content-Length: {len(body)}\r\n" if length and (body or method in ("POST", "PATCH")) else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{stated}{headers}\r\n"
    return head.encode("latin-1", "replace") + body


def _noise(rng: random.Random, most: int = 400) -> bytes:
    return rng.randbytes(rng.randint(0, most))


def _odd_text(rng: random.Random) -> str:
    """A text as no name, id or number is."""
    return rng.choice(
        (
            "",
            "\x00",
            "a\x00b",
            "../../../../etc/passwd",
            "..\\..\\windows",
            "%00",
            "%",
            "%zz",
            "%c0%ae%c0%ae/",
            "%ff%fe",
            "\ud800",
            "x\udfff",
            "\u202e\u2066",
            "'; DROP TABLE jobs; --",
            "<script>alert(1)</script>",
            "${jndi:ldap://x}",
            "{{7*7}}",
            "-1",
            "1e999",
            "NaN",
            "²",
            "٣",
            "9" * rng.choice((5, 20, 400, 5000)),
            "a" * rng.choice((201, 5000, 60_000)),
            "𝕬" * 300,
            "\r\nX-Evil: 1",
            "upl_" + "a" * 24,
            "job_" + "2" * 24,
        )
    )


@kind
def request_line(target: Target, rng: random.Random) -> bytes:
    """First lines that are none."""
    return rng.choice(
        (
            _noise(rng),
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"get / http/1.1\r\nhost: 127.0.0.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET http://[::1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"CONNECT example.org:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            b"A" * rng.choice((10, 70_000)) + b" / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET /" + b"a" * rng.choice((5000, 60_000, 200_000)) + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + _noise(rng),
            b"GET / HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n",
        )
    )


@kind
def path(target: Target, rng: random.Random) -> bytes:
    """Paths and queries that lead nowhere."""
    odd = _odd_text(rng)
    safe = rng.choice(("", "/%", "%"))
    coded = quote(odd.encode("utf-8", "surrogatepass"), safe=safe)
    route = rng.choice(
        (
            f"/v1/jobs/{coded}",
            f"/v1/uploads/{coded}",
            f"/v1/uploads/{coded}/peaks",
            f"/v1/tus/{coded}",
            f"/v1/jobs/{target.job}/files/{coded}",
            f"/v1/jobs/{target.job}/files/{coded}/peaks",
            f"/v1/jobs/{coded}/events",
            f"/v1/links/{coded}",
            f"/v1/keys/{coded}",
            f"/v1/jobs?search={coded}",
            f"/v1/jobs?after={coded}",
            f"/v1/jobs?limit={coded}&kind={coded}&state={coded}",
            f"/v1/uploads?after={coded}&search={coded}",
            f"/v1/uploads/{target.upload}/peaks?points={coded}",
            f"/v1/uploads/{target.upload}/content?download={coded}",
            f"/v1/audit?search={coded}&after={coded}",
            f"/v1/jobs/{target.job}/events?after={coded}",
            f"/{coded}",
            f"//{coded}/v1",
            f"/v1/../{coded}",
        )
    )
    method = rng.choice(("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "ODD"))
    if method == "DELETE" and (target.job in route or target.upload in route):
        method = "GET"
    return _request(method, route, rng.choice(("", TUS)))


@kind
def headers(target: Target, rng: random.Random) -> bytes:
    """Headers too many, too long, twice, folded, or of bytes that are no text."""
    name = rng.choice(
        (
            "Range",
            "If-Range",
            "If-None-Match",
            "Last-Event-ID",
            "Origin",
            "Cookie",
            "Authorization",
            "Accept",
            "Content-Type",
            "Content-Length",
            "Idempotency-Key",
            "Sec-Fetch-Site",
            "Expect",
            "Host",
            "X-A",
        )
    )
    value = rng.choice(
        (
            b"\x00",
            b"a\x00b",
            b"\xff\xfe\x80",
            "²".encode("latin-1"),
            b"a" * rng.choice((300, 9000, 70_000, 1_000_000)),
            b"-1",
            b"0x10",
            b"1, 2",
            b"+5",
            b"\r\n folded",
            b"http://evil.example",
            b"null",
            b"Bearer " + b"m" * 5000,
            b"Bearer \xff",
            b"mixagent_session=" + base64.b64encode(_noise(rng)) + b"." + base64.b64encode(_noise(rng)),
            b"100-continue",
            b"[::1",
            b"127.0.0.1:99999999",
            b"",
        )
    )
    method, where = rng.choice(
        (
            ("GET", "/v1"),
            ("GET", f"/v1/jobs/{target.job}/files/{target.file}"),
            ("GET", f"/v1/jobs/{target.job}/events"),
            ("POST", "/v1/goals"),
            ("POST", "/v1/uploads"),
            ("POST", "/v1/session"),
        )
    )
    many = rng.choice((1, 1, 1, 2, 200, 3000))
    lines = b"".join(name.encode() + b": " + value + b"\r\n" for _ in range(many))
    return f"{method} {where} HTTP/1.1\r\n".encode() + lines + b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n"


@kind
def framing(target: Target, rng: random.Random) -> bytes:
    """Bodies whose length and chunks do not agree with what comes."""
    route = rng.choice(("/v1/uploads?name=a.wav", "/v1/goals", "/v1/jobs", "/v1/tus"))
    head = (
        f"POST {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    )
    chunked = "Transfer-Encoding: chunked\r\n"
    body, more = rng.choice(
        (
            (b"5\r\nhello", chunked),
            (b"5\r\nhelloXX0\r\n\r\n", chunked),
            (b"zz\r\nhello\r\n0\r\n\r\n", chunked),
            (b"-5\r\nhello\r\n0\r\n\r\n", chunked),
            (b"ffffffffffffffffffff\r\nhello\r\n0\r\n\r\n", chunked),
            (b"0x5\r\nhello\r\n0\r\n\r\n", chunked),
            (b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n", chunked),
            (b"5\nhello\n0\n\n", chunked),
            (b"0\r\nX: y\r\n\r\n", chunked),
            (b"5\r\nhello\r\n0\r\n\r\n", chunked + "Content-Length: 3\r\n"),
            (b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: gzip, chunked\r\n"),
            (b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked, chunked\r\n"),
            (b"hello", "Content-Length: 5\r\nContent-Length: 6\r\n"),
            (b"hello", "Content-Length: 500\r\n"),
            (b"hello", "Content-Length: -5\r\n"),
            (b"hello", "Content-Length: ²\r\n"),
            (b"hello", "Content-Length: 99999999999999999999999\r\n"),
            (b"hello", "Content-Length: 5, 5\r\n"),
            (b"\x1f\x8b" + _noise(rng), "Content-Encoding: gzip\r\nContent-Length: 50\r\n"),
            (_noise(rng), chunked),
            (b"", "Expect: 100-continue\r\nContent-Length: 10\r\n"),
        )
    )
    return (head + more + "\r\n").encode("latin-1") + body


@kind
def ranges(target: Target, rng: random.Random) -> bytes:
    """Ranges of a file that make no sense."""
    odd = (
        "bytes=",
        "bytes=-",
        "bytes=-0",
        "bytes=5-2",
        "bytes=99999999999999999999-",
        "bytes=-99999999999999999999",
        "bytes=0-0,1-1,2-2",
        "bytes=" + ",".join(["0-"] * 2000),
        "items=0-1",
        "bytes=a-b",
        "bytes=²-",
        "bytes=0--1",
        "bytes 0-1",
        "BYTES=0-1",
        "bytes=0x0-1",
        "bytes=1e3-",
        f"bytes={rng.randrange(10**12)}-",
        "bytes=0-0",
    )
    where = rng.choice(
        (
            f"/v1/jobs/{target.job}/files/{target.file}",
            f"/v1/uploads/{target.upload}/content",
            f"/v1/jobs/{target.job}/report",
            f"/v1/jobs/{target.job}/page",
        )
    )
    more = rng.choice(("", 'If-Range: "x"\r\n', "If-Range: yesterday\r\n", "If-None-Match: W/\r\n"))
    return _request(rng.choice(("GET", "HEAD")), where, f"Range: {rng.choice(odd)}\r\n{more}")


@kind
def form(target: Target, rng: random.Random) -> bytes:
    """multipart/form-data whose parts do not part."""
    bound = rng.choice(("b", "b" * 300, "ü", "", '"', "a b"))
    name = rng.choice(('name="file"', 'name="other"', "name=", 'name="file', "", 'name="file"; name="file"'))
    file = rng.choice(
        (
            'filename="a.wav"',
            'filename="\x00.wav"',
            'filename="../../a"',
            "filename=",
            "filename*=UTF-8''%ff%zz",
            'filename="' + "a" * 20_000 + '"',
            'filename="a\r\nb"',
            "",
        )
    )
    part = f"--{bound}\r\nContent-Disposition: form-data; {name}; {file}\r\n"
    part += rng.choice(
        ("", "Content-Type: \xff\r\n", "Content-Transfer-Encoding: base64\r\n", "X" * 9000 + ": y\r\n")
    )
    pieces = part.encode("latin-1", "replace") + b"\r\n" + _noise(rng) + b"\r\n"
    body = rng.choice(
        (
            pieces,
            pieces + f"--{bound}--\r\n".encode("latin-1", "replace"),
            pieces * rng.choice((2, 30, 300)),
            f"--{bound}".encode("latin-1", "replace"),
            b"",
            _noise(rng),
            pieces.replace(b"\r\n", b"\n"),
            part.encode("latin-1", "replace"),
        )
    )
    stated = rng.choice(
        (
            f"multipart/form-data; boundary={bound}",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=other",
            f"multipart/form-data; charset=nonsense; boundary={bound}",
            f"multipart/form-data; charset=utf-16; boundary={bound}",
            f'multipart/form-data; boundary="{bound}',
        )
    )
    return _request("POST", "/v1/uploads", f"Content-Type: {stated}\r\n", body)


@kind
def tus(target: Target, rng: random.Random) -> bytes:
    """tus, abused."""
    odd = _odd_text(rng).replace("\r\n", " ")
    number = rng.choice(("", "-1", "+1", "0", "1", "²", "1.5", "9" * 18, "9" * 30, "0x1", "NaN", " 1 ", odd))
    coded = base64.b64encode(odd.encode("utf-8", "surrogatepass")).decode()
    metadata = rng.choice(
        (
            f"filename {coded}",
            f"filename {odd}",
            "filename",
            "," * 3000,
            f"{odd} {coded}",
            "filename ====",
            coded,
        )
    )
    checksum = rng.choice(("", "md5", "md5 x", "sha256 " + coded, "crc32 AAAA", "shake_128 AAAA", odd))
    kind_ = rng.choice(("application/offset+octet-stream", "text/plain", odd))
    lines = rng.choice((TUS, TUS, TUS, "", "Tus-Resumable: 0.1\r\n"))
    if rng.random() < 0.5:
        lines += f"Upload-Length: {number}\r\nUpload-Metadata: {metadata}\r\n"
        lines += rng.choice(("", "Upload-Defer-Length: 1\r\n", "Upload-Concat: partial\r\n"))
        return _request("POST", "/v1/tus", f"{lines}Content-Type: {kind_}\r\n", _noise(rng))
    ids = (
        target.upload,
        target.upload,
        "upl_" + "z" * 24,
        quote(odd.encode("utf-8", "surrogatepass"), safe=""),
    )
    lines += f"Upload-Offset: {number}\r\nUpload-Checksum: {checksum}\r\nContent-Type: {kind_}\r\n"
    method = rng.choice(("PATCH", "PATCH", "HEAD", "OPTIONS", "GET", "PUT"))
    return _request(method, f"/v1/tus/{rng.choice(ids)}", lines, _noise(rng))


def _odd_value(rng: random.Random) -> str:
    """A JSON value, or what is none."""
    return rng.choice(
        (
            "null",
            "true",
            "-1",
            "1e400",
            "-0.0",
            "NaN",
            "Infinity",
            "[]",
            "{}",
            '""',
            "1" * 5000,
            "[[[]]]",
            json.dumps(_odd_text(rng)),
            json.dumps({"job": _odd_text(rng), "file": _odd_text(rng)}),
            json.dumps([_odd_text(rng)] * 3),
            json.dumps({_odd_text(rng): _odd_text(rng)}),
            "{",
            '"\\ud800"',
            '"\\u0000"',
            "[" * 100_000,
            '{"a":' * 5000 + "1" + "}" * 5000,
        )
    )


OPTIONS = (
    "preset",
    "target",
    "target_lufs",
    "true_peak_limit_db",
    "output_format",
    "sample_rate",
    "bit_depth",
    "goal",
    "amount",
    "amounts",
    "repairs",
    "settings",
    "reference",
    "reference_tone",
    "stems_in",
    "roles",
    "fade_in",
    "renders",
    "search",
    "preview",
    "dry_run",
    "separator",
    "seed",
    "codecs",
    "stems",
    "shifts",
    "only",
    "within",
    "cue",
    "gap",
    "intent",
    "ceiling",
    "nonsense",
)


@kind
def jobs(target: Target, rng: random.Random) -> bytes:
    """Jobs of options and uploads that make no sense."""
    uploads = rng.choice(
        (f'["{target.upload}"]', f'["{target.upload}"]', f'["{target.upload}", "{target.upload}"]', "[]")
    )
    if rng.random() < 0.3:
        uploads = rng.choice((f"[{_odd_value(rng)}]", _odd_value(rng)))
    names = rng.sample(OPTIONS, rng.randint(1, 3))
    options = "{" + ", ".join(f'"{name}": {_odd_value(rng)}' for name in names) + "}"
    which = rng.choice(("master", "analyze", "restore", "split", "vocals", "album", "odd"))
    # A job that happens to make sense ends at once.
    body = f'{{"kind": "{which}", "uploads": {uploads}, "options": {options}'
    body += rng.choice(("", f', "webhook": {_odd_value(rng)}', _webhook(rng))) + "}"
    if rng.random() < 0.1:
        body = _odd_value(rng)
    key = rng.choice(("", "", f"Idempotency-Key: {rng.choice(('', 'ÿ', 'k' * 300, 'a'))}\r\n"))
    stated = rng.choice(
        ("application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data")
    )
    data = body.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        data = data[: rng.randrange(len(data) + 1)] + b"\xff"
    return _request("POST", "/v1/jobs", f"Content-Type: {stated}\r\n{key}", data)


def _webhook(rng: random.Random) -> str:
    url = rng.choice(
        (
            "http://127.0.0.1/x",
            "http://[::1]/",
            "http://[",
            "ftp://x",
            "http://x:99999/",
            "http://0x7f.1/",
            "http://169.254.169.254/",
            "//x",
            "http://user:pw@localhost/",
            "http://\\u0000/",
            "http://a\\ud800b/",
        )
    )
    return f', "webhook": {{"url": "{url}", "secret": "0123456789abcdef"}}'


@kind
def small_bodies(target: Target, rng: random.Random) -> bytes:
    """Bodies of the smaller routes."""
    value = _odd_value(rng)
    route, body = rng.choice(
        (
            ("/v1/goals", f'{{"text": {value}}}'),
            ("/v1/session", f'{{"key": {value}}}'),
            ("/v1/keys", f'{{"user": {value}, "label": {_odd_value(rng)}, "scopes": {_odd_value(rng)}}}'),
            (f"/v1/jobs/{target.job}/links", f'{{"file": {value}, "expires_s": {_odd_value(rng)}}}'),
            (f"/v1/jobs/{target.job}/cancel", value),
            ("/v1/goals", value),
        )
    )
    return _request(
        "POST", route, "Content-Type: application/json\r\n", body.encode("utf-8", "surrogatepass")
    )


@kind
def files(target: Target, rng: random.Random) -> bytes:
    """Uploads that are no songs: headers of formats with noise behind them."""
    head = rng.choice(
        (
            b"RIFF\xff\xff\xff\xffWAVEfmt ",
            b"fLaC\x00\x00\x00\x22",
            b"ID3\x04\x00\x00",
            b"OggS\x00\x02",
            b"FORM",
            b"\x00\x00\x00\x20ftypM4A ",
            b"#EXTM3U\nfile:///etc/passwd\n",
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            b"{" * 1000,
            b"PK\x03\x04",
            b"",
        )
    )
    name = quote(_odd_text(rng).encode("utf-8", "surrogatepass"), safe="")
    suffix = rng.choice((".wav", ".flac", ".mp3", ".json", ".cue", ".m4a", ""))
    return _request("POST", f"/v1/uploads?name={name}{suffix}", "", head + _noise(rng, 2000))


_UNFINISHED, _UNFINISHED_S = ("request_line", "framing", "headers"), 0.4
"""Kinds that may end in the middle, and how long an answer is waited for before the end is said."""

_SLOW_KINDS = {"files": 0.03, "form": 0.6}
"""Each of these may be a process that decodes: fewer of them, relative to 1."""


def by_hand(target: Target, count: int, seed: int) -> int:
    """Requests as bytes on a socket; how many there were."""
    rng = random.Random(seed)
    names = list(KINDS)
    weights = [_SLOW_KINDS.get(name, 1.0) for name in names]
    for _ in range(count):
        (name,) = rng.choices(names, weights)
        sent = KINDS[name](target, rng)
        begun = time.monotonic()
        status, body = exchanged(target, sent, rng, _UNFINISHED_S if name in _UNFINISHED else None)
        seconds = time.monotonic() - begun
        if status is None:
            target.statuses["closed"] += 1
            if seconds > target.longest_s:
                target.judge(name, sent, 599, body, seconds)
        else:
            target.judge(name, sent, status, body, seconds)
    return count


def exchanged(
    target: Target, sent: bytes, rng: random.Random, patience_s: float | None
) -> tuple[int | None, bytes]:
    """Send bytes and read to the end: the last status, and all that came.

    Where nothing comes for `patience_s`, the service may wait for the rest: it is told that there is none.
    """
    with socket.create_connection(target.place, timeout=target.longest_s + 2) as link:
        # Where it would not read on, an answer may be there all the same.
        with suppress(OSError):
            for piece in _pieces(sent, rng):
                link.sendall(piece)
        got = bytearray()
        with suppress(OSError):
            while not _is_whole(bytes(got)):
                if patience_s is not None and not select.select([link], [], [], patience_s)[0]:
                    patience_s = None
                    link.shutdown(socket.SHUT_WR)
                piece = link.recv(1 << 16)
                if not piece:
                    break
                got += piece
    statuses = re.findall(rb"^HTTP/1\.[01] (\d{3}) ", got, re.MULTILINE)
    return (int(statuses[-1]) if statuses else None), bytes(got)


def _is_whole(got: bytes) -> bool:
    """Whether an answer is all there, or the beginning of a stream that has no end."""
    head, end, body = got.partition(b"\r\n\r\n")
    if not end:
        return False
    if re.match(rb"HTTP/1\.[01] 1\d\d ", head):
        return _is_whole(body)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return b"text/event-stream" in head or (length is not None and len(body) >= int(length[1]))


def _pieces(sent: bytes, rng: random.Random) -> Iterator[bytes]:
    """At once, or in pieces, as a slow line would."""
    if rng.random() < 0.9 or len(sent) < 2:
        yield sent
        return
    cut = rng.randrange(1, len(sent))
    yield sent[:cut]
    time.sleep(0.01)
    yield sent[cut:]


# --- afterwards --------------------------------------------------------------------------------------


def afterwards(target: Target, log: Sequence[str]) -> dict[str, Any]:
    """Whether the service is as it was: it answers, masters, and wrote of no fault."""
    from mixagent.client import Client

    with Client(target.address) as client:
        healthy = client._http.get("/readyz").status_code
        job = client.submit("master", [target.upload], {"separator": "none", "renders": 1, "amount": 0.5})
        done = client.wait(job["id"])
    faults = [line for line in log if '"level": "error"' in line or "Traceback" in line or "ASGI" in line]
    return {"ready": healthy, "masters": done["state"], "faults_in_the_log": len(faults), "first": faults[:3]}


@contextmanager
def started(folder: Path) -> Iterator[tuple[Target, list[str]]]:
    """A service in a process of its own without a limit of requests, and its log."""
    data = folder / "data"
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(data)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    log: list[str] = []
    address = ""
    for line in process.stderr:
        log.append(line)
        if found := re.search(r"serving at (http://[^:]+:\d+)", line):
            address = found[1]
            break
    errors = process.stderr
    threading.Thread(target=lambda: log.extend(errors), daemon=True).start()
    try:
        yield Target(address, data), log
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Attack a service and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--schema", type=int, default=5000)
    parser.add_argument("--hand", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, started(Path(scratch)) as (target, log):
        target.longest_s = given.longest
        target.prepare(write_song(Path(scratch)))
        begun = time.monotonic()
        made = {"by_hand": by_hand(target, given.hand, given.seed)}
        made["by_schema"] = by_schema(target, given.schema, given.seed)
        seconds = time.monotonic() - begun
        after = afterwards(target, log)
    found = {
        **made,
        "seconds": round(seconds),
        "statuses": dict(sorted(target.statuses.items())),
        "slowest_s": round(target.slowest_s, 2),
        "fallen": len(target.fallen),
        "kinds_of_fallen": dict(Counter(f"{row['what']}: {row['why'][0]}" for row in target.fallen)),
        "after": after,
        "first_fallen": target.fallen[:10],
    }
    print(json.dumps(found, indent=2))
    raise SystemExit(1 if target.fallen or after["faults_in_the_log"] else 0)


if __name__ == "__main__":
    main()
