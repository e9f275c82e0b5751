"""The report of repairs alone as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mixagent.pipeline.measure.meters import SHORT_TERM_STEPS, EnergyMeter, windowed_loudness
from mixagent.pipeline.types import AudioSource, blocks
from mixagent.report.frame import template, write_whole
from mixagent.report.listening import choose_excerpt, listening_rate
from mixagent.report.player import Player, Side, build_player, longest_s
from mixagent.report.repair_page import Solo, repairs_shown, solos
from mixagent.report.restore_model import RestoreReport
from mixagent.report.sounds import RepairSound


def write_restore_page(
    report: RestoreReport,
    before: AudioSource,
    after: AudioSource,
    repairs: Mapping[str, RepairSound],
    path: Path,
) -> None:
    """Write the report of repairs as one self-contained HTML page.

    Args:
        report: of the repairs.
        before, after: the song and the repaired one.
        repairs: the sound of each repair, by its stage.
        path: where the page goes; it is written beside and renamed into place.

    Raises:
        OutputError: the page cannot be written.
    """
    alone = solos(report.repairs, repairs)
    player = _player(report, before, after, alone)
    excerpt = None if player is None else player.excerpt
    page = template("restored.html").render(
        report=report,
        data=report.to_dict(),
        kind="repairs",
        scripts=["restored.js"],
        title=Path(report.input.path).name,
        player=player,
        repairs=repairs_shown(report.repairs, repairs, alone, excerpt, 0.0, report.input.duration_s),
    )
    write_whole(path, page)


def _player(
    report: RestoreReport, before: AudioSource, after: AudioSource, alone: Mapping[str, Solo]
) -> Player | None:
    """The song, the repaired one and each repair alone; None for a song without a sample."""
    duration_s = before.frames / before.rate
    if duration_s == 0:
        return None
    sides = (
        Side("before", "A", "Before", "before", before, report.before.integrated_lufs),
        Side("after", "B", "After", "after", after, report.after.integrated_lufs),
        *(solo.side for solo in alone.values()),
    )
    meter = EnergyMeter.k_weighted(after.rate, after.channels)
    for block in blocks(after):
        meter.update(block)
    lufs = [float(value) for value in windowed_loudness(meter.energies, SHORT_TERM_STEPS)[::10]]
    excerpt = choose_excerpt(duration_s, lufs, longest_s(len(alone)))
    return build_player(sides, excerpt, listening_rate(after.rate), "after")
