"""Counts how often the rules for a track's sound are right, where its name would say nothing.

    python scripts/check_stem_content.py DIR [--songs 17]

DIR holds multitracks, a folder of stems each (`scripts/render_multitracks.py`), in which vocals, drums and
bass are to be told from all else. The clip with true stems in the stempeg wheel is added, if it is there.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib import util
from itertools import chain
from pathlib import Path

import numpy as np

from mixagent.envs.songs import find_songs
from mixagent.pipeline.io import decode
from mixagent.pipeline.multitrack.content import listen, role_of
from mixagent.pipeline.types import Audio, AudioSource, blocks

TOLD = ("vocals", "drums", "bass")


def main() -> None:
    """Print what each kind of stem was taken for, and the stems that were taken for another kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("multitracks", type=Path, metavar="DIR")
    parser.add_argument("--songs", type=int, default=17)
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    for name, kind, track in chain(_clip(), _stems(options.multitracks, options.songs)):
        wanted = kind if kind in TOLD else "other"
        role, why = role_of(listen(track))
        counts[wanted, role] += 1
        if role != wanted:
            print(f"{name} {kind}: {role}, {why}", flush=True)
    print("\n| stem | right | taken for |\n|---|--:|---|")
    for wanted in (*TOLD, "other"):
        of = {role: count for (kind, role), count in counts.items() if kind == wanted}
        wrong = ", ".join(f"{role} {count}" for role, count in of.items() if role != wanted)
        print(f"| {wanted} | {of.get(wanted, 0)} of {sum(of.values())} | {wrong or '–'} |")


def _stems(folder: Path, songs: int) -> Iterator[tuple[str, str, AudioSource]]:
    for song in [song for song in find_songs(folder) if song.parts][:songs]:
        for kind, (path, *_) in song.parts:
            with tempfile.TemporaryDirectory() as scratch:
                track = decode(path, Path(scratch) / "track.f32").audio
                if any(block.any() for block in blocks(track)):
                    yield song.path.name, kind, track


def _clip() -> Iterator[tuple[str, str, AudioSource]]:
    spec = util.find_spec("stempeg")
    if spec is None or spec.origin is None:
        return
    path = next((Path(spec.origin).parent / "data").glob("*.stem.mp4"))
    for number, kind in enumerate(("drums", "bass", "other", "vocals"), 1):
        reader = ["ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:a:{number}", "-f", "f32le", "-"]
        raw = np.frombuffer(subprocess.run(reader, capture_output=True, check=True).stdout, np.float32)
        yield path.stem, kind, Audio(np.ascontiguousarray(raw.reshape(-1, 2).T), 44100)


if __name__ == "__main__":
    main()
