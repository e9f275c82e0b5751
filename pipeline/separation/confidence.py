"""The confidence in each stem, from the separator's own output: no truth is needed.

A separator that is sure gives each bin of the spectrum to one stem; one that is not divides it. Were
the shares of a bin right on average, what is wrong in a stem would be p(1 − p) of the bin's power (the
variance of a Wiener estimate), so the shares predict the signal-to-distortion ratio; and what leaks
into a stem weighs the more, the less there is of it. `scripts/fit_confidence.py` fitted the two to the
true ratio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from mixagent.pipeline.decibels import db_to_power, power_to_db
from mixagent.pipeline.types import AudioSource, Stems

_WINDOW_S = 0.093
_TAPER = 0.125
_AT_A_TIME = 32

_SILENT_POWER = 1e-12

_SILENT_DB = -120.0

_SURE_DB = 40.0
"""Sharing says no more over this: the separators that it was fitted to reach no further."""

_FIT = {"sharing_db": 0.73, "share_db": 0.16}
_FIT_OFFSET_DB = -1.8
"""What `scripts/fit_confidence.py` found on 304 stems of 22 of the splitter's rendered validation songs, with
and without a voice, by two separators: over songs that a fit has not seen, r = 0.90 with the true ratio (0.82
for `embedded` alone), off by 4.0 dB RMS."""


@dataclass(frozen=True)
class StemConfidence:
    """The confidence in a stem, and the evidence that it was told from.

    `value` is the share of its power, 0..1, that is expected to be its own: 0.5 at a
    signal-to-distortion ratio of 0 dB, 0.91 at 10 dB.

    `evidence`: `expected_sdr_db`, from which the value comes; `sharing_db`, the stem's power above
    what the dividing of bins makes uncertain; `share_db` of the power of all stems; `entropy` of the
    shares, 0 where each bin is one stem's and 1 where all have the same; `correlation` with the stem
    it is most alike, −1..1; `agreement_db` from shift to shift, where there were several.
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
        found = sums.evidence(index)
        if agreement_db and name in agreement_db:
            found["agreement_db"] = agreement_db[name]
        sdr_db = _expected_sdr_db(found)
        value = 0.0 if found["share_db"] <= _SILENT_DB else 1 / (1 + db_to_power(-sdr_db))
        confidences[name] = StemConfidence(value, {"expected_sdr_db": sdr_db, **found})
    return confidences


def _expected_sdr_db(evidence: Mapping[str, float]) -> float:
    """The signal-to-distortion ratio to expect; not over the agreement, which is an error seen."""
    fitted = sum(weight * evidence[name] for name, weight in _FIT.items()) + _FIT_OFFSET_DB
    return max(min(fitted, evidence.get("agreement_db", fitted)), _SILENT_DB)


@dataclass(frozen=True)
class _Sums:
    """Sums over bins and windows, one for each stem (and pair of stems)."""

    own: NDArray[np.float64]
    error: NDArray[np.float64]
    entropy: NDArray[np.float64]
    correlation: NDArray[np.float64]

    def evidence(self, index: int) -> dict[str, float]:
        """The evidence for the stem at `index`."""
        total, own = float(self.own.sum()), float(self.own[index])
        if own <= _SILENT_POWER * max(total, 1.0):
            return {"sharing_db": 0.0, "share_db": _SILENT_DB, "entropy": 1.0, "correlation": 0.0}
        others = np.delete(self.correlation[index], index)
        return {
            "sharing_db": min(_decibels(own / max(float(self.error[index]), _SILENT_POWER)), _SURE_DB),
            "share_db": _decibels(own / total),
            "entropy": float(self.entropy[index] / own),
            "correlation": float((others / own).max(initial=-1.0)),
        }


def _sums(parts: Sequence[AudioSource]) -> _Sums:
    count = len(parts)
    own, error, entropy = (np.zeros(count) for _ in range(3))
    correlation = np.zeros((count, count))
    for spectra in _spectra(parts):  # (stems, windows, channels · bins)
        powers = np.square(np.abs(spectra), dtype=np.float64)
        total = powers.sum(0) + _SILENT_POWER
        share = powers / total
        own += powers.sum((1, 2))
        error += (share * (1 - share) * total).sum((1, 2))
        surprise = -(share * np.log(share + _SILENT_POWER)).sum(0) / math.log(max(count, 2))
        entropy += (powers * surprise).sum((1, 2))
        correlation += _correlations(spectra, powers)
    return _Sums(own, error, entropy, correlation)


def _correlations(spectra: NDArray[np.complex64], powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each pair of stems in each window, weighted by the first one's energy, summed."""
    products = np.einsum("iwb,jwb->ijw", spectra, spectra.conj(), optimize=True).real
    energies = powers.sum(2)  # (stems, windows)
    scale = np.sqrt(energies[:, None] * energies[None]) + _SILENT_POWER
    return np.asarray((products / scale * energies[:, None]).sum(2), np.float64)


def _spectra(parts: Sequence[AudioSource]) -> Iterator[NDArray[np.complex64]]:
    """Windows of all parts side by side, (stems, windows, channels · bins), through the source."""
    size = 1 << round(math.log2(_WINDOW_S * parts[0].rate))
    ramp = np.clip((np.arange(size) + 0.5) / (size * _TAPER), 0, 1)
    window = (np.sin(np.pi / 2 * np.minimum(ramp, ramp[::-1])) ** 2).astype(np.float32)
    random = np.random.default_rng(0)
    for start in range(0, parts[0].frames, _AT_A_TIME * size):
        # Shifted at random, lest a beat falls between the windows throughout.
        start = max(start - int(random.integers(size)), 0)
        samples = np.stack([part.read(start, start + _AT_A_TIME * size) for part in parts])
        padded = np.pad(samples, ((0, 0), (0, 0), (0, -samples.shape[-1] % size)))
        framed = padded.reshape(*padded.shape[:2], -1, size) * window
        spectra = rfft(framed, axis=-1).transpose(0, 2, 1, 3)
        yield spectra.reshape(*spectra.shape[:2], -1)


def _decibels(ratio: float) -> float:
    return float(np.clip(power_to_db(max(ratio, 1e-12)), _SILENT_DB, 120.0))
