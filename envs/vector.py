"""Many environments at once: workers render and measure, and one process asks the networks in batches."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from mixagent.envs.mixing import CaseSource, MixingEnv
from mixagent.reward.model import RewardModel, Score
from mixagent.reward.render_pair import RenderPair
from mixagent.reward.terms.base import Term, VoiceTerm

NETWORKS = ("critic", "balance", "nisqa", "distillmos")
"""The terms that are networks, and so are asked about all renders of a step at once."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def make_vector(
    n: int, cases: CaseSource, reward: RewardModel, *, seed: int | None = None, **options: Any
) -> VecEnv:
    """`n` environments with batched scoring, each in a process of its own; in this one for n = 1.

    Rewards and infos are those of `MixingEnv` with this reward.

    Args:
        n: environments; as many as there are cores is right.
        cases: where each takes its cases from; sent to the processes.
        reward: its networks stay in this process, the rest of it goes to the others.
        seed: environment `i` is seeded with `seed + i`.
        options: of `MixingEnv`.
    """
    near = _part(reward, lambda term: term.name not in NETWORKS)
    far = _part(reward, lambda term: term.name in NETWORKS)
    options.setdefault("hears_stems", reward.hears_stems)
    make: Callable[[], MixingEnv] = partial(MixingEnv, cases, near, **options)
    if far.terms:
        make = partial(_PairEnv, cases, near, voice_every=_voice_every(far), **options)
    makers: list[Callable[[], gymnasium.Env[Any, Any]]] = [make for _ in range(n)]
    with _one_thread_each():
        venv = DummyVecEnv(makers) if n == 1 else SubprocVecEnv(makers, start_method="spawn")
    venv.seed(seed)
    return _BatchScored(venv, far) if far.terms else venv


def _part(reward: RewardModel, chosen: Callable[[Term], bool]) -> RewardModel:
    terms = tuple(term for term in reward.terms if chosen(term))
    return RewardModel(terms, {term.name: reward.weights[term.name] for term in terms})


def _voice_every(far: RewardModel) -> int:
    """One render in so many has its voice judged; 0 for none."""
    return math.gcd(*(term.every for term in far.terms if isinstance(term, VoiceTerm)))


class _PairEnv(MixingEnv):
    """Leaves what it rendered in `info["pair"]`, measured as far as the networks need it."""

    def __init__(self, *args: Any, voice_every: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._voice_every = voice_every

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One render."""
        observation, reward, terminated, truncated, info = super().step(action)
        assert self.pair is not None
        every = self._voice_every
        info["pair"] = _sent(self.pair, bool(every) and self.pair.lot % every == 0)
        return observation, reward, terminated, truncated, info


def _sent(pair: RenderPair, voice: bool) -> RenderPair:
    """The pair without what networks do not ask about: its audio and measures are some ten megabytes."""
    before, after = pair.before.without_audio(), pair.after.without_audio()
    stems = [side and side.without_audio(voice) for side in (pair.stems_before, pair.stems_after)]
    return RenderPair(before, after, stems_before=stems[0], stems_after=stems[1], target=pair.target)


class _BatchScored(VecEnvWrapper):
    """Adds to each reward what the networks say, asked about all pairs of a step at once."""

    def __init__(self, venv: VecEnv, networks: RewardModel) -> None:
        super().__init__(venv)
        self._networks = networks
        self._totals = np.zeros(venv.num_envs)

    def reset(self) -> VecEnvObs:
        """Begin an episode everywhere."""
        self._totals[:] = 0.0
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """The next step of every environment, scored."""
        observations, rewards, dones, infos = self.venv.step_wait()
        pairs: list[RenderPair] = [info.pop("pair") for info in infos]
        scores = self._networks.score_batch(pairs)
        for info, score in zip(infos, scores, strict=True):
            _add(info, score)
        totals = np.array([score.total for score in scores])
        gained = np.asarray(rewards + totals - self._totals, np.float32)
        self._totals = np.where(dones, 0.0, totals)
        return observations, gained, dones, infos


def _add(info: dict[str, Any], score: Score) -> None:
    info["terms"] = {**info["terms"], **score.terms}
    info["total"] += score.total
    info["blind"] += score.blind


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside use one thread for linear algebra: the cores are the environments'."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
