"""Changes of a song, told by what became of the sound: measured before and after, level removed.

Neighbouring third octaves that went one way are one action. Its reason is the finding that it answers;
where nothing was found for certain, that is what it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ, STEM_PLACES, Settings, switch_of
from mixagent.pipeline.finished.band import Band, Judgement, root_mean_square
from mixagent.pipeline.finished.findings import FOUND, Fault, findings
from mixagent.pipeline.finished.measures import GROUPS, INDEX, LEVEL, LOWEST_DB, MEASURES, Group
from mixagent.pipeline.finished.reasons import reasons_of
from mixagent.pipeline.measure.changes import BandGain
from mixagent.pipeline.measure.fingerprint import IMAGE_EDGES_HZ
from mixagent.pipeline.types import Float64Array
from mixagent.report.findings import blinking_percent
from mixagent.report.model import ActionRow
from mixagent.report.words import change_words, number, parameter_label, parameter_value, place_label

HEARD_DB = 0.5
"""A change of a band, or of a figure of dynamics in dB or LU, that counts from here on."""

TOLD_DB = 0.8
"""Bands that went one way are told where one of them changed by so much."""

ASIDE_DB = 1.5
"""The same of bands that nothing was set for."""

UNCERTAIN = "no fault for certain, brought towards finished music"
"""Why bands were moved that no finding is about."""

BAND_DYNAMICS = ("transient_attack_db", "ride_db")
"""Settings of dynamics that the band of finished music moves."""

BY_HAND = "set by hand"
_LIMITED = "the limiter took peaks for the target's loudness, the rest comes with tone and width"
_ASIDE = "it comes with the level and the rest"
_TO_THE_MIDDLE = "no fault for certain, brought towards the middle"

_THIRD = 2 ** (1 / 6)
_WORKED_DB = 0.1
_LEAST_PART = 0.25
_LEAST_EASED = 0.1
_ALWAYS = 0.95
_NEAR_OCTAVES = 0.2
_SILENT_DB = 0.05
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
_DYNAMICS = re.compile(r".*\.(comp_ratio|expand_ratio|transient_\w+_db|drive_db|ride_db)|(punch|clipper)\..*")
_STRIPS = re.compile(
    rf"({'|'.join(sorted(STEM_PLACES))}|accompaniment|reverb|delay)\..*",
)
_BALANCE = re.compile(r"graphic\.balance_.*|master\.balance_db|.*\.pan")


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

    def words(self, up: str, down: str) -> str:
        """The change: “180–560 Hz lowered by 2.3 dB (most 3.1 dB at 315 Hz)”, with one of both verbs."""
        one = self.places.stop - self.places.start == 1
        most = "" if one else f" (most {number(abs(self.most_db))} dB at {hz_words(self.most_hz)})"
        changed = change_words(up if self.change_db > 0 else down, self.change_db)
        return f"{span_words(self.low_hz, self.high_hz)} {changed}{most}"


@dataclass(frozen=True)
class _Repair:
    """A repair's title, the measure of the song that tells it, and the faults that it answers."""

    title: str
    measure: str
    says: str
    unit: str
    answers: tuple[str, ...]


_EXTENDED = _Repair("Extension", "bandwidth", "the highs end at", "kHz", ("cut off", "dull"))
_REPAIRS: Mapping[str, _Repair] = {
    "master.extend_from_hz": _EXTENDED,
    "master.blink_fill_db": _Repair(
        "Filling of what blinks", "away", "bands of the highs are away at most", "%", ("blinking",)
    ),
    "master.gap_fill_db": _Repair("Gap filling", "gap", "the deepest gap is", "dB", ("hole",)),
    "master.resonance_cut_db": _Repair(
        "Resonance cut", "line", "the strongest steady tone of the highs stands out by", "dB", ("metallic",)
    ),
}


@dataclass(frozen=True)
class Made:
    """How a master was made, as far as what was done is told by it.

    Attributes:
        applied: the settings that were rendered.
        reasons: by name of a parameter why it was moved.
        repairs: what each repair did to the song, by the parameter that switches it on; what is not there
            was not measured.
        reduction_db: most that the finaliser took off a peak.
        references: the band of what the song was brought towards; None for finished music.
        matched: whether tone and width were given to the whole mix by matchering.
        strips_told: places of the strips and buses that are told by what was measured of their stems.
    """

    applied: Settings
    reasons: Mapping[str, str]
    repairs: Mapping[str, Sequence[BandGain]] = field(default_factory=dict)
    reduction_db: float = 0.0
    references: Band | None = None
    matched: bool = False
    strips_told: Collection[str] = ()


def actions(before: Judgement, after: Judgement, made: Made) -> list[ActionRow]:
    """All changes, in the order of tone, width, balance, repairs, dynamics and the strips.

    Args:
        before: the song as it came, held against finished music.
        after: the master, held against the same.
        made: how it was made.
    """
    told = _Told(before, after, tuple(f.fault for f in findings(before, FOUND)), made)
    return [
        *told.regions("tone"),
        *told.regions("width"),
        *told.balance(),
        *told.effects(),
        *told.punch(),
        *told.range(),
        *told.strips(),
    ]


@dataclass(frozen=True)
class Answer:
    """All of one kind that was done for one reason.

    Attributes:
        title: of the kind; empty for an effect or a repair, which name themselves.
        did: what was done, a clause each.
        why: empty where no reason is known.
    """

    title: str
    did: tuple[str, ...]
    why: str

    @property
    def words(self) -> str:
        """One sentence of it."""
        title, why = f"{self.title}: " if self.title else "", f": {self.why}" if self.why else ""
        return f"{title}{'; '.join(self.did)}{why}"


def answers(acted: Sequence[ActionRow]) -> list[Answer]:
    """The actions by kind and reason, those that answer a finding first."""
    told: dict[tuple[str, str], list[str]] = {}
    kinds = list(dict.fromkeys(row.what for row in acted))
    for row in sorted(acted, key=lambda row: (kinds.index(row.what), not row.answers)):
        told.setdefault((row.what, row.why), []).append(row.did)
    return [
        Answer("" if what in {"effect", "repair"} else what.capitalize(), tuple(did), why)
        for (what, why), did in told.items()
    ]


def regions(changes_db: Float64Array, hz: Sequence[float], worked: NDArray[np.bool_]) -> list[Region]:
    """The regions in which worked bands went one way by `HEARD_DB`, some by `TOLD_DB` and more, lowest first.

    A single band in between that went the same way by less does not part them.
    """
    signs = np.where(worked & (np.abs(changes_db) >= HEARD_DB), np.sign(changes_db), 0.0)
    for k in range(1, len(signs) - 1):
        bridges = signs[k - 1] == signs[k + 1] == np.sign(changes_db[k]) and worked[k]
        if signs[k] == 0.0 and bridges:
            signs[k] = signs[k - 1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0.0], signs, [0.0]])))
    spans = [slice(int(a), int(b)) for a, b in pairwise(edges) if signs[a] != 0.0]
    found = [_region(changes_db, hz, span) for span in spans]
    return [region for region in found if abs(region.most_db) >= TOLD_DB]


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
    # 89 Hz, the edge between 80 and 100 Hz, is called 90 like in the table of faults.
    rounded = rounded * 90 / 89 if f"{rounded:.1e}".startswith("8.9") else rounded
    return (f"{rounded / 1000:g}", "kHz") if rounded >= 1000 else (f"{rounded:g}", "Hz")


@dataclass(frozen=True)
class _Told:
    before: Judgement
    after: Judgement
    found: tuple[Fault, ...]
    made: Made

    def regions(self, group: Literal["tone", "width"]) -> Iterator[ActionRow]:
        """Tone or width by region, and why."""
        names = [MEASURES[k].name for k in GROUPS[group]]
        hz = [float(MEASURES[k].hz or 0.0) for k in GROUPS[group]]
        changes = self._changes(group)
        up, down = ("raised", "lowered") if group == "tone" else ("widened", "narrowed")
        for region in regions(changes, hz, self._worked(group, hz)):
            asked = self._asked(group, region)
            if not asked and (abs(region.most_db) < ASIDE_DB or self._is_repaired(region)):
                continue
            answered = self._answered(group, region.change_db, names[region.places]) if asked else []
            why = self._why(group, region, answered) if asked else _ASIDE
            yield _action(group, region.words(up, down), why, region, [fault.name for fault in answered])

    def _changes(self, group: Group) -> Float64Array:
        old, new = (song.measures.of(group) for song in (self.before, self.after))
        changes = new - old
        if group == "tone":
            changes = np.where((old > _FLOOR_DB) & (new > _FLOOR_DB), changes, 0.0)
        return np.where(np.isfinite(changes), changes, 0.0)

    def _worked(self, group: Literal["tone", "width"], hz: Sequence[float]) -> NDArray[np.bool_]:
        """The bands that the graphic equaliser reaches: elsewhere only the level of the rest changed."""
        if self.made.matched:
            return np.ones(len(hz), np.bool_)
        worked = np.zeros(len(hz), np.bool_)
        for name in self._graphic(group):
            worked |= np.abs(np.log2(np.array(hz) / _graphic_hz(name))) < _NEAR_OCTAVES
        return worked

    def _graphic(self, group: Literal["tone", "width"]) -> list[str]:
        """The bands of the graphic equaliser that move tone, or width: a side is of the tone as well."""
        moving = "graphic.tone_" if group == "tone" else ("graphic.tone_", "graphic.width_")
        changed = self.made.applied.changed()
        return [n for n in changed if n.startswith(moving) and abs(self.made.applied[n]) >= _WORKED_DB]

    def _is_repaired(self, region: Region) -> bool:
        """True where a repair, which is told by itself, works in the region."""
        centres = [gain.centre_hz for gains in self.made.repairs.values() for gain in gains]
        return any(region.low_hz < hz < region.high_hz for hz in centres)

    def _asked(self, group: Literal["tone", "width", "balance"], region: Region) -> bool:
        """True where the change of a region was set, in good part, and did not come of all else."""
        if self.made.matched or any(n.startswith(("master.balance", "master.width")) for n in self._others()):
            return True
        places = np.array(GRAPHIC_HZ)
        gains = np.array([self.made.applied[f"graphic.{group}_{hz}_db"] for hz in GRAPHIC_HZ])
        inside = (places > region.low_hz * 0.98) & (places < region.high_hz * 1.02)
        level_db = float(gains[LEVEL].mean()) if group == "tone" else 0.0
        asked_db = float(gains[inside].mean()) - level_db if inside.any() else 0.0
        return asked_db * region.change_db > 0 and abs(asked_db) >= _LEAST_PART * abs(region.change_db)

    def _others(self) -> list[str]:
        """Parameters that switch on an effect other than the graphic equaliser."""
        changed = self.made.applied.changed()
        return [n for n in changed if not n.startswith("graphic.") and switch_of(n) not in changed]

    def _answered(self, group: Group, change: float, names: Sequence[str]) -> list[Fault]:
        """The faults found that lie in good part in these bands and become less with this change.

        Where there is none: that the group as a whole lies outside, if that was found and they came nearer.
        """
        inside = set(names)
        found = [fault for fault in self.found if fault.group == group]
        single = [
            fault
            for fault in found
            if fault.side == ("low" if change > 0 else "high")
            and 2 * len(inside & set(fault.measures)) >= len(fault.measures)
        ]
        if single or not self._came_nearer(names):
            return single
        return [fault for fault in found if fault.side == "either"]

    def _came_nearer(self, names: Sequence[str]) -> bool:
        """True where some measures lie nearer to finished music's on average than they did."""
        was, now = self._apart(names)
        return was * (now - was) < 0.0 and abs(now) < abs(was)

    def _apart(self, names: Sequence[str]) -> tuple[float, float]:
        """Mean distance of some measures from finished music's mean before and after."""
        places = [INDEX[name] for name in names]
        mean = self.before.band.mean[places]
        was, now = (float(np.nanmean(s.measures.values[places] - mean)) for s in (self.before, self.after))
        return was, now

    def _why(self, group: Literal["tone", "width"], region: Region, answered: Sequence[Fault]) -> str:
        names = [MEASURES[k].name for k in GROUPS[group]][region.places]
        towards = self._references(group)
        if towards:
            return towards
        if answered and answered[0].side == "either":
            was, _ = self._apart(names)
            return f"{answered[0].says}, here it was {number(abs(was))} dB {'over' if was > 0 else 'under'}"
        if answered:
            return _joined([fault.says for fault in answered])
        given = {
            self.made.reasons.get(name)
            for name in self._graphic(group)
            if region.low_hz < _graphic_hz(name) < region.high_hz
        }
        if given == {BY_HAND}:
            return BY_HAND
        return UNCERTAIN if self._came_nearer(names) else "it makes up for what changed beside it"

    def _references(self, group: Group) -> str:
        """The aim of a group of measures, where that is not finished music."""
        if self.made.matched:
            return "matchering gave it the reference's"
        references = self.made.references
        return "" if references is None or not references.tells(group) else f"towards {references.name}"

    def balance(self) -> Iterator[ActionRow]:
        """Bands that moved from one side to the other."""
        if not any(_BALANCE.fullmatch(name) for name in self.made.applied.changed()):
            return
        names = [MEASURES[k].name for k in GROUPS["balance"]][: len(IMAGE_EDGES_HZ) - 1]
        changes = self._changes("balance")[: len(names)]
        centres = [math.sqrt(low * high) for low, high in pairwise(IMAGE_EDGES_HZ)]
        for found in regions(changes, centres, np.ones(len(centres), np.bool_)):
            at = found.places
            region = replace(found, low_hz=IMAGE_EDGES_HZ[at.start], high_hz=IMAGE_EDGES_HZ[at.stop])
            asked = self._asked("balance", region)
            answered = self._answered("balance", region.change_db, names[at]) if asked else []
            leans = (np.abs(song.measures.of("balance")[at]).mean() for song in (self.before, self.after))
            otherwise = _ASIDE if not asked or next(leans) <= next(leans) else _TO_THE_MIDDLE
            why = _joined([fault.says for fault in answered]) if answered else otherwise
            side = "right" if region.change_db > 0 else "left"
            band = span_words(region.low_hz, region.high_hz)
            did = f"{band} {change_words('moved', region.change_db)} to the {side}"
            yield _action("balance", did, why, region, [fault.name for fault in answered])

    def effects(self) -> Iterator[ActionRow]:
        """Each other effect of the master by what was measured of what it works on."""
        for name in self._others():
            if _STRIPS.fullmatch(name) or _DYNAMICS.fullmatch(name) or _BALANCE.fullmatch(name):
                continue
            repair = _REPAIRS.get(name)
            measured = self._in_band(name) if repair is None else self._repaired(name, repair)
            if measured is None:
                continue
            answered = [f for f in self.found if repair is not None and f.name in repair.answers]
            why = _joined([f.says for f in answered]) if answered else self.made.reasons.get(name, "")
            did = f"{self._label(name) if repair is None else repair.title}, {measured}"
            yield _row(what="effect", did=did, why=why, answers=[fault.name for fault in answered])

    def _label(self, name: str) -> str:
        where = self.made.applied.space[name].where
        label = parameter_label(name)
        return label if where == "master" else f"{place_label(where)}, {label[:1].lower()}{label[1:]}"

    def _repaired(self, name: str, repair: _Repair) -> str | None:
        """The work of a repair in words; None where it found nothing to do."""
        gains = self.made.repairs.get(name, ())
        if not gains:
            return None
        was, now = (song.measures[repair.measure] for song in (self.before, self.after))
        if repair.measure == "bandwidth":
            was, now = (min(16.0 * 2**octaves, 20.0) for octaves in (was, now))
        if repair.measure == "away":
            was, now = (blinking_percent(song)[0] for song in (self.before, self.after))
        figures = f"{repair.says} {number(now)} {repair.unit}, {number(was)} {repair.unit} before"
        if repair is _EXTENDED:
            # Over next to nothing a gain says nothing.
            centres = [gain.centre_hz for gain in gains]
            return f"{span_words(min(centres) / _THIRD, max(centres))} rebuilt; {figures}"
        return f"{gains_words(gains)}; {figures}"

    def _in_band(self, name: str) -> str | None:
        """The change of the band that an effect works in; the graphic equaliser may work there as well."""
        reach = _reach(name, self.made.applied)
        group: Literal["tone", "width"] = "width" if _is_width(name) else "tone"
        hz = [float(MEASURES[k].hz or 0.0) for k in GROUPS[group]]
        if reach is None:
            return None
        centres = np.array(hz)
        inside = (centres * _THIRD > reach[0]) & (centres / _THIRD < reach[1])
        if not inside.any():
            return None
        band = span_words(max(reach[0], 20.0), min(reach[1], 20000.0))
        if (self._worked(group, hz) & inside).any():
            return f"works in {band} as well"
        change = float(self._changes(group)[inside].mean())
        if abs(change) < _SILENT_DB:
            return f"{band} as it was"
        word = {"tone": ("raised", "lowered"), "width": ("widened", "narrowed")}[group][change < 0]
        return f"{band} {change_words(word, change)}"

    def punch(self) -> Iterator[ActionRow]:
        """Peaks over loudness, and the attacks of each band, where they changed."""
        change = self._changed("plr")
        was, now = (number(song.measures["plr"]) for song in (self.before, self.after))
        told = [f"peak to loudness {was} → {now} dB"] if abs(change) >= HEARD_DB else []
        for name, band in _CREST_NAMES.items():
            crest = self._changed(f"crest_{name}")
            if abs(crest) >= HEARD_DB:
                told.append(
                    f"attacks of the {band} {number(abs(crest))} dB {'higher' if crest > 0 else 'lower'}"
                )
        if not told:
            return
        answered = [f for f in self.found if f.group == "punch" and self._eased(f)]
        names = [fault.name for fault in answered]
        why = self._dynamics_why("punch", answered, change)
        yield _row(what="punch", did=", ".join(told), why=why, change=change, unit="dB", answers=names)

    def range(self) -> Iterator[ActionRow]:
        """How far the loudness wanders."""
        change = self._changed("loudness_range")
        if abs(change) < HEARD_DB:
            return
        was, now = (number(song.measures["loudness_range"]) for song in (self.before, self.after))
        answered = [f for f in self.found if f.group == "range" and self._eased(f)]
        names = [fault.name for fault in answered]
        why = self._dynamics_why("range", answered, change)
        yield _row(what="range", did=f"{was} → {now} LU", why=why, change=change, unit="LU", answers=names)

    def _changed(self, name: str) -> float:
        change = self.after.measures[name] - self.before.measures[name]
        return change if math.isfinite(change) else 0.0

    def _eased(self, fault: Fault) -> bool:
        """True where a fault of dynamics became less by what was set for it."""
        if not self._dynamic():
            return False
        if fault.side == "either":
            was, now = (root_mean_square(song.deviations, fault.group) for song in (self.before, self.after))
            return was - now >= _LEAST_EASED
        change = float(np.mean([self._changed(name) for name in fault.measures]))
        return (change if fault.side == "low" else -change) >= HEARD_DB / 2

    def _dynamics_why(self, group: Group, answered: Sequence[Fault], change: float) -> str:
        if self._dynamic() and (towards := self._references(group)):
            return towards
        if answered:
            return _joined([fault.says for fault in answered])
        if group == "punch" and change < 0 and self.made.reduction_db >= HEARD_DB:
            return _LIMITED
        if group == "range" and not self._came_nearer(["loudness_range"]):
            return "it comes with tone and width" if self.made.reduction_db < HEARD_DB else _LIMITED
        given = {name: self.made.reasons[name] for name in self._dynamic() if name in self.made.reasons}
        own = {name: self.made.applied[name] for name in given if name.endswith(BAND_DYNAMICS)}
        by_band = reasons_of(self.before, own)
        reasons = dict.fromkeys(
            UNCERTAIN if by_band.get(n) == reason else reason for n, reason in given.items()
        )
        if reasons:
            return "; ".join(reasons)
        return "it comes with tone and width"

    def _dynamic(self) -> list[str]:
        """The settings of dynamics that were moved."""
        return [name for name in self._others() if _DYNAMICS.fullmatch(name)]

    def strips(self) -> Iterator[ActionRow]:
        """Settings of single stems, which no measure of the whole song tells apart."""
        moved: dict[str, list[str]] = {}
        for name in self._others():
            if _STRIPS.fullmatch(name) and name.partition(".")[0] not in self.made.strips_told:
                moved.setdefault(self.made.reasons.get(name, "as recorded"), []).append(self._set(name))
        for reason, did in moved.items():
            yield _row(what="stems", did=", ".join(did), why=reason)

    def _set(self, name: str) -> str:
        parameter = self.made.applied.space[name]
        return f"{place_label(parameter.where)} {parameter_label(name)} {self._value(name)}"

    def _value(self, name: str) -> str:
        parameter = self.made.applied.space[name]
        return parameter_value(self.made.applied[name], parameter.unit, parameter.low < 0)


def gains_words(gains: Sequence[BandGain]) -> str:
    """The gains of a repair in its band: “7.1–14 kHz lowered by 0.4 dB, most 11.2 dB at 9.3 kHz”."""
    mean_db = sum(gain.mean_db for gain in gains) / len(gains)
    most = max(gains, key=lambda gain: abs(gain.most_db))
    verb = "raised" if most.most_db > 0 else "lowered"
    centres = [gain.centre_hz for gain in gains]
    band = span_words(min(centres) / _THIRD, max(centres) * _THIRD)
    share = max(gain.share for gain in gains)
    seldom = "" if share > _ALWAYS else f" in {number(100 * share, 0)} % of the time"
    return (
        f"{band} {change_words(verb, mean_db)}{seldom}, "
        f"most {number(abs(most.most_db))} dB at {hz_words(most.most_hz)}"
    )


def _graphic_hz(name: str) -> float:
    return float(name.removesuffix("_db").rsplit("_", 1)[1])


def _reach(name: str, settings: Settings) -> tuple[float, float] | None:
    """The band in Hz that an effect of the master works on; None where it has none of its own."""
    where, _, what = name.partition(".")
    if what.startswith("eq_"):
        return _EQ_HZ.get(what.removeprefix("eq_").removesuffix("_db"))
    fixed = {
        "low_mid_cut_db": (200.0, 500.0),
        "shimmer_cut_db": (6000.0, 12000.0),
        "width": (100.0, 16000.0),
    }
    if _STRIPS.fullmatch(name):
        return None
    if what in fixed:
        return _band_hz(where, settings) if where.endswith("_band") else fixed[what]
    if what == "extend_db":
        return None
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


def _action(what: str, did: str, why: str, region: Region, answers: list[str]) -> ActionRow:
    return _row(
        what=what,
        did=did,
        why=why,
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
    did: str,
    why: str,
    low_hz: float | None = None,
    high_hz: float | None = None,
    change: float | None = None,
    most: float | None = None,
    most_hz: float | None = None,
    unit: str = "",
    answers: Sequence[str] = (),
) -> ActionRow:
    change, most = (None if value is None else round(value, 2) + 0.0 for value in (change, most))
    return ActionRow(
        what=what,
        did=did,
        why=why,
        low_hz=low_hz,
        high_hz=high_hz,
        change=change,
        most=most,
        most_hz=most_hz,
        unit=unit,
        answers=tuple(answers),
    )
