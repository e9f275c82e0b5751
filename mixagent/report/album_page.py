"""The report of an album as one HTML page: its songs before and after, and its loudness over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixagent.pipeline.chain.parameters import EQ_BANDS
from mixagent.report import charts, words
from mixagent.report.frame import template, write_whole

Report = Mapping[str, Any]


def write_album_page(report: Report, path: Path) -> None:
    """Write an album's report, schema `mixagent.albums.run/1`, as one self-contained page.

    Raises:
        OutputError: the page cannot be written.
    """
    write_whole(path, render_album_page(report))


def render_album_page(report: Report) -> str:
    """The page's HTML."""
    songs = report["songs"]
    return template("album.html").render(
        report=report,
        kind="album",
        title=report["title"] or Path(report["folder"]).stem,
        scripts=["album.js"],
        player=None,
        verdict=words.album_verdict(report),
        rows=[_row(place, song, pause) for place, (song, pause) in enumerate(_with_pauses(report), 1)],
        bands=[words.parameter_label(name) for name in EQ_BANDS],
        strip=charts.album_chart(
            {side: [song[side]["short_term_lufs"] for song in songs] for side in ("before", "after")},
            [song["after"]["duration_s"] for song in songs],
            report["target"]["integrated_lufs"],
        ),
    )


def _with_pauses(report: Report) -> Sequence[tuple[Report, Report | None]]:
    """Each song with the pause that follows it."""
    return list(zip(report["songs"], [*report["gaps"], None], strict=True))


def _row(place: int, song: Report, pause: Report | None) -> dict[str, Any]:
    moves = [song["tone_db"].get(name, 0.0) for name in EQ_BANDS]
    return {
        **song,
        "place": place,
        "file": Path(song["song"]).name,
        "moves": [words.number(move, sign=True) if move else "" for move in moves],
        "pause": "" if pause is None else words.pause_words(pause),
    }
