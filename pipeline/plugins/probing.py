"""Held to account before it is used: a plug-in is played a noise, twice at once, and measured.

The noise is soft, so that what works on levels leaves it alone and only delays it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from mixagent.pipeline.decibels import db_to_amplitude, power_to_db
from mixagent.pipeline.plugins.child import LIMITS, Limits
from mixagent.pipeline.plugins.pool import POOL, Pool
from mixagent.pipeline.plugins.processor import OpenPlugin, PluginProcessor, Sounding
from mixagent.pipeline.types import FloatArray

_NOISE_DBFS = -66.0
_NOISE_S = 0.5
_ROOM_S = 3.0
_MOST_LAG_S = 1.0
_PINK_HZ = 100.0
_CLEAR = 0.7
_NEAR_FRAMES = 2
_SEED = 20


@dataclass(frozen=True)
class Probed:
    """What was measured of a plug-in.

    Attributes:
        reported: the latency that it states, in frames.
        lag: the one that it has, where that is clear; else the one that it states.
        same_twice: whether it makes the same of the same sound twice.
        gain_db: of a noise, over all that comes out.
        state_sha256: of its state with the values that it was given.
    """

    reported: int
    lag: int
    same_twice: bool
    gain_db: float
    state_sha256: str

    def words(self) -> tuple[str, ...]:
        """What is to be told, to stand behind the plug-in's name."""
        said = []
        if self.lag != self.reported:
            said.append(f"says that it is {self.reported} frames late and is {self.lag}: that was used")
        if not self.same_twice:
            said.append("does not make the same of a sound twice, so a replay will differ")
        return tuple(said)


def opened(
    path: Path, name: str, sounding: Sounding, limits: Limits = LIMITS, pool: Pool = POOL
) -> tuple[PluginProcessor, Probed, dict[str, object]]:
    """A plug-in in a chain, what was measured of it, and the values that it has.

    Raises:
        PluginFault: it is not fit to be used.
    """
    noise = _noise(sounding)
    trial = OpenPlugin(pool.lend(path, name, limits), sounding, pool)
    out, same = trial.play(noise), trial.same_twice
    del trial  # gives its process back, for the next
    fresh = OpenPlugin(pool.lend(path, name, limits), sounding, pool)
    probed = Probed(
        reported=fresh.stated_lag,
        lag=_lag(noise, out, fresh.stated_lag, sounding),
        same_twice=same,
        gain_db=power_to_db(_energy(out) / _energy(noise)) if out.any() else 0.0,
        state_sha256=fresh.state_sha256,
    )
    return PluginProcessor(fresh, sounding, probed.lag), probed, fresh.values


def _noise(sounding: Sounding) -> FloatArray:
    """A noise and the silence behind it, in which a room dies away; to a room it is pink, as music is."""
    frames = round(_NOISE_S * sounding.rate)
    rest = round((_ROOM_S if sounding.in_return else _MOST_LAG_S) * sounding.rate)
    made = np.random.default_rng(_SEED).standard_normal(frames)
    if sounding.in_return:
        spectrum, hz = rfft(made), np.fft.rfftfreq(frames, 1 / sounding.rate)
        made = irfft(spectrum * (hz >= _PINK_HZ) / np.sqrt(np.maximum(hz, _PINK_HZ)), frames)
        made /= made.std()
    noise = np.zeros((sounding.channels, frames + rest), np.float32)
    noise[:, :frames] = (db_to_amplitude(_NOISE_DBFS) * made).astype(np.float32)
    return noise


def _lag(noise: FloatArray, out: FloatArray, reported: int, sounding: Sounding) -> int:
    """The delay of a noise, by cross-correlation."""
    if sounding.in_return or not out.any():
        return reported
    size = next_fast_len(2 * noise.shape[1], real=True)
    before, after = (rfft(sound.mean(axis=0, dtype=np.float64), size) for sound in (noise, out))
    likeness = irfft(after * np.conj(before), size)[: round(_MOST_LAG_S * sounding.rate)]
    found = int(np.argmax(np.abs(likeness)))
    clear = abs(likeness[found]) / max(np.sqrt(_energy(noise) * _energy(out)) / len(noise), 1e-30)
    if clear < _CLEAR or abs(found - reported) <= _NEAR_FRAMES:
        return reported
    return found


def _energy(sound: FloatArray) -> float:
    return float(np.square(sound, dtype=np.float64).sum())
