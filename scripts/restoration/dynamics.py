"""Measures de-clipping and de-limiting on songs that nothing was trained or tuned on.

    python scripts/benchmark_restoration.py dynamics --corpus CORPUS [--only declip delimit flatness finished]

Declip: excerpts are clipped so that so much SDR is left, and rebuilt; beside today's method stands the one
before it, linear prediction over each clipped run. SDR is over all samples and over the clipped ones.
Delimit: excerpts go through a limiter so that their peak was so far over its ceiling; SI-SDR and the error of
the crest before and after, as a listener gets it: at the finding's amount, 0 where nothing is found.
Flatness: the three mechanisms of the damage, undone by both repairs in their order. Finished: on how many
songs nobody damaged does each open, and by how much.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixagent.envs.corpus import SPLITS, Corpus
from mixagent.envs.degradation.limiters import LookAhead, box, soft_clip
from mixagent.envs.pathologies import MECHANISMS, damage
from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude, powers_to_db
from mixagent.pipeline.dsp.limiter import TruePeakLimiter
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import clipping, delimiting
from mixagent.pipeline.restoration.base import Work
from mixagent.pipeline.restoration.prediction import interpolated, residual_weights
from mixagent.pipeline.types import Audio, Float64Array, FloatArray, load
from mixagent.reward.recovery import Original

LEFT_DB = (10.0, 15.0, 20.0, 30.0)
"""SDR of the clipped excerpts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of these tables."""
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", choices=tuple(TABLES), nargs="*", default=list(TABLES))


def main(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    for name in arguments.only:
        for line in TABLES[name](arguments):
            print(line, flush=True)
        print()


def repaired(repair: Work, audio: Audio) -> Audio | None:
    """The audio after a repair at its amount; None where it found nothing."""

    def nothing(_: float) -> None:
        return

    with tempfile.TemporaryDirectory() as folder:
        found = repair.find(audio, analyse(audio), nothing)
        if found is None:
            return None
        restored = repair.run(audio, found, Path(folder), nothing)
        out = load(restored.audio).samples
    return Audio(audio.samples + np.float32(found.amount) * (out - audio.samples), audio.rate)


def excerpts(arguments: argparse.Namespace, dynamic: bool = True) -> Iterator[Audio]:
    """The middle of songs of a split drawn by a fixed seed; `dynamic` ones have peaks of their own."""
    corpus, split = Corpus.open(arguments.corpus), arguments.split
    songs = corpus.songs(split, "clean truth")
    given = 0
    for index in np.random.default_rng(0).permutation(len(songs)):
        song = songs[index]
        start = max((song.duration_s - arguments.seconds) / 2, 0)
        audio = corpus.segment(song, start, arguments.seconds)
        peak = float(np.abs(audio.samples).max())
        if peak < 1e-3 or (dynamic and crest_db(audio.samples) < 12.0):
            continue
        yield audio
        given += 1
        if given == arguments.songs:
            return


def crest_db(samples: FloatArray) -> float:
    """Sample peak over the RMS of all channels."""
    return float(powers_to_db(np.abs(samples).max() ** 2 / max(np.mean(np.square(samples)), 1e-20)))


def sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    """Energy of the truth over that of the error."""
    error = np.square(truth - estimate, dtype=np.float64).sum()
    return float(powers_to_db(np.square(truth, dtype=np.float64).sum() / max(error, 1e-20)))


# --- declip ----------------------------------------------------------------------------------------


def declip_table(arguments: argparse.Namespace) -> Iterator[str]:
    """Gain of both methods by the SDR of the clipped input."""
    yield "| SDR in dB | songs | before: gain dB | now: gain dB (worst) | clipped: in dB | before | now |"
    yield "|---|---|---|---|---|---|---|"
    seconds = {"before": 0.0, "now": 0.0}
    length_s = 0.0
    truths = list(excerpts(arguments))
    for left_db in LEFT_DB:
        rows = []
        for truth in truths:
            level = level_that_leaves(truth.samples, left_db)
            cut = Audio(truth.samples.clip(-level, level), truth.rate)
            held = np.abs(truth.samples) >= level
            before = _timed(seconds, "before", lambda cut=cut: predicted(cut))
            now = _timed(seconds, "now", lambda cut=cut: repaired(clipping, cut) or cut)
            made = [cut.samples, before, now.samples]
            rows.append(
                [sdr_db(truth.samples, one) for one in made]
                + [sdr_db(truth.samples[held], one[held]) for one in made]
            )
            length_s += truth.frames / truth.rate
        table = np.array(rows)
        gains = table[:, 1:3] - table[:, :1]
        held_db = table[:, 3:].mean(axis=0)
        yield (
            f"| {left_db:.0f} | {len(rows)} | {gains[:, 0].mean():.1f} | {gains[:, 1].mean():.1f} "
            f"({gains[:, 1].min():.1f}) | {held_db[0]:.1f} | {held_db[1]:.1f} | {held_db[2]:.1f} |"
        )
    for name, spent in seconds.items():
        yield f"CPU time, {name}: {spent / length_s:.2f} of the length."


def _timed(seconds: dict[str, float], name: str, work: Callable[[], object]) -> object:
    start = time.process_time()
    result = work()
    seconds[name] += time.process_time() - start
    return result


def level_that_leaves(samples: FloatArray, left_db: float) -> float:
    """The clipping level that leaves so much SDR."""
    low, high = 1e-3, 1.0
    peak = float(np.abs(samples).max())
    for _ in range(24):
        middle = np.sqrt(low * high)
        if sdr_db(samples, samples.clip(-middle * peak, middle * peak)) > left_db:
            high = middle
        else:
            low = middle
    return float(high * peak)


_ORDER, _AROUND = 128, 1024


def predicted(cut: Audio) -> FloatArray:
    """Each run bridged by a cubic, then by the linear prediction of its surroundings."""
    out = cut.samples.astype(np.float64)
    for channel in out:
        level = np.abs(channel).max()
        _bridge_and_predict(channel, level)
    return out.astype(np.float32)


def _bridge_and_predict(x: Float64Array, level: float) -> None:
    floor = level * (1 - 2e-4)
    signed = [(1.0, _runs(x, 1.0, floor)), (-1.0, _runs(x, -1.0, floor))]
    for sign, runs in signed:
        _bridge(x, runs, sign, level)
    for sign, runs in signed:
        _predict(x, runs, sign, level)


@njit(cache=True)
def _runs(x: Float64Array, sign: float, floor: float) -> NDArray[np.int64]:
    found, count, begin = np.empty((len(x), 2), np.int64), 0, -1
    for i in range(len(x)):
        if sign * x[i] >= floor:
            begin = i if begin < 0 else begin
            continue
        if begin >= 2 and i < len(x) - 1 and i - begin <= 256:
            found[count] = begin, i
            count += 1
        begin = -1
    return found[:count]


@njit(cache=True)
def _bridge(x: Float64Array, runs: NDArray[np.int64], sign: float, level: float) -> None:
    for start, stop in runs:
        left, right, span = x[start - 1], x[stop], stop - start + 1
        rise, fall = (left - x[start - 2]) * span, (x[stop + 1] - right) * span
        for i in range(start, stop):
            t = (i - start + 1) / span
            value = (1 + 2 * t) * (1 - t) ** 2 * left + t * (1 - t) ** 2 * rise
            value += t * t * (3 - 2 * t) * right + t * t * (t - 1) * fall
            x[i] = sign * min(max(sign * value, level), 4 * level)


@njit(cache=True)
def _predict(x: Float64Array, runs: NDArray[np.int64], sign: float, level: float) -> None:
    for start, stop in runs:
        if start < _ORDER or stop + _ORDER > len(x):
            continue
        weights = residual_weights(x[max(start - _AROUND, 0) : stop + _AROUND], _ORDER)
        solved = interpolated(x, start, stop, weights)
        for i in range(stop - start):
            x[start + i] = sign * min(max(sign * solved[i], level), 4 * level)


# --- delimit ---------------------------------------------------------------------------------------

OVER_DB = (6.0, 9.0, 12.0)


def _own(samples: FloatArray, rate: int, ceiling: float) -> FloatArray:
    """This project's limiter."""
    limiter = TruePeakLimiter(rate, len(samples), float(amplitudes_to_db(ceiling)))
    padded = np.pad(samples, ((0, 0), (0, limiter.latency)))
    return limiter.process(padded)[:, limiter.latency :]


def _brick_wall(samples: FloatArray, rate: int, ceiling: float) -> FloatArray:
    """The brick wall of pedalboard."""
    from pedalboard import BrickwallLimiter, Pedalboard

    scale = np.float32(ceiling)
    return np.asarray(Pedalboard([BrickwallLimiter(0.0)])(samples / scale, rate) * scale, np.float32)


LIMITERS: dict[str, Callable[[FloatArray, int, float], FloatArray]] = {
    "box of 6 ms": lambda samples, rate, ceiling: box(samples, rate, ceiling, 0.006),
    "look-ahead, release 80 ms": LookAhead(),
    "look-ahead, release 300 ms": LookAhead(attack_ms=2, release_ms=300),
    "tanh": lambda samples, rate, ceiling: soft_clip(samples, ceiling, 1.0),
    "this project's (unseen)": _own,
    "pedalboard's brick wall (unseen)": _brick_wall,
}
"""Those marked unseen were kept out of training."""


def delimit_table(arguments: argparse.Namespace) -> Iterator[str]:
    """What limiters took, given back."""
    yield (
        "| limiter | over dB | SI-SDR in | out | gain dB (worst) | worse | crest off by: in | out | opened |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    truths = list(excerpts(arguments))
    spent = length_s = 0.0
    for name, limit in LIMITERS.items():
        for over_db in OVER_DB:
            rows = []
            for truth in truths:
                ceiling = float(np.abs(truth.samples).max()) * float(db_to_amplitude(-over_db))
                limited = Audio(limit(truth.samples, truth.rate, ceiling), truth.rate)
                start = time.process_time()
                out = repaired(delimiting, limited)
                spent, length_s = spent + time.process_time() - start, length_s + truth.frames / truth.rate
                after = (out or limited).samples
                crest = crest_db(truth.samples)
                rows.append(
                    (
                        si_sdr_db(truth.samples, limited.samples),
                        si_sdr_db(truth.samples, after),
                        abs(crest_db(limited.samples) - crest),
                        abs(crest_db(after) - crest),
                        out is not None,
                    )
                )
            before, after_db, crest_in, crest_out, opened = np.array(rows).T
            gain = after_db - before
            yield (
                f"| {name} | {over_db:.0f} | {before.mean():.1f} | {after_db.mean():.1f} "
                f"| {gain.mean():+.2f} ({gain.min():+.2f}) | {np.mean(gain < -0.01):.0%} "
                f"| {crest_in.mean():.1f} | {crest_out.mean():.1f} | {opened.mean():.0%} |"
            )
    opened = [repaired(delimiting, truth) is not None for truth in truths]
    yield f"\nThe same excerpts untouched: opened on {np.mean(opened):.0%}. "
    yield f"CPU time: {spent / length_s:.3f} of the length."


def si_sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    """Energy of the truth, at the estimate's scale, over that of the error."""
    x, y = truth.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    alike = np.dot(x, y) ** 2 / max(np.dot(x, x) * np.dot(y, y), 1e-30)
    return float(powers_to_db(alike / max(1 - alike, 1e-9)))


SEVERITY = 0.6


def flatness_table(arguments: argparse.Namespace) -> Iterator[str]:
    """The damage kind flatness, undone by declip and delimit."""
    yield "| mechanism | undone: total | punch | texture | tone | worst total | declip | delimit opened |"
    yield "|---|---|---|---|---|---|---|---|"
    truths = list(excerpts(arguments, dynamic=False))
    for mechanism in MECHANISMS["flatness"]:
        shares, opened = [], []
        for truth in truths:
            damaged = damage(truth, "flatness", SEVERITY, mechanism.name)
            clear = repaired(clipping, damaged)
            raised = repaired(delimiting, clear or damaged)
            opened.append((clear is not None, raised is not None))
            undone = Original(truth).recovery(damaged, raised or clear or damaged)
            shares.append([undone[name] for name in ("total", "punch", "texture", "tone")])
        table, share = np.array(shares), np.mean(opened, axis=0)
        figures = [f"{value:+.1%}" for value in (*np.nanmean(table, axis=0), np.nanmin(table[:, 0]))]
        yield f"| {mechanism.name} | {' | '.join(figures)} | {share[0]:.0%} | {share[1]:.0%} |"


def finished_table(arguments: argparse.Namespace) -> Iterator[str]:
    """On how many finished songs delimit opens."""
    yield "| split | songs | declip opens | delimit opens | mean amount where it does | amounts |"
    yield "|---|---|---|---|---|---|"
    corpus = Corpus.open(arguments.corpus)

    def nothing(_: float) -> None:
        return

    for split in SPLITS:
        songs = corpus.songs(split, "rough input")
        drawn = np.random.default_rng(1).permutation(len(songs))[: 4 * arguments.songs]
        clipped, amounts = 0, []
        for index in drawn:
            song = songs[index]
            audio = corpus.segment(song, max(song.duration_s / 2 - 30, 0), min(song.duration_s, 60.0))
            analysis = analyse(audio)
            clipped += clipping.find(audio, analysis, nothing) is not None
            found = delimiting.find(audio, analysis, nothing)
            amounts.append(found.amount if found else 0.0)
        some = [amount for amount in amounts if amount]
        listed = ", ".join(f"{amount:.2f}" for amount in sorted(some)) or "–"
        mean = f"{np.mean(some):.2f}" if some else "–"
        yield f"| {split} | {len(drawn)} | {clipped} | {len(some)} | {mean} | {listed} |"


TABLES: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "declip": declip_table,
    "delimit": delimit_table,
    "flatness": flatness_table,
    "finished": finished_table,
}

if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(flags)
    main(flags.parse_args())
