"""A song written as its stems: from request to files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mixagent.pipeline.audio import AudioSource, Combination, Stems
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.files import BitDepth, check_output, encode, probe
from mixagent.pipeline.separation import Choice, choose_separator
from mixagent.progress import ShowProgress
from mixagent.running import opened_run
from mixagent.settings import Config, load_config
from mixagent.stages import listening_stages, separating_stage, split_stems

STEM_BIT_DEPTH: BitDepth = "32f"
"""Stems may peak over full scale, and only float keeps their sum."""


@dataclass(frozen=True)
class SplitRequest:
    """What to write of a song's stems: all of them, or the vocals and the rest.

    `bit_depth` None is 32 bit float where the format holds it, else 24.
    """

    song: Path
    folder: Path
    format: str = "wav"
    bit_depth: BitDepth | None = None
    vocals_only: bool = False
    device: str = "auto"
    config: Config = field(default_factory=load_config)
    use_cache: bool = True


def split_song(request: SplitRequest, progress: ShowProgress | None = None) -> dict[str, Any]:
    """Write a song's stems, with the residual, into a folder; they sum to the song.

    Raises:
        UsageError: a separator that gives no stems.
    """
    choice = stem_separator(request.config, request.device)
    names = ("vocals", "instrumental") if request.vocals_only else (*choice.separator.stem_names, "residual")
    depth = request.bit_depth or ("24" if request.format == "flac" else STEM_BIT_DEPTH)
    with (
        stem_files(request.song, request.folder, names, request.format, depth) as files,
        opened_run(request.config, request.use_cache, progress) as run,
    ):
        results = run.stages([*listening_stages(request.song), separating_stage(choice.separator, "decode")])
        stems = split_stems(results["decode"].audio("audio"), results["separate"])
        parts = _vocals_and_rest(stems) if request.vocals_only else all_parts(stems)
        write_stems(parts, files, request.song, depth, run.show)
        return {
            "schema": "mixagent.split/1",
            "song": str(request.song),
            "model": {"name": choice.separator.name, "version": choice.separator.version, "why": choice.why},
            "seconds": round(run.events["separate"].seconds, 3),
            "files": {name: str(path) for name, path in files.items()},
            "warnings": list(results["decode"].values["warnings"]),
        }


def stem_separator(config: Config, device: str) -> Choice:
    """The configured separator.

    Raises:
        UsageError: it gives no stems.
    """
    choice = choose_separator(config.pipeline.separator, device)
    if not choice.separator.stem_names:
        raise UsageError("--separator none gives no stems to write")
    return choice


def all_parts(stems: Stems) -> dict[str, AudioSource]:
    """The parts by name, and what they leave of the mix as `residual`."""
    return {**stems.parts, "residual": stems.residual}


def _vocals_and_rest(stems: Stems) -> dict[str, AudioSource]:
    vocals = stems.parts["vocals"]
    return {"vocals": vocals, "instrumental": Combination(((1.0, stems.mix), (-1.0, vocals)))}


@contextmanager
def stem_files(
    song: Path, folder: Path, names: Sequence[str], format: str, bit_depth: BitDepth
) -> Iterator[dict[str, Path]]:
    """A file for each stem by name, numbered so that a DAW sorts them in order, checked before the work.

    The folder is made, and taken away again if nothing came into it.
    """
    rate, new = probe(song).rate, not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        files = {
            name: folder / f"{number:02d} {song.stem} - {name}.{format}"
            for number, name in enumerate(names, 1)
        }
        for path in files.values():
            check_output(path, rate, bit_depth, inputs=[song])
        yield files
    finally:
        if new:
            with suppress(OSError):
                folder.rmdir()


def write_stems(
    parts: Mapping[str, AudioSource],
    files: Mapping[str, Path],
    song: Path,
    bit_depth: BitDepth,
    show: ShowProgress,
) -> None:
    """Each part into its file, with the song's tags."""
    for name, path in files.items():
        shown = partial(show, f"write {name}")
        encode(parts[name], path, bit_depth, inputs=[song], tags_from=song, progress=shown)
