"""Why an actor moved a parameter: the measure that did most for it, in words.

Each measure's share in an action is its gradient times how far it stands from the training songs'
mean (gradient × input, Shrikumar et al. 2016). The shares of measures of one kind are summed, the
kind with the largest share in the direction of the move is named, and of it the strongest measure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES
from mixagent.pipeline.features import FEATURE_NAMES
from mixagent.policies.network import Actor

KINDS: Mapping[str, str] = {
    "tone": "tone",
    "low": "the quiet moments",
    "high": "the loud moments",
    "width": "stereo width",
    "coherence": "how alike the channels are",
    "lean": "the lean of the picture",
    "correlation": "the channels' correlation",
    "punch": "punch",
    "level": "the spread of levels",
    "modulation": "movement of the level",
    "crest": "peaks over the mean level",
    "near_peak": "samples close to the highest",
    "line": "steady narrow lines",
    "resonance": "resonances in the low mids",
    "bump": "bumps of the spectrum",
    "gap": "gaps in the spectrum",
    "cut_off": "the end of the spectrum",
    "cliff": "the end of the spectrum",
    "flatness": "noisiness",
    "blinks": "bands that drop out",
}
"""What the features are about, by the beginning of their names."""

FINDINGS: Mapping[str, str] = {"holes": "spectral holes", "flatness": "flat dynamics"}

_BAND = re.compile(r"(\d+)(?:-(\d+))?hz")


@dataclass(frozen=True)
class _Measures:
    """What the measures of an observation are about, in the order of `_joined`.

    `kinds` names each group, `group` gives each measure's, and `details` what it is within its group.
    """

    kinds: tuple[str, ...]
    group: NDArray[np.intp]
    details: tuple[str, ...]


def explain(
    actor: Actor,
    observation: Mapping[str, Tensor],
    order: Tensor,
    moved: Sequence[int],
    stems: Sequence[str],
    names: Sequence[str],
    advised: Mapping[str, str],
) -> dict[str, str]:
    """A clause for each moved parameter.

    Args:
        actor: in evaluation mode.
        observation: a batch of one.
        order: see `Layout.order`.
        moved: which parameters moved, as places in `names`.
        stems: of the observation, in order.
        names: of all steered parameters.
        advised: the adviser's reasons by parameter, used where its advice did most.
    """
    inputs = {key: observation[key].clone().requires_grad_() for key in _INPUTS}
    action = actor({**observation, **inputs}, order)[0]
    means = {key: actor.encoder.get_buffer(f"{key}_mean") for key in _INPUTS[:-1]}
    apart = _joined([observation[key][0] - means.get(key, 0.0) for key in _INPUTS])
    measures = _measures(tuple(stems), len(names))
    reasons = {}
    for index in moved:
        slopes = torch.autograd.grad(action[index], list(inputs.values()), retain_graph=True)
        shares = _joined([slope[0] for slope in slopes]) * apart
        place = _strongest(shares if action[index] > 0 else -shares, measures)
        advice = place - (len(shares) - len(names))
        if advice >= 0:
            reasons[names[index]] = advised.get(names[advice], "the rules' advice")
        else:
            kind = measures.kinds[measures.group[place]]
            reasons[names[index]] = _clause(kind, measures.details[place], float(apart[place]))
    return reasons


_INPUTS = ("mix", "stems", "diagnosis", "target", "advice")


def _joined(parts: Sequence[Tensor]) -> NDArray[np.float32]:
    """The inputs' values as one vector."""
    return torch.cat([part.detach().reshape(-1) for part in parts]).numpy()


def _strongest(shares: NDArray[np.float32], measures: _Measures) -> int:
    """The strongest measure of the group with the largest sum."""
    sums = np.bincount(measures.group, shares)
    return int(np.argmax(np.where(measures.group == int(np.argmax(sums)), shares, -np.inf)))


@lru_cache(maxsize=16)
def _measures(stems: tuple[str, ...], parameters: int) -> _Measures:
    """The groups of an observation of these stems; each parameter's advice is a group of its own."""
    mix = [_words("mix", label) for label in FEATURE_NAMES]
    of_stems = [(f"{stem}: {kind}", detail) for stem in stems for kind, detail in mix]
    findings = [_words("diagnosis", label) for label in DIAGNOSIS_NAMES]
    targets = [_words("target", label) for label in TARGET_NAMES]
    advice = [(f"advice {number}", "") for number in range(parameters)]
    rows = [*mix, *of_stems, *findings, *targets, *advice]
    kinds = tuple(dict.fromkeys(kind for kind, _ in rows))
    places = {kind: place for place, kind in enumerate(kinds)}
    group = np.array([places[kind] for kind, _ in rows], np.intp)
    return _Measures(kinds, group, tuple(detail for _, detail in rows))


def _words(key: str, label: str) -> tuple[str, str]:
    """What a measure is about, and its detail (a band, or what of a finding)."""
    if key == "diagnosis":
        kind, what = label.split(".", 1)
        return f"the finding of {FINDINGS.get(kind, kind)}", what.replace("_", " ")
    if key == "target":
        return "the loudness target", label.replace("_", " ")
    kind = next((k for k in sorted(KINDS, key=len, reverse=True) if label.startswith(k)), "")
    band = _BAND.search(label)
    return KINDS.get(kind, label.replace("_", " ")), _band(band) if band else ""


def _band(found: re.Match[str]) -> str:
    low, high = found.groups()
    return f"{low}–{high} Hz" if high else f"around {low} Hz"


def _clause(kind: str, detail: str, apart: float) -> str:
    if not detail:
        return kind
    if detail.endswith("Hz"):
        return f"{kind} {detail}: {apart:+.1f} dB against the training songs"
    return f"{kind} ({detail})"
