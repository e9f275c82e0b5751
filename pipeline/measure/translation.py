"""Translation: what each playback of `PLAYBACKS` loses of a song, and whether finished music loses it too.

The song is streamed once. What its playbacks do is worked out from its power spectra of mid and side in
frames of a third of a second, not by filtering: powers are exact to the width of a bin (2.7 Hz), times
to half a frame. Kept of the song are the mean spectrum and some twenty numbers a frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.ndimage import uniform_filter1d

from mixagent.pipeline.decibels import db_to_power, power_to_db
from mixagent.pipeline.dsp.third_octaves import EDGES_HZ
from mixagent.pipeline.measure.analysis import BANDS_HZ
from mixagent.pipeline.measure.meters import k_power
from mixagent.pipeline.measure.playbacks import PLAYBACKS, Noise, Playback
from mixagent.pipeline.types import AudioSource, Float64Array, FloatArray, blocks

FOUND = 0.5
"""Severity from which a loss is told: one finished song in ten has any loss of as much."""

BASS_HZ = (20.0, 250.0)
"""The range of a song's bass."""

NOTES_HZ = (35.0, 160.0)
"""The range of a bass line's fundamentals."""

BASS_FROM_HZ = 100.0
"""A playback whose corner lies over this has to leave the bass to its overtones."""

MOST_DB = 60.0

_FRAME_S = 0.3
_WINDOW_S = 3.0
_SOUNDING_DB = -60.0
_GATE_DB = -10.0
_OVERTONES = np.arange(2, 13)
_OVERTONES_TO_HZ = 1200.0
_STANDS_OUT_DB = 8.0
_HEARD_DB = -30.0
_AUDIBLE_DB = -30.0
_AUDIBLE_LOUD_DB = -20.0
_EDGE_SHARE = 0.7


# --- measuring -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bass:
    """The loss of a song's bass on a playback system.

    Attributes:
        under_hz: where the playback's roll-off has taken 10 dB.
        share: of the power from 20 to 250 Hz that lies under it, 0..1.
        carried: share of the bass, by power, whose overtones stand out of what the playback plays, so
            that the ear fills in the note, 0..1.
    """

    under_hz: float
    share: float
    carried: float

    @property
    def missing(self) -> float:
        """The share that is neither played nor carried by overtones."""
        return self.share * (1 - self.carried)


@dataclass(frozen=True)
class Cancelled:
    """The third octaves from and to which a fold-down takes much, and the most that it takes there."""

    low_hz: float
    high_hz: float
    most_db: float


@dataclass(frozen=True)
class PlaybackLoss:
    """The losses of a song on one playback system.

    Attributes:
        playback: its name in `PLAYBACKS`.
        loudness_lost_lu: K-weighted power of the song over what is played of it; negative where the
            playback adds more lows than it loses.
        lost_db: the same in each of `BANDS_HZ`, not weighted; roll-off and fold-down together.
        cancels_db: the fold-down's part of that: what left and right lose of each other; 0 for bands
            that are 20 dB under the song's loudness.
        worst_band: the band that loses most of the loudness.
        cancelled: for each of `BANDS_HZ`, where in it the fold-down takes most, and how much.
        bass: see `Bass`.
        masked_s: seconds in which the song sounds and the noise of the place is over it in every band.
        masked_share: of the seconds in which it sounds.
    """

    playback: str
    loudness_lost_lu: float
    lost_db: Mapping[str, float]
    cancels_db: Mapping[str, float]
    worst_band: str
    cancelled: Mapping[str, Cancelled]
    bass: Bass
    masked_s: float
    masked_share: float

    def measures(self) -> dict[str, float]:
        """The figures that are compared with finished music's, by name."""
        playback = PLAYBACKS[self.playback]
        folds = playback.mono_below_hz > 0 or playback.side_db < 0
        return {
            **({"bass": self.bass.missing} if playback.low.corner_hz > BASS_FROM_HZ else {}),
            # Where lows are added, what is quiet is only poor in lows.
            **({"loudness": self.loudness_lost_lu} if playback.lows_db == 0 else {}),
            **({"cancels": self.cancels_db[self.cancels_most]} if folds else {}),
            **({"masked": self.masked_share} if playback.noise else {}),
        }

    @property
    def cancels_most(self) -> str:
        """The band of which the fold-down takes most."""
        return max(self.cancels_db, key=lambda band: self.cancels_db[band])


def measure_losses(source: AudioSource) -> tuple[PlaybackLoss, ...]:
    """Measure the losses of a mono or stereo source on each of `PLAYBACKS`, in one pass, in their order."""
    meter = LossMeter(source.rate)
    for block in blocks(source):
        meter.update(block)
    return meter.losses()


@dataclass(frozen=True)
class _Analysed:
    """A song's mean power in each bin (mid, side), and its frames.

    `notes_hz` is the strongest bass note of each frame, `bass_power` the frame's power in `BASS_HZ`,
    `carried` whether each of its overtones stands out, `band_power` its power in each of `BANDS_HZ` at
    each place with noise, by playback, and `loud_power` its K-weighted power.
    """

    hz: Float64Array
    power: Float64Array
    frame_s: float
    notes_hz: Float64Array
    bass_power: Float64Array
    carried: NDArray[np.bool_]
    loud_power: Float64Array
    band_power: Mapping[str, NDArray[np.float32]]


class LossMeter:
    """Measures the losses of a stream on playbacks, from its frames and its `MidSideSpectrum` spectra."""

    def __init__(self, rate: int) -> None:
        self._size = 1 << math.ceil(math.log2(_FRAME_S * rate))
        self._window = np.sin(np.pi * (np.arange(self._size) + 0.5) / self._size).astype(np.float32)
        self._pending = np.zeros((2, self._size // 2), np.float32)
        self._rate, self._bin_hz = rate, rate / self._size
        self._hz = np.asarray(np.arange(self._size // 2 + 1) * self._bin_hz, np.float64)
        self._power = np.zeros((2, self._hz.size))
        self._loudness = k_power(self._hz, rate).astype(np.float32)
        places = (playback for playback in PLAYBACKS.values() if playback.noise)
        self._gains = {place.name: _band_gains(place, self._hz) for place in places}
        names = ("notes", "bass", "carried", "loud")
        self._rows: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        self._bands: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self._gains}

    def update(self, block: FloatArray) -> None:
        """Take the next block, float32 (channels, frames)."""
        left, right = block[0], block[-1]
        mid_side = np.stack([(left + right) * np.float32(0.5), (left - right) * np.float32(0.5)])
        joined = np.concatenate([self._pending, mid_side], axis=1)
        hop = self._size // 2
        count = max((joined.shape[1] - self._size) // hop + 1, 0)
        if count:
            views = np.lib.stride_tricks.sliding_window_view(joined, self._size, axis=1)
            spectra = rfft(views[:, : count * hop : hop] * self._window)
            self._add(spectra.real**2 + spectra.imag**2)
        self._pending = joined[:, count * hop :]

    def _add(self, power: NDArray[np.float32]) -> None:
        """Frames of mid and side, (2, frames, bins)."""
        self._power += power.sum(axis=1, dtype=np.float64)
        both = power[0] + power[1]
        self._rows["loud"].append(both @ self._loudness)
        for name, (mid, side) in self._gains.items():
            self._bands[name].append(power[0] @ mid + power[1] @ side)
        low, high = (round(hz / self._bin_hz) for hz in BASS_HZ)
        self._rows["bass"].append(both[:, low:high].sum(axis=1))
        notes = _notes(both, self._bin_hz)
        self._rows["notes"].append(notes * self._bin_hz)
        self._rows["carried"].append(_stand_out(both, notes, self._bin_hz))

    def losses(self) -> tuple[PlaybackLoss, ...]:
        """The losses of the whole stream on each of `PLAYBACKS`. This ends the stream."""
        analysed = self._analysed()
        return tuple(_loss(playback, analysed) for playback in PLAYBACKS.values())

    def _analysed(self) -> _Analysed:
        self.update(np.zeros((1, self._size), np.float32))
        rows = {name: np.concatenate(parts) for name, parts in self._rows.items()}
        bands = {name: np.concatenate(parts) for name, parts in self._bands.items()}
        return _Analysed(
            hz=self._hz,
            power=self._power,
            frame_s=self._size / 2 / self._rate,
            notes_hz=rows["notes"],
            bass_power=rows["bass"],
            carried=rows["carried"],
            loud_power=rows["loud"],
            band_power=MappingProxyType(bands),
        )


def _band_gains(playback: Playback, hz: Float64Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The power gains of mid and side that lead from bins to `BANDS_HZ`, each (bins, bands)."""
    inside = np.stack([(hz >= low) & (hz < high) for low, high in BANDS_HZ.values()], axis=1)
    mid = playback.mid_power(hz)[:, None] * inside
    return mid.astype(np.float32), (mid * playback.side_kept(hz)[:, None]).astype(np.float32)


def _notes(power: NDArray[np.float32], bin_hz: float) -> Float64Array:
    """The strongest bass note of each frame in bins, between them by a parabola through the levels."""
    low, high = (round(hz / bin_hz) for hz in NOTES_HZ)
    peak = low + np.argmax(power[:, low:high], axis=1)
    rows = np.arange(len(power))
    before, at, after = (np.log(power[rows, peak + step].astype(np.float64) + 1e-30) for step in (-1, 0, 1))
    bend = before - 2 * at + after
    apart = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
    return np.asarray(peak + np.clip(apart, -0.5, 0.5))


def _stand_out(power: NDArray[np.float32], notes: Float64Array, bin_hz: float) -> NDArray[np.bool_]:
    """True for overtones that stand out of the sound half a note beside them, (frames, overtones).

    And whether it is to be heard: within 30 dB of the power from 200 to 2000 Hz.
    """
    centres = notes[:, None] * _OVERTONES
    top = np.max([_picked(power, centres, step) for step in range(-2, 3)], axis=0)
    half = notes[:, None] / 2
    beside = [_picked(power, centres + sign * half, step) for sign in (-1, 1) for step in (-1, 0, 1)]
    low, high = (round(hz / bin_hz) for hz in (200.0, 2000.0))
    floor = power[:, low:high].sum(axis=1, keepdims=True) * db_to_power(_HEARD_DB)
    clear = top > np.mean(beside, axis=0) * db_to_power(_STANDS_OUT_DB)
    return np.asarray(clear & (top > floor) & (centres * bin_hz < _OVERTONES_TO_HZ))


def _picked(power: NDArray[np.float32], bins: Float64Array, step: int) -> NDArray[np.float32]:
    at = np.clip(np.round(bins).astype(int) + step, 0, power.shape[1] - 1)
    return np.take_along_axis(power, at, axis=1)


def _loss(playback: Playback, analysed: _Analysed) -> PlaybackLoss:
    hz = analysed.hz
    mid, side = analysed.power
    gain, kept = playback.mid_power(hz), playback.side_kept(hz)
    whole, folded = mid + side, mid + kept * side
    played = gain * folded
    rate = round(2 * hz[-1])
    loud = k_power(hz, rate)
    bands = {name: (hz >= low) & (hz < high) for name, (low, high) in BANDS_HZ.items()}
    lost_db = {name: _ratio_db(whole[band].sum(), played[band].sum()) for name, band in bands.items()}
    least = (loud * whole).sum() * db_to_power(_AUDIBLE_LOUD_DB)
    cancels_db = {
        # What is hardly heard has nothing to lose.
        name: _ratio_db((gain * whole)[band].sum(), played[band].sum())
        if (loud * whole)[band].sum() > least
        else 0.0
        for name, band in bands.items()
    }
    masked_s, masked_share = _masked(playback, analysed)
    return PlaybackLoss(
        playback=playback.name,
        loudness_lost_lu=_ratio_db((loud * whole).sum(), (loud * played).sum()),
        lost_db=MappingProxyType(lost_db),
        cancels_db=MappingProxyType(cancels_db),
        worst_band=max(bands, key=lambda name: (loud * (whole - played))[bands[name]].sum()),
        cancelled=MappingProxyType(_cancelled(hz, gain * whole, played)),
        bass=_bass(playback, analysed, whole),
        masked_s=masked_s,
        masked_share=masked_share,
    )


def _cancelled(hz: Float64Array, before: Float64Array, after: Float64Array) -> dict[str, Cancelled]:
    """Of each band the third octave that loses most, with those about it that lose nearly as much."""
    edges_hz = EDGES_HZ[hz[-1] > EDGES_HZ]
    sums = [
        np.concatenate([[0.0], np.cumsum(power)])[np.searchsorted(hz, edges_hz)] for power in (before, after)
    ]
    whole, left = (np.diff(total) for total in sums)
    lost_db = np.array([_ratio_db(a, b) for a, b in zip(whole, left, strict=True)])
    found = {}
    for band, (low_hz, high_hz) in BANDS_HZ.items():
        inside = np.flatnonzero((edges_hz[1:] > low_hz * 1.13) & (edges_hz[:-1] < high_hz / 1.13))
        if not inside.size:
            continue
        low = high = int(inside[np.argmax(lost_db[inside])])
        near = lost_db >= _EDGE_SHARE * lost_db[low]
        while low > 0 and near[low - 1]:
            low -= 1
        while high + 1 < near.size and near[high + 1]:
            high += 1
        found[band] = Cancelled(
            float(edges_hz[low]), float(edges_hz[high + 1]), float(lost_db[low : high + 1].max())
        )
    return found


def _bass(playback: Playback, analysed: _Analysed, whole: Float64Array) -> Bass:
    hz, gone_hz = analysed.hz, playback.gone_hz
    bass = (hz >= BASS_HZ[0]) & (hz < BASS_HZ[1])
    power, weight = whole[bass].sum(), analysed.bass_power.sum()
    if not power or not weight:
        return Bass(gone_hz, 0.0, 0.0)
    played = analysed.notes_hz[:, None] * _OVERTONES >= playback.low.corner_hz
    carried = (analysed.carried & played).sum(axis=1) >= 2
    return Bass(
        gone_hz,
        float(whole[bass & (hz < gone_hz)].sum() / power),
        float(analysed.bass_power[carried].sum() / weight),
    )


def _masked(playback: Playback, analysed: _Analysed) -> tuple[float, float]:
    """Seconds under the place's noise, and their share of those that sound."""
    loud = analysed.loud_power
    if playback.noise is None or not loud.any():
        return 0.0, 0.0
    gated = loud > loud.mean() * db_to_power(_GATE_DB)
    programme = float(loud[gated].mean())
    frames = max(round(_WINDOW_S / analysed.frame_s), 1)
    level = uniform_filter1d(analysed.band_power[playback.name], frames, axis=0, mode="nearest")
    sounding = uniform_filter1d(loud, frames, mode="nearest") > programme * db_to_power(_SOUNDING_DB)
    masked = sounding & _under(level / programme, playback.noise)
    return float(masked.sum() * analysed.frame_s), float(masked.sum() / max(sounding.sum(), 1))


def _under(level: Float64Array, noise: Noise) -> NDArray[np.bool_]:
    """True if the noise is over the music in every band, of powers against the programme's, (…, bands)."""
    against = db_to_power(np.array(noise.band_db) - noise.listening_db)
    return np.asarray((level < against).all(axis=-1))


def _ratio_db(above: float, below: float) -> float:
    """A power ratio in dB, within ±`MOST_DB`; 0 where there was nothing."""
    if above <= 0:
        return 0.0
    return float(np.clip(power_to_db(above / max(below, 1e-30 * above)), -MOST_DB, MOST_DB))


# --- judging ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usual:
    """A measure over finished music: its median, and the edge that hardly any finished song passes."""

    median: float
    edge: float

    def severity(self, value: float) -> float:
        """0 at the median, `FOUND` at the edge, 1 as far again beyond it."""
        return min(max(FOUND * (value - self.median) / (self.edge - self.median), 0.0), 1.0)


@dataclass(frozen=True)
class Reference:
    """The losses of finished music, by playback and measure.

    The edges are one quantile of each measure, so high that one finished song in ten passes any of them.
    """

    songs: int
    quantile: float
    usual: Mapping[str, Mapping[str, Usual]]

    def severities(self, loss: PlaybackLoss) -> dict[str, float]:
        """The severity of each measure of a loss."""
        usual = self.usual[loss.playback]
        return {name: usual[name].severity(value) for name, value in loss.measures().items()}


@cache
def finished_losses() -> Reference:
    """The losses of finished music that the package ships."""
    text = resources.files("mixagent.checkpoints").joinpath("playbacks/reference.json").read_text("utf-8")
    return reference_of(json.loads(text))


def reference_of(data: Mapping[str, Any]) -> Reference:
    """A reference as `scripts/fit_playbacks.py` writes it."""
    usual = {
        playback: MappingProxyType({name: Usual(*row) for name, row in rows.items()})
        for playback, rows in data["usual"].items()
    }
    return Reference(int(data["songs"]), float(data["quantile"]), MappingProxyType(usual))


@dataclass(frozen=True)
class Lost:
    """A loss that finished music does not have: of which kind, how far, and in words."""

    kind: str
    severity: float
    says: str


@dataclass(frozen=True)
class Translation:
    """The losses of a song on one playback, and those that finished music has not, the worst first."""

    loss: PlaybackLoss
    found: tuple[Lost, ...]

    def to_json(self) -> dict[str, Any]:
        """As in reports: `says` is what a reader has to know of it in a sentence."""
        loss = self.loss
        return {
            "playback": loss.playback,
            "loudness_lost_lu": loss.loudness_lost_lu,
            "lost_db": dict(loss.lost_db),
            "cancels_db": dict(loss.cancels_db),
            "worst_band": loss.worst_band,
            "bass": asdict(loss.bass),
            "masked_s": loss.masked_s,
            "severity": self.found[0].severity if self.found else 0.0,
            "found": [asdict(lost) for lost in self.found if lost.severity >= FOUND],
            "says": self.says,
        }

    @property
    def says(self) -> str:
        """Sentences for the losses that finished music has not, the worst first, or for the usual ones."""
        told = [lost.says for lost in self.found if lost.severity >= FOUND]
        where = f"{PLAYBACKS[self.loss.playback].where} "
        rest = [words.replace(where, "", 1) for words in told[1:]]
        return "; ".join([*told[:1], *rest]) or _usual_words(self.loss)


def translate(source: AudioSource) -> tuple[Translation, ...]:
    """Measure a mono or stereo source on every playback and judge it against finished music."""
    return tuple(judged(loss, finished_losses()) for loss in measure_losses(source))


def judged(loss: PlaybackLoss, reference: Reference) -> Translation:
    """A loss with what of it finished music does not have."""
    severities = {name: severity for name, severity in reference.severities(loss).items() if severity > 0}
    found = [Lost(name, severity, _words(name, loss)) for name, severity in severities.items()]
    return Translation(loss, tuple(sorted(found, key=lambda lost: -lost.severity)))


def told(found: Iterable[Lost]) -> list[str]:
    """Losses that finished music does not have, in words, the worst first."""
    return [lost.says for lost in sorted(found, key=lambda lost: -lost.severity)]


# --- words -----------------------------------------------------------------------------------------

_MINUS = "\u2212"
_CANCEL_HEARD_DB = 0.5
_BAND_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "sub": "sub",
        "bass": "bass",
        "low_mid": "low mids",
        "mid": "mids",
        "presence": "presence",
        "air": "air",
    }
)


def _words(name: str, loss: PlaybackLoss) -> str:
    """A loss that finished music does not have, in a sentence."""
    where = PLAYBACKS[loss.playback].where
    if name == "bass":
        share, under = loss.bass.share, loss.bass.under_hz
        return (
            f"{where} the bass line is gone: {100 * share:.0f} % of its power lies under {under:.0f} Hz, and "
            f"{100 * (1 - loss.bass.carried):.0f} % of it has no overtones above that carry it"
        )
    if name == "masked":
        return (
            f"{where} {loss.masked_s:.0f} s of the song are under the noise of the place: the quiet "
            "passages are too far under the loud ones"
        )
    if name == "cancels":
        spoken = "in mono " if PLAYBACKS[loss.playback].mono_below_hz > 0 else ""
        at = loss.cancelled[loss.cancels_most]
        return (
            f"{spoken}{where} up to {at.most_db:.1f} dB are lost at {_span(at.low_hz, at.high_hz)}, where "
            "left and right cancel each other"
        )
    return (
        f"{where} {loss.loudness_lost_lu:.1f} LU of the loudness are lost, most of all in the "
        f"{_BAND_WORDS[loss.worst_band]} ({_signed(-loss.lost_db[loss.worst_band])} dB)"
    )


def _usual_words(loss: PlaybackLoss) -> str:
    """Words for the losses that any song has on a playback."""
    worst = loss.worst_band
    lost = f"{_BAND_WORDS[worst]} {_signed(-loss.lost_db[worst])} dB" if loss.lost_db[worst] >= 0.1 else ""
    deep = loss.cancels_most
    cancels = (
        f"{loss.cancels_db[deep]:.1f} dB of the {_BAND_WORDS[deep]} cancel"
        if loss.cancels_db[deep] >= _CANCEL_HEARD_DB
        else ""
    )
    carried = (
        f"overtones carry {100 * loss.bass.carried:.0f} % of the bass" if loss.bass.share >= FOUND else ""
    )
    masked = f"{loss.masked_s:.0f} s under the noise" if loss.masked_s >= 1 else ""
    told = ", ".join(words for words in (lost, cancels, carried, masked) if words)
    return f"nothing out of the ordinary: {told}" if told else "nothing is lost"


def _span(low_hz: float, high_hz: float) -> str:
    low, high = (float(f"{hz:.2g}") for hz in (low_hz, high_hz))
    return f"{low:.0f} to {high:.0f} Hz" if high < 1000 else f"{low / 1000:g} to {high / 1000:g} kHz"


def _signed(value_db: float) -> str:
    return f"{value_db:+.1f}".replace("-", _MINUS)
