"""Judgement of a song's stems: their level, how far they can be trusted, and what to warn of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixagent.pipeline.decibels import amplitude_to_db
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.graph.runner import Result, StageContext
from mixagent.pipeline.separation import STEM_SETS
from mixagent.pipeline.types import AudioSource, Combination, Stems, blocks
from mixagent.report.serial import from_json
from mixagent.report.split_model import SplitWarning, StemRow
from mixagent.session.stages import split_stems

SILENT_PEAK_DBFS = -90.0
"""A stem whose peak is lower is silent; such a residual is not written: the stems alone sum to the song."""

SILENT_SHARE_DB = -40.0
"""A stem with less of the song's energy is as good as silent."""

LOW_CONFIDENCE = 0.6
"""Less of a stem than this is expected to be its own."""

FAINT_LU = 25.0
"""A stem so far below the song may be nothing but what leaked into it."""

SHORT_S = 3.0
"""Under this a separator hears too little of a song."""

QUIET_LUFS = -50.0
"""Stems of a song below this are too quiet to work with as they are."""


def chosen_stems(results: Mapping[str, Result], count: int | None) -> Stems:
    """The stems of a set of `STEM_SETS`: the last of them is all that the set does not name.

    The instrumental is the song without the vocals.

    Args:
        results: of the stages "decode" and "separate".
        count: a key of `STEM_SETS`; None for the stems as the separator gave them.
    """
    stems = split_stems(results["decode"].audio("audio"), results["separate"])
    if count is None:
        return stems
    *named, last = STEM_SETS[count]
    parts = {name: stems.parts[name] for name in named}
    rest = [(1.0, part) for name, part in stems.parts.items() if name not in named]
    if count == 2:
        rest = [(1.0, stems.mix), (-1.0, parts["vocals"])]
    return Stems(stems.mix, {**parts, last: Combination(tuple(rest))})


def judge_stems(context: StageContext) -> dict[str, Any]:
    """The level and confidence of each stem, the song's loudness, the residual's peak.

    The stage needs "decode" and "separate"; its setting `set` is the `count` of `chosen_stems`.
    """
    count = context.settings["set"]
    from mixagent.pipeline.measure.meters import integrated_lufs
    from mixagent.pipeline.separation.confidence import stem_confidence

    stems = chosen_stems(context.inputs, count)
    confidences = stem_confidence(stems, context.inputs["separate"].values.get("agreement_db"))
    judged = {}
    for done, (name, confidence) in enumerate(confidences.items(), 1):
        judged[name] = {
            "integrated_lufs": finite_or_none(integrated_lufs(stems.parts[name]), 2),
            "peak_dbfs": peak_dbfs(stems.parts[name]),
            "confidence": round(confidence.value, 3),
            "evidence": {key: round(value, 3) for key, value in confidence.evidence.items()},
        }
        context.progress(done / (len(confidences) + 1))
    return {
        "integrated_lufs": finite_or_none(integrated_lufs(stems.mix), 2),
        "stems": judged,
        "residual_peak_dbfs": None if count == 2 else peak_dbfs(stems.residual),
    }


@dataclass(frozen=True)
class JudgedStems:
    """Loudness of the song, its stems by name, and the peak of what they leave of it; None for silence."""

    integrated_lufs: float | None
    stems: Mapping[str, StemRow]
    residual_peak_dbfs: float | None


def judged_stems(results: Mapping[str, Result]) -> JudgedStems:
    """The judgement of the stage "judge stems"."""
    return from_json(JudgedStems, dict(results["judge stems"].values))


def peak_dbfs(source: AudioSource) -> float | None:
    """The highest sample in dBFS; None for silence."""
    peak = max((float(abs(block).max(initial=0.0)) for block in blocks(source)), default=0.0)
    return round(amplitude_to_db(peak), 2) if peak > 0 else None


def song_warnings(results: Mapping[str, Result]) -> list[SplitWarning]:
    """Warnings before anything is written, from the results of "decode" and "judge stems"."""
    judged, mix = judged_stems(results), results["decode"].audio("audio")
    warnings = [warning("input", line) for line in results["decode"].values["warnings"]]
    duration_s, lufs = mix.frames / mix.rate, judged.integrated_lufs
    if duration_s < SHORT_S:
        warnings.append(warning("short", f"{duration_s:.1f} s are little to tell stems apart by"))
    if not any(_is_heard(stem) for stem in judged.stems.values()):
        return [*warnings, warning("silent", "the song is silent, and so is every stem")]
    if lufs is None or lufs < QUIET_LUFS:
        level = "under -70 LUFS" if lufs is None else f"{lufs:.0f} LUFS"
        text = f"the song is very quiet ({level}), and so are its stems: normalising raises them"
        warnings.append(warning("quiet", text))
    for name, stem in judged.stems.items():
        warnings += _stem_warnings(name, stem, lufs)
    return warnings


def _is_heard(stem: StemRow) -> bool:
    return stem.peak_dbfs is not None and stem.peak_dbfs > SILENT_PEAK_DBFS


def _stem_warnings(name: str, stem: StemRow, song_lufs: float | None) -> list[SplitWarning]:
    share_db, lufs = stem.evidence["share_db"], stem.integrated_lufs
    if not _is_heard(stem) or share_db < SILENT_SHARE_DB:
        share = "it holds nothing" if stem.peak_dbfs is None else f"it has {share_db:.0f} dB of the energy"
        return [warning("silent", f"{name} is as good as silent: {share}", name)]
    if song_lufs is not None and (lufs is None or lufs < song_lufs - FAINT_LU):
        far = "" if lufs is None else f", {song_lufs - lufs:.0f} LU below the song"
        return [warning("faint", f"{name} is faint{far}: it may be what leaked from other stems", name)]
    if stem.confidence < LOW_CONFIDENCE:
        text = f"low confidence in {name} ({stem.confidence:.2f}): expect other stems in it"
        return [warning("low_confidence", text, name)]
    return []


def warning(kind: str, text: str, stem: str | None = None) -> SplitWarning:
    """A warning; `stem` is None where it is of the whole song."""
    return SplitWarning(kind=kind, stem=stem, text=text)
