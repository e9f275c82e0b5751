"""Measures how well the diagnosis tells damage from finished music, on songs it was not fitted on.

    python scripts/benchmark_diagnosis.py CORPUS/evaluation [MORE...]

Prints the share of clean songs (their middle 11.5 s) in which each pathology is not found; and for each
mechanism the median over songs of Spearman's ρ between strength and score, the share found at each
strength, and the share of the strongest damage that is found as another pathology instead.
`--cache` keeps what was measured (see `fit_finished_music.py`).
"""

from __future__ import annotations

import numpy as np
from fit_finished_music import Row, Version, argument_parser, measure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mixagent.envs.pathologies import KINDS, MECHANISMS, Kind, validation_mechanism
from mixagent.pipeline.diagnosis.statistics import finished_music

STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Measure the songs and print the two tables."""
    arguments = argument_parser(__doc__, damaged=12).parse_args()
    mechanisms = [(kind, mechanism.name) for kind in KINDS for mechanism in MECHANISMS[kind]]
    versions: list[Version] = [(*mechanism, strength) for mechanism in mechanisms for strength in STRENGTHS]
    rows = measure(arguments, lambda seed: versions)
    clean = [row for row in rows if not row.kind]
    print(f"{len(clean)} clean songs: share in which it is not found")
    for kind in KINDS:
        print(f"  {kind:10s}{np.mean([_score(kind, row) < 1 for row in clean]):6.3f}")
    print(f"{arguments.damaged} damaged songs: median ρ, share found at {STRENGTHS}, others found at 1.0")
    for kind, name in mechanisms:
        _print_mechanism(kind, name, [row for row in rows if (row.kind, row.mechanism) == (kind, name)])


def _score(kind: Kind, row: Row) -> float:
    """1 is where the diagnosis says FOUND."""
    return finished_music().populations[kind].score(row.features[kind])


def _print_mechanism(kind: Kind, name: str, rows: list[Row]) -> None:
    songs = sorted({row.song for row in rows})
    scores = {(row.song, row.severity): max(_score(kind, row), 0.0) for row in rows}
    table = np.array([[scores.get((song, strength), 0.0) for strength in STRENGTHS] for song in songs])
    found = "".join(f"{share:6.2f}" for share in np.mean(table >= 1, axis=0))
    strongest = [row for row in rows if row.severity == STRENGTHS[-1]]
    others = np.mean([_score(other, row) >= 1 for row in strongest for other in KINDS if other != kind])
    kept = " (kept for validation)" if name == validation_mechanism(kind) else ""
    print(f"  {kind:10s}{name:12s}{np.median(_correlations(table)):6.2f} {found}  {others:5.2f}{kept}")


def _correlations(table: NDArray[np.float64]) -> list[float]:
    return [float(spearmanr(STRENGTHS, row).statistic) if np.ptp(row) else 0.0 for row in table]


if __name__ == "__main__":
    main()
