"""The curve that brings a song's tone and width to a reference's: gains of mid and side by third octave.

Tone is what mid and side hold together, width is side over mid, so the two can come from different
references. What the songs of a profile differ in is no target: a difference within half their spread is
left alone. The curve is smoothed over neighbours and bounded in each band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixagent.pipeline.analysis import THIRD_OCTAVES_HZ
from mixagent.pipeline.audio import FloatArray
from mixagent.pipeline.dsp.cascade import Cascade
from mixagent.pipeline.dsp.equaliser import HIGHEST_SHARE, Filter
from mixagent.pipeline.finished_music import shrunk_db
from mixagent.pipeline.references.profile import Profile, means, spreads
from mixagent.pipeline.streaming import Processor

Float64Array = NDArray[np.float64]

TONE_BOUND_DB = 6.0
LOWS_BOUND_DB = 3.0
"""Most that is put onto the bands up to `LOWS_HZ`: what a reference holds there is often rumble."""
LOWS_HZ = 40.0
WIDTH_BOUND_DB = 6.0
LEAST_WIDENED_HZ = 160.0
"""Below this a side is never raised: wide lows cancel on one loudspeaker."""

SILENT_DB = -70.0
"""Level over the song's loudness under which a band holds nothing to be matched."""

HIGHEST_DB = TONE_BOUND_DB + WIDTH_BOUND_DB
"""No gain of a curve is larger: tone and width moved as far as they may be."""

_LEVEL_HZ = (100.0, 8000.0)
_SMOOTH_BANDS = 0.8
_FIRST, _LAST = THIRD_OCTAVES_HZ.index(31.5), THIRD_OCTAVES_HZ.index(12500.0)
_Q = 2.0
_SHELF_Q = 0.8
_SHELF_SHARE = 10**0.05
_SHELF_HIGHEST_SHARE = 0.3
_REFINEMENTS = 6


@dataclass(frozen=True)
class MatchCurve:
    """Gains in dB in each of `THIRD_OCTAVES_HZ`, of (L + R)/2 and of (L − R)/2."""

    mid_db: tuple[float, ...]
    side_db: tuple[float, ...]

    @property
    def flat(self) -> bool:
        """Whether it changes nothing."""
        return not any((*self.mid_db, *self.side_db))

    def scaled(self, tone: float, width: float) -> MatchCurve:
        """So much of the gains in dB, 0 to 1: of those of both, and of what the side has over the mid."""
        pairs = zip(self.mid_db, self.side_db, strict=True)
        mid_db = tuple(tone * mid for mid in self.mid_db)
        return MatchCurve(mid_db, tuple(tone * mid + width * (side - mid) for mid, side in pairs))


FLAT = MatchCurve((0.0,) * len(THIRD_OCTAVES_HZ), (0.0,) * len(THIRD_OCTAVES_HZ))


def recorded_curve(gains_db: Mapping[str, Sequence[float]]) -> MatchCurve:
    """A curve from its fields in JSON.

    Raises:
        KeyError, TypeError, ValueError: anything else.
    """
    curve = MatchCurve(*(tuple(map(float, gains_db[name])) for name in ("mid_db", "side_db")))
    gains = (*curve.mid_db, *curve.side_db)
    if len(gains) != 2 * len(THIRD_OCTAVES_HZ) or not all(abs(gain) <= HIGHEST_DB for gain in gains):
        raise ValueError("a curve has a gain for each third octave, of mid and of side")
    return curve


def match_curve(song: Profile, tone: Profile | None, width: Profile | None) -> MatchCurve:
    """The curve that brings a song towards references.

    Args:
        song: what the song measures.
        tone: whose tone it should have; None leaves it.
        width: whose width it should have; None leaves it, and so does one that is mono.
    """
    tone_db = np.zeros(len(THIRD_OCTAVES_HZ)) if tone is None else _tone_db(song, tone)
    if width is None or not (width.stereo and song.stereo):
        return MatchCurve(_rounded(tone_db), _rounded(tone_db))
    wider_db = _wider_db(song, width)
    ratio = 10 ** (means(song.width_db) / 10)
    # What the side gains or loses, the mid makes up for: the tone stays as it is meant to be.
    mid_db = tone_db + 10 * np.log10((1 + ratio) / (1 + ratio * 10 ** (wider_db / 10)))
    return MatchCurve(_rounded(mid_db), _rounded(mid_db + wider_db))


def _tone_db(song: Profile, reference: Profile) -> Float64Array:
    held = (song.tone_db > SILENT_DB) & (reference.tone_db > SILENT_DB)
    apart = reference.tone_db - song.tone_db
    hz = np.array(THIRD_OCTAVES_HZ)
    level = held & (hz >= _LEVEL_HZ[0]) & (hz <= _LEVEL_HZ[1])
    if not level.any():
        return np.zeros(hz.size)
    places = np.arange(hz.size)
    apart = np.interp(places, places[held], (apart - apart[level].mean())[held])
    highest = np.where(hz <= LOWS_HZ, LOWS_BOUND_DB, TONE_BOUND_DB)
    return np.clip(_smoothed(_unusual(apart, spreads(reference.mid_db))), -TONE_BOUND_DB, highest)


def _wider_db(song: Profile, reference: Profile) -> Float64Array:
    apart = means(reference.width_db) - means(song.width_db)
    wider = _smoothed(_unusual(apart, spreads(reference.width_db)))
    highest = np.where(np.array(THIRD_OCTAVES_HZ) < LEAST_WIDENED_HZ, 0.0, WIDTH_BOUND_DB)
    return np.clip(wider, -WIDTH_BOUND_DB, highest)


def _unusual(apart_db: Float64Array, spread_db: Float64Array) -> Float64Array:
    return np.array([shrunk_db(d, s / 2) for d, s in zip(apart_db, spread_db, strict=True)])


def _smoothed(values: Float64Array) -> Float64Array:
    reach = np.arange(-3, 4)
    weights = np.exp(-0.5 * (reach / _SMOOTH_BANDS) ** 2)
    return np.convolve(np.pad(values, 3, mode="edge"), weights / weights.sum(), "valid")


def _rounded(gains_db: Float64Array) -> tuple[float, ...]:
    return tuple(round(float(gain), 2) + 0.0 for gain in gains_db)


def matching_processors(curve: MatchCurve, rate: int, channels: int) -> list[Processor]:
    """The curve as a processor; none where it is flat. Minimum phase; mono takes the mid's gains.

    Args:
        curve: the gains.
        rate: sample rate in Hz; bands beyond it are left out.
        channels: 1 or 2.
    """
    if curve.flat:
        return []
    mid = third_octave_sections(curve.mid_db, rate)
    if channels == 1:
        return [Cascade(mid, 1)]
    return [MidSide(Cascade(np.stack([mid, third_octave_sections(curve.side_db, rate)]), 2))]


class MidSide:
    """A processor of two channels that works on mid and side instead of left and right."""

    def __init__(self, inner: Processor) -> None:
        self._inner = inner

    @property
    def latency(self) -> int:
        """Frames by which the output lags the input."""
        return self._inner.latency

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (2, frames)."""
        half = np.float32(0.5)
        mid, side = self._inner.process(np.stack([block[0] + block[1], block[0] - block[1]]) * half)
        return np.stack([mid + side, mid - side])


def third_octave_sections(gains_db: Sequence[float], rate: int) -> Float64Array:
    """Second-order sections whose response runs through the gains at `THIRD_OCTAVES_HZ`.

    Bells overlap, so their gains are solved from their interaction at the centres and half-way between
    (Välimäki and Liski, "Accurate cascade graphic equalizer", IEEE Signal Processing Letters 24(2), 2017).
    The ends of the curve are shelves: at 31.5 Hz, and at 12.5 kHz or lower where the rate is.

    Returns:
        b0 b1 b2 a1 a2 of each, shape (sections, 5).
    """
    centres = _hz(np.arange(len(gains_db)))
    last = min(_LAST, int(np.searchsorted(centres, _SHELF_HIGHEST_SHARE * rate)) - 1)
    bands = np.arange(_FIRST, last + 1)
    points = np.arange(2 * _FIRST - 1, 2 * last + 2) / 2
    points = points[_hz(points) < HIGHEST_SHARE * rate]
    wanted = np.interp(points, bands, np.asarray(gains_db)[bands])

    def filters(gains: Float64Array) -> list[Filter]:
        return [_filter(int(band), float(gain), last) for band, gain in zip(bands, gains, strict=True)]

    def reached(gains: Float64Array) -> Float64Array:
        return np.asarray(sum(each.response_db(_hz(points), rate) for each in filters(gains)))

    solve = np.linalg.pinv(np.stack([reached(row) for row in np.eye(bands.size)], axis=1))
    gains = solve @ wanted
    for _ in range(_REFINEMENTS):
        gains = gains + solve @ (wanted - reached(gains))
    return np.stack([each.section(rate) for each in filters(gains)])


def _hz(places: ArrayLike) -> Float64Array:
    """The exact frequencies of places in `THIRD_OCTAVES_HZ` (IEC 61260-1), of fractions too."""
    tenths = np.asarray(places, np.float64) - THIRD_OCTAVES_HZ.index(1000.0)
    return np.asarray(1000.0 * 10 ** (tenths / 10))


def _filter(band: int, gain_db: float, last: int) -> Filter:
    hz = float(_hz(band))
    if band == _FIRST:
        return Filter("low_shelf", hz * _SHELF_SHARE, gain_db, _SHELF_Q)
    if band == last:
        return Filter("high_shelf", hz / _SHELF_SHARE, gain_db, _SHELF_Q)
    return Filter("bell", hz, gain_db, _Q)
