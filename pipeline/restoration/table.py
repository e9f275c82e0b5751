"""The table of repairs: each runs where its defect is found, and leaves the rest as it is.

A new repair is a module of its own beside this one that defines `find` and `run` (see `base.Work`), and a
row here. What a row works with is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.restoration.base import Found, NotFiniteError, Restored, Work
from mixagent.pipeline.types import AudioSource, Combination, Progress

_FINDING = 0.3
_SKIPPED = "Its network gave no numbers: the repair was skipped."


@dataclass(frozen=True)
class Repair:
    """A repair.

    Attributes:
        name: of its stage, and of its amount, the parameter `repair.NAME`.
        purpose: what it does, in words.
        load: imports the module that finds and repairs.
        stems: that it is for; none where it is for the mix.
        answers: the defects and faults of the report that its work is an answer to.
        models: that it works with, as `mixagent models list` names them.
        blends: False where half of it would sound worse than none, as of one that moves the voice in time: an
            amount of a half or more is then all of it, and a lower one nothing.
        version: changes where `run` makes something else of the same.
    """

    name: str
    purpose: str
    load: Callable[[], Work]
    stems: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    blends: bool = True
    version: str = "1"

    def share(self, amount: float) -> float:
        """The share of it, 0..1, that an amount stands for."""
        return amount if self.blends else float(amount >= 0.5)


def _offset() -> Work:
    from mixagent.pipeline.restoration import offset

    return offset


def _declick() -> Work:
    from mixagent.pipeline.restoration import declick

    return declick


def _inpaint() -> Work:
    from mixagent.pipeline.restoration import inpaint

    return inpaint


def _declip() -> Work:
    from mixagent.pipeline.restoration import clipping

    return clipping


def _delimit() -> Work:
    from mixagent.pipeline.restoration import delimiting

    return delimiting


def _artefacts() -> Work:
    from mixagent.pipeline.restoration import artefacts

    return artefacts


def _extend() -> Work:
    from mixagent.pipeline.restoration import bandwidth

    return bandwidth


def _fill() -> Work:
    from mixagent.pipeline.restoration import fill

    return fill


def _denoise() -> Work:
    from mixagent.pipeline.restoration import denoising

    return denoising


def _naturalize() -> Work:
    from mixagent.pipeline.restoration import naturalizer

    return naturalizer


def _audiosr() -> Work:
    from mixagent.pipeline.restoration import audiosr

    return audiosr


EXTEND, EMBEDDED = "extend", "embedded"

EXTENDERS: dict[str, Callable[[], Work]] = {EMBEDDED: _extend, "audiosr": _audiosr}
"""By name, what may make the highs whose end `extend` found."""

REPAIRS: dict[str, Repair] = {
    repair.name: repair
    for repair in (
        Repair("offset", "takes out an offset of the wave from zero", _offset, answers=("offset",)),
        # A click goes before whatever raises or smears the song, which would make more of it.
        Repair("declick", "takes out lone clicks", _declick, answers=("glitches",)),
        Repair(
            "inpaint",
            "fills dropouts and foreign bursts, mends splices and jumps of level",
            _inpaint,
            answers=("glitches",),
            models=("glitches", "inpainting"),
            version="2",
        ),
        Repair("declip", "rebuilds clipped peaks", _declip, answers=("clipping",), version="3"),
        Repair(
            "delimit",
            "gives back what a limiter took from the peaks",
            _delimit,
            answers=("crushed",),
            models=("delimiter",),
        ),
        Repair(
            "artefacts",
            "takes back shimmer, which decoders put into the highs",
            _artefacts,
            answers=("metallic", "smeared", "glassy"),
            models=("artefacts",),
            version="2",
        ),
        # Behind what takes shimmer away, which hides where highs end.
        Repair(
            EXTEND,
            "makes highs anew where they end early",
            _extend,
            answers=("cut off", "dull"),
            models=("bandwidth", "artefacts"),
            version="2",
        ),
        Repair(
            "fill", "fills holes and gaps of the spectrum", _fill, answers=("hole",), models=("bandwidth",)
        ),
        Repair(
            "denoise",
            "turns down steady noise under a voice",
            _denoise,
            ("vocals",),
            answers=("noise",),
            models=("deepfilternet3",),
        ),
        Repair(
            "naturalize",
            "gives a rigid voice a singer's small motions",
            _naturalize,
            ("vocals",),
            blends=False,
        ),
    )
}
"""The repairs by name, in the order in which they run; those of the mix come before those of stems."""


def mix_repairs() -> tuple[Repair, ...]:
    """The repairs of the mix."""
    return tuple(repair for repair in REPAIRS.values() if not repair.stems)


def repaired(
    repair: Repair,
    source: AudioSource,
    analysis: Analysis,
    scratch: Path,
    progress: Progress,
    extender: str = EMBEDDED,
) -> tuple[Found, Restored] | None:
    """What a repair found of a source, and the source with the finding's amount of the repair; None where
    there is nothing to repair. One whose network gives no numbers is skipped, which its result tells.

    Args:
        repair: of the table.
        source: the mix or a stem.
        analysis: of the song as it came.
        scratch: folder for raw files.
        progress: called with the share done, 0..1.
        extender: a name of `EXTENDERS`, by which `extend` makes highs.
    """
    work = repair.load()
    try:
        found = work.find(source, analysis, lambda share: progress(_FINDING * share))
    except NotFiniteError:
        return Found("It could not be looked for."), Restored(source, False, _SKIPPED)
    if found is None or found.amount == 0.0:
        return None
    if repair.name == EXTEND:
        work = EXTENDERS[extender]()
    try:
        restored = work.run(source, found, scratch, lambda share: progress(_FINDING + (1 - _FINDING) * share))
    except NotFiniteError:
        return found, Restored(source, False, _SKIPPED, found.values)
    if not restored.applied or found.amount == 1.0:
        return found, restored
    blended = Combination(((1.0 - found.amount, source), (found.amount, restored.audio)))
    return found, replace(restored, audio=blended)
