"""Names of files on the systems that musicians have: what may be one, and which are the same one."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path, PurePath

from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.untrusted import one_line

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_LONGEST_NAME_BYTES = 180
_FORBIDDEN = frozenset('<>:"|?*') | frozenset(map(chr, range(32)))
_NOT_PORTABLE = _FORBIDDEN | frozenset("/\\�")


def check_name(path: PurePath, windows: bool = os.name == "nt") -> None:
    """Check that the system takes the names of a path's parts.

    Windows keeps a few names for devices, whatever their suffix, cuts dots and spaces off their ends, and
    takes a colon for a stream of another file: what is written there is lost without a word.

    Source: Microsoft, "Naming Files, Paths, and Namespaces".

    Raises:
        UsageError: a part that would become something else, or nothing.
    """
    if not windows:
        return
    for part in path.parts[1:] if path.anchor else path.parts:
        if _DEVICES.fullmatch(part.rstrip(" ")) or _DEVICES.fullmatch(part.partition(".")[0].rstrip(" ")):
            raise UsageError(f"{path}: {part} is the name of a device on Windows: choose another")
        if part not in (".", "..") and part.rstrip(" .") != part:
            raise UsageError(f"{path}: Windows drops the end of {part!r}: choose a name without it")
        if _FORBIDDEN & set(part):
            raise UsageError(
                f"{path}: Windows has no {min(_FORBIDDEN & set(part))!r} in names: choose another"
            )


def portable_name(text: str, otherwise: str = "song") -> str:
    """A text as a file's name without its suffix that every system takes, on one line.

    Args:
        text: whatever a stranger called it.
        otherwise: its name where nothing is left of that.
    """
    kept = "".join(character if _is_portable(character) else "_" for character in one_line(text))
    kept = kept.encode()[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore").rstrip(" .").lstrip(" ")
    return f"_{kept}" if _DEVICES.fullmatch(kept.partition(".")[0]) else kept or otherwise


def _is_portable(character: str) -> bool:
    return character not in _NOT_PORTABLE and unicodedata.category(character) != "Cn"


def for_libsndfile(path: Path) -> str | bytes:
    """A path as libsndfile opens it: its text on Windows, its bytes elsewhere, which need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def place_key(path: Path) -> str:
    """Equal for two paths that are one file: in capitals or not, where the folder makes no difference."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - without following links, which need not exist
    folder = next((parent for parent in absolute.parents if parent.is_dir()), None)
    text = unicodedata.normalize("NFC", os.path.normcase(absolute))
    return text.casefold() if folder is not None and folds_case(folder) else text


def folds_case(folder: Path) -> bool:
    """True if a folder is found by its name in the other case too."""
    swapped = folder.with_name(folder.name.swapcase()) if folder.name else folder
    if swapped == folder:
        return os.name == "nt"
    try:
        return swapped.samefile(folder)
    except OSError:
        return False
