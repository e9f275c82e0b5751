"""Measures what the repairs `extend` and `fill` make anew, against what was there.

    python scripts/restoration/bandwidth.py --corpus CORPUS --store STORE [--songs 8] [--only …]

Songs of the test split. `cuts` cuts them off by a brick-wall filter and lets the same synthesis work by the
mean envelope of training songs, by ridge regression on the bands below, by the network, and by the true
envelope. `holes` damages them by each mechanism of missing bands and masters nothing: what share of the
distance is undone. `whole` looks for defects in finished songs. STORE, of `scripts/music_store.py`, is for
the two fits.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixagent.envs.corpus import Corpus
from mixagent.envs.pathologies import MECHANISMS, damage
from mixagent.envs.songs import Song
from mixagent.pipeline.io import resample
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import band_levels as bands
from mixagent.pipeline.restoration import bandwidth, fill
from mixagent.pipeline.restoration.envelope import MARGIN_S, PIECE_S, added_to, envelope, pieces
from mixagent.pipeline.types import Audio, FloatArray, collect, load
from mixagent.reward.recovery import DIMENSIONS, Original

CUTS_HZ = (8000.0, 11000.0, 16000.0)
SEVERITY = 0.6
WIDE_HZ = 18000.0
RIDGE = 100.0
POWER_FLOOR = 1e-9
AUDIBLE_DB = -72.0
FIT_S, WHOLE_S = 10, 20.0

Levels = Callable[[FloatArray, float, FloatArray], tuple[FloatArray, FloatArray]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this table."""
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--whole", type=int, default=40, help="finished songs to look for defects in")
    parser.add_argument("--only", nargs="*", choices=("cuts", "holes", "whole"))
    parser.add_argument("--without-visqol", action="store_true")


def main(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    wanted = arguments.only or ("cuts", "holes", "whole")
    corpus = Corpus.open(arguments.corpus)
    chosen = list(excerpts(corpus, arguments.split, arguments.songs, arguments.seconds, WIDE_HZ))
    if "cuts" in wanted:
        _print_cuts([(audio, song.bandwidth_hz) for song, audio in chosen], arguments)
    if "holes" in wanted:
        _print_holes([audio for _, audio in chosen])
    if "whole" in wanted:
        splits = ("test",) if arguments.split == "test" else ("train", "validation")
        _print_whole(corpus, splits, arguments.whole)


def excerpts(
    corpus: Corpus, split: str, count: int, seconds: float, least_hz: float = 0.0
) -> Iterator[tuple[Song, Audio]]:
    """The middles of songs spread evenly over a split, in stereo at 44.1 kHz."""
    songs = [
        song
        for song in corpus.songs(split, "clean truth")  # type: ignore[arg-type]
        if song.bandwidth_hz >= least_hz and song.duration_s > seconds + 10
    ]
    for number in np.unique(np.linspace(0, len(songs) - 1, count).round().astype(int)):
        song = songs[number]
        audio = corpus.segment(song, (song.duration_s - seconds) / 2, seconds)
        samples = load(resample(audio, bands.RATE)).samples
        yield song, Audio(np.ascontiguousarray(samples), bands.RATE)


# --- cuts ------------------------------------------------------------------------------------------


def cut(audio: Audio, cut_hz: float) -> Audio:
    """The audio without anything above a cut: 24 dB down 0.5 % above it, −100 dB from 3 % above it on."""
    hz = np.fft.rfftfreq(audio.frames, 1 / audio.rate)
    gain = 10 ** (-100 * np.clip((hz - cut_hz) / (0.03 * cut_hz), 0, 1) / 20)
    return Audio(np.fft.irfft(np.fft.rfft(audio.samples) * gain, audio.frames).astype(np.float32), audio.rate)


def _print_cuts(songs: Sequence[tuple[Audio, float]], arguments: argparse.Namespace) -> None:
    print(
        f"{len(songs)} songs, {arguments.seconds:.0f} s of each\n\n| cut kHz | by | error over time dB | "
        "error of the mean spectrum dB | log-spectral distance | ViSQOL |\n|---|---|---|---|---|---|"
    )
    for cut_hz in CUTS_HZ:
        mean, ridge = fitted(arguments.store, cut_hz)
        rows: dict[str, list[list[float]]] = {}
        for song, bandwidth_hz in songs:
            damaged = cut(song, cut_hz)
            made = {
                "low-pass": damaged,
                "mean envelope": extended(damaged, cut_hz, _same(mean)),
                "ridge": extended(damaged, cut_hz, _same(ridge)),
                "network": extended(damaged, cut_hz, _same(envelope)),
                "true envelope": extended(damaged, cut_hz, truth_of(song)),
            }
            for name, audio in made.items():
                figures = [*_errors(song, audio, cut_hz, bandwidth_hz), _distance(song, audio, cut_hz)]
                if not arguments.without_visqol:
                    figures.append(_visqol(song, audio))
                rows.setdefault(name, []).append(figures)
        for name, values in rows.items():
            told = " | ".join(f"{value:.2f}" for value in np.nanmean(values, axis=0))
            print(f"| {cut_hz / 1000:.0f} | {name} | {told} |", flush=True)


def extended(damaged: Audio, cut_hz: float, levels: Callable[[int], Levels]) -> Audio:
    """The repair's synthesis above a cut that is given, by levels for each piece."""
    reference = bands.density(bands.powers_of(bands.spectra_of(bands.mid_side(damaged.samples))))

    def make(number: int, piece: FloatArray) -> FloatArray:
        second = number * PIECE_S - MARGIN_S
        return bandwidth.extended(piece, cut_hz, reference, second, levels(number))

    return collect(added_to(damaged, make, lambda _: None), damaged.rate, damaged.channels)


def _same(levels: Levels) -> Callable[[int], Levels]:
    return lambda _: levels


def truth_of(song: Audio) -> Callable[[int], Levels]:
    """The levels and the flatness of a song itself, by the number of its piece."""
    kept = list(pieces(song))

    def of_piece(number: int) -> Levels:
        def levels(power: FloatArray, reference: float, mask: FloatArray) -> tuple[FloatArray, FloatArray]:
            true = bands.powers_of(bands.spectra_of(kept[number]))[:, :: bands.STEP]
            return bands.levels_db(true, reference), bands.flatness_db(true)

        return levels

    return of_piece


def fitted(store: Path, cut_hz: float) -> tuple[Levels, Levels]:
    """The mean envelope of training songs above a cut, and the one that ridge regression tells by song."""
    gone = cut_hz < bands.CENTRES_HZ
    last = np.flatnonzero(~gone)[-4:]
    found = _long_terms(store)
    under = found[:, :, last].mean(axis=2, keepdims=True)
    over = (found - under)[:, :, gone]
    mean = over.mean(axis=0)
    features = (found - under)[:, :, ~gone].reshape(len(found), -1)
    centre = features.mean(axis=0)
    x = features - centre
    weights = np.linalg.solve(
        x.T @ x + RIDGE**2 * np.eye(x.shape[1]), x.T @ (over - mean).reshape(len(found), -1)
    )

    def by_mean(power: FloatArray, reference: float, mask: FloatArray) -> tuple[FloatArray, FloatArray]:
        return _with_above(power, reference, gone, last, mean)

    def by_ridge(power: FloatArray, reference: float, mask: FloatArray) -> tuple[FloatArray, FloatArray]:
        long = bands.long_term_db(bands.levels_db(power, reference))
        own = (long - long[:, last].mean(axis=1, keepdims=True))[:, ~gone].reshape(-1)
        told = mean + ((own - centre) @ weights).reshape(mean.shape)
        return _with_above(power, reference, gone, last, told)

    return by_mean, by_ridge


def _with_above(
    power: FloatArray, reference: float, gone: NDArray[np.bool_], last: NDArray[np.int64], over: FloatArray
) -> tuple[FloatArray, FloatArray]:
    levels = bands.levels_db(power, reference)
    under = 10 * np.log10((10 ** (levels[:, last] / 10)).mean(axis=1))
    levels[:, gone] = under[:, None] + over[..., None]
    flatness = bands.flatness_db(power)
    flatness[:, gone] = -25.0
    return levels, flatness


_KEPT: dict[Path, NDArray[np.float64]] = {}


def _long_terms(store: Path) -> NDArray[np.float64]:
    """Long-term levels of the training songs of full bandwidth, (songs, 2, BANDS)."""
    if store not in _KEPT:
        rows = []
        for path in sorted((store / "train").glob("*.npy")):
            if (
                float(path.with_suffix(".json").read_text().split('"bandwidth_hz":')[1].strip(" }\n"))
                < WIDE_HZ
            ):
                continue
            kept = np.load(path, mmap_mode="r")
            start = max(kept.shape[1] // 2 - FIT_S * bands.RATE // 2, 0)
            sound: FloatArray = np.asarray(kept[:, start : start + FIT_S * bands.RATE], np.float32)
            sound = sound / np.float32(32767)
            power = bands.powers_of(bands.spectra_of(bands.mid_side(sound), bands.WINDOW))
            rows.append(bands.long_term_db(bands.levels_db(power, bands.density(power))))
        _KEPT[store] = np.stack(rows)
    return _KEPT[store]


def _errors(song: Audio, made: Audio, cut_hz: float, bandwidth_hz: float) -> tuple[float, float]:
    """Mean error of the bands above a cut over time, and of their mean spectrum, in dB."""
    powers = [bands.powers_of(bands.spectra_of(bands.mid_side(one.samples))) for one in (song, made)]
    reference = bands.density(powers[0])
    truth, levels = (np.maximum(bands.levels_db(power, reference), AUDIBLE_DB) for power in powers)
    above = (cut_hz * 1.04 < bands.CENTRES_HZ) & (min(0.97 * bandwidth_hz, 20000.0) > bands.CENTRES_HZ)
    heard = truth[:, above] > AUDIBLE_DB
    over_time = np.abs(levels - truth)[:, above][heard].mean() if heard.any() else np.nan
    long = np.abs(bands.long_term_db(levels) - bands.long_term_db(truth))[:, above]
    return float(over_time), float(long[heard.mean(axis=-1) > 0.2].mean())


def _distance(song: Audio, made: Audio, cut_hz: float) -> float:
    """Log-spectral distance from a cut to 20 kHz, in decades of power."""
    first, last = round(cut_hz / bands.BIN_HZ), round(20000 / bands.BIN_HZ)
    logs = []
    for one in (song, made):
        spectra = bands.spectra_of(one.samples) * (2 / bands.TAPER.sum())
        logs.append(np.log10(bands.powers_of(spectra)[..., first:last] + POWER_FLOOR))
    return float(np.sqrt(((logs[0] - logs[1]) ** 2).mean(axis=-1)).mean())


def _visqol(song: Audio, made: Audio) -> float:
    from visqol import VisqolApi

    if "visqol" not in _MODELS:
        _MODELS["visqol"] = VisqolApi()
        _MODELS["visqol"].create(mode="audio")
    pair = [load(resample(one, 48000)).samples.mean(axis=0).astype(np.float64) for one in (song, made)]
    return float(_MODELS["visqol"].measure_from_arrays(pair[0], pair[1], 48000).moslqo)


_MODELS: dict[str, VisqolApi] = {}  # type: ignore[name-defined]  # noqa: F821


# --- holes -----------------------------------------------------------------------------------------


def _print_holes(songs: Sequence[Audio]) -> None:
    print(
        f"\n{len(songs)} songs at severity {SEVERITY}\n\n| mechanism | "
        + " | ".join((*DIMENSIONS, "total"))
        + " | extended | filled |\n"
        + "|---" * 8
        + "|"
    )
    totals = []
    for mechanism in MECHANISMS["holes"]:
        rows, ran = [], np.zeros(2)
        for song in songs:
            damaged = damage(song, "holes", SEVERITY, mechanism.name, seed=1)
            made, which = repaired(damaged)
            shares = Original(song).recovery(damaged, made)
            rows.append([shares[name] for name in (*DIMENSIONS, "total")])
            ran += which
        mean = np.nanmean(rows, axis=0)
        totals.append(mean[-1])
        told = " | ".join(f"{100 * value:.0f} %" for value in mean)
        print(f"| {mechanism.name} | {told} | {ran[0]:.0f} | {ran[1]:.0f} |", flush=True)
    print(f"| mean | | | | | {100 * np.mean(totals):.0f} % | | |")


def repaired(audio: Audio) -> tuple[Audio, tuple[bool, bool]]:
    """What `extend` and `fill` make of a song, and which of them ran."""
    ran = []
    with tempfile.TemporaryDirectory() as folder:
        for repair in (bandwidth, fill):
            found = repair.find(audio, analyse(audio), lambda _: None)
            ran.append(found is not None)
            if found:
                done = load(repair.run(audio, found, Path(folder), lambda _: None).audio)
                mixed = audio.samples + np.float32(found.amount) * (done.samples - audio.samples)
                audio = Audio(np.ascontiguousarray(mixed), audio.rate)
    return audio, (ran[0], ran[1])


# --- songs that need nothing -----------------------------------------------------------------------


def _print_whole(corpus: Corpus, splits: Sequence[str], count: int) -> None:
    print("\n| finished song | bandwidth kHz | found |\n|---|---|---|")
    songs = [(song, audio) for split in splits for song, audio in excerpts(corpus, split, count, WHOLE_S)]
    alarms = 0
    for song, audio in songs[:: max(len(songs) // count, 1)][:count]:
        found = [repair.find(audio, analyse(audio), lambda _: None) for repair in (bandwidth, fill)]
        words = "; ".join(one.why for one in found if one)
        alarms += bool(words)
        if words:
            print(f"| {song.id} | {song.bandwidth_hz / 1000:.1f} | {words} |", flush=True)
    print(f"\n{alarms} of {min(len(songs), count)} finished songs were to be changed.")


if __name__ == "__main__":
    arguments_parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(arguments_parser)
    main(arguments_parser.parse_args())
