"""Masters with plug-ins that fail at random, and the time of plug-ins beside the chain's own effects.

    python scripts/benchmark_plugins.py [--renders 500] [--seed 0] [--plugin FOLDER/Fault.vst3]
    python scripts/benchmark_plugins.py --renders 0 --seconds 60

A song of 6 s is rendered, mix to finaliser, with the fault plug-in of `tests/fault_plugin` (built in a folder
of its own where none is named) as compressor of its voice, of its master, or of both. Each draws one of 15
ways of failing, and when it begins. A render counts as lost where no master came out, and as silently wrong
where its samples are not exactly those of plug-ins that do nothing in the slots that kept theirs, and of the
built-in effects in the others, unless it was told that a plug-in does not make the same of a sound twice. A
render with two plug-ins counts in two rows. The second table has processor seconds of one song, the plug-ins'
processes included.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.errors import MixagentError
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.plugins.child import Limits
from mixagent.pipeline.plugins.inserts import Insert, Inserts, Played
from mixagent.pipeline.plugins.library import PluginMissingError, find_plugin, load
from mixagent.pipeline.plugins.maps import PluginMap, map_of
from mixagent.pipeline.plugins.pool import POOL
from mixagent.pipeline.render import premaster, render
from mixagent.pipeline.types import Audio, FloatArray, Stems
from mixagent.policies.base import Decision
from mixagent.session.decide import Decided
from mixagent.session.guidance import Guidance
from mixagent.session.plugins import rendered_with_plugins
from mixagent.session.request import Request

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from fault_plugin import FAULTS, built, missing

RATE = 44100
SONG_S = 6.0
LIMITS = Limits(load_s=20.0, block_s=1.0, slowest=0.3, memory_bytes=500_000_000)
COMPRESSED = {"vocals.comp_ratio": 3.0, "master.comp_ratio": 2.0}
SLOTS = (("vocals.comp",), ("master.comp",), ("vocals.comp", "master.comp"))
TIMED = (("ZamCompX2", "comp"), ("ZaMultiCompX2", "comp"), ("ZaMaximX2", "comp"), ("ZamDynamicEQ", "cut"))


@dataclass(frozen=True)
class Rendered:
    """A master: its samples, the slots that kept their plug-ins, what was told, and what these were found."""

    samples: FloatArray
    slots: tuple[str, ...]
    told: tuple[str, ...]
    words: tuple[str, ...]


def main() -> None:
    """Print both tables."""
    arguments = parse_arguments()
    if arguments.renders:
        if arguments.plugin is None and missing():
            sys.exit(missing())
        with tempfile.TemporaryDirectory() as folder:
            plugin = arguments.plugin or built(Path(folder))
            print_faults(plugin, arguments.renders, arguments.seed)
    print_times(arguments.seconds)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renders", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plugin", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    return parser.parse_args()


def print_faults(path: Path, renders: int, seed: int) -> None:
    """What became of masters with plug-ins that fail."""
    (plugin,) = load(path)
    stems, random = song(SONG_S), np.random.default_rng(seed)
    settings = ParameterSpace.for_stems(tuple(stems.parts)).settings(COMPRESSED)
    expected = Expected(stems, settings, str(path), plugin.sha256)
    rows: dict[str, Counter[str]] = {fault: Counter() for fault in FAULTS}
    began = time.monotonic()
    for _ in range(renders):
        slots = SLOTS[random.integers(len(SLOTS))]
        faults = [FAULTS[random.integers(len(FAULTS))] for _ in slots]
        after_s = [0.0 if random.random() < 0.3 else float(random.uniform(0.0, SONG_S)) for _ in slots]
        inserts = [
            expected.insert(slot, fault, after)
            for slot, fault, after in zip(slots, faults, after_s, strict=True)
        ]
        found = outcome(expected, stems, settings, inserts)
        for fault in faults:
            rows[fault]["drawn"] += 1
            rows[fault][found] += 1
    print_rows(rows, renders, time.monotonic() - began)


def print_rows(rows: Mapping[str, Counter[str]], renders: int, took_s: float) -> None:
    """A line for each way of failing."""
    names = ("drawn", "whole, nothing to tell", "whole, told", "built-in, told", "silently wrong", "lost")
    print(f"| fault | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for fault, counts in rows.items():
        print(f"| {fault} | {' | '.join(str(counts[name]) for name in names)} |")
    print(f"{renders} renders in {took_s:.0f} s; {POOL.started} processes were started")


class Expected:
    """What a render must be, by the slots whose plug-ins did not fail.

    Args:
        stems: of the song.
        settings: that it is rendered with.
        path, sha256: of the fault plug-in.
    """

    def __init__(self, stems: Stems, settings: Settings, path: str, sha256: str) -> None:
        self._stems, self._settings = stems, settings
        self._path, self._sha256 = path, sha256
        self._known: dict[tuple[str, ...], FloatArray] = {}

    def insert(self, slot: str, fault: str, after_s: float) -> Insert:
        """The fault plug-in in a slot."""
        fixed = {"fault": float(FAULTS.index(fault)), "after_s": after_s}
        found = PluginMap("Fault", "comp", ("strip", "bus", "master"), fixed=fixed)
        return Insert(slot, "Fault", "1.0.0", self._sha256, self._path, "", (2,), found)

    def samples(self, slots: tuple[str, ...]) -> FloatArray:
        """The master with a plug-in that does nothing in these slots, and our own effects in the others."""
        if slots not in self._known:
            inserts = [self.insert(slot, "none", 0.0) for slot in slots]
            self._known[slots] = master(self._stems, self._settings, Inserts(inserts, LIMITS))
        return self._known[slots]


def outcome(expected: Expected, stems: Stems, settings: Settings, inserts: list[Insert]) -> str:
    """What became of a master, in the words of the table."""
    request = Request(Path("song"), None, loudness_target("streaming"), inserts=tuple(inserts))

    def once(decided: Decided) -> Rendered:
        chain = Inserts(decided.request.inserts, LIMITS)
        samples = master(stems, settings, chain)
        words = [word for row in chain.played for word in row.probed.words()]
        slots = tuple(insert.slot for insert in decided.request.inserts)
        return Rendered(samples, slots, decided.told, tuple(words))

    try:
        made = rendered_with_plugins(once, Decided(request, Guidance(), Decision(settings, {})))
    except MixagentError:
        return "lost"
    moves = any("twice" in word for word in made.words)
    if not moves and not np.array_equal(made.samples, expected.samples(made.slots)):
        return "silently wrong"
    if made.told:
        return "built-in, told"
    return "whole, told" if made.words else "whole, nothing to tell"


def master(stems: Stems, settings: Settings, inserts: Inserts) -> FloatArray:
    """The samples of a finished master."""
    made = render(stems, settings, loudness_target("streaming"), inserts=inserts).audio
    return made.read(0, made.frames)


def song(seconds: float) -> Stems:
    """A voice of tones that come and go, over noise with a beat."""
    frames = round(seconds * RATE)
    time_s, random = np.arange(frames) / RATE, np.random.default_rng(1)
    tones = sum(np.sin(2 * np.pi * hz * time_s) / n for n, hz in enumerate((220.0, 441.0, 883.0, 1771.0), 1))
    voice = 0.1 * tones * (0.3 + 0.7 * (np.sin(2 * np.pi * 0.7 * time_s) > 0))
    beat = np.exp(-8 * (time_s % 0.5))
    parts = {
        "vocals": np.stack([voice, voice]) + 0.003 * random.standard_normal((2, frames)),
        "drums": 0.15 * beat * random.standard_normal((2, frames)),
    }
    stems = {name: Audio(part.astype(np.float32), RATE) for name, part in parts.items()}
    return Stems(Audio(sum(part.samples for part in stems.values()), RATE), stems)


def print_times(seconds: float) -> None:
    """Processor time of each mapped plug-in in a strip, beside the effect that it stands in for."""
    print("\n| effect | built-in, s | plug-in | s | its share of real time | starting, s |")
    print("|---|---|---|---|---|---|")
    stems = song(seconds)
    for name, effect in TIMED:
        values = {"vocals.comp_ratio": 3.0} if effect == "comp" else {"vocals.low_mid_cut_db": 6.0}
        if name == "ZaMaximX2":
            values = {"master.comp_ratio": 3.0}
        settings = ParameterSpace.for_stems(tuple(stems.parts)).settings(values)
        try:
            plugin, found = find_plugin(name), map_of(name, effect)
        except PluginMissingError:
            print(f"| {effect} | | {name} is not here | | | |")
            continue
        assert found is not None
        insert = Insert(
            *(effect, name, plugin.version, plugin.sha256, plugin.path, plugin.inside, plugin.channels), found
        )
        premaster(stems, settings)  # compiles
        own_s, _ = timed(stems, settings, None)
        POOL.clear()
        first_s, _ = timed(song(1.0), settings, Inserts([insert]))
        POOL.clear()
        plug_s, _ = timed(stems, settings, Inserts([insert]))
        share = (plug_s - first_s) / seconds
        print(f"| {effect} | {own_s:.2f} | {name} | {plug_s:.2f} | {share:.3f} | {first_s:.2f} |")


def timed(stems: Stems, settings: Settings, inserts: Inserts | None) -> tuple[float, tuple[Played, ...]]:
    """Processor seconds of a mix, the processes that it started included."""
    began = spent()
    premaster(stems, settings, inserts=inserts)
    POOL.clear()
    return spent() - began, () if inserts is None else inserts.played


def spent() -> float:
    """Processor seconds of this process and of those that ended."""
    rows = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(itertools.chain.from_iterable((row.ru_utime, row.ru_stime) for row in rows))


if __name__ == "__main__":
    main()
