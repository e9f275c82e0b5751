"""The input of a reward: a render beside the song that it was made from.

Everything costly is measured once and kept with the audio, so that many terms share one spectrogram
and the input of many renders is measured once. All levels stand in decibels against the audio's own
power, so that a change of level alone changes nothing.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len, rfft

from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.decibels import db_to_power, floored_powers_to_db
from mixagent.pipeline.finaliser.loop import MAX_GAIN_DB, Finish, finalise
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.stems import measure_stems, stems_sounding
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.measure.features import describe
from mixagent.pipeline.measure.meters import Loudness, measure
from mixagent.pipeline.measure.stem_measures import ROLES, measures_of
from mixagent.pipeline.types import Audio, Float64Array, FloatArray, load
from mixagent.reward.recovery import Distance, Original

BAND_EDGES_HZ = (
    *(40.0, 100.0, 160.0, 220.0, 320.0, 500.0, 800.0, 1250.0, 2000.0, 3150.0, 5000.0),
    *(6300.0, 8000.0, 10000.0, 12500.0, 16000.0),
)
"""Edges of the bands in which input and render are compared: octaves to thirds of octaves."""

FLOOR_DB = -80.0
"""Sound further under the programme than this counts as silence."""

CORRELATED_HZ = (20.0, 150.0, 500.0, 2000.0, 8000.0)
"""Edges of the bands in which stems are held against each other's sum."""

_FRAME_S = 0.0232
_PIECE = 1 << 15


@dataclass(frozen=True)
class Spectra:
    """Short-time powers against the power of the whole, half-overlapped Hann frames of 23 ms.

    Attributes:
        mid, side: power of (L+R)/2 and (L−R)/2, shape (bands, frames); their sum is the mean
            power of the channels, and 1 is the mean over all frames and the whole spectrum.
        left, right: power of each channel, on the same scale.
        fine: mean power of each bin over time, shape (bins,).
        bin_hz: width of a bin.
        edges_hz: the bands' edges, those of `BAND_EDGES_HZ` that the rate has.
        frame_s: step from frame to frame.
    """

    mid: FloatArray
    side: FloatArray
    left: FloatArray
    right: FloatArray
    fine: FloatArray
    bin_hz: float
    edges_hz: tuple[float, ...]
    frame_s: float

    @cached_property
    def power(self) -> FloatArray:
        """Mean power of the channels, shape (bands, frames)."""
        return self.mid + self.side

    @cached_property
    def bands_db(self) -> FloatArray:
        """`power` in dB, floored at `FLOOR_DB`."""
        return decibels(self.power)

    @cached_property
    def level_db(self) -> FloatArray:
        """Level of each frame over all bands, shape (frames,)."""
        return decibels(self.power.sum(axis=0))

    def bands(self, low_hz: float, high_hz: float) -> slice:
        """The bands that lie wholly from `low_hz` to `high_hz`; never empty."""
        lows = np.array(self.edges_hz[:-1])
        first = min(int(np.searchsorted(lows, low_hz)), lows.size - 1)
        last = int(np.searchsorted(self.edges_hz[1:], high_hz, side="right"))
        return slice(first, max(last, first + 1))


class AnalysedAudio:
    """Audio, and its measures; each measure is made when first asked for, and kept.

    Args:
        audio: mono or stereo, in memory.
        features: `describe(audio)`, where it is known already.
    """

    def __init__(self, audio: Audio, features: FloatArray | None = None) -> None:
        self.audio = audio
        self._distance: tuple[Original, Distance] | None = None
        self._finished: tuple[LoudnessTarget, Finished] | None = None
        if features is not None:
            self.features = features

    @cached_property
    def features(self) -> FloatArray:
        """`pipeline.features.describe` of the audio."""
        return describe(self.audio)

    @cached_property
    def analysis(self) -> Analysis:
        """`pipeline.analysis.analyse` of the audio."""
        return analyse(self.audio)

    @cached_property
    def loudness(self) -> Loudness | Analysis:
        """The meters' readings of the audio, or those of an analysis that holds them."""
        return measure(self.audio)

    @cached_property
    def spectra(self) -> Spectra:
        """The spectrogram that the guards share."""
        return _spectra(self.audio)

    def distance(self, original: Original) -> Distance:
        """The distance to an original, kept for as long as the same original is asked about."""
        if self._distance is None or self._distance[0] is not original:
            self._distance = (original, original.distance(self.audio))
        return self._distance[1]

    def finished(self, target: LoudnessTarget) -> Finished:
        """This audio with nothing done but what the finaliser does for a target, kept like `distance`.

        Where the target takes a gain and no limiting, it is the audio itself: levels do not count.
        """
        if self._finished is None or self._finished[0] != target:
            self._finished = (target, _finished(self, target))
        return self._finished[1]

    @cached_property
    def silent(self) -> bool:
        """True if there is nothing to hear: digital silence, or shorter than a frame."""
        samples = self.audio.samples
        if self.audio.frames < _FRAME_S * self.audio.rate:
            return True
        return not max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0))) > 1e-7

    def without_audio(self) -> AnalysedAudio:
        """Its features, whether it is silent, and no samples: little enough to be sent at every step."""
        nothing = Audio(np.zeros((self.audio.channels, 0), np.float32), self.audio.rate)
        analysed = AnalysedAudio(nothing, self.features)
        analysed.silent = self.silent
        return analysed


class AnalysedStems:
    """The stems of a mix, and what they measure; measured when first asked for, and kept.

    Args:
        mix: what they are the stems of.
        stems: by name, each of the mix's length, as they go into the master chain.
        analyses: of the stems, where they are known already.
        voice: renders the vocal stem as it is in the mix, once it is asked for; by default that of the stems.
    """

    def __init__(
        self,
        mix: AnalysedAudio,
        stems: Mapping[str, Audio],
        analyses: Mapping[str, Analysis] | None = None,
        voice: Callable[[], Audio] | None = None,
    ) -> None:
        self._mix, self.stems, self._known, self._voice = mix, stems, analyses, voice

    @cached_property
    def voice(self) -> Audio | None:
        """The vocal stem, where there is one."""
        return self._voice() if self._voice else self.stems.get("vocals")

    @cached_property
    def measures(self) -> Float64Array | None:
        """`measure_stems` of them, (roles, measures); None where a stem has none of the four roles."""
        if not set(self.stems) <= set(ROLES):
            return None
        return measure_stems(measures_of(self._mix.analysis, self.analyses))

    @cached_property
    def analyses(self) -> Mapping[str, Analysis]:
        """The analysis of each stem."""
        return self._known or {name: analyse(stem) for name, stem in self.stems.items()}

    @cached_property
    def sings(self) -> bool:
        """False where what is called the voice is what a separator leaves of other parts."""
        voice = ROLES.index("vocals")
        return self.measures is None or bool(stems_sounding(self.measures)[voice])

    @cached_property
    def correlations(self) -> Float64Array:
        """Correlation of each stem with the sum of the others, by band, (stems, bands), −1..1.

        No fader of the stem changes it. NaN where the stem is 20 dB and more under the sum of all.
        """
        spectra = [_band_spectra(stem) for stem in self.stems.values()]
        rows = []
        for parts in zip(*spectra, strict=True):
            total = np.sum(parts, axis=0)
            least = 0.01 * float(np.vdot(total, total).real)
            rows.append([_correlation(part, total - part, least) for part in parts])
        return np.array(rows).T

    def without_audio(self, voice: bool) -> AnalysedStems:
        """Its measures, and the voice if that is wanted: little enough to be sent at every step."""
        sent = AnalysedStems(self._mix.without_audio(), {})
        sent.measures, sent.voice = self.measures, self.voice if voice else None
        return sent


@dataclass(frozen=True)
class Finished:
    """An input that only the finaliser worked on.

    Attributes:
        analysed: the result.
        finish: what it did; None where it had nothing to do.
        missed_lu: how far from the target it ended.
    """

    analysed: AnalysedAudio
    finish: Finish | None = None
    missed_lu: float = 0.0

    @property
    def reduction_db(self) -> float:
        """The most that the limiter took off, in dB."""
        return self.finish.max_reduction_db if self.finish else 0.0


@dataclass(frozen=True)
class RenderPair:
    """One render to be judged, and all that a term may ask about it.

    Attributes:
        before: the input, as it was given to the chain.
        after: the finished render, aligned to the input and of its length and rate.
        settings: what was rendered.
        finish: what the finaliser did; None where it was left out.
        original: the truth, where it is known.
        stems_before: the stems of the input, for the terms that judge stems; None where none does.
        stems_after: the same of the render, before its finaliser.
        target: what the finaliser aimed at.
    """

    before: AnalysedAudio
    after: AnalysedAudio
    settings: Settings | None = None
    finish: Finish | None = None
    original: Original | None = None
    stems_before: AnalysedStems | None = None
    stems_after: AnalysedStems | None = None
    target: LoudnessTarget | None = None

    def __post_init__(self) -> None:
        before, after = self.before.audio, self.after.audio
        if (self.stems_before is None) != (self.stems_after is None):
            raise ValueError("stems are known on both sides or on none")
        if before.samples.shape != after.samples.shape or before.rate != after.rate:
            raise ValueError(
                f"render {after.samples.shape} at {after.rate} Hz and input {before.samples.shape} at "
                f"{before.rate} Hz differ"
            )

    @cached_property
    def neutral(self) -> Finished:
        """The input finished as the render was: what the guards hold the render against.

        So nothing is blamed on a setting that the target takes from the input by itself.
        """
        if self.finish is None or self.target is None:
            return Finished(self.before)
        return self.before.finished(self.target)

    @cached_property
    def lot(self) -> int:
        """A number of the render by which a share of all is chosen, always the same ones."""
        return zlib.crc32(self.after.features.tobytes())

    @property
    def base(self) -> AnalysedAudio:
        """The audio of `neutral`."""
        return self.neutral.analysed

    @cached_property
    def gain_db(self) -> FloatArray:
        """By how much the chain raised each band of each frame, shape (bands, frames)."""
        gain_db: FloatArray = self.after.spectra.bands_db - self.base.spectra.bands_db
        return gain_db

    @cached_property
    def tilt_db(self) -> FloatArray:
        """The gain of each band over the whole segment against the median band, shape (bands,).

        Mean levels of the logarithm of single bins, so that a narrow line weighs little.
        """
        before, after = (_bin_levels_db(side.spectra) for side in (self.base, self.after))
        gain_db = after - before
        tilt_db: FloatArray = gain_db - np.median(gain_db)
        return tilt_db


def _correlation(part: NDArray[np.complex64], rest: NDArray[np.complex64], least: float) -> float:
    own, other = (float(np.vdot(side, side).real) for side in (part, rest))
    return float(np.vdot(part, rest).real) / np.sqrt(own * other) if own > least and other > 0.0 else np.nan


def _band_spectra(stem: Audio) -> list[NDArray[np.complex64]]:
    """The spectrum of the whole stem, cut at `CORRELATED_HZ`; channels one after the other."""
    size = next_fast_len(stem.frames, real=True)
    spectrum = rfft(stem.samples, size, axis=1)
    edges = [round(hz * size / stem.rate) for hz in CORRELATED_HZ]
    return [spectrum[:, a:b].ravel() for a, b in itertools.pairwise(edges)]


def decibels(power: FloatArray, floor_db: float = FLOOR_DB) -> FloatArray:
    """Power in dB, floored."""
    return floored_powers_to_db(power, db_to_power(floor_db))


def _finished(before: AnalysedAudio, target: LoudnessTarget) -> Finished:
    loudness = before.loudness
    gain_db = target.integrated_lufs - loudness.integrated_lufs
    if loudness.true_peak_dbtp + gain_db <= target.ceiling_dbtp and abs(gain_db) < MAX_GAIN_DB:
        return Finished(before)
    finish = finalise(before.audio, target, None)
    missed_lu = abs(finish.integrated_lufs - target.integrated_lufs)
    return Finished(AnalysedAudio(load(finish.audio)), finish, missed_lu if math.isfinite(missed_lu) else 0.0)


def _spectra(audio: Audio) -> Spectra:
    size = next_fast_len(2 * round(audio.rate * _FRAME_S / 2), real=True)
    bin_hz = audio.rate / size
    edges_hz = tuple(edge for edge in BAND_EDGES_HZ if edge <= audio.rate / 2)
    starts = [max(round(edge / bin_hz), 1) for edge in edges_hz]
    bands, fine, count = [], np.zeros(size // 2 + 1, np.float32), 0
    for left, right in _frames(audio, size):
        powers = [_power(part) for part in (left, right, left + right, left - right)]
        bands.append([_banded(power, starts) for power in powers])
        fine += (powers[0] + powers[1]).sum(axis=0)
        count += len(left)
    scale = np.float32(2.0 * count / max(float(fine.sum(dtype=np.float64)), 1e-20))
    banded = [np.concatenate(parts, axis=1) * scale for parts in zip(*bands, strict=True)]
    return Spectra(
        mid=banded[2] * np.float32(0.25),
        side=banded[3] * np.float32(0.25),
        left=banded[0],
        right=banded[1],
        fine=fine * (scale / np.float32(2 * count)),
        bin_hz=bin_hz,
        edges_hz=edges_hz,
        frame_s=size / 2 / audio.rate,
    )


def _frames(audio: Audio, size: int) -> Iterator[NDArray[np.complex64]]:
    """Spectra of left and right, (2, frames, bins), in pieces that stay in the processor's cache."""
    padded = np.pad(audio.samples[[0, -1]], ((0, 0), (0, max(size - audio.frames, 0))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, :: size // 2]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    for start in range(0, frames.shape[1], _PIECE // size):
        yield np.asarray(rfft(frames[:, start : start + _PIECE // size] * window, axis=2))


def _power(spectrum: NDArray[np.complex64]) -> FloatArray:
    power: FloatArray = spectrum.real**2 + spectrum.imag**2
    return power


def _banded(power: FloatArray, starts: list[int]) -> FloatArray:
    sums = np.add.reduceat(power[:, : starts[-1]], starts[:-1], axis=1)
    return np.ascontiguousarray(sums.T)


def _bin_levels_db(spectra: Spectra) -> FloatArray:
    levels = decibels(spectra.fine, FLOOR_DB - 10.0)
    starts = [max(round(edge / spectra.bin_hz), 1) for edge in spectra.edges_hz]
    return np.array([levels[a:b].mean() for a, b in itertools.pairwise(starts)], np.float32)
