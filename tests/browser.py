"""A real browser for tests of pages, driven by chromedriver's W3C WebDriver interface."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Browser:
    """A page in a headless browser of its own.

    Attributes:
        session: address of its WebDriver session.
    """

    session: str

    def run(self, script: str) -> Any:
        """What JavaScript returns, or a promise that it returns comes to."""
        wrapped = (
            f"const done = arguments[0]; (async () => {{ {script} }})().then(done, (e) => done(`${{e}}`))"
        )
        return _post(f"{self.session}/execute/async", {"script": wrapped, "args": []})

    def cdp(self, method: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return _post(f"{self.session}/goog/cdp/execute", {"cmd": method, "params": parameters})

    def go(self, url: str) -> None:
        """Open another page."""
        _post(f"{self.session}/url", {"url": url})

    def reload(self) -> None:
        """Open the page again."""
        _post(f"{self.session}/refresh", {})

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """Make it as large as a device, a phone too."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def drop(self, *files: Path, x: int = 200, y: int = 300) -> None:
        """Drag files over the page and let go."""
        data = {"items": [], "files": [str(path) for path in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.cdp("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, key: str, text: str = "", modifiers: int = 0) -> None:
        """Press a key as a person does: `Tab`, `Enter`, `a`."""
        known = _KEYS.get(key)
        code, number = known or (f"Key{key.upper()}", ord(key.upper()))
        words = {"Enter": "\r", " ": " "}.get(key, text or ("" if known else key))
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        down = {"type": "keyDown" if words else "rawKeyDown", **({"text": words} if words else {})}
        self.cdp("Input.dispatchKeyEvent", **down, **event)
        self.cdp("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """A picture of the page, all of it or what is seen."""
        answer = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def new_tab(self) -> str:
        """Open another tab and go there; gives its handle."""
        handle: str = _post(f"{self.session}/window/new", {"type": "tab"})["handle"]
        self.to_tab(handle)
        return handle

    def tab(self) -> str:
        """The handle of the tab."""
        with urllib.request.urlopen(f"{self.session}/window", timeout=60) as answer:
            handle: str = json.load(answer)["value"]
        return handle

    def close_tab(self, handle: str) -> None:
        """Close a tab."""
        self.to_tab(handle)
        _delete(f"{self.session}/window")

    def to_tab(self, handle: str) -> None:
        """Go to a tab."""
        _post(f"{self.session}/window", {"handle": handle})


_KEYS = {
    "Tab": ("Tab", 9),
    "Enter": ("Enter", 13),
    "Escape": ("Escape", 27),
    " ": ("Space", 32),
    "ArrowLeft": ("ArrowLeft", 37),
    "ArrowUp": ("ArrowUp", 38),
    "ArrowRight": ("ArrowRight", 39),
    "ArrowDown": ("ArrowDown", 40),
}


@contextmanager
def browsing(url: str, profile: Path, *arguments: str) -> Iterator[Browser]:
    """An address in a headless browser of its own, which more arguments may be given to."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        port = next(
            found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line))
        )
        chosen = [*_ARGUMENTS, *arguments, f"--user-data-dir={profile}"]
        options = {"args": chosen, "binary": shutil.which("chromium")}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = f"http://127.0.0.1:{port}/session"
        session += "/" + _post(session, wanted)["sessionId"]
        _post(f"{session}/url", {"url": url})
        yield Browser(session)
        _delete(session)
    finally:
        driver.terminate()
        try:
            driver.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            # One that is told to end while its browser does may wait for ever.
            driver.kill()
            driver.communicate()


@contextmanager
def opened(page: Path | str, profile: Path) -> Iterator[Script]:
    """A page, a file or an address, in a headless browser of its own."""
    with browsing(page if isinstance(page, str) else page.as_uri(), profile) as browser:
        yield lambda script: _post(f"{browser.session}/execute/sync", {"script": script, "args": []})


def until(read: Callable[[], Any], done: Callable[[Any], bool], seconds: float = 60.0) -> Any:
    """What `read` gives once it is `done`, or its last answer when the time is up."""
    end = time.monotonic() + seconds
    while not done(value := read()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


def _delete(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=60).close()


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]
