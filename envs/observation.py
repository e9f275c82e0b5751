"""A policy's observation of a case, as arrays: the same function in training, search and product.

Values are raw, in the units that they were measured in, with frequencies in octaves about 1 kHz;
what does not depend on the song's level stays so. Normalising is the policy's own business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixagent.envs.context import Context
from mixagent.pipeline.diagnosis.diagnose import PATHOLOGIES, Diagnosis
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.pipeline.measure.fingerprint import IMAGE_EDGES_HZ
from mixagent.pipeline.measure.stem_features import FEATURES, features, present
from mixagent.pipeline.measure.stem_measures import ROLES, measures_of
from mixagent.pipeline.types import FloatArray
from mixagent.reward.recovery import DIMENSIONS

if TYPE_CHECKING:
    # What is known of a song is shown without the damage, whose filters take a second to load.
    from mixagent.envs.cases import Case

Observation = dict[str, FloatArray]

_VALUES: Mapping[str, tuple[str, ...]] = {
    "mud": (
        *("score", "likely_excess_db", "excess_db", "excess_most_db", "center_hz", "q", "tilt_db"),
        *("resonant", "resonance_db", "resonance_hz", "resonance_count"),
        *(f"resonance_{k}_{what}" for k in range(3) for what in ("hz", "db", "excess_db")),
    ),
    "shimmer": (
        *("score", "likely_excess_db", "excess_db", "excess_most_db", "center_hz"),
        *("line_db", "line_count", "line_hz"),
    ),
    "holes": (
        *("score", "likely_excess_db", "cutoff_hz", "missing_db", "gap_count", "blink_share"),
        *(f"gap_{k}_{unit}" for k in range(6) for unit in ("hz", "db")),
    ),
    "panning": (
        *("score", "likely_excess_db", "balance_db", "common_lean_db", "likely_lean_db"),
        *("lean_spread_db", "lean_most_db", "width_excess_db", "correlation"),
        *(f"lean_{hz:.0f}_db" for hz in IMAGE_EDGES_HZ[:-1]),
        *(f"width_excess_{hz:.0f}_db" for hz in IMAGE_EDGES_HZ[:-1]),
    ),
    "flatness": (
        *("score", "likely_excess_db", "plr_db", "plr_deficit_db", "crest_deficit_db", "psr_db", "range_lu"),
        *("clipped_share", "top_share"),
    ),
    "clipping": ("runs",),
    "hum": ("mains_hz", "line_db"),
    "noise": ("floor_db",),
    "mono": (),
    "silence": (),
    "glitches": ("clicks", "dropouts"),
}

DIAGNOSIS_NAMES: tuple[str, ...] = tuple(
    f"{kind}.{name}" for kind, names in _VALUES.items() for name in ("severity", *names)
)
"""Every figure of a diagnosis that does not depend on the level, `kind.value`; Hz are octaves re 1 kHz."""

TARGET_NAMES = ("integrated_lufs", "ceiling_dbtp", "max_reduction_db")

TRUTH_NAMES = (
    "known",
    *(f"severity.{kind}" for kind in PATHOLOGIES),
    *(f"distance.{name}" for name in ("total", *DIMENSIONS)),
)
"""The known severities of the damage; all 0 where none is known."""


@dataclass(frozen=True)
class Last:
    """The render before, for a step that refines it.

    `features` are `describe` of that render, `action` is what made it, and `step_share` is the share
    of the episode's steps that are done, in (0, 1].
    """

    features: FloatArray
    action: FloatArray
    step_share: float


def shapes(stems: Sequence[str], parameters: int) -> dict[str, tuple[int, ...]]:
    """The shape of each part of an observation for these stems and so many chosen parameters."""
    features = len(FEATURE_NAMES)
    return {
        "mix": (features,),
        "stems": (len(stems), features),
        "present": (len(stems),),
        "diagnosis": (len(DIAGNOSIS_NAMES),),
        "advice": (parameters,),
        "target": (len(TARGET_NAMES),),
        "last": (features + parameters + 2,),
        "truth": (len(TRUTH_NAMES),),
        "strips": (len(ROLES), len(FEATURES)),
        "strips_present": (len(ROLES),),
    }


def observe(
    context: Context,
    stems: Sequence[str],
    advice: FloatArray,
    last: Last | None = None,
    truth: FloatArray | None = None,
) -> Observation:
    """The observation of a song, new float32 arrays of `shapes`.

    Args:
        context: the analysis; its features hold `mix`, and the stems that it has.
        stems: which stems are shown, in order. One that the song lacks is zeros, `present` 0.
        advice: an adviser's action for the chosen parameters; zeros without one.
        last: the render before, when refining.
        truth: `truth_of` the case; only a critic network may look at it, and only in training.

    Raises:
        KeyError: the context holds no features of the mix.
    """
    mix = context.features["mix"]
    there = [name in context.features for name in stems]
    measures = measures_of(context.mix, context.stems)
    rows = [context.features.get(name, np.zeros_like(mix)) for name in stems]
    return {
        "mix": np.array(mix, np.float32),
        "stems": np.array(rows, np.float32).reshape(len(rows), mix.size),
        "present": np.array(there, np.float32),
        "diagnosis": diagnosis_values(context.diagnosis),
        "advice": np.array(advice, np.float32),
        "target": target_values(context.target),
        "last": _last_values(last, mix, advice.size),
        "truth": np.zeros(len(TRUTH_NAMES), np.float32) if truth is None else truth.copy(),
        "strips": features(measures),
        "strips_present": present(measures),
    }


def diagnosis_values(diagnosis: Diagnosis) -> FloatArray:
    """The figures of `DIAGNOSIS_NAMES`; 0 for what was not found."""
    values = np.zeros(len(DIAGNOSIS_NAMES), np.float32)
    for index, name in enumerate(DIAGNOSIS_NAMES):
        kind, what = name.split(".", 1)
        if (finding := diagnosis.finding(kind)) is None:
            continue
        value = finding.severity if what == "severity" else finding.values.get(what, 0.0)
        values[index] = math.log2(value / 1000.0) if what.endswith("_hz") and value > 0 else value
    return values


def target_values(target: LoudnessTarget) -> FloatArray:
    """The figures of `TARGET_NAMES`."""
    return np.array([getattr(target, name) for name in TARGET_NAMES], np.float32)


def truth_of(case: Case) -> FloatArray:
    """The figures of `TRUTH_NAMES`: what was done to the original, and how far the mix is from it."""
    if case.damage is None or case.distance is None:
        return np.zeros(len(TRUTH_NAMES), np.float32)
    done = {str(kind): severity for kind, severity in case.damage.severities.items()}
    severities = [done.get(kind, 0.0) for kind in PATHOLOGIES]
    distances = [getattr(case.distance, name) for name in ("total", *DIMENSIONS)]
    return np.array([1.0, *severities, *distances], np.float32)


def _last_values(last: Last | None, mix: FloatArray, parameters: int) -> FloatArray:
    if last is None:
        return np.zeros(mix.size + parameters + 2, np.float32)
    return np.concatenate([last.features - mix, last.action, (last.step_share, 1.0)]).astype(np.float32)
