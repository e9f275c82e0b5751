"""Adversarial edits: ways to ruin a song that a reward must never pay for.

Each was seen to raise the score of a quality model made for speech, so each is what a policy that
climbs a bad reward would learn. They serve the gate (`scripts/gates.py`) and, as examples of what is
far from a finished record, the critic's training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude
from mixagent.pipeline.types import Audio, Float64Array, Stems, load

AdversarialEdit = Callable[[Float64Array, int, np.random.Generator], Float64Array]

NOISE_SNR_DB = 20.0
CLIP_DRIVE_DB = 12.0
RATIO = 20.0
MUD_DB = 12.0
TELEPHONE_HZ = (300.0, 3400.0)

_GATE_FLOOR_DB = -50.0
_REVERB_S = 2.0


def edit_adversarially(audio: Audio, name: str, seed: int = 0) -> Audio:
    """The audio ruined in one of the ways of `ADVERSARIAL_EDITS`, of the same shape and rate.

    The level is whatever the edit makes of it, and may pass full scale. What it takes away must
    be there: a fold leaves mono as it is.

    Args:
        audio: mono or stereo, in memory.
        name: a key of `ADVERSARIAL_EDITS`.
        seed: draws noise, sides and the places of dropouts.

    Raises:
        KeyError: no such edit.
    """
    ruin = ADVERSARIAL_EDITS[name]
    random = np.random.default_rng([seed, list(ADVERSARIAL_EDITS).index(name)])
    samples = audio.samples.astype(np.float64)
    if not np.any(samples):
        return audio
    return Audio(ruin(samples, audio.rate, random).astype(np.float32), audio.rate)


def _low_pass(cutoff_hz: float) -> AdversarialEdit:
    def apply(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
        if cutoff_hz >= 0.49 * rate:
            return samples
        return _filtered(samples, signal.butter(8, cutoff_hz, "lowpass", fs=rate, output="sos"))

    return apply


def _telephone(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    low_hz, high_hz = TELEPHONE_HZ
    edges_hz = (low_hz, min(high_hz, 0.49 * rate))
    return _filtered(samples, signal.butter(6, edges_hz, "bandpass", fs=rate, output="sos"))


def _white_noise(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    return samples + random.standard_normal(samples.shape) * _rms(samples) * db_to_amplitude(-NOISE_SNR_DB)


def _hard_clip(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    ceiling = float(np.max(np.abs(samples))) * db_to_amplitude(-CLIP_DRIVE_DB)
    return np.clip(samples, -ceiling, ceiling)


def _compression(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """20:1 over a threshold 20 dB under the programme, so that every passage is held at one level."""
    envelope = _follow(np.abs(samples).max(axis=0), rate, attack_s=0.001, release_s=0.08)
    threshold = _rms(samples) * db_to_amplitude(-20.0)
    over_db = np.maximum(amplitudes_to_db(np.maximum(envelope, 1e-9) / threshold), 0.0)
    return np.asarray(samples * db_to_amplitude(-over_db * (1 - 1 / RATIO)))


def _gating(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """Shut whenever the song is under its own median level, with abrupt edges."""
    power = ndimage.uniform_filter1d(np.square(samples).max(axis=0), _frames(0.03, rate))
    open_ = (power > np.median(power)).astype(np.float64)
    gain = 10 ** (_GATE_FLOOR_DB / 20 * (1 - ndimage.uniform_filter1d(open_, _frames(0.002, rate))))
    return np.asarray(samples * gain)


def _mono_fold(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    return np.broadcast_to(samples.mean(axis=0), samples.shape)


def _one_sided(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """Both channels into one loudspeaker; the other keeps a trace 30 dB lower."""
    if samples.shape[0] < 2:
        return samples
    gains = np.full((samples.shape[0], 1), db_to_amplitude(-30.0))
    gains[int(random.integers(samples.shape[0]))] = 1.0
    return np.asarray(samples.mean(axis=0) * gains)


def _mud(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """A peaking filter over 200–500 Hz (Bristow-Johnson's cookbook)."""
    amplitude, angle = 10 ** (MUD_DB / 40), 2 * np.pi * 316.0 / rate
    alpha, cosine = np.sin(angle) / 2.0, -2 * np.cos(angle)
    above = np.array([1 + alpha * amplitude, cosine, 1 - alpha * amplitude])
    below = np.array([1 + alpha / amplitude, cosine, 1 - alpha / amplitude])
    return _filtered(samples, np.concatenate([above, below])[None] / below[0])


def _dropouts(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """Holes of 50 ms, four a second on average."""
    gain = np.ones(samples.shape[1])
    hole = _frames(0.05, rate)
    count = max(round(4 * samples.shape[1] / rate), 1)
    for start in random.integers(0, max(samples.shape[1] - hole, 1), count):
        gain[start : start + hole] = 0.0
    return np.asarray(samples * ndimage.uniform_filter1d(gain, _frames(0.002, rate)))


def _reverb(samples: Float64Array, rate: int, random: np.random.Generator) -> Float64Array:
    """As much power from a 2 s room as from the song (Moorer's exponentially decaying noise)."""
    time_s = np.arange(_frames(_REVERB_S, rate)) / rate
    tail = random.standard_normal((samples.shape[0], time_s.size)) * 10 ** (-3.0 * time_s / _REVERB_S)
    wet = signal.oaconvolve(samples, tail, axes=1)[:, : samples.shape[1]]
    return np.asarray(samples + wet * (_rms(samples) / max(_rms(wet), 1e-12)))


ADVERSARIAL_EDITS: Mapping[str, AdversarialEdit] = MappingProxyType(
    {
        "low_pass_2k": _low_pass(2000.0),
        "low_pass_4k": _low_pass(4000.0),
        "low_pass_8k": _low_pass(8000.0),
        "telephone": _telephone,
        "white_noise": _white_noise,
        "hard_clip": _hard_clip,
        "compression": _compression,
        "gating": _gating,
        "mono_fold": _mono_fold,
        "one_sided": _one_sided,
        "mud": _mud,
        "dropouts": _dropouts,
        "reverb": _reverb,
    }
)
"""Every way there is, by name."""


SHOUTED_DB = 12.0


def edit_stem_adversarially(stems: Stems, name: str, edit: str) -> Stems:
    """The stems with one of them ruined in one of the ways of `STEM_EDITS`; the mix changes with it.

    Args:
        stems: of a mix, in memory.
        name: which of them.
        edit: a key of `STEM_EDITS`.

    Raises:
        KeyError: no such stem or edit.
    """
    part, mix = load(stems.parts[name]), load(stems.mix)
    ruined = Audio(STEM_EDITS[edit](part.samples.astype(np.float64), part.rate).astype(np.float32), part.rate)
    return Stems(Audio(mix.samples - part.samples + ruined.samples, mix.rate), {**stems.parts, name: ruined})


def _muddied(samples: Float64Array, rate: int) -> Float64Array:
    return _mud(samples, rate, np.random.default_rng(0))


STEM_EDITS: Mapping[str, Callable[[Float64Array, int], Float64Array]] = MappingProxyType(
    {
        "muted": lambda samples, _: np.zeros_like(samples),
        "shouted": lambda samples, _: np.asarray(samples * db_to_amplitude(SHOUTED_DB)),
        "inverted": lambda samples, _: -samples,
        "muddied": _muddied,
    }
)
"""Ways to ruin one stem, by name."""


def _filtered(samples: Float64Array, sections: NDArray[np.float64]) -> Float64Array:
    return np.asarray(signal.sosfilt(sections, samples))


def _follow(level: Float64Array, rate: int, attack_s: float, release_s: float) -> Float64Array:
    """A peak follower: the highest level of the last moment, let go exponentially."""
    held = ndimage.maximum_filter1d(level, 2 * _frames(attack_s, rate) + 1)
    pole = np.exp(-1.0 / (release_s * rate))
    steps = max(round(0.001 * rate), 1)
    coarse = np.maximum.reduceat(held, np.arange(0, held.size, steps))
    followed = np.empty_like(coarse)
    last = 0.0
    for i, value in enumerate(coarse):
        last = max(value, last * pole**steps)
        followed[i] = last
    return np.asarray(np.interp(np.arange(held.size), np.arange(coarse.size) * steps, followed))


def _frames(seconds: float, rate: int) -> int:
    return max(round(seconds * rate), 1)


def _rms(samples: Float64Array) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
