"""How well the diagnosis tells damage from finished music, on songs it was not fitted on.

    python scripts/benchmark_diagnosis.py FOLDER... [--damaged-every 8] [--workers 2]

Prints the share of clean songs (their middle minute) under FOUND for each pathology, and for each
mechanism the median over songs of Spearman's ρ between strength and severity, and the share found
at each strength.
"""

from __future__ import annotations

import argparse
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from fit_finished_music import SUFFIXES, excerpt
from scipy.stats import spearmanr

from mixagent.envs.pathologies import KINDS, MECHANISMS, Kind, damage, validation_mechanism
from mixagent.pipeline.analysis import analyse
from mixagent.pipeline.audio import Audio
from mixagent.pipeline.diagnosis import FOUND, diagnose

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
Severities = dict[tuple[Kind, str], list[float]]


def main() -> None:
    """Measure the songs and print the two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--damaged-every", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    songs = sorted(p for folder in arguments.folders for p in folder.rglob("*") if p.suffix in SUFFIXES)
    with ProcessPoolExecutor(arguments.workers) as pool:
        clean = list(pool.map(_clean, songs))
        damaged = list(pool.map(_damaged, songs[:: arguments.damaged_every]))
    print(f"{len(clean)} clean songs: share under {FOUND}")
    for kind in KINDS:
        print(f"  {kind:10s}{np.mean([row[kind] < FOUND for row in clean]):6.3f}")
    print(f"{len(damaged)} damaged songs: median ρ, share found at {STRENGTHS}")
    for kind, name in damaged[0]:
        _print_mechanism(kind, name, np.array([row[kind, name] for row in damaged]))


def _print_mechanism(kind: Kind, name: str, severities: np.ndarray) -> None:
    ordered = [spearmanr(STRENGTHS, row).statistic if np.ptp(row) else 0.0 for row in severities]
    found = "".join(f"{share:6.2f}" for share in np.mean(severities >= FOUND, axis=0))
    kept = " (kept for validation)" if name == validation_mechanism(kind) else ""
    print(f"  {kind:10s}{name:12s}{np.median(ordered):6.2f} {found}{kept}")


def _clean(path: Path) -> dict[str, float]:
    return _severities(excerpt(path, 60.0))


def _damaged(path: Path) -> Severities:
    audio, seed = excerpt(path, 30.0), zlib.crc32(path.stem.encode()) % 10000
    return {
        (kind, m.name): [_severities(damage(audio, kind, s, m.name, seed))[kind] for s in STRENGTHS]
        for kind in KINDS
        for m in MECHANISMS[kind]
    }


def _severities(audio: Audio) -> dict[str, float]:
    diagnosis = diagnose(audio, analyse(audio))
    return {kind: diagnosis.severity(kind) for kind in KINDS}


if __name__ == "__main__":
    main()
