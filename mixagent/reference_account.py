"""What the report says of references: which they were, and how far the song was from them and is now."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mixagent.pipeline.analysis import THIRD_OCTAVES_HZ, Analysis
from mixagent.pipeline.graph import Result
from mixagent.pipeline.references.profile import (
    Profile,
    profile_of,
    tone_distance_db,
    width_distance_db,
)
from mixagent.reference_stages import Listened
from mixagent.references import DIMENSIONS, Aims, References
from mixagent.report.words import number


def reference_account(
    references: References, listened: Listened, results: Mapping[str, Result]
) -> dict[str, Any]:
    """The report's entry `reference`.

    `rows` say of each thing that was matched how far it was from the references and is now, or what it
    was, is now and is in the references.
    """
    before, after = (_song(results[stage].values["analysis"]) for stage in ("analyse", "measure"))
    matched = results["match"]
    return {
        "method": "matchering" if listened.matchering is not None else "profile",
        "given": [
            {
                "name": reference.name,
                "weight": reference.weight,
                "for": [name for name in (*DIMENSIONS, "loudness") if reference in getattr(references, name)],
                "songs": list(listened.profiles[reference.name].songs),
                "integrated_lufs": listened.profiles[reference.name].integrated_lufs.mean,
            }
            for reference in references.all
        ],
        "third_octave_hz": list(THIRD_OCTAVES_HZ),
        "curve": None if matched.skipped else matched.values["curve"],
        "rows": [] if before is None or after is None else _rows(listened.aims, before, after),
    }


def _song(measured: Mapping[str, Any]) -> Profile | None:
    analysis = Analysis.from_json(measured)
    return profile_of("", {"": analysis}) if math.isfinite(analysis.integrated_lufs) else None


def _rows(aims: Aims, before: Profile, after: Profile) -> list[dict[str, Any]]:
    rows = []
    if aims.tone is not None:
        rows.append(_distance("tone", tone_distance_db, aims.tone, before, after))
    if aims.width is not None:
        rows.append(_distance("width", width_distance_db, aims.width, before, after))
    if aims.dynamics is not None:
        rows.append(_figure("loudness range", "loudness_range_lu", "LU", aims.dynamics, before, after))
        rows.append(_figure("peak to loudness", "plr_db", "dB", aims.dynamics, before, after))
    if aims.loudness is not None:
        rows.append(_figure("loudness", "integrated_lufs", "LUFS", aims.loudness, before, after))
    return [row for row in rows if row["before"] is not None and row["after"] is not None]


def _distance(
    what: str,
    measure: Callable[[Profile, Profile], float | None],
    aim: Profile,
    before: Profile,
    after: Profile,
) -> dict[str, Any]:
    """How far from the references, before and after."""
    far, near = measure(before, aim), measure(after, aim)
    return {"what": what, "unit": "dB", "before": far, "after": near, "reference": None}


def _figure(what: str, name: str, unit: str, aim: Profile, before: Profile, after: Profile) -> dict[str, Any]:
    old, new, wanted = (getattr(profile, name).mean for profile in (before, after, aim))
    return {"what": what, "unit": unit, "before": old, "after": new, "reference": wanted}


def reference_words(account: Mapping[str, Any]) -> str:
    """The account in one sentence."""
    names = ", ".join(_named(given) for given in account["given"])
    how = "matchering" if account["method"] == "matchering" else _span(account["curve"])
    rows = [f"{row['what']} {_change(row)}" for row in account["rows"]]
    return f"Brought towards {names} ({how}): {'; '.join(rows) or 'nothing could be measured'}"


def _named(given: Mapping[str, Any]) -> str:
    parts = [part for part in given["for"] if part in DIMENSIONS]
    return (
        given["name"]
        if len(parts) == len(DIMENSIONS)
        else f"{given['name']} for {' and '.join(given['for'])}"
    )


def _span(curve: Mapping[str, list[float]] | None) -> str:
    if curve is None:
        return "no band moved"
    gains = (*curve["mid_db"], *curve["side_db"])
    return f"bands by {number(min(gains), sign=True)} to {number(max(gains), sign=True)} dB"


def _change(row: Mapping[str, Any]) -> str:
    before, after = number(row["before"]), number(row["after"])
    if row["reference"] is None:
        return f"{before} to {after} {row['unit']} away"
    return f"{before} to {after} {row['unit']}, {number(row['reference'])} there"
