"""The report of an album: where its songs stand among each other, what was kept and what was changed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixagent import __version__
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.finaliser.album_levels import silences_s
from mixagent.pipeline.io import content_hash, decode
from mixagent.pipeline.measure.meters import momentary_lufs, programme_loudness
from mixagent.pipeline.types import Float64Array
from mixagent.report.words import number

if TYPE_CHECKING:
    from mixagent.albums.run import AlbumRequest, HeardSong

SCHEMA = "mixagent.albums.run/1"

TOLERANCE_LU = 0.1
"""How far the album may lie from its target and still have met it."""

_SEAM_S = 0.02
"""Songs with less silence than this between them run into each other."""

_KEPT_LU = 0.05


def album_report(
    request: AlbumRequest,
    heard: Sequence[HeardSong],
    songs: Sequence[dict[str, Any]],
    failed: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """The album's report, schema `SCHEMA`, measured on the files that were written.

    Args:
        request: what was asked for.
        heard: the songs that could be read, in their order.
        songs: the account of each.
        failed: the others, each with a line.
    """
    written = [_written(request.master_of(song.track)) for song in heard]
    speakers = [song["level"]["both_speakers_lu"] for song in songs]
    after = [windows + lu for (windows, _), lu in zip(written, speakers, strict=True)]
    before = [song.premaster.song_lufs + lu for song, lu in zip(heard, speakers, strict=True)]
    album_lufs = programme_loudness(after)
    entries = [
        _with_album(song, windows, album_lufs, silence)
        for song, windows, (_, silence) in zip(songs, after, written, strict=True)
    ]
    gaps = _gaps(request, entries)
    missed = _missed(request, album_lufs, entries)
    target = asdict(request.target)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "key": "finished",
        "title": request.order.title,
        "performer": request.order.performer,
        "folder": str(request.folder),
        "target": target,
        "bound_lu": request.bound_lu,
        "tone_share": request.tone_share,
        "before": {"integrated_lufs": finite_or_none(programme_loudness(before), 3)},
        "after": {"integrated_lufs": finite_or_none(album_lufs, 3), **_highest_peaks(entries)},
        "met": not missed,
        "missed": missed,
        "songs": entries,
        "gaps": gaps,
        "failed": list(failed),
        "summary": {"kept": _kept(entries), "changed": _changed(entries)},
        "warnings": [*request.order.warnings, *_warnings(heard, gaps)],
    }


def _written(path: Path) -> tuple[Float64Array, tuple[float, float]]:
    """400 ms windows of a written master, and the seconds of silence at its ends."""
    with scratch_folder() as scratch:
        audio = decode(path, scratch / "written.f32").audio
        return momentary_lufs(audio), silences_s(audio)


def _with_album(
    song: Mapping[str, Any], windows: Float64Array, album_lufs: float, silences: tuple[float, float]
) -> dict[str, Any]:
    """The account with where the master stands in the album that was written."""
    lufs = programme_loudness([windows])
    level = {
        **song["level"],
        "after_lu": finite_or_none(lufs - album_lufs if math.isfinite(lufs) else lufs, 3),
    }
    lead_s, trail_s = (round(seconds, 3) for seconds in silences)
    return {**song, "level": level, "silence_s": {"start": lead_s, "end": trail_s}}


def _highest_peaks(songs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    peaks = {
        name: [peak for song in songs if (peak := song["after"][name]) is not None]
        for name in ("true_peak_dbtp", "sample_peak_dbfs")
    }
    return {name: max(values, default=None) for name, values in peaks.items()}


def _gaps(request: AlbumRequest, songs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pause between each song and the next: the silence in the files, and what a cue sheet adds."""
    rows = []
    for one, other in pairwise(songs):
        added_s = other["pregap_s"] if request.gap_s is None else request.gap_s
        in_files_s = one["silence_s"]["end"] + other["silence_s"]["start"]
        rows.append(
            {
                "after": one["title"],
                "before": other["title"],
                "in_files_s": round(in_files_s, 3),
                "added_s": round(added_s, 3),
                "runs_on": in_files_s + added_s < _SEAM_S,
            }
        )
    return rows


def _missed(request: AlbumRequest, album_lufs: float, songs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not met, a sentence each."""
    away_lu = album_lufs - request.target.integrated_lufs
    sentences = [f"{song['title']}: {song['missed']}" for song in songs if not song["met"]]
    if not math.isfinite(album_lufs):
        return ["the album is silent, so it has no loudness to bring to the target", *sentences]
    if abs(away_lu) > TOLERANCE_LU:
        side = "above" if away_lu > 0 else "below"
        sentences.insert(0, f"the album's {album_lufs:.1f} LUFS are {abs(away_lu):.1f} LU {side} the target")
    return sentences


def _kept(songs: Sequence[Mapping[str, Any]]) -> list[str]:
    levels = [song["level"] for song in songs if song["level"]["before_lu"] is not None]
    kept = [level for level in levels if abs(level["moved_lu"]) <= _KEPT_LU]
    untouched = [song["title"] for song in songs if song["status"] == "untouched"]
    return [
        f"The order, lengths, tags and pauses of {_count(len(songs), 'song')}.",
        f"The levels of {len(kept)} of {_count(len(levels), 'song')} against each other; "
        "of any two songs the quieter one stays the quieter one.",
        *(f"{title}: silent, so it was given back as it is." for title in untouched),
    ]


def _changed(songs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [sentence for song in songs if (sentence := _changes(song))]


def _changes(song: Mapping[str, Any]) -> str:
    level, tone = song["level"], song["tone_db"]
    words = []
    if abs(level["moved_lu"]) > _KEPT_LU:
        was, now = (number(level[when], sign=True) for when in ("before_lu", "after_lu"))
        words.append(f"{number(abs(level['moved_lu']))} LU nearer to the other songs ({was} → {now} LU)")
    if tone:
        words.append(f"bands moved by up to {number(max(map(abs, tone.values())))} dB")
    return f"{song['title']}: {', '.join(words)}" if words else ""


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _warnings(heard: Sequence[HeardSong], gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the user should know of the album as a whole."""
    analyses = [song.premaster.analysis for song in heard]
    rates = sorted({analysis["rate"] for analysis in analyses})
    told = [f"{song.track.path}: {line}" for song in heard for line in song.premaster.warnings]
    if len(rates) > 1:
        told.append(
            f"the songs have different sample rates ({', '.join(map(str, rates))} Hz), which are kept: "
            "a sample rate asked for gives them one"
        )
    if len({analysis["channels"] for analysis in analyses}) > 1:
        told.append("mono songs among stereo ones are levelled as they sound from two loudspeakers")
    hashes = Counter(content_hash(song.track.path) for song in heard)
    for digest in (digest for digest, times in hashes.items() if times > 1):
        names = [song.track.path.name for song in heard if content_hash(song.track.path) == digest]
        told.append(f"{' and '.join(names)} are the same recording")
    for gap in gaps:
        if gap["runs_on"]:
            told.append(
                f"{gap['after']} runs into {gap['before']}, and each was corrected by itself: "
                "listen to the seam"
            )
    return told
