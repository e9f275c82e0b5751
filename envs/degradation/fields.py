"""Gains over frequency and time: tone, width, lean, band limits, and bands that blink or wander.

A field says for any frequency and time by how many dB mid, side and the balance of right against left
are moved. It can be put on audio, by a short-time transform, and on `SongBands`, where the same is
worked out on powers: so training can draw fields afresh without rendering.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mixagent.pipeline.decibels import db_to_amplitude, db_to_power, powers_to_db
from mixagent.pipeline.measure.song_bands import BANDS, EDGES_HZ, FLOOR_DB, SongBands
from mixagent.pipeline.types import Audio, FloatArray

Grid = NDArray[np.float64]

Gain = Callable[[Grid, Grid], Grid]
"""dB at frequencies (F,) in Hz and times (T,) in s, shape (F, T) or (F, 1)."""

SILENT_DB = -90.0
_SIZE = 2048
_POINTS = 3
_FRAME_S = 0.0464


@dataclass(frozen=True)
class Field:
    """The gains of mid, side and balance; each a sum of several.

    Attributes:
        mid, side: gains in dB.
        balance: of right against left in dB.
    """

    mid: tuple[Gain, ...] = ()
    side: tuple[Gain, ...] = ()
    balance: tuple[Gain, ...] = ()

    def gains_db(
        self, hz: Grid, times_s: Grid, severity: float = 1.0
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The gains of mid and side and the balance, each of shape (F, T), at a share of their strength."""
        shape = (hz.size, times_s.size)

        def total(gains: tuple[Gain, ...]) -> FloatArray:
            summed = np.zeros(shape)
            for gain in gains:
                summed = summed + gain(hz, times_s)
            return np.asarray(np.clip(severity * summed, SILENT_DB, 40.0), np.float32)

        return total(self.mid), total(self.side), total(self.balance)

    def on_audio(self, audio: Audio, severity: float = 1.0) -> Audio:
        """The audio under the field, of its shape and power; of mono sound only the mid is moved."""
        if severity == 0.0 or not np.any(audio.samples):
            return audio
        samples, hop = audio.samples, _SIZE // 2
        padded = np.pad(samples, ((0, 0), (hop, 2 * hop)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE, axis=1)[:, ::hop]
        window = np.sin(np.pi * (np.arange(_SIZE) + 0.5) / _SIZE).astype(np.float32)
        spectra = fft.rfft(frames * window, axis=2)  # (channels, T, F)
        hz = np.arange(_SIZE // 2 + 1) * audio.rate / _SIZE
        mid_db, side_db, balance_db = (
            g.T for g in self.gains_db(hz, np.arange(spectra.shape[1]) * hop / audio.rate, severity)
        )
        if len(samples) == 2:
            mid = (spectra[0] + spectra[1]) * _factor(mid_db) / 2
            side = (spectra[0] - spectra[1]) * _factor(side_db) / 2
            spectra = np.stack(
                [(mid + side) * _factor(-balance_db / 2), (mid - side) * _factor(balance_db / 2)]
            )
        else:
            spectra = spectra * _factor(mid_db)
        pieces = fft.irfft(spectra, _SIZE, axis=2) * window
        joined = np.zeros((len(samples), (pieces.shape[1] + 1) * hop), np.float32)
        halves = pieces.reshape(len(samples), -1, 2, hop)
        joined[:, :-hop] += halves[:, :, 0].reshape(len(samples), -1)
        joined[:, hop:] += halves[:, :, 1].reshape(len(samples), -1)
        return same_power(Audio(joined[:, hop : hop + samples.shape[1]], audio.rate), audio)

    def on_bands(self, bands: SongBands, severity: float = 1.0) -> SongBands:
        """The bands under the field, at their mean power; `fast` stays as it is.

        A band is moved by the mean of the powers of the gains at three places in it.
        """
        edges = np.log2(np.array(EDGES_HZ))
        inside = (np.arange(_POINTS) + 0.5) / _POINTS
        hz = np.exp2(edges[:-1, None] + inside * np.diff(edges)[:, None]).ravel()
        gains = self.gains_db(
            np.asarray(hz, np.float64), _FRAME_S * np.arange(bands.frames, dtype=np.float64), severity
        )
        powers = [np.mean(db_to_power(g.reshape(BANDS, _POINTS, -1)), axis=1) for g in gains]
        mid, side, balance = (np.asarray(powers_to_db(power), np.float64) for power in powers)
        return moved(bands, mid, side, balance)


def moved(bands: SongBands, mid_db: Grid, side_db: Grid, balance_db: Grid) -> SongBands:
    """The bands with mid and side raised, then right against left; gains (BANDS, frames) or (BANDS, 1)."""
    mid = np.asarray(db_to_power(bands.mid_db + mid_db), np.float64)
    side = np.asarray(db_to_power(bands.side_db + side_db), np.float64)
    cross = np.asarray(bands.common * np.sqrt(mid * side), np.float64)
    if np.any(balance_db):
        left = (mid + side + 2 * cross) * db_to_amplitude(-balance_db)
        right = (mid + side - 2 * cross) * db_to_amplitude(balance_db)
        both = mid - side  # Re(L R*): both gains cancel
        mid, side, cross = (left + right) / 4 + both / 2, (left + right) / 4 - both / 2, (left - right) / 4
    powers = (np.maximum(mid, 1e-12), np.maximum(side, 1e-12))
    common = np.clip(cross / np.sqrt(powers[0] * powers[1]), -1.0, 1.0)
    # FLOOR_DB marks what is not there, and stays so.
    total = powers_to_db(max(float(np.mean(np.sum(mid + side, axis=0))), 1e-12))
    levels = [np.maximum(powers_to_db(p) - total, FLOOR_DB).astype(np.float32) for p in powers]
    return SongBands(levels[0], levels[1], common.astype(np.float32), bands.fast)


def same_power(audio: Audio, as_: Audio) -> Audio:
    """The audio at the power of another."""
    now, wanted = (float(np.mean(np.square(a.samples, dtype=np.float64))) for a in (audio, as_))
    return Audio((audio.samples * np.sqrt(wanted / max(now, 1e-20))).astype(np.float32), audio.rate)


def _factor(gain_db: NDArray[np.floating]) -> FloatArray:
    return np.asarray(db_to_amplitude(gain_db), np.float32)


# --- drawing ---------------------------------------------------------------------------------------


def draw_field(random: np.random.Generator, count: int, still: bool = False) -> Field:
    """A field of `count` kinds of `KINDS`, drawn with their weights; none of `MOVING` where it is `still`."""
    names = [name for name in KINDS if not (still and name in MOVING)]
    weights = np.array([KINDS[name][1] for name in names])
    chosen = random.choice(len(names), min(count, len(names)), replace=False, p=weights / weights.sum())
    mid: list[Gain] = []
    side: list[Gain] = []
    balance: list[Gain] = []
    for index in chosen:
        part = KINDS[names[int(index)]][0](random)
        mid += part.mid
        side += part.side
        balance += part.balance
    return Field(tuple(mid), tuple(side), tuple(balance))


def draw_colour(random: np.random.Generator, most_db: float) -> Field:
    """A mild curve of tone, and another of the side: what sets one finished song apart from another."""
    tone, side = (_curve(random, random.uniform(0.0, most_db), int(random.integers(4, 20))) for _ in range(2))
    return Field(mid=(tone,), side=(tone, side))


def _tone(gain: Gain) -> Field:
    return Field(mid=(gain,), side=(gain,))


def _octaves(hz: Grid) -> Grid:
    return np.asarray(np.log2(np.maximum(hz, 20.0) / 1000.0))


def _curve(random: np.random.Generator, spread_db: float, knots: int) -> Gain:
    places = np.linspace(-5.3, 4.3, knots) + random.uniform(-0.3, 0.3, knots)
    levels = np.clip(random.standard_normal(knots), -2.2, 2.2) * spread_db
    return lambda hz, _: np.interp(_octaves(hz), np.sort(places), levels)[:, None]


def _bell(centre_hz: float, gain_db: float, width_octaves: float) -> Gain:
    centre = np.log2(centre_hz / 1000.0)
    return lambda hz, _: (gain_db * np.exp(-np.square((_octaves(hz) - centre) / width_octaves)))[:, None]


def _step(at_hz: float, gain_db: float, width_octaves: float) -> Gain:
    """A shelf: `gain_db` above `at_hz`."""
    at = np.log2(at_hz / 1000.0)
    return lambda hz, _: (gain_db / (1 + np.exp(-(_octaves(hz) - at) / (0.25 * width_octaves))))[:, None]


def _log(random: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _size_db(random: np.random.Generator, least: float, most: float) -> float:
    return float(random.choice((-1.0, 1.0)) * random.uniform(least, most))


def _random_curve(random: np.random.Generator) -> Field:
    return _tone(_curve(random, random.uniform(1.5, 8.0), int(random.integers(3, 24))))


def _tilt(random: np.random.Generator) -> Field:
    slope_db, pivot = _size_db(random, 0.5, 4.0), random.uniform(-2.0, 2.0)
    return _tone(lambda hz, _: np.clip(slope_db * (_octaves(hz) - pivot), -22.0, 22.0)[:, None])


def _bells(random: np.random.Generator) -> Field:
    gains = [
        _bell(_log(random, 50, 12000), _size_db(random, 3, 15), _log(random, 0.3, 1.5))
        for _ in range(int(random.integers(1, 4)))
    ]
    return Field(tuple(gains), tuple(gains))


def _resonances(random: np.random.Generator) -> Field:
    # Narrow ones among the low mids are a mechanism that is kept for validation.
    places = [
        _log(random, 60, 170) if random.random() < 0.25 else _log(random, 600, 14000)
        for _ in range(int(random.integers(1, 5)))
    ]
    gains = tuple(_bell(hz, random.uniform(5, 16), _log(random, 0.06, 0.2)) for hz in places)
    return Field(gains, gains)


def _low_mids(random: np.random.Generator) -> Field:
    return _tone(_bell(_log(random, 180, 450), random.uniform(-9, 13), random.uniform(0.4, 1.1)))


def _presence(random: np.random.Generator) -> Field:
    return _tone(_bell(_log(random, 2000, 6000), random.uniform(-14, 10), random.uniform(0.4, 1.2)))


def _lows(random: np.random.Generator) -> Field:
    at_hz, gain_db = _log(random, 45, 250), _size_db(random, 3, 16)
    shelf = _step(at_hz, gain_db, random.uniform(0.5, 2.0))
    return _tone(lambda hz, t: gain_db - shelf(hz, t))


def _highs(random: np.random.Generator) -> Field:
    return _tone(_step(_log(random, 2500, 11000), random.uniform(-20, 14), random.uniform(0.4, 2.0)))


def _early_end(random: np.random.Generator) -> Field:
    """A low-pass, from gentle to a brick wall, in all or in the side alone."""
    cut, steep_db = np.log2(_log(random, 3500, 17500) / 1000.0), _log(random, 24, 1500)

    def gain(hz: Grid, _: Grid) -> Grid:
        return np.asarray(np.maximum(-steep_db * np.maximum(_octaves(hz) - cut, 0.0), SILENT_DB)[:, None])

    return Field(side=(gain,)) if random.random() < 0.15 else _tone(gain)


def _late_start(random: np.random.Generator) -> Field:
    cut, steep_db = np.log2(_log(random, 35, 180) / 1000.0), random.uniform(12, 48)
    return _tone(
        lambda hz, _: np.maximum(-steep_db * np.maximum(cut - _octaves(hz), 0.0), SILENT_DB)[:, None]
    )


def _gaps(random: np.random.Generator) -> Field:
    """Flat-bottomed gaps that stand still."""
    centres = np.array(
        [np.log2(_log(random, 700, 13000) / 1000.0) for _ in range(int(random.integers(1, 6)))]
    )
    half, depth_db = random.uniform(0.1, 0.3), random.uniform(8, 45)

    def gain(hz: Grid, _: Grid) -> Grid:
        away = np.abs(_octaves(hz)[:, None] - centres)
        return np.asarray(-depth_db * np.clip((half - away) / 0.04, 0, 1).max(axis=1)[:, None])

    return _tone(gain)


def _side_curve(random: np.random.Generator) -> Field:
    return Field(side=(_curve(random, random.uniform(2.0, 8.0), int(random.integers(3, 12))),))


def _width(random: np.random.Generator) -> Field:
    gain_db = random.uniform(-18.0, 12.0)
    return Field(side=(lambda hz, _: np.full((hz.size, 1), gain_db),))


def _low_mid_sides(random: np.random.Generator) -> Field:
    return Field(side=(_bell(_log(random, 120, 600), random.uniform(5, 20), random.uniform(0.4, 1.3)),))


def _narrow_highs(random: np.random.Generator) -> Field:
    return Field(side=(_step(_log(random, 300, 6000), random.uniform(-25, 8), random.uniform(0.4, 2.0)),))


def _lean(random: np.random.Generator) -> Field:
    balance_db = _size_db(random, 0.5, 10.0)
    return Field(balance=(lambda hz, _: np.full((hz.size, 1), balance_db),))


def _lean_curve(random: np.random.Generator) -> Field:
    """A lean by band, from a slow drift to bands that each go their own way, joined or stepped."""
    spread_db, knots = random.uniform(1.5, 12.0), int(random.integers(2, 20))
    if random.random() < 0.5:
        return Field(balance=(_curve(random, spread_db, knots),))
    edges = np.sort(random.uniform(-5.3, 4.3, knots))
    levels = np.clip(random.standard_normal(knots + 1), -2.2, 2.2) * spread_db
    return Field(balance=(lambda hz, _: levels[np.searchsorted(edges, _octaves(hz))][:, None],))


def _episodes(random: np.random.Generator, share: float, length_s: float) -> Callable[[Grid], Grid]:
    """1 in random stretches of about `length_s`, 0 between them; drawn for the first minute."""
    count = max(int(60.0 * share / length_s), 1)
    starts = random.uniform(0.0, 60.0, count)
    lengths = length_s * np.exp(random.normal(0.0, 0.5, count))

    def away(times_s: Grid) -> Grid:
        from_start = times_s[:, None] - starts
        return np.asarray(((from_start >= 0) & (from_start < lengths)).any(axis=1).astype(np.float64))

    return away


def _blinking(random: np.random.Generator) -> Field:
    away = _episodes(random, random.uniform(0.05, 0.6), _log(random, 0.05, 0.6))
    low_hz = _log(random, 2500, 14000)
    low, high = np.log2(low_hz / 1000.0), np.log2(low_hz / 1000.0) + random.uniform(0.15, 2.0)
    depth_db = random.uniform(10, 60)

    def gain(hz: Grid, times_s: Grid) -> Grid:
        inside = (_octaves(hz) >= low) & (_octaves(hz) < high)
        return np.asarray(-depth_db * inside[:, None] * away(times_s))

    return _tone(gain)


def _wandering(random: np.random.Generator) -> Field:
    """A band, or the whole song, whose level comes and goes."""
    knots = int(random.integers(8, 240))
    places, levels = np.linspace(0.0, 60.0, knots), random.standard_normal(knots) * random.uniform(1.0, 6.0)
    low = random.uniform(-5.0, 3.0)
    high = low + random.uniform(0.7, 3.0)
    everywhere = random.random() < 0.3

    def gain(hz: Grid, times_s: Grid) -> Grid:
        inside = ((_octaves(hz) >= low) & (_octaves(hz) < high)) | everywhere
        return np.asarray(inside[:, None] * np.interp(times_s, places, levels))

    return _tone(gain)


KINDS: dict[str, tuple[Callable[[np.random.Generator], Field], float]] = {
    "random curve": (_random_curve, 2.5),
    "tilt": (_tilt, 2.0),
    "bells": (_bells, 1.5),
    "resonances": (_resonances, 1.0),
    "low mids": (_low_mids, 1.5),
    "presence": (_presence, 1.0),
    "lows": (_lows, 1.0),
    "highs": (_highs, 1.0),
    "early end": (_early_end, 1.5),
    "late start": (_late_start, 0.4),
    "gaps": (_gaps, 1.0),
    "side curve": (_side_curve, 1.5),
    "width": (_width, 1.5),
    "low-mid sides": (_low_mid_sides, 1.0),
    "narrow highs": (_narrow_highs, 0.8),
    "lean": (_lean, 1.5),
    "lean curve": (_lean_curve, 2.0),
    "blinking": (_blinking, 0.6),
    "wandering": (_wandering, 0.6),
}
"""The parts that a field may have, by name: how each is drawn, and its weight."""

MOVING = ("blinking", "wandering")
"""Kinds that change in time."""
