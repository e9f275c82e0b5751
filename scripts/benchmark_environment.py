"""Steps a second of the environment, with one process and with two, and where the time of a step goes.

Actions are what a policy explores at first: normal about neutral. The split is CPU time of one
process, the median over all steps; steps a second are measured by the clock, in batches.

    python scripts/benchmark_environment.py [--cases DIR] [--steps 60] [--workers 1 2] [--reward default]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from mixagent.envs.cases import CaseStore
from mixagent.envs.context import Context
from mixagent.envs.corpus import default_corpus
from mixagent.envs.mixing import Choice, Material, StoredCases, account
from mixagent.envs.observation import observe
from mixagent.envs.vector import make_vector
from mixagent.pipeline.audio import load
from mixagent.pipeline.finaliser import finalise
from mixagent.pipeline.parameters import Settings
from mixagent.pipeline.render import premaster
from mixagent.policies.rules import RulePolicy
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.scene import Listening, Scene

BATCH = 10
STEMS = ("vocals", "accompaniment")

T = TypeVar("T")


def main() -> None:
    """Print the split and the steps a second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, default=default_corpus() / "cases")
    parser.add_argument("--split", default="train")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--parameters", nargs="+", default=["master.*"])
    parser.add_argument("--reward", default="default", help="a file of conf/reward")
    parser.add_argument("--spread", type=float, default=0.3, help="standard deviation of the actions")
    parser.add_argument("--episodes-per-case", type=int, default=1)
    options = parser.parse_args()
    store = CaseStore(options.cases)
    cases = StoredCases(store, tuple(store.names(options.split)))
    reward = load_reward(options.reward)
    choice = Choice.of(options.parameters, STEMS)
    print(f"{len(cases.names)} cases, {len(choice.names)} parameters, {len(reward.terms)} terms\n")
    _print_split(_split(cases, choice, reward, options))
    print("\n| processes | steps a second, median | best batch |\n|--:|--:|--:|")
    for workers in options.workers:
        speeds = _speeds(workers, cases, reward, options)
        print(f"| {workers} | {np.median(speeds):.1f} | {np.max(speeds):.1f} |")


def _split(
    cases: StoredCases, choice: Choice, reward: RewardModel, options: argparse.Namespace
) -> dict[str, list[float]]:
    """CPU milliseconds of each part of a step, by part."""
    random, rules = np.random.default_rng(0), RulePolicy()
    parts: dict[str, list[float]] = defaultdict(list)

    def timed(part: str, work: Callable[[], T]) -> T:
        start = time.process_time()
        result = work()
        parts[part].append(1000 * (time.process_time() - start))
        return result

    for _ in range(options.steps + 2):
        name = cases.names[int(random.integers(len(cases.names)))]
        material = timed("case", lambda name=name: Material(cases.load(name), choice.space))
        case = material.case
        advice = timed("advice", lambda m=material: choice.action(rules.decide(m.context).settings))
        timed("observation", lambda m=material, a=advice: observe(m.context, choice.stems, a))
        action = np.clip(random.normal(0, options.spread, len(choice.names)), -1, 1)
        settings = choice.settings(action)
        source = timed(
            "render", lambda c=case, s=settings: load(premaster(c.stems, s, levels=c.levels, gaps=c.gaps))
        )
        finish = timed("finalise", lambda s=source, c=case: finalise(s, c.target, None))
        after = Listening(load(finish.audio))
        timed("features", lambda a=after: a.features)
        scene = Scene(material.before, after, settings, finish, material.original, target=case.target)
        if material.original is not None:
            timed("original, once a case", lambda m=material: m.before.distance(m.original))
            timed("distance", lambda a=after, m=material: a.distance(m.original))
        timed("input finished alike, once a case", lambda s=scene: s.base.spectra)
        score = timed("other terms", lambda s=scene: reward.score(s))
        account(scene, score)
    return {part: times[2:] for part, times in parts.items()}


def _print_split(parts: dict[str, list[float]]) -> None:
    whole = sum(float(np.median(times)) for times in parts.values())
    print("| part of a step | CPU ms, median | share |\n|---|--:|--:|")
    for part, times in parts.items():
        print(f"| {part} | {np.median(times):.1f} | {100 * np.median(times) / whole:.0f} % |")
    print(f"| **together** | {whole:.1f} | |")


def _speeds(
    workers: int, cases: StoredCases, reward: RewardModel, options: argparse.Namespace
) -> list[float]:
    """Steps a second of each batch of steps, the first batch left out."""
    vector = make_vector(
        workers, cases, reward, seed=0, parameters=options.parameters, stems=STEMS,
        adviser=_advice, episodes_per_case=options.episodes_per_case,
    )  # fmt: skip
    random, speeds = np.random.default_rng(1), []
    vector.reset()
    for _ in range(1 + max(options.steps // (BATCH * workers), 3)):
        start = time.perf_counter()
        for _ in range(BATCH):
            actions = random.normal(0, options.spread, (workers, vector.action_space.shape[0]))
            vector.step(np.clip(actions, -1, 1).astype(np.float32))
        speeds.append(BATCH * workers / (time.perf_counter() - start))
    vector.close()
    return speeds[1:]


def _advice(context: Context) -> Settings:
    return RulePolicy().decide(context).settings


if __name__ == "__main__":
    main()
