"""Fit how the stems of finished music stand to each other (`mixagent.pipeline.finished.stems`).

    python scripts/train_mixing.py material --corpus CORPUS --to STORE
    python scripts/fit_stem_band.py STORE [--to checkpoints/finished_stems]

STORE holds 10 s excerpts of the training songs, one of each in a pass, taken apart by the embedded separator
as they are and in disorder. The excerpts as they are make the statistics; on the validation songs, which it
never reads for that, is printed how much of a measure's spread is foretold by what no fader changes, and how
often a disorder brings the stems further outside than they were.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mixagent.pipeline.finished.stems import (
    ROLES,
    STEM_GROUPS,
    STEM_MEASURES,
    StemBand,
    finished_stem_band,
    measure_stems,
    stems_sounding,
)
from mixagent.pipeline.types import Float64Array
from mixagent.policies.mixing.material import Pass, load_passes

RIDGE = 100.0
FOLDS = 5
INNER, OUTER = 50.0, 90.0
"""Percentiles of finished songs held out from the fit that the two edges are."""


def fit(songs: Sequence[str], measured: Float64Array) -> StemBand:
    """The band of these excerpts, (excerpts, roles, measures); edges and spread by folds of whole songs."""
    plain = _plain(len(set(songs)), measured)
    fold = np.unique(songs, return_inverse=True)[1] % FOLDS
    there = stems_sounding(measured)
    away = np.zeros_like(measured)
    for k in range(FOLDS):
        held_out = fold == k
        weights = _weights(plain, measured[~held_out])
        expected = StemBand(**{**vars(plain), "weights": weights}).expected(measured, there)
        away[held_out] = (measured - expected)[held_out]
    left = np.sqrt(np.nanmean(_where(np.square(away), there), axis=0))
    rms = [np.sqrt(np.square(away / left)[..., part].mean(axis=-1)) for part in STEM_GROUPS.values()]
    inner, outer = np.nanpercentile(_where(np.stack(rms, axis=-1), there), (INNER, OUTER), axis=0)
    weights = _weights(plain, measured)
    return StemBand(plain.songs, plain.mean, plain.spread, weights, left, inner, outer)


def _plain(songs: int, measured: Float64Array) -> StemBand:
    """One band for all songs, whatever their stems are like."""
    known = _where(measured, stems_sounding(measured))
    mean, spread = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    inputs = len(ROLES) * len(STEM_MEASURES)
    nothing, edges = np.zeros((*mean.shape, inputs)), np.ones((len(ROLES), len(STEM_GROUPS)))
    return StemBand(songs, mean, spread, nothing, spread, 0.0 * edges, edges)


def _weights(plain: StemBand, measured: Float64Array) -> Float64Array:
    """Ridge regression of each group of each stem on all characters but its own."""
    there = stems_sounding(measured)
    inputs = plain.characters(measured, there)
    weights = np.zeros_like(plain.weights)
    for role in range(len(ROLES)):
        rows = there[:, role]
        for part in STEM_GROUPS.values():
            used = _used(inputs.shape[1], role, part)
            known, aimed = inputs[rows][:, used], (measured - plain.mean)[rows, role, part]
            squares = known.T @ known + RIDGE * np.eye(known.shape[1])
            weights[role][np.ix_(range(part.start, part.stop), used)] = np.linalg.solve(
                squares, known.T @ aimed
            ).T
    return weights


def _used(inputs: int, role: int, part: slice) -> np.ndarray:
    """The places of the inputs that are not of this group of this stem."""
    own = role * (len(STEM_MEASURES) - 1) - 1
    hidden = [own + k for k in range(part.start, part.stop) if k > 0]
    return np.setdiff1d(np.arange(inputs), hidden)


def _where(values: Float64Array, there: np.ndarray) -> Float64Array:
    return np.where(there[..., None], values, np.nan)


# --- the tables ------------------------------------------------------------------------------------


def print_spreads(band: StemBand, plain: StemBand, measured: Float64Array) -> None:
    """Print what is left of the spread by stem and group, foretold and not."""
    there = stems_sounding(measured)
    rows = [_where(np.square(measured - one.expected(measured, there)), there) for one in (plain, band)]
    print(
        "| dB left, plain → foretold | " + " | ".join(STEM_GROUPS) + " |\n|---|" + "--:|" * len(STEM_GROUPS)
    )
    for role, name in enumerate(ROLES):
        cells = [
            " → ".join(f"{np.sqrt(np.nanmean(row[:, role, part])):.1f}" for row in rows)
            for part in STEM_GROUPS.values()
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


def print_rises(band: StemBand, plain: StemBand, passes: Sequence[Pass]) -> None:
    """Print how often a disorder lies further outside than the song as it is, by kind."""
    print("\n| disorder | excerpts | further outside, plain | foretold | mean rise |\n|---|--:|--:|--:|--:|")
    pairs = list(_pairs(passes))
    for kind in dict.fromkeys("+".join(kinds) for kinds, *_ in pairs):
        chosen = [row for row in pairs if "+".join(row[0]) == kind]
        rises = [_rises(one, chosen) for one in (plain, band)]
        shares = " | ".join(f"{np.mean(rise > 0):.0%}" for rise in rises)
        print(f"| {kind} | {len(chosen)} | {shares} | {np.mean(rises[1]):+.2f} |")
    rises = [_rises(one, pairs) for one in (plain, band)]
    shares = " | ".join(f"{np.mean(rise > 0):.0%}" for rise in rises)
    print(f"| any | {len(pairs)} | {shares} | {np.mean(rises[1]):+.2f} |")


def _pairs(passes: Sequence[Pass]) -> Iterator[tuple[tuple[str, ...], Float64Array, Float64Array]]:
    """Kinds, and measures of the excerpt as it is and in disorder."""
    for one in passes:
        measured = measure_stems(one.shown)
        for song, kinds in zip(measured, one.kinds, strict=True):
            yield from ((kind, song[0], version) for kind, version in zip(kinds, song[1:], strict=True))


def _rises(
    band: StemBand, rows: Sequence[tuple[tuple[str, ...], Float64Array, Float64Array]]
) -> Float64Array:
    before, after = (np.stack([row[k] for row in rows]) for k in (1, 2))
    there = stems_sounding(before)
    outside = [(band.outside(one, there).sum(axis=-1) / there.sum(axis=-1)) for one in (before, after)]
    return outside[1] - outside[0]


def main() -> None:
    """Fit, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("--to", type=Path, default=Path("checkpoints/finished_stems"))
    parser.add_argument(
        "--report", action="store_true", help="print the tables of what ships, and fit nothing"
    )
    options = parser.parse_args()
    training, validation = (load_passes(options.store, split) for split in ("train", "validation"))
    songs = [name for one in training for name in one.songs]
    measured = np.concatenate([measure_stems(one.shown[:, 0]) for one in training])
    plain = _with_edges(_plain(len(set(songs)), measured), measured)
    band = finished_stem_band() if options.report else fit(songs, measured)
    print(f"{band.songs} songs, {len(songs)} excerpts; validation: {sum(len(v.songs) for v in validation)}\n")
    print_spreads(band, plain, np.concatenate([measure_stems(one.shown[:, 0]) for one in validation]))
    print_rises(band, plain, validation)
    if not options.report:
        options.to.mkdir(parents=True, exist_ok=True)
        path = options.to / "statistics.json"
        path.write_text(json.dumps(band.to_json()) + "\n", encoding="utf-8")


def _with_edges(plain: StemBand, measured: Float64Array) -> StemBand:
    there = stems_sounding(measured)
    found = _where(plain.deviations(measured, there), there)
    inner, outer = np.nanpercentile(found, (INNER, OUTER), axis=0)
    return StemBand(**{**vars(plain), "inner": inner, "outer": outer})


if __name__ == "__main__":
    main()
