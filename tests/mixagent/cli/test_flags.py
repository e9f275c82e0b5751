"""Flags and the library's options are one list; help and docs/cli.md show all of it in panels."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
import typer
from script_modules import load_script

from mixagent.cli.album import AlbumFlags
from mixagent.cli.app import COMMANDS, GROUPS, command_line
from mixagent.cli.common import flag, keywords
from mixagent.cli.master import MasterFlags
from mixagent.cli.restore import RestoreFlags
from mixagent.cli.split import SplitFlags
from mixagent.options import (
    AlbumOptions,
    MasterOptions,
    RestoreOptions,
    SplitOptions,
    album_request,
    master_request,
    restore_request,
)

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
BUNDLES = [
    (MasterFlags, MasterOptions),
    (SplitFlags, SplitOptions),
    (AlbumFlags, AlbumOptions),
    (RestoreFlags, RestoreOptions),
]


@pytest.fixture(scope="module")
def commands():
    """Every command by its name."""
    program = typer.main.get_command(command_line())
    found = {}
    for name in COMMANDS:
        found[name] = program
        for word in name.split():
            found[name] = found[name].commands[word]
    return found


def options_of(command):
    return [each for each in command.params if each.param_type_name == "option"]


@pytest.mark.parametrize(("bundle", "options"), BUNDLES, ids=lambda each: each.__name__)
def test_every_flag_is_an_option_of_the_library_and_the_other_way_round(bundle, options):
    # How many stems is an option of split alone, since vocals are two.
    own = {field.name for field in fields(bundle)} | ({"stems"} if bundle is SplitFlags else set())
    assert own == get_type_hints(options).keys()


def test_the_defaults_are_those_of_the_library(tmp_path, song):
    assert master_request(song, keywords(MasterFlags())) == master_request(song, {})
    assert album_request([song], keywords(AlbumFlags())) == album_request([song], {})
    assert restore_request(song, keywords(RestoreFlags())) == restore_request(song, {})


@pytest.mark.parametrize(("bundle", "options"), BUNDLES, ids=lambda each: each.__name__)
def test_an_error_writes_an_option_as_its_flag(bundle, options, commands):
    names = {MasterFlags: "master", SplitFlags: "split", AlbumFlags: "album", RestoreFlags: "restore"}
    name = names[bundle]
    written = {opt for each in options_of(commands[name]) for opt in (*each.opts, *each.secondary_opts)}
    assert {flag(field.name) for field in fields(bundle)} <= written


def test_what_commands_share_is_declared_once():
    hints = [get_type_hints(bundle, include_extras=True) for bundle, _ in BUNDLES]
    for name in ("separator", "device", "seed"):
        assert len({id(each[name].__metadata__[0]) for each in hints}) == 1
    for name in ("amount", "ceiling", "bit_depth", "sample_rate", "replaygain", "policy", "overrides"):
        assert len({id(each[name].__metadata__[0]) for each in (hints[0], hints[2])}) == 1


@pytest.mark.parametrize("name", ["master", "split", "vocals", "album", "restore"])
def test_the_options_of_songs_stand_in_panels(commands, name):
    assert all(option.rich_help_panel for option in options_of(commands[name]) if option.name != "help")


def test_what_people_use_first_stands_first(commands):
    main = [each.name for each in options_of(commands["master"]) if each.rich_help_panel == "Main"]
    assert set(main) == {
        *("output", "target", "amount", "goal", "reference", "report", "format"),
        *("dry_run", "preview", "stems", "stems_in"),
    }
    assert [each.name for each in options_of(commands["master"])][: len(main)] == main


def test_every_group_has_commands():
    assert {name.split()[0] for name in COMMANDS if " " in name} == GROUPS.keys()


def test_the_page_is_what_the_commands_are(commands):
    script = load_script("write_command_reference")
    text = PAGE.read_text(encoding="utf-8")
    assert text == script.page(text), "run python scripts/write_command_reference.py"
    parts = re.split(r"^### mixagent ", text, flags=re.MULTILINE)[1:]
    for name, command in commands.items():
        (part,) = [each for each in parts if re.match(rf"{name}( [^a-z]|\n)", each)]
        for option in options_of(command):
            assert all(f"`{written}" in part for written in option.opts if written.strip())


def test_the_exit_codes_are_those_of_the_errors():
    from mixagent.cli import app
    from mixagent.pipeline import errors

    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    own = {kind.exit_code for kind in kinds if issubclass(kind, errors.MixagentError)} - {1}
    codes = own | {errors.EXIT_DONE, errors.EXIT_TARGET_MISSED, errors.EXIT_FAULT, app.EXIT_READER_LEFT}
    for page in (PAGE, PAGE.parents[1] / "README.md"):
        told = {int(code) for code in re.findall(r"^\| (\d+) \|", page.read_text("utf-8"), re.MULTILINE)}
        assert told >= codes
