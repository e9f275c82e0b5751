"""Short music and a separator without a network, for the tests of cases and of the environment."""

from pathlib import Path

import numpy as np

from mixagent.pipeline.types import Audio, AudioSource, Progress, Stems, load

RATE = 44100


def music(seconds: float = 1.0, seed: int = 0) -> Audio:
    """A chord with a beat and a little noise, wider at the top."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hz * (1 + 0.1 * seed) * time) for hz in (110, 220, 331, 440, 1320))
    beat = np.exp(-(time % 0.25) / 0.05)
    noise = random.standard_normal((2, time.size))
    return Audio((0.05 * chord + 0.05 * beat * noise + 0.003 * noise).astype(np.float32), RATE)


class HalfSeparator:
    """Takes the low half of the spectrum for the voice: exact stems, without a network."""

    name, version, stem_names = "half", "1", ("vocals", "accompaniment")

    def separate(
        self, mix: AudioSource, scratch: Path | None = None, progress: Progress | None = None
    ) -> Stems:
        spectrum = np.fft.rfft(load(mix).samples)
        spectrum[:, spectrum.shape[1] // 20 :] = 0
        low = np.fft.irfft(spectrum, mix.frames).astype(np.float32)
        rest = load(mix).samples - low
        return Stems(mix, {"vocals": Audio(low, mix.rate), "accompaniment": Audio(rest, mix.rate)})
