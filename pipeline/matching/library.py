"""Profiles from files: the songs that they are made of, the JSON that they are kept in, those that ship."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from mixagent.pipeline.errors import InputError, UsageError, reason
from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.finished.measures import measure_song
from mixagent.pipeline.io import decode
from mixagent.pipeline.matching.profiles import AnalysedSong, OlderProfileError, Profile, from_json
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Progress

GENRE = "genre:"
"""The prefix of a shipped profile's name where a file could stand."""


def analysed_song(
    song: Path, scratch: Path, progress: Progress | None = None
) -> tuple[AnalysedSong, tuple[str, ...]]:
    """Analyse a song; with the decoder's warnings. The decoded samples are removed afterwards.

    Args:
        song: an audio file.
        scratch: an empty place on disk for the decoded samples.
        progress: of the decoding.

    Raises:
        InputError: not an audio file, or a silent one.
    """
    try:
        decoded = decode(song, scratch, progress)
        analysis = analyse(decoded.audio)
        if analysis.integrated_lufs == -math.inf:
            raise InputError(f"{song} is silent: name a song that is to be sounded like")
        measures = measure_song(analysis, fingerprint(decoded.audio, analysis.integrated_lufs))
    finally:
        scratch.unlink(missing_ok=True)
    return AnalysedSong(analysis, measures), decoded.warnings


def read_profile(path: Path) -> Profile:
    """A profile from its JSON file.

    Raises:
        InputError: missing, not JSON, or not a profile.
    """
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    except OlderProfileError as error:
        how = "make it again of the same songs with `mixagent profile make`"
        raise InputError(f"{path} is a profile of an earlier version, without all measures: {how}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a profile: make one with `mixagent profile make`") from error


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile as JSON, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, json.dumps(profile.to_json(), indent=1) + "\n", through_link=True)


def shipped_names() -> tuple[str, ...]:
    """The names of the profiles that the package ships."""
    folder = resources.files("mixagent.checkpoints").joinpath("profiles")
    return tuple(sorted(file.name.removesuffix(".json") for file in _json_files(folder.iterdir())))


def shipped_profile(name: str) -> Profile:
    """The profile of this name that the package ships.

    Raises:
        UsageError: there is none.
    """
    if name not in shipped_names():
        raise UsageError(f"no profile is called {name!r}: choose one of {', '.join(shipped_names())}")
    file = resources.files("mixagent.checkpoints").joinpath(f"profiles/{name}.json")
    return from_json(json.loads(file.read_text(encoding="utf-8")))


def _json_files(files: Iterable[resources.abc.Traversable]) -> Iterable[resources.abc.Traversable]:
    return (file for file in files if file.name.endswith(".json"))
