"""Training by proximal policy optimisation (Schulman et al. 2017), with stable-baselines3's PPO.

Read from top to bottom: the settings, the policy that holds our networks, the loop, and what a run
leaves on disk. Each iteration is one rollout and one update, and everything random in it is seeded by
the run's seed and the iteration's number; so a run that was stopped goes on to the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from safetensors.torch import save_file
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from mixagent.envs.cases import Curriculum
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.files import atomically


@dataclass(frozen=True)
class PpoSettings:
    """The settings of learning from renders.

    Attributes:
        iterations: rollouts, each followed by an update; 0 leaves PPO out.
        steps: renders of each environment in a rollout.
        batch: samples in a gradient step.
        epochs: rounds over a rollout.
        learning_rate: at the start; it falls to a tenth in a straight line.
        clip: how far the ratio of new to old probability counts.
        target_kl: an update stops early beyond 1.5 times this.
        value_iterations: so many first iterations train the value network only, so that a
            warm-started actor is not moved by a value network that knows nothing.
        deviation: standard deviation of the actions at the start.
        deviations: the same for parameters that match a pattern, the last match counting.
        max_gradient: norm to which gradients are cut.
        grouped: in episodes of one render, hold renders of the same case against each other, see
            `GroupBaseline`; the value network then serves only where a case has one render.
        stages: the curriculum: how many pathologies a case may have, in equal parts of the run.
        evaluate_every: iterations between evaluations on the validation cases.
    """

    iterations: int = 60
    steps: int = 128
    batch: int = 128
    epochs: int = 6
    learning_rate: float = 1e-4
    clip: float = 0.2
    target_kl: float = 0.03
    value_iterations: int = 4
    deviation: float = 0.06
    deviations: dict[str, float] = field(default_factory=dict)
    max_gradient: float = 0.5
    grouped: bool = True
    stages: tuple[str, ...] = ("single", "pair", "all")
    evaluate_every: int = 10

    def stage(self, iteration: int) -> Curriculum:
        """The stage of the curriculum in this iteration."""
        place = iteration * len(self.stages) // max(self.iterations, 1)
        return cast(Curriculum, self.stages[min(place, len(self.stages) - 1)])


A = TypeVar("A", bound=nn.Module)


@dataclass(frozen=True)
class Networks(Generic[A]):
    """The networks that are trained.

    Attributes:
        actor: sees what a policy may see; from an observation and `order` to the mean action (B, A).
        value: sees the true damage too; from the same to the value (B,).
        names: of the parameters in an action.
        order: of those parameters, see `Layout.order`.
        deviation: standard deviation of each action at the start, shape (A,).
    """

    actor: A
    value: nn.Module
    names: tuple[str, ...]
    order: Tensor
    deviation: Tensor


class MixingPolicy(ActorCriticPolicy):
    """stable-baselines3's policy around our two networks: a Gaussian about the actor's action.

    Actions are sampled around the unclipped mean and clipped by PPO before they are rendered. Each
    parameter has a standard deviation of its own, which is learned.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        networks: Networks[Any],
        **options: Any,
    ) -> None:
        self.networks = networks
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=CombinedExtractor,
            **options,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        self.actor, self.value = self.networks.actor, self.networks.value
        self.register_buffer("order", self.networks.order)
        self.log_std = nn.Parameter(self.networks.deviation.log())
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), eps=1e-5)
        self.gradients: list[float] = []
        self.optimizer.register_step_pre_hook(lambda *_: self._note_gradient())

    def _note_gradient(self) -> None:
        """Keep the norm of the gradient of a step, as it was cut."""
        norms = [part.grad.norm() for part in self.parameters() if part.grad is not None]
        self.gradients.append(float(torch.stack(norms).norm()) if norms else 0.0)

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (B, A), values (B, 1) and the actions' log probabilities (B,)."""
        distribution = self.get_distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.predict_values(obs), distribution.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values, log probabilities of actions that were taken, and the entropy."""
        distribution = self.get_distribution(obs)
        return self.predict_values(obs), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """The Gaussian about the actor's action."""
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        return self.action_dist.proba_distribution(self.actor(obs, self.order), self.log_std)

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """The value network's predictions, (B, 1)."""
        values: Tensor = self.value(obs, self.order).unsqueeze(-1)
        return values


# --- the loop --------------------------------------------------------------------------------------

MakeEnv = Callable[[Curriculum], VecEnv]
Evaluate = Callable[[int], Mapping[str, float]]
"""Evaluates the actor as it is after an iteration; `validation/total` decides which one is kept."""


def train(
    networks: Networks[Any],
    make_env: MakeEnv,
    settings: PpoSettings,
    seed: int,
    folder: Path,
    logger: Logger,
    evaluate: Evaluate | None = None,
) -> Path:
    """Train the networks in place; the folder of the run then holds the best actor's weights.

    Args:
        networks: what is trained, standardised, warm or fresh.
        make_env: the environments of a stage of the curriculum; closed when the stage is over.
        settings: how.
        seed: with the number of an iteration, of everything random in it.
        folder: of the run. Where it holds a `state.pt` the run goes on from there.
        logger: where figures go, by number of renders.
        evaluate: called before the first iteration, every `evaluate_every` ones, and at the end.

    Returns:
        The file of the best actor's weights: `best.safetensors`, or the last where nothing evaluates.

    Raises:
        InputError: a `state.pt` that cannot be read, or of other networks.
    """
    keeper = _Keeper(folder, networks.actor, evaluate, logger)
    env = make_env(settings.stage(0))
    model = _model(networks, env, settings, seed)
    model.set_logger(logger)
    start = _resume(model, keeper, folder)
    if start == 0:
        keeper.consider(0, model.num_timesteps)
    stage = settings.stage(0)
    for iteration in range(start, settings.iterations):
        if settings.stage(iteration) != stage:
            stage = settings.stage(iteration)
            env.close()
            env = make_env(stage)
            model.set_env(env)
        _one_iteration(model, networks, settings, seed, iteration)
        if (iteration + 1) % settings.evaluate_every == 0 or iteration + 1 == settings.iterations:
            keeper.consider(iteration + 1, model.num_timesteps)
        _save_state(model, keeper, folder, iteration + 1)
    env.close()
    return keeper.best_file


def _model(networks: Networks[Any], env: VecEnv, settings: PpoSettings, seed: int) -> PPO:
    return PPO(
        MixingPolicy,
        env,
        learning_rate=settings.learning_rate,
        n_steps=settings.steps,
        batch_size=min(settings.batch, settings.steps * env.num_envs),
        n_epochs=settings.epochs,
        gamma=1.0,  # rewards of an episode telescope to the score of its last render
        gae_lambda=1.0,
        clip_range=settings.clip,
        ent_coef=0.0,
        max_grad_norm=settings.max_gradient,
        target_kl=settings.target_kl,
        policy_kwargs={"networks": networks},
        seed=seed,
        device="cpu",
    )


def _one_iteration(
    model: PPO, networks: Networks[Any], settings: PpoSettings, seed: int, iteration: int
) -> None:
    """One rollout and one update, which depend on nothing but the weights, the seed and the number."""
    own_seed = int(np.random.SeedSequence([seed, iteration]).generate_state(1)[0]) >> 1
    set_random_seed(own_seed)
    assert model.env is not None
    model.env.seed(own_seed)
    model._last_obs = None  # a new rollout begins with a reset of every environment
    share = iteration / max(settings.iterations, 1)
    model.lr_schedule = lambda _: settings.learning_rate * (1.0 - 0.9 * share)
    for part in (networks.actor, model.policy.get_parameter("log_std")):
        part.requires_grad_(iteration >= settings.value_iterations)
    callbacks: list[BaseCallback] = [RolloutRecorder(model.logger, networks.names)]
    if settings.grouped:
        callbacks.append(GroupBaseline())
    model.learn(settings.steps * model.n_envs, callback=callbacks, reset_num_timesteps=False)
    policy = cast(MixingPolicy, model.policy)
    if policy.gradients:
        model.logger.record("train/gradient_norm", float(np.mean(policy.gradients)))
        policy.gradients.clear()


class GroupBaseline(BaseCallback):
    """Takes the mean reward of a case's other renders for the baseline of each.

    How much a case can gain differs far more between cases than between actions near each other, and
    the value network knows it only roughly; the case's own renders know it well (the leave-one-out
    baseline of Kool et al. 2019; Shao et al. 2024 train language models so). Episodes of several
    renders, and cases with one render in the rollout, keep the advantage that PPO gave them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cases: list[list[str]] = []
        self._single = True

    def _on_step(self) -> bool:
        self._cases.append([info["case"] for info in self.locals["infos"]])
        self._single &= bool(np.all(self.locals["dones"]))
        return True

    def _on_rollout_end(self) -> None:
        if self._single:
            buffer = self.locals["rollout_buffer"]
            against = against_group(buffer.returns, np.array(self._cases))
            buffer.advantages = np.where(np.isnan(against), buffer.advantages, against)


def against_group(returns: NDArray[np.float32], cases: NDArray[np.str_]) -> NDArray[np.float32]:
    """Each return minus the mean of the others of its case, NaN where there is none; both of one shape."""
    _, group = np.unique(cases.ravel(), return_inverse=True)
    count, total = np.bincount(group), np.bincount(group, returns.ravel())
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (total[group] - returns.ravel()) / (count[group] - 1)
    return np.asarray((returns.ravel() - others).reshape(returns.shape), np.float32)


class RolloutRecorder(BaseCallback):
    """Records the figures of a rollout: every reward term, the recovery, and each parameter's actions.

    The spread of a parameter's actions across songs tells a policy that listens from one that has
    collapsed to one setting.
    """

    def __init__(self, logger: Logger, names: Sequence[str]) -> None:
        super().__init__()
        self._out, self._names = logger, names
        self._infos: list[Mapping[str, Any]] = []
        self._actions: list[NDArray[np.float32]] = []

    def _on_step(self) -> bool:
        self._infos += self.locals["infos"]
        self._actions.append(self.locals["clipped_actions"])
        return True

    def _on_rollout_end(self) -> None:
        figures = {**mean_figures(self._infos), **self._action_figures(), **self._moved()}
        for name, value in figures.items():
            self._out.record(name, value)

    def _moved(self) -> dict[str, float]:
        """The divergence from the warm start that an actor is bound to, over the rollout's observations."""
        policy = cast(Any, self.model.policy)
        actor = policy.actor
        if not hasattr(actor, "started"):
            return {}
        seen = self.locals["rollout_buffer"].observations
        shown = {name: torch.from_numpy(rows.reshape(-1, *rows.shape[2:])) for name, rows in seen.items()}
        order, deviation = policy.order, policy.log_std.exp()
        with torch.no_grad():
            moved = (actor(shown, order) - actor.started(shown, order)) / deviation
        return {"train/kl_to_start": float(moved.square().sum(-1).mean() / 2)}

    def _action_figures(self) -> dict[str, float]:
        actions = np.concatenate(self._actions)
        deviation = self.model.policy.get_parameter("log_std").detach().exp().numpy()
        figures: dict[str, float] = {}
        for index, name in enumerate(self._names):
            figures[f"actions/mean/{name}"] = float(actions[:, index].mean())
            figures[f"actions/spread/{name}"] = float(actions[:, index].std())
            figures[f"actions/deviation/{name}"] = float(deviation[index])
        return figures


def mean_figures(infos: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over renders of what `info` holds: total, blind, each term, each dimension's recovery."""
    columns: dict[str, list[float]] = {}
    for info in infos:
        for group in ("terms", "recovery"):
            for name, value in info.get(group, {}).items():
                columns.setdefault(f"{group}/{name}", []).append(value)
        for name in ("total", "blind"):
            if name in info:
                columns.setdefault(f"reward/{name}", []).append(info[name])
    known = {name: np.array(values)[~np.isnan(values)] for name, values in columns.items()}
    return {name: float(values.mean()) for name, values in known.items() if values.size}


# --- what a run leaves -----------------------------------------------------------------------------


class _Keeper:
    """Evaluates from time to time and keeps the weights of the best actor so far."""

    def __init__(self, folder: Path, actor: nn.Module, evaluate: Evaluate | None, logger: Logger) -> None:
        self.best_file = folder / "best.safetensors"
        self.highest = -np.inf
        self._actor, self._evaluate, self._logger = actor, evaluate, logger

    def consider(self, iteration: int, renders: int) -> None:
        """Evaluate, and keep the weights where they are the best so far."""
        figures = self._evaluate(iteration) if self._evaluate else {}
        for name, value in figures.items():
            self._logger.record(name, value)
        self._logger.dump(renders)
        total = figures.get("validation/total", np.inf)
        if total >= self.highest:
            self.highest = total
            self.best_file.parent.mkdir(parents=True, exist_ok=True)
            with atomically(self.best_file) as place:
                save_file(self._actor.state_dict(), place)


def _save_state(model: PPO, keeper: _Keeper, folder: Path, iteration: int) -> None:
    state = {
        "iteration": iteration,
        "renders": model.num_timesteps,
        "highest": float(keeper.highest),
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomically(folder / "state.pt", durable=True) as place:
        torch.save(state, place)


def _resume(model: PPO, keeper: _Keeper, folder: Path) -> int:
    """Take up a run where it was left; the number of iterations that are done."""
    path = folder / "state.pt"
    if not path.is_file():
        return 0
    try:
        state = torch.load(path, weights_only=True)
        iteration, renders, highest = int(state["iteration"]), int(state["renders"]), float(state["highest"])
        model.policy.load_state_dict(state["policy"])
        model.policy.optimizer.load_state_dict(state["optimizer"])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError, UnpicklingError) as error:
        raise InputError(
            f"{path} cannot be taken up: it is broken or of another configuration; name another folder, "
            "or delete it to begin again"
        ) from error
    model.num_timesteps, keeper.highest = renders, highest
    return iteration
