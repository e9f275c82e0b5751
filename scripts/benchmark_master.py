"""Masters whole songs with the installed program and prints what came out, beside the peers.

Each song is mastered in a process of its own with a cold cache, then once more to another target.
Loudness is read by libebur128, true peak by libebur128 and by an independent 8× meter. Peak memory is
the resident set of the process and its children, polled. Needs the extras `[dev]` and `[peers]`,
and ffmpeg.

    python scripts/benchmark_master.py [--songs FILE|DIR …] [--count 10] [--no-peers] [--seconds 60]
    python scripts/benchmark_master.py --scaling
    python scripts/benchmark_master.py --determinism
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyebur128
import soundfile as sf
from benchmark_recovery import genre_near
from numpy.typing import NDArray
from peers import TARGET_LUFS
from scipy.signal import firwin, resample_poly

from mixagent.pipeline.decibels import amplitude_to_db

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).parent / "mixagent"
SUFFIXES = (".mp3", ".ogg", ".flac", ".wav")
SECOND_TARGET_LUFS = -16.0
BLOCK_FRAMES, MARGIN_FRAMES, FACTOR = 1 << 18, 256, 8


@dataclass(frozen=True)
class Run:
    """The run of a process: exit code, wall seconds, peak resident memory, CPU seconds of all threads."""

    code: int
    seconds: float
    peak_gb: float
    cpu_s: float


@dataclass(frozen=True)
class Measured:
    """A file by libebur128 and by the 8× meter."""

    lufs: float
    peak_dbtp: float
    peak_8x_dbtp: float
    frames: int


def measure(path: Path) -> Measured:
    """Loudness and true peak of a file, read in blocks."""
    mode = pyebur128.MeasurementMode
    with sf.SoundFile(path) as file:
        state = pyebur128.R128State(file.channels, file.samplerate, mode.MODE_I | mode.MODE_TRUE_PEAK)
        for block in file.blocks(BLOCK_FRAMES, dtype="float32", always_2d=True):
            state.add_frames(np.ascontiguousarray(block).ravel(), len(block))
        peak = max(pyebur128.get_true_peak(state, channel) for channel in range(file.channels))
        return Measured(pyebur128.get_loudness_global(state), _db(peak), _db(_peak_8x(file)), file.frames)


def _db(value: float) -> float:
    return amplitude_to_db(max(value, 1e-9))


def _peak_8x(file: sf.SoundFile) -> float:
    """The largest interpolated sample, by a Kaiser-windowed sinc of 64 samples to each side.

    The file is read in overlapping blocks, and what is interpolated within the overlap of a block's
    joint is left out there: a block cut off rings by up to 1 dB, the song does not. Silence surrounds
    the file, so an abrupt start or end of it counts.
    """
    taps = firwin(2 * 64 * FACTOR + 1, 1 / FACTOR, window=("kaiser", 10.0))
    peak, inset = 0.0, MARGIN_FRAMES * FACTOR // 2
    for first, last, part in _overlapped(file):
        between = np.abs(resample_poly(part, FACTOR, 1, axis=0, window=taps))
        kept = between[0 if first else inset : len(between) if last else len(between) - inset]
        peak = max(peak, float(kept.max(initial=0.0)))
    return peak


def _overlapped(file: sf.SoundFile) -> Iterator[tuple[bool, bool, NDArray[np.float64]]]:
    """Each block with silence at the file's ends, and if it is the first or the last."""
    silence = np.zeros((MARGIN_FRAMES, file.channels))
    for start in range(0, max(file.frames - MARGIN_FRAMES, 1), BLOCK_FRAMES - MARGIN_FRAMES):
        file.seek(start)
        part = file.read(BLOCK_FRAMES, dtype="float64", always_2d=True)
        first, last = start == 0, start + BLOCK_FRAMES >= file.frames
        yield first, last, np.concatenate([silence] * first + [part] + [silence] * last)


def run(command: list[str], cache: Path) -> Run:
    """Run a command with this cache and watch its memory."""
    environment = {**os.environ, "MIXAGENT_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    start, peak, spent = time.perf_counter(), 0, _children_cpu_s()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None:
            peak = max(peak, sum(_resident_bytes(pid) for pid in _family(process.pid)))
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        if process.returncode not in (0, 4):
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read().decode(errors='replace').strip()}")
    return Run(process.returncode, seconds, peak / 1e9, _children_cpu_s() - spent)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(pid: int) -> list[int]:
    """A process and all that it started (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def master(song: Path, output: Path, cache: Path, *options: str) -> Run:
    """`mixagent master` in a process of its own."""
    return run([str(PROGRAM), "master", str(song), "-o", str(output), "--quiet", *options], cache)


def peer(
    name: str,
    song: Path,
    output: Path,
    reference: Path,
    target_lufs: float = TARGET_LUFS,
    python: str = sys.executable,
) -> Run:
    """A peer in a process of its own, so that its memory is its own too, by an interpreter that has it."""
    call = "import sys; from pathlib import Path; from peers import PEERS; "
    call += "PEERS[sys.argv[1]](*map(Path, sys.argv[2:5]), float(sys.argv[5]))"
    with tempfile.TemporaryDirectory() as cache:
        files = map(str, (song, output, reference))
        command = [python, "-W", "ignore", "-c", call, name, *files, str(target_lufs)]
        previous = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        try:
            return run(command, Path(cache))
        finally:
            os.environ.pop("PYTHONPATH")
            if previous is not None:
                os.environ["PYTHONPATH"] = previous


def find_songs(places: list[Path], count: int) -> list[Path]:
    """Files as they are; of each folder `count` stereo songs of over half a minute, spread evenly."""
    chosen = [place for place in places if place.is_file()]
    for folder in (place for place in places if place.is_dir()):
        found = [p for p in sorted(folder.rglob("*")) if p.suffix in SUFFIXES and _usable(p)]
        picks = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
        chosen += [found[i] for i in picks]
    return chosen


def _usable(path: Path) -> bool:
    try:
        info = sf.info(path)
    except sf.LibsndfileError:
        return False
    return info.channels == 2 and info.samplerate >= 32000 and info.duration >= 30


def excerpt(song: Path, output: Path, seconds: float | None) -> Path:
    """The song as a wav file: its middle, or the whole of it."""
    info = sf.info(song)
    frames = info.frames if seconds is None else min(info.frames, round(seconds * info.samplerate))
    samples, rate = sf.read(song, frames, (info.frames - frames) // 2, dtype="float32", always_2d=True)
    sf.write(output, samples, rate, "FLOAT")
    return output


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


def row(*cells: object) -> None:
    """A row of a markdown table, printed at once."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*titles: str) -> None:
    """The head of a markdown table."""
    print()
    row(*titles)
    print("|---|" + "--:|" * (len(titles) - 1), flush=True)


def masters(songs: list[Path], seconds: float | None, folder: Path) -> list[dict[str, float]]:
    """The table of masters, and its figures by song."""
    figures = []
    head(
        "song",
        "length, s",
        "ΔLUFS",
        "dBTP",
        "dBTP at 8×",
        "length",
        "target",
        "time / length",
        "GB",
        "cold / warm",
    )
    for number, song in enumerate(songs):
        say(f"{number + 1}/{len(songs)} {song.name}")
        whole = excerpt(song, folder / "song.wav", seconds)
        with tempfile.TemporaryDirectory() as cache:
            first = master(whole, folder / "master.wav", Path(cache))
            again = master(whole, folder / "again.wav", Path(cache), "--target", str(SECOND_TARGET_LUFS))
        info, found = sf.info(whole), measure(folder / "master.wav")
        row(
            song.stem[:32],
            f"{info.duration:.0f}",
            f"{found.lufs + 14:+.3f}",
            f"{found.peak_dbtp:.2f}",
            f"{found.peak_8x_dbtp:.2f}",
            "equal" if found.frames == info.frames else "**differs**",
            "met" if first.code == 0 else "missed",
            f"{first.seconds / info.duration:.2f}",
            f"{first.peak_gb:.2f}",
            f"{first.seconds / again.seconds:.1f}",
        )
        figures.append(
            {
                "error_lu": abs(found.lufs + 14),
                "dbtp": found.peak_dbtp,
                "dbtp_8x": found.peak_8x_dbtp,
                "time_share": first.seconds / info.duration,
                "gb": first.peak_gb,
                "again_faster": first.seconds / again.seconds,
            }
        )
    return figures


def beside_peers(songs: list[Path], seconds: float | None, folder: Path) -> None:
    """The table of all systems: the worst over the songs, and the mean time."""
    systems = ("mixagent", "matchering", "libsonare", "loudnorm")
    rows: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in systems}
    for number, song in enumerate(songs):
        whole = excerpt(song, folder / "song.wav", seconds)
        near = genre_near(song, songs[number - 1], seconds or 30.0)
        reference = excerpt(near, folder / "reference.wav", seconds)
        for system in systems:
            rows[system].append(_scored(system, whole, reference, folder / f"{system}.wav"))
            say(f"{number + 1}/{len(songs)} {song.name} {system} {rows[system][-1]}")
    head("system", "largest loudness error, LU", "mean, LU", "highest dBTP", "at 8×", "time / length")
    for system, results in rows.items():
        errors, peaks, peaks_8x, times = np.array(results).T
        cells = (np.abs(errors).max(), np.abs(errors).mean(), peaks.max(), peaks_8x.max(), times.mean())
        row(system, *(f"{cell:.2f}" for cell in cells))
    print("\nmatchering aims at a song of the same collection; its error is against that loudness.")


def _scored(system: str, song: Path, reference: Path, output: Path) -> tuple[float, float, float, float]:
    if system == "mixagent":
        with tempfile.TemporaryDirectory() as cache:
            done = master(song, output, Path(cache))
    else:
        done = peer(system, song, output, reference)
    goal_lufs = measure(reference).lufs if system == "matchering" else -14.0
    found = measure(output)
    return found.lufs - goal_lufs, found.peak_dbtp, found.peak_8x_dbtp, done.seconds / sf.info(song).duration


def scaling(song: Path, minutes: list[float], folder: Path) -> None:
    """Time and memory over the song's length, the same material repeated."""
    head("minutes", "seconds", "time / length", "GB")
    for length in minutes:
        long = _repeated(song, folder / "long.wav", length)
        with tempfile.TemporaryDirectory() as cache:
            done = master(long, folder / "master.wav", Path(cache))
        row(
            f"{length:g}", f"{done.seconds:.0f}", f"{done.seconds / (60 * length):.2f}", f"{done.peak_gb:.2f}"
        )


def _repeated(song: Path, output: Path, minutes: float) -> Path:
    samples, rate = sf.read(song, dtype="float32", always_2d=True)
    left = round(60 * minutes * rate)
    with sf.SoundFile(output, "w", rate, samples.shape[1], "PCM_24") as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)
    return output


def determinism(songs: list[Path], folder: Path) -> None:
    """Compare two masters with cold caches, and a replay of the first, byte by byte."""
    head("song", "two cold runs", "replay")
    for song in songs:
        digests, replayed = [], folder / "replayed.wav"
        report = folder / "report.json"
        for name in ("first.wav", "second.wav"):
            with tempfile.TemporaryDirectory() as cache:
                master(song, folder / name, Path(cache), "--report", str(report))
            digests.append(hashlib.sha256((folder / name).read_bytes()).digest())
        with tempfile.TemporaryDirectory() as cache:
            run([str(PROGRAM), "replay", str(report), "-o", str(replayed)], Path(cache))
        same = hashlib.sha256(replayed.read_bytes()).digest() == digests[0]
        row(
            song.stem[:32], *("same bytes" if ok else "**differ**" for ok in (digests[0] == digests[1], same))
        )


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, nargs="+", default=[ROOT / "examples" / "raw.flac"])
    parser.add_argument("--count", type=int, default=10, help="songs from each folder")
    parser.add_argument("--seconds", type=float, help="the middle of each song instead of all of it")
    parser.add_argument("--no-masters", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 4.0, 20.0])
    parser.add_argument("--determinism", action="store_true")
    parser.add_argument("--output", type=Path, help="JSON of the masters' figures")
    options = parser.parse_args()
    songs = find_songs(options.songs, options.count)
    say(json.dumps({"songs": len(songs), "load": os.getloadavg()}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.scaling:
            scaling(songs[0], options.minutes, folder)
        elif options.determinism:
            determinism(songs, folder)
        else:
            if not options.no_masters:
                figures = masters(songs, options.seconds, folder)
                if options.output:
                    options.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            if not options.no_peers:
                beside_peers(songs, options.seconds, folder)


if __name__ == "__main__":
    main()
