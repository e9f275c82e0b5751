"""Charts as SVG paths in a box of 1000 by 1000 that the page stretches, with axis labels in percent.

Labels are HTML beside the drawing, so that they stay readable at any width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.finished.measures import INDEX, MEASURES, WIDTH_HZ, Measure, SongMeasures
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.report.model import Judged, MeasureBand
from mixagent.report.words import clock

BOX = 1000.0

SPAN_DB = 30.0
"""Height of the charts of tone and width."""

AROUND_DB = 10.0
"""Least height of theirs over and under the middle of finished music."""

_LOW_HZ, _HIGH_HZ = 22.0, 20_000.0
_HZ_TICKS = (30, 60, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
_MINOR_HZ = (60, 250, 1000, 4000, 16000)
_QUIETEST_SHOWN_LUFS = -50.0
_MOST_NUMBERS = 12


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map of `low`..`high` onto 0..1."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """The place of `value` between the ends, clipped to 0..1."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return min(max((value - low) / (high - low), 0.0), 1.0)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in percent from the left or from the top; `minor` ones hide on a phone."""

    percent: float
    label: str
    minor: bool = False


@dataclass(frozen=True)
class Line:
    """One path and the CSS class that it is drawn with."""

    kind: str
    path: str


@dataclass(frozen=True)
class Chart:
    """Lines and areas over two labelled axes."""

    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def polyline(xs: Iterable[float], ys: Iterable[float | None]) -> str:
    """An SVG path through points of the box; a `None` interrupts it."""
    commands, pen_down = [], False
    for x, y in zip(xs, ys, strict=True):
        if y is not None:
            commands.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = y is not None
    return "".join(commands)


def envelope(low: NDArray[np.float32], high: NDArray[np.float32]) -> str:
    """A closed SVG path around a waveform's lowest and highest samples; full scale fills the box."""
    if low.size == 0:
        return ""
    xs = np.linspace(0.0, BOX, low.size) if low.size > 1 else np.array([0.0])
    top = _amplitude_y(np.maximum(high, low + 1e-3))
    bottom = _amplitude_y(low)
    there = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, top, strict=True))
    back = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs[::-1], bottom[::-1], strict=True))
    return f"M{there}L{back}Z"


def _amplitude_y(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 - np.clip(samples, -1.0, 1.0)) * np.float32(BOX / 2)


def third_octaves_db(analysis: Analysis) -> NDArray[np.float64]:
    """Mean power per third octave over both channels in dB, as if the song stood at 0 LUFS."""
    mid = np.array(analysis.third_octave_mid_db, np.float64)
    side = np.array(analysis.third_octave_side_db, np.float64)
    total = 10 * np.log10(10 ** (mid / 10) + 10 ** (side / 10))
    level_lufs = analysis.integrated_lufs if math.isfinite(analysis.integrated_lufs) else 0.0
    return np.asarray(total - level_lufs)


def spectrum_chart(sides: Mapping[str, Analysis]) -> Chart:
    """Third octaves of every side at equal loudness, a line of each side's name."""
    levels = {name: third_octaves_db(side) for name, side in sides.items()}
    top = 10 * math.ceil((max(float(level.max()) for level in levels.values()) + 1) / 10)
    scale = Scale(top - 60.0, top)
    lines = tuple(
        Line(name, _band_line(side.third_octave_hz, levels[name], scale)) for name, side in sides.items()
    )
    return Chart(lines, _hz_ticks(), _level_ticks(scale, 10, "{:.0f}"))


@dataclass(frozen=True)
class Sides:
    """A song before and after, neither of them silent, and the music that both were held against."""

    judged: Judged
    before: SongMeasures
    after: SongMeasures

    def of(self, name: str) -> tuple[float, float]:
        """A measure before and after; NaN where it is not there."""
        return self.before[name], self.after[name]


def tone_chart(sides: Sides) -> Chart:
    """Tone before and after, in dB against the middle of finished music, over its band."""
    return _band_chart(sides, "tone", apart=True)


def width_chart(sides: Sides) -> Chart | None:
    """Side against mid before and after in dB, over the band of finished music; None for a mono song."""
    if any(math.isnan(value) for value in sides.of(f"width_{WIDTH_HZ[0]:.0f}")):
        return None
    return _band_chart(sides, "width", apart=False)


def _band_chart(shown: Sides, group: Literal["tone", "width"], apart: bool) -> Chart:
    measures = [m for m in MEASURES if m.group == group]
    hz = [float(m.hz or 0.0) for m in measures]
    band = {key: _column(shown.judged.measures, measures, key) for key in ("mean", "spread", "low", "high")}
    middle = band["mean"] if apart else np.zeros(len(hz))
    sides = {
        side: np.array([song[m.name] for m in measures], np.float64) - middle
        for side, song in (("before", shown.before), ("after", shown.after))
    }
    scale = _thirty(sides.values(), band["mean"] - middle)
    mean, spread = band["mean"] - middle, band["spread"]
    lines = (
        Line("inner", _area(hz, mean - spread, mean + spread, scale)),
        *(Line("edge", _band_line(hz, band[side] - middle, scale)) for side in ("low", "high")),
        Line("mean", _band_line(hz, mean, scale)),
        *(Line(side, _band_line(hz, values, scale)) for side, values in sides.items()),
    )
    return Chart(lines, _hz_ticks(), _level_ticks(scale, 5, "{:+.0f}"))


def _column(table: Mapping[str, MeasureBand], measures: Sequence[Measure], key: str) -> NDArray[np.float64]:
    values = (getattr(table[m.name], key) for m in measures)
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _thirty(curves: Iterable[NDArray[np.float64]], mean: NDArray[np.float64]) -> Scale:
    """30 dB about the middle of the curves, but with `AROUND_DB` to either side of finished music's mean."""
    values = np.concatenate([*curves, mean])
    low, high = np.percentile(values[np.isfinite(values)], (2, 98))
    lowest, highest = float(mean.max()) + AROUND_DB - SPAN_DB, float(mean.min()) - AROUND_DB
    middle = min(max((low + high) / 2 - SPAN_DB / 2, lowest), max(highest, lowest))
    bottom = 5.0 * round(middle / 5)
    return Scale(bottom, bottom + SPAN_DB)


def _area(hz: Sequence[float], low: NDArray[np.float64], high: NDArray[np.float64], scale: Scale) -> str:
    """A closed path between two curves."""
    there = _band_line(hz, high, scale)
    back = _band_line(list(hz)[::-1], low[::-1], scale)
    return f"{there}{back.replace('M', 'L', 1)}Z"


def change_chart(sides: Sides, group: Literal["tone", "width"]) -> Chart:
    """After minus before per third octave, as an area around 0 dB."""
    measures = [m for m in MEASURES if m.group == group]
    hz = [float(m.hz or 0.0) for m in measures]
    before, after = (
        np.array([song[m.name] for m in measures], np.float64) for song in (sides.before, sides.after)
    )
    change = np.where(np.isfinite(after - before), after - before, 0.0)
    reach = 6.0 * max(1, math.ceil(float(np.abs(change).max(initial=0.0)) / 6))
    scale = Scale(-reach, reach)
    path = _band_line(hz, change, scale)
    area = f"M{_hz_x(hz[0]):.1f} 500{path.replace('M', 'L', 1)}L{_hz_x(hz[-1]):.1f} 500Z"
    return Chart(
        (Line("area", area), Line("change", path)), _hz_ticks(), _level_ticks(scale, reach / 2, "{:+.0f}")
    )


@dataclass(frozen=True)
class Gauge:
    """A figure of dynamics before and after on one line, over the band of finished music, in percent.

    Attributes:
        label, unit: of the figure.
        before, after: its values.
        at: places of before and after.
        inner: left edge and width of the band's mean ± spread.
        edges: where a fault begins to count as found, below and above; None where none is looked for.
    """

    label: str
    unit: str
    before: float
    after: float
    at: tuple[float, float]
    inner: tuple[float, float]
    edges: tuple[float | None, float | None]


_GAUGES = (
    ("plr", "Peak to loudness"),
    ("crest_bass", "Attacks, bass"),
    ("crest_low_mid", "Attacks, low mids"),
    ("crest_mid", "Attacks, mids"),
    ("crest_presence", "Attacks, presence"),
    ("crest_air", "Attacks, highs"),
    ("loudness_range", "Loudness range"),
    ("section_contrast", "From section to section"),
)
_WIDEST_SPREADS = 4.0


def gauges(sides: Sides) -> list[Gauge]:
    """The figures of dynamics that the song has; each on a scale of four spreads to either side."""
    rows = []
    for name, label in _GAUGES:
        before, after = sides.of(name)
        band = sides.judged.measures[name]
        mean, spread = band.mean, band.spread
        if math.isnan(before) or math.isnan(after) or mean is None or spread is None:
            continue
        reach = _WIDEST_SPREADS * spread
        scale = Scale(mean - reach, mean + reach)
        low, high = (None if edge is None else 100 * scale.share(edge) for edge in (band.low, band.high))
        unit = MEASURES[INDEX[name]].unit
        places = tuple(100 * scale.share(v) for v in (before, after))
        rows.append(
            Gauge(
                label,
                unit,
                before,
                after,
                (places[0], places[1]),
                _span(scale, mean - spread, mean + spread),
                (low, high),
            )
        )
    return rows


def _span(scale: Scale, low: float, high: float) -> tuple[float, float]:
    left, right = 100 * scale.share(low), 100 * scale.share(high)
    return left, right - left


def loudness_chart(
    sides: Mapping[str, Sequence[float | None]], duration_s: float, target_lufs: float | None = None
) -> Chart:
    """Short-term loudness of every side over time, one value a second, with the target as a line."""
    scale = _loudness_scale(sides.values(), target_lufs)
    curves = [Line(name, _loudness_line(values, duration_s, scale)) for name, values in sides.items()]
    lines = (*_target_lines(target_lufs, scale), *curves)
    return Chart(lines, time_ticks(0.0, duration_s), _loudness_ticks(scale))


def album_chart(
    sides: Mapping[str, Sequence[Sequence[float | None]]], durations_s: Sequence[float], target_lufs: float
) -> Chart:
    """Short-term loudness of an album's songs one after the other, with the target as a line.

    Args:
        sides: for each side the values of every song, one a second.
        durations_s: of the songs.
        target_lufs: of the album.
    """
    starts_s = [0.0, *np.cumsum(durations_s).tolist()]
    total_s = max(starts_s[-1], 1.0)
    scale = _loudness_scale([values for songs in sides.values() for values in songs], target_lufs)
    spans = list(zip(starts_s, durations_s, strict=False))
    curves = [
        Line(name, "".join(_part_line(v, at, total_s, scale) for v, at in zip(songs, spans, strict=True)))
        for name, songs in sides.items()
    ]
    often = len(durations_s) > _MOST_NUMBERS
    ticks = tuple(
        Tick(100 * start_s / total_s, str(k), minor=often and k % 2 == 0)
        for k, start_s in enumerate(starts_s[:-1], 1)
    )
    return Chart((*_target_lines(target_lufs, scale), *curves), ticks, _loudness_ticks(scale))


def _loudness_scale(curves: Iterable[Sequence[float | None]], target_lufs: float | None) -> Scale:
    heard = [v for values in curves for v in values if v is not None and v > _QUIETEST_SHOWN_LUFS]
    shown = heard + ([] if target_lufs is None else [target_lufs]) or [_QUIETEST_SHOWN_LUFS]
    return Scale(5 * math.floor((min(shown) - 1) / 5), 5 * math.ceil((max(shown) + 1) / 5))


def _loudness_ticks(scale: Scale) -> tuple[Tick, ...]:
    return _level_ticks(scale, 5 if scale.high - scale.low <= 30 else 10, "{:.0f}")


def _target_lines(target_lufs: float | None, scale: Scale) -> list[Line]:
    if target_lufs is None:
        return []
    y = BOX * (1 - scale.share(target_lufs))
    return [Line("target", f"M0 {y:.1f}L{BOX:.0f} {y:.1f}")]


def _part_line(
    values: Sequence[float | None], at_s: tuple[float, float], total_s: float, scale: Scale
) -> str:
    """One song's line in its part of the album, `at_s` start and length; a very short song is a dash."""
    start_s, duration_s = at_s
    if len(values) == 1:
        xs, levels = [start_s, start_s + duration_s], [values[0], values[0]]
    else:
        xs, levels = [start_s + second + 1 for second in range(len(values))], list(values)
    return polyline([BOX * x / total_s for x in xs], [_level_y(level, scale) for level in levels])


def _loudness_line(values: Sequence[float | None], duration_s: float, scale: Scale) -> str:
    xs = [BOX * min((second + 1) / max(duration_s, 1.0), 1.0) for second in range(len(values))]
    return polyline(xs, [_level_y(level, scale) for level in values])


def _level_y(level: float | None, scale: Scale) -> float | None:
    """The height of a level in the box; None for silence, which interrupts a line."""
    return None if level is None or not math.isfinite(level) else BOX * (1 - scale.share(level))


def time_ticks(start_s: float, stop_s: float) -> tuple[Tick, ...]:
    """Ticks at round minutes and seconds: four to eight over the span, the last ones kept off the edge."""
    span = max(stop_s - start_s, 0.01)
    step = next((s for s in (0.1, 0.5, 1, 5, 10, 15, 30, 60, 120, 300, 600) if span / s <= 8), 1800)
    first = math.ceil(start_s / step)
    places = [step * k for k in range(first, math.floor(stop_s / step) + 1)]
    return tuple(
        Tick(100 * (at - start_s) / span, clock(at) if step >= 1 else f"{at:.1f} s", minor=k % 2 == 1)
        for k, at in enumerate(places)
        if (at - start_s) / span < 0.97
    )


def height_ticks(low_hz: float, high_hz: float) -> tuple[Tick, ...]:
    """Ticks of a logarithmic frequency axis that goes upwards."""
    scale = Scale(low_hz, high_hz, log=True)
    return tuple(
        Tick(100 * (1 - scale.share(hz)), _hz_label(hz)) for hz in (100, 1000, 10000) if low_hz < hz < high_hz
    )


def band_percent(low_hz: float, high_hz: float) -> tuple[float, float]:
    """Left edge and width in percent of a band on the frequency axis."""
    left, right = (_hz_x(hz) / BOX * 100 for hz in (low_hz, high_hz))
    return left, right - left


def _hz_x(hz: float) -> float:
    return BOX * Scale(_LOW_HZ, _HIGH_HZ, log=True).share(hz)


def _band_line(centres: Sequence[float], values: NDArray[np.float64], scale: Scale) -> str:
    """A line over the frequency axis, interrupted where there is no value.

    A value off the scale leaves the box, which cuts it, or it would seem to lie on its edge.
    """
    ys = BOX * (scale.high - values) / (scale.high - scale.low)
    return polyline([_hz_x(hz) for hz in centres], [float(y) if math.isfinite(y) else None for y in ys])


def _hz_ticks() -> tuple[Tick, ...]:
    return tuple(Tick(_hz_x(hz) / BOX * 100, _hz_label(hz), hz in _MINOR_HZ) for hz in _HZ_TICKS)


def _hz_label(hz: int) -> str:
    return f"{hz // 1000}k" if hz >= 1000 else f"{hz}"


def _level_ticks(scale: Scale, step: float, form: str) -> tuple[Tick, ...]:
    count = int((scale.high - scale.low) / step + 1e-9)
    values = [scale.high - step * k for k in range(count + 1)]
    return tuple(
        Tick(100 * (1 - scale.share(v)), form.format(v).replace("-", "−").replace("+0", "0")) for v in values
    )
