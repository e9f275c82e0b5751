"""The peers that the benchmarks run beside mixagent: each takes a file and writes a master of it.

Needs the extra `[peers]` and ffmpeg. All aim at −1 dBTP and at the loudness that they are given, where they
take one.
"""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile as sf

TARGET_LUFS, CEILING_DBTP = -14.0, -1.0


class Peer(Protocol):
    """Masters a song into a file: only matchering listens to the reference, and to no target."""

    def __call__(
        self, song: Path, output: Path, reference: Path, target_lufs: float = TARGET_LUFS, /
    ) -> None:
        """Write the master of a song."""


def matchering(song: Path, output: Path, reference: Path, _target_lufs: float = TARGET_LUFS) -> None:
    """matchering 2 against a finished song of another title."""
    import matchering as mg

    mg.process(str(song), str(reference), results=[mg.Result(str(output), subtype="PCM_24")])


def libsonare(
    preset: str, song: Path, output: Path, _reference: Path, target_lufs: float = TARGET_LUFS
) -> None:
    """A preset of libsonare's."""
    import libsonare as sonare

    samples, rate = sf.read(song, dtype="float32", always_2d=True)
    left, right = samples[:, 0], samples[:, -1]
    goal = {"loudness": {"targetLufs": target_lufs, "ceilingDb": CEILING_DBTP}}
    result = sonare.master_audio_stereo(left, right, rate, preset, goal)
    sf.write(output, np.stack([result.left, result.right], axis=1), result.sample_rate, "PCM_24")


def loudnorm(song: Path, output: Path, _reference: Path, target_lufs: float = TARGET_LUFS) -> None:
    """ffmpeg's two-pass EBU R128 normalisation, linear where it can be."""
    goal = f"loudnorm=I={target_lufs}:TP={CEILING_DBTP}:LRA=20"
    listen = _ffmpeg("-i", str(song), "-af", f"{goal}:print_format=json", "-f", "null", "-")
    measured = json.loads(listen[listen.rindex("{") : listen.rindex("}") + 1])
    known = ":".join(
        f"measured_{name}={measured[f'input_{key}']}"
        for name, key in (("I", "i"), ("TP", "tp"), ("LRA", "lra"), ("thresh", "thresh"))
    )
    rate = str(sf.info(song).samplerate)
    chain = f"{goal}:{known}:offset={measured['target_offset']}:linear=true"
    _ffmpeg("-y", "-i", str(song), "-af", chain, "-ar", rate, "-c:a", "pcm_s24le", str(output))


def _ffmpeg(*arguments: str) -> str:
    run = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostdin", *arguments], check=True, capture_output=True, text=True
    )
    return run.stderr


PEERS: dict[str, Peer] = {
    "matchering": matchering,
    "libsonare": partial(libsonare, "streaming"),
    "libsonare aiMusic": partial(libsonare, "aiMusic"),
    "loudnorm": loudnorm,
}
