"""Measures quality and cost of the separators, as tables.

    python scripts/benchmark_separation.py quality [--renders DIR] [--guitars DIR] [--clip STEM_MP4]
    python scripts/benchmark_separation.py cost [--minutes 1 4 20] [--threads 2]

`quality` wants songs with true stems: `--renders`, folders as `scripts/render_multitracks.py` writes
them; `--guitars`, folders with guitar.ogg and song.ogg, its backing (fretsonfire-songs-sectoid); and a
clip with four stems (the one in the stempeg wheel). SDR, SIR and SAR are BSS-eval v4's (`museval`,
distortion filters of 512 taps over the song, frames of 1 s, median over frames); SDR whole is the plain
ratio of a stem's energy to its error's, over the song; of the mix itself and of the ideal ratio mask (power,
window 4096, hop 1024) it is all that is printed. A table is the median over songs. Last comes how well the
confidence in each stem (`stem_confidence`) predicts SDR whole, over all stems of all songs.

`cost` separates noise of each length in a process of its own and prints time, peak memory and what
stems and residual leave of the input.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.stats import pearsonr, spearmanr

from mixagent.pipeline.decibels import amplitudes_to_db, powers_to_db
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.separation.confidence import stem_confidence
from mixagent.pipeline.types import Audio, FloatArray, blocks, load

RATE = 44100

Parts = Mapping[str, FloatArray]

STEMS = ("vocals", "drums", "bass", "other", "accompaniment")


def main() -> None:
    """Print the tables of one command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    quality = commands.add_parser("quality", help="SDR, SIR and SAR against true stems")
    quality.add_argument("--renders", type=Path)
    quality.add_argument("--guitars", type=Path)
    quality.add_argument("--clip", type=Path)
    quality.add_argument("--separators", nargs="+", default=["embedded", "spleeter"])
    quality.add_argument("--seconds", type=float, default=60.0, help="of a song that are scored")
    quality.add_argument("--plain", action="store_true", help="without BSS-eval, which is slow")
    quality.add_argument("--output", type=Path, help="JSON of SDR whole by set, stem and method")
    cost = commands.add_parser("cost", help="time and memory against length")
    cost.add_argument("--minutes", nargs="+", type=float, default=[1, 4, 20])
    cost.add_argument("--separators", nargs="+", default=["embedded", "spleeter"])
    for command in (quality, cost):
        command.add_argument("--threads", type=int, default=2)
    one = commands.add_parser("one", help="what `cost` starts for each length")
    one.add_argument("separator")
    one.add_argument("minutes", type=float)
    one.add_argument("threads", type=int)
    arguments = parser.parse_args()
    if arguments.command != "cost":
        torch.set_num_threads(arguments.threads)
    if arguments.command == "quality":
        print_quality(arguments)
    elif arguments.command == "cost":
        print_cost(arguments.separators, arguments.minutes, arguments.threads)
    else:
        print(json.dumps(measured_cost(arguments.separator, arguments.minutes)))


# --- quality ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Song:
    """A song's true stems, float32 (2, samples) at `RATE`, which sum to its mix."""

    name: str
    parts: Parts

    @property
    def mix(self) -> FloatArray:
        """The sum of the stems."""
        return np.sum(list(self.parts.values()), axis=0, dtype=np.float32)


@dataclass(frozen=True)
class Score:
    """Of one stem of one song, in dB. All but `whole` are NaN where BSS-eval was not asked for."""

    sdr: float
    sir: float
    sar: float
    whole: float


def print_quality(arguments: argparse.Namespace) -> None:
    """One table a set of songs, a line for each stem and method."""
    sets = {"clip": iter([_clip(arguments.clip or _stempeg_clip(), arguments.seconds)])}
    if arguments.renders:
        sets["renders"] = _renders(arguments.renders, arguments.seconds)
    if arguments.guitars:
        sets["guitars"] = _guitars(arguments.guitars, arguments.seconds)
    predicted: dict[str, list[tuple[float, float]]] = {}
    whole: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for name, songs in sets.items():
        found: dict[tuple[str, str], list[Score]] = {}
        nulls, count = [], 0
        for song in songs:
            count += 1
            for method, estimates, confidences in _estimates(song, arguments.separators):
                if confidences:
                    nulls.append(_null_db(song.mix, estimates))
                true = _regrouped(song.parts, estimates)
                plain = arguments.plain or not confidences
                for stem, score in scores(true, estimates, plain).items():
                    found.setdefault((stem, method), []).append(score)
                    if stem in confidences:
                        predicted.setdefault(method, []).append((confidences[stem], score.whole))
                    print(f"{name} {song.name} {method} {stem} {score}", file=sys.stderr, flush=True)
        _print_table(name, count, found, float(np.max(nulls)))
        for (stem, method), listed in found.items():
            figures = {"whole": float(np.nanmedian([score.whole for score in listed]))}
            whole.setdefault(name, {}).setdefault(stem, {})[method] = figures
    if arguments.output:
        arguments.output.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    _print_confidence(predicted)


def scores(truth: Parts, estimates: Parts, plain: bool) -> dict[str, Score]:
    """The estimates' scores, of those stems that the song has."""
    names = [name for name in truth if name in estimates and truth[name].any()]
    bss = np.full((3, len(names)), np.nan)
    if not plain and len(names) > 1:
        bss = _bss_eval([truth[n] for n in names], [estimates[n] for n in names])
    whole = {name: _sdr_db(truth[name], estimates[name]) for name in names}
    return {n: Score(*map(float, bss[:, i]), whole[n]) for i, n in enumerate(names)}


def _bss_eval(truth: Sequence[FloatArray], estimates: Sequence[FloatArray]) -> FloatArray:
    """SDR, SIR and SAR, median over frames, shape (3, stems)."""
    import museval.metrics

    reference, estimated = (np.stack([x.T for x in parts]).astype(np.float64) for parts in (truth, estimates))
    # Stems from a codec have nothing above its cut-off, where filters that fit them could be anything.
    noise = np.random.default_rng(0).normal(size=reference.shape)
    reference = reference + 1e-3 * np.sqrt(np.square(reference).mean(axis=(1, 2), keepdims=True)) * noise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames in which a stem is silent
        sdr, _, sir, sar, _ = museval.metrics.bss_eval(
            reference,
            estimated + 1e-9 * noise,
            window=RATE,
            hop=RATE,
            compute_permutation=False,
            filters_len=512,
            framewise_filters=False,
            bsseval_sources_version=False,
        )
        return np.asarray([np.nanmedian(x, axis=1) for x in (sdr, sir, sar)])


def _estimates(song: Song, separators: Sequence[str]) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
    """Each method's name, stems and, of a separator, its confidence in each."""
    for name in separators:
        with tempfile.TemporaryDirectory() as folder:
            stems = choose_separator(name).separator.separate(Audio(song.mix, RATE), Path(folder))
            found = {part: load(source).samples for part, source in stems.parts.items()}
            confidences = {part: one.value for part, one in stem_confidence(stems).items()}
        if "accompaniment" not in found:
            found["accompaniment"] = song.mix - found["vocals"]
        if "backing" in song.parts and "other" in found:
            found["backing"] = song.mix - found["other"]
        yield name, found, confidences
    yield "the mix", dict.fromkeys(song.parts, song.mix), {}
    yield "ideal mask", _ideal(song), {}


def _regrouped(truth: Parts, estimates: Parts) -> Parts:
    """The true stems, grouped as the estimates are: an estimate must have all others beside it."""
    if "drums" in estimates or "drums" not in truth:
        return truth
    rest = [part for name, part in truth.items() if name != "vocals"]
    grouped = {"accompaniment": np.sum(rest, axis=0, dtype=np.float32)}
    return {**({"vocals": truth["vocals"]} if "vocals" in truth else {}), **grouped}


def _ideal(song: Song) -> dict[str, FloatArray]:
    window = torch.hann_window(4096)
    spectra = torch.stack(
        [
            torch.stft(
                torch.from_numpy(x), 4096, 1024, window=window, pad_mode="constant", return_complex=True
            )
            for x in song.parts.values()
        ]
    )
    shares = spectra.abs() ** 2
    masked = spectra.sum(0) * (shares / (shares.sum(0) + 1e-10))
    waves = [torch.istft(x, 4096, 1024, window=window, length=song.mix.shape[1]).numpy() for x in masked]
    return dict(zip(song.parts, waves, strict=True))


def _null_db(mix: FloatArray, estimates: Parts) -> float:
    sums = {"backing", "accompaniment"} if "drums" in estimates else {"backing"}
    parts = [x for name, x in estimates.items() if name not in sums]
    return float(amplitudes_to_db(np.abs(mix - np.sum(parts, axis=0)).max() + 1e-10))


def _print_table(
    name: str, count: int, found: Mapping[tuple[str, str], Sequence[Score]], null: float
) -> None:
    print(f"\n### {name}: {count} song(s); stems against the mix {null:.0f} dBFS\n")
    print("| stem | method | SDR | SIR | SAR | SDR whole |\n|---|---|---|---|---|---|")
    for stem in STEMS:
        for method in dict.fromkeys(method for _, method in found):
            listed = found.get((stem, method))
            if listed:
                columns = [
                    np.nanmedian([getattr(score, field) for score in listed])
                    if np.isfinite([getattr(score, field) for score in listed]).any()
                    else np.nan
                    for field in ("sdr", "sir", "sar", "whole")
                ]
                print(f"| {stem} | {method} | " + " | ".join(f"{x:.1f}" for x in columns) + " |", flush=True)


def _print_confidence(predicted: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    print("\n| separator | stems | confidence and SDR: Pearson | Spearman |\n|---|---|---|---|")
    for method, pairs in predicted.items():
        if len(pairs) > 2:
            linear, ranked = (float(test(*zip(*pairs, strict=True))[0]) for test in (pearsonr, spearmanr))
            print(f"| {method} | {len(pairs)} | {linear:.2f} | {ranked:.2f} |", flush=True)


# --- songs -----------------------------------------------------------------------------------------


def _renders(folder: Path, seconds: float) -> Iterator[Song]:
    for described in sorted(folder.glob("*/song.json")):
        files = {path.stem: _read(path, seconds) for path in sorted(described.parent.glob("*.flac"))}
        rest = [x for name, x in files.items() if name not in ("drums", "bass")]
        parts = {name: files[name] for name in ("drums", "bass") if name in files}
        yield Song(described.parent.name, {**parts, "other": np.sum(rest, axis=0, dtype=np.float32)})


def _guitars(folder: Path, seconds: float) -> Iterator[Song]:
    """Guitar as `other`, against all else: what `song.ogg` holds is not known apart."""
    for guitar in sorted(folder.rglob("guitar.ogg")):
        files = [_read(path, seconds) for path in (guitar, guitar.with_name("song.ogg"))]
        length = min(x.shape[1] for x in files)
        yield Song(guitar.parent.name, {"other": files[0][:, :length], "backing": files[1][:, :length]})


def _read(path: Path, seconds: float) -> FloatArray:
    """The middle of a file, float32 (2, samples)."""
    with soundfile.SoundFile(path) as file:
        length = min(round(seconds * file.samplerate), file.frames)
        file.seek((file.frames - length) // 2)
        samples = file.read(length, dtype="float32", always_2d=True)
        if file.samplerate != RATE:
            raise SystemExit(f"{path} is at {file.samplerate} Hz, not {RATE}")
    return np.ascontiguousarray(samples.T)


def _clip(path: Path, seconds: float) -> Song:
    streams = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
    parts = {name: _stream(path, number)[:, : round(seconds * RATE)] for name, number in streams.items()}
    return Song(path.name, parts)


def _stempeg_clip() -> Path:
    spec = util.find_spec("stempeg")
    if spec is None or spec.origin is None:
        raise SystemExit("give --clip FILE.stem.mp4, or pip install stempeg, whose wheel carries one")
    return next((Path(spec.origin).parent / "data").glob("*.stem.mp4"))


def _stream(clip: Path, number: int) -> FloatArray:
    reader = ["ffmpeg", "-v", "error", "-i", str(clip), "-map", f"0:a:{number}", "-f", "f32le", "-"]
    raw = subprocess.run(reader, capture_output=True, check=True).stdout
    return np.ascontiguousarray(np.frombuffer(raw, np.float32).reshape(-1, 2).T)


def _sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    return float(powers_to_db(np.square(truth).sum() / np.square(truth - estimate).sum()))


# --- cost ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Noise of any length that takes no memory."""

    frames: int
    rate: int = RATE
    channels: int = 2

    def read(self, start: int, stop: int) -> FloatArray:
        """Noise whose value at a place is the same however it is read."""
        first, last = start // RATE, -(-min(stop, self.frames) // RATE)
        seconds = [
            np.random.default_rng(s).normal(0, 0.1, (2, RATE)).astype(np.float32) for s in range(first, last)
        ]
        joined = np.concatenate([np.zeros((2, 0), np.float32), *seconds], axis=1)
        return joined[:, start - first * RATE : min(stop, self.frames) - first * RATE]


def print_cost(separators: Sequence[str], minutes: Sequence[float], threads: int) -> None:
    """A line for each separator and length."""
    print("| separator | minutes | seconds | CPU seconds | CPU share | peak memory MB | null dBFS |")
    print("|---|---|---|---|---|---|---|")
    for separator in separators:
        for length in minutes:
            command = [sys.executable, __file__, "one", separator, str(length), str(threads)]
            one = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            print(
                f"| {separator} | {length:g} | {one['seconds']:.1f} | {one['cpu_seconds']:.1f} "
                f"| {one['cpu_seconds'] / length / 60:.3f} | {one['peak_mb']:.0f} | {one['null_db']:.0f} |",
                flush=True,
            )


def measured_cost(separator: str, minutes: float) -> dict[str, float]:
    """Seconds, peak memory and null of separating noise of this length, in this process."""
    mix = Noise(round(minutes * 60 * RATE))
    with tempfile.TemporaryDirectory() as folder:
        start, cpu_start = time.perf_counter(), time.process_time()
        stems = choose_separator(separator).separator.separate(mix, Path(folder))
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        # Not getrusage: its peak also counts the process that this one was forked from.
        status = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
        left = 0.0
        for whole, *parts in zip(*map(blocks, (mix, stems.residual, *stems.parts.values())), strict=True):
            left = max(left, float(np.abs(whole - np.sum(parts, axis=0)).max()))
    peak_mb = int(status[1]) / 1024 if status else float("nan")
    null_db = float(amplitudes_to_db(max(left, 1e-10)))
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb, "null_db": null_db}


if __name__ == "__main__":
    main()
