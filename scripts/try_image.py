"""Runs an image of the service once end to end, as it is run in earnest: upload, master, download.

    python scripts/try_image.py IMAGE [--docker docker] [--network bridge|host]

The container has a root file system that cannot be written to, no capabilities, no new privileges, bounds
on memory and processes, a volume for its data and a folder in memory for what is temporary. Its user is
the image's, who must not be root. The song is uploaded with the key that the service prints at its first
start; the master must be the file whose hash the service names, and, with the same version installed
here, the bytes of this machine's own `mixagent master`. The container is stopped, started again on the
same volume, and must have the job still; then everything is removed. Printed are sizes, times and memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

from mixagent.client import Client

NAME = "mixagent-try"
PORT = 8399
RATE_HZ = 44_100
OPTIONS = {"separator": "none", "renders": 1}
HARDENED = (
    "--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,size=1g", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--pids-limit", "512", "--memory", "6g",
)  # fmt: skip


class Docker:
    """The command line of a container engine."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)

    def __call__(self, *words: str, check: bool = True) -> str:
        """Run it; what it says on both of its ways out."""
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout + done.stderr


def tried(docker: Docker, image: str, network: str, folder: Path) -> dict[str, Any]:
    """All figures of one image."""
    found: dict[str, Any] = {
        "size_mb": round(int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6),
        "user": docker("image", "inspect", "--format", "{{.Config.User}}", image).strip(),
    }
    docker("volume", "create", NAME)
    started_at = time.monotonic()
    run(docker, image, network)
    address = f"http://127.0.0.1:{PORT}"
    found["start_to_answer_s"] = since(started_at, lambda: answers(address))
    key = re.search(r"mxk_[\w-]+", docker("logs", NAME))
    assert key is not None, docker("logs", NAME)
    song = write_song(folder / "song.wav")
    with Client(address, key[0]) as client:
        found["ready_s"] = since(started_at, lambda: client._http.get("/readyz").status_code == 200)
        print(json.dumps(found), file=sys.stderr)
        begun = time.monotonic()
        job = client.wait(client.submit("master", [client.upload(song)], OPTIONS)["id"])
        found["upload_and_master_s"] = round(time.monotonic() - begun, 1)
        assert job["state"] == "done", job
        print(json.dumps(found), file=sys.stderr)
        master = client.download(job, "song.master.wav", folder / "from the container.wav")
    found["healthy_s"] = since(started_at, lambda: health(docker) == "healthy")
    found["memory_mb"] = memory_mb(docker)
    found["processes_run_as"] = sorted(set(docker("top", NAME, "-eo", "pid,uid").split()[3::2]))
    found["root_can_be_written"] = written(docker)
    found["same_bytes_as_here"] = digest(master) == digest(mastered_here(song, folder))
    begun = time.monotonic()
    docker("stop", "--time", "20", NAME)
    found["stop_s"] = round(time.monotonic() - begun, 1)
    found["exit_code"] = int(docker("inspect", "--format", "{{.State.ExitCode}}", NAME))
    docker("start", NAME)
    since(time.monotonic(), lambda: answers(address))
    with Client(address, key[0]) as client:
        found["job_after_a_restart"] = client.job(job["id"])["state"]
    return found


def run(docker: Docker, image: str, network: str) -> None:
    """Start the container, hardened."""
    reach = ["--network", "host"] if network == "host" else ["--publish", f"127.0.0.1:{PORT}:{PORT}"]
    command = ["serve", "--host", "0.0.0.0", "--port", str(PORT), "--no-browser"]
    # The image's own check asks the usual port.
    check = f"python -c \"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/healthz')\""
    words = ["--health-cmd", check, "--health-interval", "2s", "--volume", f"{NAME}:/data"]
    docker("run", "--detach", "--name", NAME, *HARDENED, *reach, *words, image, *command)


def write_song(path: Path, seconds: float = 10.0) -> Path:
    """A song of tones, beats and noise."""
    rng = np.random.default_rng(0)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * f * time_s) for f in (110.0, 220.0, 277.2, 329.6))
    mono = 0.06 * tones + 0.2 * np.exp(-30 * (time_s % 0.5)) * rng.standard_normal(time_s.size)
    wide = np.stack([mono, mono + 0.01 * rng.standard_normal(time_s.size)], axis=1)
    soundfile.write(path, wide.astype(np.float32), RATE_HZ, "PCM_16")
    return path


def mastered_here(song: Path, folder: Path) -> Path:
    """The same song by the library in this process."""
    import mixagent

    path = folder / "song.master.wav"
    mixagent.master(song, output=path, overrides={"experience.remember": False}, **OPTIONS)
    return path


def since(begun: float, holds: Callable[[], bool], longest_s: float = 180.0) -> float:
    """Seconds until something holds."""
    while not holds():
        if time.monotonic() - begun > longest_s:
            raise SystemExit(f"not within {longest_s:.0f} s")
        time.sleep(0.1)
    return round(time.monotonic() - begun, 1)


def answers(address: str) -> bool:
    """Whether the service answers."""
    try:
        return httpx.get(f"{address}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def health(docker: Docker) -> str:
    """The container's health."""
    return docker("inspect", "--format", "{{.State.Health.Status}}", NAME).strip()


def memory_mb(docker: Docker) -> float:
    """Memory of the whole container, as the engine counts it."""
    text = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", NAME)
    number, unit = re.match(r"([\d.]+)([KMG])iB", text).groups()  # type: ignore[union-attr]
    return round(float(number) * {"K": 2**10, "M": 2**20, "G": 2**30}[unit] / 1e6)


def written(docker: Docker) -> bool:
    """Whether a file beside /data and /tmp can be made."""
    said = docker("exec", NAME, "python", "-c", "open('/opt/mixagent/x', 'w')", check=False)
    return "Error" not in said


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Try an image, remove what was made for it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--docker", default="docker", help="the command, with its options")
    parser.add_argument("--network", choices=("bridge", "host"), default="bridge")
    given = parser.parse_args()
    docker = Docker(given.docker)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(tried(docker, given.image, given.network, Path(scratch)), indent=2))
    finally:
        docker("rm", "--force", NAME, check=False)
        docker("volume", "rm", NAME, check=False)


if __name__ == "__main__":
    main()
