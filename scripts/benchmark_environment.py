"""Steps a second of the environment, with one process and with two, and where the time of a step goes.

Parameters, stems and episodes a case are those of training (`conf/env/default.yaml`), or with --mixing
every parameter of four strips, their buses and sends beside them, on cases of four stems; actions are what
a policy explores at first: normal about neutral. The split is CPU time of one process, the mean over all
steps, with what is done once a case shared by its episodes; steps a second are measured by the clock,
in batches. What a process then waits for is the slowest of the others, and the scores of the networks.

    python scripts/benchmark_environment.py [--cases DIR] [--steps 100] [--workers 1 2] [--mixing]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from mixagent.envs.cases import CaseStore
from mixagent.envs.context import Context
from mixagent.envs.corpus import default_corpus
from mixagent.envs.mixing import Choice, Material, StoredCases, account
from mixagent.envs.observation import observe
from mixagent.envs.vector import make_vector
from mixagent.pipeline.chain.mastering import extends
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.finaliser.loop import finalise
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import load
from mixagent.policies.rules import RulePolicy
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.render_pair import AnalysedAudio, RenderPair

FOUR_STEMS = ("vocals", "drums", "bass", "other")
MIXING = (*(f"{stem}.*" for stem in FOUR_STEMS), "drum_bus.*", "vocal_bus.*", "reverb.*", "delay.*")
BATCH = WARM_UP = 10
CONFIG = OmegaConf.create(
    resources.files("mixagent.conf").joinpath("env/default.yaml").read_text(encoding="utf-8")
)
ORIGINAL, DISTANCE = "original", "scoring: distance to the original"
NEUTRAL = "input, finished alike"
ONCE_A_CASE = ("case", "advice", "highs", ORIGINAL, NEUTRAL)


def main() -> None:
    """Print the split and the steps a second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, default=default_corpus() / "cases")
    parser.add_argument("--split", default="train")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--mixing", action="store_true", help="four strips, buses and sends beside the master"
    )
    parser.add_argument("--reward", default="default", help="a file of conf/reward")
    parser.add_argument("--spread", type=float, default=0.3, help="standard deviation of the actions")
    parser.add_argument("--episodes-per-case", type=int, default=CONFIG.episodes_per_case)
    parser.add_argument("--output", type=Path, help="JSON of steps a second by processes")
    options = parser.parse_args()
    options.stems = FOUR_STEMS if options.mixing else tuple(CONFIG.stems)
    options.parameters = [*CONFIG.parameters, *(MIXING if options.mixing else ())]
    store = CaseStore(options.cases)
    cases = StoredCases(store, tuple(store.names(options.split)))
    reward = load_reward(options.reward)
    choice = Choice.of(options.parameters, options.stems)
    print(f"{len(cases.names)} cases, {len(choice.names)} parameters, {len(reward.terms)} terms\n")
    busy_ms = _print_split(_split(cases, choice, reward, options))
    print("\n| processes | steps a second, median | best batch | ms a step of a process | of them waiting |")
    print("|--:|--:|--:|--:|--:|")
    medians: dict[int, float] = {}
    for workers in options.workers:
        speeds = _speeds(workers, cases, choice, reward, options)
        medians[workers] = float(np.median(speeds))
        step_ms = 1000 * workers / medians[workers]
        print(
            f"| {workers} | {np.median(speeds):.1f} | {np.max(speeds):.1f} | {step_ms:.0f} | "
            f"{max(step_ms - busy_ms, 0.0):.0f} |"
        )
    if options.output:
        options.output.write_text(json.dumps(medians) + "\n", encoding="utf-8")


class Stopwatch:
    """CPU milliseconds of each part, by part, one for each time that it was run."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add what runs inside to a part."""
        start = time.process_time()
        yield
        self.parts[part].append(1000 * (time.process_time() - start))


def _split(
    cases: StoredCases, choice: Choice, reward: RewardModel, options: argparse.Namespace
) -> dict[str, float]:
    """CPU milliseconds of each part of a step, what is done once a case shared by its episodes."""
    random, rules, watch = np.random.default_rng(0), RulePolicy(), Stopwatch()
    for _ in range(options.steps + WARM_UP):
        name = cases.names[int(random.integers(len(cases.names)))]
        with watch("case"):
            material = Material(cases.load(name), choice.space)
        with watch("advice"):
            advice = choice.action(rules.decide(material.context).settings)
        with watch("observation"):
            observe(material.context, choice.stems, advice)
        settings = choice.settings(np.clip(random.normal(0, options.spread, len(choice.names)), -1, 1))
        _step(material, settings, reward, watch)
    shared = {part: options.episodes_per_case if part in ONCE_A_CASE else 1 for part in watch.parts}
    means = {part: float(np.mean(times[WARM_UP:])) for part, times in watch.parts.items()}
    if ORIGINAL in means:  # the first distance to an original hears the original too
        means[ORIGINAL] -= means[DISTANCE]
    return {part: mean / shared[part] for part, mean in means.items()}


def _step(material: Material, settings: Settings, reward: RewardModel, watch: Stopwatch) -> None:
    """The work of a step, part by part."""
    case, original = material.case, material.original
    with watch("highs"):
        highs = material.highs if extends(settings) else None
    with watch("render"):
        mixed = premaster(case.stems, settings, levels=case.levels, holes=case.holes, highs=highs)
        source = load(mixed)
    with watch("finalise"):
        finish = finalise(source, case.target, None)
    after = AnalysedAudio(load(finish.audio))
    with watch("features"):
        after.features  # noqa: B018
    pair = RenderPair(material.before, after, settings, finish, original, target=case.target)
    if original is not None:
        with watch(ORIGINAL):
            AnalysedAudio(after.audio).distance(original)
        with watch(DISTANCE):
            after.distance(original)
    with watch(NEUTRAL):
        pair.base.spectra  # noqa: B018
    with watch("scoring: the render's spectrogram"):
        after.spectra  # noqa: B018
    with watch("scoring: all terms on what was measured"):
        account(pair, reward.score(pair))


def _print_split(parts: dict[str, float]) -> float:
    """Print the parts of a step; the CPU milliseconds of all of them."""
    whole = sum(parts.values())
    print("| part of a step | CPU ms, mean | share |\n|---|--:|--:|")
    for part, mean in parts.items():
        once = ", once a case" if part in ONCE_A_CASE else ""
        print(f"| {part}{once} | {mean:.1f} | {100 * mean / whole:.0f} % |")
    print(f"| **together** | {whole:.1f} | |")
    return whole


def _speeds(
    workers: int, cases: StoredCases, choice: Choice, reward: RewardModel, options: argparse.Namespace
) -> list[float]:
    """Steps a second of each batch of steps, the first batch left out."""
    vector = make_vector(
        workers, cases, reward, seed=0, parameters=options.parameters, stems=options.stems,
        adviser=_advice, episodes_per_case=options.episodes_per_case,
    )  # fmt: skip
    random, speeds = np.random.default_rng(1), []
    vector.reset()
    for _ in range(1 + max(options.steps // (BATCH * workers), 3)):
        start = time.perf_counter()
        for _ in range(BATCH):
            actions = random.normal(0, options.spread, (workers, len(choice.names)))
            vector.step(np.clip(actions, -1, 1).astype(np.float32))
        speeds.append(BATCH * workers / (time.perf_counter() - start))
    vector.close()
    return speeds[1:]


def _advice(context: Context) -> Settings:
    return RulePolicy().decide(context).settings


if __name__ == "__main__":
    main()
