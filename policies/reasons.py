"""Why an actor moved a parameter: the measure that did most for it, in words.

Each measure's share in an action is its gradient times how far it stands from the training songs'
mean (gradient × input, Shrikumar et al. 2016). The shares of measures of one kind are summed, the
kind with the largest share in the direction of the move is named, and of it the strongest measure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
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
class _Share:
    """What one measure did for an action; `apart` is how far it stands from the mean, in its unit."""

    kind: str
    detail: str
    share: float
    apart: float


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
    reasons = {}
    for index in moved:
        gradients = torch.autograd.grad(action[index], list(inputs.values()), retain_graph=True)
        sign = 1.0 if action[index] > 0 else -1.0
        slopes = dict(zip(inputs, gradients, strict=True))
        shares = list(_shares(actor, observation, slopes, sign, stems, names, advised))
        reasons[names[index]] = _clause(shares)
    return reasons


_INPUTS = ("mix", "stems", "diagnosis", "target", "advice")


def _shares(
    actor: Actor,
    observation: Mapping[str, Tensor],
    slopes: Mapping[str, Tensor],
    sign: float,
    stems: Sequence[str],
    names: Sequence[str],
    advised: Mapping[str, str],
) -> Iterator[_Share]:
    """What every measure did in the direction of the move."""
    for key, of, labels in (
        ("mix", "", FEATURE_NAMES),
        ("diagnosis", "", DIAGNOSIS_NAMES),
        ("target", "", TARGET_NAMES),
        *(("stems", stem, FEATURE_NAMES) for stem in stems),
    ):
        row = stems.index(of) if of else ...
        apart = observation[key][0, row] - actor.encoder.get_buffer(f"{key}_mean")
        share = sign * slopes[key][0, row] * apart
        for label, value, distance in zip(labels, share.tolist(), apart.tolist(), strict=True):
            kind, detail = _words(key, label)
            yield _Share(f"{of}: {kind}" if of else kind, detail, value, distance)
    share = sign * slopes["advice"][0] * observation["advice"][0]
    for name, value in zip(names, share.tolist(), strict=True):
        yield _Share(advised.get(name, "the rules' advice"), "", value, 0.0)


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


def _clause(shares: Sequence[_Share]) -> str:
    """The kind with the largest share, and the strongest measure of it."""
    sums: dict[str, float] = {}
    for share in shares:
        sums[share.kind] = sums.get(share.kind, 0.0) + share.share
    kind = max(sums, key=lambda k: sums[k])
    strongest = max((share for share in shares if share.kind == kind), key=lambda share: share.share)
    if not strongest.detail:
        return kind
    if strongest.detail.endswith("Hz"):
        return f"{kind} {strongest.detail}: {strongest.apart:+.1f} dB against the training songs"
    return f"{kind} ({strongest.detail})"
