"""The master's bands: its dynamic equaliser and its multiband processors, from settings.

Their thresholds stand against what each band itself is usually at, behind the master's equalisers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mixagent.pipeline.chain.mixing import compressors, transient_shapers
from mixagent.pipeline.chain.parameters import BAND_PLACES, DYNAMIC_PLACES, Settings
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.crossover import Crossover
from mixagent.pipeline.dsp.dynamic_equaliser import DynamicBell, DynamicEqualiser
from mixagent.pipeline.dsp.dynamics import Detector, expander
from mixagent.pipeline.dsp.equaliser import HIGHEST_SHARE
from mixagent.pipeline.dsp.image import Image, image_matrix
from mixagent.pipeline.dsp.multiband import Multiband
from mixagent.pipeline.dsp.programme import (
    BandLevel,
    Level,
    PowerMeter,
    WindowMeter,
    bell_core,
    body_filter,
    gate,
    level_of,
    usual_levels,
)
from mixagent.pipeline.dsp.saturation import Curve, Saturation, kept_db
from mixagent.pipeline.dsp.streaming import Processor
from mixagent.pipeline.types import Float64Array, FloatArray

_CORNERS = ("low_hz", "mid_hz", "high_hz")
_NO_CORNER_HZ = 20.0
_KNEE_OVER_PROGRAMME_DB = 24.0
_BAND_GATE_DB = -100.0
_HEARD_MS = 5.0
_LOWS_HEARD_MS = 30.0


@dataclass(frozen=True)
class BandProgrammes:
    """The usual levels of the master's bands, by place: their thresholds are relative to these.

    `bands` are those of the crossover, each gated by itself, and `bells` what is behind the cores of
    the dynamic equaliser's bells, gated by the body.
    """

    bands: Mapping[str, Level]
    bells: Mapping[str, BandLevel]

    def raised(self, gain_db: float) -> BandProgrammes:
        """The levels of the same material `gain_db` louder."""
        bands = {place: replace(at, level_db=at.level_db + gain_db) for place, at in self.bands.items()}
        bells = {place: replace(at, level_db=at.level_db + gain_db) for place, at in self.bells.items()}
        return BandProgrammes(bands, bells)


def listens(settings: Settings) -> bool:
    """True if anything at these settings needs its band's programme level."""
    dynamic = any(settings[f"{place}.range_db"] for place in DYNAMIC_PLACES)
    return dynamic or _split_is_heard(settings)


def _split_is_heard(settings: Settings) -> bool:
    """True if any of the crossover's bands needs its programme level."""
    bands = (settings.section(place) for place in BAND_PLACES)
    return any(band["comp_ratio"] > 1 or band["expand_ratio"] > 1 or band["drive_db"] > 0 for band in bands)


def measure_bands(
    parts: Iterable[FloatArray], rate: int, channels: int, settings: Settings
) -> BandProgrammes:
    """The levels of the bands that the settings make, in one pass over blocks (channels, frames)."""
    crossover, places = _crossover(settings, rate, channels)
    dynamic = _dynamic_places(settings, rate)
    cores = [_core(settings, place, rate) for place in dynamic]
    whole = WindowMeter([body_filter(rate), *cores], rate, channels)
    places = places if _split_is_heard(settings) else ()
    meters = [PowerMeter(rate, channels) for _ in places]
    for part in parts:
        whole.update(part)
        for meter, band in zip(meters, crossover.split(part) if meters else (), strict=True):
            meter.update(band)
    levels_db = whole.levels_db()
    usual = usual_levels(levels_db, gate(levels_db[:, 0]))
    bands = [meter.levels_db()[:, 0] for meter in meters]
    found = [level_of(band, gate(band, _BAND_GATE_DB)) for band in bands]
    return BandProgrammes(dict(zip(places, found, strict=True)), dict(zip(dynamic, usual, strict=True)))


def dynamic_equaliser(
    settings: Settings, rate: int, channels: int, programmes: BandProgrammes
) -> list[Processor]:
    """The dynamic equaliser with its bands that are on, below Nyquist and ever audible."""
    bells = [
        DynamicBell(
            centre_hz=values["hz"],
            q=values["q"],
            range_db=values["range_db"],
            over_db=programmes.bells[place].level_db + values["threshold_db"],
            attack_ms=values["attack_ms"],
            release_ms=values["release_ms"],
        )
        for place in _dynamic_places(settings, rate)
        if not programmes.bells[place].silent
        for values in [settings.section(place)]
    ]
    return [DynamicEqualiser(bells, rate, channels)] if bells else []


def multiband(
    settings: Settings, rate: int, channels: int, programmes: BandProgrammes | None
) -> list[Processor]:
    """The bands of the crossover with their processors, unless all of them are neutral.

    Args:
        settings: those of the crossover and of the bands are used.
        rate: Hz.
        channels: a band's width works on two and is left out otherwise.
        programmes: what the thresholds stand against; without them only what needs none is done.
    """
    crossover, places = _crossover(settings, rate, channels)
    levels = programmes.bands if programmes else {}
    audible = [level if (level := levels.get(place)) and not level.silent else None for place in places]
    bends = [
        _bend(settings[f"{place}.drive_db"], level) for place, level in zip(places, audible, strict=True)
    ]
    bands = [
        _band(place, settings.section(place), rate, channels, level, bend)
        for place, level, bend in zip(places, audible, bends, strict=True)
    ]
    if not any(bands):
        return []
    curves = [bend.curve if bend else None for bend in bends]
    return [Multiband(crossover, bands, Saturation(curves, channels) if any(curves) else None, channels)]


def _band(
    place: str, values: Mapping[str, float], rate: int, channels: int, level: Level | None, bend: _Bend | None
) -> list[Processor]:
    """One band in the order of the signal, up to the gain that goes before its saturation."""
    processors = transient_shapers(values, rate, channels)
    if level is not None:
        # As long as a wave of the lowest notes, which would else move the gain one by one.
        mean_ms = _LOWS_HEARD_MS if place == BAND_PLACES[0] else _HEARD_MS
        detector = Detector(0.0, mean_ms)
        if values["expand_ratio"] > 1:
            processors.append(expander(values["expand_ratio"], level, rate, channels, detector))
        processors += compressors(values, rate, channels, level, detector)
    width, gain_db = values["width"] if channels == 2 else 1.0, bend.gain_db if bend else 0.0
    if width != 1 or gain_db:
        processors.append(Image(image_matrix(gain_db, width=width), gain_db))
    return processors


@dataclass(frozen=True)
class _Bend:
    """A band's saturation: its curve, and the gain that gives the band its power back."""

    curve: Curve
    gain_db: float


def _bend(drive_db: float, level: Level | None) -> _Bend | None:
    if drive_db == 0 or level is None:
        return None
    knee = db_to_amplitude(level.level_db + _KNEE_OVER_PROGRAMME_DB - drive_db)
    plain = Curve(0.0, knee)
    gain_db = -kept_db(plain, level)
    # The gain comes first, so that one filter takes all bands back to the rate.
    return _Bend(plain.scaled(db_to_amplitude(gain_db)), gain_db)


def _crossover(settings: Settings, rate: int, channels: int) -> tuple[Crossover, tuple[str, ...]]:
    """The crossover, and the places that its bands have in the settings."""
    corners_hz = [settings[f"crossover.{corner}"] for corner in _CORNERS]
    joined = sum(hz <= _NO_CORNER_HZ for hz in corners_hz)
    crossover = Crossover(corners_hz[joined:], rate, channels)
    return crossover, BAND_PLACES[joined : joined + crossover.bands]


def _dynamic_places(settings: Settings, rate: int) -> list[str]:
    """The dynamic equaliser's bands that are on and below Nyquist."""
    on = (place for place in DYNAMIC_PLACES if settings[f"{place}.range_db"] != 0)
    return [place for place in on if settings[f"{place}.hz"] < HIGHEST_SHARE * rate]


def _core(settings: Settings, place: str, rate: int) -> Float64Array:
    return bell_core(settings[f"{place}.hz"], settings[f"{place}.q"], rate)
