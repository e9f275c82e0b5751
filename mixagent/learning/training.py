"""`mixagent train`: from a configuration to a policy that can be shipped.

A run lives in one folder. Killed, it goes on from there by the same command: the cases, what the warm
start measured, the warm actor and the state of PPO are all kept as they are made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.vec_env import VecEnv

from mixagent import __version__
from mixagent.envs.case_building import build_cases
from mixagent.envs.cases import CaseStore, Curriculum, kinds_of
from mixagent.envs.context import Context
from mixagent.envs.corpus import Split, default_corpus
from mixagent.envs.mixing import Choice, StoredCases
from mixagent.envs.observation import TRUTH_NAMES
from mixagent.envs.synthetic import debug_corpus
from mixagent.envs.vector import make_vector
from mixagent.learning.train_settings import (
    TrainConfig,
    load_train_config,
    reward_rows,
    sweep,
    sweep_name,
)
from mixagent.learning.training_log import TrainingLog
from mixagent.messages import say
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.errors import InputError, UsageError, option
from mixagent.pipeline.files import (
    append_line,
    atomically,
    clear_leftovers,
    heal_lines,
    read_lines,
    write_atomically,
)
from mixagent.pipeline.types import Audio, ShowProgress
from mixagent.policies import Policy, load_policy
from mixagent.policies.learned import Checkpoint
from mixagent.policies.mixing.agent import MixingActor, MixingValue, frozen_net, strip_order
from mixagent.policies.mixing.forward import BoundMixer
from mixagent.policies.mixing.network import load_net
from mixagent.policies.mixing.policy import MixingCheckpoint
from mixagent.policies.network import Actor, Layout, Sizes, Value, measure_statistics
from mixagent.policies.ppo import Networks
from mixagent.policies.ppo import train as train_by_ppo
from mixagent.policies.validation import play, summary
from mixagent.policies.warm_start import Examples, Round, fit, load_examples, measure_responses
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.render_pair import RenderPair

AT_MOST: Mapping[Curriculum, int] = {"none": 0, "single": 1, "pair": 2, "all": 5}
"""How many pathologies a case may have in each stage of the curriculum."""


def train(
    overrides: Sequence[str], multirun: bool = False, progress: ShowProgress | None = None
) -> list[Path]:
    """Train a policy for a configuration, or one for each combination of values that it lists.

    Args:
        overrides: in Hydra's syntax: `experiment=debug`, `trainer.seed=1,2,3`.
        multirun: allow values that list several (`--multirun`).
        progress: called with the name of a part of the run and the share of it that is done.

    Returns:
        The folder of each policy: `load_policy(str(folder))` loads it.

    Raises:
        UsageError: a mistake in the configuration, or a folder that holds another run.
        MixagentError: of the kind that says what went wrong.
    """
    combinations = sweep(overrides)
    if len(combinations) > 1 and not multirun:
        raise UsageError(
            f"an override lists several values: add {option('multirun')} to train one policy for each"
        )
    configs = [load_train_config(combination) for combination in combinations]
    named = zip(configs, combinations, strict=True)
    folders = [
        Path(config.folder).expanduser() / sweep_name(config.name, overrides, combination)
        for config, combination in named
    ]
    show = progress or (lambda stage, share: None)
    return [_train_one(config, folder, show) for config, folder in zip(configs, folders, strict=True)]


_EVALUATIONS = "evaluations.jsonl"


@dataclass(frozen=True)
class _Run:
    """What the parts of a run share."""

    config: TrainConfig
    folder: Path
    store: CaseStore
    training: tuple[str, ...]
    validation: tuple[str, ...]
    severities: Mapping[str, int]
    choice: Choice
    adviser: Callable[[Context], Settings]
    reward: RewardModel
    log: TrainingLog
    show: ShowProgress

    def stage(self, stage: Curriculum) -> tuple[str, ...]:
        """The training cases of a stage of the curriculum."""
        return tuple(name for name in self.training if self.severities[name] <= AT_MOST[stage])


def _train_one(config: TrainConfig, folder: Path, show: ShowProgress) -> Path:
    choice = Choice.of(config.env.parameters, config.env.stems, config.env.steps)
    adviser = load_policy(config.env.adviser)
    reward = load_reward(reward_rows(config))
    _claim(config, folder)
    clear_leftovers(folder)
    if damaged := heal_lines(folder / _EVALUATIONS):
        say(f"{folder / _EVALUATIONS}: {damaged} of its lines were damaged and are left out")
    store = _cases(config, folder, show)
    sizes = {row["name"]: len(kinds_of(row)) for row in store.rows()}
    training = tuple(store.names("train"))[: config.cases.training or None]
    validation = tuple(store.names("validation"))[: config.cases.held_out or None]
    if not training or not validation:
        raise UsageError(
            f"{store.directory} holds {len(training)} cases to train and {len(validation)} to validate on: "
            "make some with `mixagent corpus build`, or name another folder by cases.store"
        )
    torch.set_num_threads(1)  # the cores belong to the environments
    log = TrainingLog(folder, folder.name, config.logging, config.resolved())
    try:
        run = _Run(
            config,
            folder,
            store,
            training,
            validation,
            sizes,
            choice,
            partial(_advice, adviser),
            reward,
            log,
            show,
        )
        return _trained(run)
    finally:
        log.close()


def _advice(adviser: Policy, context: Context) -> Settings:
    return adviser.decide(context).settings


def _claim(config: TrainConfig, folder: Path) -> None:
    """Write the resolved configuration, or find that the folder's is the same."""
    path, text = folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config.resolved()))
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{folder} holds a run of another configuration: choose another name=…, or delete the folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def _cases(config: TrainConfig, folder: Path, show: ShowProgress) -> CaseStore:
    if not config.cases.synthetic:
        return CaseStore(Path(config.cases.store or default_corpus() / "cases").expanduser())
    store, count = CaseStore(folder / "cases"), config.cases.synthetic
    corpus = debug_corpus(folder / "corpus")
    parts: tuple[tuple[Split, float], ...] = (("train", 1.0), ("validation", 0.5))
    for split, share in parts:
        shown = partial(show, f"{split} cases")
        build_cases(
            store,
            corpus,
            split,
            max(round(share * count), 2),
            config.trainer.seed,
            progress=shown,
            seconds=2.0,
            stems_share=0.0,
        )
    return store


# --- the parts of a run ----------------------------------------------------------------------------


def _trained(run: _Run) -> Path:
    """Warm start, PPO, and the policy's folder."""
    if run.config.trainer.start:
        return _trained_mixer(run)
    examples, held_out = _examples(run)
    networks = _networks(run, examples)
    if NEUTRAL not in {row["iteration"] for row in _evaluations(run)}:
        _evaluate(run, networks.actor, NEUTRAL)
    _warm(run, networks, examples, held_out)
    settings = run.config.trainer
    best = train_by_ppo(
        networks,
        partial(_vector, run),
        settings.ppo,
        settings.seed,
        run.folder,
        run.log.logger,
        partial(_evaluate, run, networks.actor),
    )
    if not _fits(best, networks.actor):
        raise InputError(f"{best} is damaged: delete {run.folder / 'state.pt'} to train from the warm start")
    if settings.advice_share > 0.0:
        networks.actor.lean(settings.advice_share)
        _evaluate(run, networks.actor, LEANING)
    return _shipped(run, networks.actor)


def _trained_mixer(run: _Run) -> Path:
    """A net that mixes, taken on by PPO from where its warm start left it; its folder."""
    settings = run.config.trainer
    torch.manual_seed(settings.seed)
    start, net = (load_net(Path(settings.start).expanduser()) for _ in range(2))
    actor = MixingActor(net, start, settings.reach)
    _without_dropout(actor)
    value = MixingValue(start, len(TRUTH_NAMES))
    order = torch.from_numpy(strip_order(run.choice.names))
    networks = Networks(actor, value, run.choice.names, order, _deviation(run))
    best = train_by_ppo(
        networks,
        partial(_vector, run),
        settings.ppo,
        settings.seed,
        run.folder,
        run.log.logger,
        partial(_evaluate, run, actor),
    )
    actor.load_state_dict(load_file(best))
    mixer = BoundMixer(frozen_net(actor.net), frozen_net(actor.start), settings.reach)
    results = {str(row["iteration"]): row for row in _evaluations(run)}
    folder = run.folder / "policy"
    card = f"# A net that mixes, by `mixagent train name={run.folder.name}`\n"
    MixingCheckpoint((mixer,), asdict(net.shape), run.config.resolved(), results).save(folder, card)
    return folder


def _examples(run: _Run) -> tuple[Examples, Examples]:
    """Training and validation cases with their observations, measured where they are not yet."""
    folder = Path(run.config.cases.responses or run.store.directory / "responses").expanduser()
    names, workers = (*run.validation, *run.training), run.config.trainer.workers
    measure_responses(run.store, names, folder, workers, partial(run.show, "measure"))
    loaded = [
        load_examples(run.store, part, folder, run.adviser, run.choice)
        for part in (run.training, run.validation)
    ]
    return loaded[0], loaded[1]


def _networks(run: _Run, examples: Examples) -> Networks[Actor]:
    """Fresh networks of the configured width that know the training cases' means and spreads."""
    config, observed = run.config.trainer, examples.observation
    torch.manual_seed(config.seed)
    network, width = config.network, {key: value.shape[-1] for key, value in observed.items()}
    sizes = Sizes(
        features=width["mix"],
        findings=width["diagnosis"],
        target=width["target"],
        truth=width["truth"],
        hidden=network.hidden,
        stem_hidden=network.stem_hidden,
        dropout=network.dropout,
    )
    layout = Layout.of(run.choice.names, run.choice.stems)
    actor, value = Actor(layout, sizes), Value(layout, replace(sizes, dropout=0.0))
    for encoder in (actor.encoder, value.encoder):
        encoder.standardise(measure_statistics(observed))
    order = layout.order(run.choice.names, run.choice.stems)
    return Networks(actor, value, run.choice.names, order, _deviation(run))


def _deviation(run: _Run) -> torch.Tensor:
    """The standard deviation of each action at the start; of the patterns that match, the last counts."""
    ppo = run.config.trainer.ppo
    chosen = [
        [ppo.deviation, *(value for pattern, value in ppo.deviations.items() if fnmatch(name, pattern))][-1]
        for name in run.choice.names
    ]
    return torch.tensor(chosen)


def _warm(run: _Run, networks: Networks[Actor], examples: Examples, held_out: Examples) -> None:
    """Fit the actor, or take the one that this run has fitted before."""
    path, settings = run.folder / "warm.safetensors", run.config.trainer.warm_start

    def report(done: Round) -> None:
        run.show("warm start", (done.number + 1) / settings.epochs)
        for name in ("training", "validation"):
            run.log.logger.record(f"warm_start/{name}", getattr(done, name))
        run.log.logger.dump(done.number)

    if not _fits(path, networks.actor):
        fitted = fit(
            networks.actor, networks.order, examples, held_out, settings, run.config.trainer.seed, report
        )
        with atomically(path) as place:
            save_file(fitted.state_dict(), place)
        networks.actor.load_state_dict(load_file(path))
    _without_dropout(networks.actor)


def _without_dropout(actor: torch.nn.Module) -> None:
    """PPO compares probabilities before and after an update: dropout would change them by chance."""
    for module in actor.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def _fits(path: Path, actor: Actor) -> bool:
    """Take the weights in a file over; whether they are there and whole. Damaged ones are made again."""
    try:
        actor.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        return False
    return True


def _vector(run: _Run, stage: Curriculum) -> VecEnv:
    names, env = run.stage(stage), run.config.env
    if not names:
        raise UsageError(
            f"no training case belongs to the stage {stage!r}: build more, or leave the stage out"
        )
    return make_vector(
        run.config.trainer.workers,
        StoredCases(run.store, names),
        run.reward,
        steps=env.steps,
        parameters=env.parameters,
        stems=env.stems,
        adviser=run.adviser,
        episodes_per_case=env.episodes_per_case,
    )


# --- figures and the result ------------------------------------------------------------------------

NEUTRAL = -1
"""In the list of evaluations, the number of the untrained actor, which is neutral."""

LEANING = -2
"""In the list of evaluations, the number of the trained actor that takes its share of the advice."""


def _evaluate(run: _Run, actor: Actor | MixingActor, iteration: int) -> dict[str, float]:
    """Figures on validation cases, kept in the run's folder; some cases are logged as sound."""
    names = run.validation[: run.config.cases.validation]
    heard = set(names[: run.config.logging.audio]) if iteration >= 0 else set()

    sounds: dict[str, tuple[Audio, Audio]] = {}

    def hear(name: str, pair: RenderPair) -> None:
        if name in heard:
            sounds[re.sub(r"[^\w.-]", "_", name)] = (pair.before.audio, pair.after.audio)

    cases = StoredCases(run.store, run.validation)
    figures = summary(
        play(actor.frozen(), cases, names, run.choice, run.adviser, run.reward, hear), run.choice.names
    )
    run.log.sounds(sounds, iteration)
    append_line(run.folder / _EVALUATIONS, {"iteration": iteration, **figures})
    run.show("train", max(iteration, 0) / max(run.config.trainer.ppo.iterations, 1))
    return {f"validation/{name}": value for name, value in figures.items()}


def _evaluations(run: _Run) -> list[dict[str, float]]:
    """The figures of each evaluation; rows that a kill or a disk damaged are left out."""
    rows = read_lines(run.folder / _EVALUATIONS)
    return [row for row in rows if isinstance(row.get("iteration"), int) and "total" in row]


def _shipped(run: _Run, actor: Actor) -> Path:
    """Write the policy's folder: what each phase reached stands in its card."""
    by_iteration = {row["iteration"]: row for row in _evaluations(run)}
    later = [row for iteration, row in by_iteration.items() if iteration > 0]
    named = {"neutral": NEUTRAL, "warm start": 0}
    phases = {name: by_iteration[number] for name, number in named.items() if number in by_iteration}
    if later:
        phases["PPO"] = max(later, key=lambda row: row["total"])
    if LEANING in by_iteration:
        phases["with advice"] = by_iteration[LEANING]
    results = {name: {k: round(v, 4) for k, v in row.items()} for name, row in phases.items()}
    config = run.config
    checkpoint = Checkpoint(
        actor, config.env.parameters, config.env.stems, config.env.adviser, config.resolved(), results
    )
    folder = run.folder / "policy"
    checkpoint.save(folder, card(run.folder.name, config, len(run.training), results))
    return folder


def card(name: str, config: TrainConfig, cases: int, results: Mapping[str, Mapping[str, float]]) -> str:
    """The model card: what it is, what it was trained on, how, and what each phase reached."""
    shown = ("total", "blind", *(key for key in results["neutral"] if key.startswith(("recovery", "clean"))))
    rows = [
        f"| {key} | " + " | ".join(f"{row.get(key, math.nan):.3f}" for row in results.values()) + " |"
        for key in shown
    ]
    return "\n".join(
        [
            f"# The policy `{name}`",
            "",
            "Decides the settings of the chain for a song in one forward pass, from measures of the mix and",
            f"its stems. Trained by mixagent {__version__}; `config.json` holds the whole configuration.",
            "",
            f"- **Data**: {cases} segments of songs of the training split, damaged on purpose, or not.",
            "- **Licence**: GPL-3.0-or-later, as the project. No audio can be got back from the weights.",
            f"- **Seed**: {config.trainer.seed}",
            f"- **Command**: `mixagent train experiment={config.name}`",
            "",
            f"## Measured on {config.cases.validation} cases of validation songs, one render each",
            "| figure | " + " | ".join(results) + " |",
            "|---|" + "---|" * len(results),
            *rows,
            "",
            "`recovery` is the mean share of the total distance to the original undone, by what the case was",
            "damaged with; `clean` is how far undamaged cases were moved, in dB. The validation cases also",
            "chose the round of the warm start and the iteration of PPO.",
            "",
        ]
    )
