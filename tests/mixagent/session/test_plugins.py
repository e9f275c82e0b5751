"""Masters with plug-ins: recorded, replayed, never lost, and nothing of it where none is asked for."""

import json
import os
import subprocess
import sys

import pytest
from plugin_hosts import write_map

import mixagent
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.plugins.library import FOLDERS, PluginMissingError
from mixagent.pipeline.plugins.pool import POOL
from mixagent.session.plugins import changed_plugins

PLAIN = {"pipeline.repairs": False}
COMPRESSED = {**PLAIN, "master.comp_ratio": 2.0}


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    POOL.clear()


def mastered(song, tmp_path, name="master.wav", **options):
    options = {"plugins": ["comp=Fault"], "overrides": COMPRESSED, **options}
    return mixagent.master(
        song,
        output=tmp_path / name,
        policy="neutral",
        renders=1,
        report=tmp_path / "report.json",
        **options,
    )


def test_a_plugin_is_named_in_the_report_and_replayed(song, tmp_path, fault_plugin, data_folder):
    write_map(data_folder)
    report = mastered(song, tmp_path).report
    (row,) = report.plugins
    assert (row.slot, row.name, row.version, row.tried) == ("comp", "Fault", "1.0.0", "1.0.0")
    (place,) = row.places
    assert (place.place, place.effect, place.latency, place.same_twice) == ("master", "comp", 0, True)
    assert "Plug-in Fault 1.0.0: stood in for the compressor of master" in report.summary.done
    assert mixagent.replay(tmp_path / "report.json").identical

    # A map that changed meanwhile changes nothing: the report holds the one that was used.
    write_map(data_folder, "loud")
    assert mixagent.replay(tmp_path / "report.json").identical


def test_a_replay_without_the_plugin_says_so_and_leaves_the_master(
    song, tmp_path, fault_plugin, data_folder, monkeypatch
):
    write_map(data_folder)
    mastered(song, tmp_path)
    before = (tmp_path / "master.wav").read_bytes()
    monkeypatch.setenv(FOLDERS, "")
    monkeypatch.setenv("MIXAGENT_CACHE", str(tmp_path / "another"))
    with pytest.raises(PluginMissingError, match=r"made with the plug-in Fault 1\.0\.0, which is not here"):
        mixagent.replay(tmp_path / "report.json")
    assert (tmp_path / "master.wav").read_bytes() == before


@pytest.mark.parametrize("fault", ["abort", "nan"])
def test_a_plugin_that_fails_gives_its_place_to_the_built_in_effect(
    song, tmp_path, fault_plugin, data_folder, fault
):
    write_map(data_folder, fault, after_s=1.0)
    report = mastered(song, tmp_path).report
    own = mastered(song, tmp_path, "own.wav", plugins=None)
    assert (tmp_path / "master.wav").read_bytes() == (tmp_path / "own.wav").read_bytes()
    (told,) = [line for line in report.warnings if "plug-in" in line]
    assert told.startswith("The plug-in Fault ")
    assert told.endswith(": the built-in compressor stands in its place.")
    assert report.plugins == own.report.plugins == ()


def test_a_plugin_without_anything_to_do_is_told(song, tmp_path, fault_plugin, data_folder):
    write_map(data_folder)
    report = mastered(song, tmp_path, overrides=PLAIN).report
    assert "The plug-in Fault stood by: nothing was set for comp." in report.warnings


def test_a_later_version_that_lacks_a_parameter_is_told_before_any_work(
    song, tmp_path, fault_plugin, data_folder, monkeypatch, mixagent
):
    write_map(data_folder)
    monkeypatch.setenv("MIXAGENT_FAULT_VERSION", "2")
    ran = mixagent("master", song, "--plugin", "comp=Fault", "-o", tmp_path / "m.wav")
    assert ran.code == 3
    assert "Fault 2.0.0 has no parameter fault, which its map was made for in version 1.0.0" in ran.err
    assert not (tmp_path / "m.wav").exists()


def test_what_makes_no_sense_is_one_line(song, tmp_path, fault_plugin, data_folder, mixagent):
    write_map(data_folder)
    for text, code, word in (
        ("comp", 2, "write SLOT=NAME"),
        ("comp=", 2, "name a plug-in"),
        ("flanger=Fault", 2, "no slot is called 'flanger'"),
        ("vocals.reverb=Fault", 2, "no slot"),
        ("reverb=Fault", 2, "Fault has no map as a reverb"),
        ("comp=Falt", 5, "did you mean Fault?"),
        (f"comp={tmp_path / 'x.vst3'}", 5, "is not there"),
        ("comp=Fault@Loud", 3, "has no preset 'Loud'"),
    ):
        ran = mixagent("master", song, "--plugin", text, "-o", tmp_path / "m.wav")
        assert (ran.code, ran.err.count("\n")) == (code, 1), ran.err
        assert word in ran.err


def test_the_commands_scan_list_show_check_and_save(fault_plugin, data_folder, mixagent):
    write_map(data_folder)
    assert mixagent("plugins", "list").out.startswith("No plug-ins were found.")
    scanned = mixagent("plugins", "scan", fault_plugin.parent, "--json")
    assert json.loads(scanned.out)["files"][0]["plugins"][0]["name"] == "Fault"
    assert "Fault" in mixagent("plugins", "list").out
    shown = mixagent("plugins", "show", "Fault").out
    assert "gain_db" in shown
    assert "comp: at strip, bus, master; run with 1.0.0" in shown
    checked = json.loads(mixagent("plugins", "check", "Fault", "--json").out)["checks"]
    assert all(row["held"] for row in checked)
    assert mixagent("plugins", "save", "Fault", "Half", "--set", "gain_db=-6").code == 0
    assert "Presets: Half" in mixagent("plugins", "show", "Fault").out


def test_an_album_says_that_it_takes_no_plugins(song, mixagent):
    ran = mixagent("album", song.parent, "--set", "plugins.comp=Fault")
    assert (ran.code, "mastered without plug-ins" in ran.err) == (2, True)


def test_a_song_given_back_untouched_takes_no_plugins(song, tmp_path, fault_plugin, data_folder):
    write_map(data_folder)
    with pytest.raises(UsageError, match="leave out plugins"):
        mastered(song, tmp_path, amount=0)


def test_nothing_of_plugins_is_loaded_where_none_is_asked_for(song):
    program = (
        "import sys, mixagent.session.table, mixagent.session.master, mixagent.session.replay\n"
        "import mixagent.pipeline.render, mixagent.options\n"
        f"mixagent.options.master_request({os.fspath(song)!r}, {{}})\n"
        "print([name for name in sys.modules if '.plugins' in name])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['mixagent.session.reporting.plugins']"


def test_the_changes_of_plugins_are_told():
    was = [{"slot": "comp", "name": "Toy", "version": "1", "sha256": "a"}]
    assert changed_plugins(was, was) == []
    assert changed_plugins(was, []) == ["Toy 1 failed"]
    assert changed_plugins(was, [{**was[0], "version": "2"}]) == ["Toy was 1 and is 2 here"]
    assert changed_plugins(was, [{**was[0], "sha256": "b"}]) == ["Toy 1 is of another build here"]
