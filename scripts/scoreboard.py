"""Every headline figure of the project on one page: what was measured, its floor, and the command.

    python scripts/scoreboard.py [--results runs/scoreboard] [--run]

Reads what the benchmarks wrote into RESULTS, prints a row for each figure, and exits with 1 where one of
them is short of its floor; what was not measured is said and passes. `--run` first runs those that need
nothing but this checkout and a few minutes. The others want songs: their commands stand under the table, to
be run from the project's folder. Whoever changes sound runs it again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmark_generated import table

ROOT = Path(__file__).resolve().parents[1]

EACH = "*"
"""In a path: every entry of a list or value of an object; the worst of them is the figure."""

Step = str | Mapping[str, Any]
Path_ = tuple[Step, ...]
"""Keys that lead to a figure in a benchmark's JSON; an object stands for the rows that have its values."""


@dataclass(frozen=True)
class Benchmark:
    """A script whose JSON has figures.

    Attributes:
        command: its arguments; RESULTS is the folder of results, other capitals are for the reader.
        file: what it writes there.
        cheap: it needs no songs and takes no more than some minutes.
    """

    command: str
    file: str
    cheap: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure with its floor.

    Attributes:
        name: what it is, with its unit.
        of: the benchmark that measures it.
        path: where it stands in the JSON.
        wanted: whether it has to be at least or at most the floor.
        floor: the number, or the path to one in the same JSON: of several, as peers, the best.
    """

    name: str
    of: str
    path: Path_
    wanted: Literal["≥", "≤"]
    floor: float | Path_


BENCHMARKS: Mapping[str, Benchmark] = {
    "generated": Benchmark(
        "scripts/benchmark_generated.py --generated DIR --list LIST --finished DIR "
        "--output RESULTS/generated.json",
        "generated.json",
    ),
    "kinds": Benchmark(
        "scripts/benchmark_kinds.py --no-halves --output RESULTS/kinds.json", "kinds.json", cheap=True
    ),
    "evaluate": Benchmark(
        "scripts/evaluate.py --corpus CORPUS --output RESULTS/evaluate", "evaluate/summary.json"
    ),
    "gates": Benchmark(
        "scripts/gates.py --split test --corpus CORPUS --output RESULTS/gates.json", "gates.json"
    ),
    "peers": Benchmark("scripts/benchmark_peers.py --songs DIR --output RESULTS/peers", "peers/summary.json"),
    "meters": Benchmark(
        "scripts/benchmark_meters.py --minutes 1 --rounds 3 --output RESULTS/meters.json",
        "meters.json",
        cheap=True,
    ),
    "chain": Benchmark("scripts/benchmark_chain.py --output RESULTS/chain.json", "chain.json", cheap=True),
    "environment": Benchmark(
        "scripts/benchmark_environment.py --cases CASES --output RESULTS/environment.json", "environment.json"
    ),
    "separation": Benchmark(
        "scripts/benchmark_separation.py quality --renders DIR --plain --output RESULTS/separation.json",
        "separation.json",
    ),
    "codecs": Benchmark(
        "scripts/benchmark_codecs.py examples/raw.flac --seconds 20 --output RESULTS/codecs.json",
        "codecs.json",
        cheap=True,
    ),
    "master": Benchmark(
        "scripts/benchmark_master.py --no-peers --output RESULTS/master.json", "master.json", cheap=True
    ),
    "speed": Benchmark(
        "scripts/benchmark_speed.py SONG --reference FINISHED --output RESULTS/speed.json", "speed.json"
    ),
}

_OURS = ("systems", "mixagent")
_PEERS: Mapping[str, Any] = {"corrects": True}


def _removed(kind: str) -> Path_:
    return (*_OURS, "generated", "excess", kind, "removed")


FIGURES: tuple[Figure, ...] = (
    Figure("generated songs: tone excess removed", "generated", _removed("tone"), "≥", 0.75),
    Figure("… width", "generated", _removed("width"), "≥", 0.70),
    Figure("… punch", "generated", _removed("punch"), "≥", 0.35),
    *(
        Figure(
            f"… {kind}, beside the best peer",
            "generated",
            _removed(kind),
            "≥",
            ("systems", _PEERS, "generated", "excess", kind, "removed"),
        )
        for kind in ("tone", "punch")
    ),
    Figure(
        "finished songs: tone moved, mean, dB",
        "generated",
        (*_OURS, "finished", "moved", "tone", "mean_db"),
        "≤",
        0.5,
    ),
    Figure(
        "… nine of ten, dB",
        "generated",
        (*_OURS, "finished", "moved", "tone", "nine_of_ten_db"),
        "≤",
        1.2,
    ),
    Figure(
        "… width moved, mean, dB", "generated", (*_OURS, "finished", "moved", "width", "mean_db"), "≤", 0.8
    ),
    Figure(
        "… tone moved, beside the best peer",
        "generated",
        (*_OURS, "finished", "moved", "tone", "mean_db"),
        "≤",
        ("systems", _PEERS, "finished", "moved", "tone", "mean_db"),
    ),
    Figure("loudness error, most, LU", "generated", (*_OURS, "levels", "error_most_lu"), "≤", 0.1),
    Figure("true peak, dBTP", "generated", (*_OURS, "levels", "dbtp"), "≤", -1.0),
    Figure("… at 8×", "generated", (*_OURS, "levels", "dbtp_8x"), "≤", -1.0),
    Figure("finished songs with a finding", "generated", ("found", "finished", "songs"), "≤", 0.1),
    *(
        Figure(
            f"generated against finished songs, {codec}: area, lower bound, beside plain excess",
            "generated",
            ("area_under_curve", codec, "any, none about bandwidth", "low"),
            "≥",
            ("area_under_curve", codec, "plain excess", EACH, "area"),
        )
        for codec in ("as they are", "mp3 128 kb/s", "Opus 96 kb/s")
    ),
    Figure("a master mastered again: tone moved, most, dB", "kinds", (EACH, "again_db"), "≤", 0.3),
    Figure("noise and a tone: tone moved, most, dB", "kinds", ({"steady": True}, "tone_db"), "≤", 1.0),
    Figure("odd input: programs that broke", "kinds", (EACH, "broke"), "≤", 0),
    Figure(
        "known damage, all five: undone",
        "evaluate",
        ("systems", {"name": "policy"}, "recovery", "all five", "total", "value"),
        "≥",
        0.35,
    ),
    Figure(
        "… by mechanisms kept apart",
        "evaluate",
        ("systems", {"name": "policy"}, "mechanisms", "kept apart", "value"),
        "≥",
        0.2,
    ),
    Figure(
        "… a damage alone, beside the neutral chain, least",
        "evaluate",
        ("systems", {"name": "policy"}, "beside_neutral", EACH, "value"),
        "≥",
        0.0,
    ),
    Figure("reward: ruin that lowers it", "gates", ("fallen_share",), "≥", 0.98),
    Figure("… Spearman's ρ with true recovery, median", "gates", ("median_rho",), "≥", 0.7),
    Figure("peers' songs at −14: loudness error, most, LU", "peers", ("mixagent", "error_most_lu"), "≤", 0.1),
    Figure("… true peak at 8×, dBTP", "peers", ("mixagent", "dbtp_8x"), "≤", -1.0),
    Figure("… all five undone", "peers", ("mixagent", "undone", "all five"), "≥", 0.35),
    Figure("adversarial signals: over the ceiling, dB", "peers", ("mixagent", "over_db"), "≤", 0.0),
    Figure("meter against libebur128: loudness, LU", "meters", ("ours", "integrated_lu"), "≤", 0.02),
    Figure("… true peak, dB", "meters", ("ours", "true_peak_db"), "≤", 0.1),
    Figure("master chain: times real time", "chain", ("the whole master chain",), "≥", 20.0),
    Figure("limiter: times real time", "chain", ("true-peak limiter",), "≥", 60.0),
    Figure("environment: steps a second, two processes", "environment", ("2",), "≥", 20.0),
    *(
        Figure(f"separation: {stem}, SDR, dB", "separation", ("renders", stem, "embedded", "whole"), "≥", aim)
        for stem, aim in (("drums", 8.0), ("bass", 8.0), ("other", 6.0))
    ),
    Figure("ceiling held through codecs: over, worst, dB", "codecs", (EACH, "held_db"), "≤", 0.0),
    Figure("a master's time, share of the song", "master", (EACH, "time_share"), "≤", 0.375),
    Figure("… loudness error, most, LU", "master", (EACH, "error_lu"), "≤", 0.1),
    Figure("… memory, GB", "master", (EACH, "gb"), "≤", 3.0),
    Figure("… another target after the first: times as fast", "master", (EACH, "again_faster"), "≥", 5.0),
    *(
        Figure(name, "speed", ("ratios", ratio), "≤", floor)
        for name, ratio, floor in (
            ("CPU time of a first master, beside matchering's", "cold_to_matchering", 1.25),
            ("… beside libsonare's", "cold_to_libsonare", 1.0),
            ("… memory, beside matchering's", "memory_to_matchering", 0.33),
            ("… with four stems, beside a separation alone", "stems_to_separation", 1.33),
            ("… of a second target beyond its finaliser, s", "second_beyond_finaliser_s", 1.0),
        )
    ),
)
"""Every headline figure, in the order of the page."""


# --- reading ---------------------------------------------------------------------------------------


def values_at(data: Any, path: Sequence[Step]) -> list[float]:
    """All numbers that a path leads to; those that were not measured (null) are left out.

    Raises:
        KeyError: a key that is not there.
    """
    if not path:
        return [] if data is None else [float(data)]
    step, rest = path[0], path[1:]
    if isinstance(step, str) and step != EACH:
        return values_at(data[step], rest)
    entries = list(data.values()) if isinstance(data, dict) else data
    if isinstance(step, Mapping):
        entries = [entry for entry in entries if all(entry.get(k) == v for k, v in step.items())]
    return [value for entry in entries for value in values_at(entry, rest)]


@dataclass(frozen=True)
class Score:
    """A figure as it stands; None where it was not measured."""

    figure: Figure
    measured: float | None
    floor: float | None

    @property
    def short_by(self) -> float:
        """The distance from its floor; 0 where that is met or nothing was measured."""
        if self.measured is None or self.floor is None:
            return 0.0
        apart = self.measured - self.floor
        return max(-apart if self.figure.wanted == "≥" else apart, 0.0)


def score(figure: Figure, data: Any) -> Score:
    """A figure in the JSON of its benchmark, the worst where it has several; None for no JSON."""
    if data is None:
        return Score(figure, None, figure.floor if isinstance(figure.floor, (int, float)) else None)
    at_least = figure.wanted == "≥"
    found = values_at(data, figure.path)
    measured = (min if at_least else max)(found) if found else None
    if isinstance(figure.floor, (int, float)):
        return Score(figure, measured, float(figure.floor))
    beside = values_at(data, figure.floor)
    return Score(figure, measured, (max if at_least else min)(beside) if beside else None)


def scores(results: Path) -> Iterator[Score]:
    """Every figure.

    Raises:
        SystemExit: a file that has not what its benchmark writes.
    """
    for figure in FIGURES:
        file = results / BENCHMARKS[figure.of].file
        data = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        try:
            yield score(figure, data)
        except (KeyError, TypeError) as error:
            raise SystemExit(f"{file} lacks {error}: run {BENCHMARKS[figure.of].command} again") from error


# --- the page --------------------------------------------------------------------------------------


def cells(one: Score) -> list[str]:
    """A row of the page."""
    floor = "–" if one.floor is None else f"{one.figure.wanted} {_number(one.floor)}"
    if one.measured is None:
        return [one.figure.name, "–", floor, "not measured", one.figure.of]
    if one.floor is None:
        return [one.figure.name, _number(one.measured), floor, "nothing to compare with", one.figure.of]
    stands = f"**short by {_number(one.short_by)}**" if one.short_by else "met"
    return [one.figure.name, _number(one.measured), floor, stands, one.figure.of]


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def run_cheap(results: Path) -> None:
    """Run the benchmarks that need nothing but this checkout."""
    results.mkdir(parents=True, exist_ok=True)
    for benchmark in BENCHMARKS.values():
        if benchmark.cheap:
            arguments = shlex.split(benchmark.command.replace("RESULTS", str(results.absolute())))
            print("# " + " ".join(arguments), file=sys.stderr, flush=True)
            subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("runs/scoreboard"))
    parser.add_argument("--run", action="store_true", help="first run what is cheap")
    options = parser.parse_args()
    if options.run:
        run_cheap(options.results)
    found = list(scores(options.results))
    print(table(["figure", "measured", "floor", "stands", "benchmark"], [cells(one) for one in found]))
    print()
    for name, benchmark in BENCHMARKS.items():
        print(f"- {name}: `python {benchmark.command}`")
    raise SystemExit(any(one.short_by for one in found))


if __name__ == "__main__":
    main()
