"""The report as one HTML file that needs nothing else: no network, no fonts, no second file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mixagent.pipeline.audio import AudioSource
from mixagent.pipeline.diagnosis import FOUND
from mixagent.pipeline.errors import OutputError
from mixagent.report import charts, words
from mixagent.report.listening import Excerpt, choose_excerpt, listening_rate, mp3, peaks

WAVE_COLUMNS = 1000

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
    _write_whole(path, render_page(report, before, after))


def render_page(report: Report, before: AudioSource, after: AudioSource) -> str:
    """The page's HTML."""
    return _template().render(
        report=report,
        title=Path(report["input"]["path"]).name,
        player=_player(report, before, after),
        charts=_charts(report),
        findings=_findings(report),
        properties=[words.property_words(row) for row in report["properties"]],
        verdict=words.verdict(report),
        tracks=_tracks(report.get("stems_in")),
        chain=_chain(report["decision"]["parameters"]),
        measures=_measures(report["before"], report["after"]),
        bands=_bands(report["before"], report["after"]),
    )


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    try:
        # A file name need not be valid text.
        partial.write_text(text, encoding="utf-8", errors="replace")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write the report {path}: {error.strerror}") from error


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("mixagent.report", "")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=words.number,
        clock=charts.clock,
        place=words.place_label,
        severity=words.severity_words,
    )
    here = Path(__file__).parent
    environment.globals.update(
        FOUND=FOUND,
        style=Markup((here / "page.css").read_text("utf-8")),
        script=Markup((here / "player.js").read_text("utf-8")),
        band_percent=charts.band_percent,
    )
    return environment.get_template("page.html")


def _player(report: Report, before: AudioSource, after: AudioSource) -> dict[str, Any] | None:
    """What the player holds, or `None` for an input without a sample."""
    duration_s = min(before.frames / before.rate, after.frames / after.rate)
    if duration_s == 0:
        return None
    excerpt = choose_excerpt(duration_s, report["after"]["short_term_lufs"])
    rate = listening_rate(after.rate)
    sides = {"before": before, "after": after}
    return {
        "excerpt": excerpt,
        "ticks": charts.time_ticks(excerpt.start_s, excerpt.stop_s),
        "sides": {name: _side(report[name], source, excerpt, rate) for name, source in sides.items()},
        "match_db": match_db(report["before"]["integrated_lufs"], report["after"]["integrated_lufs"]),
    }


def _side(analysis: Report, source: AudioSource, excerpt: Excerpt, rate: int) -> dict[str, Any]:
    return {
        "mp3": base64.b64encode(mp3(source, excerpt, rate)).decode("ascii"),
        "wave": charts.envelope(*peaks(source, excerpt, WAVE_COLUMNS)),
        "lufs": analysis["integrated_lufs"],
    }


def match_db(before_lufs: float | None, after_lufs: float | None) -> dict[str, float]:
    """The gain in dB that brings each side to the quieter one's loudness: never above 0, so nothing clips."""
    if before_lufs is None or after_lufs is None:
        return {"before": 0.0, "after": 0.0}
    level = min(before_lufs, after_lufs)
    return {"before": level - before_lufs, "after": level - after_lufs}


def _charts(report: Report) -> dict[str, charts.Chart]:
    before, after = report["before"], report["after"]
    return {
        "spectrum": charts.spectrum_chart(before, after),
        "difference": charts.difference_chart(before, after),
        "loudness": charts.loudness_chart(
            before["short_term_lufs"],
            after["short_term_lufs"],
            report["input"]["duration_s"],
            report["target"]["integrated_lufs"],
        ),
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


_MEASURES = (
    ("Integrated loudness", "integrated_lufs", "LUFS", 1, "how loud the whole song is heard"),
    ("Loudest 3 seconds", "short_term_max_lufs", "LUFS", 1, "short-term maximum"),
    ("Loudest moment", "momentary_max_lufs", "LUFS", 1, "momentary maximum, 0.4 s"),
    ("Loudness range", "loudness_range_lu", "LU", 1, "from the quiet passages to the loud ones"),
    ("True peak", "true_peak_dbtp", "dBTP", 1, "highest point of the wave that a player rebuilds"),
    ("Sample peak", "sample_peak_dbfs", "dBFS", 1, "highest sample in the file"),
    ("Peak to loudness", "plr_db", "dB", 1, "room for attacks above the programme"),
    ("Crest factor", "crest_db", "dB", 1, "peak against average level"),
    ("Balance", "balance_db", "dB", 1, "right against left; 0 is centred"),
    ("Correlation", "correlation", "", 2, "1 is mono, 0 wide, below 0 out of phase"),
    ("Lost in mono", "mono_fold_loss_db", "dB", 1, "loudness that vanishes on one loudspeaker"),
    ("Bandwidth", "bandwidth_hz", "Hz", 0, "where the spectrum ends"),
    ("Attack sharpness", "transient_sharpness_db", "dB", 1, "how far attacks rise over what precedes them"),
    ("Attacks", "transient_density_hz", "/s", 1, "onsets per second"),
    ("Clipped runs", "clipped_runs", "", 0, "places with peaks cut flat"),
)
_SIGNED = {"balance_db"}


def _measures(before: Report, after: Report) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "unit": unit,
            "meaning": meaning,
            "before": words.number(before[key], digits, key in _SIGNED),
            "after": words.number(after[key], digits, key in _SIGNED),
        }
        for name, key, unit, digits, meaning in _MEASURES
    ]


_BANDS = {
    "sub": ("Sub", "20–60 Hz"),
    "bass": ("Bass", "60–200 Hz"),
    "low_mid": ("Low mid", "200–500 Hz"),
    "mid": ("Mid", "0.5–2 kHz"),
    "presence": ("Presence", "2–6 kHz"),
    "air": ("Air", "6–16 kHz"),
}


def _bands(before: Report, after: Report) -> list[dict[str, Any]]:
    """Each named band's share of the energy on both sides, in dB of the whole."""
    old, new = before["bands_db"], after["bands_db"]
    return [
        {"name": name, "range": span, "before": old[key], "after": new[key]}
        for key, (name, span) in _BANDS.items()
        if key in old and key in new
    ]
