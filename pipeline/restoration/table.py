"""The table of repairs of the mix: each runs where its defect is found, and leaves the rest as it is.

A new repair is a file of its own beside this one and a row here; the session runs the rows in their order,
each on what the last left. What a row needs is loaded when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.restoration.base import Restored
from mixagent.pipeline.types import AudioSource, Progress

Work = Callable[[AudioSource, Analysis, Path, Progress], Restored]


@dataclass(frozen=True)
class Repair:
    """A repair of the mix.

    Attributes:
        name: of its stage, and of its switch in `conf/pipeline`, where it has one.
        run: takes the song, the analysis of it as it came, a folder for what it makes and the progress.
        version: changes where `run` makes something else of the same.
    """

    name: str
    run: Work
    version: str = "1"


def _remove_offset(source: AudioSource, analysis: Analysis, folder: Path, progress: Progress) -> Restored:
    from mixagent.pipeline.restoration.offset import remove_offset

    return remove_offset(source, analysis.dc, analysis.sample_peak_dbfs, folder, progress)


def _declick(source: AudioSource, analysis: Analysis, folder: Path, progress: Progress) -> Restored:
    from mixagent.pipeline.restoration.declick import declick

    return declick(source, analysis.integrated_lufs, folder, progress)


def _declip(source: AudioSource, _: Analysis, folder: Path, progress: Progress) -> Restored:
    from mixagent.pipeline.restoration.clipping import declip

    return declip(source, folder, progress)


REPAIRS: dict[str, Repair] = {
    repair.name: repair
    for repair in (
        Repair("offset", _remove_offset),
        # A click goes before whatever raises or smears the song, which would make more of it.
        Repair("declick", _declick),
        Repair("declip", _declip),
    )
}
"""The repairs by name, in the order in which they run."""
