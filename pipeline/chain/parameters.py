"""The one table of everything adjustable.

It gives the policy's action space, the chain's settings, the report's rows and the documentation.
An action is a vector in [−1, 1], and action 0 is neutral: an effect at neutral is bypassed, not run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.dsp.third_octaves import MUSIC, THIRD_OCTAVES_HZ
from mixagent.pipeline.restoration.table import REPAIRS

Scale = Literal["linear", "log"]

STEM_NAMES = ("vocals", "drums", "bass", "other", "piano", "guitar", "accompaniment")
"""Stem names that a separator may give; `accompaniment` is all but the vocals."""


@dataclass(frozen=True)
class Parameter:
    """One adjustable value.

    `name` is `where.what_unit`; `low`, `high` and `neutral` are in `unit`. A log scale needs three
    positive values. Where neutral is an end of the range the parameter is one-sided: actions beyond
    that end stay at neutral.
    """

    name: str
    unit: str
    low: float
    high: float
    neutral: float
    scale: Scale
    where: str
    purpose: str

    def __post_init__(self) -> None:
        if not self.low <= self.neutral <= self.high or self.low == self.high:
            raise ValueError(f"{self.name}: neutral {self.neutral} is not in {self.low}..{self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"{self.name}: a log scale needs positive values, not {self.low}")

    def value(self, action: float) -> float:
        """The value in `unit` of an action in [−1, 1]; 0 is neutral, ±1 are the ends."""
        action = min(max(action, -1.0), 1.0)
        if action == 0.0:
            return self.neutral
        end = self.high if action > 0 else self.low
        if self.scale == "log":
            value = math.exp(_blend(math.log(self.neutral), math.log(end), abs(action)))
            return min(max(value, self.low), self.high)
        return min(max(_blend(self.neutral, end, abs(action)), self.low), self.high)

    def action(self, value: float) -> float:
        """The action in [−1, 1] of a value in `unit`, clipped to the range."""
        value = min(max(value, self.low), self.high)
        if value == self.neutral:
            return 0.0
        end = self.high if value > self.neutral else self.low
        if self.scale == "log":
            share = math.log(value / self.neutral) / math.log(end / self.neutral)
        else:
            share = (value - self.neutral) / (end - self.neutral)
        return share if value > self.neutral else -share


def _blend(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


@dataclass(frozen=True)
class ParameterSpace:
    """An ordered set of parameters: the strips of the stems at hand, the buses and the master."""

    parameters: tuple[Parameter, ...]
    _by_name: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {parameter.name: parameter for parameter in self.parameters}
        if len(by_name) != len(self.parameters):
            raise ValueError("parameter names are not unique")
        object.__setattr__(self, "_by_name", MappingProxyType(by_name))

    @classmethod
    def for_stems(cls, stems: Sequence[str]) -> ParameterSpace:
        """The space of a chain with one strip for each stem named, in that order."""
        strips = [_placed(row, stem) for stem in stems for row in STRIP]
        shared = (_placed(row, where) for where, rows in SHARED for row in rows)
        return cls((*strips, *shared, *(_placed(row, REPAIR) for row in _repair_rows())))

    def __len__(self) -> int:
        return len(self.parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def settings(self, values: Mapping[str, float] | None = None) -> Settings:
        """Settings with these values, clipped to their ranges, and neutral elsewhere.

        Raises:
            KeyError: a name that the space does not hold.
        """
        chosen = {parameter.name: parameter.neutral for parameter in self.parameters}
        for name, value in (values or {}).items():
            parameter = self._by_name[name]
            chosen[name] = min(max(float(value), parameter.low), parameter.high)
        return Settings(self, MappingProxyType(chosen))

    def from_action(self, action: NDArray[np.floating]) -> Settings:
        """Settings of an action vector of shape (len(self),) in [−1, 1]."""
        if action.shape != (len(self),):
            raise ValueError(f"action has shape {action.shape}, the space has {len(self)} parameters")
        pairs = zip(self.parameters, action, strict=True)
        return self.settings({parameter.name: parameter.value(float(a)) for parameter, a in pairs})


_SWITCHED = (
    (re.compile(r"(.*\bbell(_\d)?)_(hz|q)"), r"\1_db"),
    (re.compile(r"(dynamic_\d)\.(hz|q|threshold_db|attack_ms|release_ms)"), r"\1.range_db"),
    (re.compile(r"clipper\.knee_db"), "clipper.over_db"),
    (re.compile(r"(.*)extend_db"), r"\1extend_from_hz"),
)


def switch_of(name: str) -> str | None:
    """The parameter whose neutral value switches off what this one shapes: a bell's gain for its Q."""
    found = ((match, switch) for pattern, switch in _SWITCHED if (match := pattern.fullmatch(name)))
    return next((match.expand(switch) for match, switch in found), None)


@dataclass(frozen=True)
class Settings:
    """A value for every parameter of a space."""

    space: ParameterSpace
    values: Mapping[str, float]

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def changed(self) -> dict[str, float]:
        """The values that are not neutral, in the space's order."""
        return {p.name: self.values[p.name] for p in self.space if self.values[p.name] != p.neutral}

    def section(self, where: str) -> dict[str, float]:
        """The values at one place (`vocals`, `reverb`, `master` …), by name without the place."""
        return {p.name.split(".", 1)[1]: self.values[p.name] for p in self.space if p.where == where}

    def active(self, where: str) -> bool:
        """True if any parameter at this place is off neutral."""
        return any(p.where == where and self.values[p.name] != p.neutral for p in self.space)

    def to_action(self) -> NDArray[np.float32]:
        """The action vector of these settings, shape (len(space),)."""
        return np.array([p.action(self.values[p.name]) for p in self.space], dtype=np.float32)

    def without_idle(self) -> Settings:
        """The same sound, with what shapes an effect that is switched off at neutral too."""
        changed = self.changed()
        kept = {name: value for name, value in changed.items() if switch_of(name) in (None, *changed)}
        return self if len(kept) == len(changed) else self.space.settings(kept)

    def scaled(self, amount: float, shares: Mapping[str, float] | None = None) -> Settings:
        """Every action multiplied by `amount` in [0, 1]: 0 is neutral, 1 is these settings.

        `shares` in [0, 1] by name multiply those of some parameters once more. What shapes an effect that
        another parameter switches on keeps its action: half of a bell is half its gain at the same centre.
        """
        if amount == 1.0 and not shares:
            return self
        by = {p.name: amount * (shares or {}).get(p.name, 1.0) for p in self.space if not switch_of(p.name)}
        scaled = {p.name: self._scaled(p, by.get(p.name, 1.0)) for p in self.space}
        return self.space.settings(scaled).without_idle()

    def _scaled(self, parameter: Parameter, by: float) -> float:
        value = self.values[parameter.name]
        return value if by == 1.0 else parameter.value(parameter.action(value) * by)


@dataclass(frozen=True)
class _Row:
    what: str
    unit: str
    low: float
    neutral: float
    high: float
    purpose: str
    scale: Scale = "linear"


def _placed(row: _Row, where: str) -> Parameter:
    return Parameter(
        name=f"{where}.{row.what}",
        unit=row.unit,
        low=row.low,
        high=row.high,
        neutral=row.neutral,
        scale=row.scale,
        where=where,
        purpose=row.purpose,
    )


_COMPRESSOR = (
    _Row("comp_threshold_db", "dB", -18.0, 0.0, 12.0, "compressor threshold against the programme level"),
    _Row("comp_ratio", ":1", 1.0, 1.0, 8.0, "compressor ratio, loudness kept; 1 is off", "log"),
    _Row("comp_attack_ms", "ms", 0.5, 15.0, 100.0, "compressor attack", "log"),
    _Row("comp_release_ms", "ms", 20.0, 150.0, 1000.0, "compressor release", "log"),
)
_TRANSIENT = (
    _Row("transient_attack_db", "dB", -9.0, 0.0, 9.0, "level of attacks against what follows them"),
    _Row("transient_sustain_db", "dB", -9.0, 0.0, 9.0, "level of what follows an attack"),
)

STRIP = (
    _Row("align_ms", "ms", -20.0, 0.0, 20.0, "how much later the stem plays; under 0 earlier"),
    _Row("invert", "", 0.0, 0.0, 1.0, "over 0: the stem's polarity is turned round"),
    _Row(
        "low_mid_cut_db",
        "dB",
        0.0,
        0.0,
        12.0,
        "most that the dynamic cut takes off 200–500 Hz; the deeper, the further down it works",
    ),
    _Row("shimmer_cut_db", "dB", 0.0, 0.0, 12.0, "most that the dynamic cut takes off 6–12 kHz"),
    _Row("high_pass_hz", "Hz", 20.0, 20.0, 400.0, "high-pass corner; 20 is off", "log"),
    _Row("low_shelf_db", "dB", -9.0, 0.0, 9.0, "low shelf at 100 Hz"),
    _Row("bell_hz", "Hz", 80.0, 1000.0, 12000.0, "bell's centre", "log"),
    _Row("bell_db", "dB", -12.0, 0.0, 12.0, "bell's gain; 0 is off"),
    _Row("bell_q", "", 0.4, 1.0, 8.0, "bell's Q", "log"),
    _Row("presence_db", "dB", -9.0, 0.0, 9.0, "wide bell at 3.5 kHz"),
    _Row("air_db", "dB", -9.0, 0.0, 9.0, "high shelf at 10 kHz"),
    *_COMPRESSOR,
    *_TRANSIENT,
    _Row("gain_db", "dB", -12.0, 0.0, 12.0, "fader"),
    _Row("pan", "", -1.0, 0.0, 1.0, "balance, −1 left to 1 right"),
    _Row("width", "", 0.0, 1.0, 2.0, "side level; 0 mono, 1 as it was"),
    _Row(
        "reverb_send_db",
        "dB",
        -60.0,
        -60.0,
        0.0,
        "send to the one room, which returns about as much; −60 is off",
    ),
    _Row("delay_send_db", "dB", -60.0, -60.0, 0.0, "send to the delay; −60 is off"),
)
"""One stem's channel strip, in the order of the signal."""

_BUS = (*_COMPRESSOR, _Row("gain_db", "dB", -12.0, 0.0, 12.0, "bus fader"))

_REVERB = (
    _Row("size", "", 0.05, 0.4, 1.0, "room size"),
    _Row("damping", "", 0.0, 0.5, 1.0, "high damping"),
)

_DELAY = (
    _Row("time_ms", "ms", 30.0, 350.0, 1000.0, "delay time", "log"),
    _Row("feedback", "", 0.0, 0.25, 0.7, "share fed back"),
)

BELLS = 4
"""Narrow bells on the master."""

_BELLS_HZ = (320.0, 1000.0, 3000.0, 8000.0)


def _bell(number: int, neutral_hz: float) -> tuple[_Row, ...]:
    return (
        _Row(
            f"bell_{number}_hz",
            "Hz",
            80.0,
            neutral_hz,
            16000.0,
            "narrow bell's centre, for a peak or a gap",
            "log",
        ),
        _Row(f"bell_{number}_db", "dB", -18.0, 0.0, 18.0, "narrow bell's gain; 0 is off"),
        _Row(f"bell_{number}_q", "", 0.7, 3.0, 10.0, "narrow bell's Q", "log"),
    )


MASTER = (
    _Row("balance_db", "dB", -9.0, 0.0, 9.0, "right against left, to undo a lean"),
    _Row("low_mid_cut_db", "dB", 0.0, 0.0, 12.0, "most that the dynamic cut takes off 200–500 Hz"),
    _Row("shimmer_cut_db", "dB", 0.0, 0.0, 12.0, "most that the dynamic cut takes off 6–12 kHz"),
    _Row("resonance_cut_db", "dB", 0.0, 0.0, 24.0, "most taken off steady narrow lines at 6–14 kHz"),
    _Row("gap_fill_db", "dB", 0.0, 0.0, 36.0, "most by which static gaps in the spectrum are raised"),
    _Row("blink_fill_db", "dB", 0.0, 0.0, 48.0, "most by which bands that blink off are raised meanwhile"),
    _Row("eq_sub_db", "dB", -9.0, 0.0, 9.0, "20–60 Hz: low shelf"),
    _Row("eq_bass_db", "dB", -9.0, 0.0, 9.0, "60–200 Hz: wide bell"),
    _Row("eq_low_mid_db", "dB", -12.0, 0.0, 9.0, "200–500 Hz: wide bell"),
    _Row("eq_mid_db", "dB", -9.0, 0.0, 9.0, "500–2000 Hz: wide bell"),
    _Row("eq_presence_db", "dB", -9.0, 0.0, 9.0, "2–6 kHz: wide bell"),
    _Row("eq_brilliance_db", "dB", -12.0, 0.0, 9.0, "6–12 kHz: wide bell"),
    _Row("eq_air_db", "dB", -9.0, 0.0, 9.0, "from 12 kHz: high shelf"),
    *(row for number, hz in enumerate(_BELLS_HZ, 1) for row in _bell(number, hz)),
    _Row("extend_from_hz", "Hz", 4000.0, 22050.0, 22050.0, "cut-off above which air is rebuilt", "log"),
    _Row("extend_db", "dB", -24.0, 0.0, 12.0, "level of the rebuilt air against its usual slope"),
    _Row(
        "ride_db",
        "dB",
        -6.0,
        0.0,
        6.0,
        "how far quiet and loud sections are moved apart at most; under 0 together",
    ),
    *_TRANSIENT,
    _Row("expand_ratio", ":1", 1.0, 1.0, 2.0, "upward expansion of what stands above the programme level"),
    *_COMPRESSOR,
    _Row("width", "", 0.0, 1.0, 2.0, "side level; 0 mono, 1 as it was"),
    _Row("mono_below_hz", "Hz", 20.0, 20.0, 250.0, "lows under this are made mono; 20 is off", "log"),
)
"""The mastering chain before the finaliser, in the order of the signal."""

_EQUALISER = (_Row("linear_phase", "", 0.0, 0.0, 1.0, "over 0: the master's equalisers in linear phase"),)

EQ_BANDS = ("sub", "bass", "low_mid", "mid", "presence", "brilliance", "air")
"""The bands of the master's equalisers, from low to high."""

GRAPHIC_HZ = tuple(int(hz) for hz in THIRD_OCTAVES_HZ[MUSIC])
"""The third octaves of the graphic equaliser, as their names have them."""

_GRAPHIC = (
    *(_Row(f"tone_{hz}_db", "dB", -18.0, 0.0, 18.0, f"third octave at {hz} Hz") for hz in GRAPHIC_HZ),
    *(
        _Row(f"width_{hz}_db", "dB", -18.0, 0.0, 18.0, f"side against mid in the third octave at {hz} Hz")
        for hz in GRAPHIC_HZ
    ),
    *(
        _Row(f"balance_{hz}_db", "dB", -18.0, 0.0, 18.0, f"right against left in the third octave at {hz} Hz")
        for hz in GRAPHIC_HZ
    ),
)

_SIDES_EQ = tuple(
    _Row(f"eq_{name}_db", "dB", -12.0, 0.0, 12.0, f"the {name.replace('_', ' ')} of this part alone")
    for name in EQ_BANDS
)

_DYNAMICS_HZ = (80.0, 180.0, 350.0, 800.0, 1800.0, 3500.0, 7000.0, 12000.0)


def _dynamic(neutral_hz: float) -> tuple[_Row, ...]:
    return (
        _Row("hz", "Hz", 30.0, neutral_hz, 16000.0, "dynamic band's centre", "log"),
        _Row("q", "", 0.3, 1.0, 8.0, "dynamic band's Q", "log"),
        _Row("threshold_db", "dB", -12.0, 3.0, 18.0, "dynamic band's threshold against its usual level"),
        _Row("range_db", "dB", -18.0, 0.0, 12.0, "most that the band goes down or up over it; 0 is off"),
        _Row("attack_ms", "ms", 1.0, 15.0, 200.0, "dynamic band's attack", "log"),
        _Row("release_ms", "ms", 20.0, 150.0, 1000.0, "dynamic band's release", "log"),
    )


_CROSSOVER = (
    _Row("low_hz", "Hz", 20.0, 120.0, 300.0, "low band under it; 20 joins it to the low mids", "log"),
    _Row("mid_hz", "Hz", 400.0, 900.0, 2000.0, "low-mid band under it, high-mid band over it", "log"),
    _Row("high_hz", "Hz", 2500.0, 5000.0, 12000.0, "high band over it", "log"),
)

_BAND = (
    *_TRANSIENT,
    _Row("expand_ratio", ":1", 1.0, 1.0, 2.0, "upward expansion of what stands above its level", "log"),
    *_COMPRESSOR,
    _Row("drive_db", "dB", 0.0, 0.0, 18.0, "saturation, level kept: how far its knee is lowered"),
    _Row("width", "", 0.0, 1.0, 2.0, "side level; 0 mono, 1 as it was"),
)

CLIPPER_OFF_DB = 24.0
"""The clipper's `over_db` that turns it off, whatever the target would have."""

_CLIPPER = (
    _Row(
        "over_db",
        "dB",
        0.0,
        12.0,
        CLIPPER_OFF_DB,
        "where short peaks end, over the ceiling; 12: the target decides; 24 is off",
    ),
    _Row("knee_db", "dB", 1.0, 6.0, 12.0, "how far under that the clipper begins to bend"),
)

_PUNCH = (
    _Row(
        "keep",
        "",
        0.0,
        1.0,
        2.0,
        "at loud targets, of the transients: how far what rings out between them is lowered; 0 not at all",
    ),
)

DYNAMIC_PLACES = tuple(f"dynamic_{number}" for number, _ in enumerate(_DYNAMICS_HZ, 1))
"""The bands of the dynamic equaliser, in the order of the signal."""

BAND_PLACES = ("low_band", "low_mid_band", "high_mid_band", "high_band")
"""The bands that the crossover splits the master into, from low to high."""

REPAIR = "repair"
"""The place of the repairs' amounts."""

ADVANCED = (
    ("equaliser", _EQUALISER),
    ("graphic", _GRAPHIC),
    ("mid", _SIDES_EQ),
    ("side", _SIDES_EQ),
    *((place, _dynamic(hz)) for place, hz in zip(DYNAMIC_PLACES, _DYNAMICS_HZ, strict=True)),
    ("crossover", _CROSSOVER),
    *((place, _BAND) for place in BAND_PLACES),
    ("clipper", _CLIPPER),
    ("punch", _PUNCH),
)
"""Finer tools of the master. The band of finished music moves some of them; the others are for who sets them
by name. No `master.*` search moves them, and the reward's prior does not count them.

What each group of them could add to what is undone: `scripts/benchmark_parameters.py`.
"""

ADVANCED_PLACES = frozenset((REPAIR, *(where for where, _ in ADVANCED)))

CLIPPER, PUNCH = "clipper", "punch"

FINALISER_PLACES = frozenset((CLIPPER, PUNCH))
"""The places whose parameters are the finaliser's, not the chain's."""

BUSES: Mapping[str, str] = MappingProxyType({"drums": "drum_bus", "vocals": "vocal_bus"})
"""The bus that a stem feeds, by the stem's name."""

STEM_PLACES = frozenset((*STEM_NAMES, *BUSES.values()))
"""The places of a chain that work on stems."""

SHARED = (
    ("drum_bus", _BUS),
    ("vocal_bus", _BUS),
    ("reverb", _REVERB),
    ("delay", _DELAY),
    ("master", MASTER),
    *ADVANCED,
)
"""The places that a chain has once, whatever its stems."""


def _repair_rows() -> Iterator[_Row]:
    """The amounts of the repairs, which are set by what they found; 0 given by hand leaves one out."""
    for name, repair in REPAIRS.items():
        yield _Row(name, "", 0.0, 0.0, 1.0, f"share of what {repair.purpose}")


def repair_amounts(settings: Mapping[str, float]) -> dict[str, float]:
    """The amounts of the repairs, 0..1 by name, among settings by their parameters' names."""
    named = {name: f"{REPAIR}.{name}" for name in REPAIRS}
    return {name: settings[parameter] for name, parameter in named.items() if parameter in settings}
