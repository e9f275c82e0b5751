"""The summary that a person reads in the terminal after a master."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.report.conducting import explained_lines
from mixagent.report.goals import section_lines
from mixagent.report.measures import translation_rows
from mixagent.report.model import (
    Codecs,
    Judged,
    PlatformRow,
    RepairRow,
    Report,
    SectionRow,
    StageRow,
    StemsSection,
    StripRow,
    TranslationRow,
)
from mixagent.report.repairs import measured_words, repair_title, work_words
from mixagent.report.strips import strip_words
from mixagent.report.words import (
    codec_words,
    number,
    percent,
    platforms_first,
    playback_words,
    property_words,
    role_label,
    stage_words,
    strengths_words,
    track_words,
    verdict,
)

_ROWS = (
    ("Integrated loudness", "integrated_lufs", "LUFS", False),
    ("Loudness range", "loudness_range_lu", "LU", False),
    ("True peak", "true_peak_dbtp", "dBTP", False),
    ("Peak to loudness", "plr_db", "dB", False),
    ("Crest factor", "crest_db", "dB", False),
    ("Balance, right against left", "balance_db", "dB", True),
    ("Lost in mono", "mono_fold_loss_db", "dB", False),
)


def summary_text(report: Report) -> RenderableType:
    """Faults, what was done, and the measures before and after, for an 80-column terminal."""
    summary = report.summary
    return Group(
        _verdict(report),
        *_tracks(report.stems_in),
        *(Text(property_words(row)) for row in report.properties),
        *judged_text(report.judged),
        *sentences("What was wrong", summary.wrong, NOTHING_FOUND),
        *sentences("What was done", summary.done, "nothing"),
        *repair_lines(report.restoration, report.input.duration_s),
        *_sections(report.sections),
        *_strips(report.strips),
        *_afterwards("What is left of it", summary.left),
        *_afterwards("What came with it", summary.new),
        *_strengths(report.decision.strengths),
        _measures(report.before, report.after),
        *translation_table(report.translation, report.translation_after),
        *_platforms(report.platforms, report.target.name),
        *_codecs(report.codecs),
        *_project(report),
        *stages_text(report.stages),
        *(Text(f"! {line}", style="yellow") for line in report.warnings),
    )


def explained_text(report: Report) -> RenderableType:
    """What the conductor tried and why, and all that it said to a language model and was told."""
    section = report.decision.conductor
    lines = [] if section is None else explained_lines(section)
    return Group(*sentences("The conductor", lines, "there was none: give --conductor"))


def _project(report: Report) -> list[RenderableType]:
    """The files of the mix as a workstation's project, without those of its tracks."""
    return [Text(f"Project: {row.path}") for row in report.project if row.format != "wav"]


def planned_text(report: Report) -> RenderableType:
    """The findings of a dry run, and what would be done."""
    return Group(
        Text.assemble(("Dry run", "bold"), ": nothing was rendered or written."),
        *(Text(property_words(row)) for row in report.properties),
        *judged_text(report.judged),
        *sentences("What is wrong", report.summary.wrong, NOTHING_FOUND),
        *sentences("What would be done", report.summary.done, "nothing"),
        *repair_lines(report.restoration, report.input.duration_s),
        *_sections(report.sections),
        *_strips(report.strips),
        *_strengths(report.decision.strengths),
        *stages_text(report.stages),
        *(Text(f"! {line}", style="yellow") for line in report.warnings),
    )


NOTHING_FOUND = "nothing for certain"


def judged_text(judged: Judged | None) -> list[RenderableType]:
    """The music that a song was held against, in a line; none for silence."""
    return [] if judged is None else [Text(judged.words, style="dim")]


def repair_lines(rows: Sequence[RepairRow], duration_s: float) -> list[RenderableType]:
    """A line for each repair that changed something, by what was measured of it; none where none did."""
    lines = []
    for row in (row for row in rows if row.applied):
        amount = [f"at {percent(row.amount)}"] if row.amount < 1.0 else []
        told = [*amount, *measured_words(row, duration_s), work_words(row)]
        lines.append(f"{repair_title(row)}: {'; '.join(told)}")
    return sentences("Repairs, measured", lines, "") if lines else []


def _sections(rows: Sequence[SectionRow]) -> list[RenderableType]:
    """A line for each section; none where the song is one."""
    return sentences("Sections", section_lines(rows), "") if rows else []


def _strips(rows: Sequence[StripRow]) -> list[RenderableType]:
    """A line for each stem: what was done, or why it was left alone; none without stems."""
    return sentences("The mix, stem by stem", [strip_words(row) for row in rows], "") if rows else []


def _afterwards(title: str, lines: Sequence[str]) -> list[RenderableType]:
    return sentences(title, lines, "") if lines else []


def _verdict(report: Report) -> Text:
    state, title, sentence = verdict(report)
    colour = {"met": "bold green", "missed": "bold red", "untouched": "bold"}[state]
    return Text.assemble((title, colour), f": {sentence}")


def sentences(title: str, lines: Sequence[str], otherwise: str) -> list[RenderableType]:
    """A title over one line for each sentence, or over what stands there where there is none."""
    rows = Table.grid(padding=(0, 1))
    rows.add_column()
    rows.add_column(overflow="fold")
    for line in lines or (otherwise,):
        rows.add_row("·", Text(line))
    return [Text(title, style="bold"), Padding(rows, (0, 0, 0, 1), expand=False)]


def _strengths(strengths: Strengths) -> list[RenderableType]:
    words = strengths_words(strengths)
    return [Text(f"Strengths: {words}, the rest in full")] if words else []


def stages_text(rows: Sequence[StageRow]) -> list[RenderableType]:
    """The stages in their order, with time and peak of memory; those found in the cache are counted, and
    those that had nothing to do at once are left out.
    """
    shown = [row for row in rows if row.status == "ran" or (row.status == "skipped" and row.seconds >= 0.1)]
    if not shown:
        return []
    cached = sum(row.status == "cached" for row in rows)
    kept = f"; {cached} more were in the cache" if cached else ""
    shared = " (* with others side by side)" if any(row.beside for row in shown) else ""
    line = f"Stages, time, most memory{shared}: {' → '.join(map(stage_words, shown))}{kept}"
    return [Text(line, style="dim")]


def _platforms(rows: Sequence[PlatformRow], target: str) -> list[RenderableType]:
    """The platforms that matter first and what their normalisation does, those alike in one row."""
    first, rest = platforms_first(rows, target)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in first:
        played = number(row.gain_db, sign=True), number(row.integrated_lufs), playback_words(row)
        alike.setdefault(played, []).append(row.title)
    if not alike:
        return []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Played on", overflow="fold")
    table.add_column("gain dB", justify="right")
    table.add_column("LUFS", justify="right")
    table.add_column("", overflow="fold")
    for (gain, lufs, words), titles in alike.items():
        table.add_row(", ".join(titles), gain, lufs, Text(words, style="dim"))
    more = [Text(f"and {len(rest)} more in the report", style="dim")] if rest else []
    return [table, *more]


def _codecs(codecs: Codecs | None) -> list[RenderableType]:
    """Peak and loudness of the master after lossy codecs."""
    if codecs is None:
        return []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("After", "kb/s", "dBTP", "LUFS"):
        table.add_column(column, justify="left" if column == "After" else "right")
    table.add_column("", style="dim")
    for check in codecs.checks:
        peak, lufs = number(check.true_peak_dbtp, 2), number(check.integrated_lufs)
        table.add_row(check.codec, str(check.kbps), peak, lufs, codec_words(check))
    return [table]


def _tracks(stems_in: StemsSection | None) -> list[RenderableType]:
    """A row for each of the user's own tracks: what it was taken for, how that was found, what was done."""
    if stems_in is None:
        return []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("Track", "is", "by", ""):
        table.add_column(column, overflow="fold")
    for row in stems_in.tracks:
        table.add_row(Text(row.file), role_label(row), row.how, Text(track_words(row), style="dim"))
    return [table]


def translation_table(*versions: Sequence[TranslationRow]) -> list[RenderableType]:
    """The losses on each playback: the loudness of every version of a song, and the last one in words."""
    if not versions[-1]:
        return []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Heard on")
    for head in ("LU lost",) if len(versions) == 1 else ("LU lost before", "after"):
        table.add_column(head, justify="right")
    table.add_column("", overflow="fold")
    for row in translation_rows(versions):
        style = "yellow" if row.found else "dim"
        table.add_row(row.name, *map(number, row.lost_lu), Text(row.says, style=style))
    return [table]


def _measures(before: Analysis, after: Analysis) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Measured")
    table.add_column("before", justify="right", style="dim")
    table.add_column("after", justify="right", style="bold")
    table.add_column("")
    for name, key, unit, sign in _ROWS:
        values = (number(getattr(side, key), sign=sign) for side in (before, after))
        table.add_row(name, *values, unit)
    return table
