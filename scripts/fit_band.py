"""Fit the band of finished music: checkpoints/finished_band/statistics.json.

    python scripts/fit_band.py measure CORPUS/train --to finished.jsonl
    python scripts/fit_band.py measure GENERATED/TUNE --to generated.jsonl
    python scripts/fit_band.py fit --finished finished.jsonl --generated generated.jsonl

`measure` keeps what the middle 90 s of each song measure, a line a song, and goes on where it was stopped.
`fit` weighs the finished songs by how much they move in time like the generated ones, takes mean and spread,
and calibrates how strictly a song is held to them and what a severity says, on songs held out: finished ones
by folds, generated ones by generator, which the names of their files begin with. It prints how well each of
four ways to predict a song's measures from its kind does on finished songs held out, and how often held-out
songs have findings. Of the generated songs the measures are used, as examples of their kind, and no audio.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from mixagent.pipeline.finished.band import (
    FURTHEST_FAULT,
    JUDGED,
    Band,
    FinishedMusic,
    Kind,
    Trust,
    group_deviation,
    root_mean_square,
    to_json,
)
from mixagent.pipeline.finished.findings import FAULTS, FOUND, PRIOR_ODDS, WHOLES, whole_severity
from mixagent.pipeline.finished.measures import (
    GROUPS,
    INDEX,
    KIND,
    MEASURES,
    Group,
    SongMeasures,
    measure_song,
)
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio, Float64Array

SUFFIXES = (".ogg", ".opus", ".flac", ".mp3", ".wav")
EXCERPT_S = 90
LEAST_RATE_HZ = 32000
FOLDS = 5
SEED = 0

LEAST_WEIGHT = 0.1
"""The weight of a finished song whose kind is nothing like the generated ones."""
OUTLIER = 2.5
"""Measures further out than this many spreads do not count in the second estimate of mean and spread."""
SHRINKAGE = 0.3
"""Of the covariance of the kinds; of 0.2 to 10, small ones tell generators apart best that were left out."""
STEEPNESS = 0.35
TRUSTED: tuple[Group, ...] = ("tone", "width", "punch")
FAMILY = 0.1
"""Share of the finished songs that may have any finding at all."""
GENERATED_SHARE, DAMAGED_SHARE = 0.6, 0.4
RIDGE = 0.02
QUIET_SHARE = 0.9
"""Share of the finished songs whose quiet moments stay under the level told of a band."""
LEAST_EDGE, MOST_EDGE = 0.5, 6.0
"""The outer edge of a fault, in spreads: what a few odd finished songs have is a fault still."""
LEAST_SLOPE = -PRIOR_ODDS
"""Of the log-odds of a fault in a song of another kind, of which there are too few generated ones to tell: at
its outer edge a fault counts as found."""


@dataclass(frozen=True)
class Songs:
    """Measured songs: names, values (songs, measures), kinds (songs, len(KIND)), two by band of the tone."""

    names: tuple[str, ...]
    values: Float64Array
    kinds: Float64Array
    quiet_db: Float64Array
    moves_db: Float64Array

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Songs:
        """Some of them."""
        names = np.array(self.names, object)[rows]
        return Songs(
            tuple(names), self.values[rows], self.kinds[rows], self.quiet_db[rows], self.moves_db[rows]
        )

    def measures(self) -> Iterator[SongMeasures]:
        """One by one."""
        rows = zip(self.values, self.kinds, self.quiet_db, self.moves_db, strict=True)
        for values, kind, quiet_db, moves_db in rows:
            yield SongMeasures(values, kind, quiet_db=quiet_db, moves_db=moves_db)


def main() -> None:
    """Measure, or fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("folders", type=Path, nargs="+")
    measuring.add_argument("--to", type=Path, required=True)
    measuring.set_defaults(run=measure)
    fitting = commands.add_parser("fit")
    fitting.add_argument("--finished", type=Path, required=True)
    fitting.add_argument("--generated", type=Path, required=True)
    fitting.add_argument("--to", type=Path, default=Path("checkpoints/finished_band/statistics.json"))
    fitting.set_defaults(run=fit)
    arguments = parser.parse_args()
    arguments.run(arguments)


# --- measuring -------------------------------------------------------------------------------------


def measure(arguments: argparse.Namespace) -> None:
    """Measure every song of the folders that the file does not hold yet."""
    there = {json.loads(line)["song"] for line in _lines(arguments.to)}
    songs = sorted(
        p for folder in arguments.folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES
    )
    with arguments.to.open("a", encoding="utf-8") as file:
        for song in songs:
            name = f"{song.parent.name}/{song.name}"
            if name in there:
                continue
            row = {"song": name, **(_measured(song) or {"skipped": True})}
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(name, file=sys.stderr)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _measured(song: Path) -> Mapping[str, object] | None:
    info = soundfile.info(song)
    if info.samplerate < LEAST_RATE_HZ or not info.frames:
        return None
    count = min(info.frames, EXCERPT_S * info.samplerate)
    start = (info.frames - count) // 2
    samples, rate = soundfile.read(song, start=start, frames=count, dtype="float32", always_2d=True)
    audio = Audio(np.ascontiguousarray(samples.T), rate)
    analysis = analyse(audio)
    if not math.isfinite(analysis.integrated_lufs):
        return None
    return measure_song(analysis, fingerprint(audio, analysis.integrated_lufs)).to_json()


def load(path: Path) -> Songs:
    """Read what `measure` wrote."""
    rows = [row for row in map(json.loads, _lines(path)) if "skipped" not in row]
    songs = [SongMeasures.from_json({"duration_s": None, **row}) for row in rows]
    return Songs(
        tuple(row["song"] for row in rows),
        np.array([song.values for song in songs]),
        *(np.array([getattr(song, name) for song in songs]) for name in ("kind", "quiet_db", "moves_db")),
    )


# --- the fit ---------------------------------------------------------------------------------------


def fit(arguments: argparse.Namespace) -> None:
    """Fit, print what was found on songs held out, write the statistics."""
    finished, generated = load(arguments.finished), load(arguments.generated)
    print(f"{len(finished)} finished songs, {len(generated)} generated ones")
    compare_predictions(finished, generated)
    music = fit_music(finished, generated, verbose=True)
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.write_text(json.dumps(to_json(music), indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.to}")


def fit_music(finished: Songs, generated: Songs, verbose: bool = False) -> FinishedMusic:
    """The statistics of finished songs; whatever is calibrated is so on songs that were held out."""
    kind = fit_kind(finished, generated)
    band = fit_band(finished, kind)
    out, scores = _held_out(finished, generated)
    theirs = np.array([band.deviations(song) for song in generated.measures()])
    their_scores = np.array([_score_without(k, finished, generated) for k in range(len(generated))])
    trust: dict[str, Trust] = {
        group: _fit_trust(group, band, out, scores, theirs, their_scores) for group in TRUSTED
    }
    trust["other"] = trust["tone"]
    edges = _fit_edges(out)
    alike, their_alike = (1 / (1 + np.exp(-s)) for s in (scores, their_scores))
    wholes = _found_wholes(out, scores, trust)
    severity = _fit_severity(_outlying(out, edges), alike, _outlying(theirs, edges), their_alike, wholes)
    quiet_db = np.nanquantile(finished.quiet_db, QUIET_SHARE, axis=0)
    music = FinishedMusic(band, kind, trust, severity, edges, quiet_db)
    if verbose:
        _report(music, out, alike, theirs, their_alike)
        for name, found in (("finished", wholes), ("generated", _found_wholes(theirs, their_scores, trust))):
            print(f"{name}: {100 * found.mean():.0f} % have a group that lies outside as a whole")
    return music


def fit_kind(finished: Songs, generated: Songs) -> Kind:
    """A linear discriminant (Fisher) between the two, shrunk, whose score is in units of log-odds."""
    mean, spread = np.median(finished.kinds, axis=0), finished.kinds.std(axis=0) + 1e-6

    def standard(kinds: Float64Array) -> Float64Array:
        return np.asarray(np.clip((kinds - mean) / spread, -3, 3))

    ours, theirs = standard(finished.kinds), standard(generated.kinds)
    covariance = 0.7 * np.cov(ours.T) + 0.3 * np.cov(theirs.T) + SHRINKAGE * np.eye(len(KIND))
    direction = np.linalg.solve(covariance, theirs.mean(axis=0) - ours.mean(axis=0))
    middle = (np.quantile(ours @ direction, 0.75) + np.median(theirs @ direction)) / 2
    return Kind(mean, spread, direction / STEEPNESS, float(middle) / STEEPNESS)


def fit_band(finished: Songs, kind: Kind) -> Band:
    """Weighted mean and spread, once more without what is far out."""
    scores = np.array([kind.score(row) for row in finished.kinds])
    weights = np.maximum(1 / (1 + np.exp(-scores)), LEAST_WEIGHT)
    return Band("finished music", len(finished), *_weighted(finished.values, weights))


def _weighted(values: Float64Array, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    shares = weights[:, None] * there
    mean = spread = np.zeros(values.shape[1])
    for _ in range(2):
        mean = (shares * filled).sum(axis=0) / shares.sum(axis=0)
        spread = np.sqrt(
            (shares * np.where(there, (filled - mean) ** 2, 0.0)).sum(axis=0) / shares.sum(axis=0)
        )
        shares = shares * (np.abs(filled - mean) < OUTLIER * spread)
    return mean, np.maximum(spread * 1.05, 1e-3)


def _held_out(finished: Songs, generated: Songs) -> tuple[Float64Array, Float64Array]:
    """Deviations and kind scores of the finished songs, each from a fit without its fold."""
    fold = np.random.default_rng(SEED).permutation(len(finished)) % FOLDS
    out, scores = np.zeros_like(finished.values), np.zeros(len(finished))
    for k in range(FOLDS):
        rest, here = finished.take(fold != k), np.flatnonzero(fold == k)
        kind = fit_kind(rest, generated)
        band = fit_band(rest, kind)
        for row, song in zip(here, finished.take(here).measures(), strict=True):
            out[row], scores[row] = band.deviations(song), kind.score(song.kind)
    return out, scores


def _score_without(row: int, finished: Songs, generated: Songs) -> float:
    """The kind score of a generated song from a fit without any song of its generator."""
    generators = np.array([_generator(name) for name in generated.names])
    others = generated.take(generators != generators[row])
    return fit_kind(finished, others if len(others) > 2 else generated).score(generated.kinds[row])


def _generator(song: str) -> str:
    return Path(song).name.split("_", 1)[0]


def _fit_trust(
    group: Group,
    band: Band,
    out: Float64Array,
    scores: Float64Array,
    theirs: Float64Array,
    their_scores: Float64Array,
) -> Trust:
    """Logistic regression: finished songs against generated ones and against bent finished ones.

    The curves stand for faults of songs of any kind; without them only the kind would count.
    """
    random = np.random.default_rng(SEED)
    ours, known = out[_whole(out, group)], scores[_whole(out, group)]
    made, made_scores = theirs[_whole(theirs, group)], their_scores[_whole(theirs, group)]
    bent = ours.copy()
    for row in bent:
        row[JUDGED[group]] += _random_curve(random, len(JUDGED[group])) / band.spread[JUDGED[group]]
    rows = np.array(
        [
            *zip(known, _group(ours, group), strict=True),
            *zip(made_scores, _group(made, group), strict=True),
            *zip(known, _group(bent, group), strict=True),
        ]
    )
    outside = np.repeat([0.0, 1.0, 1.0], [len(ours), len(made), len(bent)])
    weights = np.repeat(
        [1 / len(ours), GENERATED_SHARE / len(made), DAMAGED_SHARE / len(bent)],
        [len(ours), len(made), len(bent)],
    )
    return Trust(*map(float, _logistic(rows, outside, 20 * weights)))


def _whole(deviations: Float64Array, group: Group) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(deviations[:, JUDGED[group]]).all(axis=1))


def _group(deviations: Float64Array, group: Group) -> list[float]:
    return [group_deviation(row, group) for row in deviations]


def _random_curve(random: np.random.Generator, bands: int) -> Float64Array:
    """A tilt or bumps of some 7 dB over the bands, in dB."""
    place = np.linspace(0, 1, bands)
    curve = random.normal() * 6 * (2 * place - 1) if random.random() < 1 / 3 else np.zeros(bands)
    for _ in range(random.integers(1, 4)):
        centre, width = random.uniform(), random.uniform(0.04, 0.25)
        curve = curve + random.normal() * 7 * np.exp(-0.5 * ((place - centre) / width) ** 2)
    return np.asarray(curve - curve.mean())


def _logistic(rows: Float64Array, outside: Float64Array, weights: Float64Array) -> Float64Array:
    """Newton's method with a small ridge on all but the bias."""
    rows = np.column_stack([np.ones(len(rows)), rows])
    found = np.zeros(rows.shape[1])
    ridge = RIDGE * np.diag([0.0, *[1.0] * (rows.shape[1] - 1)])
    for _ in range(60):
        share = 1 / (1 + np.exp(-rows @ found))
        slope = rows.T @ (weights * (outside - share)) - ridge @ found
        bend = (rows * (weights * share * (1 - share))[:, None]).T @ rows + ridge + 1e-9 * np.eye(len(found))
        found = found + np.linalg.solve(bend, slope)
    return found


def _sided(deviations: Float64Array) -> Float64Array:
    """The deviation of each song on each fault's side, in spreads, shape (songs, faults)."""
    clipped = np.clip(deviations, -FURTHEST_FAULT, FURTHEST_FAULT)
    columns = []
    for fault in FAULTS:
        found = clipped[:, [INDEX[name] for name in fault.measures]]
        there = np.isfinite(found).any(axis=1, keepdims=True)
        mean = np.nanmean(np.where(there, found, 0.0), axis=1)
        columns.append(mean if fault.side == "high" else -mean)
    return np.asarray(np.maximum(np.stack(columns, axis=1), 0.0))


def _fit_edges(out: Float64Array) -> Mapping[str, float]:
    """One quantile for all faults, such that nine of ten finished songs are over none of them."""
    sided = _sided(out)
    low, high = 0.5, 1.0 - 0.5 / len(sided)
    for _ in range(40):
        share = (low + high) / 2
        edges = np.clip(np.quantile(sided, share, axis=0), LEAST_EDGE, MOST_EDGE)
        low, high = (share, high) if np.mean((sided > edges).any(axis=1)) > FAMILY else (low, share)
    edges = np.clip(np.quantile(sided, high, axis=0), LEAST_EDGE, MOST_EDGE)
    print(f"outer edges: the {100 * high:.1f}th percentile of each fault")
    return {fault.name: float(edge) for fault, edge in zip(FAULTS, edges, strict=True)}


def _outlying(deviations: Float64Array, edges: Mapping[str, float]) -> Float64Array:
    return np.asarray(_sided(deviations) / np.array([edges[fault.name] for fault in FAULTS]))


def _fit_severity(
    ours: Float64Array,
    alike: Float64Array,
    theirs: Float64Array,
    their_alike: Float64Array,
    wholes: NDArray[np.bool_],
) -> tuple[float, float]:
    """The slopes of the log-odds, by likelihood, then held to the family's share, `wholes` counted in."""
    outlying = np.concatenate([ours.ravel(), theirs.ravel()])
    kinds = np.concatenate([np.repeat(alike, ours.shape[1]), np.repeat(their_alike, theirs.shape[1])])
    outside = np.repeat([0.0, 1.0], [ours.size, theirs.size])
    weights = np.repeat([0.9 / ours.size, 0.1 / theirs.size], [ours.size, theirs.size])
    best, slopes = math.inf, (1.0, 1.0)
    for slope in np.linspace(LEAST_SLOPE, 4.0, 19):
        for alike_slope in np.linspace(0.0, 6.0, 61):
            odds = PRIOR_ODDS + (slope + alike_slope * kinds) * outlying
            loss = float((weights * (np.logaddexp(0, odds) - outside * odds)).sum())
            if loss < best:
                best, slopes = loss, (float(slope), float(alike_slope))
    print(f"slopes of the log-odds by likelihood: {slopes[0]:.2f} + {slopes[1]:.2f} · alike")
    scale = 1.0
    while _found_share(ours, alike, (scale * slopes[0], scale * slopes[1]), wholes) > FAMILY:
        scale -= 0.01
    return scale * slopes[0], scale * slopes[1]


def _severities(outlying: Float64Array, alike: Float64Array, slopes: tuple[float, float]) -> Float64Array:
    odds = PRIOR_ODDS + (slopes[0] + slopes[1] * alike[:, None]) * outlying
    return np.asarray(np.where(outlying > 0, 1 / (1 + np.exp(-odds)), 0.0))


def _found_share(
    outlying: Float64Array, alike: Float64Array, slopes: tuple[float, float], wholes: NDArray[np.bool_]
) -> float:
    return float(np.mean((_severities(outlying, alike, slopes) >= FOUND).any(axis=1) | wholes))


def _found_wholes(
    deviations: Float64Array, scores: Float64Array, trust: Mapping[str, Trust]
) -> NDArray[np.bool_]:
    """Marks the songs with a group that as a whole lies outside."""

    def lies_outside(row: Float64Array, score: float) -> bool:
        found = (
            whole_severity(
                trust[fault.group].odds(score, group_deviation(row, fault.group)),
                root_mean_square(row, fault.group),
            )
            for fault in WHOLES
        )
        return max(found) >= FOUND

    return np.array([lies_outside(row, score) for row, score in zip(deviations, scores, strict=True)])


# --- what is printed -------------------------------------------------------------------------------


def compare_predictions(finished: Songs, generated: Songs) -> None:
    """Mean negative log-likelihood of held-out finished songs, by how the kind predicts them."""
    ways: Mapping[str, Callable[[Songs], Callable[[Float64Array], tuple[Float64Array, Float64Array]]]] = {
        "one band for all": lambda rest: _constant(_weighted(rest.values, np.ones(len(rest)))),
        "weighted by kind": lambda rest: _constant(_weighted_band(rest, generated)),
        "60 neighbours": lambda rest: _neighbours(rest, 60),
        "regression": _regression,
    }
    fold = np.random.default_rng(SEED).permutation(len(finished)) % FOLDS
    alike = _held_out(finished, generated)[1] > 0
    print("held-out finished songs, mean negative log-likelihood (all / those of the kind):")
    for name, way in ways.items():
        losses = np.zeros_like(finished.values)
        for k in range(FOLDS):
            predict = way(finished.take(fold != k))
            for row in np.flatnonzero(fold == k):
                mean, spread = predict(finished.kinds[row])
                standard = np.clip((finished.values[row] - mean) / spread, -6, 6)
                losses[row] = 0.5 * standard**2 + np.log(spread)
        figures = [
            f"{group} {np.nanmean(losses[:, places]):.3f} / {np.nanmean(losses[alike][:, places]):.3f}"
            for group, places in ((group, GROUPS[group]) for group in TRUSTED)
        ]
        print(f"  {name}: {', '.join(figures)}")


def _constant(
    found: tuple[Float64Array, Float64Array],
) -> Callable[[Float64Array], tuple[Float64Array, Float64Array]]:
    return lambda kind: found


def _weighted_band(rest: Songs, generated: Songs) -> tuple[Float64Array, Float64Array]:
    band = fit_band(rest, fit_kind(rest, generated))
    return band.mean, band.spread


def _neighbours(rest: Songs, count: int) -> Callable[[Float64Array], tuple[Float64Array, Float64Array]]:
    mean, spread = np.median(rest.kinds, axis=0), rest.kinds.std(axis=0) + 1e-6
    places = np.clip((rest.kinds - mean) / spread, -3, 3)

    def predict(kind: Float64Array) -> tuple[Float64Array, Float64Array]:
        apart = np.sum((places - np.clip((kind - mean) / spread, -3, 3)) ** 2, axis=1)
        return _weighted(rest.values, (apart <= np.sort(apart)[count]).astype(np.float64))

    return predict


def _regression(rest: Songs) -> Callable[[Float64Array], tuple[Float64Array, Float64Array]]:
    mean, spread = np.median(rest.kinds, axis=0), rest.kinds.std(axis=0) + 1e-6

    def rows(kinds: Float64Array) -> Float64Array:
        standard = np.clip((np.atleast_2d(kinds) - mean) / spread, -3, 3)
        return np.column_stack([np.ones(len(standard)), standard])

    known = rows(rest.kinds)
    ridge = 60.0 * np.diag([0.0, *[1.0] * (known.shape[1] - 1)])
    weights, spreads = np.zeros((known.shape[1], len(MEASURES))), np.zeros(len(MEASURES))
    for k in range(len(MEASURES)):
        there = np.isfinite(rest.values[:, k])
        weights[:, k] = np.linalg.solve(
            known[there].T @ known[there] + ridge, known[there].T @ rest.values[there, k]
        )
        apart = rest.values[there, k] - known[there] @ weights[:, k]
        spreads[k] = max(float(_weighted(apart[:, None], np.ones(len(apart)))[1][0]), 1e-3)
    return lambda kind: ((rows(kind) @ weights)[0], spreads)


def _report(
    music: FinishedMusic,
    out: Float64Array,
    alike: Float64Array,
    theirs: Float64Array,
    their_alike: Float64Array,
) -> None:
    ours, made = (
        _severities(_outlying(found, music.edges), kinds, music.severity)
        for found, kinds in ((out, alike), (theirs, their_alike))
    )
    print(f"slopes after the family's share: {music.severity[0]:.2f} + {music.severity[1]:.2f} · alike")
    for group, trust in music.trust.items():
        print(f"trust in {group}: {trust}")
    print(
        f"of the kind: {np.mean(alike > 0.5):.2f} of finished songs, "
        f"{np.mean(their_alike > 0.5):.2f} of generated"
    )
    for name, found in (("finished", ours), ("generated", made)):
        hits = found >= 0.5
        print(
            f"{name}: {100 * hits.any(axis=1).mean():.0f} % have a finding, "
            f"{hits.sum(axis=1).mean():.2f} a song"
        )
    print("reliability, a generated song's findings counted as one in ten (stated → true):")
    edges = (0.1, 0.2, 0.35, 0.5, 0.7, 1.01)
    for low, high in itertools.pairwise(edges):
        inside = [(found > low) & (found <= high) for found in (ours, made)]
        shares = [np.mean(hits) for hits in inside]
        stated = np.concatenate([ours[inside[0]], made[inside[1]]])
        if len(stated):
            true = 0.1 * shares[1] / (0.1 * shares[1] + 0.9 * shares[0] + 1e-12)
            counts = f"{inside[0].sum()} of finished, {inside[1].sum()} of generated songs"
            print(f"  {stated.mean():.2f} → {true:.2f} ({counts})")
    for k, fault in enumerate(FAULTS):
        counted = (
            f"{np.mean(ours[:, k] >= 0.5):.3f} of finished, {np.mean(made[:, k] >= 0.5):.2f} of generated"
        )
        print(f"  {fault.name:16s} edge {music.edges[fault.name]:.2f}; found in {counted} songs")


if __name__ == "__main__":
    main()
