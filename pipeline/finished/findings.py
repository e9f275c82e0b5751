"""The one table of findings: each is a side of finished music's band, with a sign.

A finding's severity is a probability: of 100 songs whose measures are so far out, about that many are not
as finished music is. It is calibrated on finished and on generated songs (`scripts/fit_band.py` prints how
well), and as a family: at most one finished song in ten has any finding of 0.5 or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from mixagent.pipeline.finished.band import JUDGED, Judgement, finished_music_band, root_mean_square
from mixagent.pipeline.finished.measures import INDEX, MEASURES, TONE_HZ, WIDTH_HZ, Group

PRIOR_ODDS = math.log(1 / 9)
"""A fault is taken to be in one song of ten before anything is measured."""

WHOLE_PRIOR_ODDS = math.log(1 / 5)
"""A group, of which each of several faults would be enough, is taken to lie outside in one song of six."""

FOUND = 0.5
"""Severity from which a fault counts as found."""

LEAST_WHOLE = 0.6
"""Deviation of a group, in spreads, under which it is never outside as a whole, of whatever kind the song is:
what was brought to the inner edge lies under it, and of finished music's songs one in five."""

Side = Literal["high", "low", "either"]


@dataclass(frozen=True)
class Fault:
    """One way of being outside of finished music.

    Attributes:
        name: as findings and reports have it.
        group: of its measures.
        measures: names whose mean deviation it is.
        side: on which side of the band it lies; `either` of a group that as a whole lies outside.
        place: where in the sound, in words.
        says: what it is, for a report: a clause that stands by itself.
        unit: of the figure that the report tells: the mean distance from finished music's mean.
    """

    name: str
    group: Group
    measures: tuple[str, ...]
    side: Side
    place: str
    says: str
    unit: str = "dB"


def _tone(low_hz: float, high_hz: float) -> tuple[str, ...]:
    return tuple(f"tone_{int(hz)}" for hz in TONE_HZ if low_hz <= hz <= high_hz)


def _width(low_hz: float, high_hz: float) -> tuple[str, ...]:
    return tuple(f"width_{int(hz)}" for hz in WIDTH_HZ if low_hz <= hz <= high_hz)


def _crests(*bands: str) -> tuple[str, ...]:
    return tuple(f"crest_{band}" for band in bands)


FAULTS: tuple[Fault, ...] = (
    Fault("sub heavy", "tone", _tone(31, 50), "high", "30–55 Hz", "the sub builds up"),
    Fault("sub light", "tone", _tone(40, 63), "low", "40–70 Hz", "there is hardly any sub"),
    Fault("boomy", "tone", _tone(63, 125), "high", "55–140 Hz", "the lows boom"),
    Fault("lean", "tone", _tone(80, 160), "low", "70–180 Hz", "the lows are lean"),
    Fault("muddy", "tone", _tone(200, 500), "high", "180–560 Hz", "the low mids are thick"),
    Fault("thin", "tone", _tone(160, 400), "low", "140–450 Hz", "the low mids are thin"),
    Fault("honky", "tone", _tone(500, 1250), "high", "450 Hz–1.4 kHz", "the mids honk"),
    Fault("hollow", "tone", _tone(500, 1600), "low", "450 Hz–1.8 kHz", "the mids are hollow"),
    Fault("harsh", "tone", _tone(2500, 5000), "high", "2.2–5.6 kHz", "the presence is harsh"),
    Fault("recessed", "tone", _tone(2000, 5000), "low", "1.8–5.6 kHz", "the presence is recessed"),
    Fault("glassy", "tone", _tone(6300, 12500), "high", "5.6–14 kHz", "the top is glassy"),
    Fault("dull", "tone", _tone(6300, 12500), "low", "5.6–14 kHz", "the top is dull"),
    Fault("cut off", "top", ("bandwidth",), "low", "the highs", "the highs end early", "octaves"),
    Fault(
        "blinking",
        "top",
        ("blinks_high", "away"),
        "high",
        "4–14 kHz",
        "bands of the highs blink off",
        "",
    ),
    Fault("metallic", "texture", ("line", "lines"), "high", "7–13 kHz", "steady tones ring in the highs"),
    Fault(
        "smeared",
        "texture",
        ("top_steadiness",),
        "low",
        "7.5–13 kHz",
        "the highs hiss without moving with the music",
    ),
    Fault("resonant", "texture", ("resonance",), "high", "120–800 Hz", "a narrow resonance stands out"),
    Fault("hole", "texture", ("gap",), "high", "0.5–16 kHz", "a band is missing"),
    Fault("wide", "width", _width(500, 8000), "high", "450 Hz–9 kHz", "the sides are too loud"),
    Fault("narrow", "width", _width(500, 8000), "low", "450 Hz–9 kHz", "the picture is narrow"),
    Fault("wide low mids", "width", _width(160, 400), "high", "140–450 Hz", "the low mids lie in the sides"),
    Fault("wide lows", "width", _width(100, 125), "high", "90–140 Hz", "the lows lie in the sides"),
    Fault(
        "leaning right",
        "balance",
        ("lean_200", "lean_500", "lean_1000", "lean_2000"),
        "high",
        "the picture",
        "it leans to the right",
    ),
    Fault(
        "leaning left",
        "balance",
        ("lean_200", "lean_500", "lean_1000", "lean_2000"),
        "low",
        "the picture",
        "it leans to the left",
    ),
    Fault(
        "crushed",
        "punch",
        ("plr", "crest_3s", "crest_400ms"),
        "low",
        "the loud parts",
        "the peaks are crushed",
    ),
    Fault(
        "spiky",
        "punch",
        ("crest_400ms", "crest_50ms", *_crests("presence", "air")),
        "high",
        "the attacks",
        "the attacks are spiky",
    ),
    Fault(
        "soft",
        "punch",
        ("crest_50ms", *_crests("bass", "low_mid", "mid", "presence")),
        "low",
        "the attacks",
        "the attacks are soft",
    ),
    Fault(
        "monotone",
        "range",
        ("loudness_range", "section_contrast"),
        "low",
        "the whole song",
        "its loudness hardly changes",
        "LU",
    ),
    Fault(
        "uneven",
        "range",
        ("loudness_range", "section_contrast"),
        "high",
        "the whole song",
        "its loudness wanders",
        "LU",
    ),
    Fault(
        "unsteady mids",
        "steadiness",
        ("swing_low_mid", "swing_mid", "swing_presence"),
        "high",
        "200 Hz–6 kHz",
        "the mids come and go",
    ),
    Fault("pumping", "steadiness", ("ducking",), "high", "500 Hz–8 kHz", "the music ducks under the kick"),
    Fault("out of phase", "balance", ("mono_loss",), "high", "the sides", "it cancels in mono"),
    Fault(
        "wobbling lows", "lows", ("sub_wobble", "bass_wobble"), "high", "30–120 Hz", "the lows come and go"
    ),
)
"""Every fault that lies on one side of the band."""


def _whole(name: str, group: Group, place: str, says: str) -> Fault:
    return Fault(name, group, tuple(MEASURES[k].name for k in JUDGED[group]), "either", place, says)


WHOLES: tuple[Fault, ...] = (
    _whole("other tone", "tone", "38 Hz–13 kHz", "the tone as a whole lies off finished music's"),
    _whole("other width", "width", "150 Hz–13 kHz", "the picture as a whole lies off finished music's"),
    _whole("other dynamics", "punch", "the dynamics", "the dynamics as a whole lie off finished music's"),
)
"""Groups of measures that lie outside as a whole, here and there, though no place alone need stand out."""

BY_NAME: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in (*FAULTS, *WHOLES)})


@dataclass(frozen=True)
class Found:
    """A fault of a song.

    Attributes:
        fault: which.
        severity: 0 to 1, the probability that this is outside of finished music.
        apart: mean distance of its measures from finished music's mean, in the fault's unit, with its sign;
            of a whole group the root of the mean square.
        deviation: the same in spreads, positive on the fault's side.
    """

    fault: Fault
    severity: float
    apart: float
    deviation: float


def findings(judgement: Judgement, least: float = 0.0) -> tuple[Found, ...]:
    """The faults of a song with a severity of `least` and more, gravest first; none of a voice alone."""
    if judgement.alone:
        return ()
    found = [*(_found(fault, judgement) for fault in FAULTS), *_found_wholes(judgement)]
    return tuple(sorted((f for f in found if f.severity >= least), key=lambda f: -f.severity))


def severity(outlying: float, alike: float) -> float:
    """The probability of a fault.

    Args:
        outlying: how far out the song lies on the fault's side: 1 at its outer edge.
        alike: how much the song is of the band's kind, 0 to 1.
    """
    slope, alike_slope = finished_music_band().severity
    return 1 / (1 + math.exp(-(PRIOR_ODDS + (slope + alike_slope * alike) * outlying)))


def outer_edge(fault: Fault, alike: float) -> float:
    """The deviation in spreads from which a fault of one side counts as found in a song of that kind."""
    slope, alike_slope = finished_music_band().severity
    return finished_music_band().edges[fault.name] * -PRIOR_ODDS / (slope + alike_slope * alike)


def _found(fault: Fault, judgement: Judgement) -> Found:
    sign = 1.0 if fault.side == "high" else -1.0
    deviation = sign * judgement.mean_of(fault.measures)
    outlying = deviation / finished_music_band().edges[fault.name]
    severe = severity(outlying, judgement.alike) if outlying > 0 else 0.0
    return Found(fault, severe, _apart(fault.measures, judgement), deviation)


def whole_severity(odds: float, deviation: float) -> float:
    """The probability that a group as a whole lies outside, by its `Judgement.outside` and its deviation."""
    if deviation < LEAST_WHOLE or not math.isfinite(odds):
        return 0.0
    return 1 / (1 + math.exp(-(WHOLE_PRIOR_ODDS + odds)))


def _found_wholes(judgement: Judgement) -> Iterator[Found]:
    for fault in WHOLES:
        deviation = root_mean_square(judgement.deviations, fault.group)
        odds = judgement.outside.get(fault.group, -math.inf)
        places = [INDEX[name] for name in fault.measures]
        apart = judgement.measures.values[places] - judgement.band.mean[places]
        square = float(np.mean(apart[np.isfinite(apart)] ** 2)) if np.isfinite(apart).any() else 0.0
        yield Found(
            fault,
            whole_severity(odds, deviation),
            math.sqrt(square),
            deviation,
        )


def called_for(judgement: Judgement, group: Group) -> tuple[Fault, ...]:
    """The faults of a group that were found, which a move of its measures may answer; `WHOLES` among them."""
    return tuple(found.fault for found in findings(judgement, FOUND) if found.fault.group == group)


def _apart(names: Sequence[str], judgement: Judgement) -> float:
    places = [INDEX[name] for name in names]
    apart = judgement.measures.values[places] - judgement.band.mean[places]
    apart = apart[np.isfinite(apart)]
    return float(apart.mean()) if apart.size else 0.0
