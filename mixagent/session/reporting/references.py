"""The report's section on references: which they were, and how far song and master are from them."""

from __future__ import annotations

import math
from collections.abc import Callable

from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.matching.profiles import Profile, tone_distance_db, width_distance_db
from mixagent.report.model import GivenReference, ReferenceRow, ReferenceSection
from mixagent.report.words import number
from mixagent.session.reference_stages import Listened
from mixagent.session.references import DIMENSIONS, Aims, References
from mixagent.session.results import Measured, Results


def reference_section(references: References, listened: Listened, results: Results) -> ReferenceSection:
    """The report's section `reference`."""
    after = results.measured
    assert after is not None
    return ReferenceSection(
        method="matchering" if listened.matchering is not None else "profile",
        given=tuple(
            GivenReference(
                name=reference.name,
                weight=reference.weight,
                dimensions=tuple(
                    name for name in (*DIMENSIONS, "loudness") if reference in getattr(references, name)
                ),
                songs=tuple(listened.profiles[reference.name].songs),
                integrated_lufs=listened.profiles[reference.name].integrated_lufs.mean,
            )
            for reference in references.all
        ),
        rows=_rows(listened.aims, results.heard, after),
    )


def _rows(aims: Aims, before: Measured, after: Measured) -> tuple[ReferenceRow, ...]:
    song, master = before.measures, after.measures
    if song is None or master is None:
        return ()
    rows: list[ReferenceRow | None] = []
    if aims.tone is not None:
        rows.append(_distance("tone", tone_distance_db, aims.tone, song, master))
    if aims.width is not None:
        rows.append(_distance("width", width_distance_db, aims.width, song, master))
    if aims.dynamics is not None:
        rows.append(_figure("loudness range", "loudness_range", "LU", aims.dynamics, song, master))
        rows.append(_figure("peak to loudness", "plr", "dB", aims.dynamics, song, master))
    if aims.loudness is not None:
        old, new = (measured.analysis.integrated_lufs for measured in (before, after))
        rows.append(_row("loudness", "LUFS", old, new, aims.loudness.integrated_lufs.mean))
    return tuple(row for row in rows if row is not None)


def _row(
    what: str, unit: str, before: float | None, after: float | None, reference: float | None
) -> ReferenceRow | None:
    """The row of a thing that was matched; None where it could not be measured."""
    if before is None or after is None or not math.isfinite(before + after):
        return None
    return ReferenceRow(what=what, unit=unit, before=before, after=after, reference=reference)


def _distance(
    what: str,
    measure: Callable[[SongMeasures, Profile], float | None],
    aim: Profile,
    song: SongMeasures,
    master: SongMeasures,
) -> ReferenceRow | None:
    """How far from the references, before and after."""
    return _row(what, "dB", measure(song, aim), measure(master, aim), None)


def _figure(
    what: str, name: str, unit: str, aim: Profile, song: SongMeasures, master: SongMeasures
) -> ReferenceRow | None:
    return _row(what, unit, song[name], master[name], aim.measures[name].mean)


def reference_words(section: ReferenceSection) -> str:
    """The section in one sentence."""
    names = ", ".join(_named(given) for given in section.given)
    by = " by matchering" if section.method == "matchering" else ""
    rows = [f"{row.what} {_change(row)}" for row in section.rows]
    return f"Brought towards {names}{by}: {'; '.join(rows) or 'nothing could be measured'}"


def _named(given: GivenReference) -> str:
    """The reference, how many songs it is where there are more, and for what it is, unless for all."""
    parts = [part for part in given.dimensions if part in DIMENSIONS]
    songs = f" ({len(given.songs)} songs)" if len(given.songs) > 1 else ""
    of_what = "" if len(parts) == len(DIMENSIONS) else f" for {' and '.join(given.dimensions)}"
    return f"{given.name}{songs}{of_what}"


def _change(row: ReferenceRow) -> str:
    before, after = number(row.before), number(row.after)
    if row.reference is None:
        return f"{before} to {after} {row.unit} away"
    return f"{before} to {after} {row.unit}, {number(row.reference)} there"
