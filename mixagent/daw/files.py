"""The files of a project: checked before the work, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixagent import __version__
from mixagent.daw.dawproject import write_dawproject
from mixagent.daw.project import SUFFIXES, Format, Project, ProjectRequest, audio_tracks
from mixagent.daw.reaper import reaper_project
from mixagent.pipeline.errors import OutputError, UsageError, reason
from mixagent.pipeline.files import atomically, clear_leftovers, hidden_folder
from mixagent.pipeline.io import encode
from mixagent.pipeline.names import portable_name
from mixagent.pipeline.types import ShowProgress
from mixagent.stem_files import named


@dataclass(frozen=True)
class ProjectFiles:
    """The files that a project goes into.

    Attributes:
        folder: of all of them.
        title: their names begin with it.
        formats: of the project.
    """

    folder: Path
    title: str
    formats: tuple[Format, ...]

    def project(self, format: Format) -> Path:
        """The project's own file in a format."""
        return self.folder / f"{self.title}{SUFFIXES[format]}"

    def sounds(self, project: Project) -> dict[str, str]:
        """The names of the tracks' files, by track."""
        return {
            track.name: f"{self.title} - {number:02d} {portable_name(track.name).lower()}.wav"
            for number, track in enumerate(audio_tracks(project), 1)
        }


@contextmanager
def project_files(request: ProjectRequest, title: str, inputs: Sequence[Path]) -> Iterator[ProjectFiles]:
    """The files of a project, checked before the work.

    The folder is made, and taken away again if nothing came into it. The `inputs` are never written over.

    Raises:
        UsageError: a file would go where an input lies.
        OutputError: the folder cannot be made or written to, or a folder lies in a file's place.
    """
    files = ProjectFiles(request.folder, portable_name(title), request.formats)
    new = not request.folder.exists()
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {request.folder}: {reason(error)}") from error
    try:
        if not os.access(request.folder, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write into {request.folder}: the folder may not be written to")
        _check_places([files.project(format) for format in request.formats])
        _check_inputs(files, inputs)
        yield files
    finally:
        if new:
            with suppress(OSError):
                request.folder.rmdir()


def _check_inputs(files: ProjectFiles, inputs: Sequence[Path]) -> None:
    taken = [
        path
        for path in inputs
        if path.parent.absolute() == files.folder.absolute() and path.name.startswith(f"{files.title} - ")
    ]
    if taken:
        raise UsageError(
            f"{taken[0]} is an input, which is never overwritten: give the project another folder",
            field="project",
        )


def write_project(project: Project, files: ProjectFiles, show: ShowProgress) -> list[Path]:
    """Write a project with its sound; the files get their names together when all are written.

    Returns:
        The project's files, and behind them those of the tracks where they lie beside it.

    Raises:
        OutputError: the disk is full or refuses a file.
    """
    clear_leftovers(files.folder)
    names = files.sounds(project)
    written = [files.project(format) for format in files.formats]
    beside = [files.folder / name for name in names.values()] if "reaper" in files.formats else []
    _check_places([*written, *beside])
    with _readable_errors(files.folder), ExitStack() as placed:
        # The sound gets its names before the projects that lead to it.
        made = [placed.enter_context(atomically(path, through_link=True)) for path in written]
        sounds = _sounds(project, files, names, placed, show)
        for format, path in zip(files.formats, made, strict=True):
            if format == "reaper":
                path.write_text(reaper_project(project, names), "utf-8", newline="\n")
            else:
                write_dawproject(project, sounds, __version__, path)
    return [*written, *beside]


def _check_places(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder")


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {reason(error)}") from error


def _sounds(
    project: Project,
    files: ProjectFiles,
    names: Mapping[str, str],
    placed: ExitStack,
    show: ShowProgress,
) -> dict[str, Path]:
    """The tracks' files as they are made, by track: for REAPER beside the project, else for the zip alone."""
    beside = "reaper" in files.formats
    scratch = None if beside else placed.enter_context(hidden_folder(files.folder))
    made = {}
    for track in audio_tracks(project):
        assert track.audio is not None
        name = names[track.name]
        if scratch is None:
            made[track.name] = placed.enter_context(atomically(files.folder / name, through_link=True))
        else:
            made[track.name] = scratch / name
        label = f"write {track.name.lower()}"
        # Stems may peak over full scale, and only float keeps their sum.
        with named(files.folder / name, made[track.name]):
            encode(track.audio, made[track.name], "32f", progress=partial(show, label))
    return made
