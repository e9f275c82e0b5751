"""The report of an album as one HTML page: its songs before and after, and its loudness over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixagent.pipeline.chain.parameters import EQ_BANDS
from mixagent.report import charts, words
from mixagent.report.album_model import AlbumPause, AlbumReport, AlbumSong
from mixagent.report.frame import template, write_whole


def write_album_page(report: AlbumReport, path: Path) -> None:
    """Write an album's report as one self-contained page.

    Raises:
        OutputError: the page cannot be written.
    """
    write_whole(path, render_album_page(report))


def render_album_page(report: AlbumReport) -> str:
    """The page's HTML."""
    songs = report.songs
    durations_s = [song.after.duration_s for song in songs]
    pauses = [*report.gaps, None]
    return template("album.html").render(
        report=report,
        data=report.to_dict(),
        kind="album",
        title=report.title or Path(report.folder).stem,
        scripts=["album.js"],
        player=None,
        verdict=words.album_verdict(report),
        rows=[
            _shown(place, song, pause)
            for place, (song, pause) in enumerate(zip(songs, pauses, strict=True), 1)
        ],
        total_s=sum(durations_s),
        bands=[words.parameter_label(name) for name in EQ_BANDS],
        strip=charts.album_chart(
            {
                "before": [song.before.short_term_lufs for song in songs],
                "after": [song.after.short_term_lufs for song in songs],
            },
            durations_s,
            report.target.integrated_lufs,
        ),
    )


@dataclass(frozen=True)
class SongShown:
    """A song in its place: its file, the moves of its bands, and the pause that follows, in words."""

    song: AlbumSong
    place: int
    file: str
    moves: tuple[str, ...]
    pause: str


def _shown(place: int, song: AlbumSong, pause: AlbumPause | None) -> SongShown:
    moves = (song.tone_db.get(name, 0.0) for name in EQ_BANDS)
    return SongShown(
        song,
        place,
        Path(song.song).name,
        tuple(words.number(move, sign=True) if move else "" for move in moves),
        "" if pause is None else words.pause_words(pause),
    )
