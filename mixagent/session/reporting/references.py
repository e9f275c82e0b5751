"""What the report says of references: which they were, and how far the song was from them and is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.matching.profiles import Profile, tone_distance_db, width_distance_db
from mixagent.report.words import number
from mixagent.session.reference_stages import Listened
from mixagent.session.references import DIMENSIONS, Aims, References
from mixagent.session.results import Measured, Results


def reference_account(references: References, listened: Listened, results: Results) -> dict[str, Any]:
    """The report's entry `reference`.

    `rows` say of each thing that was matched how far it was from the references and is now, or what it
    was, is now and is in the references.
    """
    after = results.measured
    assert after is not None
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
        "rows": _rows(listened.aims, results.heard, after),
    }


def _rows(aims: Aims, before: Measured, after: Measured) -> list[dict[str, Any]]:
    song, master = before.measures, after.measures
    if song is None or master is None:
        return []
    rows = []
    if aims.tone is not None:
        rows.append(_distance("tone", tone_distance_db, aims.tone, song, master))
    if aims.width is not None:
        rows.append(_distance("width", width_distance_db, aims.width, song, master))
    if aims.dynamics is not None:
        rows.append(_figure("loudness range", "loudness_range", "LU", aims.dynamics, song, master))
        rows.append(_figure("peak to loudness", "plr", "dB", aims.dynamics, song, master))
    if aims.loudness is not None:
        old, new = (measured.values["analysis"]["integrated_lufs"] for measured in (before, after))
        wanted = aims.loudness.integrated_lufs.mean
        rows.append({"what": "loudness", "unit": "LUFS", "before": old, "after": new, "reference": wanted})
    return [row for row in rows if row["before"] is not None and row["after"] is not None]


def _distance(
    what: str,
    measure: Callable[[SongMeasures, Profile], float | None],
    aim: Profile,
    song: SongMeasures,
    master: SongMeasures,
) -> dict[str, Any]:
    """How far from the references, before and after."""
    far, near = measure(song, aim), measure(master, aim)
    return {"what": what, "unit": "dB", "before": far, "after": near, "reference": None}


def _figure(
    what: str, name: str, unit: str, aim: Profile, song: SongMeasures, master: SongMeasures
) -> dict[str, Any]:
    wanted = aim.measures[name].mean
    return {"what": what, "unit": unit, "before": song[name], "after": master[name], "reference": wanted}


def reference_words(account: Mapping[str, Any]) -> str:
    """The account in one sentence."""
    names = ", ".join(_named(given) for given in account["given"])
    by = " by matchering" if account["method"] == "matchering" else ""
    rows = [f"{row['what']} {_change(row)}" for row in account["rows"]]
    return f"Brought towards {names}{by}: {'; '.join(rows) or 'nothing could be measured'}"


def _named(given: Mapping[str, Any]) -> str:
    """The reference, how many songs it is where there are more, and for what it is, unless for all."""
    parts = [part for part in given["for"] if part in DIMENSIONS]
    songs = f" ({len(given['songs'])} songs)" if len(given["songs"]) > 1 else ""
    of_what = "" if len(parts) == len(DIMENSIONS) else f" for {' and '.join(given['for'])}"
    return f"{given['name']}{songs}{of_what}"


def _change(row: Mapping[str, Any]) -> str:
    before, after = number(row["before"]), number(row["after"])
    if row["reference"] is None:
        return f"{before} to {after} {row['unit']} away"
    return f"{before} to {after} {row['unit']}, {number(row['reference'])} there"
