"""Why an actor moved a parameter: the measure that did most for it, in words.

What a measure did is what its absence undoes: it is set to the training songs' mean (advice to none),
and the network decides again (occlusion, Zeiler and Fergus 2014). Of the kinds of measures, set so
together, the one whose absence takes most from the move is named, and of it the strongest measure.
Where no absence takes anything from it, the move is what the actor does to every song.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.pipeline.types import FloatArray
from mixagent.policies.forward import FrozenActor, Observation, Order

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
"""The subject of the features, by the beginning of their names."""

FINDINGS: Mapping[str, str] = {"holes": "spectral holes", "flatness": "flat dynamics"}

_NUMBERED = re.compile(r"(gap|resonance)_(\d)_(\w+)")
_OF_IT = {"hz": "where {} lies", "db": "how large {} is", "excess_db": "how far {} stands out"}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")

_BAND = re.compile(r"([\d.]+)(?:-([\d.]+))?hz")


@dataclass(frozen=True)
class _Measures:
    """The subjects of an observation's measures, in the order of `_joined`.

    `kinds` names each group, `group` gives each measure's, and `details` what it is within its group.
    """

    kinds: tuple[str, ...]
    group: NDArray[np.intp]
    details: tuple[str, ...]


def explain(
    actor: FrozenActor,
    observation: Observation,
    order: Order,
    moved: Sequence[int],
    stems: Sequence[str],
    names: Sequence[str],
    advised: Mapping[str, str],
) -> dict[str, str]:
    """A clause for each moved parameter.

    Args:
        actor: what decided.
        observation: of one song.
        order: see `FrozenActor.order`.
        moved: which parameters moved, as places in `names`.
        stems: of the observation, in order.
        names: of all steered parameters.
        advised: the adviser's reasons by parameter, used where its advice did most.
    """
    if not moved:
        return {}
    measures = _measures(tuple(stems), len(names))
    apart = _joined(observation) - _usual(actor, observation)
    reasons = {names[index]: _ALWAYS for index in moved}
    for index, place in _strongest(actor, observation, order, moved, measures).items():
        advice = place - (len(apart) - len(names))
        if advice >= 0:
            reasons[names[index]] = advised.get(names[advice], "the rules' advice")
        else:
            kind = measures.kinds[measures.group[place]]
            reasons[names[index]] = clause_of(kind, measures.details[place], float(apart[place]))
    return reasons


_ALWAYS = "as for every song"

_LEAST = 1e-4
"""A share in an action that is less than this is rounding, not a reason."""

_INPUTS = ("mix", "stems", "diagnosis", "target", "advice")


def _strongest(
    actor: FrozenActor, observation: Observation, order: Order, moved: Sequence[int], measures: _Measures
) -> dict[int, int]:
    """The place of the strongest measure of the kind that did most, for each parameter that any moved."""
    towards = np.sign(actor.action(observation, order))
    together = measures.group == np.arange(len(measures.kinds))[:, None]
    by_kind = _shares(actor, observation, order, together) * towards
    kinds, most = np.argmax(by_kind, axis=0), np.max(by_kind, axis=0)
    places = np.flatnonzero(np.isin(measures.group, kinds[list(moved)]))
    single = places[:, None] == np.arange(len(measures.group))
    shares = _shares(actor, observation, order, single) * towards
    of_kind = measures.group[places][:, None] == kinds
    strongest = places[np.argmax(np.where(of_kind, shares, -np.inf), axis=0)]
    return {index: int(strongest[index]) for index in moved if most[index] > _LEAST}


def _shares(
    actor: FrozenActor, observation: Observation, order: Order, hidden: NDArray[np.bool_]
) -> FloatArray:
    """The change of the action when measures are hidden, shape (rows, A), for `hidden` (rows, measures)."""
    varied = np.where(hidden, _usual(actor, observation), _joined(observation))
    ends = np.cumsum([observation[key].size for key in _INPUTS])[:-1]
    parts = zip(_INPUTS, np.split(varied, ends, axis=1), strict=True)
    rows = {key: np.broadcast_to(value, (len(hidden), *value.shape)) for key, value in observation.items()}
    rows |= {key: part.reshape(rows[key].shape) for key, part in parts}
    return actor.action(observation, order) - actor.action(rows, order)


def _usual(actor: FrozenActor, observation: Observation) -> FloatArray:
    """The value for a hidden measure: its mean over the training songs, and 0 for advice."""
    none = np.zeros((), np.float32)
    return _joined(
        {key: np.broadcast_to(actor.mean.get(key, none), observation[key].shape) for key in _INPUTS}
    )


def _joined(observation: Observation) -> FloatArray:
    """The inputs' values as one vector."""
    return np.concatenate([observation[key].ravel() for key in _INPUTS])


@lru_cache(maxsize=16)
def _measures(stems: tuple[str, ...], parameters: int) -> _Measures:
    """The groups of an observation of these stems; each parameter's advice is a group of its own."""
    mix = [words_of("mix", label) for label in FEATURE_NAMES]
    of_stems = [(f"{stem}: {kind}", detail) for stem in stems for kind, detail in mix]
    findings = [words_of("diagnosis", label) for label in DIAGNOSIS_NAMES]
    targets = [words_of("target", label) for label in TARGET_NAMES]
    advice = [(f"advice {number}", "") for number in range(parameters)]
    rows = [*mix, *of_stems, *findings, *targets, *advice]
    kinds = tuple(dict.fromkeys(kind for kind, _ in rows))
    places = {kind: place for place, kind in enumerate(kinds)}
    group = np.array([places[kind] for kind, _ in rows], np.intp)
    return _Measures(kinds, group, tuple(detail for _, detail in rows))


def words_of(key: str, label: str) -> tuple[str, str]:
    """The subject of a measure, and its detail (a band, or what of a finding)."""
    if key == "diagnosis":
        kind, what = label.split(".", 1)
        return f"the finding of {FINDINGS.get(kind, kind)}", _spoken(what)
    if key == "target":
        return "the loudness target", label.replace("_", " ")
    kind = next((k for k in sorted(KINDS, key=len, reverse=True) if label.startswith(k)), "")
    band = _BAND.search(label)
    return KINDS.get(kind, label.replace("_", " ")), _band(band) if band else ""


def _spoken(what: str) -> str:
    """`gap_2_hz` as words: where its third gap lies."""
    numbered = _NUMBERED.fullmatch(what)
    if numbered:
        thing, number, of_it = numbered.groups()
        return _OF_IT[of_it].format(f"its {_ORDINALS[int(number)]} {thing}")
    for suffix, words in (("_db", "{} in dB"), ("_hz", "where its {} lies")):
        if what.endswith(suffix):
            what = words.format(what.removesuffix(suffix))
    return what.replace("_", " ")


def _band(found: re.Match[str]) -> str:
    low, high = found.groups()
    if high:
        return f"{low}–{high} Hz"
    return f"around {int(low) / 1000:g} kHz" if int(low) >= 1000 else f"around {low} Hz"


def clause_of(kind: str, detail: str, apart: float) -> str:
    """A reason in words: a measure of `words_of`, `apart` from the training songs in dB or a share."""
    if not detail:
        return kind
    # A band in dB; coherence is a share.
    if detail.endswith("Hz") and not kind.endswith(KINDS["coherence"]):
        return f"{kind} {detail}: {apart:+.1f} dB against the training songs"
    return f"{kind} ({detail})"
