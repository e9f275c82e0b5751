"""Plain words and number formats of the report: what each finding means, how a value is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.chain.parameters import DYNAMIC_PLACES, STEM_NAMES, Parameter, ParameterSpace
from mixagent.report.album_model import AlbumPause, AlbumReport
from mixagent.report.model import (
    CheckedCodec,
    ParameterRow,
    PlatformFacts,
    PlatformRow,
    Property,
    Report,
    StageRow,
    StripRow,
    TrackRow,
)

Facts = TypeVar("Facts", bound=PlatformFacts)

MINUS = "\u2212"


@dataclass(frozen=True)
class Explanation:
    """The name of a finding, how it sounds and where it comes from."""

    name: str
    text: str
    heard_at: str = ""


PATHOLOGIES: Mapping[str, Explanation] = {
    "shimmer": Explanation(
        "Metallic shimmer",
        "A fizzy, glassy sheen on cymbals and consonants. A generator rebuilds the top octaves from a coarse "
        "code, so steady ringing stands where breath and noise should move.",
        "8–12 kHz",
    ),
    "mud": Explanation(
        "Low-mid mud",
        "Voice, guitars, piano and the bass's overtones pile up here. Too much of it and words lose their "
        "edge, the kick its shape, and everything seems to play in a cardboard box.",
        "200–500 Hz",
    ),
    "holes": Explanation(
        "Spectral holes",
        "Parts of the spectrum that are missing: a hard cut at the top, as a lossy codec leaves it, or gaps "
        "that open and close. It sounds dull or under water.",
        "the top octaves",
    ),
    "panning": Explanation(
        "Artificial panning",
        "A picture that leans to one side, or width made by tricks of phase. It can impress on headphones "
        "and then cancel on a phone or a club system that plays in mono.",
        "left and right",
    ),
    "flatness": Explanation(
        "Flat dynamics",
        "Attacks and quiet passages squeezed to one level. The drums stop punching, and a chorus cannot lift "
        "because there is nowhere to lift to.",
        "over time",
    ),
}

DEFECTS: Mapping[str, Explanation] = {
    "clipping": Explanation("Clipping", "Peaks cut flat at full scale: crackle and hardness on loud notes."),
    "hum": Explanation("Hum", "A steady tone from the mains and its overtones."),
    "noise": Explanation("Noise", "A steady hiss under the music, plainest in the pauses."),
    "mono": Explanation("Mono", "Both channels are the same: there is no stereo picture to work on."),
    "silence": Explanation("Silence", "There is no programme to work on, here or in long stretches."),
    "glitches": Explanation("Glitches", "Clicks or dropouts: jumps that no instrument makes."),
    "offset": Explanation("Offset", "The wave does not swing around zero: a limiter pays for it with level."),
}

PROPERTIES = frozenset({"mono"})
"""Findings of the diagnosis that are neither right nor wrong."""

PLACES: Mapping[str, str] = {
    "vocals": "Vocals",
    "drums": "Drums",
    "bass": "Bass",
    "other": "Other",
    "piano": "Piano",
    "guitar": "Guitar",
    "accompaniment": "Accompaniment",
    "drum_bus": "Drum bus",
    "vocal_bus": "Vocal bus",
    "reverb": "Reverb",
    "delay": "Delay",
    "master": "Master",
    "equaliser": "Master EQ",
    "graphic": "Graphic EQ",
    "mid": "Mid",
    "side": "Side",
    **{place: f"Dynamic EQ {number}" for number, place in enumerate(DYNAMIC_PLACES, 1)},
    "low_mid_band": "Low-mid band",
    "high_mid_band": "High-mid band",
}

_ABBREVIATIONS = {"comp": "compressor", "eq": "EQ", "q": "Q"}
_UNIT_SUFFIXES = ("_db", "_hz", "_ms")


def explanation(kind: str) -> Explanation:
    """The words for a kind of finding; one that is not known is named as it is."""
    return PATHOLOGIES.get(kind) or DEFECTS.get(kind) or Explanation(kind.capitalize(), "")


def property_words(row: Property) -> str:
    """A property of the song in one sentence."""
    return f"{explanation(row.kind).name}: {row.evidence}"


def percent(share: float) -> str:
    """A probability or share for a reader: “97 %”; what is not certain is neither 0 nor 100."""
    if 0.0 < share < 1.0:
        return f"{min(max(round(100 * share), 1), 99)} %"
    return f"{round(100 * share)} %"


def memory_words(size_bytes: int | None) -> str:
    """A size in memory; a dash where it is not known."""
    if size_bytes is None:
        return "–"
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def stage_words(row: StageRow) -> str:
    """A stage in a few words: how long it took, the most memory, and with whom it shared that."""
    memory = "" if row.peak_bytes is None else f", {memory_words(row.peak_bytes)}{'*' if row.beside else ''}"
    on_gpu = "" if row.device_peak_bytes is None else f" and {memory_words(row.device_peak_bytes)} on the GPU"
    looked = " (nothing to do)" if row.status == "skipped" else ""
    return f"{row.name}{looked} {row.seconds:.1f} s{memory}{on_gpu}"


def number(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A number with a real minus sign; `None` is written as a dash, a rounded zero without a sign."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


LITTLE_DB, MUCH_DB = 1.5, 4.0
"""Under the first a change is a little, over the second it is much."""


def change_words(verb: str, change_db: float) -> str:
    """A change by its size: “raised a little, by 1.2 dB”, “raised by 2.3 dB”, “raised much, by 6.0 dB”."""
    size_db = abs(change_db)
    much = " a little," if size_db < LITTLE_DB else " much," if size_db > MUCH_DB else ""
    return f"{verb}{much} by {number(size_db)} dB"


def span_words(low: float | None, high: float | None) -> str:
    """A span in words; either of its bounds may be missing."""
    if low is None:
        return f"up to {number(high)}"
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def parameter_value(value: float, unit: str, sign: bool = True) -> str:
    """A setting's value with its unit, at the precision that its unit deserves.

    `sign`: whether a positive dB value shows its plus; the depth of a cut needs none.
    """
    if unit == "Hz":
        return f"{number(value / 1000, 2)} kHz" if value >= 1000 else f"{number(value, 0)} Hz"
    if unit == "ms":
        return f"{number(value, 0 if value >= 10 else 1)} ms"
    if unit == "dB":
        return f"{number(value, 1, sign=sign)} dB"
    return f"{number(value, 2)}{unit}"


def parameter_label(name: str) -> str:
    """`master.eq_low_mid_db` as words: EQ low mid."""
    what = name.split(".", 1)[-1]
    if name.startswith("graphic."):
        kind, hz = what.removesuffix("_db").split("_")
        return (
            f"{kind.capitalize()} at {int(hz) / 1000:g} kHz"
            if int(hz) >= 1000
            else f"{kind.capitalize()} at {hz} Hz"
        )
    for suffix in _UNIT_SUFFIXES:
        what = what.removesuffix(suffix)
    words = " ".join(_ABBREVIATIONS.get(word, word) for word in what.split("_"))
    return words[:1].upper() + words[1:]


def place_label(where: str) -> str:
    """A place in the chain as words."""
    return PLACES.get(where, where.replace("_", " ").capitalize())


_TABLE: Mapping[str, Parameter] = {p.name: p for p in ParameterSpace.for_stems(STEM_NAMES)}


def range_position(row: ParameterRow, value: float) -> float:
    """The place of `value` in the range of a parameter's row, 0..1, on the parameter's own scale."""
    low, high = row.low, row.high
    known = _TABLE.get(row.name)
    if known is not None and known.scale == "log" and low > 0:
        low, high, value = math.log(low), math.log(high), math.log(max(value, low))
    return min(max((value - low) / (high - low), 0.0), 1.0)


def role_label(row: TrackRow) -> str:
    """The role that one of the user's own tracks was taken for."""
    return {"out": "left out", "residual": "residual"}.get(row.role, place_label(row.role).lower())


def confidence_words(row: StripRow) -> str:
    """How much of a stem is expected to be its own; empty where nobody says."""
    return "" if row.confidence is None else f"confidence {percent(row.confidence)}"


def track_words(row: TrackRow) -> str:
    """Why one of the user's own tracks was taken for what it is, and what was done to it."""
    side = {-1: ["left"], 1: ["right"]}.get(row.side, [])
    moved_ms = row.advance_ms
    moved = [f"{abs(moved_ms):.1f} ms {'earlier' if moved_ms > 0 else 'later'}"] if moved_ms else []
    turned = ["polarity turned"] if row.inverted else []
    gain = [f"{number(row.gain_db, sign=True)} dB"] if row.gain_db else []
    return ", ".join([row.why, *side, *moved, *turned, *gain])


FIRST_PLATFORMS = ("spotify", "apple", "youtube", "amazon", "tidal")
"""The platforms that most masters go to, in the order in which they are told."""


def platforms_first(rows: Iterable[Facts], target: str) -> tuple[list[Facts], list[Facts]]:
    """Rows of platforms in two parts: those that matter first, with the one aimed at, and the rest."""
    order = {name: place for place, name in enumerate((*FIRST_PLATFORMS, target))}
    listed = list(rows)
    first = sorted((row for row in listed if row.platform in order), key=lambda row: order[row.platform])
    return first, [row for row in listed if row.platform not in order]


_AUDIBLE_DB = 0.05
"""A gain under this rounds to 0.0 dB and is not told."""


def playback_words(row: PlatformRow) -> str:
    """A platform's treatment of the master in words."""
    gain_db, over_db, short_lu = row.gain_db, row.over_db, row.short_lu
    if row.refused:
        return f"refused: {_refusal(row)}"
    if over_db > _AUDIBLE_DB and gain_db > 0:
        return f"turned up; its limiter takes {number(over_db)} dB off the peaks"
    turned = "as it is" if abs(gain_db) <= _AUDIBLE_DB else "turned up" if gain_db > 0 else "turned down"
    if over_db > _AUDIBLE_DB:
        return f"{turned}; peaks {number(over_db)} dB over its {number(row.ceiling_dbtp)} dBTP may clip"
    if short_lu > _AUDIBLE_DB:
        why = "never turned up" if row.normalises == "down" else "held back by its peaks"
        return f"{turned}; {number(short_lu)} LU quieter than others, {why}"
    return turned


def _refusal(row: PlatformRow) -> str:
    off_lu = row.integrated_lufs - row.target_lufs
    if row.true_peak_dbtp > row.ceiling_dbtp and abs(off_lu) <= row.tolerance_lu:
        return f"peaks over {number(row.ceiling_dbtp)} dBTP"
    return f"{number(abs(off_lu))} LU {'over' if off_lu > 0 else 'under'} {number(row.target_lufs)} LUFS"


def codec_words(check: CheckedCodec) -> str:
    """By how much a codec brings the master over its ceiling, in words."""
    return f"{number(check.over_db, 2)} dB over the ceiling" if check.over_db > 0 else "holds the ceiling"


def strengths_words(strengths: Strengths) -> str:
    """The dimensions that were not applied in full; empty where all were."""
    return ", ".join(
        f"{name} {round(100 * value)} %" for name, value in asdict(strengths).items() if value != 1.0
    )


def verdict(report: Report) -> tuple[str, str, str]:
    """How a master ended: a state (`met`, `missed` or `untouched`), its title and a sentence."""
    target, after = report.target, report.after
    if report.dry_run:
        return "untouched", "Dry run", "nothing was rendered or written."
    if report.finaliser is None:
        return (
            "untouched",
            "Untouched",
            "at amount 0 the song is given back as it was, and no target is aimed at.",
        )
    if not report.met:
        return "missed", "Target missed", report.missed or ""
    loudness, peak = number(after.integrated_lufs), number(after.true_peak_dbtp)
    ceiling = number(target.ceiling_dbtp)
    sentence = f"{loudness} LUFS, peaks at {peak} dBTP under a ceiling of {ceiling}."
    if report.preview is not None:
        start, stop = (clock(second) for second in (report.preview.start_s, report.preview.stop_s))
        return "met", f"Preview of {start} to {stop}", f"as it will be in the master: {sentence}"
    return "met", f"Target met ({target.name})", sentence


def clock(seconds: float) -> str:
    """Minutes and seconds: 75 is 1:15."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def album_verdict(report: AlbumReport) -> tuple[str, str, str]:
    """How an album ended: a state (`met` or `missed`), its title and a sentence."""
    target, after = report.target, report.after
    if not report.met:
        return "missed", "Target missed", report.missed[0]
    loudness, peak = number(after.integrated_lufs), number(after.true_peak_dbtp)
    ceiling = number(target.ceiling_dbtp)
    count = len(report.songs)
    songs = f"{count} song" if count == 1 else f"{count} songs"
    sentence = f"{songs}, {loudness} LUFS as one, peaks at {peak} dBTP under a ceiling of {ceiling}."
    return "met", f"Target met ({target.name})", sentence


def pause_words(pause: AlbumPause) -> str:
    """The silence between two songs of an album."""
    if pause.runs_on:
        return "runs on"
    added = f" + {number(pause.added_s)}" if pause.added_s else ""
    return f"{number(pause.in_files_s)}{added} s"
