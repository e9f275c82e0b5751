"""Measures what lossy codecs do to a true-peak ceiling, and the cost of holding it, as a Markdown table.

    python scripts/benchmark_codecs.py SONG [SONG …] [--target streaming] [--seconds 60]

The loudest part of each song goes through the finaliser alone. "over" is the true peak after encoding and
decoding less the ceiling; "held" is the same with the ceiling held through that codec, in so many
renders; "cost" is by how much the limiter then takes off more, and how much loudness is lost.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from mixagent.pipeline.chain.edits import Faded, Section
from mixagent.pipeline.finaliser.codecs import CODECS, CodecPlan, CodecRender, finalise_through
from mixagent.pipeline.finaliser.prediction import measure_source
from mixagent.pipeline.finaliser.targets import LoudnessTarget, loudness_target
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.types import Audio, AudioSource, load

FADE_S = 0.05


def main() -> None:
    """Print the table, a row for each song and codec, and their means and worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--target", default="streaming")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path, help="JSON of the worst by codec")
    options = parser.parse_args()
    target = loudness_target(options.target)
    print("| song | codec | over dB | held dB | renders | cost: reduction dB | cost: loudness LU |")
    print("|---|---|---|---|---|---|---|")
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in CODECS}
    for song in options.songs:
        part = loudest_part(song, options.seconds)
        for name, figures in compared(part, target).items():
            rows[name].append(figures)
            print(_row(song.stem, name, figures), flush=True)
    for name, found in rows.items():
        print(_row("**mean**", name, tuple(np.mean(found, axis=0))))
        print(_row("**worst**", name, tuple(np.max(found, axis=0))))
    if options.output:
        names = ("over_db", "held_db", "renders", "reduction_db", "loudness_lu")
        worst = {
            name: dict(zip(names, map(float, np.max(found, axis=0)), strict=True))
            for name, found in rows.items()
            if found
        }
        options.output.write_text(json.dumps(worst, indent=1) + "\n", encoding="utf-8")


def loudest_part(song: Path, seconds: float) -> Audio:
    """The part of a song with the loudest three seconds in its middle, in memory."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = decode(song, Path(scratch) / "song.f32").audio
        loudness = measure(whole).short_term_lufs
        middle = round((np.argmax(loudness) / 10 + 1.5) * whole.rate) if loudness.size else 0
        length = min(round(seconds * whole.rate), whole.frames)
        start = min(max(middle - length // 2, 0), whole.frames - length)
        # A codec overshoots where a file begins in the middle of a sound; no song does.
        fade = round(FADE_S * whole.rate)
        return load(Faded(Section(whole, start, start + length), fade, fade))


def compared(part: AudioSource, target: LoudnessTarget) -> dict[str, tuple[float, ...]]:
    """For each codec that is here: over, held, renders, and the cost in reduction and loudness."""
    here = tuple(name for name, codec in CODECS.items() if not codec.missing())
    (plain,) = _renders(part, target, CodecPlan(checked=here))
    over = {check.codec: check.true_peak_dbtp - target.ceiling_dbtp for check in plain.checks}
    return {name: _held(part, target, name, plain, over[name]) for name in here}


def _held(
    part: AudioSource, target: LoudnessTarget, name: str, plain: CodecRender, over_db: float
) -> tuple[float, ...]:
    if over_db <= 0:
        return over_db, over_db, 1.0, 0.0, 0.0
    renders = _renders(part, target, CodecPlan(checked=(name,), held=(name,)))
    last = renders[-1]
    held_db = last.checks[0].true_peak_dbtp - target.ceiling_dbtp
    more_db = last.max_reduction_db - plain.max_reduction_db
    return over_db, held_db, float(len(renders)), more_db, plain.integrated_lufs - last.integrated_lufs


def _renders(part: AudioSource, target: LoudnessTarget, plan: CodecPlan) -> tuple[CodecRender, ...]:
    with tempfile.TemporaryDirectory() as scratch:
        measures = measure_source(part, _unheard)
        return finalise_through(part, target, plan, Path(scratch), _unheard, measures)[1]


def _unheard(share: float) -> None:
    """Progress that nobody watches."""


def _row(song: str, codec: str, figures: tuple[float, ...]) -> str:
    over, held, renders, reduction, loudness = figures
    cells = (
        song,
        codec,
        f"{over:+.2f}",
        f"{held:+.2f}",
        f"{renders:.1f}",
        f"{reduction:+.2f}",
        f"{loudness:+.2f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
