"""Measures the worth of better stems: recovery and blind reward with each kind of stems, in one table.

    python scripts/benchmark_stems.py DIR [--output runs/stems] [--songs 17] [--systems rules truth@64]

DIR holds multitracks, a folder of stems each (`scripts/render_multitracks.py`); songs that a separator was
trained on flatter it. A segment of each song is damaged stem by stem, so that the true stems of the damaged
song are known:

    balance      every stem up or down by as much as 6 dB
    one stem     one of the stems has one pathology
    all five     out of balance, and every stem has all five pathologies
    undamaged    as it is

Then the damaged mix is mastered with its true stems, with what each separator makes of it, and with none:
by policies (`neutral`, `rules`, `learned`, …), by `search@N`, CMA-ES on the blind reward from the rules'
decision over the strips of the stems and the master's equaliser, and by `truth@N`, the same search on the
true recovery: about the most that these stems allow. Policies move the master alone; stems are what they
hear. The target is low, so that what is judged is the mix and not what a limiter does to unmastered renders.

Rows go to OUTPUT/rows.jsonl as they are known; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import soundfile

from mixagent.envs.cases import Case, CaseStore, Damage, draw_damage, measure_case, separate
from mixagent.envs.disorders import MOST_SCRAMBLED_DB, Disorder, StemDisorder
from mixagent.envs.mixing import Material
from mixagent.envs.pathologies import KINDS, damage
from mixagent.envs.songs import Found, find_songs
from mixagent.learning.evaluation_tables import Estimate, estimate
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.decibels import db_to_amplitude, db_to_power
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.files import heal_lines, read_lines
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.separation import Separator, choose_separator
from mixagent.pipeline.types import Audio, Combination, Stems, load
from mixagent.policies import load_policy
from mixagent.policies.search import SearchPolicy
from mixagent.policies.trial import blind_part
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.recovery import DIMENSIONS

BALANCE, ONE_STEM, ALL, UNTOUCHED = "balance", "one stem", "all five", "undamaged"
DAMAGES = (BALANCE, ONE_STEM, ALL, UNTOUCHED)
TRUE = "true"

SEARCHED = (
    *("master.eq_*", "master.balance_db", "master.width", "master.low_mid_cut_db", "master.shimmer_cut_db"),
    *("[!mr]*.gain_db", "[!mr]*.low_mid_cut_db", "[!mr]*.shimmer_cut_db", "[!mr]*.low_shelf_db"),
    *("[!mr]*.presence_db", "[!mr]*.air_db"),
)
"""The parameters that a search moves: the master's equaliser and image, tone and level of each stem."""

_CANDIDATES, _EDGE_S = 5, 2.0
_SILENT = db_to_power(-60)

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The settings of the cases: seconds of a segment, seed, target, and the folder that keeps them."""

    folder: Path
    seconds: float
    seed: int
    target: str

    def case(self, song: Found, damaged: str, stems: str) -> Case:
        """The damaged segment with these stems, made once."""
        store, name = CaseStore(self.folder / "cases"), f"{song.path.name} {damaged} {maker(stems)}"
        if not store.path(name).exists():
            store.save(self._made(song, damaged, stems, name))
        return store.load(name)

    def _made(self, song: Found, damaged: str, stems: str, name: str) -> Case:
        clean = self._segment(song)
        done = self._damage(song, damaged, tuple(clean.parts))
        true = Stems(_sum(spoilt := _spoilt(clean, done)), spoilt)
        apart = _separator(stems)
        given = true if apart is None else separate(load(true.mix), apart)
        return measure_case(name, given, loudness_target(self.target), load(clean.mix), done.whole)

    def _segment(self, song: Found) -> Stems:
        """The loudest of some segments, with the stems that sound in it."""
        random = np.random.default_rng([self.seed, crc32(song.path.name.encode())])
        files = {name: paths[0] for name, paths in song.parts}
        length_s = min(soundfile.info(path).duration for path in files.values())
        latest_s = max(length_s - self.seconds - _EDGE_S, 0.0)
        starts_s = random.uniform(min(_EDGE_S, latest_s), latest_s, _CANDIDATES)
        drawn = [{name: _read(path, at, self.seconds) for name, path in files.items()} for at in starts_s]
        loudest = max(drawn, key=lambda parts: _power(_sum(parts)))
        parts = {name: part for name, part in loudest.items() if _power(part) > _SILENT}
        if len(parts) < 2:
            raise InputError(f"{song.path} has no two stems that sound together")
        return Stems(_sum(parts), parts)

    def _damage(self, song: Found, damaged: str, stems: Sequence[str]) -> StemDamage:
        random = np.random.default_rng([self.seed, crc32(f"{song.path.name} {damaged}".encode())])
        # Every second song has the mechanisms that are kept for validation, as in `mixagent evaluate`.
        kept = bool(crc32(song.path.name.encode()) % 2)
        drawn = draw_damage(random, "all" if damaged == ALL else "single", validation=kept)
        raised = random.uniform(-MOST_SCRAMBLED_DB, MOST_SCRAMBLED_DB, len(stems))
        gains_db = dict(zip(stems, map(float, raised), strict=True))
        balance = Disorder.balance(gains_db) if damaged in (BALANCE, ALL) else None
        chosen = (str(random.choice(stems)),) if damaged == ONE_STEM else tuple(stems)
        if damaged in (BALANCE, UNTOUCHED):
            drawn, chosen = replace(drawn, severities={}, mechanisms={}), ()
        return StemDamage(replace(drawn, disorder=balance), chosen)


@cache
def _separator(stems: str) -> Separator | None:
    return None if stems == TRUE else choose_separator(stems, "cpu").separator


def maker(stems: str) -> str:
    """The stems' name and their separator's version: what another version gave is not taken up again."""
    separator = _separator(stems)
    return stems if separator is None else f"{stems} {separator.version}"


@dataclass(frozen=True)
class StemDamage:
    """Damage done to some of the stems; the balance is of all of them."""

    whole: Damage
    stems: tuple[str, ...]


def _spoilt(clean: Stems, done: StemDamage) -> dict[str, Audio]:
    """The stems damaged; each keeps its own power but for the balance."""
    found, balance = {}, done.whole.disorder.stems if done.whole.disorder else {}
    for name, part in clean.parts.items():
        gain_db = balance.get(name, StemDisorder()).gain_db
        audio = load(Combination(((db_to_amplitude(gain_db), part),)))
        for kind in KINDS if name in done.stems else ():
            if kind in done.whole.severities:
                severity, mechanism = done.whole.severities[kind], done.whole.mechanisms[kind]
                audio = damage(audio, kind, severity, mechanism, done.whole.seed)
        found[name] = audio
    return found


def _sum(parts: dict[str, Audio]) -> Audio:
    return load(Combination(tuple((1.0, part) for part in parts.values())))


def _read(path: Path, start_s: float, seconds: float) -> Audio:
    rate = soundfile.info(path).samplerate
    samples, _ = soundfile.read(
        path, round(seconds * rate), round(start_s * rate), dtype="float32", always_2d=True
    )
    return Audio(np.ascontiguousarray(np.broadcast_to(samples.T, (2, len(samples)))), rate)


def _power(audio: Audio) -> float:
    return float(np.mean(np.square(audio.samples, dtype=np.float64)))


# --- mastering -------------------------------------------------------------------------------------


def decided(system: str, material: Material, rewards: dict[str, RewardModel], seed: int) -> Settings:
    """The decision of a system for a case."""
    match = re.fullmatch(r"(search|truth)@(\d+)", system)
    if match is None:
        return load_policy(system).decide(material.context).settings
    reward = rewards["truth" if match[1] == "truth" else "blind"]

    def trial(settings: Sequence[Settings]) -> np.ndarray[Any, Any]:
        return np.array([_worth(material, one, reward) for one in settings])

    space = material.context.space
    searched = tuple(p.name for p in space if any(fnmatch(p.name, it) for it in SEARCHED))
    policy = SearchPolicy("cma", int(match[2]), load_policy("rules"), seed, searched)
    return policy.decide(replace(material.context, trial=trial)).settings


def _worth(material: Material, settings: Settings, reward: RewardModel) -> float:
    score = reward.score(material.render_pair(settings))
    return score.total


def rows_of(bench: Bench, songs: list[Found], options: argparse.Namespace) -> Iterator[Row]:
    """The rows that are not known yet, the quick systems of every case first."""
    whole = load_reward()
    truth = [term for term in whole.terms if term.name == "truth"]
    rewards = {"blind": blind_part(whole), "truth": RewardModel(tuple(truth), {"truth": 1.0})}
    known = {_key(row) for row in read_lines(options.output / "rows.jsonl")}
    for system in sorted(options.systems, key=lambda name: "@" in name):
        for song in songs:
            for damaged in options.damages:
                for stems in options.stems:
                    if (song.path.name, damaged, maker(stems), system) not in known:
                        yield _row(bench, song, damaged, stems, system, rewards)


def _row(
    bench: Bench, song: Found, damaged: str, stems: str, system: str, rewards: dict[str, RewardModel]
) -> Row:
    case, since = bench.case(song, damaged, stems), time.perf_counter()
    material = Material(case, ParameterSpace.for_stems(tuple(case.stems.parts)))
    settings = decided(system, material, rewards, bench.seed)
    seconds = time.perf_counter() - since
    pair = material.render_pair(settings)
    assert material.original is not None
    before, after = (side.distance(material.original) for side in (pair.before, pair.after))
    return {
        "song": song.path.name,
        "damage": damaged,
        "stems": stems,
        "maker": maker(stems),
        "system": system,
        "blind": rewards["blind"].score(pair).blind,
        "before": {**asdict(before), "total": before.total},
        "after": {**asdict(after), "total": after.total},
        "seconds": round(seconds, 3),
        "settings": settings.changed(),
    }


def _key(row: Row) -> tuple[str, str, str, str]:
    return row["song"], row["damage"], row["maker"], row["system"]


# --- the table -------------------------------------------------------------------------------------


def table(rows: Sequence[Row], damages: Sequence[str]) -> str:
    """One row for each system with each kind of stems, in the order of the rows."""
    damaged = [damage for damage in damages if damage != UNTOUCHED]
    heads = [
        *("system", "stems", "songs", "blind"),
        *(f"recovery, {damage} %" for damage in damaged),
        *(f"{what} %" for what in DIMENSIONS),
        *("harm", "s"),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---|---" + "|--:" * (len(heads) - 2) + "|"]
    for system, stems in dict.fromkeys((row["system"], row["stems"]) for row in rows):
        own = [row for row in rows if (row["system"], row["stems"]) == (system, stems)]
        bad, good = ([row for row in own if (row["damage"] == UNTOUCHED) is it] for it in (False, True))
        cells = [
            *(system, stems, str(len({row["song"] for row in own}))),
            cell(ratio(bad, lambda row: row["blind"], lambda row: 1.0), 3),
            *(_share([row for row in bad if row["damage"] == damage], "total") for damage in damaged),
            *(_share(bad, what) for what in DIMENSIONS),
            cell(ratio(good, lambda row: row["after"]["total"], lambda row: 1.0), 2),
            f"{np.median([row['seconds'] for row in own]):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + CAPTION


CAPTION = """
Recovery is 1 − Σ distance to the original after ÷ Σ before, over songs; by dimension it is of all damaged
cases. Blind is their mean reward without the truth. Harm is the distance of undamaged songs' masters to their
originals, which the finaliser alone (`neutral`) has too. In brackets: 95 % bootstrap intervals over songs.
"""


def _share(rows: Sequence[Row], what: str) -> str:
    left = ratio(rows, lambda row: row["after"][what], lambda row: row["before"][what])
    undone = left and Estimate(100 * (1 - left.value), 100 * (1 - left.high), 100 * (1 - left.low))
    return cell(undone, 0)


def ratio(
    rows: Sequence[Row], upper: Callable[[Row], float], lower: Callable[[Row], float]
) -> Estimate | None:
    """Σ upper ÷ Σ lower over songs, with its interval."""
    sums: dict[str, np.ndarray[Any, Any]] = {}
    for row in rows:
        sums[row["song"]] = sums.get(row["song"], np.zeros(2)) + np.array([upper(row), lower(row)])
    return estimate(np.array(list(sums.values()))) if sums else None


def cell(found: Estimate | None, digits: int) -> str:
    """A cell of a table: the value and its interval."""
    if found is None:
        return "–"
    # Adding zero takes the sign off a rounded zero.
    rounded = (round(x, digits) + 0.0 for x in (found.value, found.low, found.high))
    value, low, high = (f"{x:.{digits}f}".replace("-", "−") for x in rounded)
    return f"{value} [{low}, {high}]"


def main() -> None:
    """Fill in what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("multitracks", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("runs/stems"))
    parser.add_argument("--songs", type=int, default=17, help="how many, spread evenly over the folder")
    parser.add_argument("--stems", nargs="+", default=[TRUE, "embedded", "spleeter", "none"])
    parser.add_argument("--damages", nargs="+", choices=DAMAGES, default=list(DAMAGES))
    parser.add_argument(
        "--systems", nargs="+", default=["neutral", "rules", "learned", "search@64", "truth@64"]
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of a segment")
    parser.add_argument("--target", default="-23", help="LUFS, or a name such as streaming")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = [song for song in find_songs(options.multitracks) if song.parts]
    if not found:
        parser.error(f"{options.multitracks} holds no multitracks")
    places = np.linspace(0, len(found) - 1, min(options.songs, len(found))).round().astype(int)
    songs = [found[place] for place in places]
    bench = Bench(_claimed(options), options.seconds, options.seed, options.target)
    path = options.output / "rows.jsonl"
    for row in rows_of(bench, songs, options):
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{row['song']}, {row['damage']}, {row['stems']} stems, {row['system']}", flush=True)
    print(f"\n{table(_asked(read_lines(path), songs, options), options.damages)}")


def _asked(rows: Sequence[Row], songs: Sequence[Found], options: argparse.Namespace) -> list[Row]:
    """The rows that were asked for, in the order of the table."""
    pairs = [(system, maker(stems)) for system in options.systems for stems in options.stems]
    names = {song.path.name for song in songs}
    asked = [row for row in rows if row["song"] in names and row["damage"] in options.damages]
    return [row for pair in pairs for row in asked if (row["system"], row["maker"]) == pair]


def _claimed(options: argparse.Namespace) -> Path:
    """The output folder, which belongs to one seed, length of segment and target."""
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    heal_lines(folder / "rows.jsonl")
    setup = {"seed": options.seed, "seconds": options.seconds, "target": options.target}
    note = folder / "setup.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) != setup:
        raise SystemExit(f"{folder} belongs to {note.read_text(encoding='utf-8')}: name another --output")
    note.write_text(json.dumps(setup), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
