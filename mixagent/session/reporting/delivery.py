"""The report's sections on a master's files: platforms, codecs, playbacks, edits, outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mixagent.pipeline.chain.edits import Span
from mixagent.pipeline.finaliser.codecs import CODECS
from mixagent.pipeline.finaliser.targets import INTENTS, PLATFORMS, Platform, playback
from mixagent.pipeline.io import content_hash
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.translation import told
from mixagent.report.model import (
    CheckedCodec,
    CodecCheckRow,
    Codecs,
    EditsMade,
    IntentRow,
    Output,
    PlatformFacts,
    PlatformRow,
    TargetRow,
    TargetsReport,
    TranslationRow,
)
from mixagent.report.words import number

if TYPE_CHECKING:
    from mixagent.session.request import Request
    from mixagent.session.results import Finished

MONO_LOSS_DB = 3.5
"""A loss in mono is told from here on: two channels with nothing in common lose 3 dB."""


def platform_rows(integrated_lufs: float, true_peak_dbtp: float) -> tuple[PlatformRow, ...]:
    """The playback of a master on each platform; none where it has no loudness.

    Args:
        integrated_lufs: of the master; −inf for silence.
        true_peak_dbtp: the same.
    """
    if not (math.isfinite(integrated_lufs) and math.isfinite(true_peak_dbtp)):
        return ()
    return tuple(_platform_row(platform, integrated_lufs, true_peak_dbtp) for platform in PLATFORMS.values())


def _platform_row(platform: Platform, lufs: float, peak_dbtp: float) -> PlatformRow:
    played = asdict(playback(platform, lufs, peak_dbtp))
    return PlatformRow(**asdict(platform_facts(platform)) | played)


def platform_facts(platform: Platform) -> PlatformFacts:
    """A row of the table of platforms."""
    target = platform.target
    return PlatformFacts(
        platform=target.name,
        title=platform.title,
        target_lufs=target.integrated_lufs,
        ceiling_dbtp=target.ceiling_dbtp,
        normalises=platform.normalises,
        tolerance_lu=platform.tolerance_lu,
        official=platform.official,
        source=platform.source,
        dated=platform.dated,
    )


def targets_report() -> TargetsReport:
    """Every name that `--target` takes."""
    intents = [
        IntentRow(
            platform=target.name,
            target_lufs=target.integrated_lufs,
            ceiling_dbtp=target.ceiling_dbtp,
        )
        for target in INTENTS.values()
    ]
    rows = [
        TargetRow(**asdict(platform_facts(platform)), also=platform.also) for platform in PLATFORMS.values()
    ]
    return TargetsReport(targets=(*intents, *rows))


def output_rows(request: Request, song_rate: int) -> tuple[Output, ...]:
    """The files that were written, in the order that they were asked for."""
    return tuple(
        Output(
            path=str(path),
            format=path.suffix[1:].lower(),
            bit_depth=request.bit_depth,
            rate=request.sample_rate or song_rate,
            sha256=content_hash(path),
        )
        for path in request.outputs
    )


def codec_section(request: Request, finish: Finished | None) -> Codecs | None:
    """Peak and loudness after codecs, and how the ceiling was brought to hold through them.

    Args:
        request: what was asked for.
        finish: the finaliser's work, None where it did not run.

    Returns:
        None where nothing was checked.
    """
    if finish is None or not finish.codec_renders:
        return None
    *_, last = finish.codec_renders
    ceiling_dbtp = request.target.ceiling_dbtp
    return Codecs(
        held=request.codec_plan.held,
        absent=request.codec_plan.absent,
        checks=tuple(
            CheckedCodec(**asdict(check), over_db=_over_db(check, ceiling_dbtp)) for check in last.checks
        ),
        renders=finish.codec_renders,
    )


def _over_db(check: CodecCheckRow, ceiling_dbtp: float) -> float:
    return 0.0 if check.true_peak_dbtp is None else max(check.true_peak_dbtp - ceiling_dbtp, 0.0)


def edits_section(request: Request, span: Span | None, duration_s: float) -> EditsMade:
    """The edits of the song's ends, in seconds.

    Args:
        request: what was asked for.
        span: the part of the song that was rendered; None where none was.
        duration_s: of the song as it came.
    """
    trimmed = span if request.edits.trim_silence else None
    start_s, stop_s = trimmed or (0.0, duration_s)
    return EditsMade(
        fade_in_s=request.edits.fade_in_s,
        fade_out_s=request.edits.fade_out_s,
        trimmed_start_s=start_s,
        trimmed_end_s=max(duration_s - stop_s, 0.0),
    )


def edits_done(edits: EditsMade) -> list[str]:
    """The edits in words."""
    done = []
    if edits.trimmed_start_s or edits.trimmed_end_s:
        start, end = (number(seconds, 2) for seconds in (edits.trimmed_start_s, edits.trimmed_end_s))
        done.append(f"Silence trimmed: {start} s at the start, {end} s at the end")
    fades = [
        f"{way} over {number(seconds, 2)} s"
        for way, seconds in (("in", edits.fade_in_s), ("out", edits.fade_out_s))
        if seconds
    ]
    return [*done, *([f"Faded {' and '.join(fades)}"] if fades else [])]


def codecs_done(codecs: Codecs | None) -> list[str]:
    """How the ceiling was lowered for codecs, in words."""
    if codecs is None or len(codecs.renders) < 2:
        return []
    first, *_, last = codecs.renders
    lowered = number(last.ceiling_dbtp, 2), number(first.ceiling_dbtp, 2)
    through = ", ".join(codecs.held)
    return [
        f"Limited to {lowered[0]} dBTP in {len(codecs.renders)} renders, to hold {lowered[1]} dBTP "
        f"through {through}"
    ]


def delivery_warnings(
    analysis: Analysis, translation: Sequence[TranslationRow], codecs: Codecs | None
) -> list[str]:
    """Warnings for the user before the master goes out.

    Args:
        analysis: of the master.
        translation: of the master.
        codecs: the report's section.
    """
    mono_db = analysis.mono_fold_loss_db
    warnings = []
    if mono_db > MONO_LOSS_DB:
        warnings.append(f"{number(mono_db)} dB vanish in mono: left and right cancel each other")
    lost = [lost for row in translation for lost in row.found]
    return [*warnings, *told(lost), *_codec_warnings(codecs)]


def _codec_warnings(codecs: Codecs | None) -> list[str]:
    if codecs is None:
        return []
    over = [
        f"{check.codec} at {check.kbps} kb/s peaks at {number(check.true_peak_dbtp, 2)} dBTP"
        for check in codecs.checks
        if check.over_db > 0 and check.codec not in codecs.held
    ]
    absent = [f"{name} was not checked: {CODECS[name].missing()}" for name in codecs.absent]
    return [*(f"{line}: hold the ceiling through it, or lower the ceiling" for line in over), *absent]
