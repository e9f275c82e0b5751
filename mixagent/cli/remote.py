"""`mixagent remote …`: the commands that work on songs, run by a service elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixagent.cli import flags
from mixagent.cli.album import AlbumFlags
from mixagent.cli.album import Songs as AlbumSongs
from mixagent.cli.common import command, extra, keywords, print_json
from mixagent.cli.flags import Printing
from mixagent.cli.master import MasterFlags
from mixagent.cli.restore import RestoreFlags
from mixagent.cli.split import SplitFlags, Stems
from mixagent.messages import print_line, say
from mixagent.pipeline.errors import EXIT_DONE, EXIT_TARGET_MISSED, UsageError, option

if TYPE_CHECKING:
    from mixagent.client import Client, Job

KEY_VARIABLE = "MIXAGENT_KEY"
_SERVICE = "The service"
_AMOUNTS = ("eq", "dynamics", "width", "saturation", "restore")
_REFERENCES = ("reference", "reference_tone", "reference_dynamics", "reference_width")
_HERE = frozenset(("output", "report", "device", "no_cache", "no_overwrite", "stems", "stems_in", "cue"))
"""Options that mean a place on this machine, or one that the service decides."""

_UNKNOWN_THERE = ("conductor", "ask")
"""Switches that the service does not know: left out where they are off, refused by it where they are on."""


@dataclass(frozen=True)
class Where:
    """Which service."""

    server: Annotated[
        str, typer.Option(metavar="URL", help="Address of the service.", rich_help_panel=_SERVICE)
    ] = "http://127.0.0.1:8300"
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the job in the service's history.", rich_help_panel=_SERVICE)
    ] = False


@command(interrupted="the job was stopped, and nothing was written")
def master(song: flags.Song, *, given: MasterFlags, where: Where, printing: Printing) -> int:
    """Master a song; see `mixagent master`. The key, where one is needed, is read from MIXAGENT_KEY."""
    options = keywords(given)
    outputs = options.get("output") or [song.with_name(f"{song.stem}.master.wav")]
    formats = options.get("format") or [path.suffix[1:].lower() for path in outputs]

    def fetch(client: Client, job: Job) -> None:
        masters = [file["name"] for file in job["files"] if file["role"] == "master"]
        for name in masters:
            path = _place(outputs, Path(name).suffix)
            client.download(job, name, path)
            print_line(str(path))
        _fetch_role(client, job, "stem", options.get("stems"))
        _fetch_reports(client, job, options.get("report"), outputs[0])

    return _ran("master", [song], {**options, "format": formats}, where, printing, fetch)


def _place(outputs: Sequence[Path], suffix: str) -> Path:
    """The output of a master with this suffix: the one that has it, or the first with another one."""
    for path in outputs:
        if path.suffix.lower() == suffix:
            return path
    return outputs[0].with_suffix(suffix)


@command(interrupted="the job was stopped, and nothing was written")
def analyze(song: flags.Song, *, where: Where, dual_mono: flags.DualMono = False, printing: Printing) -> int:
    """Measure a song and say what is wrong with it; see `mixagent analyze`."""

    def fetch(_client: Client, job: Job) -> None:
        for line in job["result"]["summary"]:
            print_line(line)

    return _ran("analyze", [song], {"dual_mono": dual_mono}, where, printing, fetch)


@command(interrupted="the job was stopped, and nothing was written")
def restore(song: flags.Song, *, given: RestoreFlags, where: Where, printing: Printing) -> int:
    """Repair a song and change nothing else; see `mixagent restore`."""
    options = keywords(given)
    output = options.get("output") or song.with_name(f"{song.stem}.restored.wav")
    shares = [text.rpartition("=") for text in options.pop("amounts", ())]
    if shares:
        options["amounts"] = {name: _number("amounts", share) for name, _, share in shares}

    def fetch(client: Client, job: Job) -> None:
        for file in job["files"]:
            if file["role"] == "master":
                print_line(str(client.download(job, file["name"], output)))
        _fetch_reports(client, job, options.get("report"), output)

    wanted = {**options, "format": output.suffix[1:].lower()}
    return _ran("restore", [song], wanted, where, printing, fetch)


@command(interrupted="the job was stopped, and nothing was written")
def split(
    song: flags.Song, stems: Stems = None, *, given: SplitFlags, where: Where, printing: Printing
) -> int:
    """Split a song into stems; see `mixagent split`."""
    return _split("split", song, {**keywords(given), "stem_count": stems}, where, printing)


@command(interrupted="the job was stopped, and nothing was written")
def vocals(song: flags.Song, *, given: SplitFlags, where: Where, printing: Printing) -> int:
    """Split a song into vocals and instrumental; see `mixagent vocals`."""
    return _split("vocals", song, keywords(given), where, printing)


def _split(kind: str, song: Path, options: dict[str, Any], where: Where, printing: Printing) -> int:
    ending = ".stems" if kind == "split" else ".vocals"
    folder = options.get("output") or song.with_name(song.stem + ending)

    def fetch(client: Client, job: Job) -> None:
        _fetch_role(client, job, "stem", folder)

    return _ran(kind, [song], options, where, printing, fetch)


@command(interrupted="the job was stopped, and nothing was written")
def album(songs: AlbumSongs, *, given: AlbumFlags, where: Where, printing: Printing) -> int:
    """Master an album as one; see `mixagent album`."""
    from mixagent.song_files import find_songs

    options = keywords(given)
    found = [song.path for song in find_songs(songs)]
    first = songs[0].absolute()
    source = first if first.is_dir() else first.parent
    folder = options.get("output") or source.with_name(f"{source.name}.mastered")

    def fetch(client: Client, job: Job) -> None:
        for role in ("master", "page", "report", "cue"):
            _fetch_role(client, job, role, folder)

    options["target"] = options.pop("album_loudness", None)
    return _ran("album", found, options, where, printing, fetch)


# --- what they share ---------------------------------------------------------------------------------


def _ran(
    kind: str,
    songs: Sequence[Path],
    options: Mapping[str, Any],
    where: Where,
    printing: Printing,
    fetch: Callable[[Client, Job], None],
) -> int:
    """Run a job, fetch what it made, and forget it there."""
    with extra("serve"):
        from mixagent.client import Client
    from mixagent.cli.progress import shown_events
    from mixagent.types import Cancel

    cancel = Cancel()
    with Client(where.server, os.environ.get(KEY_VARIABLE)) as client, shown_events(printing.quiet) as show:
        sent: list[str] = []
        try:
            asked = _asked(client, kind, options, sent)
            job = client.run(kind, songs, asked, on_event=show, cancel=cancel)
        finally:
            for upload in sent:
                client.delete_upload(upload)
        fetch(client, job)
        result = job["result"]
        if printing.as_json:
            print_json(dict(client.report(job["id"])))
        for warning in result["warnings"]:
            say(warning)
        if result["missed"]:
            say(f"target missed: {result['missed']}")
        if not where.keep:
            client.delete(job["id"])
    return EXIT_TARGET_MISSED if result["met"] is False else EXIT_DONE


def _asked(client: Client, kind: str, options: Mapping[str, Any], sent: list[str]) -> dict[str, Any]:
    """The command line's options as the service has them; files that they name are `sent`."""
    asked = {name: value for name, value in options.items() if name not in _HERE and value is not None}
    asked = {name: value for name, value in asked.items() if value or name not in _UNKNOWN_THERE}
    target = asked.pop("target", None)
    if target is not None:
        asked |= _target(str(target))
    amounts = {name: asked.pop(name) for name in _AMOUNTS if name in asked and kind == "master"}
    if amounts:
        asked["amounts"] = amounts
    for name in ("settings", "repairs"):
        values = _overrides(asked.get("overrides", ()), repairs=name == "repairs")
        if values:
            asked[name] = values
    asked.pop("overrides", None)
    for name in _REFERENCES:
        if name in asked:
            asked[name] = [_reference(client, str(text), sent) for text in asked[name]]
    if "stem_count" in asked:
        asked["stems"] = asked.pop("stem_count")
    if options.get("stems") is not None:
        asked["write_stems"] = True
    if options.get("cue") is not None:
        asked["cue"] = _sent(client, options["cue"], sent)
    if options.get("stems_in") is not None:
        from mixagent.song_files import find_songs

        tracks = find_songs([Path(options["stems_in"])])
        asked["stems_in"] = [_sent(client, track.path, sent) for track in tracks]
        asked["roles"] = dict(text.rpartition("=")[::2] for text in asked.pop("roles", ()))
    return asked


def _target(text: str) -> dict[str, Any]:
    try:
        return {"target_lufs": float(text)}
    except ValueError:
        return {"target": text}


def _overrides(texts: Sequence[str], *, repairs: bool) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        is_repair = name.startswith("repair.")
        if is_repair == repairs:
            found[name.removeprefix("repair.")] = _number("overrides", value)
    return found


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option(field, text)} is not a number", field=field) from None


def _reference(client: Client, text: str, sent: list[str]) -> dict[str, Any]:
    from mixagent.options import reference

    found = reference(text)
    if found.genre is not None:
        return {"profile": found.name, "weight": found.weight}
    return {"upload": _sent(client, Path(found.name), sent), "weight": found.weight}


def _sent(client: Client, path: Path, sent: list[str]) -> str:
    sent.append(client.upload(path))
    return sent[-1]


def _fetch_role(client: Client, job: Job, role: str, folder: Path | None) -> None:
    """The files of a role into a folder, which is made."""
    files = [file["name"] for file in job["files"] if file["role"] == role]
    if folder is None or not files:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in files:
        print_line(str(client.download(job, name, Path(folder) / name)))


def _fetch_reports(client: Client, job: Job, reports: Sequence[Path] | None, output: Path) -> None:
    roles = {".html": "page", ".json": "report"}
    for named in reports or ():
        path = output.with_suffix(f".{named}") if str(named) in ("html", "json") else named
        for file in job["files"]:
            if file["role"] == roles.get(path.suffix.lower()):
                client.download(job, file["name"], path)
