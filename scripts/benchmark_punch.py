"""Measures the tools for dynamics: change of range, peaks over loudness and crest for one unit.

    python scripts/benchmark_punch.py SONG … [--seconds 40] [--output runs/punch.json]

Each tool is rendered by itself, without the finaliser, at each of `VALUES`, over the middle
of each song; `ride_db` over all of it, since sections are longer than that. What is printed is the median
over the songs of the change divided by the value's distance to neutral (a ratio's to 1): loudness range
in LU, true peak over loudness in dB, and peak over power in windows of 50 ms, 400 ms and 3 s in dB (the
median of the loud half, `finished_music.peaks`). The last column has the share of songs that a tool moved
at all: `ride_db` does nothing to songs with one section or a wide range.

The crossover's bands sum flat, but its phase alone raises the peaks of limited songs. So a tool of a band
is held against the song behind the crossover with next to nothing done, which has a row of its own, in dB.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mixagent.pipeline.chain.edits import Span, section
from mixagent.pipeline.chain.parameters import BAND_PLACES, ParameterSpace
from mixagent.pipeline.diagnosis.statistics import peaks
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.measure.meters import measure
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import AudioSource, Stems, load

RIDE = "master.ride_db"
SPLIT = {"high_band.width": 1.0 + 1e-6}
SPLIT_NAME = "the crossover alone"
BANDS = "all bands"
VALUES: Mapping[str, tuple[float, ...]] = {
    RIDE: (1.0, 2.0, 3.0),
    "master.expand_ratio": (1.25, 1.5, 2.0),
    "master.transient_attack_db": (-3.0, 3.0, 6.0),
    "master.transient_sustain_db": (-6.0, -3.0, 3.0),
    **{f"{place}.expand_ratio": (1.5, 2.0) for place in (*BAND_PLACES, BANDS)},
    **{f"{place}.transient_attack_db": (4.0,) for place in (*BAND_PLACES, BANDS)},
    **{f"{place}.transient_sustain_db": (-4.0,) for place in (*BAND_PLACES, BANDS)},
}
FIGURES = ("range_lu", "plr_db", "crest_50ms", "crest_400ms", "crest_3s")
SPACE = ParameterSpace.for_stems(())

Figures = dict[str, float]
Row = dict[str, str | float | Figures]


def main() -> None:
    """Measure the songs and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=40.0, help="of the middle of each song")
    parser.add_argument("--output", type=Path, help="where the rows go as JSON")
    arguments = parser.parse_args()
    rows = list[Row]()
    for path in arguments.songs:
        with tempfile.TemporaryDirectory() as scratch:
            song = decode(path, Path(scratch) / "song.f32").audio
            rows += rows_of(path.name, song, arguments.seconds)
        print(f"{path.name} measured", flush=True)
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(rows)))


def rows_of(name: str, song: AudioSource, seconds: float) -> Iterator[Row]:
    """A row for each value of each tool: the figures before, and what they were changed by."""
    frames = min(round(seconds * song.rate), song.frames)
    start_s = (song.frames - frames) / 2 / song.rate
    middle = load(section(song, Span(start_s, start_s + frames / song.rate)))

    def row(parameter: str, value: float, was: Figures, now: Figures) -> Row:
        changes = {figure: now[figure] - was[figure] for figure in FIGURES}
        return {"song": name, "parameter": parameter, "value": value, "before": was, "change": changes}

    whole, plain, split = figures(song), figures(middle), figures(rendered(middle, SPLIT))
    yield row(SPLIT_NAME, 1.0, plain, split)
    for parameter, values in VALUES.items():
        source, was = (song, whole) if parameter == RIDE else (middle, plain)
        if not parameter.startswith("master."):
            was = split
        for value in values:
            yield row(parameter, value, was, figures(rendered(source, settings_of(parameter, value))))


def rendered(source: AudioSource, values: Mapping[str, float]) -> AudioSource:
    """The source behind the master chain at these values."""
    return premaster(Stems(source, {}), SPACE.settings(values))


def settings_of(parameter: str, value: float) -> dict[str, float]:
    """The value of one parameter, or of all bands."""
    place, what = parameter.split(".")
    return {f"{one}.{what}": value for one in (BAND_PLACES if place == BANDS else (place,))}


def figures(source: AudioSource) -> Figures:
    """The figures of `FIGURES` of one source."""
    loudness = measure(source)
    crests = peaks(fingerprint(source, loudness.integrated_lufs))
    return {
        "range_lu": loudness.range_lu,
        "plr_db": loudness.true_peak_dbtp - loudness.integrated_lufs,
        **{name: crests[name] for name in FIGURES if name.startswith("crest")},
    }


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Median change a unit, and the share of songs in which anything changed by 0.05 dB."""
    yield "| parameter | value | " + " | ".join(FIGURES) + " | moved |"
    yield "|---|--:|" + "--:|" * (len(FIGURES) + 1)
    for parameter, value in dict.fromkeys((str(row["parameter"]), row["value"]) for row in rows):
        moved = np.array([changes(r) for r in rows if (r["parameter"], r["value"]) == (parameter, value)])
        slopes = np.median(moved, axis=0) / distance(parameter, float(str(value)))
        share = float(np.mean(np.abs(moved).max(axis=1) > 0.05))
        cells = " | ".join(f"{slope:+.2f}" for slope in slopes)
        yield f"| {parameter} | {value:g} | {cells} | {share:.0%} |"


def changes(row: Row) -> list[float]:
    """The changes of a row in the order of `FIGURES`."""
    change = row["change"]
    assert isinstance(change, dict)
    return [change[figure] for figure in FIGURES]


def distance(parameter: str, value: float) -> float:
    """The distance of a value from neutral; 1 for the crossover, whose row is in dB."""
    if parameter == SPLIT_NAME:
        return 1.0
    return value - SPACE[next(iter(settings_of(parameter, value)))].neutral


if __name__ == "__main__":
    main()
