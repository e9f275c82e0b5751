"""The whole service killed in the midst of its work, and started again."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from songs import write_song

from mixagent.client import Client


def started(data) -> tuple[subprocess.Popen, str]:
    """A service in a process of its own, and its address."""
    log = data.with_name("log")
    command = [sys.executable, "-m", "mixagent", "serve", "--no-browser", "--port", "0", "--data", str(data)]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stderr=errors, env=os.environ)
    while process.poll() is None:
        found = re.search(r"serving at (http://\S+)", log.read_text())
        if found:
            return process, found[1]
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX")
def test_a_job_that_was_accepted_is_done_after_a_kill_and_nothing_is_left(tmp_path):
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    data = tmp_path / "data"
    process, address = started(data)
    try:
        with Client(address) as client:
            job = client.submit("master", [client.upload(song)], {"separator": "none", "renders": 1})["id"]
            for _, kind, _ in client.events(job):
                if kind == "progress":
                    break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    again, address = started(data)
    try:
        with Client(address) as client:
            done = client.wait(job)
            assert (done["state"], done["attempts"]) == ("done", 2)
            assert client._http.get("/readyz").status_code == 200
    finally:
        again.send_signal(signal.SIGTERM)
        again.wait()
    assert list((data / "work").iterdir()) == []


def test_a_second_service_in_one_folder_is_told_so(tmp_path):
    from mixagent.pipeline.errors import UsageError
    from mixagent.service.service import Service
    from mixagent.service.settings import ServiceSettings

    first = Service(ServiceSettings(data=tmp_path))
    with pytest.raises(UsageError, match="another service"):
        Service(ServiceSettings(data=tmp_path))
    first.database.close()
    first._lock.release()
