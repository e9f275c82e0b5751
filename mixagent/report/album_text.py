"""The summary that a person reads in the terminal after an album."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixagent.report.album_model import AlbumReport
from mixagent.report.words import album_verdict, number, pause_words

_COLOURS = {"met": "bold green", "missed": "bold red"}


def album_text(report: AlbumReport) -> RenderableType:
    """The songs in their places before and after, what was kept and what was changed."""
    state, title, sentence = album_verdict(report)
    summary = report.summary
    return Group(
        Text.assemble((title, _COLOURS[state]), f": {sentence}"),
        _songs(report),
        *(Text(line) for line in summary.kept),
        *(Text(line, style="dim") for line in summary.changed),
        *(Text(f"! {line}", style="yellow") for line in [*report.missed, *report.warnings]),
        Text(f"Report: {report.folder}/album.html"),
    )


def _songs(report: AlbumReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("", justify="right")
    table.add_column("Song", overflow="fold")
    for title in ("LUFS", "", "in the album, LU", "", "dBTP"):
        table.add_column(title, justify="right")
    table.add_column("Pause")
    for place, (song, pause) in enumerate(zip(report.songs, [*report.gaps, None], strict=True), 1):
        before, after, level = song.before, song.after, song.level
        table.add_row(
            str(place),
            Text(song.title),
            Text(number(before.integrated_lufs), style="dim"),
            number(after.integrated_lufs),
            Text(number(level.before_lu, sign=True), style="dim"),
            number(level.after_lu, sign=True),
            number(after.true_peak_dbtp),
            "" if pause is None else pause_words(pause),
        )
    return table
