"""Output of `analyze`, `compare`, `targets`, `models` and `doctor` for a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixagent.doctor import Check
from mixagent.pipeline.models import ModelInfo
from mixagent.report.findings import found_rows
from mixagent.report.model import AnalysisReport, FindingRow, TargetsReport
from mixagent.report.restore_model import RepairsReport, RestoreReport
from mixagent.report.terminal import (
    NOTHING_FOUND,
    judged_text,
    repair_lines,
    sentences,
    stages_text,
    translation_table,
)
from mixagent.report.words import number, percent, property_words

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.checking import Checked
    from mixagent.pipeline.plugins.library import Plugin, Scanned
    from mixagent.pipeline.plugins.maps import PluginMap

_MOST_WORDS = 8

_ROWS = (
    ("Integrated loudness", "integrated_lufs", "LUFS"),
    ("Loudness range", "loudness_range_lu", "LU"),
    ("Loudest short term", "short_term_max_lufs", "LUFS"),
    ("Loudest momentary", "momentary_max_lufs", "LUFS"),
    ("True peak", "true_peak_dbtp", "dBTP"),
    ("Sample peak", "sample_peak_dbfs", "dBFS"),
    ("Peak to loudness", "plr_db", "dB"),
    ("Crest factor", "crest_db", "dB"),
    ("Balance, right against left", "balance_db", "dB"),
    ("Correlation", "correlation", ""),
    ("Lost in mono", "mono_fold_loss_db", "dB"),
    ("Bandwidth", "bandwidth_hz", "Hz"),
    ("Transients", "transient_density_hz", "/s"),
    ("Clipped runs", "clipped_runs", ""),
)
_DIGITS = {"bandwidth_hz": 0, "clipped_runs": 0, "correlation": 2}


def analysis_text(found: AnalysisReport) -> RenderableType:
    """Measures, findings and translation of one song."""
    warnings = [Text(f"! {line}", style="yellow") for line in found.warnings]
    properties = [Text(property_words(row)) for row in found.properties]
    played = translation_table(found.translation)
    wrong = [row.sentence for row in found_rows(found.findings)]
    return Group(
        _measures([found]),
        *judged_text(found.judged),
        *sentences("What is wrong", wrong, NOTHING_FOUND),
        *_likely(found.findings),
        *played,
        *properties,
        *warnings,
    )


def comparison_text(versions: Sequence[AnalysisReport]) -> RenderableType:
    """Measures and findings of several versions, a column each."""
    return Group(_measures(versions), _severities(versions))


def models_text(models: Sequence[ModelInfo]) -> RenderableType:
    """The models, their licences and whether they are here."""
    table = _table("model", "stage", "licence", "here", "how to get it")
    for model in models:
        table.add_row(
            model.name,
            model.kind,
            model.licence,
            _mark(model.present),
            Text("" if model.present else model.how),
        )
    return table


def plugins_text(files: Sequence[Scanned], maps: Sequence[PluginMap]) -> RenderableType:
    """The plug-ins that were found, what each can stand in for by a map, and files that did not load."""
    table = _table("plug-in", "version", "maker", "channels", "late", "stands in for")
    faults = []
    for row in files:
        if row.fault:
            faults.append(Text(f"! {row.fault}", style="yellow"))
        for plugin in row.plugins:
            table.add_row(
                plugin.name,
                plugin.version,
                plugin.maker,
                " or ".join(map(str, plugin.channels)) or "none",
                f"{plugin.latency} frames" if plugin.latency else "",
                ", ".join(each.effect for each in maps if each.plugin.casefold() == plugin.name.casefold()),
            )
    return Group(table, *faults) if files else Text("No plug-ins were found.")


def plugin_text(plugin: Plugin, maps: Sequence[PluginMap], presets: Sequence[str]) -> RenderableType:
    """A plug-in's parameters with ranges and units, its maps and its presets."""
    head = f"{plugin.name} {plugin.version} by {plugin.maker} ({plugin.format}), {plugin.path}"
    table = _table("parameter", "from", "to", "default", "unit", "set by")
    for row in plugin.parameters:
        low, high, value = (
            "" if number is None else f"{number:g}" for number in (row.low, row.high, row.value)
        )
        words = ", ".join(row.choices[:_MOST_WORDS])
        by = [f"{each.effect}: {each.set_by(row.key)}" for each in maps if row.key in each.keys]
        table.add_row(row.key, low or words, high, value or row.text, row.unit, "; ".join(by))
    told = [f"{each.effect}: {'; '.join(each.about())}" for each in maps]
    kept = [f"Presets: {', '.join(presets)}"] if presets else []
    return Group(Text(head), table, *map(Text, (*told, *kept)))


def checks_text(rows: Sequence[Checked]) -> RenderableType:
    """The checks of a plug-in."""
    table = _table("check", "holds", "found")
    for row in rows:
        table.add_row(row.check, _mark(row.held), row.words)
    return table


def restored_text(found: RestoreReport) -> RenderableType:
    """What was found of a song's defects, what was done and what that changed, and where it was written."""
    written = [] if found.output is None else [Text(found.output.path)]
    return Group(
        *([Text.assemble(("Dry run", "bold"), ": nothing was written.")] if found.dry_run else []),
        *sentences("What would be done" if found.dry_run else "What was done", found.done, ""),
        *repair_lines(found.repairs, found.input.duration_s),
        Text(f"Looked for: {', '.join(found.looked_for)}", style="dim"),
        *stages_text(found.stages),
        *written,
        *(Text(f"! {line}", style="yellow") for line in found.warnings),
    )


def repairs_text(known: RepairsReport) -> RenderableType:
    """Every repair, what it is for, its parameter and its models."""
    table = _table(
        "repair", "works on", "what it does", "parameter, 0 to 1", "model", "here", "how to get it"
    )
    for row in known.repairs:
        works_on = ", ".join(row.stems) if row.stems else "the mix"
        here = Text("") if not row.models else _mark(all(model.present for model in row.models))
        table.add_row(
            row.name,
            works_on,
            row.purpose,
            row.parameter,
            ", ".join(model.name for model in row.models),
            here,
            Text("; ".join(model.how for model in row.models if model.how)),
        )
    return table


def targets_text(targets: TargetsReport) -> RenderableType:
    """Every name that `--target` takes."""
    table = _table("target", "LUFS", "dBTP", "level when played", "what it is", "source")
    for row in targets.targets:
        told = "" if row.official else "unofficial: "
        table.add_row(
            ", ".join((row.platform, *row.also)),
            number(row.target_lufs),
            number(row.ceiling_dbtp),
            _NORMALISES[row.normalises],
            row.title,
            Text(f"{told}{row.source} ({row.dated})" if row.source else ""),
        )
    return table


_NORMALISES = {
    "": "",
    "never": "as it is",
    "down": "turned down",
    "both": "turned down and up",
    "limiter": "turned down and up, limited",
    "refuses": "refused where it is off",
}


def doctor_text(checks: Sequence[Check]) -> RenderableType:
    """The doctor's checks, and what to do about those that are not well."""
    table = _table("", "what", "state", "to do")
    for check in checks:
        colour = "green" if check.ok else "red" if check.needed else "yellow"
        table.add_row(check.group, check.name, Text(check.state, style=colour), Text(check.remedy or ""))
    return table


def _table(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _mark(present: bool) -> Text:
    return Text("yes", style="green") if present else Text("no", style="yellow")


def _measures(files: Sequence[AnalysisReport]) -> Table:
    table = _table("Measured", *(Path(file.input.path).name for file in files), "")
    for label, key, unit in _ROWS:
        values = [number(getattr(file.analysis, key), _DIGITS.get(key, 1)) for file in files]
        table.add_row(label, *values, unit)
    return table


_LIKELY = 0.2
"""Least probability of a fault that is listed."""


def _likely(findings: Sequence[FindingRow]) -> list[RenderableType]:
    """The faults with their probabilities, as far as there is anything to them."""
    rows = [row for row in findings if row.kind == "fault" and row.severity >= _LIKELY]
    if not rows:
        return []
    table = _table("Likely", "", "where", "measured")
    for row in rows:
        style = "bold yellow" if row.found else "dim"
        told = row.sentence.partition(": ")[2] or row.sentence
        table.add_row(row.name, Text(percent(row.severity), style=style), row.place, told)
    return [table]


def _severities(files: Sequence[AnalysisReport]) -> Table:
    """Every finding of any of the files, with its severity in each."""
    table = _table("Found", *(Path(file.input.path).name for file in files))
    severities = [{row.name: row.severity for row in file.findings} for file in files]
    names = dict.fromkeys(row.name for file in files for row in found_rows(file.findings))
    for name in names:
        table.add_row(name, *(percent(found.get(name, 0.0)) for found in severities))
    return table
