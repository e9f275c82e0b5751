"""Tries settings on a song: what finished renders of its loudest parts are worth by the blind reward.

The parts are rendered, finished and judged by the same code as a step of the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixagent.envs.cases import Case, measure_case
from mixagent.envs.mixing import Material
from mixagent.pipeline.chain.mixing import measure_levels
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.render import ChainError
from mixagent.pipeline.restoration.spectral_holes import measure_spectral_holes
from mixagent.pipeline.types import Audio, Stems
from mixagent.reward.model import RewardModel

SEGMENTS = 3
SEGMENT_S = 4.0

_AUDIBLE_LU = 20.0
_SHORTEST_S = 0.4


@dataclass(frozen=True)
class CaseTrial:
    """The mean blind total of the renders of some cases under the same settings: a `Trial`.

    Attributes:
        materials: the cases, one or more.
        reward: what judges; terms that need the original are not asked.
        rendered: called after every settings judged; may raise to cancel.
    """

    materials: tuple[Material, ...]
    reward: RewardModel
    rendered: Callable[[], None] | None = None

    @classmethod
    def of(
        cls,
        cases: Sequence[Case],
        space: ParameterSpace,
        reward: RewardModel,
        rendered: Callable[[], None] | None = None,
    ) -> CaseTrial:
        """A trial on these cases, with settings of this space."""
        return cls(tuple(Material(case, space) for case in cases), reward, rendered)

    def __call__(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        """The blind reward of each of the settings, shape (settings,); −inf where the chain breaks."""
        blind = blind_part(self.reward)
        return np.array([self._worth(blind, one) for one in settings])

    def _worth(self, blind: RewardModel, settings: Settings) -> float:
        # One at a time: a pair with all that was measured of it is some ten megabytes.
        try:
            pairs = [material.render_pair(settings) for material in self.materials]
        except ChainError:
            worth = -np.inf
        else:
            worth = float(np.mean([score.blind for score in blind.score_batch(pairs)]))
        if self.rendered:
            self.rendered()
        return worth


def blind_part(reward: RewardModel) -> RewardModel:
    """The reward without the terms that need the original."""
    terms = tuple(term for term in reward.terms if term.blind)
    return RewardModel(terms, {term.name: reward.weights[term.name] for term in terms})


def song_cases(
    stems: Stems,
    analysis: Analysis,
    target: LoudnessTarget,
    segments: int = SEGMENTS,
    seconds: float = SEGMENT_S,
) -> list[Case]:
    """The loudest segment of each of some equal parts of a song, to be rendered as in the whole song.

    Levels and spectral holes are the whole song's, and each segment is finished as far above or below the
    target as it stands above or below the song. Silent parts give none; neither does a song under 0.4 s.
    A case is named by where it begins, in seconds.

    Args:
        stems: of the song; only the segments are held in memory.
        analysis: of the song.
        target: what the song will be finished to.
        segments: how many parts; fewer where the song is short.
        seconds: length of a segment.
    """
    starts_s = segment_starts_s(analysis, segments, seconds)
    if not starts_s:
        return []
    levels, holes = measure_levels(stems), measure_spectral_holes(stems.mix)
    cases = [measure_case(f"{start_s:g}", _cut(stems, start_s, seconds), target) for start_s in starts_s]
    return [
        replace(case, levels=levels, holes=holes, target=_raised(target, case.analysis, analysis))
        for case in cases
        if np.isfinite(case.analysis.integrated_lufs)
    ]


def segment_starts_s(analysis: Analysis, segments: int, seconds: float) -> list[float]:
    """The start of the loudest window in each of `segments` equal parts; parts without sound have none."""
    duration_s, short_term = analysis.duration_s, np.array(analysis.short_term_lufs)
    if not np.isfinite(analysis.integrated_lufs) or duration_s < _SHORTEST_S:
        return []
    count = max(min(segments, int(duration_s / seconds)), 1)
    starts = np.flatnonzero(np.arange(short_term.size) <= duration_s - seconds)
    parts = np.array_split(starts, count)
    loudest = [int(part[np.argmax(short_term[part])]) for part in parts if part.size]
    audible = [float(s) for s in loudest if short_term[s] > analysis.integrated_lufs - _AUDIBLE_LU]
    return audible or [0.0]


def _cut(stems: Stems, start_s: float, seconds: float) -> Stems:
    rate = stems.mix.rate
    start, stop = round(start_s * rate), round((start_s + seconds) * rate)
    parts = {name: Audio(part.read(start, stop), rate) for name, part in stems.parts.items()}
    return Stems(Audio(stems.mix.read(start, stop), rate), parts)


def _raised(target: LoudnessTarget, segment: Analysis, song: Analysis) -> LoudnessTarget:
    above_lu = segment.integrated_lufs - song.integrated_lufs
    return replace(target, integrated_lufs=target.integrated_lufs + above_lu)
