"""Measures what repairs give back of finished songs: missing highs, blinking bands, holes and clicks.

    python scripts/benchmark_extension.py SONG... [--seconds 10] [--before CHECKOUT] [--fit]

Each song is cut off (filters and real codecs), loses bands for moments or for good, or gets clicks; then
the rules decide, as an actor is advised, and the repairs alone are run, by this version and by the one in
CHECKOUT. Prints Markdown tables: against the undamaged song, beside doing nothing. `--fit` prints how the
slope above an end follows from the one below it, on which `pipeline.highs` rests.

Columns: `envelope` is the mean error of the long-term spectrum in sixths of an octave above the cut, up to
17.5 kHz; `notch` and `bump` are the deepest and the highest it gets against the song within a quarter of an
octave of the cut; `rise` is the most that it climbs with frequency above the cut. In dB, means over songs,
and up to where the song's own highs end.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.highs import measure_highs
from mixagent.pipeline.restoration.base import Restored
from mixagent.pipeline.restoration.table import REPAIRS as REPAIRS_OF_SONGS
from mixagent.pipeline.restoration.table import repaired
from mixagent.pipeline.types import Audio, AudioSource, Float64Array, FloatArray, load

CUTS_HZ = (4000.0, 5600.0, 8000.0, 11000.0, 13000.0, 14900.0)
CODECS: Mapping[str, tuple[str, ...]] = {
    "mp3 64 kb/s": (".mp3", "-b:a", "64k"),
    "mp3 96 kb/s": (".mp3", "-b:a", "96k"),
    "aac 64 kb/s": (".m4a", "-b:a", "64k"),
    "opus 24 kb/s": (".opus", "-b:a", "24k"),
}
BLINKS_HZ = ((12000.0, 15500.0), (6000.0, 9000.0))
GAPS = ((2500.0, 0.35, 15.0), (4000.0, 0.35, 30.0), (6500.0, 0.45, 90.0))
CLICKS = 10
TOP_HZ = 17500.0
WORST_DB = 60.0
REPAIRS = ("extend_from_hz", "extend_db", "gap_fill_db", "blink_fill_db")

# Runs under either version: only names that both have stand in it.
WORKER = """
import sys
from pathlib import Path
import numpy as np, soundfile
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.types import Audio, Stems
from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.render import premaster
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.policies import load_policy
from mixagent.policies.base import Context
folder, out, repairs = Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:])
space, policy = ParameterSpace.for_stems(()), load_policy("ungated-rules")
for path in sorted(folder.glob("*.wav")):
    samples, rate = soundfile.read(path, always_2d=True, dtype="float32")
    audio = Audio(np.ascontiguousarray(samples.T), rate)
    analysis = analyse(audio)
    context = Context(analysis, {}, diagnose(audio, analysis), TARGETS["streaming"], space)
    decided = policy.decide(context).settings.changed()
    settings = space.settings({k: v for k, v in decided.items() if k.endswith(repairs)})
    done = premaster(Stems(audio, {}), settings)
    soundfile.write(out / path.name, done.read(0, done.frames).T, rate, subtype="FLOAT")
"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each song, from its middle")
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        songs = {path.stem: _excerpt(path, options.seconds, Path(scratch)) for path in options.songs}
        wide = {name: song for name, song in songs.items() if not measure_highs(song).is_short}
        print(f"{len(songs)} songs; {len(wide)} whose highs do not end early are cut off.\n")
        versions = {"now": Path(__file__).resolve().parent.parent}
        if options.before:
            versions = {"before": options.before.resolve(), **versions}
        if options.fit:
            _print_fit(wide)
        _print_cuts(wide, versions)
        _print_blinks(songs, versions)
        _print_gaps(songs, versions)
        _print_untouched(songs, versions)
        _print_clicks(songs)


def _excerpt(path: Path, seconds: float, scratch: Path) -> Audio:
    song = decode(path, scratch / "song.f32").audio
    start = max(int((song.frames - seconds * song.rate) / 2), 0)
    return Audio(song.read(start, start + int(seconds * song.rate)).copy(), song.rate)


Damaged = Mapping[tuple[str, str], Audio]
"""By kind of damage and song."""


def _repaired(damaged: Damaged, versions: Mapping[str, Path]) -> dict[str, Damaged]:
    """The result of each version for each, and under `nothing` the damaged themselves."""
    made: dict[str, Damaged] = {"nothing": damaged}
    for version, checkout in versions.items():
        with tempfile.TemporaryDirectory() as given, tempfile.TemporaryDirectory() as out:
            for number, audio in enumerate(damaged.values()):
                soundfile.write(
                    Path(given) / f"{number:04}.wav", audio.samples.T, audio.rate, subtype="FLOAT"
                )
            command = [sys.executable, "-c", WORKER, given, out, *REPAIRS]
            subprocess.run(command, check=True, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)})
            made[version] = {key: _read(Path(out) / f"{n:04}.wav") for n, key in enumerate(damaged)}
    return made


def _read(path: Path) -> Audio:
    samples, rate = soundfile.read(path, always_2d=True, dtype="float32")
    return Audio(np.ascontiguousarray(samples.T), rate)


# --- early ends ------------------------------------------------------------------------------------


def _cut(song: Audio, filtered: Callable[[Float64Array], Float64Array]) -> Audio:
    return Audio(filtered(song.samples.astype(np.float64)).astype(np.float32), song.rate)


def _brick_wall(song: Audio, cut_hz: float) -> Audio:
    hz = np.fft.rfftfreq(song.frames, 1 / song.rate)
    gain = np.clip((1.02 * cut_hz - hz) / (0.04 * cut_hz), 0, 1)
    return _cut(song, lambda x: np.asarray(np.fft.irfft(np.fft.rfft(x) * gain, song.frames)))


def _butterworth(song: Audio, cut_hz: float) -> Audio:
    sections = signal.butter(10, cut_hz, fs=song.rate, output="sos")
    return _cut(song, lambda x: np.asarray(signal.sosfilt(sections, x)))


def _through(song: Audio, suffix: str, *options: str) -> Audio:
    with tempfile.TemporaryDirectory() as folder:
        given, coded, back = (Path(folder) / name for name in ("given.wav", f"coded{suffix}", "back.wav"))
        soundfile.write(given, song.samples.T, song.rate, subtype="FLOAT")
        quiet = ("ffmpeg", "-nostdin", "-v", "error", "-y", "-i")
        subprocess.run([*quiet, given, *options, coded], check=True)
        subprocess.run([*quiet, coded, "-ar", str(song.rate), "-c:a", "pcm_f32le", back], check=True)
        return _read(back)


def _print_cuts(songs: Mapping[str, Audio], versions: Mapping[str, Path]) -> None:
    damaged: dict[tuple[str, str], Audio] = {}
    for name, song in songs.items():
        for cut_hz in CUTS_HZ:
            damaged[f"brick wall {cut_hz / 1000:.1f} kHz", name] = _brick_wall(song, cut_hz)
            damaged[f"60 dB/octave {cut_hz / 1000:.1f} kHz", name] = _butterworth(song, cut_hz)
        for codec, (suffix, *how) in CODECS.items():
            damaged[codec, name] = _through(song, suffix, *how)
    made = _repaired(damaged, versions)
    print(
        "| cut off by | by | end found kHz | envelope | notch | bump | rise |\n|---|---|---|---|---|---|---|"
    )
    for kind in dict.fromkeys(kind for kind, _ in damaged):
        ends = {name: measure_highs(damaged[kind, name]).end_hz for name in songs}
        cuts = {name: _cut_of(kind, ends[name]) for name in songs}
        for by, results in made.items():
            rows = [
                _seam(song, results[kind, name], cuts[name])
                for name, song in songs.items()
                if cuts[name] < TOP_HZ / 1.06
            ]
            if rows:
                told = " | ".join(f"{value:.1f}" for value in np.mean(rows, axis=0))
                found = f"{np.median([ends[name] for name in songs]) / 1000:.1f}" if by == "now" else ""
                print(f"| {kind} | {by} | {found} | {told} |", flush=True)


def _cut_of(kind: str, found_hz: float) -> float:
    """The cut-off of a filter; of a codec, the end that was found."""
    return 1000 * float(kind.split()[-2]) if kind.endswith("kHz") else found_hz


def _curve_db(audio: Audio, per_octave: int) -> tuple[Float64Array, Float64Array]:
    hz, power = signal.welch(audio.samples, audio.rate, nperseg=4096)
    power = power.sum(axis=0)
    at = 2000 * 2 ** (np.arange(int(per_octave * np.log2(TOP_HZ / 2000)) + 1) / per_octave)
    reach = 2 ** (0.5 / per_octave)
    level = [power[(hz >= f / reach) & (hz < f * reach)].mean() for f in at]
    return at, powers_to_db(np.array(level) + 1e-20)


def _seam(song: Audio, made: Audio, cut_hz: float) -> tuple[float, float, float, float]:
    """Error of the envelope above a cut, notch, bump and rise, in dB."""
    hz, truth = _curve_db(song, 6)
    _, level = _curve_db(made, 6)
    top_hz = min(TOP_HZ, 0.97 * measure_highs(song).end_hz)
    above = (hz > 1.03 * cut_hz) & (hz < top_hz)
    error = np.clip(level - truth, -WORST_DB, WORST_DB)
    fine_hz, fine_truth = _curve_db(song, 24)
    _, fine = _curve_db(made, 24)
    seam = (fine_hz > cut_hz * 2**-0.25) & (fine_hz < min(cut_hz * 2**0.25, top_hz))
    beside = np.clip(fine - fine_truth, -WORST_DB, WORST_DB)[seam]
    climbing = level[above]
    rise = float((climbing - np.minimum.accumulate(climbing)).max()) if climbing.size else 0.0
    envelope = float(np.abs(error[above]).mean()) if above.any() else 0.0
    return envelope, -float(beside.min(initial=0.0)), float(beside.max(initial=0.0)), rise


def _print_fit(songs: Mapping[str, Audio]) -> None:
    print(
        "| end kHz | slope below dB/octave | above | above by below | left unexplained |\n"
        "|---|---|---|---|---|"
    )
    for cut_hz in CUTS_HZ:
        slopes = []
        for song in songs.values():
            hz, level = _curve_db(song, 12)
            below, above = (hz > cut_hz / 2) & (hz < cut_hz), (hz >= cut_hz) & (hz < 16000)
            if above.sum() > 2 and level[above].min() > level.max() - 70:
                fits = (np.polyfit(np.log2(hz[part]), level[part], 1)[0] for part in (below, above))
                slopes.append(tuple(float(fit) for fit in fits))
        if len(slopes) < 4:
            continue
        below_db, above_db = np.array(slopes).T
        share, at = np.polyfit(below_db, above_db, 1)
        left = float(np.std(above_db - share * below_db - at) / max(float(np.std(above_db)), 1e-9))
        print(
            f"| {cut_hz / 1000:.1f} | {below_db.mean():.1f} ± {below_db.std():.1f} | "
            f"{above_db.mean():.1f} ± {above_db.std():.1f} | {at:.1f} + {share:.2f} · below | {left:.2f} |"
        )
    print()


# --- blinks, gaps and songs that need nothing ------------------------------------------------------


def _spans_s(seconds: float) -> list[tuple[float, float]]:
    random, spans, at = np.random.default_rng(4), list[tuple[float, float]](), 0.5
    while at < seconds - 0.6:
        length = float(random.uniform(0.06, 0.18))
        spans.append((at, at + length))
        at += length + float(random.uniform(0.2, 0.8))
    return spans


def _blinking(song: Audio, low_hz: float, high_hz: float) -> Audio:
    away = np.zeros(song.frames)
    for start, stop in _spans_s(song.frames / song.rate):
        away[round(start * song.rate) : round(stop * song.rate)] = 1.0
    fade = np.hanning(round(0.005 * song.rate))
    away = np.convolve(away, fade / fade.sum(), "same")
    hz = np.fft.rfftfreq(song.frames, 1 / song.rate)
    inside = (hz > low_hz) & (hz < high_hz)
    return _cut(song, lambda x: x - np.fft.irfft(np.fft.rfft(x) * inside, song.frames) * away)


def _print_blinks(songs: Mapping[str, Audio], versions: Mapping[str, Path]) -> None:
    damaged = {
        (f"{low / 1000:.1f}–{high / 1000:.1f} kHz", name): _blinking(song, low, high)
        for low, high in BLINKS_HZ
        for name, song in songs.items()
    }
    made = _repaired(damaged, versions)
    print("\n| blinks off | by | error while away dB | while there dB |\n|---|---|---|---|")
    for low_hz, high_hz in BLINKS_HZ:
        kind = f"{low_hz / 1000:.1f}–{high_hz / 1000:.1f} kHz"
        for by, results in made.items():
            rows = [_over_time(song, results[kind, name], low_hz, high_hz) for name, song in songs.items()]
            away, there = np.mean(rows, axis=0)
            print(f"| {kind} | {by} | {away:.1f} | {there:.2f} |", flush=True)


def _over_time(song: Audio, made: Audio, low_hz: float, high_hz: float) -> tuple[float, float]:
    """Mean error of the levels of thirds of a band over time, while it is away and while it is there."""
    levels = []
    for audio in (song, made):
        hz, times, spectra = signal.stft(audio.samples, audio.rate, nperseg=1024, noverlap=768)
        power = (np.abs(spectra) ** 2).sum(axis=0)
        edges = np.geomspace(low_hz * 1.03, high_hz * 0.97, 4)
        bands = [power[(hz >= a) & (hz < b)].mean(axis=0) for a, b in itertools.pairwise(edges)]
        levels.append(powers_to_db(np.array(bands) + 1e-20))
    floor = levels[0].max() - 70
    error = np.abs(np.maximum(levels[1], floor) - np.maximum(levels[0], floor))
    spans = _spans_s(song.frames / song.rate)
    away = np.any([(times > a + 0.015) & (times < b - 0.015) for a, b in spans], axis=0)
    there = ~np.any([(times > a - 0.03) & (times < b + 0.03) for a, b in spans], axis=0)
    heard = levels[0] > floor + 10
    return float(error[heard & away].mean()), float(error[heard & there].mean())


def _print_gaps(songs: Mapping[str, Audio], versions: Mapping[str, Path]) -> None:
    damaged = {(_gap_name(gap), name): _with_gap(song, *gap) for gap in GAPS for name, song in songs.items()}
    made = _repaired(damaged, versions)
    print("\n| static gap | by | level in the gap against the song dB | mean error dB |\n|---|---|---|---|")
    for gap in GAPS:
        for by, results in made.items():
            off = [_gap_error(song, results[_gap_name(gap), name], *gap[:2]) for name, song in songs.items()]
            print(
                f"| {_gap_name(gap)} | {by} | {np.mean(off):+.1f} | {np.mean(np.abs(off)):.1f} |", flush=True
            )


def _gap_name(gap: tuple[float, float, float]) -> str:
    return f"{gap[2]:.0f} dB at {gap[0] / 1000:.1f} kHz"


def _with_gap(song: Audio, centre_hz: float, width_octaves: float, depth_db: float) -> Audio:
    hz = np.fft.rfftfreq(song.frames, 1 / song.rate)
    octaves = np.abs(np.log2(np.maximum(hz, 1.0) / centre_hz))
    gain = db_to_amplitude(-depth_db * np.clip((width_octaves / 2 - octaves) / 0.03 + 0.5, 0, 1))
    return _cut(song, lambda x: np.asarray(np.fft.irfft(np.fft.rfft(x) * gain, song.frames)))


def _gap_error(song: Audio, made: Audio, centre_hz: float, width_octaves: float) -> float:
    hz = np.fft.rfftfreq(song.frames, 1 / song.rate)
    inside = np.abs(np.log2(np.maximum(hz, 1.0) / centre_hz)) < width_octaves / 2 - 0.05
    before, after = ((np.abs(np.fft.rfft(a.samples)) ** 2)[:, inside].sum() for a in (song, made))
    return float(np.clip(powers_to_db((after + 1e-12) / (before + 1e-12)), -WORST_DB, WORST_DB))


def _print_untouched(songs: Mapping[str, Audio], versions: Mapping[str, Path]) -> None:
    made = _repaired({("as it is", name): song for name, song in songs.items()}, versions)
    print(
        "\n| songs as they are | changed at all | over −60 dB of the song | by at most dB |\n"
        "|---|---|---|---|"
    )
    for by, results in made.items():
        added = [
            powers_to_db(_power(results["as it is", name].samples - song.samples) / _power(song.samples))
            for name, song in songs.items()
        ]
        changed, heard = sum(value > -150 for value in added), sum(value > -60 for value in added)
        print(f"| {by} | {changed} of {len(songs)} | {heard} | {max(added):.0f} |", flush=True)


def _power(samples: FloatArray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) + 1e-24


# --- clicks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Clicked:
    audio: Audio
    spans: Sequence[tuple[int, int]]


def _clicked(song: Audio, seed: int) -> _Clicked:
    """The song with clicks of 1 to 8 frames, 0 to 12 dB under its peak, on both sides."""
    random, samples = np.random.default_rng(seed), song.samples.copy()
    peak, spans = float(np.abs(samples).max()), []
    for at in random.uniform(0.4, song.frames / song.rate - 0.4, CLICKS):
        start, width = int(at * song.rate), int(random.integers(1, 9))
        shape = np.hanning(width + 2)[1:-1] * np.cos(2.0 * np.arange(width))
        samples[:, start : start + width] += (peak * db_to_amplitude(-random.uniform(0, 12)) * shape).astype(
            np.float32
        )
        spans.append((start - 30, start + width + 30))
    return _Clicked(Audio(samples, song.rate), spans)


def _declicked(song: AudioSource, folder: Path) -> Restored:
    done = repaired(REPAIRS_OF_SONGS["declick"], song, analyse(song), folder, lambda share: None)
    return Restored(song, False, "") if done is None else done[1]


def _print_clicks(songs: Mapping[str, Audio]) -> None:
    alarms, minutes, repaired, gains = 0.0, 0.0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        for seed, song in enumerate(songs.values()):
            alarms += _declicked(song, Path(folder)).values.get("clicks", 0.0)
            minutes += song.frames / song.rate / 60
            clicked = _clicked(song, seed)
            after = load(_declicked(clicked.audio, Path(folder)).audio).samples
            for start, stop in clicked.spans:
                broken, made, truth = (x[:, start:stop] for x in (clicked.audio.samples, after, song.samples))
                if not np.array_equal(made, broken):
                    repaired += 1
                    gains.append(powers_to_db(_power(broken - truth) / _power(made - truth)))
    print("\n| clicks repaired | error taken off them dB (median) | false alarms a minute |\n|---|---|---|")
    share = repaired / (CLICKS * len(songs))
    print(f"| {100 * share:.0f} % | {np.median(gains):.0f} | {alarms / minutes:.2f} |")


if __name__ == "__main__":
    main()
