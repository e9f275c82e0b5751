"""Settings by section: parameters that hold in a stretch of a song, with crossfades at its ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mixagent.pipeline.chain.amounts import Strengths, dimension
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.streaming import Delay, Processor
from mixagent.pipeline.types import Float64Array, FloatArray

MASTER = "master"
"""The place of what works on the mix."""

CROSSFADE_S = 1.0
"""How long a section's settings take to come and to go.

A section that is raised has them from its first beat to its last, so they come and go outside it; one that is
lowered, within it: a move lies in the quieter of two sections, as in `riding`.
"""

MOST_DB = 12.0
"""The most that a section's level is moved."""

_JOINED_S = 0.5


@dataclass(frozen=True)
class SectionSettings:
    """What holds in one stretch of a song beside the settings of the whole.

    Attributes:
        start_s, stop_s: the stretch in seconds.
        where: `master`, or a stem.
        gain_db: of the level.
        values: of parameters of that place, by name, as if alone: an equaliser adds to that of the whole.
        label: of the section.
        reason: one short clause for the report.
    """

    start_s: float
    stop_s: float
    where: str = MASTER
    gain_db: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)
    label: str = ""
    reason: str = ""

    def scaled(self, amount: float, strengths: Strengths, space: ParameterSpace) -> SectionSettings:
        """As much of it as the strengths have of each dimension, times `amount`, both 0..1."""
        shares = {name: amount * strengths.of(dimension(name)) for name in self.values}
        values = {
            name: space[name].value(space[name].action(value) * shares[name])
            for name, value in self.values.items()
        }
        return replace(self, gain_db=self.gain_db * amount * strengths.dynamics, values=values)

    def bounded(self, space: ParameterSpace) -> SectionSettings:
        """The same within the ranges of the space; parameters that it does not hold are left out."""
        known = {name: value for name, value in self.values.items() if name in space}
        within = space.settings(known)
        return replace(
            self,
            gain_db=min(max(self.gain_db, -MOST_DB), MOST_DB),
            values={name: within[name] for name in known},
        )

    def later(self, by_s: float) -> SectionSettings:
        """The same in a song that begins so many seconds earlier."""
        return replace(self, start_s=self.start_s + by_s, stop_s=self.stop_s + by_s)


Build = Callable[[Mapping[str, float]], list[Processor]]
"""Makes the processors of a place from values of its parameters."""


def section_faders(
    sections: Sequence[SectionSettings],
    where: str,
    rate: int,
    channels: int,
    build: Build,
    late: int = 0,
) -> list[Processor]:
    """What makes a place's settings differ by section: one fader for stretches of the same settings.

    Args:
        sections: of any place.
        where: the place.
        rate: Hz.
        channels: of the sound.
        build: makes its processors.
        late: frames by which what comes in is late.
    """
    alike: dict[tuple[object, ...], list[SectionSettings]] = {}
    for each in sections:
        if each.where == where:
            alike.setdefault((each.gain_db, tuple(sorted(each.values.items()))), []).append(each)
    faders: list[Processor] = []
    for group in alike.values():
        processors = build(group[0].values) if group[0].values else []
        if processors or group[0].gain_db:
            fader = SectionFader(_spans(group), group[0].gain_db, processors, rate, channels, late)
            faders.append(fader)
            late += fader.latency
    return faders


def _spans(group: Iterable[SectionSettings]) -> list[tuple[float, float]]:
    """The stretches in order, those that touch as one."""
    spans: list[tuple[float, float]] = []
    for start_s, stop_s in sorted((each.start_s, each.stop_s) for each in group):
        if spans and start_s - spans[-1][1] < _JOINED_S:
            spans[-1] = (spans[-1][0], max(stop_s, spans[-1][1]))
        else:
            spans.append((start_s, stop_s))
    return spans


class SectionFader:
    """Lets processors and a gain work in stretches of a song alone; a `Processor`.

    Outside them the sound is what it was, bit for bit, `latency` frames late.

    Args:
        spans: the stretches in seconds, in order.
        gain_db: of the level there.
        processors: that work there; they run all the time, so that they have their state when they are heard.
        rate: Hz.
        channels: of the sound.
        late: frames by which what comes in is late.
    """

    def __init__(
        self,
        spans: Sequence[tuple[float, float]],
        gain_db: float,
        processors: Sequence[Processor],
        rate: int,
        channels: int,
        late: int = 0,
    ) -> None:
        self.latency = sum(processor.latency for processor in processors)
        self._processors, self._gain_db = processors, gain_db
        self._dry = Delay(self.latency, channels)
        self._time_s, self._share = _course(spans, inside=gain_db < 0)
        self._rate, self._at = rate, -late - self.latency

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        dry = wet = self._dry.process(block)
        share = self._shares(block.shape[1])
        if self._processors:
            wet = block
            for processor in self._processors:
                wet = processor.process(wet)
        if not share.any():
            return dry
        out = dry + share.astype(np.float32) * (wet - dry)
        return out * db_to_amplitude(self._gain_db * share).astype(np.float32)

    def _shares(self, frames: int) -> Float64Array:
        """How much of the settings each frame of the next block has, 0..1."""
        time_s = np.arange(self._at, self._at + frames) / self._rate
        self._at += frames
        return np.asarray(np.interp(time_s, self._time_s, self._share), np.float64)


def _course(spans: Sequence[tuple[float, float]], inside: bool) -> tuple[Float64Array, Float64Array]:
    """The share over time as knots: seconds, and 0..1 linear between them.

    The first stretch of a song has its settings from the first sample.
    """
    time_s: list[float] = []
    share: list[float] = []
    for start_s, stop_s in spans:
        fade_s = min(CROSSFADE_S, (stop_s - start_s) / 2)
        outer = 0.0 if inside else fade_s
        if start_s > 0:
            time_s += [start_s - outer, start_s - outer + fade_s]
            share += [0.0, 1.0]
        else:
            time_s.append(0.0)
            share.append(1.0)
        time_s += [stop_s + outer - fade_s, stop_s + outer]
        share += [1.0, 0.0]
    knots = np.maximum.accumulate(time_s)
    return np.asarray(knots, np.float64), np.asarray(share, np.float64)
