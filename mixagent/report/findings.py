"""The faults of a song: every one that is looked for, as a row with its sentence.

Before and after are held against the same band, and the kind of song is that of the song as it came, so
that a severity falls exactly where the song came nearer to finished music.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from mixagent.pipeline.diagnosis.diagnose import DEFECTS, Finding
from mixagent.pipeline.diagnosis.diagnose import FOUND as DEFECT_FOUND
from mixagent.pipeline.finished.band import WHOLE_S, Judgement, judge
from mixagent.pipeline.finished.findings import (
    BY_NAME,
    FAULTS,
    FOUND,
    WHOLES,
    Fault,
    Found,
    called_for,
    findings,
    outer_edge,
)
from mixagent.pipeline.finished.measures import DEEPEST_WOBBLE_DB, INDEX, MEASURES, Group, SongMeasures
from mixagent.report.model import FindingRow, Judged, MeasureBand
from mixagent.report.words import PROPERTIES, number

PATHOLOGY: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("metallic", "smeared", "glassy"), "shimmer"),
        "muddy": "mud",
        **dict.fromkeys(("cut off", "blinking", "hole"), "holes"),
        **dict.fromkeys(
            (
                *("wide", "narrow", "wide low mids", "wide lows"),
                *("leaning right", "leaning left", "out of phase", "other width"),
            ),
            "panning",
        ),
        **dict.fromkeys(("crushed", "soft", "monotone", "other dynamics"), "flatness"),
    }
)
"""Which of the five pathologies of generated songs a fault belongs to; some belong to none."""

UNANSWERED: Mapping[str, str] = MappingProxyType(
    {
        "wobbling lows": "notes that are missing cannot be turned up, and compressing the lows left them so",
        "unsteady mids": "what comes and goes may be the phrasing, and compression hardly steadied it",
        "pumping": "a gain that went down under the kick cannot be told from the music any more",
        "smeared": "hiss that sounds along with the music cannot be told from it",
    }
)
"""Why a fault is left that nothing in the chain answers without harm."""

_SIDED, _WHOLES = ({fault.name for fault in faults} for faults in (FAULTS, WHOLES))

_BLINKING = next(fault for fault in FAULTS if fault.name == "blinking")

STRICT = 0.5
"""Share from which a song counts as of the band's kind."""

_GROUPS: tuple[Group, ...] = ("tone", "width", "balance", "punch")


def judged(measures: SongMeasures, like: Judgement | None = None) -> Judgement:
    """A song held against finished music, as strictly as the song that it was made of where one is given."""
    return judge(measures, like=like)


def finding_rows(judgement: Judgement | None, diagnosis: Iterable[Finding]) -> tuple[FindingRow, ...]:
    """Every fault, gravest first, and in front of them the defects that were found.

    Args:
        judgement: of the song; None for silence.
        diagnosis: the findings of the diagnosis, of which its defects are told.
    """
    defects = [_defect(row) for row in diagnosis if _is_defect(row) and row.severity >= DEFECT_FOUND]
    faults = () if judgement is None else findings(judgement)
    return (*defects, *(_row(found, judgement) for found in faults if judgement is not None))


def told_rows(rows: Iterable[FindingRow], answered: Collection[str] = ()) -> list[FindingRow]:
    """Those that count as found, without the groups of which a single fault was found as well.

    `answered` names faults that are told all the same, since something was done for them.
    """
    found = found_rows(rows)
    groups = {BY_NAME[row.name].group for row in found if row.name in _SIDED}
    idle = {name for name in _WHOLES if BY_NAME[name].group in groups} - {*answered}
    return [row for row in found if row.name not in idle]


def with_wholes(answered: Collection[str]) -> set[str]:
    """Faults that were answered, and the groups as a whole that an answer to one of them is an answer to."""
    groups = {BY_NAME[name].group for name in answered if name in BY_NAME}
    return {*answered, *(name for name in _WHOLES if BY_NAME[name].group in groups)}


def found_rows(rows: Iterable[FindingRow]) -> list[FindingRow]:
    """Those that count as found."""
    return [row for row in rows if row.found]


def judged_section(judgement: Judgement | None) -> Judged | None:
    """The music that the song was held against, in words and figures; None for silence."""
    if judgement is None:
        return None
    band = judgement.band
    edges = _edges(judgement)
    return Judged(
        against=band.name,
        songs=band.songs,
        alike=round(judgement.alike, 4),
        trust={group: round(value, 4) for group, value in judgement.trust.items()},
        words=judged_words(judgement),
        measures={
            m.name: MeasureBand(
                mean=_rounded(band.mean[k]),
                spread=_rounded(band.spread[k]),
                low=_rounded(edges["low"].get(m.name, np.nan)),
                high=_rounded(edges["high"].get(m.name, np.nan)),
            )
            for k, m in enumerate(MEASURES)
        },
    )


def judged_words(judgement: Judgement) -> str:
    """The music that a song was held against, and how strictly."""
    held = f"Held against {judgement.band.songs} finished songs"
    if judgement.measures.duration_s < WHOLE_S:
        held += f", hardly, for {number(judgement.measures.duration_s, 0)} s say little of a song"
    if judgement.alone:
        return "A voice, an instrument or a drone alone: no band of mixes is held against it."
    if judgement.alike >= STRICT:
        return f"{held}; it moves like songs with voice, drums and bass do: judged strictly."
    own = f"{held}; it is a kind of its own"
    strict = [group for group in _GROUPS if judgement.trust[group] and called_for(judgement, group)]
    if strict:
        return f"{own}, but so far out in {_listed(strict)} that it is judged there."
    if any(judgement.trust[group] for group in _GROUPS):
        return f"{own}: hardly touched unless far out."
    return f"{own}: left as it is."


def sentence(found: Found, judgement: Judgement) -> str:
    """A fault as a sentence with what was measured; what it is called only where it counts as found."""
    told = _measured(found, judgement)
    return f"{found.fault.says}: {told}" if found.severity >= FOUND else told


def _measured(found: Found, judgement: Judgement) -> str:
    fault, distance = found.fault, number(abs(found.apart))
    if fault.side == "either":
        return (
            f"{_WHOLE[fault.group].format(place=fault.place)} {distance} dB from finished music, all together"
        )
    over, more, higher = ("over", "more", "higher") if found.apart > 0 else ("under", "less", "lower")
    if fault.name in _SAID:
        return _SAID[fault.name].format(distance=distance, more=more)
    special = {"cut off": _ends, "blinking": _blinks}.get(fault.name)
    if special is not None:
        return special(fault, judgement)
    if fault.group == "range":
        was, usual = _figures(judgement, "loudness_range")
        section, usually = _figures(judgement, "section_contrast")
        sections = f" and {number(section)} LU from section to section" if math.isfinite(section) else ""
        others = f" and {number(usually)} LU" if sections else ""
        return f"a range of {number(was)} LU{sections}, in finished music {number(usual)} LU{others}"
    if fault.group == "width":
        return f"the sides of {fault.place} are {distance} dB {over} those of finished music"
    if fault.group == "balance":
        return f"the right is {distance} dB {over} the left from 200 Hz to 4 kHz"
    if fault.group == "punch":
        peaks = "the peaks" if fault.name == "crushed" else fault.place
        return f"{peaks} stand {distance} dB {higher} than in finished music"
    if fault.group in {"steadiness", "lows"}:
        ends = (
            fault.group == "lows"
            and max(judgement.measures[name] for name in fault.measures) >= DEEPEST_WOBBLE_DB
        )
        # Where the measure's scale ends, the song may swing further than that.
        least = "at least " if ends else ""
        return f"{fault.place} swings {least}{distance} dB {more} than in finished music"
    return f"{fault.place} is {distance} dB {over} finished music"


def _figures(judgement: Judgement, name: str) -> tuple[float, float]:
    """A measure of the song, and its average over finished music."""
    return judgement.measures[name], float(judgement.band.mean[INDEX[name]])


def _ends(fault: Fault, judgement: Judgement) -> str:
    was, usual = (_khz(16.0 * 2**octaves) for octaves in _figures(judgement, "bandwidth"))
    return f"they end at {was}, in finished music at {usual}"


def blinking_percent(judgement: Judgement) -> tuple[float, float]:
    """Share of the time in % that the highs' most blinking band is away; that of finished music."""
    # The measures are logarithms of the shares.
    pairs = np.array([_figures(judgement, name) for name in _BLINKING.measures])
    was, usual = (100 * np.maximum(10**pairs - 1e-3, 0.0)).max(axis=0)
    return float(was), float(usual)


def _blinks(fault: Fault, judgement: Judgement) -> str:
    was, usual = blinking_percent(judgement)
    return f"{fault.place} is away {number(was)} % of the time, in finished music {number(usual)} %"


_WHOLE: Mapping[Group, str] = {
    "tone": "{place} lies",
    "width": "the sides of {place} lie",
    "punch": "peaks over power lie",
}

_SAID = {
    "metallic": "tones at 7–13 kHz stand out by {distance} dB {more} than in finished music",
    "smeared": "7.5–13 kHz moves {distance} dB {more} than in finished music",
    "resonant": "a tone at 120–800 Hz stands out by {distance} dB {more} than in finished music",
    "pumping": "500 Hz–8 kHz ducks {distance} dB {more} under the kick than in finished music",
    "out of phase": "{distance} dB {more} vanish in mono than of finished music",
    "hole": "the deepest gap is {distance} dB {more} deep than in finished music",
}


def _row(found: Found, judgement: Judgement) -> FindingRow:
    fault = found.fault
    return FindingRow(
        name=fault.name,
        kind="fault",
        severity=round(found.severity, 4),
        found=found.severity >= FOUND,
        place=fault.place,
        apart=round(found.apart, 2) + 0.0,
        unit=fault.unit,
        sentence=_capital(sentence(found, judgement)),
        pathology=PATHOLOGY.get(fault.name),
        unanswered=UNANSWERED.get(fault.name),
    )


def _is_defect(row: Finding) -> bool:
    return row.kind in DEFECTS and row.kind not in PROPERTIES


def _defect(row: Finding) -> FindingRow:
    return FindingRow(
        name=row.kind,
        kind="defect",
        severity=row.severity,
        found=True,
        place=row.place,
        apart=None,
        unit="",
        sentence=_capital(row.evidence),
        pathology=None,
        unanswered=None,
    )


def _edges(judgement: Judgement) -> dict[str, dict[str, float]]:
    """By side and measure the value at which a fault of that side counts as found, all its measures alike."""
    edges: dict[str, dict[str, float]] = {"low": {}, "high": {}}
    for fault in FAULTS:
        sign = 1.0 if fault.side == "high" else -1.0
        reach = sign * outer_edge(fault, judgement.alike)
        for name in fault.measures:
            k = INDEX[name]
            edge = float(judgement.band.mean[k] + reach * judgement.band.spread[k])
            nearer = min if sign > 0 else max
            edges[fault.side][name] = nearer(edges[fault.side].get(name, edge), edge)
    return edges


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _khz(khz: float) -> str:
    return f"{number(min(khz, 20.0))} kHz"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
