"""The plug-ins of a master, for its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixagent.report.model import PluginPlace, PluginRow
from mixagent.report.words import place_label
from mixagent.session.results import Results

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Insert


def plugin_rows(inserts: Iterable[Insert], results: Results) -> tuple[PluginRow, ...]:
    """A row for each plug-in that was asked for and did not fail."""
    mixed = results["mix"].values if results.ran("mix") else {}
    played = mixed.get("plugins", [])
    return tuple(
        PluginRow(
            slot=insert.slot,
            name=insert.name,
            version=insert.version,
            sha256=insert.sha256,
            path=insert.path,
            preset=None if insert.preset is None else insert.preset.name,
            preset_sha256=None if insert.preset is None else insert.preset.sha256,
            tried=insert.map.tried,
            places=tuple(_place(row) for row in played if row["slot"] == insert.slot),
        )
        for insert in inserts
    )


def plugin_warnings(rows: Iterable[PluginRow]) -> list[str]:
    """What is to be known of plug-ins that stood in the chain."""
    words = []
    for row in rows:
        if not row.places:
            words.append(f"The plug-in {row.name} stood by: nothing was set for {row.slot}.")
        elif not row.tried and row.preset is None:
            words.append(f"The map of {row.name} was written from a list of its parameters and never run.")
        elif row.tried and row.tried != row.version:
            words.append(
                f"The map of {row.name} was run with version {row.tried}, and this is {row.version}."
            )
        told: dict[str, list[str]] = {}
        for place in row.places:
            for said in place.words:
                told.setdefault(said, []).append(place_label(place.place).lower())
        words += [f"The plug-in {row.name} {said} ({', '.join(at)})." for said, at in told.items()]
    return words


def plugins_done(rows: Sequence[PluginRow]) -> list[str]:
    """What plug-ins did, a line each."""
    if not rows:
        return []
    from mixagent.pipeline.plugins.maps import EFFECTS

    return [
        f"Plug-in {row.name} {row.version}{f', preset {row.preset}' if row.preset else ''}: stood in for the "
        f"{EFFECTS[row.places[0].effect]} of {', '.join(place_label(at.place).lower() for at in row.places)}"
        for row in rows
        if row.places
    ]


def _place(row: Mapping[str, Any]) -> PluginPlace:
    probed = row["probed"]
    return PluginPlace(
        place=row["place"],
        effect=row["effect"],
        values=row["values"],
        held=tuple(row["held"]),
        state_sha256=probed["state_sha256"],
        reported_latency=probed["reported"],
        latency=probed["lag"],
        same_twice=probed["same_twice"],
        words=tuple(row["words"]),
    )
