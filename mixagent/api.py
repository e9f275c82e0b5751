"""The library: one function a task, text or numbers in, a frozen result out.

Every function takes `on_event`, which is told how far the work is, and `cancel`, which stops it within a
second and leaves nothing behind. Options are named and mean what the command line's do; their types are in
`mixagent.options`. Errors are `MixagentError`s with a `code`, a `field` and a sentence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Unpack, cast

import numpy as np
import soundfile

from mixagent.options import (
    AlbumOptions,
    MasterOptions,
    PathLike,
    RestoreKeywords,
    RestoreOptions,
    SplitOptions,
    album_request,
    master_request,
    report_paths,
    restore_report_paths,
    restore_request,
    split_requests,
)
from mixagent.pipeline.errors import InputError, UsageError, option
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.types import Audio, ShowProgress, load
from mixagent.report.album_model import AlbumSong
from mixagent.report.split_model import SplitSong
from mixagent.results import (
    AlbumResult,
    AnalysisResult,
    ComparisonResult,
    MasterResult,
    ReplayResult,
    RestoreResult,
    Sides,
    SplitResult,
)
from mixagent.types import Cancel, Event, OnEvent

Song = PathLike | Audio
"""A song: a file, or samples with their rate."""

OnMaster = Callable[[MasterResult], None]
"""Told of a master when its files and reports as JSON are there, and pages are still to be written."""

OnSong = Callable[[SplitSong], None]
"""Told of each song that was split: its row of the report."""


def master(
    song: Song | None = None,
    *,
    on_event: OnEvent | None = None,
    on_master: OnMaster | None = None,
    cancel: Cancel | None = None,
    **options: Unpack[MasterOptions],
) -> MasterResult:
    """Master a song: find what is wrong, undo it, bring it to its loudness under its ceiling.

    Args:
        song: a file, or samples; None takes the sum of the tracks in `stems_in`.
        on_event: is told how far it is.
        on_master: is told of the master when its files are there and pages are still to be written.
        cancel: stops it.
        options: see `mixagent.options.MasterOptions`. Without an `output` no file is written and the
            master is in the result.

    Raises:
        UsageError: an option that makes no sense; its `field` says which.
        InputError: a song that cannot be read.
        ModelMissingError: a model that was asked for is not here.
        OutputError: a file, or what lies between the stages, cannot be written.
        CancelledError: it was stopped.

    >>> result = mixagent.master("song.wav", output="master.wav", target="spotify")
    >>> result.met, round(result.after.integrated_lufs, 1)
    (True, -14.0)
    """
    from mixagent.report.writer import write_reports
    from mixagent.session.master import master_song

    with _song_file(song) as path:
        request = master_request(path, options)
        reports = report_paths(request, options)
        request = replace(request, tells_strips=bool(reports) or not request.outputs)
        show = _progress(on_event, cancel)
        with master_song(request, show) as made:
            if request.dry_run:
                return MasterResult(made.report)
            pages = [path for path in reports if path.suffix.lower() == ".html"]
            others = [path for path in reports if path not in pages]
            write_reports(made.report, made.before, made.after, others)
            if request.outputs and on_master is not None:
                on_master(MasterResult(made.report))
            if pages:
                show("report", 0.0)
                write_reports(made.report, made.before, made.after, pages, made.repairs, made.mix)
                show("report", 1.0)
            if request.outputs:
                return MasterResult(made.report)
            sides = Sides.kept(made.before, made.after, made.repairs, made.mix)
            return MasterResult(made.report, sides.after, sides)


def analyze(
    song: Song, *, dual_mono: bool = False, on_event: OnEvent | None = None, cancel: Cancel | None = None
) -> AnalysisResult:
    """Measure a song and say what is wrong with it; nothing is written.

    Args:
        song: a file, or samples.
        dual_mono: whether the loudness of one channel is counted as of two, 3 LU more.
        on_event: is told how far it is.
        cancel: stops it.

    Raises:
        InputError: it cannot be read.
        CancelledError: it was stopped.

    >>> found = mixagent.analyze("song.wav")
    >>> found.levels.true_peak_dbtp < 0
    True
    """
    from mixagent.session.analyse import measured_song

    with _song_file(song) as path:
        assert path is not None
        return AnalysisResult(measured_song(Path(path), _progress(on_event, cancel), dual_mono))


def split(
    *songs: Song,
    on_event: OnEvent | None = None,
    on_song: OnSong | None = None,
    cancel: Cancel | None = None,
    **options: Unpack[SplitOptions],
) -> SplitResult:
    """Split songs into stems that sum to them; one that was split this way before is left as it is.

    Args:
        songs: files and folders; samples need an `output`.
        on_event: is told how far it is.
        on_song: is told of each song when its files are there: its row of the report.
        cancel: stops it; songs that are finished are kept.
        options: see `mixagent.options.SplitOptions`.

    Raises:
        UsageError, InputError, ModelMissingError, OutputError, CancelledError: as for `master`; with
            several songs, one that cannot be read is among `failed` instead.

    >>> stems = mixagent.split("song.wav", output="stems", stems=2)
    >>> sorted(stems.files[pathlib.Path("song.wav")])
    ['instrumental', 'vocals']
    """
    return _split(songs, options, ".stems", _progress(on_event, cancel), on_song)


def vocals(
    *songs: Song,
    on_event: OnEvent | None = None,
    on_song: OnSong | None = None,
    cancel: Cancel | None = None,
    **options: Unpack[SplitOptions],
) -> SplitResult:
    """Split songs into vocals and instrumental, as `split` with two stems.

    >>> parts = mixagent.vocals("song.wav", output="parts")
    >>> parts.failed
    {}
    """
    if "stems" in options:
        raise UsageError(f"{option('stems')} is for split: these are vocals and instrumental", field="stems")
    two = cast(SplitOptions, {**options, "stems": 2})
    return _split(songs, two, ".vocals", _progress(on_event, cancel), on_song)


def _split(
    songs: Sequence[Song],
    options: SplitOptions,
    ending: str,
    progress: ShowProgress,
    on_song: OnSong | None,
) -> SplitResult:
    from mixagent.splitting.run import split_songs

    if not songs:
        raise InputError("no song was named", field="songs")
    if any(isinstance(song, Audio) for song in songs) and options.get("output") is None:
        raise UsageError(f"samples have no folder: name one with {option('output')}", field="output")
    with _song_files(songs) as paths:
        requests = split_requests(paths, options, ending)
        return SplitResult(split_songs(requests, progress, on_song))


def restore(
    song: Song,
    output: PathLike | None = None,
    *,
    on_event: OnEvent | None = None,
    cancel: Cancel | None = None,
    **options: Unpack[RestoreKeywords],
) -> RestoreResult:
    """Run the repairs alone: what has no defect stays as it is, sample by sample.

    Args:
        song: a file, or samples.
        output: file of the repaired song; without it no file is written and the song is in the result.
        on_event: is told how far it is.
        cancel: stops it.
        options: see `mixagent.options.RestoreOptions`.

    Raises:
        UsageError, InputError, ModelMissingError, OutputError, CancelledError: as for `master`.

    >>> mixagent.restore("song.wav", "restored.wav", only="declick, declip").done
    ("Nothing to repair was found: the samples are the song's",)
    """
    from mixagent.restoring.run import restore_song, write_restoration

    given = cast(RestoreOptions, {**options, "output": output})
    with _song_file(song) as path:
        assert path is not None
        request = restore_request(path, given)
        reports = restore_report_paths(request, given)
        with restore_song(request, _progress(on_event, cancel)) as made:
            write_restoration(made, reports)
            in_memory = request.output is None and not request.dry_run
            return RestoreResult(made.report, load(made.after) if in_memory else None)


def album(
    *songs: PathLike,
    on_event: OnEvent | None = None,
    on_song: Callable[[AlbumSong], None] | None = None,
    cancel: Cancel | None = None,
    **options: Unpack[AlbumOptions],
) -> AlbumResult:
    """Master an album as one: one loudness for all of it, the songs' levels against each other kept.

    Args:
        songs: its folder, or its files.
        on_event: is told how far it is.
        on_song: is told of each song when its master is there: its row of the report.
        cancel: stops it; masters that are finished are kept.
        options: see `mixagent.options.AlbumOptions`.

    Raises:
        UsageError, InputError, ModelMissingError, OutputError, CancelledError: as for `master`.

    >>> record = mixagent.album("song.wav", output="masters")
    >>> [path.name for path in record.outputs]
    ['song.wav']
    """
    from mixagent.albums.run import master_album

    if not songs:
        raise InputError("no song was named", field="songs")
    request = album_request(songs, options)
    return AlbumResult(master_album(request, _progress(on_event, cancel), on_song))


def compare(
    *versions: PathLike,
    report: PathLike | Sequence[PathLike] = (),
    on_event: OnEvent | None = None,
    cancel: Cancel | None = None,
) -> ComparisonResult:
    """Measure versions of a song side by side.

    Args:
        versions: two files or more.
        report: pages (.html) that switch between them at equal loudness, and their figures (.json).
        on_event: is told how far it is.
        cancel: stops it.

    Raises:
        UsageError: fewer than two versions, or more than a page holds.
        InputError: a file that cannot be read.
        CancelledError: it was stopped.

    >>> both = mixagent.compare("song.wav", "master.wav")
    >>> len(both.versions)
    2
    """
    from mixagent.comparing.run import aligned_songs, compare_songs, write_comparison
    from mixagent.report.writer import check_reports

    if len(versions) < 2:
        raise UsageError("compare needs two files or more", field="versions")
    files = [Path(version) for version in versions]
    reports = [Path(path) for path in ([report] if isinstance(report, str | Path) else report)]
    check_reports(reports, files)
    progress = _progress(on_event, cancel)
    if not reports:
        return ComparisonResult(compare_songs(files, progress))
    with aligned_songs(files, progress) as comparison:
        write_comparison(comparison, reports)
        return ComparisonResult(comparison.found)


def replay(
    report: PathLike,
    *,
    output: PathLike | None = None,
    song: PathLike | None = None,
    stems_in: PathLike | None = None,
    on_event: OnEvent | None = None,
    cancel: Cancel | None = None,
) -> ReplayResult:
    """Render a master again from its report.

    Args:
        report: as JSON.
        output: where the master goes; as the report says without it.
        song: the song, if it is not where the report says.
        stems_in: the folder of its tracks, if they are not where the report says.
        on_event: is told how far it is.
        cancel: stops it.

    Raises:
        InputError: not a report, or the song is not the one that it is about.
        UsageError: another file lies where the report wants its master.
        CancelledError: it was stopped.

    >>> mixagent.master("song.wav", output="master.wav", report="master.json").met
    True
    >>> mixagent.replay("master.json", output="again.wav").identical
    True
    """
    from mixagent.session.replay import replay_report

    def path(given: PathLike | None) -> Path | None:
        return None if given is None else Path(given)

    progress = _progress(on_event, cancel)
    return ReplayResult(replay_report(Path(report), path(output), path(song), progress, path(stems_in)))


# --- what they share ---------------------------------------------------------------------------------


def _progress(on_event: OnEvent | None, cancel: Cancel | None) -> ShowProgress:
    """Tells events, one at a time, and stops the work at the next of them once the end was asked for."""
    begun: dict[str, float] = {}
    lock = threading.Lock()

    def show(stage: str, share: float) -> None:
        if cancel is not None:
            cancel.check()
        if on_event is not None:
            with lock:
                now = time.monotonic()
                on_event(Event(stage, share, now - begun.setdefault(stage, now)))

    return show


@contextmanager
def _song_file(song: Song | None) -> Iterator[PathLike | None]:
    """A song as a file; samples lie in a temporary one while the context lasts."""
    if not isinstance(song, Audio):
        yield song
        return
    with _song_files([song]) as (path,):
        yield path


@contextmanager
def _song_files(songs: Sequence[Song]) -> Iterator[list[PathLike]]:
    with scratch_folder() as folder:
        paths: list[PathLike] = []
        for number, song in enumerate(songs, 1):
            if not isinstance(song, Audio):
                paths.append(song)
                continue
            if not np.isfinite(song.samples).all():
                raise InputError("the samples are not all finite numbers", field="song")
            path = folder / ("samples.wav" if len(songs) == 1 else f"samples {number}.wav")
            soundfile.write(path, song.samples.T, song.rate, "FLOAT")
            paths.append(path)
        yield paths
