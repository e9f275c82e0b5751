"""Loudness targets and platforms, from the one table behind `--target` and `--intent`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Literal

from mixagent.pipeline.errors import UsageError

Normalises = Literal["never", "down", "both", "limiter", "refuses"]


@dataclass(frozen=True)
class LoudnessTarget:
    """The loudness and the ceiling that the finaliser aims at.

    `max_reduction_db` is the most that the limiter may take off a peak; where loudness and ceiling
    cannot both be met within it, the ceiling holds and the loudness target is missed.
    """

    name: str
    integrated_lufs: float
    ceiling_dbtp: float = -1.0
    max_reduction_db: float = 9.0


@dataclass(frozen=True)
class Platform:
    """A platform that plays masters, and its normalisation; a row of `conf/platforms.toml`.

    Attributes:
        target: what to deliver, by the name that `--target` takes.
        title: what it is called.
        normalises: how the level is changed, as the head of the file explains.
        official: whether the platform or standard publishes this itself.
        source: where it says so.
        dated: the document's date, or when it was read.
        raised_to_dbtp: how far peaks may be turned up, where quiet masters are.
        tolerance_lu: how far off a master may be that is not refused.
        also: other names that `--target` takes for it.
    """

    target: LoudnessTarget
    title: str
    normalises: Normalises
    official: bool
    source: str
    dated: str
    raised_to_dbtp: float = 0.0
    tolerance_lu: float = 0.0
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Playback:
    """The level of a master as a platform plays it.

    Attributes:
        platform: its name.
        gain_db: what its normalisation applies.
        integrated_lufs: loudness of what is heard.
        true_peak_dbtp: highest peak of what is heard, before a limiter of the platform's.
        over_db: how far that is over what the platform leaves room for; its limiter takes it off, or it
            may clip. 0 where there is room.
        short_lu: how much too quiet it stays, because its peaks leave no room or nothing is turned up.
        refused: whether it is too far off to be taken at all.
    """

    platform: str
    gain_db: float
    integrated_lufs: float
    true_peak_dbtp: float
    over_db: float
    short_lu: float
    refused: bool


def _read_table() -> tuple[dict[str, LoudnessTarget], dict[str, Platform]]:
    text = (resources.files("mixagent.conf") / "platforms.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    intents = {name: _target(name, row) for name, row in table["intents"].items()}
    return intents, {name: _platform(name, row) for name, row in table["platforms"].items()}


def _target(name: str, row: dict[str, Any]) -> LoudnessTarget:
    limits = {"max_reduction_db": row.pop("max_reduction_db")} if "max_reduction_db" in row else {}
    return LoudnessTarget(name, row.pop("lufs"), row.pop("ceiling_dbtp"), **limits)


def _platform(name: str, row: dict[str, Any]) -> Platform:
    target, also = _target(name, row), tuple(row.pop("also", ()))
    return Platform(target=target, also=also, **row)


INTENTS, PLATFORMS = _read_table()
"""Targets that are no platform; and the platforms, by name."""

TARGETS: Mapping[str, LoudnessTarget] = {
    **INTENTS,
    **{name: platform.target for name, platform in PLATFORMS.items()},
}

_NAMES: Mapping[str, str] = {
    **{name: name for name in TARGETS},
    **{alias: name for name, platform in PLATFORMS.items() for alias in platform.also},
}

LOUDEST_LUFS, QUIETEST_LUFS = -5.0, -40.0
MOST_REDUCTION_DB = 24.0
"""The most that a limiter may be allowed to take off a peak."""


def loudness_target(text: str, ceiling_dbtp: float | None = None) -> LoudnessTarget:
    """The target that a name of the table or a number of LUFS stands for.

    Raises:
        UsageError: neither a name nor a number, or a number out of range.
    """
    name = _NAMES.get("-".join(text.lower().replace("_", " ").split()))
    target = _numbered(text) if name is None else TARGETS[name]
    return target if ceiling_dbtp is None else check_target(replace(target, ceiling_dbtp=ceiling_dbtp))


def check_target(target: LoudnessTarget) -> LoudnessTarget:
    """The target, if a master can aim at it.

    Raises:
        UsageError: a loudness, a ceiling or a reduction out of range, or none that is a number.
    """
    lufs, ceiling_dbtp, most_db = target.integrated_lufs, target.ceiling_dbtp, target.max_reduction_db
    if not QUIETEST_LUFS <= lufs <= LOUDEST_LUFS:
        raise UsageError(f"target {lufs:g} LUFS is out of range {QUIETEST_LUFS:g} to {LOUDEST_LUFS:g}")
    if not -20.0 <= ceiling_dbtp <= 0.0:
        raise UsageError(f"ceiling {ceiling_dbtp:g} dBTP is out of range -20 to 0")
    if not 0.0 <= most_db <= MOST_REDUCTION_DB:
        raise UsageError(f"a reduction of {most_db:g} dB is out of range 0 to {MOST_REDUCTION_DB:g}")
    return target


def _numbered(text: str) -> LoudnessTarget:
    try:
        lufs = float(text)
    except ValueError:
        raise UsageError(f"unknown target {text!r}: give LUFS (such as -14) or {_suggestion(text)}") from None
    allowed_db = 14.0 if lufs > -10.0 else 11.0 if lufs > -12.0 else 9.0
    return check_target(LoudnessTarget(f"{lufs:g} LUFS", lufs, max_reduction_db=allowed_db))


def _suggestion(text: str) -> str:
    near = difflib.get_close_matches(text.lower(), _NAMES, n=3)
    if near:
        return f"did you mean {' or '.join(near)}? `mixagent targets` lists them all"
    return f"one of {', '.join(TARGETS)}"


def playback(platform: Platform, integrated_lufs: float, true_peak_dbtp: float) -> Playback:
    """Apply a platform's normalisation to a master's level.

    Args:
        platform: a row of the table.
        integrated_lufs: the master's loudness, finite.
        true_peak_dbtp: the master's highest peak, finite.
    """
    target = platform.target
    wanted_db = target.integrated_lufs - integrated_lufs
    gain_db = _gain_db(platform, wanted_db, true_peak_dbtp)
    refused = platform.normalises == "refuses" and (
        abs(wanted_db) > platform.tolerance_lu or true_peak_dbtp > target.ceiling_dbtp
    )
    peak_dbtp = true_peak_dbtp + gain_db
    room_dbtp = platform.raised_to_dbtp if gain_db > 0 else target.ceiling_dbtp
    # What is turned down was encoded at its own level, so that is where it needs the room.
    highest_dbtp = peak_dbtp if gain_db > 0 else true_peak_dbtp
    return Playback(
        platform=target.name,
        gain_db=gain_db,
        integrated_lufs=integrated_lufs + gain_db,
        true_peak_dbtp=peak_dbtp,
        over_db=max(highest_dbtp - room_dbtp, 0.0),
        short_lu=0.0 if platform.normalises in ("never", "refuses") else max(wanted_db - gain_db, 0.0),
        refused=refused,
    )


def _gain_db(platform: Platform, wanted_db: float, true_peak_dbtp: float) -> float:
    match platform.normalises:
        case "never" | "refuses":
            return 0.0
        case "down":
            return min(wanted_db, 0.0)
        case "both":
            room_db = max(platform.raised_to_dbtp - true_peak_dbtp, 0.0)
            return min(wanted_db, room_db)
        case "limiter":
            return wanted_db
