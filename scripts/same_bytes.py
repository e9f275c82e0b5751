"""Compares the masters of two versions of the program: ten songs, byte by byte.

    python scripts/same_bytes.py OTHER_CHECKOUT SONG… [--seconds 20] [--options "--target loud"]

Each song is cut to its first seconds, mastered by this checkout and by the other, each with an empty
cache, and the files' hashes are held against each other. Exits with 1 where any differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Print a table of the songs, and how many are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout of the other version")
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--options", default="", help="of `mixagent master`, for both")
    given = parser.parse_args()
    differing = 0
    print("| song | this version | the other | |\n|---|---|---|---|")
    for song in given.songs:
        with tempfile.TemporaryDirectory() as name:
            part = cut(song, Path(name) / "song.wav", given.seconds)
            here, there = (
                digest_of(version, part, Path(name) / which, shlex.split(given.options))
                for which, version in (("here", ROOT), ("there", given.other.resolve()))
            )
        differing += here != there
        print(f"| {song.stem} | {here[:12]} | {there[:12]} | {'same' if here == there else 'DIFFERENT'} |")
    print(f"\n{len(given.songs) - differing} of {len(given.songs)} the same")
    return int(differing > 0)


def cut(song: Path, to: Path, seconds: float) -> Path:
    """The beginning of a song as a file of its own."""
    with soundfile.SoundFile(song) as file:
        samples = file.read(round(seconds * file.samplerate), dtype="float32", always_2d=True)
        soundfile.write(to, samples, file.samplerate, "FLOAT")
    return to


def digest_of(version: Path, song: Path, folder: Path, options: list[str]) -> str:
    """SHA-256 of the master that a version makes of a song."""
    folder.mkdir()
    output = folder / "master.wav"
    command = [sys.executable, "-m", "mixagent", "master", str(song), "-o", str(output), "--quiet", *options]
    environment = {
        **os.environ,
        "PYTHONPATH": str(version),
        "MIXAGENT_CACHE": str(folder / "cache"),
        "MIXAGENT_DATA": str(folder / "data"),
    }
    ran = subprocess.run(command, cwd=version, env=environment, capture_output=True, text=True)
    if ran.returncode not in (0, 4):
        raise SystemExit(f"{version} cannot master {song}: {ran.stderr.strip()}")
    return hashlib.sha256(output.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
