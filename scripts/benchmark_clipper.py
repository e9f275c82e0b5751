"""The soft clipper before the limiter at equal loudness, as a Markdown table.

    python scripts/benchmark_clipper.py SONG... [--lufs -8] [--seconds 12] [--over 2 --knee 4 ...]

The middle of each song is finished to one loudness, with a clipper that no peak reaches and at each of the
settings, and held against what went in (see `pipeline.wear`): distortion in dB, loss of transient
peaks in dB, pumping in dB. Two files joined by a plus sign are summed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from mixagent.pipeline.audio import Audio, FloatArray, load
from mixagent.pipeline.clipper import Clipper
from mixagent.pipeline.finaliser import finalise
from mixagent.pipeline.forecast import measure_source
from mixagent.pipeline.targets import LoudnessTarget
from mixagent.pipeline.wear import wear

UNREACHED = Clipper(over_db=60.0, knee_db=1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", nargs="+", help="audio files, or two with a plus sign between them")
    parser.add_argument("--lufs", type=float, default=-8.0)
    parser.add_argument("--ceiling", type=float, default=-1.0)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--over", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--knee", type=float, nargs="+", default=[3.0])
    options = parser.parse_args()
    target = LoudnessTarget("benchmark", options.lufs, options.ceiling, max_reduction_db=20.0)
    clippers = [Clipper(over, knee) for over in options.over for knee in options.knee]
    print("| song | clipper | LUFS | dBTP | distortion, dB | transients, dB | pumping, dB |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for song in options.songs:
        for line in rows(song, [UNREACHED, *clippers], target, options.seconds):
            print(line, flush=True)


def rows(song: str, clippers: list[Clipper], target: LoudnessTarget, seconds: float) -> Iterator[str]:
    """One line of the table for each clipper."""
    dry = excerpt(song, seconds)
    measures = measure_source(dry)
    for clipper in clippers:
        done = finalise(dry, target, None, measures=measures, clipper=clipper)
        worn = wear(dry, load(done.audio))
        how = "none" if clipper is UNREACHED else f"{clipper.over_db:g} over, knee {clipper.knee_db:g}"
        figures = (done.integrated_lufs, done.true_peak_dbtp, worn.distortion_db, worn.transient_loss_db)
        cells = [f"{figure:.2f}" for figure in (*figures, worn.pumping_db)]
        yield f"| {Path(song).stem} | {how} | {' | '.join(cells)} |"


def excerpt(song: str, seconds: float) -> Audio:
    """The middle of a file, or of the sum of files."""
    parts = [middle(Path(name), seconds) for name in song.split("+")]
    frames = min(samples.shape[1] for samples, _ in parts)
    return Audio(np.sum([samples[:, :frames] for samples, _ in parts], axis=0), parts[0][1])


def middle(path: Path, seconds: float) -> tuple[FloatArray, int]:
    """The middle of a file, (channels, frames), and its rate."""
    with soundfile.SoundFile(path) as file:
        frames = min(round(seconds * file.samplerate), file.frames)
        file.seek((file.frames - frames) // 2)
        return file.read(frames, dtype="float32", always_2d=True).T.copy(), file.samplerate


if __name__ == "__main__":
    main()
