"""Fit what finished music measures: checkpoints/finished_music/statistics.json.

    python scripts/fit_finished_music.py CORPUS/train [--damaged-every 4]

From each song the middle minute is measured; from every fourth song half a minute is also damaged by
each mechanism that is not kept for validation. Nothing is drawn at random beyond the seed that each
song's name gives, so the same corpus gives the same file.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from mixagent.envs.pathologies import KINDS, MECHANISMS, damage
from mixagent.pipeline.audio import Audio
from mixagent.pipeline.fingerprint import Fingerprint, fingerprint
from mixagent.pipeline.finished_music import FEATURES, STANDARD_LIMIT, TONE_HZ, third_octaves_db
from mixagent.pipeline.meters import integrated_lufs

Float64Array = NDArray[np.float64]

SUFFIXES = (".ogg", ".opus", ".flac", ".mp3", ".wav")
SEVERITIES = (0.4, 0.8)
CLEAN_LIMIT = 97.0
"""Percentile of the clean songs' scores that counts as found."""
SHRINKAGE = 0.15
NUISANCE = 0.05
"""Weight of the other pathologies' shifts in the covariance that a direction has to avoid."""
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--damaged-every", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    songs = sorted(p for p in arguments.corpus.rglob("*") if p.suffix in SUFFIXES)
    chosen = songs[arguments.damaged_every - 1 :: arguments.damaged_every]
    with ProcessPoolExecutor(arguments.workers) as pool:
        rows = [row for rows in pool.map(_clean, songs) for row in rows]
        rows += [row for rows in pool.map(_damaged, chosen) for row in rows]
    OUTPUT.write_text(json.dumps(fit(rows), indent=1) + "\n", encoding="utf-8")


def _clean(path: Path) -> list[Row]:
    return list(_rows(path.stem, [("", "", 0.0, excerpt(path, 60.0))]))


def _damaged(path: Path) -> list[Row]:
    return list(_rows(path.stem, _versions(excerpt(path, 30.0), zlib.crc32(path.stem.encode()) % 10000)))


def excerpt(path: Path, duration_s: float) -> Audio:
    """The middle of a song."""
    info = soundfile.info(path)
    frames = int(duration_s * info.samplerate)
    start = max((info.frames - frames) // 2, 0)
    samples, rate = soundfile.read(path, start=start, frames=frames, dtype="float32", always_2d=True)
    return Audio(samples.T.copy(), rate)


def _versions(audio: Audio, seed: int) -> Iterator[tuple[str, str, float, Audio]]:
    yield "base", "", 0.0, audio
    for kind in KINDS:
        for mechanism in MECHANISMS[kind]:
            for severity in () if mechanism.validation_only else SEVERITIES:
                yield kind, mechanism.name, severity, damage(audio, kind, severity, mechanism.name, seed)


def _rows(song: str, versions: Iterable[tuple[str, str, float, Audio]]) -> Iterator[Row]:
    for kind, mechanism, severity, audio in versions:
        loudness = integrated_lufs(audio)
        if np.isfinite(loudness):
            yield row(song, kind, mechanism, severity, fingerprint(audio, loudness))


def row(song: str, kind: str, mechanism: str, severity: float, measured: Fingerprint) -> Row:
    """All features of one fingerprint."""
    features = {name: read(measured) for name, read in FEATURES.items()}
    return Row(song, kind, mechanism, severity, third_octaves_db(measured), features)


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
    others = np.concatenate([shift for (other, _), shift in moved.items() if other != kind])
    covariance += NUISANCE * others.T @ others / len(others)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance))
    directions = {}
    for (other, mechanism), shift in moved.items():
        if other == kind:
            weights = np.linalg.solve(covariance, shift.mean(axis=0))
            directions[mechanism] = weights / np.percentile(clean @ weights, CLEAN_LIMIT)
    # Several directions share one limit, so that together they pass the same share of clean songs.
    limit = np.percentile(np.max([clean @ w for w in directions.values()], axis=0), CLEAN_LIMIT)
    quantiles = np.percentile(values, (5, 50, 95), axis=0).T
    return {
        "mean": _rounded(mean),
        "spread": _rounded(spread),
        "directions": {name: _rounded(w / limit) for name, w in directions.items()},
        "percentiles": {name: _rounded(q) for name, q in zip(names, quantiles, strict=True)},
    }


def _shifts(
    kind: str, names: tuple[str, ...], rows: list[Row], mean: Float64Array, spread: Float64Array
) -> dict[tuple[str, str], Float64Array]:
    """Per damage, how it moved each song's standardised features, shape (songs × severities, features)."""
    base = {row.song: row for row in rows if row.kind == "base"}
    damages = sorted({(row.kind, row.mechanism) for row in rows if row.kind not in ("", "base")})
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
