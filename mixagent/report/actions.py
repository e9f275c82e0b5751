"""What was done to a song, told by what it did to the sound: measured before and after, level removed.

Neighbouring third octaves that went one way are one action. Its reason is the finding that it answers;
where nothing was found for certain, that is what it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.analysis import BANDS_HZ
from mixagent.pipeline.finished.band import Judgement
from mixagent.pipeline.finished.findings import BY_NAME, Fault
from mixagent.pipeline.finished.measures import GROUPS, INDEX, LOWEST_DB, MEASURES, TONE_HZ, Group
from mixagent.pipeline.fingerprint import IMAGE_EDGES_HZ
from mixagent.pipeline.parameters import Settings, switch_of
from mixagent.report.words import number, parameter_label, parameter_value, place_label

Float64Array = NDArray[np.float64]
Row = dict[str, Any]

HEARD_DB = 0.5
"""A change of a band, or of a figure of dynamics in dB or LU, that is told from here on."""

_THIRD = 2 ** (1 / 6)
_WORKED_DB = 0.1
_FLOOR_DB = LOWEST_DB + 1.0

_EQ_HZ: Mapping[str, tuple[float, float]] = {
    "sub": (20.0, 60.0),
    "bass": (60.0, 200.0),
    "low_mid": (200.0, 500.0),
    "mid": (500.0, 2000.0),
    "presence": (2000.0, 6000.0),
    "brilliance": (6000.0, 12000.0),
    "air": (12000.0, 20000.0),
}
_CREST_NAMES = {
    "bass": "bass",
    "low_mid": "low mids",
    "mid": "mids",
    "presence": "presence",
    "air": "highs",
}
_DYNAMICS = re.compile(r".*\.(comp_ratio|expand_ratio|transient_\w+_db|drive_db)|(punch|clipper|ride|riding)\..*")
_STRIPS = re.compile(r"(vocals|drums|bass|other|piano|guitar|accompaniment|drum_bus|vocal_bus|reverb|delay)\..*")


@dataclass(frozen=True)
class Song:
    """A song before or after, as it is judged.

    Attributes:
        judgement: of its measures; both sides against one band.
        found: names of the faults that count as found.
    """

    judgement: Judgement
    found: Collection[str]

    def __getitem__(self, name: str) -> float:
        return self.judgement.measures[name]


@dataclass(frozen=True)
class Region:
    """Neighbouring bands that went one way.

    Attributes:
        places: of the bands in their group.
        low_hz, high_hz: outer edges.
        change_db: mean over its bands.
        most_db, most_hz: the largest change, and where.
    """

    places: slice
    low_hz: float
    high_hz: float
    change_db: float
    most_db: float
    most_hz: float


def actions(before: Song, after: Song, applied: Settings, reasons: Mapping[str, str]) -> list[Row]:
    """What was done, in the order of tone, width, balance, repairs, dynamics and the strips.

    Args:
        before: the song as it came.
        after: the master.
        applied: the settings that were rendered.
        reasons: by name of a parameter why it was moved.

    Returns:
        For each action `what` it is, `low_hz` and `high_hz`, the mean `change` and the `most` of it at
        `most_hz` in `unit` (None where there is no such figure), the names of the findings that it
        `answers`, and `words`.
    """
    told = _Told(before, after, applied, reasons)
    return [
        *told.regions("tone"),
        *told.regions("width"),
        *told.balance(),
        *told.effects(),
        *told.punch(),
        *told.range(),
        *told.strips(),
    ]


def regions(changes_db: Float64Array, hz: Sequence[float], worked: NDArray[np.bool_]) -> list[Region]:
    """The regions in which worked bands went one way by `HEARD_DB` and more, lowest first.

    A single band in between that went the same way by less does not part them.
    """
    signs = np.where(worked & (np.abs(changes_db) >= HEARD_DB), np.sign(changes_db), 0.0)
    for k in range(1, len(signs) - 1):
        bridges = signs[k - 1] == signs[k + 1] == np.sign(changes_db[k]) and worked[k]
        if signs[k] == 0.0 and bridges:
            signs[k] = signs[k - 1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0.0], signs, [0.0]])))
    spans = [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True) if signs[a] != 0.0]
    return [_region(changes_db, hz, span) for span in spans]


def _region(changes_db: Float64Array, hz: Sequence[float], span: slice) -> Region:
    inside = changes_db[span]
    most = int(np.argmax(np.abs(inside)))
    return Region(
        span,
        hz[span.start] / _THIRD,
        hz[span.stop - 1] * _THIRD,
        float(inside.mean()),
        float(inside[most]),
        hz[span.start + most],
    )


def span_words(low_hz: float, high_hz: float) -> str:
    """A band in two digits: “180–560 Hz”, “450 Hz–4.5 kHz”, “2.2–5.6 kHz”."""
    (low, low_unit), (high, high_unit) = (_two_digits(hz) for hz in (low_hz, high_hz))
    return f"{low}–{high} {high_unit}" if low_unit == high_unit else f"{low} {low_unit}–{high} {high_unit}"


def hz_words(hz: float) -> str:
    """A frequency: “315 Hz”, “6.3 kHz”."""
    return f"{hz / 1000:.3g} kHz" if hz >= 1000 else f"{hz:.3g} Hz"


def _two_digits(hz: float) -> tuple[str, str]:
    rounded = float(f"{hz:.2g}")
    return (f"{rounded / 1000:g}", "kHz") if rounded >= 1000 else (f"{rounded:g}", "Hz")


@dataclass(frozen=True)
class _Told:
    before: Song
    after: Song
    applied: Settings
    reasons: Mapping[str, str]

    def regions(self, group: Literal["tone", "width"]) -> Iterator[Row]:
        """Tone or width by region, and why."""
        names = [MEASURES[k].name for k in GROUPS[group]]
        hz = [float(MEASURES[k].hz or 0.0) for k in GROUPS[group]]
        changes = self._changes(group)
        up, down = ("raised", "lowered") if group == "tone" else ("widened", "narrowed")
        for region in regions(changes, hz, self._worked(group, hz)):
            answered = self._answered(group, region.change_db, names[region.places])
            why = self._why(group, region, answered)
            size = number(abs(region.change_db))
            one = region.places.stop - region.places.start == 1
            most = "" if one else f" (most {number(abs(region.most_db))} dB at {hz_words(region.most_hz)})"
            verb = up if region.change_db > 0 else down
            band = span_words(region.low_hz, region.high_hz)
            words = f"{group.capitalize()}: {band} {verb} by {size} dB{most}{why}"
            yield _action(group, words, region, [fault.name for fault in answered])

    def _changes(self, group: Group) -> Float64Array:
        old, new = (song.judgement.measures.of(group) for song in (self.before, self.after))
        changes = new - old
        if group == "tone":
            changes = np.where((old > _FLOOR_DB) & (new > _FLOOR_DB), changes, 0.0)
        return np.where(np.isfinite(changes), changes, 0.0)

    def _worked(self, group: Literal["tone", "width"], hz: Sequence[float]) -> NDArray[np.bool_]:
        """The bands that a setting reaches: what else changed there is what the rest left of the level."""
        changed = self.applied.changed()
        centres = np.array(hz)
        graphic = [n for n in changed if n.startswith("graphic.") and abs(self.applied[n]) >= _WORKED_DB]
        if any(_reach(name, self.applied) is None for name in self._others()) or not graphic:
            return np.ones(len(hz), np.bool_)
        worked = np.zeros(len(hz), np.bool_)
        for name in graphic:
            at = float(name.removesuffix("_db").rsplit("_", 1)[1])
            if name.startswith("graphic.tone_") or group == "width":
                worked |= np.abs(np.log2(centres / at)) < 0.5
        for name in self._others():
            low, high = _reach(name, self.applied) or (0.0, math.inf)
            worked |= (centres >= low) & (centres <= high)
        return worked

    def _others(self) -> list[str]:
        """What switches on an effect other than the graphic equaliser."""
        changed = self.applied.changed()
        return [n for n in changed if not n.startswith("graphic.") and switch_of(n) not in changed]

    def _answered(self, group: Group, change: float, names: Sequence[str]) -> list[Fault]:
        """The faults found that lie in good part in these bands and become less with this change."""
        inside = set(names)
        faults = [BY_NAME[name] for name in self.before.found if name in BY_NAME]
        return [
            fault
            for fault in faults
            if fault.group == group
            and (fault.side == "low") == (change > 0)
            and 2 * len(inside & set(fault.measures)) >= len(fault.measures)
        ]

    def _why(self, group: Group, region: Region, answered: Sequence[Fault]) -> str:
        if answered:
            return f": {_joined([fault.says for fault in answered])}"
        mean = self.before.judgement.band.mean[GROUPS[group]][region.places]
        old, new = (song.judgement.measures.of(group)[region.places] for song in (self.before, self.after))
        was, now = float(np.nanmean(old - mean)), float(np.nanmean(new - mean))
        given = self._given(region)
        if given:
            return f": {given}"
        if was * region.change_db < 0 and abs(now) < abs(was):
            side = "over" if was > 0 else "under"
            return (
                f": no fault for certain; it lay {number(abs(was))} dB {side} finished music, "
                f"{_lies(now, was)}"
            )
        return ": it comes with the rest" if group == "width" else ": it makes up for the rest"

    def _given(self, region: Region) -> str:
        """Reasons of the other effects that work in the region."""
        found = []
        for name in self._others():
            reach = _reach(name, self.applied)
            if reach is not None and reach[0] < region.high_hz and reach[1] > region.low_hz:
                reason = self.reasons.get(name)
                if reason is not None:
                    found.append(reason)
        return "; ".join(dict.fromkeys(found))

    def balance(self) -> Iterator[Row]:
        """What moved from one side to the other."""
        changes = self._changes("balance")
        most = int(np.argmax(np.abs(changes)))
        moved = np.flatnonzero(np.abs(changes) >= HEARD_DB)
        balanced = any(re.fullmatch(r"graphic\.balance_.*|.*\.(balance_db|pan)", n) for n in self.applied.changed())
        if not moved.size or not balanced:
            return
        mean = float(changes[moved].mean())
        names = [MEASURES[k].name for k in GROUPS["balance"][moved]]
        answered = self._answered("balance", mean, names)
        region = Region(
            slice(int(moved[0]), int(moved[-1]) + 1),
            IMAGE_EDGES_HZ[moved[0]],
            IMAGE_EDGES_HZ[moved[-1] + 1],
            mean,
            float(changes[most]),
            float(np.sqrt(IMAGE_EDGES_HZ[most] * IMAGE_EDGES_HZ[most + 1])),
        )
        why = f": {_joined([f.says for f in answered])}" if answered else ": no fault for certain; it leaned that little"
        side = "right" if mean > 0 else "left"
        band = span_words(region.low_hz, region.high_hz)
        words = f"Balance: {band} moved {number(abs(mean))} dB to the {side}{why}"
        yield _action("balance", words, region, [fault.name for fault in answered])

    def effects(self) -> Iterator[Row]:
        """Each other effect of the master by what was measured in the band that it works on."""
        for name in self._others():
            if _STRIPS.fullmatch(name) or _DYNAMICS.fullmatch(name):
                continue
            measured = self._measured(name)
            if measured is None:
                continue
            parameter = self.applied.space[name]
            reason = self.reasons.get(name)
            why = f" ({reason})" if reason else ""
            label = parameter_label(name)
            where = "" if parameter.where == "master" else f"{place_label(parameter.where)} "
            words = f"{where}{label}{why}: {measured}"
            yield _row(what="effect", words=words[:1].upper() + words[1:])

    def _measured(self, name: str) -> str | None:
        what = name.split(".", 1)[-1]
        plain = {
            "resonance_cut_db": ("line", "the strongest steady tone of the highs stands out by"),
            "gap_fill_db": ("gap", "the deepest gap is"),
        }
        if what in plain:
            measure, words = plain[what]
            return f"{words} {number(self.after[measure])} dB, {number(self.before[measure])} dB before"
        if what in {"extend_db", "extend_from_hz"}:
            ends = [number(min(16.0 * 2 ** song["bandwidth"], 20.0)) for song in (self.after, self.before)]
            return f"the highs end at {ends[0]} kHz, {ends[1]} kHz before"
        reach = _reach(name, self.applied)
        if reach is None:
            return None
        group: Group = "width" if _is_width(name) else "tone"
        hz = np.array([float(MEASURES[k].hz or 0.0) for k in GROUPS[group]])
        inside = (hz * _THIRD > reach[0]) & (hz / _THIRD < reach[1])
        if not inside.any():
            return None
        change = float(self._changes(group)[inside].mean())
        word = {"tone": ("higher", "lower"), "width": ("wider", "narrower")}[group][change < 0]
        band = span_words(max(reach[0], 20.0), min(reach[1], 20000.0))
        if abs(change) < 0.05:
            return f"{band} is as it was"
        return f"{band} is {number(abs(change))} dB {word}"

    def punch(self) -> Iterator[Row]:
        """Peaks over loudness, and by band where a band's changed."""
        change = self.after["plr"] - self.before["plr"]
        crests = {
            words: self.after[f"crest_{name}"] - self.before[f"crest_{name}"]
            for name, words in _CREST_NAMES.items()
        }
        told = [
            f"attacks of the {words} {number(abs(value))} dB {'higher' if value > 0 else 'lower'}"
            for words, value in crests.items()
            if abs(value) >= HEARD_DB
        ]
        if abs(change) < HEARD_DB and not told:
            return
        answered = [
            BY_NAME[name]
            for name in self.before.found
            if name in BY_NAME
            and BY_NAME[name].group == "punch"
            and (BY_NAME[name].side == "low") == (self._punch(BY_NAME[name]) > 0)
            and abs(self._punch(BY_NAME[name])) >= HEARD_DB / 2
        ]
        verb = "higher" if change > 0 else "lower"
        plr = f"peak to loudness {number(self.before['plr'])} → {number(self.after['plr'])} dB"
        first = f"{plr}" if abs(change) >= HEARD_DB else ""
        words = f"Punch: {', '.join([*([first] if first else []), *told])}{self._dynamics_why(answered)}"
        yield _row(what="punch", words=words, change=change, unit="dB", answers=[f.name for f in answered])

    def _punch(self, fault: Fault) -> float:
        return float(np.mean([self.after[name] - self.before[name] for name in fault.measures]))

    def range(self) -> Iterator[Row]:
        """How far the loudness wanders."""
        old, new = self.before["loudness_range"], self.after["loudness_range"]
        change = new - old
        if abs(change) < HEARD_DB:
            return
        answered = [
            BY_NAME[name]
            for name in self.before.found
            if name in BY_NAME
            and BY_NAME[name].group == "range"
            and (BY_NAME[name].side == "low") == (change > 0)
        ]
        words = f"Range: {number(old)} → {number(new)} LU{self._dynamics_why(answered)}"
        yield _row(what="range", words=words, change=change, unit="LU", answers=[f.name for f in answered])

    def _dynamics_why(self, answered: Sequence[Fault]) -> str:
        if answered:
            return f": {_joined([fault.says for fault in answered])}"
        names = [name for name in self._others() if _DYNAMICS.fullmatch(name)]
        reasons = dict.fromkeys(self.reasons[name] for name in names if name in self.reasons)
        return f": {'; '.join(reasons)}" if reasons else ", as it comes with the tone and the level"

    def strips(self) -> Iterator[Row]:
        """What was set on single stems, which no measure of the whole song tells apart."""
        moved: dict[str, list[str]] = {}
        for name in self._others():
            if _STRIPS.fullmatch(name):
                moved.setdefault(self.reasons.get(name, "as recorded"), []).append(self._set(name))
        for reason, words in moved.items():
            yield _row(what="strip", words=f"{', '.join(words)}: {reason}")

    def _set(self, name: str) -> str:
        parameter = self.applied.space[name]
        return f"{place_label(parameter.where)} {parameter_label(name)} {self._value(name)}"

    def _value(self, name: str) -> str:
        parameter = self.applied.space[name]
        return parameter_value(self.applied[name], parameter.unit, parameter.low < 0)


def _lies(now: float, was: float) -> str:
    if abs(now) < 0.05:
        return "now at its middle"
    side = "over" if now > 0 else "under"
    return f"now {number(abs(now))}" + ("" if (now > 0) == (was > 0) else f" {side}")


def _reach(name: str, settings: Settings) -> tuple[float, float] | None:
    """The band in Hz that an effect of the master works on; None where it has none of its own."""
    where, _, what = name.partition(".")
    if what.startswith("eq_"):
        return _EQ_HZ.get(what.removeprefix("eq_").removesuffix("_db"))
    fixed = {
        "low_mid_cut_db": (200.0, 500.0),
        "shimmer_cut_db": (6000.0, 12000.0),
        "resonance_cut_db": (6000.0, 14000.0),
        "gap_fill_db": (500.0, 16000.0),
        "width": (100.0, 16000.0),
    }
    if _STRIPS.fullmatch(name):
        return None
    if what in fixed:
        return _band_hz(where, settings) if where.endswith("_band") else fixed[what]
    if what in {"extend_db", "extend_from_hz"}:
        return settings["master.extend_from_hz"], 20000.0
    if what == "mono_below_hz":
        return 20.0, settings[name]
    centre = {"range_db": f"{where}.hz"}.get(what) or name.removesuffix("_db") + "_hz"
    if centre in settings.values and (what == "range_db" or what.startswith("bell_")):
        return settings[centre] / math.sqrt(2), settings[centre] * math.sqrt(2)
    return None


def _band_hz(where: str, settings: Settings) -> tuple[float, float]:
    edges = [20.0, *(settings[f"crossover.{name}_hz"] for name in ("low", "mid", "high")), 20000.0]
    at = ("low_band", "low_mid_band", "high_mid_band", "high_band").index(where)
    return edges[at], edges[at + 1]


def _is_width(name: str) -> bool:
    return name.endswith((".width", ".mono_below_hz")) or name.startswith("side.")


def _joined(clauses: Sequence[str]) -> str:
    return clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"


def _action(what: str, words: str, region: Region, answers: list[str]) -> Row:
    return _row(
        what=what,
        words=words,
        low_hz=round(region.low_hz, 1),
        high_hz=round(region.high_hz, 1),
        change=region.change_db,
        most=region.most_db,
        most_hz=region.most_hz,
        unit="dB",
        answers=answers,
    )


def _row(
    *,
    what: str,
    words: str,
    low_hz: float | None = None,
    high_hz: float | None = None,
    change: float | None = None,
    most: float | None = None,
    most_hz: float | None = None,
    unit: str = "",
    answers: Sequence[str] = (),
) -> Row:
    figures = {"change": change, "most": most}
    return {
        "what": what,
        "low_hz": low_hz,
        "high_hz": high_hz,
        **{name: None if value is None else round(value, 2) + 0.0 for name, value in figures.items()},
        "most_hz": most_hz,
        "unit": unit,
        "answers": list(answers),
        "words": words,
    }
