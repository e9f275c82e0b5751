"""The links of a chained Ogg file: streams one after another, of which a decoder reads the first.

Source: RFC 3533, sections 4 and 6.
"""

from __future__ import annotations

import mmap

_BEGINS, _ENDS = 2, 4


def ogg_links(data: mmap.mmap) -> tuple[tuple[int, int], ...]:
    """Start and stop of each link in the file; one link for a file that is not chained."""
    starts: list[int] = []
    at, size, was_first = 0, len(data), False
    while 0 <= at < size:
        if data[at : at + 5] != b"OggS\0":
            at = data.find(b"OggS\0", at + 1)
            continue
        first = bool(data[at + 5] & _BEGINS) if at + 6 <= size else False
        # Streams that sound at once begin together: only the first of such pages begins a link.
        if first and not was_first:
            starts.append(at)
        was_first = first
        count = data[at + 26] if at + 27 <= size else 0
        at += 27 + count + sum(data[at + 27 : at + 27 + count])
    ends = [*starts[1:], size]
    return tuple(zip(starts, ends, strict=True)) if starts else ((0, size),)


def ends_a_stream(data: mmap.mmap, start: int, stop: int) -> bool:
    """True if the last whole page of a link is marked as the end of its stream."""
    at = stop - 22
    while (at := data.rfind(b"OggS\0", start, at)) >= 0:
        segments = data[at + 27 : at + 27 + data[at + 26]]
        if at + 27 + len(segments) + sum(segments) <= stop:
            return bool(data[at + 5] & _ENDS)
    return False
