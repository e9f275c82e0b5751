"""`mixagent plugins`: what is here of VST3 and AU, what each can be set to, and whether it behaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import AsJson, Quiet
from mixagent.messages import print_line
from mixagent.pipeline.errors import EXIT_DONE, EXIT_TARGET_MISSED, UsageError

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.library import Scanned

SCHEMA = "mixagent.plugins/1"

Name = Annotated[str, typer.Argument(help="Its name, or the path of its file.", show_default=False)]


@command()
def scan(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Folders to look in.", show_default="the system's own"),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Load what is known too.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Look for plug-ins and load each that is new or changed, in a process of its own."""
    from mixagent.cli.progress import shown_progress
    from mixagent.pipeline.plugins.library import scan as look

    with shown_progress(quiet) as progress:
        found = look(folders or (), again, progress=lambda share: progress("scan", share))
    _print(found, as_json)
    return EXIT_DONE


@command()
def list_plugins(as_json: AsJson = False) -> int:
    """List the plug-ins of the last scans, and what each can stand in for."""
    from mixagent.pipeline.plugins.library import known_plugins

    _print(known_plugins(), as_json)
    return EXIT_DONE


@command()
def show(name: Name, as_json: AsJson = False) -> int:
    """Show a plug-in: its parameters with ranges and units, its maps and its presets."""
    from dataclasses import asdict

    from mixagent.pipeline.plugins.library import find_plugin
    from mixagent.pipeline.plugins.maps import all_maps
    from mixagent.pipeline.plugins.presets import presets_of
    from mixagent.report.tables import plugin_text

    plugin = find_plugin(name)
    maps = [row for row in all_maps() if row.plugin.casefold() == plugin.name.casefold()]
    presets = presets_of(plugin.name)
    if as_json:
        rows = [row.to_json() for row in maps]
        print_json({"schema": SCHEMA, "plugin": asdict(plugin), "maps": rows, "presets": presets})
    else:
        print_text(plugin_text(plugin, maps, presets))
    return EXIT_DONE


@command()
def check(name: Name, as_json: AsJson = False) -> int:
    """Check what a plug-in makes of sound: exit code 4 where anything is not as it should be."""
    from dataclasses import asdict

    from mixagent.pipeline.plugins.checking import check_plugin
    from mixagent.pipeline.plugins.library import find_plugin
    from mixagent.report.tables import checks_text

    plugin = find_plugin(name)
    rows = check_plugin(plugin)
    if as_json:
        print_json({"schema": SCHEMA, "plugin": plugin.name, "checks": [asdict(row) for row in rows]})
    else:
        print_text(checks_text(rows))
    return EXIT_DONE if all(row.held for row in rows) else EXIT_TARGET_MISSED


@command()
def save(
    name: Name,
    preset: Annotated[str, typer.Argument(help="What the preset is to be called.", show_default=False)],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter of it. May be given many times."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A .vstpreset file to begin with.")
    ] = None,
) -> int:
    """Save a preset of a plug-in, for `master --plugin SLOT=NAME@PRESET`."""
    from mixagent.pipeline.plugins.library import find_plugin
    from mixagent.pipeline.plugins.presets import save_preset

    plugin = find_plugin(name)
    print_line(str(save_preset(plugin, preset, dict(map(_set, values or ())), file)))
    return EXIT_DONE


def _set(text: str) -> tuple[str, float | bool | str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text}: write KEY=VALUE, such as ratio=4", field="overrides")
    words = {"true": True, "false": False}
    if value.lower() in words:
        return key, words[value.lower()]
    try:
        return key, float(value)
    except ValueError:
        return key, value


def _print(found: list[Scanned], as_json: bool) -> None:
    from dataclasses import asdict

    from mixagent.pipeline.plugins.maps import all_maps
    from mixagent.report.tables import plugins_text

    if as_json:
        print_json({"schema": SCHEMA, "files": [asdict(row) for row in found]})
    else:
        print_text(plugins_text(found, all_maps()))
