"""mixagent beside its peers, on the same songs in the same run: promises, artefacts, repair, cost.

    python scripts/benchmark_peers.py --songs DIR [DIR …] [--count 20] [--output runs/peers]
    python scripts/benchmark_peers.py --songs DIR [DIR …] --target loud --damages

Every system masters the middle of each finished song at half scale, in a process of its own, and a
shorter excerpt damaged by each pathology and by all five. Peers and mixagent aim at one loudness and at
−1 dBTP; matchering, which takes none, gets a song of the same collection that was brought to both.
Where a peer ends at another loudness, mixagent masters the song to that one too, so that artefacts
are compared at equal loudness. Loudness is read by libebur128, true peak by libebur128, by an
independent 8× meter, and after mp3.

The adversarial signals are what meters and limiters trip over. Rows go to OUTPUT/rows.jsonl as they are
known; the same command goes on where it was stopped. Needs the extras `[dev]` and `[peers]`, and ffmpeg.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from benchmark_master import master, measure, peer
from benchmark_recovery import aligned, damages, find_songs, genre_near, write
from benchmark_recovery import excerpt as at_its_rate
from numpy.typing import NDArray
from peers import CEILING_DBTP, PEERS

from mixagent.envs.pathologies import KINDS
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.files import heal_lines, read_lines
from mixagent.pipeline.finaliser.codecs import CODECS, round_trip
from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.finaliser.targets import LoudnessTarget, loudness_target
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.artefacts import loudness_jump_lu, measure_artefacts
from mixagent.pipeline.measure.meters import measure as metered
from mixagent.pipeline.types import Audio, load
from mixagent.reward.recovery import Original
from mixagent.session.master import master_song
from mixagent.session.request import Request
from mixagent.settings import load_config

OURS = "mixagent"
SYSTEMS = (OURS, *PEERS)
FINISHED, ADVERSARIAL, EQUAL = "finished", "adversarial", "at equal loudness"

ALL_KINDS, SEVERITY = (*KINDS, "all five"), 0.6

RATE, SIGNAL_S = 44_100, 8.0
_SAME_LU = 0.05

Row = dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """A master beside the song that it was made of; decibels and LU are changes but for levels."""

    lufs: float
    dbtp: float
    dbtp_8x: float
    dbtp_mp3: float
    range_lu: float
    plr_db: float
    jump_lu: float
    distortion_db: float
    pumping_db: float
    transient_loss_db: float
    fold_loss_db: float
    moved: float


class Side:
    """A song or a master, and what is measured of it once."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio

    @cached_property
    def levels(self) -> Any:
        """Its loudness over time."""
        return metered(self.audio)

    @cached_property
    def fold_loss_db(self) -> float:
        """The loss of folding it to mono."""
        return analyse(self.audio).mono_fold_loss_db

    @property
    def plr_db(self) -> float:
        """Its true peak over its loudness."""
        return float(self.levels.true_peak_dbtp - self.levels.integrated_lufs)


def figures(song: Side, path: Path) -> Figures:
    """The figures of a song as a system mastered it."""
    found, after = measure(path), Side(aligned(path, song.audio))
    artefacts = measure_artefacts(song.audio, after.audio)
    return Figures(
        lufs=found.lufs,
        dbtp=found.peak_dbtp,
        dbtp_8x=found.peak_8x_dbtp,
        dbtp_mp3=round_trip(after.audio, CODECS["mp3"]).true_peak_dbtp,
        range_lu=after.levels.range_lu - song.levels.range_lu,
        plr_db=after.plr_db - song.plr_db,
        jump_lu=loudness_jump_lu(after.levels) - loudness_jump_lu(song.levels),
        distortion_db=artefacts.distortion_db,
        pumping_db=artefacts.pumping_db,
        transient_loss_db=artefacts.transient_loss_db,
        fold_loss_db=after.fold_loss_db - song.fold_loss_db,
        moved=Original(song.audio).distance(after.audio).total,
    )


def excerpt(song: Path, seconds: float) -> Audio:
    """The middle of a song, at the rate that every peer leaves as it is."""
    audio = at_its_rate(song, seconds)
    if audio.rate == RATE:
        return audio
    return Audio(np.ascontiguousarray(soxr.resample(audio.samples.T, audio.rate, RATE).T), RATE)


# --- systems ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """The files of a song, and the target of all systems."""

    folder: Path
    target: LoudnessTarget

    @property
    def reference(self) -> Path:
        """The song that matchering is given."""
        return self.folder / "reference.wav"

    @property
    def song(self) -> Path:
        """The song to be mastered."""
        return self.folder / "song.wav"

    def put(self, audio: Audio, reference: Audio) -> None:
        """The song as a file, with the reference beside it, which is brought to the target."""
        write(load(finalise(reference, self.target, self.folder).audio), self.reference)
        write(audio, self.song)

    def timed(self, system: str, song: Path, output: Path) -> tuple[float, float]:
        """Master in a process of its own: seconds and peak GB."""
        lufs = self.target.integrated_lufs
        if system == OURS:
            with tempfile.TemporaryDirectory() as cache:
                run = master(song, output, Path(cache), "--target", f"{lufs}")
        else:
            run = peer(system, song, output, self.reference, lufs)
        return run.seconds, run.peak_gb

    def quick(self, system: str, song: Path, output: Path, lufs: float | None = None) -> None:
        """Master in this process."""
        lufs = self.target.integrated_lufs if lufs is None else lufs
        if system != OURS:
            PEERS[system](song, output, self.reference, lufs)
            return
        config = load_config(["experience.remember=false"])
        with master_song(Request(song, output, loudness_target(f"{lufs:.3f}"), config=config)):
            pass


def finished_row(bench: Bench, song: Side, system: str) -> Row:
    """A system on a finished song, with its cost."""
    output = bench.folder / "master.wav"
    seconds, peak_gb = bench.timed(system, bench.song, output)
    a_minute = seconds * 60 * song.audio.rate / song.audio.frames
    return {**asdict(figures(song, output)), "seconds": a_minute, "gb": peak_gb}


def equal_row(bench: Bench, song: Side, theirs: Row) -> Row:
    """The figures of mixagent on a finished song at the loudness that a peer ended at."""
    output = bench.folder / "master.wav"
    bench.quick(OURS, bench.song, output, theirs["lufs"])
    ours = figures(song, output)
    return {"same": abs(ours.lufs - theirs["lufs"]) <= _SAME_LU, **asdict(ours)}


def damaged_row(bench: Bench, original: Original, spoilt: Audio, system: str) -> Row:
    """The distance to the original before and after a system."""
    output = bench.folder / "master.wav"
    bench.quick(system, bench.song, output)
    after = original.distance(aligned(output, original.audio))
    return {"before": original.distance(spoilt).total, "after": after.total}


# --- adversarial signals ---------------------------------------------------------------------------


def signals() -> dict[str, NDArray[np.float64]]:
    """Signals that meters and limiters trip over, (2, frames) each, at up to over full scale."""
    random = np.random.default_rng(1)
    seconds = np.arange(round(SIGNAL_S * RATE)) / RATE
    noise = random.standard_normal((2, seconds.size))
    impulses = np.zeros(seconds.size)
    impulses[::4410] = 1.0
    music = np.sin(2 * np.pi * 220 * seconds) * (seconds % 0.5 < 0.25) + 0.1 * noise[0]
    return {
        "a quarter of the rate, 45°": _both(1.4 * np.sin(np.pi / 2 * np.arange(seconds.size) + np.pi / 4)),
        "square wave": _both(1.2 * np.sign(np.sin(2 * np.pi * 440 * seconds + 0.1))),
        "impulses": _both(impulses),
        "clipped noise": np.clip(0.8 * noise, -1, 1),
        "noise of −60 LUFS": db_to_amplitude(-60) * noise,
        "offset of 0.3": 0.3 + 0.1 * noise,
        "left side only": np.stack([0.5 * music, 0 * music]),
        "sides turned against each other": np.stack([0.5 * music, -0.5 * music]),
        "long silence, then loud": _both(0.9 * music * (seconds > 0.75 * SIGNAL_S)),
        "abrupt ends at full scale": _both(np.cos(2 * np.pi * 1000 * seconds)),
        "silence": np.zeros((2, seconds.size)),
    }


def _both(one: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([one, one])


def adversarial_row(bench: Bench, samples: NDArray[np.float64], system: str) -> Row:
    """A system's result for a signal: finite, of its length, its loudness and its peaks."""
    output = bench.folder / "master.wav"
    output.unlink(missing_ok=True)
    try:
        bench.timed(system, bench.song, output)
    except RuntimeError as error:
        return {"refused": str(error)[-200:]}
    found, heard = measure(output), sf.read(output, always_2d=True)[0]
    return {
        "whole": bool(found.frames == samples.shape[1] and np.isfinite(heard).all()),
        "lufs": found.lufs,
        "dbtp": found.peak_dbtp,
        "dbtp_8x": found.peak_8x_dbtp,
    }


# --- tables ----------------------------------------------------------------------------------------

Rows = Sequence[Row]


def _column(name: str) -> Callable[[Rows], NDArray[np.float64]]:
    return lambda rows: np.array([row[name] for row in rows], np.float64)


def promises(rows: Rows, target_lufs: float) -> dict[str, str]:
    """The columns about loudness, peaks and dynamics."""
    errors = np.abs(_column("lufs")(rows) - target_lufs)
    return {
        "loudness error, mean / most, LU": f"{errors.mean():.2f} / {errors.max():.2f}",
        "dBTP": f"{_column('dbtp')(rows).max():+.2f}",
        "at 8×": f"{_column('dbtp_8x')(rows).max():+.2f}",
        "after mp3": f"{_column('dbtp_mp3')(rows).max():+.2f}",
        "range, LU": f"{_column('range_lu')(rows).mean():+.1f}",
        "PLR, dB": f"{_column('plr_db')(rows).mean():+.1f}",
        "jumps, LU": f"{_column('jump_lu')(rows).mean():+.1f}",
        "s a minute": f"{np.median(_column('seconds')(rows)):.1f}",
        "GB": f"{_column('gb')(rows).max():.2f}",
    }


WORN = {
    "distortion_db": "distortion, dB",
    "pumping_db": "pumping, dB",
    "transient_loss_db": "transients lost, dB",
    "fold_loss_db": "lost in mono, dB",
    "moved": "moved",
}

EQUALLY_WORN_DB = {"distortion_db": 0.5, "pumping_db": 0.02, "transient_loss_db": 0.05}
"""The figures compared at equal loudness, and the difference up to which they count as the same."""

_NO_DISTORTION_DB = -60.0


def artefacts(rows: Rows) -> dict[str, str]:
    """The columns about what a finished song loses."""
    digits = {"distortion_db": 1, "pumping_db": 3}
    return {
        title: f"{np.median(_column(name)(rows)):.{digits.get(name, 2)}f}" for name, title in WORN.items()
    }


def undone(rows: Rows) -> dict[str, str]:
    """The share of the distance undone by damage, in %, distances summed over songs."""
    found = {}
    for kind in ALL_KINDS:
        own = [row for row in rows if row["input"] == kind]
        if own:
            found[kind] = f"{100 * (1 - sum(_column('after')(own)) / sum(_column('before')(own))):+.0f}"
    return found


def summary(rows: Rows, target_lufs: float) -> dict[str, Any]:
    """The figures behind the headlines, by system: promises, recovery, adversarial signals."""
    found: dict[str, Any] = {}
    for system in SYSTEMS:
        own = [row for row in rows if row["system"] == system]
        finished = [row for row in own if row["input"] == FINISHED]
        made = [row for row in own if row["input"] == ADVERSARIAL and "refused" not in row]
        figures: dict[str, Any] = {
            "undone": {
                kind: 1 - sum(_column("after")(damaged)) / sum(_column("before")(damaged))
                for kind in ALL_KINDS
                if (damaged := [row for row in own if row["input"] == kind])
            }
        }
        if finished:
            figures["error_most_lu"] = float(np.abs(_column("lufs")(finished) - target_lufs).max())
            figures["dbtp_8x"] = float(_column("dbtp_8x")(finished).max())
        if made:
            peaks = np.maximum(_column("dbtp")(made), _column("dbtp_8x")(made))
            figures["over_db"] = float(peaks.max()) - CEILING_DBTP
        found[system] = figures
    return found


def at_equal_loudness(rows: Rows, system: str) -> dict[str, str]:
    """A peer's artefacts beside those of mixagent at the loudness that the peer ended at."""
    theirs = {r["song"]: r for r in rows if r["system"] == system and r["input"] == FINISHED}
    pairs = [
        (theirs[row["song"]], row)
        for row in rows
        if row["system"] == system and row["input"] == EQUAL and row["same"]
    ]
    found = {"songs": str(len(pairs))}
    for name, same_db in EQUALLY_WORN_DB.items():
        both = np.array([(their[name], our[name]) for their, our in pairs]).reshape(-1, 2)
        more = np.subtract(*np.maximum(both, _NO_DISTORTION_DB).T)
        counts = (more > same_db).sum(), (np.abs(more) <= same_db).sum(), (more < -same_db).sum()
        title = WORN[name].removesuffix(", dB")
        found[f"{title}, theirs − ours, dB"] = f"{np.median(more):+.2f}" if pairs else "–"
        found[f"{title} less / as much / more in ours, songs"] = " / ".join(map(str, counts))
    return found


def _adversarial(rows: Rows, target_lufs: float) -> dict[str, str]:
    made = [row for row in rows if "refused" not in row]
    over = _column("dbtp")(made) - CEILING_DBTP, _column("dbtp_8x")(made) - CEILING_DBTP
    lufs = _column("lufs")(made)
    errors = np.abs(lufs[np.isfinite(lufs)] - target_lufs)
    return {
        "signals": str(len(rows)),
        "refused": str(len(rows) - len(made)),
        "not whole": str(sum(not row["whole"] for row in made)),
        "over the ceiling": str(int((np.maximum(*over) > 0).sum())),
        "most over, dB": f"{over[0].max():+.2f}",
        "at 8×": f"{over[1].max():+.2f}",
        "within 0.5 LU": str(int((errors <= 0.5).sum())),
    }


def markdown(rows: dict[str, dict[str, str]]) -> str:
    """Rows of one kind as a table, by system."""
    heads = ["system", *next(iter(rows.values()))]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    lines += ["| " + " | ".join([name, *cells.values()]) + " |" for name, cells in rows.items()]
    return "\n".join(lines).replace(" -", " −")


def tables(rows: Rows, target_lufs: float) -> Iterator[str]:
    """All that the rows give."""
    inputs = {row["input"] for row in rows}

    def each(about: Callable[[Rows], dict[str, str]], *of: str) -> str:
        systems = [name for name in SYSTEMS if any(row["system"] == name for row in rows)]
        own = {name: [r for r in rows if r["system"] == name and r["input"] in of] for name in systems}
        return markdown({name: about(found) for name, found in own.items() if found})

    if FINISHED in inputs:
        yield "**Promises**\n\n" + each(lambda own: promises(own, target_lufs), FINISHED)
        yield "**What finished songs lose** (medians)\n\n" + each(artefacts, FINISHED)
        peers = {f"beside {name}": at_equal_loudness(rows, name) for name in PEERS}
        yield "**At the loudness that each peer ended at**\n\n" + markdown(peers)
    if inputs & {*ALL_KINDS}:
        yield "**Recovery, %**\n\n" + each(undone, *ALL_KINDS)
    if ADVERSARIAL in inputs:
        yield "**Adversarial signals**\n\n" + each(lambda own: _adversarial(own, target_lufs), ADVERSARIAL)


# --- running ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """The request, and the rows that are known."""

    bench: Bench
    systems: tuple[str, ...]
    rows: list[Row]

    def missing(self, song: str, what: str) -> list[str]:
        """The systems that a row of this song and input is missing of."""
        known = {row["system"] for row in self.rows if (row["song"], row["input"]) == (song, what)}
        return [name for name in self.systems if name not in known]

    def finished(self, song: str, audio: Audio, reference: Audio) -> Iterator[Row]:
        """Every system on a finished song, and mixagent beside each peer."""
        side = Side(audio)
        self.bench.put(audio, reference)
        for system in self.missing(song, FINISHED):
            yield _named(song, FINISHED, system, finished_row(self.bench, side, system))
        theirs = [row for row in self.rows if (row["song"], row["input"]) == (song, FINISHED)]
        beside = {row["system"] for row in self.rows if (row["song"], row["input"]) == (song, EQUAL)}
        for row in theirs if OURS in self.systems else ():
            if row["system"] not in (OURS, *beside):
                yield _named(song, EQUAL, row["system"], equal_row(self.bench, side, row))

    def damaged(self, song: str, audio: Audio, reference: Audio, seed: int) -> Iterator[Row]:
        """Every system on every damage of a song."""
        if not any(self.missing(song, kind) for kind in ALL_KINDS):
            return
        original = Original(audio)
        for kind, spoilt in damages(audio, SEVERITY, seed, validation=False).items():
            self.bench.put(spoilt, reference)
            for system in self.missing(song, kind):
                yield _named(song, kind, system, damaged_row(self.bench, original, spoilt, system))

    def adversarial(self, reference: Audio) -> Iterator[Row]:
        """Every system on every adversarial signal."""
        for name, samples in signals().items():
            systems = self.missing(name, ADVERSARIAL)
            if systems:
                self.bench.put(Audio(samples.astype(np.float32), RATE), reference)
            for system in systems:
                yield _named(name, ADVERSARIAL, system, adversarial_row(self.bench, samples, system))


def _named(song: str, what: str, system: str, row: Row) -> Row:
    return {"song": song, "input": what, "system": system, **row}


def rows_of(job: Job, songs: list[Path], options: argparse.Namespace) -> Iterator[Row]:
    """The rows that are missing, song by song."""
    for number, song in enumerate(songs):
        reference = excerpt(genre_near(song, songs[number - 1], options.seconds), options.seconds)
        yield from job.finished(song.name, excerpt(song, options.seconds), reference)
        if options.damages:
            yield from job.damaged(song.name, excerpt(song, options.damaged_s), reference, number)
    if options.adversarial:
        yield from job.adversarial(excerpt(songs[0], options.seconds))


def main() -> None:
    """Fill in what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=40.0, help="of a finished song")
    parser.add_argument("--damaged-s", type=float, default=16.0, help="of a damaged excerpt")
    parser.add_argument("--target", default="streaming")
    parser.add_argument("--damages", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--adversarial", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--output", type=Path, default=Path("runs/peers"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    songs = find_songs(options.songs, options.count, options.seconds)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "rows.jsonl"
    heal_lines(path)
    target, rows = loudness_target(options.target), list(read_lines(path))
    with tempfile.TemporaryDirectory() as name:
        os.environ["MIXAGENT_CACHE"] = str(Path(name) / "cache")
        job = Job(Bench(Path(name), target), tuple(options.systems), rows)
        for row in rows_of(job, songs, options):
            rows.append(row)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"# {row['song']} {row['input']} {row['system']}", flush=True)
    for table in tables(rows, target.integrated_lufs):
        print(f"\n{table}")
    figures = json.dumps(summary(rows, target.integrated_lufs), indent=1)
    (options.output / "summary.json").write_text(figures + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
