"""The table of what songs are played on: earbuds, a phone, a laptop, a car, a club.

Each row is a curve over what a full-range stereo system would play, a fold-down, and the noise of the
place. They are models of a kind, not of a make: where a standard or a published measurement says
something, the row names it, and where it does not, the row says that the value is typical.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.measure.analysis import BANDS_HZ
from mixagent.pipeline.types import Float64Array


@dataclass(frozen=True)
class RollOff:
    """A Butterworth slope: 3 dB down at its corner, `order` times 6 dB an octave beyond it."""

    corner_hz: float
    order: int


@dataclass(frozen=True)
class Resonance:
    """A bell of this gain at its centre (the analogue prototype of the Audio EQ Cookbook)."""

    hz: float
    gain_db: float
    q: float


@dataclass(frozen=True)
class Noise:
    """The noise of a place where music is played.

    Attributes:
        band_db: sound pressure level in each of `BANDS_HZ`, in their order, dB SPL.
        listening_db: the level that the song's own loudness is played at, dB SPL.
    """

    band_db: tuple[float, ...]
    listening_db: float

    def __post_init__(self) -> None:
        if len(self.band_db) != len(BANDS_HZ):
            raise ValueError(f"{len(self.band_db)} levels of noise for {len(BANDS_HZ)} bands")


@dataclass(frozen=True)
class Playback:
    """The response of one kind of playback system, 0 dB in the middle of its range.

    Attributes:
        name: as in reports.
        where: as in sentences, `on a phone`.
        low, high: where its range ends.
        lows_db: a first-order shelf under `lows_hz`: what a cabin or a wall of subs adds.
        resonance: a peak or a dip of its own, None for none.
        mono_below_hz: the side is not played under it; 0 is stereo, infinity all mono.
        side_db: level of the side above that.
        noise: of the place, None for a quiet one.
        source: where the figures are from.
    """

    name: str
    where: str
    low: RollOff
    high: RollOff
    source: str
    lows_db: float = 0.0
    lows_hz: float = 80.0
    resonance: Resonance | None = None
    mono_below_hz: float = 0.0
    side_db: float = 0.0
    noise: Noise | None = None

    def mid_power(self, hz: Float64Array) -> Float64Array:
        """The power gain of what both channels share, at each frequency."""
        with np.errstate(divide="ignore"):
            low = 1 / (1 + (self.low.corner_hz / hz) ** (2 * self.low.order))
        gain = low / (1 + (hz / self.high.corner_hz) ** (2 * self.high.order))
        shelf = db_to_power(self.lows_db)
        gain *= (hz**2 + shelf * self.lows_hz**2) / (hz**2 + self.lows_hz**2)
        if self.resonance is not None:
            gain *= _bell_power(self.resonance, hz)
        return np.asarray(gain)

    def side_kept(self, hz: Float64Array) -> Float64Array:
        """The power of the side that is left beside the mid's, at each frequency: 1 in stereo."""
        return np.where(hz < self.mono_below_hz, 0.0, db_to_power(self.side_db))

    @property
    def gone_hz(self) -> float:
        """The frequency under which its roll-off takes 10 dB or more."""
        return float(self.low.corner_hz * 9 ** (-0.5 / self.low.order))


def _bell_power(bell: Resonance, hz: Float64Array) -> Float64Array:
    ratio, amplitude = hz / bell.hz, 10 ** (bell.gain_db / 40)
    apart = (1 - ratio**2) ** 2
    above, below = (ratio * amplitude / bell.q) ** 2, (ratio / (amplitude * bell.q)) ** 2
    return np.asarray((apart + above) / (apart + below))


PLAYBACKS: Mapping[str, Playback] = MappingProxyType(
    {
        playback.name: playback
        for playback in (
            Playback(
                name="earbuds",
                where="on earbuds",
                low=RollOff(80.0, 2),
                high=RollOff(16000.0, 2),
                source="Typical of earbuds that do not seal: a leak rolls the lows off at 12 dB an octave. "
                "Sealed ones reach the bass of the in-ear target of Olive, Welti and Khonsaripour (AES "
                "convention 143, 2017) and lose nothing.",
            ),
            Playback(
                name="phone",
                where="on a phone",
                low=RollOff(300.0, 4),
                high=RollOff(12000.0, 2),
                mono_below_hz=math.inf,
                source="Typical: a micro-loudspeaker resonates at 700 to 1000 Hz; its amplifier lifts it to "
                "about 300 Hz and filters what lies under that, for the coil's sake. Held upright, both "
                "of its loudspeakers stand in one line, so their sum is heard.",
            ),
            Playback(
                name="laptop",
                where="on a laptop",
                low=RollOff(150.0, 3),
                high=RollOff(15000.0, 2),
                side_db=-7.6,
                source='The range is typical. The side is what the law of sines (Bauer, "Phasor analysis of '
                'some stereophonic phenomena", JASA 33, 1961) leaves of it with loudspeakers 12 degrees '
                "to either side in place of 30: 20 log(sin 12 / sin 30).",
            ),
            Playback(
                name="car",
                where="in a car",
                low=RollOff(35.0, 4),
                high=RollOff(14000.0, 2),
                lows_db=8.0,
                lows_hz=60.0,
                noise=Noise((95.0, 87.0, 71.0, 65.0, 56.0, 43.0), 80.0),
                source="A closed cabin adds to what is longer than it: 8 dB in the lows is typical of tuned "
                "systems. Noise: a typical interior at 100 km/h, 69 dB(A) as ISO 5128 measures it, its "
                "lows 30 dB over its mids; the music at 80 dB.",
            ),
            Playback(
                name="club",
                where="in a club",
                low=RollOff(38.0, 4),
                high=RollOff(14000.0, 2),
                lows_db=6.0,
                lows_hz=90.0,
                mono_below_hz=math.inf,
                noise=Noise((60.0, 65.0, 78.0, 84.0, 76.0, 62.0), 99.0),
                source="The subs are usually fed one channel and set some 6 dB up, and many systems play all "
                "in mono: typical values. Music at 99 dB(A), the limit of DIN 15905-5; a crowd of 85 dB(A) "
                "with the spectrum of raised voices (ANSI S3.5).",
            ),
        )
    }
)
"""By name, from the smallest to the largest."""
