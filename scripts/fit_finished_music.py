"""Fit what finished music measures: checkpoints/finished_music/statistics.json.

    python scripts/fit_finished_music.py CORPUS/train

From each song the middle 11.5 s are measured; 120 songs are also damaged by each mechanism that
is not kept for validation and by all five kinds at once, at severities of its own. Nothing is drawn at
random beyond the seed that each song's name gives (its CRC-32), so the same corpus gives the same
file. `--cache` keeps what was measured, so that a fit with other features or settings takes seconds;
empty it when the fingerprint or the pathologies change.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import track

from mixagent.envs.pathologies import KINDS, MECHANISMS, damage, damage_all
from mixagent.pipeline.diagnosis.statistics import FEATURES, STANDARD_LIMIT, TONE_HZ, third_octaves_db
from mixagent.pipeline.measure.fingerprint import IMAGE_EDGES_HZ, Fingerprint, fingerprint
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import Audio, Float64Array

Version = tuple[str, str, float]
"""Kind, mechanism and severity; the kind is empty for the song as it is."""

SUFFIXES = (".ogg", ".opus", ".flac", ".mp3", ".wav")
EXCERPT_S = 11.5
"""Long enough for a verse, short enough that twelve versions of a song are measured in seconds."""
CLEAN: Version = ("", "", 0.0)
ALL_FIVE = "all five"
SEVERITIES = (0.3, 0.95)
CLEAN_LIMIT = 97.7
"""Percentile of the clean songs' scores that counts as found."""
SHRINKAGE = 0.15
RIDGE = 0.05
FOLDS = 6
CLEAN_WEIGHT = 2.0
"""The weight of a clean song against a damaged version of one where a damage is estimated."""
NUISANCE = 0.05
"""Weight of the other pathologies' shifts in the covariance that a direction has to avoid."""
BandsHz = tuple[float, float]
RAISED: Mapping[str, tuple[BandsHz, BandsHz, BandsHz]] = {
    "mud": ((200, 500), (63, 8000), (160, 630)),
    "shimmer": ((8000, 10000), (100, 5000), (0, 0)),
}
"""The bands of the tone that a kind raises, those they are compared with, and what of these is left out."""
OUTPUT = Path(__file__).parents[1] / "checkpoints" / "finished_music" / "statistics.json"


@dataclass(frozen=True)
class Row:
    """The features of one excerpt; clean where `kind` is empty."""

    song: str
    kind: str
    mechanism: str
    severity: float
    tone_db: Float64Array
    features: Mapping[str, Mapping[str, float]]


def main() -> None:
    """Measure the corpus and write the statistics."""
    parser = argument_parser(__doc__, damaged=120)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    statistics = fit(measure(arguments, drawn_versions))
    arguments.output.write_text(json.dumps(statistics, indent=1) + "\n", encoding="utf-8")
    print(f"{statistics['songs']} songs, {arguments.damaged} of them damaged: {arguments.output}")


def drawn_versions(seed: int) -> tuple[Version, ...]:
    """Each mechanism that is not kept for validation, and all five kinds, at severities drawn."""
    random = np.random.default_rng(seed)
    kinds = [(kind, m.name) for kind in KINDS for m in MECHANISMS[kind] if not m.validation_only]
    return tuple((*kind, float(random.uniform(*SEVERITIES))) for kind in (*kinds, (ALL_FIVE, "")))


# --- measuring a corpus ----------------------------------------------------------------------------


def argument_parser(description: str | None, damaged: int) -> argparse.ArgumentParser:
    """The options of a script that measures songs, clean and damaged."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--count", type=int, help="songs, spread evenly over the list (default all)")
    parser.add_argument("--damaged", type=int, default=damaged, help="songs to damage (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="where measured songs are kept")
    return parser


def measure(arguments: argparse.Namespace, versions: Callable[[int], Sequence[Version]]) -> list[Row]:
    """Every song as it is, some of them also in the versions of their seed, with progress on stderr."""
    found = sorted(p for folder in arguments.folders for p in folder.rglob("*") if p.suffix in SUFFIXES)
    songs = _spread(found, arguments.count or len(found))
    chosen = set(_spread(songs, arguments.damaged))
    jobs = [(path, (CLEAN, *versions(_seed(path))) if path in chosen else (CLEAN,)) for path in songs]
    with ProcessPoolExecutor(arguments.workers) as pool:
        results = pool.map(partial(_measure_song, cache=arguments.cache), jobs)
        shown = track(results, "measuring songs", len(jobs), console=Console(stderr=True))
        return [row for rows in shown for row in rows]


def _spread(songs: Sequence[Path], count: int) -> list[Path]:
    count = min(count, len(songs))
    return [songs[(2 * k + 1) * len(songs) // (2 * count)] for k in range(count)]


def _measure_song(job: tuple[Path, Sequence[Version]], cache: Path | None) -> list[Row]:
    path, versions = job
    song = f"{path.parent.name}/{path.stem}"
    name = f"{zlib.crc32(str(path.resolve()).encode()):08x}_{zlib.crc32(repr(versions).encode()):08x}.pickle"
    if cache is not None and (cache / name).exists():
        measured = pickle.loads((cache / name).read_bytes())  # written by this script
    else:
        measured = dict(_fingerprints(path, versions))
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            part = cache / f"{name}.{os.getpid()}"
            part.write_bytes(pickle.dumps(measured))
            part.rename(cache / name)
    return [row(song, *version, measured[version]) for version in measured]


def _fingerprints(path: Path, versions: Sequence[Version]) -> Iterator[tuple[Version, Fingerprint]]:
    audio, seed = excerpt(path, EXCERPT_S), _seed(path)
    for version in versions:
        heard = _damaged(audio, version, seed)
        loudness = integrated_lufs(heard)
        if np.isfinite(loudness):
            yield version, fingerprint(heard, loudness)


def _seed(path: Path) -> int:
    return zlib.crc32(path.stem.encode()) % 10000


def _damaged(audio: Audio, version: Version, seed: int) -> Audio:
    kind, mechanism, severity = version
    if kind == ALL_FIVE:
        return damage_all(audio, severity, seed)
    return damage(audio, kind, severity, mechanism, seed) if kind else audio  # type: ignore[arg-type]


def excerpt(path: Path, duration_s: float) -> Audio:
    """The middle of a song."""
    info = soundfile.info(path)
    frames = int(duration_s * info.samplerate)
    start = max((info.frames - frames) // 2, 0)
    samples, rate = soundfile.read(path, start=start, frames=frames, dtype="float32", always_2d=True)
    return Audio(samples.T.copy(), rate)


def row(song: str, kind: str, mechanism: str, severity: float, measured: Fingerprint) -> Row:
    """All features of one fingerprint."""
    features = {name: read(measured) for name, read in FEATURES.items()}
    return Row(song, kind, mechanism, severity, third_octaves_db(measured), features)


# --- fitting ---------------------------------------------------------------------------------------


def fit(rows: list[Row]) -> dict[str, object]:
    """The statistics as the package reads them (`finished_music.from_json`)."""
    clean = [row for row in rows if not row.kind]
    tone = np.array([row.tone_db for row in clean])
    level = tone[:, TONE_HZ.index(100.0) : TONE_HZ.index(8000.0) + 1].mean(axis=1, keepdims=True)
    tone = np.maximum(tone - level, -60.0)
    return {
        "songs": len(clean),
        "tone_hz": list(TONE_HZ),
        "tone_mean_db": _rounded(tone.mean(axis=0)),
        "tone_covariance": [_rounded(line) for line in np.cov(tone.T)],
        "populations": {kind: _fit_kind(kind, rows) for kind in FEATURES},
    }


def _fit_kind(kind: str, rows: list[Row]) -> dict[str, object]:
    names = tuple(rows[0].features[kind])
    values = _matrix(kind, names, [row for row in rows if not row.kind])
    mean, spread = _robust(values)
    clean = _standard(values, mean, spread)
    moved = _shifts(kind, names, rows, mean, spread)
    covariance = np.cov(clean.T)
    others = np.concatenate([shift for (other, _), shift in moved.items() if other not in (kind, ALL_FIVE)])
    covariance += NUISANCE * others.T @ others / len(others)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance) + 1e-3)
    directions = {}
    for (other, mechanism), shift in moved.items():
        if other == kind:
            weights = np.linalg.solve(covariance, shift.mean(axis=0))
            directions[mechanism] = weights / np.percentile(clean @ weights, CLEAN_LIMIT)
    for number, shift in enumerate(_modelled(kind, names, spread)):
        weights = np.linalg.solve(covariance, shift)
        directions[f"modelled_{number}"] = weights / np.percentile(clean @ weights, CLEAN_LIMIT)
    # Several directions share one limit, so that together they pass the same share of clean songs.
    limit = np.percentile(np.max([clean @ w for w in directions.values()], axis=0), CLEAN_LIMIT)
    quantiles = np.percentile(values, (5, 50, 95), axis=0).T
    raised = _raised_db(kind, rows)
    estimator = (
        {"estimator": _estimator(kind, names, rows, raised, mean, spread)} if raised is not None else {}
    )
    return {
        "mean": _rounded(mean),
        "spread": _rounded(spread),
        "directions": {name: _rounded(w / limit) for name, w in directions.items()},
        "percentiles": {name: _rounded(q) for name, q in zip(names, quantiles, strict=True)},
        **estimator,
    }


def _modelled(kind: str, names: tuple[str, ...], spread: Float64Array) -> Float64Array:
    """Damage known by what it has to do to the features, one row each, in standard deviations.

    Bands thrown to opposite sides lean apart.
    """
    if kind != "panning":
        return np.zeros((0, len(names)))
    apart = np.array([name in ("lean_mean", "lean_most", "lean_steps") for name in names])
    return np.asarray(np.where(apart, 4.0 / spread, 0.0)[None])


def _raised_db(kind: str, rows: list[Row]) -> Float64Array | None:
    """By how much each row's figure lies over that of its clean song; None where a kind has none."""
    base = {row.song: row for row in rows if not row.kind}
    if kind == "panning":
        return np.array([_mean_width_db(row) - _mean_width_db(base[row.song]) for row in rows])
    if kind not in RAISED:
        return None
    (low, high), (from_hz, to_hz), (out_low, out_high) = RAISED[kind]
    hz = np.array(TONE_HZ)
    inside = (hz >= low) & (hz <= high)
    rest = (hz >= from_hz) & (hz <= to_hz) & ~((hz >= out_low) & (hz <= out_high))
    moved = np.array([np.clip(row.tone_db - base[row.song].tone_db, -25, 25) for row in rows])
    return np.asarray(moved[:, inside].mean(axis=1) - moved[:, rest].mean(axis=1))


def _mean_width_db(row: Row) -> float:
    features = row.features["panning"]
    return float(np.mean([max(features[f"width_{hz:.0f}"], -30.0) for hz in IMAGE_EDGES_HZ[1:-1]]))


def _estimator(
    kind: str,
    names: tuple[str, ...],
    rows: list[Row],
    raised: Float64Array,
    mean: Float64Array,
    spread: Float64Array,
) -> dict[str, object]:
    """Ridge regression over clean and damaged songs, and the threshold that serves unseen songs best."""
    standard = _standard(_matrix(kind, names, rows), mean, spread)
    weight = np.array([1.0 if row.kind else CLEAN_WEIGHT for row in rows])
    fold = np.array([zlib.crc32(row.song.encode()) % FOLDS for row in rows])
    predicted = np.zeros(len(rows))
    for k in range(FOLDS):
        weights, offset = _ridge(standard[fold != k], raised[fold != k], weight[fold != k])
        predicted[fold == k] = standard[fold == k] @ weights + offset
    meant = np.array([row.kind in ("", kind, ALL_FIVE) for row in rows])
    thresholds = np.arange(0.0, 4.0, 0.1)
    errors = [weight[meant] @ np.abs(raised - np.maximum(predicted - t, 0.0))[meant] for t in thresholds]
    weights, offset = _ridge(standard, raised, weight)
    return {
        "weights": _rounded(weights),
        "offset_db": float(f"{offset:.5g}"),
        "threshold_db": float(f"{thresholds[int(np.argmin(errors))]:.5g}"),
    }


def _ridge(values: Float64Array, raised: Float64Array, weight: Float64Array) -> tuple[Float64Array, float]:
    middle, level = np.average(values, axis=0, weights=weight), float(np.average(raised, weights=weight))
    centred = (values - middle) * weight[:, None]
    gram = centred.T @ (values - middle) + RIDGE * weight.sum() * np.eye(values.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (raised - level))
    return weights, level - float(middle @ weights)


def _shifts(
    kind: str, names: tuple[str, ...], rows: list[Row], mean: Float64Array, spread: Float64Array
) -> dict[tuple[str, str], Float64Array]:
    """Per damage, how it moved each song's standardised features, shape (songs × severities, features)."""
    base = {row.song: row for row in rows if not row.kind}
    damages = sorted({(row.kind, row.mechanism) for row in rows if row.kind})
    moved = {}
    for damaged in damages:
        after = [row for row in rows if (row.kind, row.mechanism) == damaged]
        before = [base[row.song] for row in after]
        moved[damaged] = _standard(_matrix(kind, names, after), mean, spread) - _standard(
            _matrix(kind, names, before), mean, spread
        )
    return moved


def _matrix(kind: str, names: tuple[str, ...], rows: list[Row]) -> Float64Array:
    return np.array([[row.features[kind][name] for name in names] for row in rows])


def _robust(values: Float64Array) -> tuple[Float64Array, Float64Array]:
    low, middle, high = np.percentile(values, (10, 50, 90), axis=0)
    return middle, np.maximum((high - low) / 2.563, 1e-3)


def _standard(values: Float64Array, mean: Float64Array, spread: Float64Array) -> Float64Array:
    return np.asarray(np.clip((values - mean) / spread, -STANDARD_LIMIT, STANDARD_LIMIT))


def _rounded(values: Float64Array) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


if __name__ == "__main__":
    main()
