"""A real browser for tests of the report page, driven by chromedriver's W3C WebDriver interface."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AVAILABLE = shutil.which("chromium") is not None and shutil.which("chromedriver") is not None

_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--mute-audio"),
    "--autoplay-policy=no-user-gesture-required",
)

Script = Callable[[str], Any]
"""Runs JavaScript in the page and gives what it returns."""


@contextmanager
def opened(page: Path | str, profile: Path) -> Iterator[Script]:
    """A page, a file or an address, in a headless browser of its own."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        port = next(
            found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line))
        )
        options = {"args": [*_ARGUMENTS, f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = f"http://127.0.0.1:{port}/session"
        session += "/" + _post(session, wanted)["sessionId"]
        _post(f"{session}/url", {"url": page if isinstance(page, str) else page.as_uri()})
        yield lambda script: _post(f"{session}/execute/sync", {"script": script, "args": []})
        urllib.request.urlopen(urllib.request.Request(session, method="DELETE"), timeout=60).close()
    finally:
        driver.terminate()
        driver.communicate()


def until(read: Callable[[], Any], done: Callable[[Any], bool], seconds: float = 60.0) -> Any:
    """What `read` gives once it is `done`, or its last answer when the time is up."""
    end = time.monotonic() + seconds
    while not done(value := read()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]
