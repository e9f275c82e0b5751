"""`mixagent master --stems-in DIR`: a musician's own tracks in the place of a separator's stems.

Which files they are and what the user said of them; what becomes of them is in `stems_stages`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixagent.pipeline.errors import InputError, UsageError, option, reason
from mixagent.pipeline.io import content_hash
from mixagent.pipeline.multitrack.names import LEFT_OUT, RESIDUAL, ROLES
from mixagent.pipeline.multitrack.plan import Balance
from mixagent.report.model import RecordedStems

SUFFIXES = (
    *(".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".flac", ".wv"),
    *(".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".wma"),
)
"""Endings of files that are taken for tracks; others in the folder are passed over."""


@dataclass(frozen=True)
class StemsIn:
    """A musician's own stems.

    Attributes:
        folder: which they came from.
        files: the tracks, in order.
        roles: a file's name to one of `ROLES`, `residual` or `out`, where the user says so.
        align: whether offsets and polarity of tracks of one sound may be undone.
        balance: `auto` gives a starting balance, `keep` leaves the tracks' own.
    """

    folder: Path
    files: tuple[Path, ...]
    roles: Mapping[str, str] = field(default_factory=dict)
    align: bool = True
    balance: Balance = "keep"

    def __post_init__(self) -> None:
        names = {file.name for file in self.files}
        for name, role in self.roles.items():
            if name not in names:
                raise UsageError(
                    f"{option('roles', f'{name}={role}')}: {self.folder} has no track of this name",
                    field="roles",
                )
            if role not in (*ROLES, RESIDUAL, LEFT_OUT):
                known = ", ".join((*ROLES, RESIDUAL, LEFT_OUT))
                raise UsageError(f"{option('roles', f'{name}={role}')}: choose one of {known}", field="roles")

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        roles: Mapping[str, str] | None = None,
        align: bool = True,
        balance: Balance = "keep",
        song: Path | None = None,
    ) -> StemsIn:
        """The audio files that lie in a folder, by name; `song`, if it lies there too, is none of them.

        Args:
            folder: its subfolders and hidden files are passed over.
            roles: a file's name, with or without its ending, to its role.
            align: see the class.
            balance: see the class.
            song: which they are the stems of.

        Raises:
            InputError: no such folder, or no audio file in it.
            UsageError: a role or a file of `roles` that there is not.
        """
        files = tuple(sorted(_tracks_in(folder, song), key=lambda file: _natural(file.name)))
        full = {_full_name(files, name): role for name, role in (roles or {}).items()}
        return cls(folder, files, full, align, balance)

    @property
    def sha256(self) -> str:
        """A hash of all files' contents, whatever they are called."""
        return hashlib.sha256("".join(content_hash(file) for file in self.files).encode()).hexdigest()


def _tracks_in(folder: Path, song: Path | None) -> Iterator[Path]:
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError as error:
        raise InputError(f"{folder} does not exist: check the name") from error
    except NotADirectoryError as error:
        raise InputError(
            f"{folder} is a file: {option('stems_in')} takes a folder of tracks", field="stems_in"
        ) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {reason(error)}") from error
    tracks = [path for path in inside if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    if song is not None and song.exists():
        tracks = [path for path in tracks if not (path.exists() and path.samefile(song))]
    if not tracks:
        below = sorted(path.name for path in inside if path.is_dir())
        advice = (
            f"it has folders ({', '.join(below[:3])}): name one of them" if below else "put the tracks in it"
        )
        raise InputError(f"{folder} holds no audio files: {advice}")
    yield from tracks


def _natural(name: str) -> tuple[Any, ...]:
    """Sorts `2 bass` before `10 keys`."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)
    )


def _full_name(files: Sequence[Path], name: str) -> str:
    exact = [file.name for file in files if file.name == name]
    loose = [file.name for file in files if name.casefold() in (file.stem.casefold(), file.name.casefold())]
    if not exact and len(loose) > 1:
        raise UsageError(f"{option('roles', name)}: that is {' and '.join(loose)}; name one with its ending")
    return (exact or loose or [name])[0]


def title_of(folder: Path) -> str:
    """What a folder of tracks is called in the names of what is made of it."""
    return folder.absolute().name.removesuffix(".stems")


def recorded_stems(found: RecordedStems, folder: Path | None = None) -> StemsIn:
    """The stems that a report's master was made of, each with the role that it had.

    Args:
        found: the report's section.
        folder: that the tracks are in now, if not where they were.

    Raises:
        UsageError: a damaged report.
    """
    files = tuple((folder / row.file) if folder else Path(row.path) for row in found.tracks)
    if not files:
        raise UsageError("the stems are none")
    roles = {row.file: row.role for row in found.tracks}
    return StemsIn(folder or Path(found.folder), files, roles, found.align, found.balance)


def check_stems(found: RecordedStems, stems_in: StemsIn, path: Path) -> None:
    """Check that the tracks are those of the report in `path`.

    Raises:
        InputError: one that is missing or another.
    """
    for file, row in zip(stems_in.files, found.tracks, strict=True):
        if content_hash(file) != row.sha256:
            raise InputError(
                f"{file} is not the track of {path}: its contents differ; "
                f"name its folder with {option('stems_in')}"
            )
