"""What the report says of a master's delivery: platforms, codecs, playbacks, edits, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mixagent.pipeline.chain.edits import Span
from mixagent.pipeline.finaliser.codecs import CODECS
from mixagent.pipeline.finaliser.targets import INTENTS, PLATFORMS, Platform, playback
from mixagent.pipeline.io import content_hash
from mixagent.pipeline.measure.translation import told
from mixagent.report.words import number

if TYPE_CHECKING:
    from mixagent.session.request import Request

MONO_LOSS_DB = 3.5
"""What vanishes in mono is told from here on: two channels with nothing in common lose 3 dB."""


def platform_rows(analysis: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each platform's normalisation does to a master; nothing where it has no loudness.

    Args:
        analysis: of the master, as JSON values.
    """
    lufs, peak_dbtp = analysis["integrated_lufs"], analysis["true_peak_dbtp"]
    if lufs is None or peak_dbtp is None:
        return []
    return [
        {**platform_facts(platform), **asdict(playback(platform, lufs, peak_dbtp))}
        for platform in PLATFORMS.values()
    ]


def platform_facts(platform: Platform) -> dict[str, Any]:
    """A row of the table of platforms as JSON values."""
    target = platform.target
    return {
        "platform": target.name,
        "title": platform.title,
        "target_lufs": target.integrated_lufs,
        "ceiling_dbtp": target.ceiling_dbtp,
        "normalises": platform.normalises,
        "tolerance_lu": platform.tolerance_lu,
        "official": platform.official,
        "source": platform.source,
        "dated": platform.dated,
    }


def targets_object() -> dict[str, Any]:
    """What `mixagent targets --json` prints: every name that `--target` takes."""
    intents = [
        {
            **dict.fromkeys(("title", "source", "dated", "normalises"), ""),
            "platform": target.name,
            "target_lufs": target.integrated_lufs,
            "ceiling_dbtp": target.ceiling_dbtp,
            "official": True,
            "also": [],
        }
        for target in INTENTS.values()
    ]
    rows = [{**platform_facts(platform), "also": list(platform.also)} for platform in PLATFORMS.values()]
    return {"schema": "mixagent.targets/1", "targets": [*intents, *rows]}


def output_rows(request: Request, song_rate: int) -> list[dict[str, Any]]:
    """The files that were written, in the order that they were asked for."""
    return [
        {
            "path": str(path),
            "format": path.suffix[1:].lower(),
            "bit_depth": request.bit_depth,
            "rate": request.sample_rate or song_rate,
            "sha256": content_hash(path),
        }
        for path in request.outputs
    ]


def codec_account(request: Request, finish: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What codecs make of the master, and how its ceiling was brought to hold through them.

    Args:
        request: what was asked for.
        finish: what the finaliser left, None where it did not run.

    Returns:
        None where nothing was checked.
    """
    if finish is None or not finish["codec_renders"]:
        return None
    *_, last = finish["codec_renders"]
    ceiling_dbtp = request.target.ceiling_dbtp
    checks = [{**check, "over_db": _over_db(check, ceiling_dbtp)} for check in last["checks"]]
    return {
        "held": list(request.codec_plan.held),
        "absent": list(request.codec_plan.absent),
        "checks": checks,
        "renders": finish["codec_renders"],
    }


def _over_db(check: Mapping[str, Any], ceiling_dbtp: float) -> float:
    peak_dbtp = check["true_peak_dbtp"]
    return 0.0 if peak_dbtp is None else max(peak_dbtp - ceiling_dbtp, 0.0)


def edits_account(request: Request, span: Span | None, duration_s: float) -> dict[str, Any]:
    """What was done to the song's ends, in seconds.

    Args:
        request: what was asked for.
        span: the part of the song that was rendered; None where none was.
        duration_s: of the song as it came.
    """
    trimmed = span if request.edits.trim_silence else None
    start_s, stop_s = trimmed or (0.0, duration_s)
    return {
        "fade_in_s": request.edits.fade_in_s,
        "fade_out_s": request.edits.fade_out_s,
        "trimmed_start_s": start_s,
        "trimmed_end_s": max(duration_s - stop_s, 0.0),
    }


def edits_done(edits: Mapping[str, float]) -> list[str]:
    """The edits in words, from `edits_account`."""
    done = []
    if edits["trimmed_start_s"] or edits["trimmed_end_s"]:
        start, end = (number(edits[f"trimmed_{where}_s"], 2) for where in ("start", "end"))
        done.append(f"Silence trimmed: {start} s at the start, {end} s at the end")
    fades = [
        f"{way} over {number(edits[f'fade_{way}_s'], 2)} s" for way in ("in", "out") if edits[f"fade_{way}_s"]
    ]
    return [*done, *([f"Faded {' and '.join(fades)}"] if fades else [])]


def codecs_done(codecs: Mapping[str, Any] | None) -> list[str]:
    """How the ceiling was lowered for codecs, in words, from `codec_account`."""
    if codecs is None or len(codecs["renders"]) < 2:
        return []
    first, *_, last = codecs["renders"]
    lowered = number(last["ceiling_dbtp"], 2), number(first["ceiling_dbtp"], 2)
    through = ", ".join(codecs["held"])
    return [
        f"Limited to {lowered[0]} dBTP in {len(codecs['renders'])} renders, to hold {lowered[1]} dBTP "
        f"through {through}"
    ]


def delivery_warnings(after: Mapping[str, Any], codecs: Mapping[str, Any] | None) -> list[str]:
    """What the user should know before the master goes out.

    Args:
        after: what the stage that measured the master left.
        codecs: from `codec_account`.
    """
    mono_db = after["analysis"]["mono_fold_loss_db"]
    warnings = []
    if mono_db is not None and mono_db > MONO_LOSS_DB:
        warnings.append(f"{number(mono_db)} dB vanish in mono: left and right cancel each other")
    return [*warnings, *told(after["translation"]), *_codec_warnings(codecs)]


def _codec_warnings(codecs: Mapping[str, Any] | None) -> list[str]:
    if codecs is None:
        return []
    over = [
        f"{check['codec']} at {check['kbps']} kb/s peaks at {number(check['true_peak_dbtp'], 2)} dBTP"
        for check in codecs["checks"]
        if check["over_db"] > 0 and check["codec"] not in codecs["held"]
    ]
    absent = [f"{name} was not checked: {CODECS[name].missing()}" for name in codecs["absent"]]
    return [*(f"{line}: hold the ceiling through it, or lower the ceiling" for line in over), *absent]
