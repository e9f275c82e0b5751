"""CPU time and memory of a master beside the peers and beside a separation, on one song in one run.

    python scripts/benchmark_speed.py SONG --reference FINISHED [--repeats 3] [--output speed.json]
        [--peers-python VENV/bin/python] [--stems-seconds 60] [--no-peers] [--no-stems]

Rows: `cold` is a first master with an empty cache, `warm` the same again, `second target` another target
after it; `four stems` a first master that takes the song apart, and `separation alone` is `mixagent split`
of the same part of the song. Each is a process of its own, and its CPU seconds (user and system, of all
its threads and children) and peak memory are the system's. Wall time says more of what else a machine
does than of a program. All rows take turns, and of each the median over the repeats is given. Compiled
kernels are there before, as after a program's first song.

The split by stage is that of one more run whose stages run one at a time; `finalise` of the second target
is what a second target cannot do without. Peers need the extra `[peers]`, in this interpreter or in
another one's environment.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soundfile

ROOT = Path(__file__).resolve().parents[1]
SECOND_TARGET = "apple-music"
PEERS = ("matchering", "libsonare")


@dataclass(frozen=True)
class Cost:
    """The cost of a process: CPU seconds of user and system, and its peak memory."""

    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Work:
    """A row: a command, what its cost is measured of, and the files that it begins with.

    Attributes:
        command: of a process.
        cache: the folder of mixagent's cache; None for a peer.
        fresh: whether the cache is emptied first.
    """

    command: Sequence[str]
    cache: Path | None = None
    fresh: bool = False


def main() -> None:
    """Print the costs, their ratios and the split by stage."""
    if sys.argv[1:2] == ["stages"]:
        print(json.dumps(stages_cpu_s(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--reference", type=Path, help="a finished song, for matchering")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--stems-seconds", type=float, default=60.0)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-stems", action="store_true")
    parser.add_argument("--output", "--json", type=Path, help="JSON of all figures")
    given = parser.parse_args()
    if not given.no_peers and given.reference is None:
        parser.error("the peers need a --reference")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = rows(given, folder)
        for work in (works["cold"], *([] if given.no_stems else [works["four stems"]])):
            run(work)  # Kernels are compiled, files are read once.
        costs = measured(works, given.repeats)
        stages = split_by_stage(given.song.resolve(), folder)
    figures = summary(costs, stages)
    print(told(figures))
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def rows(given: argparse.Namespace, folder: Path) -> dict[str, Work]:
    """Every row by name, in the order in which they take turns."""
    song, output = given.song.resolve(), str(folder / "master.wav")
    master = [sys.executable, "-m", "mixagent", "master", str(song), "-o", output, "--quiet"]
    cache = folder / "cache"
    found = {
        "cold": Work(master, cache, fresh=True),
        "warm": Work(master, cache),
        "second target": Work([*master, "--target", SECOND_TARGET], cache),
    }
    if not given.no_peers:
        for peer in PEERS:
            code = (
                "import pathlib, sys; from peers import PEERS; "
                f"PEERS[{peer!r}](*map(pathlib.Path, sys.argv[1:]))"
            )
            files = [str(song), output, str(given.reference.resolve())]
            found[peer] = Work([str(given.peers_python), "-c", code, *files])
    if not given.no_stems:
        part = beginning(song, folder / "part.wav", given.stems_seconds)
        stems = ["-m", "mixagent", "master", str(part), "-o", output, "--quiet", "--separator", "embedded"]
        # With the data, which are emptied: a song that was split is left as it is.
        split = ["-m", "mixagent", "split", str(part), "-o", str(folder / "split cache data" / "stems")]
        split += ["--quiet", "--separator", "embedded"]
        found["four stems"] = Work([sys.executable, *stems], folder / "stems cache", fresh=True)
        found["separation alone"] = Work([sys.executable, *split], folder / "split cache", fresh=True)
    return found


def beginning(song: Path, to: Path, seconds: float) -> Path:
    """The first seconds of a song as a file."""
    with soundfile.SoundFile(song) as file:
        samples = file.read(round(seconds * file.samplerate), dtype="float32", always_2d=True)
        soundfile.write(to, samples, file.samplerate, "PCM_24")
    return to


def measured(works: Mapping[str, Work], repeats: int) -> dict[str, list[Cost]]:
    """The costs of all rows, which take turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            costs[name].append(run(work))
            print(f"{name}: {costs[name][-1].cpu_s:.1f} s", file=sys.stderr, flush=True)
    return costs


def run(work: Work) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    if work.fresh and work.cache is not None:
        subprocess.run(["rm", "-rf", "--", str(work.cache)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT if work.cache else ROOT / "scripts")}
    if work.cache:
        environment |= {"MIXAGENT_CACHE": str(work.cache), "MIXAGENT_DATA": str(work.cache) + " data"}
        if work.fresh:
            subprocess.run(["rm", "-rf", "--", environment["MIXAGENT_DATA"]], check=True)
    process = subprocess.Popen(
        work.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr:
        words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # 4: the target could not be met.
    if process.returncode not in (0, 4):
        raise SystemExit(f"{' '.join(work.command)} failed: {words.strip()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


# --- the split by stage ------------------------------------------------------------------------------


def split_by_stage(song: Path, folder: Path) -> dict[str, dict[str, float]]:
    """CPU seconds of each stage of a first master and of a second target."""
    cache, found = folder / "stages cache", {}
    for name, target in (("cold", "streaming"), ("second target", SECOND_TARGET)):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MIXAGENT_CACHE": str(cache),
            "MIXAGENT_DATA": str(folder / "stages data"),
        }
        command = [sys.executable, __file__, "stages", str(song), str(folder / "master.wav"), target]
        ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found[name] = json.loads(ran.stdout.splitlines()[-1])
    return found


def stages_cpu_s(song: Path, output: Path, target: str) -> dict[str, float]:
    """CPU seconds of this process for each stage of a master, one at a time, and for what is around them."""
    import mixagent
    from mixagent.pipeline.graph.runner import Stage, StageContext, run_stages
    from mixagent.session import running

    found: dict[str, float] = {}

    def timed(stage: Stage) -> Stage:
        def work(context: StageContext) -> Mapping[str, Any] | None:
            begin = time.process_time()
            try:
                return stage.run(context)
            finally:
                found[stage.name] = found.get(stage.name, 0.0) + time.process_time() - begin

        return replace(stage, run=work)

    def serial(stages: Sequence[Stage], *rest: Any) -> Any:
        return run_stages([timed(stage) for stage in stages], *rest, workers=1)

    running.run_stages = serial  # type: ignore[attr-defined]
    loaded_s = time.process_time()
    mixagent.master(song, output=output, target=target)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found["start"] = loaded_s
    found["all else"] = usage.ru_utime + usage.ru_stime - sum(found.values())
    return found


# --- the page ----------------------------------------------------------------------------------------


def summary(costs: Mapping[str, Sequence[Cost]], stages: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Medians and ratios; a ratio is the median over the turns."""

    def median(name: str, of: Callable[[Cost], float]) -> float:
        return statistics.median(map(of, costs[name]))

    def ratio(name: str, other: str, of: Callable[[Cost], float]) -> float | None:
        if name not in costs or other not in costs:
            return None
        return statistics.median(of(a) / of(b) for a, b in zip(costs[name], costs[other], strict=True))

    def cpu_s(cost: Cost) -> float:
        return cost.cpu_s

    def peak_mb(cost: Cost) -> float:
        return cost.peak_mb

    second_s = median("second target", cpu_s)
    return {
        "rows": {
            name: {
                "cpu_s": median(name, cpu_s),
                "peak_mb": median(name, peak_mb),
                "all_cpu_s": [cost.cpu_s for cost in each],
            }
            for name, each in costs.items()
        },
        "ratios": {
            "cold_to_matchering": ratio("cold", "matchering", cpu_s),
            "cold_to_libsonare": ratio("cold", "libsonare", cpu_s),
            "memory_to_matchering": ratio("cold", "matchering", peak_mb),
            "stems_to_separation": ratio("four stems", "separation alone", cpu_s),
            "second_beyond_finaliser_s": second_s - stages["second target"].get("finalise", 0.0),
        },
        "stages": stages,
    }


def told(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    # Here: the processes that are measured load nothing of it.
    from benchmark_generated import table

    costs = [[name, f"{row['cpu_s']:.1f}", f"{row['peak_mb']:.0f}"] for name, row in figures["rows"].items()]
    ratios = [
        [name.replace("_", " "), f"{value:.2f}"]
        for name, value in figures["ratios"].items()
        if value is not None
    ]
    kinds = list(figures["stages"])
    names = dict.fromkeys(name for kind in kinds for name in figures["stages"][kind])
    stages = [
        [name, *(f"{figures['stages'][kind].get(name, 0.0):.2f}" for kind in kinds)]
        for name in names
        if max(figures["stages"][kind].get(name, 0.0) for kind in kinds) >= 0.005
    ]
    pages = (
        table(["", "CPU s", "peak MB"], costs),
        table(["ratio", ""], ratios),
        table(["stage, CPU s", *kinds], stages),
    )
    return "\n\n".join(pages)


if __name__ == "__main__":
    main()
