"""Why a parameter was moved for the band, in words: the finding that it answers."""

from __future__ import annotations

from collections.abc import Mapping

from mixagent.pipeline.finished.answers import INNER
from mixagent.pipeline.finished.band import Judgement
from mixagent.pipeline.finished.findings import BY_NAME, FAULTS, FOUND, WHOLES, Fault, Found, findings
from mixagent.pipeline.finished.measures import INDEX, Group

_DYNAMICS: Mapping[tuple[str, bool], tuple[str, ...]] = {
    ("transient_attack_db", True): ("crushed", "soft"),
    ("transient_attack_db", False): ("spiky",),
    ("ride_db", True): ("monotone",),
    ("ride_db", False): ("uneven",),
}
"""The faults that a parameter of dynamics answers, by whether it is raised."""

_GROUPS: Mapping[str, tuple[Group, ...]] = {"tone": ("tone",), "width": ("width",), "dynamics": ("punch",)}
"""The groups that as a whole are answered by what moves."""

_SUBJECTS: Mapping[str, str] = {
    "tone": "{} is",
    "width": "the sides at {} are",
    "balance": "the right side of {} is",
    "punch": "peaks over power are",
    "range": "the loudness range is",
}
"""What is held against references, by the group of the fault; {} is its place."""

_LEAST_TOLD = 0.5
"""Smaller distances from references, in dB or LU, are no reason by themselves."""


def reasons_of(judgement: Judgement, values: Mapping[str, float]) -> dict[str, str]:
    """For each parameter that moves, the gravest fault that it answers."""
    found = {f.fault.name: f for f in findings(judgement)}
    return {name: _reason(name, value, judgement, found) for name, value in values.items()}


def faults_answered(values: Mapping[str, float]) -> set[str]:
    """The faults of dynamics for which parameters were moved, to whatever effect."""
    moved = ((name.rsplit(".", 1)[1], value) for name, value in values.items() if value)
    return {fault for what, value in moved for fault in _DYNAMICS.get((what, value > 0), ())}


def _reason(name: str, value: float, judgement: Judgement, found: Mapping[str, Found]) -> str:
    if name.startswith("graphic."):
        what, hz = name.removeprefix("graphic.").removesuffix("_db").split("_")
        answered = [fault for fault in FAULTS if _answers(fault, what, float(hz), value)]
    else:
        what = "dynamics"
        answered = [BY_NAME[fault] for fault in _DYNAMICS[name.rsplit(".", 1)[1], value > 0]]
    answered = [fault for fault in answered if found[fault.name].deviation >= INNER]
    wholes = [fault for fault in WHOLES if fault.group in _GROUPS.get(what, ())]
    if not any(found[fault.name].severity >= FOUND for fault in answered):
        answered += [fault for fault in wholes if found[fault.name].severity >= FOUND]
    plain = f"{what} towards {judgement.band.name}"
    if not answered:
        return plain
    gravest = found[max(answered, key=lambda fault: found[fault.name].severity).name]
    if not judgement.chosen:
        return words(gravest)
    return _towards(gravest, judgement) or plain


def _towards(found: Found, judgement: Judgement) -> str | None:
    """A distance from references as a clause: “towards ten songs: 180–560 Hz is 5.1 dB over them”.

    None where single bands lie so far on the other side that the mean of the place says the opposite.
    """
    if found.fault.group == "range":
        place = INDEX["loudness_range"]
        apart = float(judgement.measures.values[place] - judgement.band.mean[place])
    else:
        apart = found.apart
    if (apart > 0) != (found.fault.side == "high") or abs(apart) < _LEAST_TOLD:
        return None
    what = _SUBJECTS[found.fault.group].format(found.fault.place)
    by = f"{abs(apart):.1f} {found.fault.unit} {'over' if apart > 0 else 'under'}"
    return f"towards {judgement.band.name}: {what} {by} {'it' if judgement.band.songs == 1 else 'them'}"


def _answers(fault: Fault, what: str, hz: float, value: float) -> bool:
    """True if a move of this sign at this frequency reduces the fault."""
    if fault.group != what or (value > 0) == (fault.side == "high"):
        return False
    if what == "balance":
        return True
    centres = [float(name.rsplit("_", 1)[1]) for name in fault.measures]
    return min(centres) / 1.13 <= hz <= max(centres) * 1.13


def words(found: Found) -> str:
    """A fault as a clause: “the low mids are thick: 180–560 Hz is 5.1 dB over finished music”."""
    side = "over" if found.apart > 0 else "under"
    if found.fault.side == "either":
        return f"{found.fault.says}: it lies {found.apart:.1f} dB from it, all together"
    if found.fault.unit != "dB":
        return found.fault.says
    return f"{found.fault.says}: {found.fault.place} is {abs(found.apart):.1f} dB {side} finished music"
