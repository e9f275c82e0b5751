"""Compares systems on real generated songs and on finished ones: the same songs, in one run.

    python scripts/benchmark_generated.py --generated DIR --list generated.tsv --finished DIR \\
        [--part report] [--seconds 60] [--songs] [--output generated.json]

The songs are those of the list that are marked with the part, its voices alone in tables of their own, and
COUNT finished songs. Each system masters the middle of each in a process of its own. matchering gets a
finished song that is not judged, of the song's own collection where it has one, brought to the target;
`mixagent, profile` a profile of ten such songs. The judge is a plain band of the finished songs
(`plain_band.py`), each of them held against the others. Loudness and true peak are read by libebur128,
true peak by an independent 8× meter as well.

Then the findings: the area under the curve, generated against finished songs, as they are and through
codecs, of the severities and of the plain excess; and how often what a severity says is so.

Measures lie in CACHE by the content of what was measured, masters in KEEP, where one is given, by all that
made them: what is there is not made again. Needs ffmpeg, the extra `[dev]`, and `[peers]` in this
interpreter or in the one of `--peers-python`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from benchmark_master import Run, peer, run, say
from benchmark_master import measure as meter
from peers import TARGET_LUFS
from plain_band import (
    KINDS,
    PUNCH,
    Judged,
    PlainBand,
    area_under_curve,
    bands_without_each,
    interval,
    judged,
    share_removed,
)

from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.finished.band import judge
from mixagent.pipeline.finished.findings import FOUND, findings
from mixagent.pipeline.finished.measures import SongMeasures, measure_song
from mixagent.pipeline.graph.runner import program_version
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio, Float64Array, load

SUFFIXES = (".mp3", ".ogg", ".opus", ".flac", ".wav")
NOT_SONGS = ("*fretsonfire-songs*", "*_fast.*", "*/beneath_the_rabbit_hole.*")
"""Of the finished songs: parts of songs, second versions, and one that the training songs hold too."""

GENERATED, VOICES, FINISHED = "generated", "voices", "finished"
SETS = (GENERATED, VOICES, FINISHED)
INPUT, OURS, OURS_WITH_PROFILE, OURS_MIXED = "input", "mixagent", "mixagent, profile", "mixagent, mix"
OURS_CONDUCTED = "mixagent, conductor"
OUR_OWN = (OURS, OURS_WITH_PROFILE, OURS_MIXED, OURS_CONDUCTED)
SYSTEMS = (*OUR_OWN, "matchering", "libsonare aiMusic", "libsonare", "loudnorm")
CORRECTING_PEERS = ("matchering", "libsonare aiMusic", "libsonare")
"""The peers that are after more than loudness."""
LISTENING = "matchering"
"""The peer that masters by a reference and aims at its loudness."""

CODECS: Mapping[str, tuple[str, ...]] = {
    "mp3 128 kb/s": ("-c:a", "libmp3lame", "-b:a", "128k", "-f", "mp3"),
    "Opus 96 kb/s": ("-c:a", "libopus", "-b:a", "96k", "-f", "ogg"),
}
AS_THEY_ARE = "as they are"
PLAIN = "plain excess"

ABOUT_BANDWIDTH = ("cut off", "blinking", "hole", "smeared")
GENERATED_ODDS = 0.1
"""Share of generated songs among those that the severities are calibrated for."""

PROFILE_SONGS = 10
LEAST_S = 60.0
"""Length of a finished song, whatever is judged of it, so that the songs are always the same."""
_MEASURED_BY = (
    "measure.analysis",
    "measure.meters",
    "measure.fingerprint",
    "diagnosis.statistics",
    "finished.measures",
)


# --- songs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Song:
    """A song of one of the `SETS`."""

    path: Path
    of: str

    @property
    def name(self) -> str:
        """Its title, with its folder for finished songs."""
        return f"{self.path.parent.name}/{self.path.stem}" if self.of == FINISHED else self.path.stem


def generated_songs(folder: Path, listed: Path, part: str) -> list[Song]:
    """The songs that a table marks with the part, and all its voices alone."""
    with listed.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found = []
    for row in rows:
        voice = row["generator"].endswith("a voice alone")
        if voice or part in (row["part"], "all"):
            found.append(Song(folder / row["file"], VOICES if voice else GENERATED))
    missing = [song.path.name for song in found if not song.path.is_file()]
    if missing:
        raise SystemExit(f"{folder} lacks {', '.join(missing)} of {listed}")
    return found


def finished_songs(folder: Path, count: int) -> tuple[list[Song], list[Path]]:
    """`count` stereo songs of `LEAST_S` spread evenly over a folder, and the others that would do."""
    every = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in SUFFIXES and not any(fnmatch(str(path), pattern) for pattern in NOT_SONGS)
    ]
    usable = [path for path in every if _is_usable(path)]
    if len(usable) < count + PROFILE_SONGS:
        raise SystemExit(f"{len(usable)} usable songs in {folder}, {count + PROFILE_SONGS} wanted")
    chosen = _spread(usable, count)
    return [Song(path, FINISHED) for path in chosen], [path for path in usable if path not in chosen]


def _is_usable(path: Path) -> bool:
    info = sf.info(path)
    return info.channels == 2 and info.samplerate >= 32000 and info.duration >= LEAST_S


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    return [paths[k] for k in np.linspace(0, len(paths) - 1, count).round().astype(int)]


def excerpt(song: Path, seconds: float) -> Audio:
    """The middle of a song."""
    info = sf.info(song)
    frames = min(info.frames, round(seconds * info.samplerate))
    samples, rate = sf.read(song, frames, (info.frames - frames) // 2, dtype="float32", always_2d=True)
    return Audio(np.ascontiguousarray(samples.T), rate)


# --- measuring -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """The measures of a file.

    Attributes:
        judged: by the benchmark's judge.
        measures: by which the program finds faults.
        lufs, dbtp, dbtp_8x: loudness and true peak.
    """

    judged: Judged
    measures: SongMeasures
    lufs: float
    dbtp: float
    dbtp_8x: float

    def punch(self, name: str) -> float:
        """One of `PUNCH`."""
        return float(self.judged.punch[PUNCH.index(name)])

    @cached_property
    def severities(self) -> dict[str, float]:
        """Of each fault that the program knows."""
        return {found.fault.name: found.severity for found in findings(judge(self.measures))}

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        levels = {"lufs": self.lufs, "dbtp": self.dbtp, "dbtp_8x": self.dbtp_8x}
        return {"judged": self.judged.to_json(), "measures": self.measures.to_json(), **levels}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """Read the result of `to_json`."""
        levels = (float(data[name]) for name in ("lufs", "dbtp", "dbtp_8x"))
        return cls(Judged.from_json(data["judged"]), SongMeasures.from_json(data["measures"]), *levels)


@dataclass(frozen=True)
class Measurer:
    """Measures files, each content once: what was measured lies in `folder`."""

    folder: Path

    def __call__(self, path: Path) -> Measured:
        """The measures of a file that is not silent."""
        known = self.folder / f"{_digest(content(path), _measuring_code())}.json"
        if known.exists():
            return Measured.from_json(json.loads(known.read_text()))
        samples, rate = sf.read(path, dtype="float32", always_2d=True)
        audio, levels = Audio(np.ascontiguousarray(samples.T), rate), meter(path)
        analysis = analyse(audio)
        found = fingerprint(audio, analysis.integrated_lufs)
        measures = measure_song(analysis, found)
        measured = Measured(
            judged(analysis, found), measures, levels.lufs, levels.peak_dbtp, levels.peak_8x_dbtp
        )
        _write(known, measured.to_json())
        return measured


@cache
def _measuring_code() -> bytes:
    modules = [importlib.import_module(f"mixagent.pipeline.{name}") for name in _MEASURED_BY]
    files = [*(str(module.__file__) for module in modules), str(Path(__file__).parent / "plain_band.py")]
    return b"".join(Path(file).read_bytes() for file in files)


def content(path: Path) -> bytes:
    """The audio of a file: its rate and samples, without the time that a header may hold."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    return f"{rate} {samples.shape}".encode() + samples.tobytes()


def _digest(*parts: bytes | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(data)} ".encode() + data)
    return digest.hexdigest()[:24]


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data))
    part.replace(path)


def through_codec(song: Path, codec: str, output: Path) -> Path:
    """The song encoded and decoded again, as a wav file."""
    encoded = output.with_suffix(".coded")
    _ffmpeg("-i", str(song), *CODECS[codec], str(encoded))
    _ffmpeg("-i", str(encoded), "-c:a", "pcm_f32le", str(output))
    return output


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)


# --- systems ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A master and what it cost."""

    path: Path
    seconds: float
    cpu_s: float
    code: int


@dataclass(frozen=True)
class Bench:
    """The settings by which songs are mastered.

    Attributes:
        folder: for what is not kept.
        keep: for masters to be used again; None where none are.
        profile: for `mixagent, profile`.
        peers_python: the interpreter that has the peers.
    """

    folder: Path
    keep: Path | None
    profile: Path | None
    peers_python: str

    def master(self, system: str, song: Path, name: str, reference: Path) -> Made:
        """The song by a system; what is kept of the same making is used again.

        Raises:
            RuntimeError: the system failed.
        """
        if self.keep is None:
            output = self.folder / "master.wav"
            done = self._run(system, song, output, reference)
            return Made(output, done.seconds, done.cpu_s, done.code)
        parts: list[bytes | str] = [system, content(song), self._version(system)]
        if system == LISTENING:
            parts.append(content(reference))
        if system == OURS_WITH_PROFILE and self.profile:
            parts.append(self.profile.read_bytes())
        place = self.keep / system.replace(", ", "_").replace(" ", "_") / name.replace("/", "_")
        output = place / f"{_digest(*parts)}.wav"
        costs = output.with_suffix(".json")
        if not costs.exists():
            place.mkdir(parents=True, exist_ok=True)
            for old in place.iterdir():
                old.unlink()
            done = self._run(system, song, output, reference)
            _write(costs, {"seconds": done.seconds, "cpu_s": done.cpu_s, "code": done.code})
        return Made(output, **json.loads(costs.read_text()))

    def _run(self, system: str, song: Path, output: Path, reference: Path) -> Run:
        if system not in OUR_OWN:
            return peer(system, song, output, reference, TARGET_LUFS, self.peers_python)
        options = []
        if system == OURS_MIXED:
            options = ["--policy", "mix"]
        if system == OURS_CONDUCTED:
            options = ["--conductor"]
        if system == OURS_WITH_PROFILE:
            options = ["--reference", str(self.profile), "--target", str(TARGET_LUFS)]
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            return run([*_PROGRAM, "master", str(song), "-o", str(output), "--quiet", *options], Path(cache))

    def _version(self, system: str) -> str:
        if system in OUR_OWN:
            return program_version()
        return _peer_version(system.split()[0], self.peers_python)


_PROGRAM = (sys.executable, "-m", "mixagent")


@cache
def _peer_version(package: str, python: str) -> str:
    call = f"from importlib.metadata import version; print(version('{package}'))"
    command = ["ffmpeg", "-version"] if package == "loudnorm" else [python, "-c", call]
    installed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return installed + (Path(__file__).parent / "peers.py").read_text(encoding="utf-8")


def make_profile(songs: Sequence[Path], folder: Path) -> Path:
    """A profile of finished songs; one that this program made of the same songs is used again."""
    contents = (hashlib.sha256(path.read_bytes()).digest() for path in songs)
    made = folder / f"profile-{_digest(program_version(), *contents)}.json"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            part = Path(name) / "profile.json"
            run([*_PROGRAM, "profile", "make", *map(str, songs), "-o", str(part), "--quiet"], Path(name))
            part.replace(made)
    return made


# --- rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A system on a song.

    Attributes:
        song, of: the song's name and its set.
        system: `INPUT` for the song itself.
        measured: the master.
        aim_lufs: loudness that was aimed at.
        seconds, cpu_s, code: of the process.
    """

    song: str
    of: str
    system: str
    measured: Measured
    aim_lufs: float
    seconds: float = 0.0
    cpu_s: float = 0.0
    code: int = 0


def references(songs: Sequence[Song], others: Sequence[Path]) -> list[Path]:
    """For each song a finished one that is not judged: of its own folder, else the others spread by turns."""
    spread = _spread(others, PROFILE_SONGS)
    found = []
    for number, song in enumerate(songs):
        beside = [path for path in others if path.parent == song.path.parent]
        found.append(beside[number % len(beside)] if beside else spread[number % len(spread)])
    return found


def rows_of(
    songs: Sequence[Song],
    others: Sequence[Path],
    bench: Bench,
    measurer: Measurer,
    systems: Sequence[str],
    seconds: float,
) -> Iterator[Row]:
    """Each song as it is, and as each system masters it; a system that fails is said and left out."""
    target = loudness_target(f"{TARGET_LUFS:g}")
    for number, (song, near) in enumerate(zip(songs, references(songs, others), strict=True)):
        wav, reference = bench.folder / "song.wav", bench.folder / "reference.wav"
        _write_wav(excerpt(song.path, seconds), wav)
        yield Row(song.name, song.of, INPUT, measurer(wav), TARGET_LUFS)
        if LISTENING in systems:
            _write_wav(load(finalise(excerpt(near, seconds), target, bench.folder).audio), reference)
        for system in systems:
            try:
                made = bench.master(system, wav, song.name, reference)
            except RuntimeError as error:
                say(f"{song.name} by {system}: {str(error)[-400:]}")
                continue
            row = Row(song.name, song.of, system, measurer(made.path), TARGET_LUFS)
            yield Row(**{**vars(row), "seconds": made.seconds, "cpu_s": made.cpu_s, "code": made.code})
            say(f"{number + 1}/{len(songs)} {song.name}: {system} {made.seconds:.1f} s")


def _write_wav(audio: Audio, path: Path) -> None:
    sf.write(path, audio.samples.T, audio.rate, "FLOAT")


# --- figures ---------------------------------------------------------------------------------------


class Figures:
    """The figures of all rows."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = {(row.of, row.song, row.system): row for row in rows}
        finished = [row for row in rows if row.of == FINISHED and row.system == INPUT]
        inputs = [row.measured.judged for row in finished]
        self.band = PlainBand.of(inputs)
        self._without = dict(zip((row.song for row in finished), bands_without_each(inputs), strict=True))

    @property
    def systems(self) -> list[str]:
        """Those that there are rows of, and the songs as they are."""
        there = {system for _, _, system in self.rows}
        return [system for system in (INPUT, *SYSTEMS) if system in there]

    def songs(self, of: str, system: str = INPUT) -> list[str]:
        """The songs of a set that a system mastered."""
        return [song for a, song, b in self.rows if (a, b) == (of, system)]

    def excess(self, row: Row, kind: str) -> float:
        """Of the row against the finished songs, without the song itself."""
        return self._without.get(row.song, self.band).excess(row.measured.judged, kind)

    def pairs(self, of: str, system: str, kind: str | None = None) -> list[tuple[Row, Row]]:
        """Each song of a set and its master; without what was mono where it is about width."""
        both = [(self.rows[of, song, INPUT], self.rows[of, song, system]) for song in self.songs(of, system)]
        return [pair for pair in both if kind != "width" or not pair[0].measured.judged.mono]

    def before_and_after(self, of: str, system: str, kind: str) -> Float64Array:
        """Excess of each song before and after, shape (songs, 2)."""
        return np.array(
            [[self.excess(row, kind) for row in pair] for pair in self.pairs(of, system, kind)]
        ).reshape(-1, 2)

    def removed(self, of: str, system: str, kind: str) -> dict[str, float]:
        """Excess before and after, the share removed and its bootstrap interval."""
        both = self.before_and_after(of, system, kind)
        if not len(both):
            return {}
        low, high = interval(lambda drawn: share_removed(*drawn.T), both)
        before, after = both.mean(axis=0)
        share = share_removed(*both.T)
        return {"before_db": before, "after_db": after, "removed": share, "low": low, "high": high}

    def moved_db(self, of: str, system: str, kind: str) -> Float64Array:
        """Mean absolute change of each song's tone or width."""
        return np.array(
            [
                float(np.abs(getattr(b.measured.judged, kind) - getattr(a.measured.judged, kind)).mean())
                for a, b in self.pairs(of, system, kind)
            ]
        )

    def moved(self, of: str, system: str, kind: str) -> dict[str, float]:
        """Mean over the songs and what nine of ten do not pass."""
        moved = self.moved_db(of, system, kind)
        return {"mean_db": moved.mean(), "nine_of_ten_db": np.quantile(moved, 0.9)} if len(moved) else {}

    def levels(self, system: str) -> dict[str, float]:
        """Loudness error, highest true peaks and costs over all songs."""
        rows = [row for (_, _, name), row in self.rows.items() if name == system]
        errors = np.abs([row.measured.lufs - row.aim_lufs for row in rows])
        return {
            "error_mean_lu": errors.mean(),
            "error_most_lu": errors.max(),
            "dbtp": max(row.measured.dbtp for row in rows),
            "dbtp_8x": max(row.measured.dbtp_8x for row in rows),
            "seconds": float(np.mean([row.seconds for row in rows])),
            "cpu_s": float(np.mean([row.cpu_s for row in rows])),
        }

    def dynamics(self, of: str, system: str) -> dict[str, float]:
        """Mean peak to loudness ratio and loudness range before and after."""
        pairs, found = self.pairs(of, system), {}
        for name, short in (("plr", "plr"), ("loudness_range", "range")):
            for when, rows in zip(("before", "after"), zip(*pairs, strict=True), strict=True):
                found[f"{short}_{when}"] = float(np.mean([row.measured.punch(name) for row in rows]))
        return found

    def to_json(self) -> dict[str, Any]:
        """All figures by system and set."""
        found: dict[str, Any] = {}
        for system in self.systems:
            found[system] = {"levels": self.levels(system), "corrects": system in CORRECTING_PEERS}
            for of in SETS:
                if self.songs(of, system):
                    found[system][of] = {
                        "songs": len(self.songs(of, system)),
                        "excess": {kind: self.removed(of, system, kind) for kind in KINDS},
                        "moved": {kind: self.moved(of, system, kind) for kind in ("tone", "width")},
                        "dynamics": self.dynamics(of, system),
                    }
        return found


# --- findings --------------------------------------------------------------------------------------


def severities(measured: Measured, bandwidth: bool = True) -> Float64Array:
    """Of all faults, or of all that are not about bandwidth."""
    found = measured.severities
    return np.array([found[name] for name in found if bandwidth or name not in ABOUT_BANDWIDTH])


def noisy_or(severities: Float64Array) -> float:
    """The probability that there is any of them."""
    return float(1 - np.prod(1 - severities))


def separation(
    generated: Sequence[Measured], finished: Sequence[Measured]
) -> dict[str, tuple[float, float, float]]:
    """Area under the curve of each figure, generated against finished songs, with its bootstrap interval."""
    judges: dict[str, Callable[[Measured], float]] = {
        "strongest finding": lambda m: float(severities(m).max()),
        "any finding": lambda m: noisy_or(severities(m)),
        "strongest, none about bandwidth": lambda m: float(severities(m, False).max()),
        "any, none about bandwidth": lambda m: noisy_or(severities(m, False)),
    }
    scores = {
        name: (np.array([score(m) for m in generated]), np.array([score(m) for m in finished]))
        for name, score in judges.items()
    }
    inputs = [m.judged for m in finished]
    band, without = PlainBand.of(inputs), bands_without_each(inputs)
    for kind in KINDS:
        theirs = [m.judged for m in generated if kind != "width" or not m.judged.mono]
        ours = [
            own.excess(song, kind)
            for own, song in zip(without, inputs, strict=True)
            if kind != "width" or not song.mono
        ]
        scores[f"{PLAIN}, {kind}"] = (
            np.array([band.excess(song, kind) for song in theirs]),
            np.array(ours),
        )
    return {
        name: (area_under_curve(above, below), *interval(area_under_curve, above, below))
        for name, (above, below) in scores.items()
        if len(above)
    }


def reliability(generated: Sequence[Measured], finished: Sequence[Measured]) -> list[dict[str, float]]:
    """Stated and true probability by steps of severity, a generated song's findings counted as one in ten.

    What a generated song has counts as true, what a finished one has as false.
    """
    made, ours = (np.array([severities(m) for m in songs]) for songs in (generated, finished))
    rows = []
    edges = (0.1, 0.2, 0.35, 0.5, 0.7, 1.01)
    for low, high in itertools.pairwise(edges):
        theirs, own = ((found > low) & (found <= high) for found in (made, ours))
        stated = np.concatenate([made[theirs], ours[own]])
        if not len(stated):
            continue
        true = GENERATED_ODDS * theirs.mean()
        true = true / (true + (1 - GENERATED_ODDS) * own.mean())
        rows.append(
            {
                "stated": stated.mean(),
                "true": true,
                "generated": int(theirs.sum()),
                "finished": int(own.sum()),
            }
        )
    return rows


def found_shares(songs: Sequence[Measured]) -> dict[str, float]:
    """Share of songs that have a finding, and findings a song."""
    found = np.array([severities(m) for m in songs]) >= FOUND
    return {"songs": float(found.any(axis=1).mean()), "a_song": float(found.sum(axis=1).mean())}


def coded(
    songs: Sequence[Song], codec: str, bench: Bench, measurer: Measurer, seconds: float
) -> list[Measured]:
    """The songs through a codec; their measures are kept by what went in."""
    found = []
    for song in songs:
        wav = bench.folder / "song.wav"
        _write_wav(excerpt(song.path, seconds), wav)
        key = _digest(codec, *CODECS[codec], content(wav), _measuring_code())
        known = measurer.folder / f"coded-{key}.json"
        if not known.exists():
            _write(known, measurer(through_codec(wav, codec, bench.folder / "coded.wav")).to_json())
        found.append(Measured.from_json(json.loads(known.read_text())))
    return found


# --- tables ----------------------------------------------------------------------------------------


_MINUS = re.compile(r"(?<![\w−-])-(?=\d)")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table with a real minus sign."""
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    lines += ["| " + _MINUS.sub("−", " | ".join(cells)) + " |" for cells in rows]
    return "\n".join(lines)


def tables(figures: Figures) -> Iterator[str]:
    """All that the masters come to."""
    found = figures.to_json()
    for of in (GENERATED, VOICES):
        if figures.songs(of):
            heads = ["system", *(f"{kind} excess, dB | {kind} removed, % [95 %]" for kind in KINDS)]
            yield f"**{len(figures.songs(of))} {of}**\n\n" + table(
                [cell for head in heads for cell in head.split(" | ")],
                [
                    _removed_cells(name, found[name][of]["excess"])
                    for name in figures.systems
                    if of in found[name]
                ],
            )
    if figures.songs(FINISHED):
        heads = ["system", "tone moved, dB", "nine of ten", "width moved, dB", "nine of ten"]
        heads += [f"{kind} excess, dB" for kind in KINDS]
        rows = [
            _moved_cells(name, found[name][FINISHED]) for name in figures.systems if FINISHED in found[name]
        ]
        yield f"**{len(figures.songs(FINISHED))} finished**\n\n" + table(heads, rows)
    heads = ["system", "loudness error, mean / most, LU", "dBTP", "at 8×"]
    heads += [f"{of}: {what}" for of in (GENERATED, FINISHED) for what in ("PLR, dB", "range, LU")]
    heads += ["wall, s a song", "CPU, s a song"]
    yield "**Levels, dynamics, cost**\n\n" + table(
        heads, [_level_cells(name, found[name]) for name in figures.systems]
    )


def _change(before: float, after: float, digits: int = 2) -> str:
    return f"{before:.{digits}f} → {after:.{digits}f}"


def _removed_cells(system: str, excess: Mapping[str, Mapping[str, float]]) -> list[str]:
    cells = [system]
    for kind in KINDS:
        row = excess[kind]
        if not row:
            cells += ["–", "–"]
            continue
        share, low, high = (round(100 * row[name]) for name in ("removed", "low", "high"))
        cells.append(_change(row["before_db"], row["after_db"]))
        cells.append(f"{share} [{low}, {high}]")
    return cells


def _moved_cells(system: str, row: Mapping[str, Any]) -> list[str]:
    cells = [system]
    for kind in ("tone", "width"):
        moved = row["moved"][kind]
        cells += [f"{moved[name]:.2f}" for name in ("mean_db", "nine_of_ten_db")]
    return cells + [_change(row["excess"][k]["before_db"], row["excess"][k]["after_db"]) for k in KINDS]


def _level_cells(system: str, row: Mapping[str, Any]) -> list[str]:
    levels = row["levels"]
    cells = [system, f"{levels['error_mean_lu']:.2f} / {levels['error_most_lu']:.2f}"]
    cells += [f"{levels[name]:.2f}" for name in ("dbtp", "dbtp_8x")]
    for of in (GENERATED, FINISHED):
        for what in ("plr", "range"):
            own = row.get(of, {}).get("dynamics")
            cells.append(_change(own[f"{what}_before"], own[f"{what}_after"], 1) if own else "–")
    return cells + [f"{levels[name]:.1f}" for name in ("seconds", "cpu_s")]


def song_tables(figures: Figures) -> Iterator[str]:
    """Each song by each system."""
    heads = ["song", *(f"{kind}, dB" for kind in KINDS), "moved tone / width", "PLR, dB", "range, LU"]
    heads += ["LUFS", "dBTP", "findings", "code"]
    for system in figures.systems[1:]:
        for of in SETS:
            rows = [_song_cells(figures, *pair) for pair in figures.pairs(of, system)]
            if rows:
                yield f"**{system}, {of}**\n\n" + table(heads, rows)


def _song_cells(figures: Figures, before: Row, after: Row) -> list[str]:
    a, b = before.measured, after.measured
    moved = [
        f"{np.abs(getattr(b.judged, kind) - getattr(a.judged, kind)).mean():.2f}"
        for kind in ("tone", "width")
    ]
    found = [name for name, severity in a.severities.items() if severity >= FOUND]
    told = [f"{name} {a.severities[name]:.2f} → {b.severities.get(name, 0.0):.2f}" for name in found]
    told += [
        f"{name} {a.severities.get(name, 0.0):.2f} → **{severity:.2f}**"
        for name, severity in b.severities.items()
        if severity >= FOUND and name not in found
    ]
    return [
        before.song,
        *(
            "mono"
            if kind == "width" and a.judged.mono
            else _change(*(figures.excess(row, kind) for row in (before, after)))
            for kind in KINDS
        ),
        " / ".join(moved),
        *(_change(a.punch(name), b.punch(name), 1) for name in ("plr", "loudness_range")),
        _change(a.lufs, b.lufs, 1),
        f"{b.dbtp:.2f}",
        "; ".join(told),
        str(after.code),
    ]


def finding_tables(
    found: Mapping[str, Mapping[str, tuple[float, float, float]]],
    steps: Sequence[Mapping[str, float]],
    shares: Mapping[str, Mapping[str, float]],
) -> Iterator[str]:
    """Area under the curve by codec, and the reliability diagram."""
    names = list(found[AS_THEY_ARE])
    yield "**Generated against finished songs: area under the curve [95 %]**\n\n" + table(
        ["figure", *found],
        [
            [name, *("{:.2f} [{:.2f}, {:.2f}]".format(*figures[name]) for figures in found.values())]
            for name in names
        ],
    )
    yield "**Reliability of the severities, a generated song's counted as one in ten**\n\n" + table(
        ["stated", "true", "in generated songs", "in finished songs"],
        [
            [f"{row['stated']:.2f}", f"{row['true']:.2f}", str(row["generated"]), str(row["finished"])]
            for row in steps
        ],
    )
    yield "**Findings of 0.5 and more**\n\n" + table(
        ["songs", "with any, %", "a song"],
        [[of, f"{100 * row['songs']:.0f}", f"{row['a_song']:.2f}"] for of, row in shares.items()],
    )


# --- running ---------------------------------------------------------------------------------------


def main() -> None:
    """Master, measure, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generated", type=Path, required=True, help="folder of the generated songs")
    parser.add_argument("--list", type=Path, required=True, help="table of them: file, generator, part")
    parser.add_argument("--part", choices=("report", "tune", "all"), default="report")
    parser.add_argument("--finished", type=Path, required=True, help="folder of finished songs")
    parser.add_argument("--count", type=int, default=20, help="finished songs")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the middle of each song")
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has [peers]")
    parser.add_argument("--findings", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--songs", action="store_true", help="a table of each song as well")
    parser.add_argument("--cache", type=Path, default=Path("runs/generated"), help="of measures")
    parser.add_argument("--keep", type=Path, help="masters, to be used again")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    generated = generated_songs(options.generated, options.list, options.part)
    finished, others = finished_songs(options.finished, options.count)
    measurer = Measurer(options.cache / "measures")
    with tempfile.TemporaryDirectory() as name:
        # Nothing that a user's songs taught may count.
        os.environ["MIXAGENT_DATA"] = str(Path(name) / "data")
        profile = None
        if OURS_WITH_PROFILE in options.systems:
            profile = make_profile(_spread(others, PROFILE_SONGS), options.cache)
        bench = Bench(Path(name), options.keep, profile, options.peers_python)
        systems = [system for system in SYSTEMS if system in options.systems]
        every = [*generated, *finished]
        figures = Figures([*rows_of(every, others, bench, measurer, systems, options.seconds)])
        result: dict[str, Any] = {"systems": figures.to_json()}
        print(f"{options.part}: the middle {options.seconds:g} s of each song")
        for text in [*tables(figures), *(song_tables(figures) if options.songs else ())]:
            print(f"\n{text}", flush=True)
        if options.findings:
            result |= _findings(figures, every, bench, measurer, options.seconds)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        result |= {"part": options.part, "seconds": options.seconds, "songs": _song_rows(figures)}
        options.output.write_text(json.dumps(result, indent=1, default=float) + "\n", encoding="utf-8")


def _findings(
    figures: Figures, songs: Sequence[Song], bench: Bench, measurer: Measurer, seconds: float
) -> dict[str, Any]:
    sides = [[song for song in songs if song.of == of] for of in (GENERATED, FINISHED)]
    plain = [[figures.rows[song.of, song.name, INPUT].measured for song in side] for side in sides]
    found = {AS_THEY_ARE: separation(*plain)}
    for codec in CODECS:
        found[codec] = separation(*(coded(side, codec, bench, measurer, seconds) for side in sides))
    steps = reliability(*plain)
    shares = {of: found_shares(side) for of, side in zip((GENERATED, FINISHED), plain, strict=True)}
    for text in finding_tables(found, steps, shares):
        print(f"\n{text}", flush=True)
    curves: dict[str, dict[str, Any]] = {codec: {PLAIN: {}} for codec in found}
    for codec, own in found.items():
        for name, figure in own.items():
            named = dict(zip(("area", "low", "high"), figure, strict=True))
            plain_kind = name.removeprefix(f"{PLAIN}, ")
            (curves[codec] if plain_kind == name else curves[codec][PLAIN])[plain_kind] = named
    return {"area_under_curve": curves, "reliability": steps, "found": shares}


def _song_rows(figures: Figures) -> list[dict[str, Any]]:
    return [
        {
            **{name: getattr(row, name) for name in ("song", "of", "system", "seconds", "cpu_s", "code")},
            "excess": {kind: round(figures.excess(row, kind), 3) for kind in KINDS},
            **{name: round(getattr(row.measured, name), 3) for name in ("lufs", "dbtp", "dbtp_8x")},
            "judged": row.measured.judged.to_json(),
            "severities": {k: round(v, 3) for k, v in row.measured.severities.items() if v >= 0.2},
        }
        for row in figures.rows.values()
    ]


if __name__ == "__main__":
    main()
