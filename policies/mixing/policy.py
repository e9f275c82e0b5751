"""The policy that mixes: strips by a trained net in one forward pass, the master by the band of their mix.

A checkpoint holds one net or several, whose actions are averaged (`policies.checkpoints`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.dsp.third_octaves import MUSIC
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.finished.band import judge
from mixagent.pipeline.measure.stem_features import FEATURES, features, present
from mixagent.pipeline.measure.stem_measures import ROLES, THIRDS, measures_of
from mixagent.pipeline.separation.presence import stems_there
from mixagent.pipeline.types import FloatArray
from mixagent.policies.band import BandPolicy
from mixagent.policies.base import Context, Decision
from mixagent.policies.checkpoints import CONFIG, load_checkpoint, numbered, save_checkpoint
from mixagent.policies.mixing.forward import BoundMixer, FrozenMixer
from mixagent.policies.mixing.gains import raised
from mixagent.policies.mixing.steering import FIXED, NARROWEST, STEERED, TONES, strip_values, tone_responses
from mixagent.policies.promotion import MIX, find_checkpoint
from mixagent.policies.reading.policy import Moves, moved_measures

Mixers = tuple[BoundMixer, ...]

EXPECTED = {"format": 2, "features": len(FEATURES), "steered": list(STEERED)}
"""Of a checkpoint's configuration: another is of another version of the net."""

DOUBTED = (0.2, 0.4)
"""How surely a stem is there (`stems_there`): left alone under the first, moved in full from the second."""

CAUTION = 0.6
"""Share of what the nets would do that is done. On validation all of it undoes 23 % of a balance in disorder
and costs a tone in disorder 15 %; this share 18 and 6, and undamaged songs are moved half as far."""

LEAST_ACTION = 0.02
"""Actions nearer to neutral are neutral: nobody hears them, and a bypassed effect costs nothing."""

_MEANT: Mapping[str, str] = {
    "gain_db": "{are} too {loud} beside the others",
    "low_shelf_db": "{have} too {much} lows for {their} place in the mix",
    "bell_db": "{have} too {much} low mids for {their} place in the mix",
    "presence_db": "{have} too {much} presence for {their} place in the mix",
    "air_db": "{have} too {much} air for {their} place in the mix",
    "width": "{have} too {much} side for {their} place in the mix",
    "pan": "{lean} to the {side}",
    "comp_ratio": "{move} more in level than in finished mixes",
    "transient_attack_db": "{have} too {much} attack",
    "transient_sustain_db": "{have} too {much} sustain",
    "reverb_send_db": "{are} drier than the others",
}
"""Reasons by parameter, for a stem that the net holds to be off."""

_SUBJECT = {"vocals": "the voice", "drums": "the drums", "bass": "the bass", "other": "the rest"}
_ONE = {"are": "is", "have": "has", "their": "its", "lean": "leans", "move": "moves"}


@dataclass(frozen=True)
class MixPolicy:
    """Sets the strips of the stems that are there; the band answers what their mix then lacks.

    A net that moves nothing leaves the band's decision as it is. A song without stems, or a voice or an
    instrument alone, is the band's.

    Attributes:
        folder: of the checkpoint; None for the one in use, the shipped one where nothing was learnt.
    """

    folder: Path | None = None
    name: str = "mix"
    hears_stems: int = 4
    reads_features: bool = False

    def decide(self, context: Context) -> Decision:
        """The settings.

        Raises:
            ModelMissingError: the checkpoint cannot be used.
        """
        band = BandPolicy()
        if context.measures is None or judge(context.measures).alone:
            return band.decide(context)
        shown = shown_of(context)
        if shown is None:
            return band.decide(context)
        measures = shown.measures
        wanted = CAUTION * shown.shares[:, None] * mixing_actions(self._mixers(), measures)
        actions = without_common_gain(wanted, measures)
        actions[np.abs(actions) < LEAST_ACTION] = 0.0
        values = strips(context, actions)
        master = band.decide(replace(context, measures=moved_measures(context, mix_moves(measures, actions))))
        settings = context.space.settings({**master.settings.changed(), **values})
        return Decision(settings, {**master.reasons, **reasons(values, actions)})

    def _mixers(self) -> Mixers:
        folder = self.folder or find_checkpoint(MIX)
        if folder is None:
            raise ModelMissingError("the net that mixes is gone: reinstall mixagent")
        return _loaded(folder)


@dataclass(frozen=True)
class Shown:
    """A song as the nets are shown it.

    Attributes:
        measures: of the mix and its stems, `measures_of`.
        shares: how much of what the nets want is done for each role, 0..1: less for a doubtful stem.
    """

    measures: FloatArray
    shares: FloatArray


def shown_of(context: Context) -> Shown | None:
    """The song as the nets are shown it; None where there are no two stems to set against each other."""
    stems = {role: context.stems[role] for role in ROLES if role in context.stems}
    if len(stems) < 2:
        return None
    surely = stems_there(stems, context.mix)
    there = np.array([surely.get(role, 0.0) for role in ROLES], np.float32)
    # A stem that hardly is there is not moved, and a doubtful one less.
    shares = np.clip((there - DOUBTED[0]) / (DOUBTED[1] - DOUBTED[0]), 0.0, 1.0)
    return Shown(measures_of(context.mix, stems), np.asarray(shares, np.float32))


def set_actions(settings: Settings) -> FloatArray:
    """The actions of the strips that settings come to, (roles, len(STEERED))."""
    space, actions = settings.space, np.zeros((len(ROLES), len(STEERED)), np.float32)
    for row, role in enumerate(ROLES):
        for column, what in enumerate(STEERED):
            if (name := f"{role}.{what}") in space:
                actions[row, column] = space[name].action(settings.values[name])
    return actions


def mixing_actions(mixers: Mixers, measures: FloatArray) -> FloatArray:
    """Actions of the strips for a song, the mean over the nets, (roles, len(STEERED))."""
    shown, there = features(measures)[None], present(measures)[None]
    return np.asarray(np.mean([mixer.actions(shown, there)[0] for mixer in mixers], axis=0), np.float32)


def without_common_gain(actions: FloatArray, measures: FloatArray) -> FloatArray:
    """The actions less the gain that all stems have in common, which the finaliser would make up again."""
    level, moved = STEERED.index("gain_db"), np.any(actions != 0.0, axis=1)
    powers = db_to_power(features(measures)[:, 0].astype(np.float64)) * moved
    result = actions.copy()
    result[moved, level] -= np.float32(np.sum(powers * actions[:, level]) / max(float(powers.sum()), 1e-12))
    return result


def strips(context: Context, actions: FloatArray) -> dict[str, float]:
    """Values of the strips' parameters."""
    values: dict[str, float] = {}
    for role, row in zip(ROLES, actions, strict=True):
        if f"{role}.gain_db" in context.space and np.any(row):
            values |= strip_values(role, dict(zip(STEERED, map(float, row), strict=True)), context.space)
    return values


def mix_moves(measures: FloatArray, actions: FloatArray) -> Moves:
    """The change of the mix by the strips' static settings, by third octave, without the one of its level."""
    tones = actions[:, : len(TONES)] @ tone_responses()
    width = 20 * np.log10(np.maximum(1.0 + actions[:, STEERED.index("width")], NARROWEST))
    after = raised(measures[None], tones[None], (tones + width[:, None])[None])[0]
    change = (after - measures)[0, : 2 * THIRDS].astype(np.float64)
    mid, side = (change[start : start + THIRDS][MUSIC] for start in (0, THIRDS))
    return Moves(mid - mid.mean(), side - mid.mean(), np.zeros_like(mid))


def reasons(values: Mapping[str, float], actions: FloatArray) -> dict[str, str]:
    """A reason for each value."""
    told: dict[str, str] = {}
    for name in values:
        role, what = name.split(".", 1)
        place = _OWNER.get(what, what)
        action = float(actions[ROLES.index(role), STEERED.index(place)])
        forms = {word: word if role == "drums" else one for word, one in _ONE.items()}
        over = {"loud": "loud" if action < 0 else "quiet", "much": "much" if action < 0 else "little"}
        words = _MEANT[place].format(**forms, **over, side="left" if action > 0 else "right")
        told[name] = f"{_SUBJECT[role]} {words}"
    return told


_OWNER = {key: owner for owner, fixed in FIXED.items() for key in fixed}


# --- checkpoints -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class MixingCheckpoint:
    """Trained nets as they are kept.

    Attributes:
        mixers: the nets.
        shape: the fields of `network.Shape`.
        training: how they were trained, for the record.
        results: what was measured of them, for the record.
    """

    mixers: Mixers
    shape: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, card: str) -> None:
        """Write the three files, see `policies.checkpoints`."""
        tensors: dict[str, FloatArray] = {}
        for number, mixer in enumerate(self.mixers):
            for part, net in (("net", mixer.net), ("start", mixer.start)):
                weights = net.weights if net is not None else {}
                tensors |= {f"{number}.{part}.{name}": tensor for name, tensor in weights.items()}
        told = {"shape": dict(self.shape), "training": dict(self.training), "results": dict(self.results)}
        reach = [mixer.reach for mixer in self.mixers]
        save_checkpoint(folder, tensors, {**EXPECTED, "reach": reach, **told}, card)

    @classmethod
    def load(cls, folder: Path) -> MixingCheckpoint:
        """The checkpoint of a folder.

        Raises:
            ModelMissingError: a file that is missing, damaged, or of another version of this program.
        """
        config, _ = load_checkpoint(folder, EXPECTED)
        told = (config.get(name, {}) for name in ("training", "results"))
        return cls(load_mixers(folder), config["shape"], *told)


def is_mixing_checkpoint(folder: Path) -> bool:
    """True for a folder with a checkpoint of nets that mix, of any version."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "steered" in config


def load_mixers(folder: Path) -> Mixers:
    """Load the nets of the checkpoint in a folder.

    Raises:
        ModelMissingError: a file that is missing, damaged, or of another version of this program.
    """
    config, tensors = load_checkpoint(folder, EXPECTED)
    return tuple(
        BoundMixer(FrozenMixer(net), FrozenMixer(start) if start else None, float(reach))
        for (net, start), reach in zip(map(_parts, numbered(tensors)), config["reach"], strict=True)
    )


def _parts(weights: Mapping[str, FloatArray]) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """The weights of a net and of what it began as."""
    net, start = (
        {key.removeprefix(part): tensor for key, tensor in weights.items() if key.startswith(part)}
        for part in ("net.", "start.")
    )
    return net, start


@cache
def _loaded(folder: Path) -> Mixers:
    return load_mixers(folder)
