"""The last step of a master: its files, and those of the stems."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from mixagent.pipeline.graph.runner import Stage
from mixagent.pipeline.io import Texts, encode_all, replaygain_texts
from mixagent.pipeline.types import AudioSource
from mixagent.session.request import SAMPLE_RATES_HZ, Request
from mixagent.session.results import Measured, Results
from mixagent.session.running import Runner
from mixagent.session.stems_in import title_of
from mixagent.stem_files import StemFormat, numbered_files, stem_files


def measured_export(
    request: Request, master: AudioSource, run: Runner, stages: Sequence[Stage]
) -> tuple[list[str], Results]:
    """Write the master while the last stage measures it; a file gets its name only if both went well.

    Returns:
        Warnings for the user, and the results of the stages.
    """
    cancel = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(run.stages, stages, cancel)

        def measured() -> Measured:
            # What follows is loaded while the other threads are at work.
            import_module("mixagent.learning.experience_log")
            return Measured(measuring.result()["measure"].values)

        try:
            return export(request, master, run, measured), measuring.result()
        finally:
            cancel.set()


def export(request: Request, master: AudioSource, run: Runner, measured: Callable[[], Measured]) -> list[str]:
    """Write the master into every output; warnings for the user.

    Args:
        request: what was asked for.
        master: at the rate of the files.
        run: shows how far it is.
        measured: gives what is known of the master, before a file gets its name; what it raises leaves none.
    """

    def shown(share: float) -> None:
        run.show("write", share)
        if share >= 1.0:
            measured()

    def tagged(texts: Texts) -> Mapping[str, list[str]]:
        analysis = measured().values["analysis"]
        levels = analysis["integrated_lufs"], analysis["sample_peak_dbfs"]
        return {} if None in levels else replaygain_texts(*levels)

    if not request.outputs:
        measured()
        return []
    warnings = encode_all(
        master,
        request.outputs,
        request.bit_depth,
        seed=request.seed,
        inputs=request.inputs,
        tags_from=request.song,
        retag=tagged if request.replaygain else None,
        progress=shown,
    )
    return list(warnings)


@contextmanager
def named_stem_files(request: Request, names: Sequence[str]) -> Iterator[Mapping[str, Path]]:
    """A file for each stem that is to be written, checked before the work; none where none is."""
    folder = request.stems_folder
    if folder is None or request.dry_run:
        yield {}
    elif request.song is not None:
        with stem_files(request.song, folder, names, inputs=request.inputs) as files:
            yield files
    else:
        rate = SAMPLE_RATES_HZ[0]  # any: wav takes them all
        with numbered_files(
            title_of(request.origin), rate, folder, names, StemFormat(), request.inputs
        ) as files:
            yield files
