"""A master's mix as a project of a workstation: the repaired song's stems, and what is told beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixagent import __version__
from mixagent.daw.build import project_of
from mixagent.daw.files import ProjectFiles, project_files, write_project
from mixagent.pipeline.chain.mixing import measure_levels
from mixagent.pipeline.chain.parameters import repair_amounts
from mixagent.pipeline.types import ShowProgress
from mixagent.report.words import clock, number
from mixagent.session.decide import Decided
from mixagent.session.request import Request
from mixagent.session.results import Results
from mixagent.session.stages import restored_stems
from mixagent.session.stems_in import title_of


@contextmanager
def named_project_files(request: Request) -> Iterator[ProjectFiles | None]:
    """The files of the project that was asked for, checked before the work; None where none was.

    Raises:
        UsageError, OutputError: they cannot be written.
    """
    if request.project is None or request.dry_run:
        yield None
        return
    title = request.song.stem if request.song is not None else title_of(request.origin)
    with project_files(request.project, title, request.inputs) as files:
        yield files


def write_mix(
    files: ProjectFiles | None, decided: Decided, results: Results, show: ShowProgress
) -> list[Path]:
    """Write the mix as it was decided into a project; the files, none where none was asked for.

    Raises:
        OutputError: the disk is full or refuses a file.
    """
    if files is None:
        return []
    stems = restored_stems(results, repair_amounts(decided.applied.changed()))
    project = project_of(
        files.title,
        stems,
        decided.applied,
        measure_levels(stems),
        tuple(_notes(files.title, decided, results)),
    )
    return write_project(project, files, show)


def _notes(title: str, decided: Decided, results: Results) -> Iterator[str]:
    """What was done to the song before its tracks, and to their mix behind the master track."""
    yield f"{title}: the mix that mixagent {__version__} made, before the finaliser."
    yield "A pan is a balance of 0 dB at the centre. What the workstation has no device for is told here."
    amounts = repair_amounts(decided.applied.changed())
    repaired = [name.replace("_", " ") for name, amount in amounts.items() if amount > 0]
    if repaired:
        yield f"In the tracks already, repaired: {', '.join(repaired)}."
    span, song = results.span, results.song
    if span is not None and (span.start_s > 0 or span.stop_s < song.frames / song.rate):
        yield f"The master holds {clock(span.start_s)} to {clock(span.stop_s)} of it; nothing is cut here."
    edits = decided.request.edits
    for name, length_s in (("in", edits.fade_in_s), ("out", edits.fade_out_s)):
        if length_s > 0:
            yield f"The master is faded {name} over {number(length_s)} s; nothing is faded here."
    finish = results.finish
    if finish is not None:
        target = decided.request.target
        yield (
            f"The finaliser: {number(finish.gain_db, sign=True)} dB into a true-peak limiter at "
            f"{number(target.ceiling_dbtp)} dBTP, which took at most {number(finish.max_reduction_db)} dB, "
            f"for {number(target.integrated_lufs)} LUFS."
        )
