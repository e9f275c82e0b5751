"""`mixagent evaluate`: every system on the same damaged songs, under equal conditions.

Each row is a case, a system and what came of it, and is appended to the run's `rows.jsonl` as soon as
it is known: a run that is killed goes on from there by the same command. Whatever a system makes is
finished to the case's target by the product's finaliser, and judged by the same reward.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast, get_args
from zlib import crc32

from mixagent import __version__
from mixagent.envs.cases import Case
from mixagent.envs.mixing import Material
from mixagent.envs.pathologies import validation_mechanism
from mixagent.envs.workers import end_with_parent
from mixagent.learning.evaluation_cases import DAMAGES, UNTOUCHED, Cases, Item
from mixagent.learning.evaluation_tables import KEPT, TRAINED, markdown, summarise
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.errors import InputError, UsageError
from mixagent.pipeline.files import append_line, heal_lines, read_lines, write_atomically
from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.types import Audio, Progress, load
from mixagent.policies import ADVISERS, Policy, load_policy
from mixagent.policies.promotion import CONFIG, LEARNED, find_checkpoint, shipped_folder
from mixagent.policies.search import STEERED, Method, SearchPolicy
from mixagent.policies.trial import CaseTrial, blind_part
from mixagent.reward.model import RewardModel
from mixagent.reward.recovery import Distance
from mixagent.reward.render_pair import AnalysedAudio, RenderPair

POLICY = "policy"
"""In a system's name: each of the policies that the evaluation is given."""

SYSTEMS = (
    *("neutral", "rules", "random@128", "random@640", "cma@128", "cma@640", "cma:rules@128"),
    *(POLICY, f"cma:{POLICY}@64", f"amounts:{POLICY}@64"),
)
"""The systems of the published table."""

Row = dict[str, Any]

Mastering = Callable[[Audio, Audio], Audio]
"""A system of another kind: the damaged segment and another finished song in, a master out."""


# --- systems ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class System:
    """What is compared: a policy alone, or a search that starts at its decision.

    Attributes:
        name: as it was asked for: `rules`, `random@128`, `cma:rules@128`, `cma:policy@64`.
        policy: which policy decides or where the search starts; `policy` stands for all that are given.
        method: of the search, None without one.
        renders: how many settings are rendered for a decision.
    """

    name: str
    policy: str
    method: Method | None = None
    renders: int = 1

    @classmethod
    def parse(cls, text: str) -> System:
        """The system of a name.

        Raises:
            UsageError: a search that does not exist, or none at all.
        """
        match = re.fullmatch(r"(\w+)(?::([^@]+))?@(\d+)", text)
        if match is None:
            if not text or "@" in text:
                raise UsageError(f"{text!r} is no system: give a policy, or METHOD[:POLICY]@RENDERS")
            return cls(text, text)
        method, policy, renders = match.groups()
        if method not in get_args(Method) or int(renders) < 1:
            raise UsageError(f"{text!r} is no search: give random@N, cma@N, cma:POLICY@N or amounts:POLICY@N")
        return cls(text, policy or "neutral", cast(Method, method), int(renders))


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated.

    Attributes:
        cases: where cases come from.
        reward: the judge.
        systems: the systems that decide settings.
        policies: names or folders that `policy` stands for, such as one policy trained with several seeds.
        songs: how many.
        others: systems of another kind, by name.
        damages: which of `DAMAGES`.
        seed: of every search.
    """

    cases: Cases
    reward: RewardModel
    systems: tuple[System, ...]
    policies: tuple[str, ...] = ()
    songs: int = 40
    others: Mapping[str, Mastering] = field(default_factory=dict)
    damages: tuple[str, ...] = DAMAGES
    seed: int = 0

    def __post_init__(self) -> None:
        if any(system.policy == POLICY for system in self.systems) and not self.policies:
            raise UsageError("no policy is given that `policy` could stand for: name one, such as learned")
        unknown = set(self.damages) - set(DAMAGES)
        if unknown or self.songs < 1:
            raise UsageError(f"damage is one of {', '.join(DAMAGES)}, and songs are 1 or more")

    def setup(self) -> dict[str, Any]:
        """What the rows of one file have in common."""
        return {
            "schema": "mixagent.learning.evaluation.rows/1",
            "version": __version__,
            "cases": {"kind": type(self.cases).__name__, **asdict(cast(Any, self.cases))},
            "reward": {name: self.reward.weights[name] for name in sorted(self.reward.weights)},
            "critic": _critic_digest(self.reward),
            "seed": self.seed,
        }

    def runs(self) -> list[Run]:
        """Every system with every policy that it stands for."""
        of = {POLICY: self.policies}
        return [
            Run(system, name, f"{name} {_policy_digest(name)}".strip())
            for system in self.systems
            for name in of.get(system.policy, (system.policy,))
        ]


@dataclass(frozen=True)
class Run:
    """A system with one policy; `member` names the policy and its weights."""

    system: System
    policy: str
    member: str


def _policy_digest(name: str) -> str:
    """A short hash of a trained policy, so that one trained anew is evaluated anew; empty for the others."""
    found = None if name in ADVISERS else find_checkpoint(name)
    return "" if found is None else hashlib.sha256((found / CONFIG).read_bytes()).hexdigest()[:8]


def _critic_digest(reward: RewardModel) -> str | None:
    weights = shipped_folder().parent / "critic" / "weights.safetensors"
    if "critic" not in reward.weights or not weights.is_file():
        return None
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]


def known_policies(given: Sequence[str] | None) -> tuple[str, ...]:
    """The policies that are given, or the trained one in use if there is one.

    Raises:
        UsageError: one that does not exist.
        ModelMissingError: a trained policy whose files cannot be used.
    """
    if not given:
        given = [] if find_checkpoint() is None else [LEARNED]
    for name in given:
        load_policy(name)
    return tuple(given)


def known_systems(text: str | None, policies: Sequence[str]) -> tuple[System, ...]:
    """The systems named in `text`, separated by commas; by default all of `SYSTEMS` that can run.

    Raises:
        UsageError: no such system, or one that is named twice.
    """
    names = [name.strip() for name in text.split(",")] if text else list(SYSTEMS)
    systems = [System.parse(name) for name in names]
    if not text and not policies:
        systems = [system for system in systems if system.policy != POLICY]
    if len({system.name for system in systems}) < len(systems):
        raise UsageError("a system is named twice")
    for system in systems:
        if system.policy != POLICY:
            load_policy(system.policy)
    return tuple(systems)


# --- running ---------------------------------------------------------------------------------------


def evaluate(
    evaluation: Evaluation, folder: Path, workers: int = 1, progress: Progress | None = None
) -> list[Row]:
    """Fill the run's `rows.jsonl` with what is missing of an evaluation; its rows, those of before too.

    Args:
        evaluation: what to evaluate.
        folder: of the run; made where it is not there.
        workers: processes.
        progress: called with the share of the cases done; may raise to cancel.

    Raises:
        UsageError: the folder holds rows of other cases or of another reward.
        InputError: there are no cases.
    """
    items = [item for item in evaluation.cases.items(evaluation.songs) if item.damage in evaluation.damages]
    path = _claimed(folder, evaluation.setup())
    keys = {_key(row) for row in read_lines(path)[1:]}
    job = _Job(evaluation, evaluation.runs(), path, frozenset(keys))
    missing = [item for item in items if job.missing(item)]
    for done, _ in enumerate(_worked(job, missing, workers), len(items) - len(missing) + 1):
        if progress:
            progress(done / len(items))
    wanted, names = {item.name for item in items}, {key[1:] for key in job.wanted}
    return [row for row in read_lines(path)[1:] if row["case"] in wanted and _key(row)[1:] in names]


def evaluate_into(
    evaluation: Evaluation, folder: Path, workers: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """`evaluate`, and its summary, which is also written into the folder as JSON and as Markdown.

    Raises:
        MixagentError: as `evaluate`.
    """
    rows = evaluate(evaluation, folder, workers, progress)
    names = [*(system.name for system in evaluation.systems), *evaluation.others]
    summary = summarise(evaluation.setup(), rows, names)
    write_atomically(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
    write_atomically(folder / "summary.md", markdown(summary))
    return summary


def _claimed(folder: Path, setup: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.jsonl"
    heal_lines(path)
    rows = read_lines(path)
    if not rows:
        append_line(path, setup)
    elif rows[0] != json.loads(json.dumps(setup)):
        raise UsageError(f"{path} holds an evaluation of other cases or another reward: name another folder")
    return path


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["case"], row["system"], row["member"]


@dataclass(frozen=True)
class _Job:
    """What every process works on."""

    evaluation: Evaluation
    runs: list[Run]
    path: Path
    done: frozenset[tuple[str, str, str]]

    @property
    def wanted(self) -> list[tuple[str, str, str]]:
        """Keys of rows, the case left open."""
        own = [("", run.system.name, run.member) for run in self.runs]
        return [*own, *(("", name, "") for name in self.evaluation.others)]

    def missing(self, item: Item) -> bool:
        return any((item.name, system, member) not in self.done for _, system, member in self.wanted)

    def work(self, item: Item) -> None:
        """Write every row of a case that is missing."""
        here = {(system, member) for name, system, member in self.done if name == item.name}
        try:
            bench = _Bench(self.evaluation, item, self.evaluation.cases.load(item))
        except InputError as error:
            for _, system, member in self.wanted:
                row = {"case": item.name, "system": system, "member": member, "skipped": str(error)}
                append_line(self.path, row)
            return
        for runs in _families([run for run in self.runs if (run.system.name, run.member) not in here]):
            for row in bench.decided(runs):
                append_line(self.path, row)
        for name, mastering in self.evaluation.others.items():
            if (name, "") not in here:
                append_line(self.path, bench.mastered(name, mastering))


def _families(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of one search that differ in their budget alone: the shorter is the beginning of the longer."""
    families: dict[tuple[Method | None, str], list[Run]] = {}
    for run in runs:
        families.setdefault((run.system.method, run.member), []).append(run)
    return list(families.values())


class _Bench:
    """A case on which systems are compared."""

    def __init__(self, evaluation: Evaluation, item: Item, case: Case) -> None:
        self._evaluation, self._item = evaluation, item
        self._reward = blind_part(evaluation.reward)
        self._material = Material(case, ParameterSpace.for_stems(tuple(case.stems.parts)))

    def decided(self, runs: Sequence[Run]) -> Iterator[Row]:
        """The rows of runs of one family."""
        policy, since = load_policy(runs[0].policy), time.perf_counter()
        if runs[0].system.method is None:
            settings = policy.decide(self._material.context).settings
            pair = self._material.render_pair(settings)
            yield from (self._row(run, settings, pair, time.perf_counter() - since) for run in runs)
            return
        search = self._search(runs, policy)
        trial = CaseTrial((self._material,), self._reward)
        context = replace(self._material.context, trial=trial)
        trace = search.search(context, policy.decide(context).settings)
        for run in runs:
            best = trace.best(run.system.renders)
            settings, seconds = trace.settings[best], trace.seconds[: run.system.renders][-1]
            yield self._row(run, settings, self._material.render_pair(settings), seconds)

    def mastered(self, name: str, mastering: Mastering) -> Row:
        """The row of a system of another kind, finished as the others are."""
        case, since = self._material.case, time.perf_counter()
        master = mastering(load(case.stems.mix), self._reference())
        finish = finalise(master, case.target, None)
        heard = AnalysedAudio(load(finish.audio))
        pair = replace(self._material.render_pair(self._neutral), after=heard, settings=None, finish=finish)
        run = Run(System(name, name), name, "")
        return self._row(run, None, pair, time.perf_counter() - since)

    @property
    def _neutral(self) -> Settings:
        return self._material.context.space.settings()

    def _reference(self) -> Audio:
        """A finished song that is not this one."""
        cases = self._evaluation.cases
        items = [item for item in cases.items(self._evaluation.songs) if item.damage == UNTOUCHED]
        others = [item for item in items if item.song != self._item.song]
        if not others:
            raise UsageError("a reference is asked for, and no other song is undamaged: allow more songs")
        return load(cases.load(others[crc32(self._item.name.encode()) % len(others)]).stems.mix)

    def _search(self, runs: Sequence[Run], start: Policy) -> SearchPolicy:
        renders = max(run.system.renders for run in runs)
        seed = crc32(f"{self._evaluation.seed} {self._item.name}".encode())
        method = runs[0].system.method
        assert method is not None
        # Of what it moves at all, a start may move anything.
        return SearchPolicy(method, renders, start, seed, ("*",) if method == "amounts" else STEERED)

    def _row(self, run: Run, settings: Settings | None, pair: RenderPair, seconds: float) -> Row:
        original, score = self._material.original, self._reward.score(pair)
        distances = None if original is None else [s.distance(original) for s in (pair.before, pair.after)]
        return {
            "case": self._item.name,
            "song": self._item.song,
            "damage": self._item.damage,
            "mechanisms": self._mechanisms(),
            "system": run.system.name,
            "member": run.member,
            "blind": score.blind,
            "terms": dict(score.terms),
            "before": None if distances is None else _figures(distances[0]),
            "after": None if distances is None else _figures(distances[1]),
            "renders": run.system.renders,
            "seconds": round(seconds, 4),
            "settings": None if settings is None else settings.changed(),
        }

    def _mechanisms(self) -> str | None:
        """Of which kind the case's damage is: `TRAINED`, `KEPT`, or None where there is none."""
        damage = self._material.case.damage
        if damage is None or not damage.mechanisms:
            return None
        kept = {validation_mechanism(kind) for kind in damage.mechanisms}
        return KEPT if kept & set(damage.mechanisms.values()) else TRAINED


def _figures(distance: Distance) -> dict[str, float]:
    return {**asdict(distance), "total": distance.total}


def _worked(job: _Job, items: Sequence[Item], workers: int) -> Iterator[None]:
    """Work on every item; one result each, in any order."""
    if workers <= 1:
        yield from map(job.work, items)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (job,)) as pool:
        futures = [pool.submit(_work, item) for item in items]
        try:
            yield from (future.result() for future in as_completed(futures))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_here: list[_Job] = []
"""The job of a worker process, sent once."""


def _start(job: _Job) -> None:
    import torch

    # Ctrl-C ends a worker at once and without a word: what it had done is written.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()
    torch.set_num_threads(1)
    _here.append(job)


def _work(item: Item) -> None:
    _here[0].work(item)
