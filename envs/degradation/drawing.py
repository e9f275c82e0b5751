"""Draws damage and its strength from a seed, and applies it at any severity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixagent.envs.degradation import codecs, dynamics, vocoders
from mixagent.envs.degradation.fields import draw_field, same_power
from mixagent.envs.pathologies import KINDS, Kind, damage
from mixagent.envs.random_degradation import degrade_randomly
from mixagent.pipeline.types import Audio

Apply = Callable[[Audio, np.random.Generator], Audio]

_ORDER: tuple[Kind, ...] = ("mud", "panning", "flatness", "holes", "shimmer")


@dataclass(frozen=True)
class Family:
    """One kind of damage of its own: `apply(audio, random)` at full strength, and how often it is drawn."""

    name: str
    apply: Apply
    weight: float = 1.0


def degrade(audio: Audio, names: Sequence[str], random: np.random.Generator, severity: float = 1.0) -> Audio:
    """The audio, of the same shape and power, after the families named, one after another.

    Args:
        audio: mono or stereo.
        names: of `FAMILIES`.
        random: decides everything about them.
        severity: 0 gives the input; between 0 and 1 a mixture of the input and the damaged sound.

    Raises:
        KeyError: a family that does not exist.
        ValueError: a severity outside 0..1.
    """
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"severity must be in 0..1, not {severity}")
    families = [_BY_NAME[name] for name in names]
    if severity == 0.0 or not families or not np.any(audio.samples):
        return audio
    done = audio
    for family in families:
        done = same_power(family.apply(done, random), audio)
    if severity == 1.0:
        return done
    mixed = (1 - severity) * audio.samples + severity * done.samples
    return same_power(Audio(mixed.astype(np.float32), audio.rate), audio)


def draw_families(random: np.random.Generator, count: int) -> tuple[str, ...]:
    """The names of `count` different families, drawn with their weights, in the order of `FAMILIES`."""
    weights = np.array([family.weight for family in FAMILIES])
    chosen = random.choice(len(FAMILIES), min(count, len(FAMILIES)), replace=False, p=weights / weights.sum())
    return tuple(FAMILIES[index].name for index in sorted(chosen))


def _log(random: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _field(audio: Audio, random: np.random.Generator) -> Audio:
    return draw_field(random, int(random.integers(1, 4))).on_audio(audio)


def _pathologies(audio: Audio, random: np.random.Generator) -> Audio:
    """One to five of the pathologies, by the mechanisms that are for training."""
    count = int(random.integers(1, len(KINDS) + 1)) if random.random() < 0.6 else len(KINDS)
    chosen = {KINDS[int(k)] for k in random.permutation(len(KINDS))[:count]}
    for kind in _ORDER:
        if kind in chosen:
            severity, seed = float(random.uniform(0.15, 1.0)), int(random.integers(2**31))
            audio = damage(audio, kind, severity, seed=seed)
    return audio


def _rough(audio: Audio, random: np.random.Generator) -> Audio:
    return degrade_randomly(audio, random)


def _codec(audio: Audio, random: np.random.Generator) -> Audio:
    """Of the installed codecs one at 24 to 128 kb/s; a low rate where none is installed."""
    names = codecs.installed()
    if not names:
        return _rate(audio, random)
    codec = names[int(random.integers(len(names)))]
    return codecs.through_codec(audio, codec, round(_log(random, *codecs.RATES_KBPS)))


def _rate(audio: Audio, random: np.random.Generator) -> Audio:
    return codecs.through_rate(audio, int(random.choice(codecs.ROUND_TRIP_RATES_HZ)))


def _mel(audio: Audio, random: np.random.Generator) -> Audio:
    highest_hz = float(random.choice((8000.0, 12000.0, 16000.0, 22050.0)))
    return vocoders.through_mel(
        audio, int(random.choice((64, 80, 100, 128, 160))), highest_hz, random.random()
    )


def _coarse(audio: Audio, random: np.random.Generator) -> Audio:
    return vocoders.coarse(audio, random.uniform(1.5, 9.0), random.uniform(-14.0, 3.0))


def _ring(audio: Audio, random: np.random.Generator) -> Audio:
    low_hz = _log(random, 1500, 6000)
    high_hz, carrier_hz = low_hz * random.uniform(1.3, 3.0), random.uniform(2500, 9000)
    return vocoders.ring_modulated(audio, carrier_hz, low_hz, high_hz, random.uniform(-20.0, 0.0))


def _grain(audio: Audio, random: np.random.Generator) -> Audio:
    low_hz = _log(random, 600, 10000)
    high_hz = low_hz * random.uniform(1.3, 6.0)
    return vocoders.noisy_band(audio, low_hz, high_hz, random.uniform(0.2, 1.0), int(random.integers(2**31)))


def _phasey(audio: Audio, random: np.random.Generator) -> Audio:
    seed = int(random.integers(2**31))
    return vocoders.decorrelated(audio, random.uniform(0.1, 1.0), _log(random, 100, 2000), seed)


def _crush(audio: Audio, random: np.random.Generator) -> Audio:
    if random.random() < 0.4:
        return dynamics.clipped(audio, random.uniform(0.0, 10.0), random.random())
    return dynamics.limited(audio, random.uniform(1.0, 10.0), _log(random, 0.001, 0.1))


def _compress(audio: Audio, random: np.random.Generator) -> Audio:
    attack_s, release_s = _log(random, 0.0005, 0.08), _log(random, 0.02, 0.8)
    slope, threshold_db = random.uniform(-0.95, -0.3), random.uniform(-25.0, 2.0)
    return dynamics.levelled(audio, slope, threshold_db, attack_s, release_s, 30.0)


def _uneven(audio: Audio, random: np.random.Generator) -> Audio:
    attack_s, release_s = _log(random, 0.001, 0.08), _log(random, 0.02, 0.4)
    if random.random() < 0.5:
        slope, threshold_db = random.uniform(0.1, 0.6), random.uniform(-12.0, 3.0)
        return dynamics.levelled(audio, slope, threshold_db, attack_s, release_s, 10.0)
    return dynamics.gated(audio, random.uniform(-25.0, -5.0), random.uniform(4.0, 40.0), attack_s, release_s)


FAMILIES: tuple[Family, ...] = (
    Family("field", _field, 1.0),
    Family("pathologies", _pathologies, 3.0),
    Family("rough", _rough, 1.0),
    Family("crush", _crush, 1.0),
    Family("compress", _compress, 1.0),
    Family("uneven", _uneven, 0.7),
    Family("phasey", _phasey, 0.8),
    Family("ring", _ring, 0.6),
    Family("grain", _grain, 0.6),
    Family("mel", _mel, 0.8),
    Family("coarse", _coarse, 0.6),
    Family("rate", _rate, 0.5),
    Family("codec", _codec, 1.2),
)
"""Everything that may be done, in the order in which a song meets it: the mix first, the codec last."""

_BY_NAME = {family.name: family for family in FAMILIES}
