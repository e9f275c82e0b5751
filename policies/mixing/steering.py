"""The parameters of a strip that the agent sets, and their effect on the levels of third octaves.

Actions are those of the parameter table: 0 is neutral, ±1 are the ends of a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np

from mixagent.pipeline.chain.mixing import strip_filters
from mixagent.pipeline.chain.parameters import STRIP, ParameterSpace
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.pipeline.types import Float64Array

STATIC = ("gain_db", "low_shelf_db", "bell_db", "presence_db", "air_db", "width", "pan")
"""Whose effect on the long-term levels is known without a render: what the warm start learns."""

TONES = STATIC[:5]
"""Those of them that raise mid and side alike."""

MOVING = ("comp_ratio", "transient_attack_db", "transient_sustain_db", "reverb_send_db")
"""Whose effect only a render shows: PPO alone moves them."""

STEERED = (*STATIC, *MOVING)

FIXED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "bell_db": {"bell_hz": 350.0, "bell_q": 0.8},
        "comp_ratio": {"comp_threshold_db": 0.0, "comp_attack_ms": 10.0, "comp_release_ms": 120.0},
    }
)
"""What an effect is set to wherever the agent uses it: the low mids, and a compressor of medium speed."""

NARROWEST = 0.05
"""The least factor of the side channel that is reckoned with."""

_RATE_HZ = 44100


@cache
def most_db() -> Float64Array:
    """The gain in dB of an action of 1 of each of `TONES`, (5,)."""
    space = _space()
    return np.array([space[f"{ROLES[0]}.{name}"].high for name in TONES])


@cache
def tone_responses() -> Float64Array:
    """The change of each third octave by an action of 1 of each of `TONES`, (5, 30) in dB.

    The filters of a strip are so wide that their decibels are in proportion to their gain.
    """
    space, hz, small_db = _space(), np.array(THIRD_OCTAVES_HZ), 3.0
    rows = [np.full(hz.size, space[f"{ROLES[0]}.gain_db"].high)]
    for name, most in zip(TONES[1:], most_db()[1:], strict=True):
        values = {
            f"{ROLES[0]}.{key}": value for key, value in {name: small_db, **FIXED.get(name, {})}.items()
        }
        strip = space.settings(values).section(ROLES[0])
        response = np.sum([each.response_db(hz, _RATE_HZ) for each in strip_filters(strip)], axis=0)
        rows.append(response * most / small_db)
    return np.array(rows)


def strip_values(role: str, actions: Mapping[str, float], space: ParameterSpace) -> dict[str, float]:
    """Values of a strip's parameters for actions by name; what would not be heard is left out."""
    values: dict[str, float] = {}
    for name, action in actions.items():
        parameter = space[f"{role}.{name}"]
        value = parameter.value(action)
        if value != parameter.neutral:
            values[parameter.name] = value
            values |= {f"{role}.{key}": fixed for key, fixed in FIXED.get(name, {}).items()}
    return values


@cache
def _space() -> ParameterSpace:
    assert all(name in {row.what for row in STRIP} for name in STEERED)
    return ParameterSpace.for_stems((ROLES[0],))
