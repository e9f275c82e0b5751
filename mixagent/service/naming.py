"""Ids, and names of strangers' files as they may stand in a folder, a header and a page."""

from __future__ import annotations

import re
import secrets
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

LONGEST_NAME = 120
_ID = re.compile(r"(upl|job|key|lnk|evt|rat)_[a-z2-9]{24}")
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_FORBIDDEN = frozenset('<>:"/\\|?*%')


def new_id(prefix: str) -> str:
    """A name that nobody guesses: 24 characters of 31, 118 bits."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(24))}"


def is_id(text: str, prefix: str) -> bool:
    """Whether a text can be an id of this kind."""
    return text.startswith(f"{prefix}_") and _ID.fullmatch(text) is not None


def safe_name(name: str, otherwise: str = "song") -> str:
    """A stranger's file name as one that every system takes, without folders and control characters.

    What is left of an ordinary name is the name itself, so that what is made of a song is called as the
    command line would call it.
    """
    last = PurePosixPath(unicodedata.normalize("NFC", name[:4096]).replace("\\", "/")).name
    kept = "".join("_" if _is_bad(character) else character for character in last)
    kept = kept.strip(" .")
    stem, dot, suffix = kept.rpartition(".")
    if not dot or len(suffix) > 10:
        stem, suffix = kept, ""
    stem = _cut(stem.strip(" ."), LONGEST_NAME) or otherwise
    return f"{stem}.{suffix}" if suffix else stem


def _cut(text: str, longest_bytes: int) -> str:
    return text.encode()[:longest_bytes].decode(errors="ignore").strip(" .")


def _is_bad(character: str) -> bool:
    return character in _FORBIDDEN or unicodedata.category(character)[0] == "C" or character in "\u2028\u2029"


def disposition(name: str, attachment: bool) -> str:
    """A `Content-Disposition` (RFC 6266) that names a file."""
    kind = "attachment" if attachment else "inline"
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
