"""The feedback loop: what a render measures, what of that is out of band, and what is changed for it.

`aims` is the one table of what is steered. The loop takes harm back, it does no repairs: a figure counts
where the render lies outside of what finished music does and further out than the song came in. What was
decided and pushes that way is taken back first, by as much as the figure is out; a push of the loop's own
is small and bounded, and nothing that it moved is moved back. All of it is a pure function of figures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ, Parameter, Settings
from mixagent.pipeline.decibels import db_to_power, power_to_db, powers_to_db
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.answers import reached_by
from mixagent.pipeline.finished.band import Band
from mixagent.pipeline.finished.measures import INDEX, MEASURES, Measure, SongMeasures
from mixagent.pipeline.measure.analysis import Analysis

Figures = Mapping[str, float]
"""The measures of a sound, by the name of their aim; those that a sound does not have are left out."""

LEAST_S = 30.0
"""A shorter song has no loudness range to speak of."""

LOUDNESS_TOLERANCE_LU = 0.5
"""The deviation from its target that EBU R 128 allows a programme."""

MOST_PUMPING_DB = 0.7
"""The depth by which sustained sound may duck under the transients before the loop answers.

There is no finished music to take it from. It is twice what the shipped policy did at most to eight
validation songs at −14 LUFS, 0.33 dB (`scripts/benchmark_feedback.py masters`).
"""

GRAPHIC_TOLERANCE_DB = 2.0
"""The distance that a third octave may end from its aim."""

_LEAST_ACTION = 0.05
"""A parameter moved by less is not to blame, and moving it back would be a render for nothing."""

_LEAST_SHARE = 0.25
"""Least that is taken back of a parameter at once, or the loop would creep."""

_UNKNOWN_SHARE = 0.5
"""The share taken back where the song itself says nothing of how much of the figure is ours."""

_NINETY_PERCENT = 1.645
"""Standard deviations from the mean within which 90 % of a normal distribution lie."""


@cache
def _fits(names: str, name: str) -> bool:
    return re.fullmatch(names, name) is not None


@dataclass(frozen=True)
class Lever:
    """Parameters that move a figure.

    Attributes:
        names: regular expression that fits their names.
        effect: 1 where a positive action raises the figure, −1 where it lowers it.
        push: how far one may be moved beyond neutral and what was decided, in its unit; 0: it is only
            taken back.
        per_unit: by how much one is pushed for one unit that the figure is out, in its unit.
        centre_hz: of parameters with a centre of their own, where that has to lie.
    """

    names: str
    effect: Literal[-1, 1]
    push: float = 0.0
    per_unit: float = 1.0
    centre_hz: tuple[float, float] = (0.0, math.inf)

    def parameters(self, settings: Settings) -> Iterator[Parameter]:
        """Those of a chain that it names."""
        low, high = self.centre_hz
        for parameter in settings.space:
            if _fits(self.names, parameter.name):
                centre = settings.values.get(parameter.name.removesuffix("_db") + "_hz")
                if centre is None or low <= centre < high:
                    yield parameter


@dataclass(frozen=True)
class Aim:
    """One figure that is steered.

    Attributes:
        name: of the figure.
        label: what it is called.
        unit: of the figure.
        band: what is fine, from and to.
        tolerance: how far outside of that the render may be, and the unit in which what is out is summed.
        levers: what answers; none where the finaliser holds the figure in each render.
    """

    name: str
    label: str
    unit: str
    band: tuple[float, float]
    tolerance: float
    levers: tuple[Lever, ...]

    def excess(self, value: float, song: float | None) -> float:
        """The excess of a render, negative if too low; as far out as the song itself is fine too.

        Args:
            value: of the render.
            song: of the song; None where it has no such figure, or is to be moved from its own.
        """
        low, high = self.band if song is None else (min(self.band[0], song), max(self.band[1], song))
        return max(value - high, 0.0) + min(value - low, 0.0)


@dataclass(frozen=True)
class Miss:
    """A figure of a render that is out of band.

    Attributes:
        aim: whose it is.
        value: what was measured of the render.
        song: what was measured of the song as it came; None where that has no such figure.
    """

    aim: Aim
    value: float
    song: float | None

    @property
    def excess(self) -> float:
        """The excess in the figure's unit, negative if too low."""
        return self.aim.excess(self.value, self.song)

    @property
    def weight(self) -> float:
        """The excess in tolerances, 0 or more."""
        return abs(self.excess) / self.aim.tolerance

    @property
    def share(self) -> float:
        """The share of a decision that is to be taken back: the excess against what is ours."""
        if self.song is None:
            return _UNKNOWN_SHARE
        return min(max(self.excess / (self.value - self.song), _LEAST_SHARE), 1.0)


@dataclass(frozen=True)
class Change:
    """A parameter that was moved, in its unit, and the miss that it answers."""

    name: str
    before: float
    after: float
    miss: Miss


# --- what is measured ------------------------------------------------------------------------------

_TONE_HZ: Mapping[str, tuple[float, float]] = {
    "bass": (60.0, 200.0),
    "low_mid": (200.0, 500.0),
    "mid": (500.0, 2000.0),
    "presence": (2000.0, 6000.0),
    "brilliance": (6000.0, 12000.0),
    "air": (12000.0, 18000.0),
}
"""The bands of the tone, as those of the master's equaliser; what is lower is the taste of a genre."""

_TONE_LEVEL_HZ = (90.0, 9000.0)
_TONE_FLOOR_DB = -60.0
_LOW_HZ = (22.0, 113.0)
_SIDE_FLOOR_DB = -60.0


def song_figures(analysis: Analysis, harshness_db: float) -> dict[str, float]:
    """The steered figures of a sound by itself; none for silence.

    Args:
        analysis: of the sound.
        harshness_db: of the same, by `harshness_db`.
    """
    if not (math.isfinite(analysis.integrated_lufs) and math.isfinite(harshness_db)):
        return {}
    mid, side = np.array(analysis.third_octave_mid_db), np.array(analysis.third_octave_side_db)
    figures = {"plr": analysis.plr_db, "harshness": harshness_db, "pumping": 0.0}
    if analysis.duration_s >= LEAST_S:
        figures["range"] = analysis.loudness_range_lu
    if analysis.channels == 2:
        figures["low_side"] = _low_side_db(mid, side)
    return figures | _tone(powers_to_db(db_to_power(mid) + db_to_power(side)))


def render_figures(analysis: Analysis, harshness_db: float, pumping_db: float) -> dict[str, float]:
    """The steered figures of a render; none for silence.

    Args:
        analysis: of the render.
        harshness_db: of the render, by `harshness_db`.
        pumping_db: of the render against the song, by `pumping_db`.
    """
    figures = song_figures(analysis, harshness_db)
    finished = {"loudness": analysis.integrated_lufs, "ceiling": analysis.true_peak_dbtp}
    return {**finished, **figures, "pumping": pumping_db} if figures else {}


def _tone(levels_db: NDArray[np.float64]) -> dict[str, float]:
    """Mean level of each band against that of 100 Hz to 8 kHz, third octaves weighed alike."""
    apart = np.maximum(levels_db - levels_db[_within(_TONE_LEVEL_HZ)].mean(), _TONE_FLOOR_DB)
    return {f"tone_{name}": float(apart[_within(hz)].mean()) for name, hz in _TONE_HZ.items()}


def _low_side_db(mid_db: NDArray[np.float64], side_db: NDArray[np.float64]) -> float:
    """Power of the side against the mid in the third octaves up to 100 Hz."""
    mid, side = (float((db_to_power(levels[_within(_LOW_HZ)])).sum()) for levels in (mid_db, side_db))
    return max(power_to_db(side / mid), _SIDE_FLOOR_DB)


def _within(span_hz: tuple[float, float]) -> NDArray[np.bool_]:
    hz = np.array(THIRD_OCTAVES_HZ)
    return np.asarray((hz >= span_hz[0]) & (hz < span_hz[1]))


# --- what is fine, and what answers ----------------------------------------------------------------

_FINISHED_MUSIC: Mapping[str, tuple[float, float]] = {
    "range": (0.8, 19.4),
    "plr": (8.8, 18.1),
    "low_side": (-math.inf, -1.2),
    "harshness": (-math.inf, 5.7),
    "tone_bass": (-6.2, 12.3),
    "tone_low_mid": (-1.1, 11.7),
    "tone_mid": (-3.0, 8.0),
    "tone_presence": (-12.1, 0.1),
    "tone_brilliance": (-30.2, -0.5),
    "tone_air": (-41.3, -3.5),
}
"""5th and 95th percentile over the corpus's training songs (`scripts/benchmark_feedback.py bands`).

No lows are too much in the middle and nothing is too mellow, so these have no lower end. Excerpts say
little of the loudness range: its upper end is that of whole songs, in the profile `game-orchestral`.
"""

_LEAST_SPREAD_DB = 2.0
"""A reference of one song has no spread, and no master of another song has its very tone."""

_COMPRESSION = r".*\.comp_ratio"
_ATTACKS = r".*\.transient_attack_db"
_EXPANSION = r"master\.expand_ratio"
_DRIVE = r".*_band\.drive_db"

_LOUDNESS = (Lever(_EXPANSION, -1), Lever(_ATTACKS, -1))
_RANGE = (Lever(_COMPRESSION, -1), Lever(_EXPANSION, 1))
_PLR = (*_RANGE, Lever(_ATTACKS, 1), Lever(_DRIVE, -1))
_PUMPING = (Lever(_COMPRESSION, 1), Lever(_ATTACKS, -1), Lever(r".*\.transient_sustain_db", -1))
_LOW_SIDE = (
    Lever(r"[^.]*\.width|side\.eq_(sub|bass)_db", 1),
    Lever(r".*\.(reverb|delay)_send_db", 1),
    Lever(r"master\.mono_below_hz", -1, push=100.0, per_unit=100.0),
)
_HARSHNESS = (
    Lever(r"(master|mid|side)\.eq_presence_db", 1, push=2.0, per_unit=0.7),
    Lever(r".*\.presence_db", 1),
    Lever(r"(master\.bell_\d|.*\.bell)_db", 1, centre_hz=(2000.0, 5000.0)),
    Lever(r"(master|mid|side)\.eq_mid_db", -1),
    Lever(_DRIVE, 1),
)
_BESIDE_EQ: Mapping[str, tuple[Lever, ...]] = {
    "bass": (Lever(r".*\.low_shelf_db", 1), Lever(r".*\.high_pass_hz", -1), Lever(r"bass\.gain_db", 1)),
    "low_mid": (Lever(r".*\.low_mid_cut_db", -1),),
    "mid": (),
    "presence": (Lever(r".*\.presence_db", 1),),
    "brilliance": (Lever(r".*\.shimmer_cut_db", -1), Lever(r".*\.air_db", 1)),
    "air": (Lever(r".*\.air_db", 1), Lever(r".*\.extend_db", 1)),
}
"""What moves a band of the tone beside the equalisers, whose bells are for what no band's mean shows."""


def aims(target: LoudnessTarget, references: Band | None = None) -> tuple[Aim, ...]:
    """The one table of aims: the steered figures, their bands and the parameters that answer.

    Args:
        target: of the finaliser.
        references: whose tone is aimed at, instead of finished music's.
    """
    lufs, ceiling_dbtp = target.integrated_lufs, target.ceiling_dbtp
    least_plr, most_plr = _FINISHED_MUSIC["plr"]
    # A loud target leaves no more between loudness and ceiling, whatever the chain does.
    plr = min(least_plr, ceiling_dbtp - lufs - LOUDNESS_TOLERANCE_LU), most_plr
    held = (-math.inf, ceiling_dbtp)
    return (
        Aim("loudness", "loudness", "LUFS", (lufs, lufs), LOUDNESS_TOLERANCE_LU, _LOUDNESS),
        Aim("ceiling", "true peak", "dBTP", held, 0.1, ()),
        Aim("range", "loudness range", "LU", _FINISHED_MUSIC["range"], 0.5, _RANGE),
        Aim("plr", "peak to loudness", "dB", plr, 0.5, _PLR),
        *(
            Aim(f"tone_{name}", f"{name.replace('_', ' ')} tone", "dB", band, 1.0, _tone_levers(name))
            for name, band in _tone_bands(references).items()
        ),
        Aim("low_side", "side of the lows", "dB", _FINISHED_MUSIC["low_side"], 1.0, _LOW_SIDE),
        Aim("pumping", "pumping", "dB", (0.0, MOST_PUMPING_DB), 0.1, _PUMPING),
        Aim("harshness", "harshness", "dB", _FINISHED_MUSIC["harshness"], 1.0, _HARSHNESS),
    )


def graphic_aims(song: SongMeasures, settings: Settings, band: Band) -> tuple[Aim, ...]:
    """The tone and width that the graphic equaliser aims at, one aim for each band.

    What works beside it (dynamics, the limiter, gaps that are filled) may carry a band elsewhere; within a
    spread of the band's mean it is welcome anywhere.

    Args:
        song: what it measured before.
        settings: that are rendered.
        band: that the song was held against.
    """
    graphic = settings.section("graphic")
    tone, width = (np.array([graphic[f"{what}_{hz}_db"] for hz in GRAPHIC_HZ]) for what in ("tone", "width"))
    reached = reached_by(song, tone, width)
    judged = [(what, hz) for what in ("tone", "width") for hz in GRAPHIC_HZ if graphic[f"{what}_{hz}_db"]]
    return tuple(
        Aim(
            f"{what}_{hz}",
            f"{what} at {hz} Hz",
            "dB",
            _welcome(band, f"{what}_{hz}", reached[f"{what}_{hz}"]),
            GRAPHIC_TOLERANCE_DB,
            (Lever(rf"graphic\.{what}_{hz}_db", 1, push=6.0, per_unit=0.8),),
        )
        for what, hz in judged
        if math.isfinite(reached.get(f"{what}_{hz}", math.nan))
    )


def _welcome(band: Band, name: str, reached: float) -> tuple[float, float]:
    mean, spread = (float(figures[INDEX[name]]) for figures in (band.mean, band.spread))
    if not math.isfinite(mean) or not math.isfinite(spread):
        return reached, reached
    return min(reached, mean - spread), max(reached, mean + spread)


def graphic_figures(render: SongMeasures) -> dict[str, float]:
    """The figures of `graphic_aims` of a render; what it has no width for is not there."""
    places = {f"{m.group}_{hz}": m for m in MEASURES if (hz := _graphic_hz(m)) is not None}
    figures = {name: render[measure.name] for name, measure in places.items()}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _graphic_hz(measure: Measure) -> int | None:
    return int(measure.hz or 0.0) if measure.group in ("tone", "width") else None


def _tone_bands(references: Band | None) -> dict[str, tuple[float, float]]:
    finished = {name: _FINISHED_MUSIC[f"tone_{name}"] for name in _TONE_HZ}
    if references is None:
        return finished
    return {name: _reference_band(references, hz) or finished[name] for name, hz in _TONE_HZ.items()}


def _reference_band(references: Band, span_hz: tuple[float, float]) -> tuple[float, float] | None:
    """Mean tone over a span, within what nine of ten songs like these have; None where they say nothing."""
    places = [INDEX[f"tone_{int(hz)}"] for hz in np.array(THIRD_OCTAVES_HZ)[_within(span_hz)]]
    told = [place for place in places if math.isfinite(references.mean[place])]
    if not told:
        return None
    middle = float(references.mean[told].mean())
    reach = _NINETY_PERCENT * max(float(references.spread[told].mean()), _LEAST_SPREAD_DB)
    return middle - reach, middle + reach


def _tone_levers(name: str) -> tuple[Lever, ...]:
    """The equalisers, whose neighbouring bands overlap, and what else there is."""
    return (
        Lever(rf"(mid|side)\.eq_{name}_db", 1),
        Lever(rf"master\.eq_{name}_db", 1, push=3.0, per_unit=0.7),
        *_BESIDE_EQ[name],
    )


def left_alone(steered: Sequence[Aim], settings: Settings, wished: Collection[str]) -> tuple[Aim, ...]:
    """The aims without those of which a parameter answers that a person wished for in words."""
    return tuple(
        aim
        for aim in steered
        if not any(p.name in wished for lever in aim.levers for p in lever.parameters(settings))
    )


# --- the loop --------------------------------------------------------------------------------------


def misses(steered: Sequence[Aim], render: Figures, song: Figures) -> tuple[Miss, ...]:
    """The figures of a render that are out of band by more than their tolerance, the worst first."""
    found = [Miss(aim, render[aim.name], song.get(aim.name)) for aim in steered if aim.name in render]
    return tuple(sorted((miss for miss in found if miss.weight > 1.0), key=lambda miss: -miss.weight))


def deviation(steered: Sequence[Aim], render: Figures, song: Figures) -> float:
    """The deviation of a render from its aims: the sum of all excesses, each in its tolerance."""
    return sum(
        Miss(aim, render[aim.name], song.get(aim.name)).weight for aim in steered if aim.name in render
    )


def revise(
    settings: Settings, begun: Settings, missed: Sequence[Miss], held: Collection[str] = ()
) -> tuple[Settings, tuple[Change, ...]]:
    """The settings with what answers the misses moved; no change where nothing can.

    A parameter answers the worst of the misses that ask for it, and is not moved back where an earlier
    call moved it to.

    Args:
        settings: that were rendered.
        begun: what was decided, before the loop.
        missed: of the render, the worst first.
        held: names that are not to be touched.
    """
    changes: dict[str, Change] = {}
    for miss in missed:
        answers = _answers(settings, begun, miss, {*held, *changes})
        changes |= {change.name: change for change in answers}
    values = {**settings.values, **{name: change.after for name, change in changes.items()}}
    return settings.space.settings(values), tuple(changes.values())


def _answers(settings: Settings, begun: Settings, miss: Miss, held: Collection[str]) -> list[Change]:
    """The parameters that go back towards neutral; where none do, those that are pushed."""
    levers = [
        (lever, parameter)
        for lever in miss.aim.levers
        for parameter in lever.parameters(settings)
        if parameter.name not in held
    ]
    taken_back = (_taken_back(lever, parameter, settings, miss) for lever, parameter in levers)
    pushed = (_pushed(lever, parameter, settings, begun, miss) for lever, parameter in levers)
    return [change for change in taken_back if _goes_on(change, begun)] or [
        change for change in pushed if _goes_on(change, begun)
    ]


def _taken_back(lever: Lever, parameter: Parameter, settings: Settings, miss: Miss) -> Change:
    """The parameter nearer to neutral by the share that is out, where it pushes the figure out."""
    before = settings[parameter.name]
    action = parameter.action(before)
    if abs(action) < _LEAST_ACTION or lever.effect * action * miss.excess < 0:
        return Change(parameter.name, before, before, miss)
    return Change(parameter.name, before, parameter.value(action * (1.0 - miss.share)), miss)


def _pushed(lever: Lever, parameter: Parameter, settings: Settings, begun: Settings, miss: Miss) -> Change:
    """The parameter moved against what is out, within the lever's bounds."""
    before, ends = settings[parameter.name], (begun[parameter.name], parameter.neutral)
    low, high = max(min(ends) - lever.push, parameter.low), min(max(ends) + lever.push, parameter.high)
    wanted = before - lever.effect * miss.excess * lever.per_unit
    return Change(parameter.name, before, min(max(wanted, low), high) if lever.push else before, miss)


def _goes_on(change: Change, begun: Settings) -> bool:
    """True if a change moves a parameter at all, and not back where the loop took it from."""
    return (
        change.after != change.before
        and (change.after - change.before) * (change.before - begun[change.name]) >= 0
    )
