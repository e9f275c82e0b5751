"""An album mastered as one: its songs heard first, then given levels and tones that belong together."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from mixagent import __version__
from mixagent.albums.cue_sheets import CueSheet, CueTrack, cue_text
from mixagent.albums.manifest import album_report
from mixagent.albums.order import AlbumOrder, Track
from mixagent.manifests import is_whole, read_manifest, write_json
from mixagent.pipeline.chain.parameters import EQ_BANDS
from mixagent.pipeline.errors import InputError, OutputError, reason
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.finaliser.album_levels import (
    BOTH_SPEAKERS_LU,
    BOUND_LU,
    SHORTEST_TONE_S,
    TONE_SHARE,
    SongLevel,
    song_levels,
    tone_moves_db,
)
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.graph.runner import program_version
from mixagent.pipeline.io import BitDepth, add_texts, content_hash, replaygain_texts
from mixagent.pipeline.measure.meters import programme_loudness
from mixagent.pipeline.types import Float64Array, ShowProgress
from mixagent.policies.base import Decision, Recorded
from mixagent.report.album_model import AlbumReport, AlbumSong, FailedSong, SongLevelRow, UnfinishedAlbum
from mixagent.report.serial import from_json
from mixagent.report.words import number
from mixagent.session.master import Premaster, master_song, premaster_song
from mixagent.session.request import Request
from mixagent.settings import Config, load_config

REPORT, PAGE, CUE = "album.json", "album.html", "album.cue"
"""The files beside the songs: the report, which is also what a run that goes on knows of, and the rest."""


@dataclass(frozen=True)
class AlbumRequest:
    """What to do with an album.

    Attributes:
        order: its songs.
        folder: where the masters go, with the songs' names, as they lie below the folder that was named.
        target: loudness of the album as one programme, and the ceiling of each song.
        bound_lu: how far a song may lie from the album's loudness.
        tone_share: 0..1, of the way to the album's mean tone that each song goes.
        format: suffix of the masters: wav, flac, mp3 or ogg.
        bit_depth, sample_rate, amount, device, seed, config: as in a `Request`.
        replaygain: whether the masters are tagged with the gains of song and album.
        write_cue: whether a cue sheet is written.
        gap_s: silence before every song but the first in that sheet; None as the given sheet has it.
    """

    order: AlbumOrder
    folder: Path
    target: LoudnessTarget
    bound_lu: float = BOUND_LU
    tone_share: float = TONE_SHARE
    format: str = "wav"
    bit_depth: BitDepth = "24"
    sample_rate: int | None = None
    amount: float = 1.0
    device: str = "auto"
    seed: int = 0
    config: Config = field(default_factory=load_config)
    replaygain: bool = False
    write_cue: bool = False
    gap_s: float | None = None

    def master_of(self, track: Track) -> Path:
        """Where a song's master goes."""
        return self.folder / (track.song.below or Path()) / f"{track.path.stem}.{self.format}"

    def request(self, track: Track, target: LoudnessTarget, policy: Recorded | None = None) -> Request:
        """The master of one song."""
        return Request(
            song=track.path,
            output=self.master_of(track),
            target=target,
            amount=self.amount,
            bit_depth=self.bit_depth,
            sample_rate=self.sample_rate,
            device=self.device,
            seed=self.seed,
            config=self.config,
            policy=policy,
            replaygain=self.replaygain,
        )


@dataclass(frozen=True)
class HeardSong:
    """A track that could be read, and what was decided for it alone."""

    track: Track
    premaster: Premaster

    @property
    def lufs(self) -> float | None:
        """Its loudness as it came; None where it is silent or too short or quiet to have one."""
        value = self.premaster.analysis.integrated_lufs
        return value if math.isfinite(value) else None


@dataclass(frozen=True)
class _Place:
    """What a song gets in its album.

    Attributes:
        own_lu: how far it lay from the album's loudness as it came; None for one without a loudness.
        target_lufs: of its master's file.
        moved_lu: by how much it comes nearer to the album than songs whose levels are kept.
        speakers_lu: what it gains on the two loudspeakers of a stereo album: 0, but for a mono song.
        tone_db: move of each of `EQ_BANDS`.
    """

    own_lu: float | None
    target_lufs: float | None
    moved_lu: float
    speakers_lu: float
    tone_db: Float64Array


def master_album(
    request: AlbumRequest,
    progress: ShowProgress | None = None,
    done: Callable[[AlbumSong], None] | None = None,
) -> AlbumReport:
    """Master every song of an album; one that cannot be read does not stop the others.

    A song that was mastered the same way before, and whose file is there, is left as it is.

    Args:
        request: what to do.
        progress: called for each stage, and as "songs" for all of them.
        done: called with each song when its master is there.

    Returns:
        The report, which lies as `REPORT` in the folder too, beside the page `PAGE`.

    Raises:
        MixagentError: what would stop every song: a model, the options, the disk. Where there is one
            song only, or none that can be read, a song's own error too.
    """
    before = _songs_before(request.folder / REPORT)
    with _folders(request):
        heard, failed = _heard_songs(request, progress)
        places = _places(request, heard)
        songs: list[AlbumSong] = []
        for index, (song, place) in enumerate(zip(heard, places, strict=True)):
            _show(progress, (len(heard) + index) / (2 * len(heard)))
            songs.append(_song(request, song, place, before, progress))
            unfinished = UnfinishedAlbum(version=__version__, songs=(*songs, *_rest(before, songs)))
            write_json(unfinished.to_dict(), request.folder / REPORT)
            if done:
                done(songs[-1])
        report = album_report(request, heard, songs, failed)
        if request.replaygain:
            report = _tag_album(report)
        _write_report(request, report)
    return report


@contextmanager
def _folders(request: AlbumRequest) -> Iterator[None]:
    """The folders of the masters; those that stay empty are taken away again."""
    wanted = {request.master_of(track).parent for track in request.order.tracks} | {request.folder}
    made = [folder for folder in sorted(wanted, reverse=True) if not folder.exists()]
    try:
        for folder in wanted:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {request.folder}: {reason(error)}") from error
    try:
        yield
    finally:
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()


def _show(progress: ShowProgress | None, share: float) -> None:
    if progress:
        progress("songs", share)


# --- hearing ----------------------------------------------------------------------------------------


def _heard_songs(
    request: AlbumRequest, progress: ShowProgress | None
) -> tuple[list[HeardSong], list[FailedSong]]:
    tracks = request.order.tracks
    heard: list[HeardSong] = []
    failed: list[FailedSong] = []
    for index, track in enumerate(tracks):
        _show(progress, index / (2 * len(tracks)))
        try:
            heard.append(HeardSong(track, premaster_song(request.request(track, request.target), progress)))
        except InputError as error:
            if len(tracks) == 1:
                raise
            failed.append(FailedSong(song=str(track.path), error=str(error)))
    if not heard:
        raise InputError(f"none of the {len(tracks)} songs can be read: {failed[0].error}")
    return heard, failed


def _places(request: AlbumRequest, heard: Sequence[HeardSong]) -> list[_Place]:
    """What each song gets, so that all of them together have the album's loudness."""
    speakers = _speakers_lu(heard)
    loud = [song for song in heard if song.lufs is not None]
    own = [song.lufs + speakers[song.track.path] for song in loud if song.lufs is not None]
    mixes = [song.premaster.mix_lufs + speakers[song.track.path] for song in loud]
    levels = song_levels(own, mixes, request.target.integrated_lufs, request.bound_lu)
    album_lufs = programme_loudness([s.premaster.song_lufs + speakers[s.track.path] for s in loud])
    own_lu = [lufs - album_lufs for lufs in own]
    known = {s.track.path: (lu, level) for s, lu, level in zip(loud, own_lu, levels, strict=True)}
    tones = _tones(request, loud)
    still = np.zeros(len(EQ_BANDS))
    return [
        _place(known.get(path), speakers[path], tones.get(path, still))
        for path in (song.track.path for song in heard)
    ]


def _place(known: tuple[float, SongLevel] | None, speakers_lu: float, tone_db: Float64Array) -> _Place:
    if known is None:
        return _Place(None, None, 0.0, speakers_lu, tone_db)
    own_lu, level = known
    return _Place(own_lu, level.target_lufs - speakers_lu, level.moved_lu, speakers_lu, tone_db)


def _speakers_lu(heard: Sequence[HeardSong]) -> dict[Path, float]:
    """A mono song among stereo ones comes from both loudspeakers, which BS.1770 does not count."""
    channels = {song.track.path: song.premaster.analysis.channels for song in heard}
    stereo = max(channels.values()) > 1
    return {path: BOTH_SPEAKERS_LU if stereo and count == 1 else 0.0 for path, count in channels.items()}


def _tones(request: AlbumRequest, loud: Sequence[HeardSong]) -> dict[Path, Float64Array]:
    long = [song for song in loud if song.premaster.analysis.duration_s >= SHORTEST_TONE_S]
    moves = tone_moves_db([song.premaster.tone_db for song in long], request.tone_share)
    return {song.track.path: move for song, move in zip(long, moves, strict=True)}


# --- mastering --------------------------------------------------------------------------------------


def _song(
    request: AlbumRequest,
    song: HeardSong,
    place: _Place,
    before: Sequence[AlbumSong],
    progress: ShowProgress | None,
) -> AlbumSong:
    """The song when its master is there: made now, or before in the same way."""
    album_tone = _toned(song.premaster.decision, place.tone_db)
    key = _key(request, song, place, album_tone)
    master = request.master_of(song.track)
    known = next((each for each in before if each.key == key), None)
    if known is not None and is_whole({"files": known.files, "bytes": known.bytes}, master.parent):
        return replace(known, status="unchanged", **_named(song.track))
    return _mastered(request, song, place, album_tone, key, progress)


def _tag_album(report: AlbumReport) -> AlbumReport:
    """The report with its masters tagged: only now is the album's gain known."""
    lufs, peak_dbfs = report.after.integrated_lufs, report.after.sample_peak_dbfs
    if lufs is None or peak_dbfs is None:
        return report
    songs = []
    for song in report.songs:
        master = Path(song.master)
        warnings = add_texts(master, replaygain_texts(lufs, peak_dbfs, "album"))
        told = [line for line in warnings if line not in song.warnings]
        size = {"master": master.stat().st_size}
        songs.append(replace(song, bytes=size, warnings=(*song.warnings, *told)))
    return replace(report, songs=tuple(songs))


def _mastered(
    request: AlbumRequest,
    song: HeardSong,
    place: _Place,
    decision: Decision,
    key: str,
    progress: ShowProgress | None,
) -> AlbumSong:
    policy = Recorded(request.config.policy.name, decision.settings.changed(), decision.reasons)
    if place.target_lufs is None:
        wanted = replace(request.request(song.track, request.target), amount=0.0)
    else:
        target = replace(request.target, integrated_lufs=round(place.target_lufs, 3))
        wanted = request.request(song.track, target, policy)
    with master_song(wanted, progress) as result:
        report = result.report
    master = request.master_of(song.track)
    return AlbumSong(
        **_named(song.track),
        status="untouched" if place.target_lufs is None else "mastered",
        before=report.before,
        after=report.after,
        level=SongLevelRow(
            before_lu=_rounded(place.own_lu),
            moved_lu=round(place.moved_lu, 3),
            target_lufs=_rounded(place.target_lufs),
            both_speakers_lu=round(place.speakers_lu, 2),
        ),
        tone_db=_moved(place.tone_db),
        done=report.summary.done,
        met=place.target_lufs is None or report.met,
        missed=None if place.target_lufs is None else report.missed,
        warnings=report.warnings,
        key=key,
        files={"master": str(master)},
        bytes={"master": master.stat().st_size},
    )


class _Named(TypedDict):
    song: str
    title: str
    performer: str
    number: int | None
    disc: int
    placed_by: str
    pregap_s: float


def _named(track: Track) -> _Named:
    return _Named(
        song=str(track.path),
        title=track.title,
        performer=track.performer,
        number=track.number,
        disc=track.disc,
        placed_by=track.placed_by,
        pregap_s=track.pregap_s,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _moved(tone_db: Float64Array) -> dict[str, float]:
    """The bands that are moved, by name."""
    return {name: move for name, move in zip(EQ_BANDS, tone_db.tolist(), strict=True) if move}


def _toned(decision: Decision, tone_db: Float64Array) -> Decision:
    """The decision with the album's moves added to its equaliser, and named among the reasons."""
    moves = {
        f"master.eq_{name}_db": move for name, move in zip(EQ_BANDS, tone_db.tolist(), strict=True) if move
    }
    values = decision.settings.changed() | {name: decision.settings[name] + m for name, m in moves.items()}
    reasons = dict(decision.reasons)
    for name, move in moves.items():
        why = f"{number(move, sign=True)} dB towards the album's tone"
        reasons[name] = f"{reasons[name]}, {why}" if name in reasons else why
    return Decision(decision.settings.space.settings(values), reasons)


def _key(request: AlbumRequest, song: HeardSong, place: _Place, decision: Decision) -> str:
    """A hash of all that the master depends on."""
    parts = [
        content_hash(song.track.path),
        program_version(),
        [_rounded(place.target_lufs), asdict(request.target)],
        [decision.settings.changed(), request.amount, asdict(request.config.pipeline), request.device],
        [request.format, request.bit_depth, request.sample_rate, request.seed, request.replaygain],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _songs_before(path: Path) -> tuple[AlbumSong, ...]:
    """The masters of an earlier run; of a report that is not this version's, none."""
    try:
        return from_json(tuple[AlbumSong, ...], read_manifest(path).get("songs", []))
    except ValueError:
        return ()


def _rest(before: Sequence[AlbumSong], songs: Sequence[AlbumSong]) -> list[AlbumSong]:
    """The masters of an earlier run of the songs that this one has not come to."""
    there = {song.song for song in songs}
    return [song for song in before if song.song not in there]


# --- writing ----------------------------------------------------------------------------------------


def _write_report(request: AlbumRequest, report: AlbumReport) -> None:
    """Write the page, the cue sheet, and the report last: it says that all is done."""
    from mixagent.report.album_page import write_album_page

    write_album_page(report, request.folder / PAGE)
    if request.write_cue:
        _write_cue(request, report)
    write_json(report.to_dict(), request.folder / REPORT)


def _write_cue(request: AlbumRequest, report: AlbumReport) -> None:
    pauses_s = [0.0, *(gap.added_s for gap in report.gaps)]
    tracks = [
        CueTrack(_beside(request, song), song.title, song.performer, pause_s)
        for song, pause_s in zip(report.songs, pauses_s, strict=True)
    ]
    sheet = CueSheet(tuple(tracks), report.title, report.performer)
    write_atomically(request.folder / CUE, cue_text(sheet), through_link=True)


def _beside(request: AlbumRequest, song: AlbumSong) -> str:
    return Path(song.master).relative_to(request.folder).as_posix()
