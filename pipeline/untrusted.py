"""Reads numbers and names that strangers wrote into tags, cue sheets and headers, with bounds.

A number may have 5000 digits, a name may break lines or hold what no path can: each function here gives a
value that can be worked with, or says that there is none.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata

MOST_TRACKS = 9999
"""The highest number of a track or disc that is believed."""

_MOST_DIGITS = 18
_LEADING = re.compile(r"\s*(\d+)")
_DECIMAL = re.compile(r"\s*[+-]?(\d{1,18}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,3})?\s*")
_LONGEST_LINE = 4096


def whole_number(text: str, least: int, most: int) -> int | None:
    """The whole number that a text is, from `least` to `most`; None for any other text."""
    text = text.strip()
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        return None
    value = int(text)
    return value if least <= value <= most else None


def leading_number(text: str, most: int = MOST_TRACKS) -> int | None:
    """The 3 of `3/12`; None where there is none, or one over `most`."""
    found = _LEADING.match(text[:_LONGEST_LINE])
    return whole_number(found[1], 0, most) if found else None


def decimal_number(text: str, least: float, most: float) -> float | None:
    """The number that a text is, from `least` to `most`; None for any other text, NaN and infinity too."""
    if not _DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) and least <= value <= most else None


def one_line(text: str) -> str:
    """The text as one line that any file and terminal can hold.

    Line breaks of every kind and control characters become spaces, halves of surrogate pairs `�`; what is
    longer than 4096 characters is cut.
    """
    return "".join(_fit(character) for character in text[:_LONGEST_LINE]).strip()


def _fit(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs":
        return "�"
    return " " if kind in ("Cc", "Zl", "Zp") else character


def file_name(text: str) -> str:
    """A file's name as it stands in a text.

    Raises:
        ValueError: no file can have it: it is empty, or holds a NUL or half of a surrogate pair.
    """
    if not text or "\0" in text:
        raise ValueError(text[:_LONGEST_LINE])
    os.fsencode(text)
    return text
