"""The report as one HTML file that needs nothing else: no network, no fonts, no second file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mixagent.pipeline.audio import AudioSource
from mixagent.report import charts, words
from mixagent.report.frame import template, write_whole
from mixagent.report.listening import choose_excerpt, listening_rate
from mixagent.report.measures import band_rows, measure_rows, translation_rows
from mixagent.report.player import Side, build_player

Report = Mapping[str, Any]


def write_page(report: Report, before: AudioSource, after: AudioSource, path: Path) -> None:
    """Write the report of a master as one self-contained HTML page.

    Args:
        report: the report object, schema `mixagent.report/1`.
        before: the input as it was heard, any rate and length.
        after: the master.
        path: where the page goes; it is written beside and renamed into place.

    Raises:
        OutputError: the page cannot be written.
    """
    write_whole(path, render_page(report, before, after))


def render_page(report: Report, before: AudioSource, after: AudioSource) -> str:
    """The page's HTML."""
    return template("page.html").render(
        report=report,
        kind="report",
        scripts=["report.js"],
        title=Path(report["input"]["path"]).name,
        player=_player(report, before, after),
        charts=_charts(report),
        findings=_findings(report),
        properties=[words.property_words(row) for row in report["properties"]],
        verdict=words.verdict(report),
        tracks=_tracks(report.get("stems_in")),
        chain=_chain(report["decision"]["parameters"]),
        strengths=words.strengths_words(report["decision"].get("strengths", {})),
        feedback=_feedback(report.get("feedback")),
        translation=translation_rows([report.get(name, ()) for name in ("translation", "translation_after")]),
        outputs=report.get("outputs", [report["output"]]),
        platforms=[{**row, "words": words.playback_words(row)} for row in report.get("platforms", ())],
        codecs=[
            {**row, "words": words.codec_words(row)} for row in (report.get("codecs") or {}).get("checks", ())
        ],
        measures=measure_rows([report["before"], report["after"]]),
        bands=band_rows([report["before"], report["after"]]),
    )


def _player(report: Report, before: AudioSource, after: AudioSource) -> dict[str, Any] | None:
    """What the player holds, or `None` for an input without a sample."""
    duration_s = min(before.frames / before.rate, after.frames / after.rate)
    if duration_s == 0:
        return None
    sides = (
        Side("before", "A", "Before", "before", before, report["before"]["integrated_lufs"]),
        Side("after", "B", "After", "after", after, report["after"]["integrated_lufs"]),
    )
    excerpt = choose_excerpt(duration_s, report["after"]["short_term_lufs"])
    return build_player(sides, excerpt, listening_rate(after.rate), "after")


def _charts(report: Report) -> dict[str, charts.Chart]:
    sides = {"before": report["before"], "after": report["after"]}
    loudness = {name: side["short_term_lufs"] for name, side in sides.items()}
    # What was trimmed off is not on the master's time.
    start_s, end_s = (report.get("edits", {}).get(f"trimmed_{side}_s", 0.0) for side in ("start", "end"))
    loudness["before"] = loudness["before"][round(start_s) :]
    duration_s = report["input"]["duration_s"] - start_s - end_s
    target_lufs = report["target"]["integrated_lufs"]
    return {
        "spectrum": charts.spectrum_chart(sides),
        "difference": charts.difference_chart(report["before"], report["after"]),
        "loudness": charts.loudness_chart(loudness, duration_s, target_lufs),
    }


def _findings(report: Report) -> list[dict[str, Any]]:
    """The five pathologies in their order, then the defects, each with its severity afterwards if known."""
    later = {row["kind"]: row for row in report.get("diagnosis_after") or ()}
    order = {kind: place for place, kind in enumerate(words.PATHOLOGIES)}
    rows = sorted(report["diagnosis"], key=lambda row: order.get(row["kind"], len(order)))
    return [{**row, "words": words.explanation(row["kind"]), "after": later.get(row["kind"])} for row in rows]


def _tracks(stems_in: Report | None) -> list[dict[str, Any]]:
    """The rows of the user's own tracks."""
    rows = [] if stems_in is None else stems_in["tracks"]
    return [{**row, "label": words.role_label(row), "words": words.track_words(row)} for row in rows]


def _feedback(account: Report | None) -> dict[str, Any] | None:
    """What each render measured, a row for each figure, and what was changed from one to the next."""
    if account is None or not account["renders"][0]["figures"]:
        return None
    renders = account["renders"]
    out = [{miss["name"] for miss in row["out"]} for row in renders]
    rows = [
        {
            "label": aim["label"][:1].upper() + aim["label"][1:],
            "unit": aim["unit"],
            "fine": words.span_words(aim["low"], aim["high"]),
            "song": account["song"].get(aim["name"]),
            "values": [
                (row["figures"][aim["name"]], aim["name"] in o) for row, o in zip(renders, out, strict=True)
            ],
        }
        for aim in account["aims"]
        if aim["name"] in renders[0]["figures"]
    ]
    changes = [(row["render"], change["words"]) for row in renders for change in row["changes"]]
    return {"rows": rows, "changes": changes, "kept": account["kept"], "ended": account["ended"]}


def _chain(parameters: Sequence[Report]) -> list[dict[str, Any]]:
    """The chain's places in order, each with the rows that were set and those left neutral."""
    groups = groupby(parameters, key=lambda row: row["where"])
    return [_place(where, [_row(row) for row in rows]) for where, rows in groups]


def _place(where: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "name": words.place_label(where),
        "set": [row for row in rows if row["value"] != row["neutral"]],
        "neutral": [row for row in rows if row["value"] == row["neutral"]],
    }


def _row(row: Report) -> dict[str, Any]:
    at, rest = (100 * words.range_position(row, row[key]) for key in ("value", "neutral"))
    unit = row["unit"]
    return {
        **row,
        "label": words.parameter_label(row["name"]),
        "text": words.parameter_value(row["value"], unit, row["low"] < 0),
        "ends": tuple(words.parameter_value(row[end], unit, row["low"] < 0) for end in ("low", "high")),
        "at": at,
        "rest": rest,
        "from": min(at, rest),
        "span": abs(at - rest),
    }
