"""The one table of the kinds of jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mixagent.service.jobs import options, running
from mixagent.service.jobs.running import Call, Run

Check = Callable[[Call], object]
"""Asks the library whether it would take a call, without reading a file."""


def _check_master(call: Call) -> object:
    from mixagent.options import master_request, with_outputs

    keywords = {name: value for name, value in call.keywords.items() if name not in _READ}
    intent = keywords.pop("intent", None)
    if intent not in (None, "reference"):
        keywords["intent"] = intent
    song = call.songs[0] if call.songs else "tracks.wav"
    return master_request(song, with_outputs(song, cast(Any, keywords)))


def _check_analyze(call: Call) -> object:
    return call


def _check_restore(call: Call) -> object:
    from mixagent.options import restore_request

    return restore_request(call.songs[0], cast(Any, call.keywords))


def _check_split(call: Call) -> object:
    from mixagent.options import split_requests

    return split_requests(call.songs, cast(Any, call.keywords))


def _check_album(call: Call) -> object:
    from mixagent.options import MasterOptions, master_request, number, switch

    keywords = dict(call.keywords)
    for name, low, high in (("within", 0.0, 20.0), ("tone", 0.0, 1.0), ("gap", 0.0, 60.0)):
        if name in keywords:
            number(name, keywords.pop(name), low, high)
    switch("write_cue", keywords.pop("write_cue", False))
    target = keywords.pop("album_loudness", None)
    known = {name: value for name, value in keywords.items() if name not in ("cue", "format")}
    return master_request(call.songs[0], cast(MasterOptions, {**known, "target": target}))


_READ = frozenset((*options.REFERENCES, "reference_method", "stems_in", "roles", "align", "balance"))
"""Options with which the library would read files."""


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Attributes:
        options: their model.
        songs: how many it takes, the least and the most; None for as many as the limits have.
        check, run: of a call.
    """

    options: type[options.Options]
    check: Check
    run: Run
    songs: tuple[int, int | None] = (1, 1)


KINDS: Mapping[str, Kind] = {
    "master": Kind(options.MasterOptions, _check_master, running.run_master, (0, 1)),
    "analyze": Kind(options.AnalyzeOptions, _check_analyze, running.run_analyze),
    "restore": Kind(options.RestoreOptions, _check_restore, running.run_restore),
    "split": Kind(options.SplitOptions, _check_split, running.run_split),
    "vocals": Kind(options.VocalsOptions, _check_split, running.run_vocals),
    "album": Kind(options.AlbumOptions, _check_album, running.run_album, (2, None)),
}
"""Every kind by its name: another is a row here."""


def is_quick(kind: str, asked: Mapping[str, Any]) -> bool:
    """Whether a job goes before full renders: a verdict, a dry run, a short preview."""
    preview_s = asked.get("preview")
    return kind == "analyze" or bool(asked.get("dry_run")) or (preview_s is not None and preview_s <= 60)
