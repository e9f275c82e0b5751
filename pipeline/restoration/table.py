"""The table of repairs: each runs where its defect is found, and leaves the rest as it is.

A new repair is a module of its own beside this one that defines `find` and `run` (see `base.Work`), and a
row here. What a row works with is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mixagent.pipeline.restoration.base import Work


@dataclass(frozen=True)
class Repair:
    """A repair.

    Attributes:
        name: of its stage, and of its amount, the parameter `repair.NAME`.
        purpose: what it does, in words.
        load: imports the module that finds and repairs.
        stems: that it is for; none where it is for the mix.
        version: changes where `run` makes something else of the same.
    """

    name: str
    purpose: str
    load: Callable[[], Work]
    stems: tuple[str, ...] = ()
    version: str = "1"


def _offset() -> Work:
    from mixagent.pipeline.restoration import offset

    return offset


def _declick() -> Work:
    from mixagent.pipeline.restoration import declick

    return declick


def _declip() -> Work:
    from mixagent.pipeline.restoration import clipping

    return clipping


def _artefacts() -> Work:
    from mixagent.pipeline.restoration import artefacts

    return artefacts


def _denoise() -> Work:
    from mixagent.pipeline.restoration import denoising

    return denoising


REPAIRS: dict[str, Repair] = {
    repair.name: repair
    for repair in (
        Repair("offset", "takes out an offset of the wave from zero", _offset),
        # A click goes before whatever raises or smears the song, which would make more of it.
        Repair("declick", "takes out lone clicks", _declick),
        Repair("declip", "rebuilds clipped peaks", _declip),
        Repair("artefacts", "takes back what decoders put in: shimmer, and codecs' artefacts", _artefacts),
        Repair("denoise", "turns down steady noise under a voice", _denoise, ("vocals",)),
    )
}
"""The repairs by name, in the order in which they run; those of the mix come before those of stems."""
