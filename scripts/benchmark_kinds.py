"""Masters music that is no pop song, and broken input, by default settings, and measures the change.

    python scripts/benchmark_kinds.py [--songs DIR --kind chamber='wesnoth*/sad*' …] [--seconds 20]

Each sound is mastered by the program in a process of its own: the songs of a folder that a pattern names,
what is synthesised (`kinds_of_music.py`), and what is broken of `--base`. Printed are how far tone and width
moved (mean absolute change over the third octaves that sound, about its mean), how far the master of the
master moved once more, how much of the move `--amount 0.5` makes, what was found before and after,
loudness, and the exit code. A finding of 0.5 and more counts as found.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from benchmark_generated import Measured, Measurer, excerpt, table
from benchmark_master import ROOT, say
from benchmark_master import measure as meter
from kinds_of_music import BROKEN, RATE, SOUNDS, FloatArray

from mixagent.pipeline.finished.findings import FOUND
from mixagent.pipeline.types import Audio

STEADY = ("white noise", "pink noise", "tone of 1 kHz", "silence")
"""Sounds that no record is like, and that nobody wants to be like one."""

TRACEBACK = "traceback"

SILENT_DB = 50.0
"""Third octaves so far under the loudest one hold nothing that is heard to move."""

HEARD_DB = 1.0
"""A first pass that moves tone less than this says nothing of what half the amount does."""


@dataclass(frozen=True)
class Row:
    """The change of a sound by the default master; NaN where there is nothing to be measured.

    Attributes:
        name: what it is.
        code: exit code of the program.
        error: last line that it said where it made no master, and where it broke.
        tone_db, width_db: mean absolute change.
        again_db: change of tone by a master of the master.
        half: tone's change at half the amount, as a share of that at all of it.
        before, after: severities of what is found in song or master.
        lufs_before, lufs_after, dbtp: loudness and true peak.
    """

    name: str
    code: int
    error: str
    tone_db: float
    width_db: float
    again_db: float
    half: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    lufs_before: float
    lufs_after: float
    dbtp: float


def master(song: Path, output: Path, folder: Path, *options: str) -> tuple[int, str]:
    """The default master: exit code, and the last line that was said where there is no master."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        places = {"MIXAGENT_CACHE": f"{scratch}/cache", "MIXAGENT_DATA": f"{scratch}/data"}
        command = [
            sys.executable,
            "-m",
            "mixagent",
            "master",
            str(song),
            "-o",
            str(output),
            "--quiet",
            *options,
        ]
        done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True)
    lines = done.stderr.strip().splitlines() or [""]
    broke = "Traceback" in done.stderr
    return done.returncode, f"{TRACEBACK}: {lines[-1]}" if broke else lines[-1] if done.returncode not in (
        0,
        4,
    ) else ""


def row_of(name: str, song: Path, folder: Path, measurer: Measurer, halves: bool) -> Row:
    """A sound mastered once, once more, and by half."""
    first, second, half = (folder / f"{which}.wav" for which in ("first", "second", "half"))
    before = measured(song, measurer)
    code, error = master(song, first, folder)
    nothing = Row(
        name, code, error, *[math.nan] * 4, _found(before), {}, meter(song).lufs, math.nan, math.nan
    )
    if not first.exists():
        return nothing
    levels, after = meter(first), measured(first, measurer)
    master(first, second, folder)
    tone_db, width_db = moved_db(before, after)
    again_db, _ = moved_db(after, measured(second, measurer))
    share = math.nan
    if halves and tone_db > HEARD_DB:
        master(song, half, folder, "--amount", "0.5")
        share = moved_db(before, measured(half, measurer))[0] / tone_db
    for made in (first, second, half):
        made.unlink(missing_ok=True)
    return Row(
        **{
            **vars(nothing),
            **{"tone_db": tone_db, "width_db": width_db, "again_db": again_db, "half": share},
            **{"after": _found(after), "lufs_after": levels.lufs, "dbtp": levels.peak_dbtp},
        }
    )


def measured(path: Path, measurer: Measurer) -> Measured | None:
    """The measures of a file; None for silence."""
    return measurer(path) if math.isfinite(meter(path).lufs) else None


def moved_db(before: Measured | None, after: Measured | None) -> tuple[float, float]:
    """Mean absolute change of tone, about its mean, and of width, where the song sounds; no width of mono."""
    if before is None or after is None:
        return math.nan, math.nan
    first, second = before.judged, after.judged
    sounds = first.tone > first.tone.max() - SILENT_DB
    tone_db = (second.tone - first.tone)[sounds]
    width_db = (second.width - first.width)[sounds[-len(first.width) :]]
    moved_width_db = math.nan if first.mono or not len(width_db) else float(np.abs(width_db).mean())
    return float(np.abs(tone_db - tone_db.mean()).mean()), moved_width_db


def _found(song: Measured | None) -> dict[str, float]:
    if song is None:
        return {}
    return {name: round(severity, 2) for name, severity in song.severities.items() if severity >= FOUND}


def sounds(base: Audio, seconds: float) -> Iterator[tuple[str, FloatArray]]:
    """Synthesised sounds, and broken versions of a song; says what cannot be made here."""
    for name, make in SOUNDS.items():
        try:
            yield name, make(seconds)
        except FileNotFoundError as error:
            say(f"{name} is left out: {error}")
    song = np.ascontiguousarray(soxr.resample(base.samples.T, base.rate, RATE).T, np.float32)
    for name, spoil in BROKEN.items():
        yield name, spoil(song)


def chosen(folder: Path | None, kinds: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The songs that NAME=PATTERN names, as “name: song”."""
    for kind in kinds:
        name, _, pattern = kind.partition("=")
        songs = sorted(folder.glob(pattern)) if folder and pattern else []
        if not songs:
            raise SystemExit(f"--kind {kind}: no such songs in --songs {folder}")
        for song in songs:
            yield f"{name}: {song.stem}", song


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """A row a sound."""
    measurer = Measurer(options.cache / "measures")
    with tempfile.TemporaryDirectory() as name:
        folder, wav = Path(name), Path(name) / "song.wav"
        for title, song in chosen(options.songs, options.kind):
            audio = excerpt(song, options.seconds)
            sf.write(wav, audio.samples.T, audio.rate, "FLOAT")
            yield row_of(title, wav, folder, measurer, options.halves)
        for title, samples in sounds(excerpt(options.base, options.seconds), options.seconds):
            if not options.only or title in options.only:
                sf.write(wav, samples.T, RATE, "FLOAT")
                yield row_of(title, wav, folder, measurer, options.halves)


def cells(row: Row) -> list[str]:
    """A row of the table."""
    found = [f"{name} {severity:.2f}" for name, severity in row.before.items()]
    left = [f"{name} {severity:.2f}" for name, severity in row.after.items()]
    moved = [_number(value) for value in (row.tone_db, row.width_db, row.again_db)]
    half = "–" if math.isnan(row.half) else f"{100 * row.half:.0f} %"
    levels = f"{_number(row.lufs_before, 1)} → {_number(row.lufs_after, 1)}"
    told = f"{', '.join(found) or '–'} → {', '.join(left) or '–'}"
    return [row.name, *moved, half, told, levels, _number(row.dbtp), f"{row.code} {row.error}".strip()]


def _number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−").replace("inf", "∞")


HEADS = (
    "sound",
    "tone moved, dB",
    "width, dB",
    "again, dB",
    "half does",
    "found → left",
    "LUFS",
    "dBTP",
    "code",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=Path, help="folder that the patterns of --kind are of")
    parser.add_argument("--kind", nargs="*", default=[], metavar="NAME=PATTERN")
    parser.add_argument("--base", type=Path, default=ROOT / "examples" / "raw.flac", help="song to be broken")
    parser.add_argument("--only", nargs="*", default=[], help="of what is synthesised or broken")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--halves", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/generated"), help="of measures")
    parser.add_argument("--output", type=Path, help="JSON of the rows")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = []
    for row in rows(options):
        found.append(row)
        say(" | ".join(cells(row)))
    print(table(HEADS, [cells(row) for row in found]))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(
            json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
