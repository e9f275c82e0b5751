"""The report as one HTML file that needs nothing else: no network, no fonts, no second file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mixagent.pipeline.types import AudioSource
from mixagent.report import charts, words
from mixagent.report.actions import answers
from mixagent.report.frame import template, write_whole
from mixagent.report.listening import choose_excerpt, listening_rate
from mixagent.report.measures import band_rows, measure_rows, translation_rows
from mixagent.report.player import Side, build_player
from mixagent.report.spectrogram import CHANGE_DB, HIGH_HZ, LOW_HZ, RANGE_DB, spectrograms

Report = Mapping[str, Any]


def write_page(report: Report, before: AudioSource, after: AudioSource, path: Path) -> None:
    """Write the report of a master as one self-contained HTML page.

    Args:
        report: the report object, schema `mixagent.report/2`.
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
        gauges=charts.gauges(report) if _is_judged(report) else [],
        spectrograms=_spectrograms(report, before, after),
        findings=_findings(report["findings"]),
        properties=[words.property_words(row) for row in report["properties"]],
        verdict=words.verdict(report),
        tracks=_tracks(report.get("stems_in")),
        chain=_chain(report["decision"]["parameters"]),
        done=_done(report),
        graphic=_graphic(report["decision"]["parameters"]),
        strengths=words.strengths_words(report["decision"].get("strengths", {})),
        feedback=_feedback(report.get("feedback")),
        translation=translation_rows([report.get(name, ()) for name in ("translation", "translation_after")]),
        outputs=report.get("outputs", [report["output"]]),
        platforms=_platforms(report.get("platforms", ()), report["target"]["name"]),
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


def _is_judged(report: Report) -> bool:
    """Whether both sides were held against finished music: silence is not."""
    return report["judged"] is not None and None not in report["measures"].values()


def _charts(report: Report) -> dict[str, charts.Chart | None]:
    sides = {"before": report["before"], "after": report["after"]}
    loudness = {name: side["short_term_lufs"] for name, side in sides.items()}
    # What was trimmed off is not on the master's time.
    start_s, end_s = _trimmed_s(report)
    loudness["before"] = loudness["before"][round(start_s) :]
    duration_s = report["input"]["duration_s"] - start_s - end_s
    target_lufs = report["target"]["integrated_lufs"]
    drawn: dict[str, charts.Chart | None] = {
        "loudness": charts.loudness_chart(loudness, duration_s, target_lufs),
        **dict.fromkeys(("tone", "width", "tone_change", "width_change")),
    }
    if _is_judged(report):
        drawn["tone"] = charts.tone_chart(report)
        drawn["width"] = charts.width_chart(report)
        drawn["tone_change"] = charts.change_chart(report, "tone")
        drawn["width_change"] = charts.change_chart(report, "width")
    return drawn


def _trimmed_s(report: Report) -> tuple[float, float]:
    edits = report.get("edits", {})
    return edits.get("trimmed_start_s", 0.0), edits.get("trimmed_end_s", 0.0)


def _spectrograms(report: Report, before: AudioSource, after: AudioSource) -> dict[str, Any] | None:
    images = spectrograms(
        before, after, (report["before"]["integrated_lufs"], report["after"]["integrated_lufs"])
    )
    if images is None:
        return None
    seconds = min(source.frames / source.rate for source in (before, after))
    return {
        "images": vars(images),
        "x_ticks": charts.time_ticks(0.0, seconds),
        "y_ticks": charts.height_ticks(LOW_HZ, HIGH_HZ),
        "range_db": round(RANGE_DB),
        "change_db": round(CHANGE_DB),
    }


def _findings(findings: Mapping[str, Sequence[Report]]) -> dict[str, list[dict[str, Any]]]:
    """What was found before or after, and what was looked for and not found, each with both sides."""
    later = {row["name"]: row for row in findings["after"]}
    rows = list(findings["before"])
    known = {row["name"] for row in rows}
    added = [row for row in findings["after"] if row["name"] not in known]
    rows += [{**row, "found": False, "severity": 0.0} for row in added]
    parts: dict[str, list[dict[str, Any]]] = {"found": [], "rest": []}
    for row in rows:
        after = later.get(row["name"])
        found = row["found"] or (after is not None and after["found"])
        kind = row["pathology"]
        parts["found" if found else "rest"].append(
            {
                **row,
                "title": row["name"][:1].upper() + row["name"][1:],
                "pathology": None if kind is None else words.explanation(kind),
                "after": after or {"found": False, "severity": 0.0},
                "then": None if after is None or after["sentence"] == row["sentence"] else after["sentence"],
            }
        )
    parts["found"].sort(key=lambda row: -max(row["severity"], row["after"]["severity"]))
    explained: set[str] = set()
    for row in parts["found"]:
        row["first"] = row["pathology"] is not None and row["pathology"].name not in explained
        explained |= {row["pathology"].name} if row["first"] else set()
    return parts


def _done(report: Report) -> list[dict[str, Any]]:
    """What was done: of the actions each part, of all else the sentence."""
    acted = {answer.words: answer for answer in answers(report["actions"])}
    return [{"words": line, "answer": acted.get(line)} for line in report["summary"]["done"]]


def _platforms(rows: Sequence[Report], target: str) -> dict[str, list[dict[str, Any]]]:
    parts = zip(("first", "rest"), words.platforms_first(rows, target), strict=True)
    return {name: [{**row, "words": words.playback_words(row)} for row in part] for name, part in parts}


def _graphic(parameters: Sequence[Report]) -> str:
    """How many bands of the graphic equaliser were moved, in words; empty where none were."""
    kinds = ("tone", "width", "balance")
    counts = [
        sum(p["value"] != p["neutral"] for p in parameters if p["name"].startswith(f"graphic.{kind}_"))
        for kind in kinds
    ]
    told = [f"{count} bands of {kind}" for count, kind in zip(counts, kinds, strict=True) if count]
    return ", ".join(told)


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
        if aim["name"] in renders[0]["figures"] and (not _is_band(aim) or any(aim["name"] in o for o in out))
    ]
    changes = [(row["render"], told) for row in renders for told in row["told"]]
    return {"rows": rows, "changes": changes, "kept": account["kept"], "ended": account["ended"]}


def _is_band(aim: Report) -> bool:
    """Whether an aim is one of the many bands of the graphic equaliser."""
    return re.fullmatch(r"(tone|width)_\d+", aim["name"]) is not None


def _chain(parameters: Sequence[Report]) -> list[dict[str, Any]]:
    """The chain's places in order, each with the rows that were set and those left neutral."""
    groups = groupby(parameters, key=lambda row: row["where"])
    return [_place(where, [_row(row) for row in rows]) for where, rows in groups]


def _place(where: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "name": words.place_label(where),
        "set": [row for row in rows if row["value"] != row["neutral"]],
        "neutral": [
            row for row in rows if row["value"] == row["neutral"] and not row["name"].startswith("graphic.")
        ],
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
