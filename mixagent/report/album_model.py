"""The report of an album, by which a run that goes on knows what is done; see `model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.report.serial import Json, to_json

SCHEMA = "mixagent.albums.run/1"


@dataclass(frozen=True, kw_only=True)
class SongLevelRow:
    """The level of a song in its album.

    Attributes:
        before_lu: from the album's loudness as it came; None for one without a loudness.
        moved_lu: by how much it came nearer to the album than songs whose levels are kept.
        target_lufs: of its master's file.
        both_speakers_lu: what it gains on the two loudspeakers of a stereo album: 0, but for a mono song.
        after_lu: from the loudness of the album that was written; None before that is known.
    """

    before_lu: float | None
    moved_lu: float
    target_lufs: float | None
    both_speakers_lu: float
    after_lu: float | None = None


@dataclass(frozen=True, kw_only=True)
class Silences:
    """Silence at the ends of a file, in seconds."""

    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class AlbumSong:
    """A song of an album whose master is there.

    Attributes:
        song: path of the song; `title`, `performer`, `number` and `disc` are of its tags.
        placed_by: where its place in the album comes from.
        pregap_s: silence before it that a given cue sheet asks for.
        status: mastered now, mastered before in the same way, or silent and given back.
        before, after: measures of song and master.
        level: in the album.
        tone_db: by band the move towards the album's tone.
        done: what was done, in sentences.
        met, missed: of the target.
        warnings: for the user.
        key: hash of all that the master depends on.
        files, bytes: the master and its size, by name.
        silence_s: at the master's ends; None before the album is measured.
    """

    song: str
    title: str
    performer: str
    number: int | None
    disc: int
    placed_by: str
    pregap_s: float
    status: Literal["mastered", "unchanged", "untouched"]
    before: Analysis
    after: Analysis
    level: SongLevelRow
    tone_db: Mapping[str, float]
    done: tuple[str, ...]
    met: bool
    missed: str | None
    warnings: tuple[str, ...]
    key: str
    files: Mapping[str, str]
    bytes: Mapping[str, int]
    silence_s: Silences | None = None

    @property
    def master(self) -> str:
        """Path of its master."""
        return self.files["master"]


@dataclass(frozen=True, kw_only=True)
class AlbumBefore:
    """The songs as they came, one after the other, as one programme."""

    integrated_lufs: float | None


@dataclass(frozen=True, kw_only=True)
class AlbumAfter(AlbumBefore):
    """The masters as one programme, and the highest peaks of all."""

    true_peak_dbtp: float | None
    sample_peak_dbfs: float | None


@dataclass(frozen=True, kw_only=True)
class AlbumPause:
    """The pause between two songs: silence in the files, and what a cue sheet adds, in seconds."""

    after: str
    before: str
    in_files_s: float
    added_s: float
    runs_on: bool


@dataclass(frozen=True, kw_only=True)
class FailedSong:
    """A song that could not be read, and why."""

    song: str
    error: str


@dataclass(frozen=True, kw_only=True)
class AlbumSummary:
    """Sentences on what was kept of the album, and what was changed."""

    kept: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UnfinishedAlbum:
    """The masters that are there while an album is at work."""

    schema: str = SCHEMA
    version: str
    key: str = "unfinished"
    songs: tuple[AlbumSong, ...]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))


@dataclass(frozen=True, kw_only=True)
class AlbumReport:
    """The report of an album, schema `mixagent.albums.run/1`.

    Attributes:
        title, performer: of the album.
        folder: of the masters.
        target: loudness of the album as one programme, and the ceiling of each song.
        bound_lu: how far a song may lie from the album's loudness.
        tone_share: 0..1, of the way to the album's mean tone that each song went.
        before, after: loudness and peaks of the whole.
        met, missed: of the target, and what was not met in sentences.
        songs: in their order.
        gaps: the pause behind each song but the last.
        failed: songs that are left out.
        summary: in sentences.
        warnings: for the user.
    """

    schema: str = SCHEMA
    version: str
    key: str = "finished"
    title: str
    performer: str
    folder: str
    target: LoudnessTarget
    bound_lu: float
    tone_share: float
    before: AlbumBefore
    after: AlbumAfter
    met: bool
    missed: tuple[str, ...]
    songs: tuple[AlbumSong, ...]
    gaps: tuple[AlbumPause, ...]
    failed: tuple[FailedSong, ...]
    summary: AlbumSummary
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))
