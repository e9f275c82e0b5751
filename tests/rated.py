"""Masters that were heard in four stems, as experiences to rate: no sound is rendered for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from mixagent.envs.cases import measure_case
from mixagent.envs.context import Context
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.pipeline.types import Audio, Stems
from mixagent.policies.experience import Experience


@cache
def heard_in_stems(seed: int = 0) -> Context:
    """A song of four synthesised stems, measured."""
    parts = {name: synthetic_song(10 * seed + k, 3.0) for k, name in enumerate(ROLES)}
    mix = Audio(np.sum([part.samples for part in parts.values()], axis=0), 44100)
    space = ParameterSpace.for_stems(ROLES)
    return measure_case("song", Stems(mix, parts), TARGETS["streaming"]).context(space)


def mastered(
    settings: Mapping[str, float],
    name: str = "one",
    seed: int = 0,
    asked: Mapping[str, float] | None = None,
) -> Experience:
    """A master of such a song by the policy that mixes."""
    return Experience(
        song=f"song {seed}",
        master=f"master {seed} {name}",
        name="song.wav",
        context=replace(heard_in_stems(seed), features={}),
        settings=dict(settings),
        policy="mix",
        policy_sha256="",
        terms={},
        blind=None,
        version="0.1.0",
        asked=asked or {},
    )
