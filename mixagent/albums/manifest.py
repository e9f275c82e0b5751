"""The report of an album: where its songs stand among each other, what was kept and what was changed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mixagent import __version__
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.finaliser.album_levels import silences_s
from mixagent.pipeline.io import content_hash, decode
from mixagent.pipeline.measure.meters import momentary_lufs, programme_loudness
from mixagent.pipeline.types import Float64Array
from mixagent.report.album_model import (
    AlbumAfter,
    AlbumBefore,
    AlbumPause,
    AlbumReport,
    AlbumSong,
    AlbumSummary,
    FailedSong,
    Silences,
)
from mixagent.report.words import number

if TYPE_CHECKING:
    from mixagent.albums.run import AlbumRequest, HeardSong

TOLERANCE_LU = 0.1
"""How far the album may lie from its target and still have met it."""

_SEAM_S = 0.02
"""Songs with less silence than this between them run into each other."""

_KEPT_LU = 0.05


def album_report(
    request: AlbumRequest,
    heard: Sequence[HeardSong],
    songs: Sequence[AlbumSong],
    failed: Sequence[FailedSong],
) -> AlbumReport:
    """The album's report, measured on the files that were written.

    Args:
        request: what was asked for.
        heard: the songs that could be read, in their order.
        songs: the same with their masters.
        failed: the others, each with a line.
    """
    written = [_written(request.master_of(song.track)) for song in heard]
    speakers = [song.level.both_speakers_lu for song in songs]
    after = [windows + lu for (windows, _), lu in zip(written, speakers, strict=True)]
    before = [song.premaster.song_lufs + lu for song, lu in zip(heard, speakers, strict=True)]
    album_lufs = programme_loudness(after)
    entries = tuple(
        _with_album(song, windows, album_lufs, silence)
        for song, windows, (_, silence) in zip(songs, after, written, strict=True)
    )
    gaps = _gaps(request, entries)
    missed = _missed(request, album_lufs, entries)
    return AlbumReport(
        version=__version__,
        title=request.order.title,
        performer=request.order.performer,
        folder=str(request.folder),
        target=request.target,
        bound_lu=request.bound_lu,
        tone_share=request.tone_share,
        before=AlbumBefore(integrated_lufs=finite_or_none(programme_loudness(before), 3)),
        after=AlbumAfter(
            integrated_lufs=finite_or_none(album_lufs, 3),
            true_peak_dbtp=_highest(song.after.true_peak_dbtp for song in entries),
            sample_peak_dbfs=_highest(song.after.sample_peak_dbfs for song in entries),
        ),
        met=not missed,
        missed=tuple(missed),
        songs=entries,
        gaps=gaps,
        failed=tuple(failed),
        summary=AlbumSummary(kept=tuple(_kept(entries)), changed=tuple(_changed(entries))),
        warnings=(*request.order.warnings, *_warnings(heard, gaps)),
    )


def _written(path: Path) -> tuple[Float64Array, tuple[float, float]]:
    """400 ms windows of a written master, and the seconds of silence at its ends."""
    with scratch_folder() as scratch:
        audio = decode(path, scratch / "written.f32").audio
        return momentary_lufs(audio), silences_s(audio)


def _with_album(
    song: AlbumSong, windows: Float64Array, album_lufs: float, silences: tuple[float, float]
) -> AlbumSong:
    """The song with its master's level in the album that was written, and the silence at its ends."""
    lufs = programme_loudness([windows])
    after_lu = finite_or_none(lufs - album_lufs if math.isfinite(lufs) else lufs, 3)
    lead_s, trail_s = (round(seconds, 3) for seconds in silences)
    return replace(
        song,
        level=replace(song.level, after_lu=after_lu),
        silence_s=Silences(start=lead_s, end=trail_s),
    )


def _highest(peaks: Iterable[float]) -> float | None:
    """The highest peak; None where all are silence."""
    return max((peak for peak in peaks if math.isfinite(peak)), default=None)


def _gaps(request: AlbumRequest, songs: Sequence[AlbumSong]) -> tuple[AlbumPause, ...]:
    """The pause between each song and the next: the silence in the files, and what a cue sheet adds."""
    rows = []
    for one, other in pairwise(songs):
        added_s = other.pregap_s if request.gap_s is None else request.gap_s
        assert one.silence_s is not None
        assert other.silence_s is not None
        in_files_s = one.silence_s.end + other.silence_s.start
        rows.append(
            AlbumPause(
                after=one.title,
                before=other.title,
                in_files_s=round(in_files_s, 3),
                added_s=round(added_s, 3),
                runs_on=in_files_s + added_s < _SEAM_S,
            )
        )
    return tuple(rows)


def _missed(request: AlbumRequest, album_lufs: float, songs: Sequence[AlbumSong]) -> list[str]:
    """A sentence on each thing that was not met."""
    away_lu = album_lufs - request.target.integrated_lufs
    sentences = [f"{song.title}: {song.missed}" for song in songs if not song.met]
    if not math.isfinite(album_lufs):
        return ["the album is silent, so it has no loudness to bring to the target", *sentences]
    if abs(away_lu) > TOLERANCE_LU:
        side = "above" if away_lu > 0 else "below"
        sentences.insert(0, f"the album's {album_lufs:.1f} LUFS are {abs(away_lu):.1f} LU {side} the target")
    return sentences


def _kept(songs: Sequence[AlbumSong]) -> list[str]:
    levels = [song.level for song in songs if song.level.before_lu is not None]
    kept = [level for level in levels if abs(level.moved_lu) <= _KEPT_LU]
    untouched = [song.title for song in songs if song.status == "untouched"]
    return [
        f"The order, lengths, tags and pauses of {_count(len(songs), 'song')}.",
        f"The levels of {len(kept)} of {_count(len(levels), 'song')} against each other; "
        "of any two songs the quieter one stays the quieter one.",
        *(f"{title}: silent, so it was given back as it is." for title in untouched),
    ]


def _changed(songs: Sequence[AlbumSong]) -> list[str]:
    return [sentence for song in songs if (sentence := _changes(song))]


def _changes(song: AlbumSong) -> str:
    level, tone = song.level, song.tone_db
    words = []
    if abs(level.moved_lu) > _KEPT_LU:
        was, now = (number(lu, sign=True) for lu in (level.before_lu, level.after_lu))
        words.append(f"{number(abs(level.moved_lu))} LU nearer to the other songs ({was} → {now} LU)")
    if tone:
        words.append(f"bands moved by up to {number(max(map(abs, tone.values())))} dB")
    return f"{song.title}: {', '.join(words)}" if words else ""


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _warnings(heard: Sequence[HeardSong], gaps: Sequence[AlbumPause]) -> list[str]:
    """Warnings for the user on the album as a whole."""
    analyses = [song.premaster.analysis for song in heard]
    rates = sorted({analysis.rate for analysis in analyses})
    told = [f"{song.track.path}: {line}" for song in heard for line in song.premaster.warnings]
    if len(rates) > 1:
        told.append(
            f"the songs have different sample rates ({', '.join(map(str, rates))} Hz), which are kept: "
            "a sample rate asked for gives them one"
        )
    if len({analysis.channels for analysis in analyses}) > 1:
        told.append("mono songs among stereo ones are levelled as they sound from two loudspeakers")
    hashes = Counter(content_hash(song.track.path) for song in heard)
    for digest in (digest for digest, times in hashes.items() if times > 1):
        names = [song.track.path.name for song in heard if content_hash(song.track.path) == digest]
        told.append(f"{' and '.join(names)} are the same recording")
    for gap in gaps:
        if gap.runs_on:
            told.append(
                f"{gap.after} runs into {gap.before}, and each was corrected by itself: listen to the seam"
            )
    return told
