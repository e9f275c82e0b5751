"""How far each stem can be trusted, from what the separator itself gives: no truth is needed.

A separator that is sure gives each bin of the spectrum to one stem; one that is not divides it. Were
the shares of a bin right on average, what is wrong in a stem would be p(1 − p) of the bin's power
(the variance of a Wiener estimate), so the shares foretell the signal-to-distortion ratio. What leaks
from one stem into another is the same sound in phase, so it shows as correlation of their waveforms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from mixagent.pipeline.audio import AudioSource, Stems

_WINDOW_S = 0.093
_FRAMES_AT_A_TIME = 32
_EVERY = 4
"""Every fourth window is heard: neighbours say the same, and this has to stay cheap."""

_SILENT_POWER = 1e-12


@dataclass(frozen=True)
class StemConfidence:
    """How far a stem can be trusted: `value` 0..1, and what it was told from.

    `evidence`: `expected_sdr_db` by the shares of each bin; `entropy` of those shares, 0 where each
    bin is one stem's and 1 where all have the same; `correlation` with the stem it is most alike,
    −1..1; `share_db` of the energy of all stems; `agreement_db` from shift to shift, where there were
    several.
    """

    value: float
    evidence: Mapping[str, float]


def stem_confidence(
    stems: Stems, agreement_db: Mapping[str, float] | None = None
) -> dict[str, StemConfidence]:
    """The confidence in each part of `stems`; a silent part has 0.

    Args:
        stems: what a separator gave, two parts or more.
        agreement_db: see `SeparatedStems`.
    """
    sums = _sums(list(stems.parts.values()))
    confidences = {}
    for index, name in enumerate(stems.parts):
        evidence = sums.evidence(index)
        if agreement_db and name in agreement_db:
            evidence["agreement_db"] = agreement_db[name]
        confidences[name] = StemConfidence(_value(evidence), evidence)
    return confidences


@dataclass(frozen=True)
class _Sums:
    """Sums over bins and windows, one for each stem (and pair of stems)."""

    own: NDArray[np.float64]
    power: NDArray[np.float64]
    error: NDArray[np.float64]
    entropy: NDArray[np.float64]
    correlation: NDArray[np.float64]

    def evidence(self, index: int) -> dict[str, float]:
        """What is known of the stem at `index`."""
        total, own = float(self.own.sum()), float(self.own[index])
        if own <= _SILENT_POWER * max(total, 1.0):
            return {"expected_sdr_db": -20.0, "entropy": 1.0, "correlation": 0.0, "share_db": -120.0}
        others = np.delete(self.correlation[index], index)
        return {
            "expected_sdr_db": _decibels(float(self.power[index] / max(self.error[index], _SILENT_POWER))),
            "entropy": float(self.entropy[index] / own),
            "correlation": float(others.max(initial=-1.0) / own),
            "share_db": _decibels(own / total),
        }


def _sums(parts: Sequence[AudioSource]) -> _Sums:
    count = len(parts)
    own, power, error, entropy = (np.zeros(count) for _ in range(4))
    correlation = np.zeros((count, count))
    for spectra in _spectra(parts):  # (stems, windows, channels · bins)
        powers = np.square(np.abs(spectra), dtype=np.float64)
        total = powers.sum(0) + _SILENT_POWER
        share = powers / total
        own += powers.sum((1, 2))
        power += (share * total).sum((1, 2))
        error += (share * (1 - share) * total).sum((1, 2))
        surprise = -(share * np.log(share + _SILENT_POWER)).sum(0) / math.log(max(count, 2))
        entropy += (powers * surprise).sum((1, 2))
        correlation += _correlations(spectra, powers)
    return _Sums(own, power, error, entropy, correlation)


def _correlations(spectra: NDArray[np.complex64], powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each pair of stems in each window, weighted by the first one's energy, summed."""
    products = np.einsum("iwb,jwb->ijw", spectra, spectra.conj(), optimize=True).real
    energies = powers.sum(2)  # (stems, windows)
    scale = np.sqrt(energies[:, None] * energies[None]) + _SILENT_POWER
    return np.asarray((products / scale * energies[:, None]).sum(2), np.float64)


def _spectra(parts: Sequence[AudioSource]) -> Iterator[NDArray[np.complex64]]:
    """Windows of all parts (stems, windows, channels · bins), every fourth one, through the source."""
    size = 1 << round(math.log2(_WINDOW_S * parts[0].rate))
    window = np.hanning(size).astype(np.float32)
    step = size * _FRAMES_AT_A_TIME
    for start in range(0, parts[0].frames, step):
        samples = np.stack([part.read(start, start + step) for part in parts])
        padded = np.pad(samples, ((0, 0), (0, 0), (0, -samples.shape[-1] % size)))
        framed = padded.reshape(*padded.shape[:2], -1, size)[:, :, ::_EVERY]
        spectra = rfft(framed * window, axis=-1).transpose(0, 2, 1, 3)
        yield spectra.reshape(*spectra.shape[:2], -1)


def _value(evidence: Mapping[str, float]) -> float:
    if evidence["share_db"] <= -120.0:
        return 0.0
    return 1 / (1 + math.exp(-evidence["expected_sdr_db"] / 5))


def _decibels(ratio: float) -> float:
    return float(np.clip(10 * math.log10(max(ratio, 1e-12)), -120.0, 120.0))
