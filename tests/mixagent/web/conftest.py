"""The service as a person starts it, and a browser at its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import browser
from tests.browser import Browser

HERE = Path(__file__).parents[3]

# Kept from the first script on: what goes wrong in the page, and what it plays on the clock of its sound.
WATCH = """
window.wrongs = [];
addEventListener("error", (event) => wrongs.push(event.message));
addEventListener("unhandledrejection", (event) => wrongs.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) =>
  wrongs.push(`${event.violatedDirective} ${event.blockedURI}`));
window.shifts = [];
new PerformanceObserver((list) => {
  // As web.dev/cls counts: what follows a press at once is meant.
  for (const { value, startTime, sources, hadRecentInput } of list.getEntries()) {
    const of = ({ node, previousRect, currentRect }) =>
      [node?.className || node?.parentNode?.className || node?.nodeName, previousRect, currentRect];
    if (!hadRecentInput) shifts.push({ value, at: startTime, what: sources.map(of) });
  }
}).observe({ type: "layout-shift", buffered: true });
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) record(this, to.context);
  return connect.call(this, to, ...rest);
};
function record(output, context) {
  const merger = new ChannelMergerNode(context, { numberOfInputs: 3 });
  const clock = new ConstantSourceNode(context, { offset: 0 }), begin = context.currentTime + 0.1;
  const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
  const stereo = new GainNode(context, { channelCount: 2, channelCountMode: "explicit" });
  clock.offset.setValueAtTime(begin, begin);
  clock.offset.linearRampToValueAtTime(begin + 1000, begin + 1000);
  clock.start();
  connect.call(output, stereo);
  connect.call(stereo, splitter);
  connect.call(splitter, merger, 0, 0);
  connect.call(splitter, merger, 1, 1);
  connect.call(clock, merger, 0, 2);
  const tape = context.createScriptProcessor(2048, 3, 1);
  window.tape = { context, blocks: [] };
  tape.onaudioprocess = ({ inputBuffer }) => {
    // The sound goes on while it is read: a block that was written over meanwhile has no one time.
    const [before, left, right, after] = [2, 0, 1, 2].map((k) => inputBuffer.getChannelData(k).slice());
    const length = before[2047] - before[0], isWhole = Math.abs(length * context.sampleRate - 2047) < 1;
    const isTorn = !isWhole || before.some((time, k) => time !== after[k]);
    if (!isTorn) window.tape.blocks.push([left, right, after]);
  };
  connect.call(merger, tape);
  connect.call(tape, context.destination);
}
"""

_READ_TAPE = """
const joined = [0, 1, 2].map((k) => {
  const all = new Float32Array(tape.blocks.length * 2048);
  tape.blocks.forEach((block, n) => all.set(block[k], n * 2048));
  return new Uint8Array(all.buffer);
});
const coded = await Promise.all(joined.map((bytes) => new Promise((done) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.split(",")[1]);
  reader.readAsDataURL(new Blob([bytes]));
})));
return { rate: tape.context.sampleRate, coded };
"""


@dataclass(frozen=True)
class Page:
    """The page in a browser.

    Attributes:
        browser: that it is open in.
        url: of the service.
    """

    browser: Browser
    url: str

    def run(self, script: str) -> Any:
        """What JavaScript in the page returns."""
        return self.browser.run(script)

    def wait(self, script: str, seconds: float = 240.0) -> Any:
        """What JavaScript returns, once that is true.

        Raises:
            AssertionError: it never was.
        """
        found = browser.until(lambda: self.run(script), bool, seconds)
        assert found, f"{script}\n{self.run('return document.body.innerText')[:2000]}"
        return found

    def click(self, text: str) -> None:
        """Press the button or link with a text, as soon as it can be."""
        find = f"""[...document.querySelectorAll("button, a")].find((each) =>
            each.textContent.trim().startsWith({text!r}) && !each.disabled && each.checkVisibility())"""
        self.wait(f"return Boolean({find})")
        self.run(f"{find}.click()")

    def judged(self, *songs: Path) -> None:
        """Drop songs, and wait for their verdicts."""
        self.browser.drop(*songs)
        self.wait(f'return document.querySelectorAll(".song[data-state=judged]").length === {len(songs)}')

    def tape(self) -> dict[str, Any]:
        """What was played: its rate in Hz, and in base 64 left, right and the time of each sample."""
        found: dict[str, Any] = self.run(_READ_TAPE)
        return found


@pytest.fixture(scope="session")
def service(tmp_path_factory) -> Iterator[str]:
    """The address of a service of its own, as the program starts it."""
    if not browser.AVAILABLE:
        pytest.skip("chromium and chromedriver are not installed")
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    data = tmp_path_factory.mktemp("service")
    command = [sys.executable, "-m", "mixagent", "serve", "--port", "0", "--no-browser", "--data", str(data)]
    environment = {**os.environ, "MIXAGENT_DATA": str(data / "user"), "OMP_NUM_THREADS": "1"}
    with (data / "log").open("w") as log:
        program = subprocess.Popen(command, stderr=log, stdout=log, cwd=HERE, env=environment)
    try:
        yield browser.until(lambda: _address(data / "log"), bool)
    finally:
        program.terminate()
        program.wait()


def _address(log: Path) -> str | None:
    found = re.search(r"serving at (\S+)", log.read_text())
    return found[1] if found else None


@pytest.fixture(scope="session")
def window(service, tmp_path_factory) -> Iterator[Browser]:
    """A browser that all tests of the page share."""
    with browser.browsing("about:blank", tmp_path_factory.mktemp("profile")) as opened:
        opened.cdp("Page.enable")
        opened.cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        yield opened


@pytest.fixture
def page(service, window) -> Iterator[Page]:
    """The page with an empty desk, in which nothing may go wrong."""
    window.size(1280, 800)
    # From outside: a page that is still open would put its desk down again.
    window.go("about:blank")
    window.cdp("Storage.clearDataForOrigin", origin=service.rstrip("/"), storageTypes="local_storage")
    window.go(service)
    opened = Page(window, service)
    opened.wait('return document.querySelector(".drop") !== null')
    yield opened
    assert opened.run("return window.wrongs") == []
