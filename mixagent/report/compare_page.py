"""Versions of a song on one page: a player that switches between all of them, and blind tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixagent.pipeline.measure.meters import SHORT_TERM_STEPS, EnergyMeter, windowed_loudness
from mixagent.pipeline.types import AudioSource, blocks
from mixagent.report import charts
from mixagent.report.frame import template, write_whole
from mixagent.report.listening import LONGEST_S, choose_excerpt, listening_rate
from mixagent.report.measures import band_rows, measure_rows
from mixagent.report.model import ComparedVersion, ListeningReport
from mixagent.report.player import Player, Side, build_player
from mixagent.report.serial import to_json

Curve = Sequence[float | None]


def write_compare_page(found: ListeningReport, sides: Sequence[AudioSource], path: Path) -> None:
    """Write a comparison as one self-contained HTML page.

    Args:
        found: versions on one time.
        sides: the compared part of each version, all of one length in seconds.
        path: where the page goes.

    Raises:
        OutputError: the page cannot be written.
    """
    write_whole(path, render_compare_page(found, sides))


@dataclass(frozen=True)
class VersionShown:
    """A version and the custom property of the stylesheet that it is drawn in."""

    version: ComparedVersion
    colour: str


def render_compare_page(found: ListeningReport, sides: Sequence[AudioSource]) -> str:
    """The page's HTML."""
    files = found.files
    analyses = [file.analysis for file in files]
    colours = [f"side-{k}" for k in range(1, len(files) + 1)]
    curves = [_short_term_lufs(side) for side in sides]
    duration_s = min(side.frames / side.rate for side in sides)
    return template("compare.html").render(
        report=found,
        data={**found.to_dict(), "short_term_lufs": to_json(curves)},
        kind="comparison",
        title=_title([file.name for file in files]),
        scripts=["blind.js", "compare.js"],
        player=_player(files, sides, colours, curves, duration_s),
        versions=[VersionShown(file, colour) for file, colour in zip(files, colours, strict=True)],
        measures=measure_rows(analyses),
        bands=band_rows(analyses),
        duration_s=duration_s,
        spectrum=charts.spectrum_chart(dict(zip(colours, analyses, strict=True))),
        loudness=charts.loudness_chart(dict(zip(colours, curves, strict=True)), duration_s),
    )


def _title(names: Sequence[str]) -> str:
    if len(names) <= 3:
        return " · ".join(names)
    return f"{names[0]} and {len(names) - 1} other versions"


def _player(
    files: Sequence[ComparedVersion],
    sides: Sequence[AudioSource],
    colours: Sequence[str],
    curves: Sequence[Curve],
    duration_s: float,
) -> Player | None:
    """All versions; of long songs as much as keeps the page as large as one with two."""
    if duration_s == 0:
        return None
    listed = [
        Side(file.letter, file.letter, file.name, colour, side, file.compared_lufs)
        for file, colour, side in zip(files, colours, sides, strict=True)
    ]
    excerpt = choose_excerpt(duration_s, curves[0], 2 * LONGEST_S // len(files))
    return build_player(listed, excerpt, listening_rate(max(side.rate for side in sides)), listed[0].name)


def _short_term_lufs(source: AudioSource) -> list[float | None]:
    """Loudness of 3 s, one value a second."""
    meter = EnergyMeter.k_weighted(source.rate, source.channels)
    for block in blocks(source):
        meter.update(block)
    values = windowed_loudness(meter.energies, SHORT_TERM_STEPS)[::10]
    return [round(float(value), 2) if math.isfinite(value) else None for value in values]
