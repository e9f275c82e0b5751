"""Damage on purpose: the five pathologies of generated audio.

Each kind has several independent mechanisms; those marked `validation_only` are never drawn when no
mechanism is named, so that what was trained or fitted can be tested on damage it never met.
Severity is continuous: 0 gives the input back, 1 is gross. Every result has the input's power, so
that nothing can be told from the level; peaks may pass full scale. Segments up to about a minute are
meant: everything is held in memory.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import soundfile
from numpy.typing import NDArray

# scipy.signal is loaded where it is used: a master loads this too, and it takes a second of CPU time.
from scipy import fft, ndimage

from mixagent.pipeline.decibels import amplitudes_to_db, db_to_amplitude, powers_to_db
from mixagent.pipeline.types import Audio, Float64Array

Kind = Literal["mud", "shimmer", "holes", "panning", "flatness"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_Damage = Callable[[Float64Array, int, float, np.random.Generator], Float64Array]


@dataclass(frozen=True)
class Mechanism:
    """One way to bring a pathology about: `apply(samples, rate, severity, random)`."""

    name: str
    apply: _Damage
    validation_only: bool = False


def damage(audio: Audio, kind: Kind, severity: float, mechanism: str | None = None, seed: int = 0) -> Audio:
    """The audio with one pathology in it, of the same shape, rate and power.

    Args:
        audio: mono or stereo; panning leaves mono as it is.
        kind: which pathology.
        severity: 0 (identity) to 1 (gross).
        mechanism: a name of `MECHANISMS[kind]`; by default `seed` draws one of those that are not
            for validation only.
        seed: draws the mechanism, its frequencies and its sides.

    Raises:
        ValueError: a severity outside 0..1 or a mechanism that the kind does not have.
    """
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"severity must be in 0..1, not {severity}")
    random = np.random.default_rng([seed, KINDS.index(kind)])
    chosen = _mechanism(kind, mechanism, random)
    if severity == 0.0 or not np.any(audio.samples):
        return audio
    samples = audio.samples.astype(np.float64)
    damaged = chosen.apply(samples, audio.rate, severity, random)
    damaged *= _rms(samples) / max(_rms(damaged), 1e-12)
    return Audio(damaged.astype(np.float32), audio.rate)


def damage_all(audio: Audio, severity: float, seed: int = 0, validation: bool = False) -> Audio:
    """All five pathologies in the order in which a generator brings them about.

    The mix comes first (mud, panning, flatness); then its codec takes bands away, and the vocoder
    rings on top of what is left. `validation` takes the mechanisms kept for validation.
    """
    order: tuple[Kind, ...] = ("mud", "panning", "flatness", "holes", "shimmer")
    for kind in order:
        audio = damage(audio, kind, severity, validation_mechanism(kind) if validation else None, seed)
    return audio


def validation_mechanism(kind: Kind) -> str:
    """The mechanism of a kind that is kept for validation."""
    return next(m.name for m in MECHANISMS[kind] if m.validation_only)


def _mechanism(kind: Kind, name: str | None, random: np.random.Generator) -> Mechanism:
    if name is None:
        drawn = [m for m in MECHANISMS[kind] if not m.validation_only]
        return drawn[int(random.integers(len(drawn)))]
    for mechanism in MECHANISMS[kind]:
        if mechanism.name == name:
            return mechanism
    raise ValueError(f"{kind} has no mechanism {name!r}: {', '.join(m.name for m in MECHANISMS[kind])}")


# --- mud -------------------------------------------------------------------------------------------


def _mud_shelf(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    low_hz, high_hz = random.uniform(140, 200), random.uniform(480, 650)
    gain_db = 10.0 * severity
    return _shape(samples, rate, lambda hz: gain_db * (_below(hz, high_hz) - _below(hz, low_hz)))


def _mud_bell(samples: Float64Array, rate: int, severity: float, random: np.random.Generator) -> Float64Array:
    from scipy import signal

    centre_hz, q = random.uniform(250, 400), random.uniform(0.8, 1.6)
    return np.asarray(signal.sosfilt(_bell(centre_hz, q, 12.0 * severity, rate), samples))


def _mud_resonance(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    from scipy import signal

    edges_hz = np.geomspace(210, 480, 4)
    for low_hz, high_hz in itertools.pairwise(edges_hz):
        bell = _bell(random.uniform(low_hz, high_hz), random.uniform(5, 8), 13.0 * severity, rate)
        samples = signal.sosfilt(bell, samples)
    return samples


# --- shimmer ---------------------------------------------------------------------------------------

_PRESENCE_HZ = (2000.0, 6000.0)
_SHIMMER_UNDER_PRESENCE_DB = 3.0


def _shimmer_resonances(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    from scipy import signal

    # Rectified presence gives the resonators something to ring on where the song has no highs.
    rectified, presence = _bands(samples, rate, (2000, 8000), _PRESENCE_HZ)
    excitation = _band(np.abs(rectified), rate, 7000, 13000)
    wet = np.zeros_like(samples)
    for centre_hz in random.uniform(8000, min(12000.0, 0.47 * rate), 6):
        numerator, denominator = signal.iirpeak(centre_hz, 80.0, fs=rate)
        ring = signal.lfilter(numerator, denominator, excitation)
        wet += ring / max(_rms(ring), 1e-12)
    return samples + severity * _at_shimmer_level(wet, presence)


def _shimmer_ring(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    carrier_hz = random.uniform(5500, 6500)
    carrier = np.cos(2 * np.pi * carrier_hz / rate * np.arange(samples.shape[1]))
    presence = _band(samples, rate, *_PRESENCE_HZ)
    wet = _band(presence * carrier, rate, 7500, 13000)
    return samples + severity * _at_shimmer_level(wet, presence)


def _shimmer_smear(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    """Magnitudes blurred over time and phases thrown away, as a bad phase vocoder does."""
    from scipy import signal

    band, presence = _bands(samples, rate, (7500, 12500), _PRESENCE_HZ)
    size = 2048
    _, _, spectrum = signal.stft(band, rate, nperseg=size, boundary="zeros", padded=True)
    magnitude = ndimage.uniform_filter1d(np.abs(spectrum), 9, axis=-1)
    phase = random.uniform(0, 2 * np.pi, spectrum.shape[1:])
    _, smeared = signal.istft(magnitude * np.exp(1j * phase), rate, nperseg=size)
    wet = _at_shimmer_level(smeared[:, : samples.shape[1]], presence)
    return samples + severity * (wet - band)


def _at_shimmer_level(wet: Float64Array, presence: Float64Array) -> Float64Array:
    level = _rms(presence) * db_to_amplitude(-_SHIMMER_UNDER_PRESENCE_DB)
    return wet * (level / max(_rms(wet), 1e-12))


# --- holes -----------------------------------------------------------------------------------------

_MP3_LEVELS = (0.0, 0.7, 0.85, 0.92, 0.99)
"""libsndfile's compression level at severities 0 (the input itself), 0.25, 0.5, 0.75 and 1."""


def _holes_codec(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    lowest_hz = random.uniform(5000, 6000)
    cutoff_hz = 0.5 * rate * (lowest_hz / (0.5 * rate)) ** severity
    return _shape(samples, rate, lambda hz: -90.0 * np.clip((hz - cutoff_hz) / (0.03 * cutoff_hz), 0, 1))


def _holes_bands(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    edges_hz = np.geomspace(1200, 12000, 5)
    centres_hz = [random.uniform(low * 1.15, high / 1.15) for low, high in itertools.pairwise(edges_hz)]

    def gain_db(hz: Float64Array) -> Float64Array:
        octaves = np.abs(np.log2(np.maximum(hz, 1.0)[:, None] / np.array(centres_hz)))
        inside = np.clip((0.2 - octaves) / 0.04, 0, 1).max(axis=1)
        return np.asarray(-40.0 * severity * inside)

    return _shape(samples, rate, gain_db)


def _holes_mp3(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    """MP3 of a falling rate; between two rates, a mixture of what the two leave."""
    position = severity * (len(_MP3_LEVELS) - 1)
    lower = min(int(position), len(_MP3_LEVELS) - 2)
    share = position - lower
    first = samples if lower == 0 else _mp3(samples, rate, _MP3_LEVELS[lower])
    if share == 0.0:
        return first
    return (1 - share) * first + share * _mp3(samples, rate, _MP3_LEVELS[lower + 1])


def _mp3(samples: Float64Array, rate: int, level: float) -> Float64Array:
    scale = max(float(np.max(np.abs(samples))), 1e-9) * 1.5
    file = io.BytesIO()
    soundfile.write(
        file, (samples / scale).T, rate, format="MP3", compression_level=level, bitrate_mode="CONSTANT"
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, always_2d=True)
    return np.asarray(_aligned(decoded.T, samples) * scale)


def _aligned(decoded: Float64Array, reference: Float64Array) -> Float64Array:
    """`decoded` moved by the codec's delay and cut to the reference's length."""
    from scipy import signal

    span = min(reference.shape[1], decoded.shape[1], 100_000)
    start = (min(reference.shape[1], decoded.shape[1]) - span) // 2
    part = slice(start, start + span)
    correlation = signal.correlate(decoded[:, part].sum(axis=0), reference[:, part].sum(axis=0), "same")
    delay = int(np.argmax(correlation)) - span // 2
    moved = decoded[:, max(delay, 0) :] if delay >= 0 else np.pad(decoded, ((0, 0), (-delay, 0)))
    missing = max(reference.shape[1] - moved.shape[1], 0)
    return np.pad(moved, ((0, 0), (0, missing)))[:, : reference.shape[1]]


# --- panning ---------------------------------------------------------------------------------------


def _panning_lean(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    if samples.shape[0] != 2:
        return samples
    side = random.choice((-1.0, 1.0))
    gains_db = np.array([[-0.5], [0.5]]) * 9.0 * severity * side
    return np.asarray(samples * db_to_amplitude(gains_db))


def _panning_widening(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    """The side raised, and a side made from the mid by a dense all-pass, as stereo enhancers do."""
    if samples.shape[0] != 2:
        return samples
    mid, side = samples.mean(axis=0), (samples[0] - samples[1]) / 2
    made = _band(mid[None], rate, 200, 0.5 * rate)[0]
    for delay_s in random.uniform(0.004, 0.02, 3):
        made = _all_pass(made, int(delay_s * rate), 0.6)
    side = side * db_to_amplitude(9.0 * severity) + 0.9 * severity * made
    return np.stack([mid + side, mid - side])


def _panning_hard(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    """Neighbouring bands thrown to opposite sides."""
    if samples.shape[0] != 2:
        return samples
    edges_hz = np.geomspace(random.uniform(150, 250), 10000, 6)
    sides = random.choice((-1.0, 1.0)) * np.where(np.arange(len(edges_hz)) % 2, -2.0, 2.0)
    sides[0] /= 2

    def gain_db(hz: Float64Array) -> Float64Array:
        steps = (side * (1 - _below(hz, edge, width=0.1)) for side, edge in zip(sides, edges_hz, strict=True))
        pan = np.clip(sum(steps), -1, 1)
        return np.asarray(amplitudes_to_db(1 - 0.95 * severity * np.maximum(np.stack([-pan, pan]), 0.0)))

    return _shape(samples, rate, gain_db)


def _all_pass(samples: Float64Array, delay: int, gain: float) -> Float64Array:
    """Schroeder's all-pass section: y[n] = x[n − delay] + gain · (y[n − delay] − x[n])."""
    passed = -gain * samples
    for start in range(delay, samples.size, delay):
        here = slice(start, min(start + delay, samples.size))
        before = slice(start - delay, here.stop - delay)
        passed[here] += samples[before] + gain * passed[before]
    return passed


# --- flatness --------------------------------------------------------------------------------------

_CRUSHED_CREST_DB = 2.0
"""The ceiling over the loud passages' RMS at severity 1."""


def _flat_clipping(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    ceiling = _ceiling(samples, rate, severity)
    return np.clip(samples, -ceiling, ceiling)


def _flat_limiting(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    window = int(random.uniform(0.004, 0.010) * rate) | 1
    peaks = ndimage.maximum_filter1d(np.abs(samples).max(axis=0), 2 * window - 1)
    gain = np.minimum(1.0, _ceiling(samples, rate, severity) / np.maximum(peaks, 1e-12))
    return np.asarray(samples * ndimage.uniform_filter1d(gain, window))


def _flat_multiband(
    samples: Float64Array, rate: int, severity: float, random: np.random.Generator
) -> Float64Array:
    """Each band's envelope pressed towards its own mean from both sides."""
    edges_hz = [0.0, random.uniform(150, 250), random.uniform(1500, 3000), 0.5 * rate]
    crushed = np.zeros_like(samples)
    for band in _bands(samples, rate, *itertools.pairwise(edges_hz)):
        power = ndimage.uniform_filter1d(np.square(band).max(axis=0), int(0.008 * rate) | 1)
        over_db = powers_to_db(np.maximum(power, 1e-14) / max(float(power.mean()), 1e-14))
        gain_db = np.clip(-0.92 * severity * over_db, -30.0, 15.0 * severity)
        crushed += band * db_to_amplitude(gain_db)
    return crushed


def _ceiling(samples: Float64Array, rate: int, severity: float) -> float:
    window = max(int(0.1 * rate), 1)
    power = ndimage.uniform_filter1d(np.square(samples).mean(axis=0), window)[::window]
    loud_db = powers_to_db(max(float(np.percentile(power, 90)), 1e-14))
    peak_db = amplitudes_to_db(float(np.max(np.abs(samples))))
    crushed_db = min(loud_db + _CRUSHED_CREST_DB, peak_db)
    return float(db_to_amplitude(peak_db + severity * (crushed_db - peak_db)))


MECHANISMS: Mapping[Kind, tuple[Mechanism, ...]] = MappingProxyType(
    {
        "mud": (
            Mechanism("shelf", _mud_shelf),
            Mechanism("bell", _mud_bell),
            Mechanism("resonance", _mud_resonance, validation_only=True),
        ),
        "shimmer": (
            Mechanism("resonances", _shimmer_resonances),
            Mechanism("ring", _shimmer_ring),
            Mechanism("smear", _shimmer_smear, validation_only=True),
        ),
        "holes": (
            Mechanism("codec", _holes_codec),
            Mechanism("bands", _holes_bands),
            Mechanism("mp3", _holes_mp3, validation_only=True),
        ),
        "panning": (
            Mechanism("lean", _panning_lean),
            Mechanism("widening", _panning_widening),
            Mechanism("hard", _panning_hard, validation_only=True),
        ),
        "flatness": (
            Mechanism("clipping", _flat_clipping),
            Mechanism("limiting", _flat_limiting),
            Mechanism("multiband", _flat_multiband, validation_only=True),
        ),
    }
)


# --- shared ----------------------------------------------------------------------------------------


def _shape(samples: Float64Array, rate: int, gain_db: Callable[[Float64Array], Float64Array]) -> Float64Array:
    """The samples through a zero-phase filter of gain `gain_db(hz)`, over the last axis."""
    frames, size = samples.shape[-1], _transform_size(samples, rate)
    spectrum = fft.rfft(samples, size)
    spectrum *= db_to_amplitude(gain_db(np.asarray(np.fft.rfftfreq(size, 1 / rate), np.float64)))
    return np.asarray(fft.irfft(spectrum, size, overwrite_x=True)[..., :frames])


def _transform_size(samples: Float64Array, rate: int) -> int:
    # Powers of two would make the transform's strides collide in the cache: several times slower.
    return int(fft.next_fast_len(samples.shape[-1] + rate // 2, real=True))


def _below(hz: Float64Array, corner_hz: float, width: float = 0.35) -> Float64Array:
    """1 below the corner, 0 above it, with a transition of about `width` octaves each way."""
    return np.asarray(0.5 - 0.5 * np.tanh(np.log2(np.maximum(hz, 1.0) / corner_hz) / width))


def _band(samples: Float64Array, rate: int, low_hz: float, high_hz: float) -> Float64Array:
    """A band by a zero-phase filter; bands that share their edges sum to the input."""
    return _bands(samples, rate, (low_hz, high_hz))[0]


def _bands(samples: Float64Array, rate: int, *edges_hz: tuple[float, float]) -> list[Float64Array]:
    """Several bands of the same samples."""
    frames, size = samples.shape[-1], _transform_size(samples, rate)
    spectrum = fft.rfft(samples, size)
    gains = (_band_gain(size, rate, low_hz, high_hz) for low_hz, high_hz in edges_hz)
    return [fft.irfft(spectrum * gain, size, overwrite_x=True)[..., :frames] for gain in gains]


@functools.lru_cache(maxsize=8)
def _band_gain(size: int, rate: int, low_hz: float, high_hz: float) -> Float64Array:
    hz = np.asarray(np.fft.rfftfreq(size, 1 / rate), np.float64)
    low = _below(hz, low_hz, 0.15) if low_hz > 0 else np.zeros_like(hz)
    high = _below(hz, high_hz, 0.15) if high_hz < 0.5 * rate else np.ones_like(hz)
    return np.asarray(np.maximum(high - low, 1e-7))


def _bell(centre_hz: float, q: float, gain_db: float, rate: int) -> Float64Array:
    """One peaking section (Bristow-Johnson, Audio EQ Cookbook) as second-order sections."""
    amplitude, omega = 10 ** (gain_db / 40), 2 * np.pi * centre_hz / rate
    alpha, cosine = np.sin(omega) / (2 * q), np.cos(omega)
    numerator = np.array([1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude])
    denominator = np.array([1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude])
    return np.asarray(np.concatenate([numerator, denominator])[None] / denominator[0])


def _rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
