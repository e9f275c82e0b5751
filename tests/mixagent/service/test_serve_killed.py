"""The whole service killed in the midst of its work, and started again."""

import os
import re
import signal
import subprocess
import sys

import pytest
from songs import write_song

from mixagent.client import Client


def started(data) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "mixagent", "serve", "--no-browser", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"http://\S+", line)
        if found and "serving at" in line:
            return process, found[0]
    raise AssertionError(f"it ended with {process.wait()}")


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
