"""A plug-in that fails, in whatever way, costs its process and a line of words, and no more."""

import os
from pathlib import Path

import numpy as np
import pytest
from fault_plugin import FAULTS, LATE_FRAMES
from plugin_hosts import LIMITS

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.plugins.child import Limits, PluginChild, PluginFault
from mixagent.pipeline.plugins.inserts import Insert, InsertFault, Inserts
from mixagent.pipeline.plugins.library import find_plugin, known_plugins, scan
from mixagent.pipeline.plugins.maps import PluginMap
from mixagent.pipeline.plugins.pool import Pool
from mixagent.pipeline.plugins.presets import load_preset, presets_of, save_preset
from mixagent.pipeline.plugins.probing import opened
from mixagent.pipeline.plugins.processor import Sounding
from mixagent.pipeline.types import BLOCK_FRAMES

RATE = 44100


@pytest.fixture
def pool():
    pool = Pool()
    yield pool
    pool.clear()


def noise(seconds=3.0, channels=2):
    made = np.random.default_rng(3).standard_normal((channels, round(seconds * RATE)))
    return (0.1 * made).astype(np.float32)


def played(plugin: Path, pool, fault="none", after_s=0.0, limits=LIMITS, sound=None, cuts=3):
    """The sound through the plug-in, latency compensated, and what was measured of it before."""
    values = {"fault": float(FAULTS.index(fault)), "after_s": after_s}
    processor, probed, _ = opened(plugin, "", Sounding(RATE, 2, values=values), limits, pool)
    given = noise() if sound is None else sound
    padded = np.concatenate((given, np.zeros((2, processor.latency), np.float32)), axis=1)
    out = np.concatenate([processor.process(part) for part in np.array_split(padded, cuts, axis=1)], axis=1)
    return out[:, processor.latency :], probed, processor.same_twice


def test_what_does_nothing_gives_the_sound_back_however_it_is_cut(fault_build, pool):
    for cuts in (1, 7):
        out, probed, same = played(fault_build, pool, cuts=cuts)
        np.testing.assert_array_equal(out, noise())
        assert (probed.lag, probed.same_twice, probed.words(), same) == (0, True, (), True)


FAILS = {
    "abort": r"crashed its process \(SIGABRT\)",
    "crash": r"crashed its process \(SIGSEGV\)",
    "leave": "ended its process",
    "hang": "hung: a block took it more than",
    "nan": "no sound",
    "infinite": "no sound",
    "endless": "made sound of silence|louder than it went in",
    "chatter": "hung",
    "loud": "dB louder than it went in",
    "silent": "gave silence for sound",
    "memory": "memory|hung",
    "slow": "hung",
}


@pytest.mark.parametrize("fault", FAILS)
def test_a_fault_is_told_and_its_process_is_gone(fault_build, pool, fault):
    with pytest.raises(PluginFault, match=FAILS[fault]) as raised:
        played(fault_build, pool, fault, after_s=1.0)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("the plug-in Fault ")
    assert not pool._idle
    np.testing.assert_array_equal(played(fault_build, pool)[0], noise())


def test_latency_that_is_not_stated_is_found_and_made_up_for(fault_build, pool):
    out, probed, _ = played(fault_build, pool, "late")
    np.testing.assert_array_equal(out, noise())
    assert (probed.reported, probed.lag) == (0, LATE_FRAMES)
    assert probed.words() == ("says that it is 0 frames late and is 300: that was used",)


def test_latency_that_changes_within_a_song_is_a_fault(fault_build, pool):
    with pytest.raises(PluginFault, match="fell out of time, by 300 frames"):
        played(fault_build, pool, "late", after_s=1.5)


def test_what_differs_from_run_to_run_is_noticed_wherever_it_begins(fault_build, pool):
    assert not played(fault_build, pool, "moving")[1].same_twice
    _, probed, same = played(fault_build, pool, "moving", after_s=1.5)
    assert (probed.same_twice, same) == (True, False)


def test_what_hangs_while_it_loads_is_ended_with_a_word_on_licences(fault_build, pool, monkeypatch):
    monkeypatch.setenv("MIXAGENT_FAULT", "hang")
    with pytest.raises(PluginFault, match=r"did not load within 1 s .* licence"):
        played(fault_build, pool, limits=Limits(load_s=1.0))


def test_a_process_is_recycled_after_its_number_of_renders(fault_build, pool):
    limits = Limits(renders=4)
    for _ in range(4):
        played(fault_build, pool, limits=limits, sound=noise(0.2))
    # Each sound is a trial and the render itself.
    assert pool.started == 2


def test_a_process_ends_when_nobody_asks_it_any_more(fault_build):
    child = PluginChild(fault_build)
    child.ask("describe", 20.0)
    child._process.stdin.close()
    assert child._process.wait(timeout=10) == 0
    child.close()


def test_blocks_of_any_length_pass(fault_build, pool):
    long = np.zeros((2, BLOCK_FRAMES + 5000), np.float32)
    long[:, ::100] = 0.1
    np.testing.assert_array_equal(played(fault_build, pool, sound=long, cuts=1)[0], long)


def test_a_scan_remembers_what_it_loaded_and_what_failed(fault_plugin, tmp_path, monkeypatch):
    broken = tmp_path / "more" / "Broken.vst3"
    broken.mkdir(parents=True)
    folders = [fault_plugin.parent, tmp_path / "more"]
    found = scan(folders)
    assert [(row.plugins[0].name if row.plugins else "", bool(row.fault)) for row in found] == [
        ("Fault", False),
        ("", True),
    ]
    monkeypatch.setenv("MIXAGENT_FAULT", "abort")
    assert scan(folders) == found
    assert [row.plugins[0].version for row in known_plugins() if row.plugins] == ["1.0.0"]
    assert find_plugin("fault").channels == (2,)


def test_a_preset_is_saved_and_recalled(fault_plugin, pool):
    plugin = find_plugin("Fault")
    save_preset(plugin, "Half", {"gain_db": -6.0})
    assert presets_of("Fault") == ["Half"]
    preset = load_preset("Fault", "Half")
    sounding = Sounding(RATE, 2, state=preset.state, values=preset.values)
    _, probed, values = opened(Path(plugin.path), "", sounding, LIMITS, pool)
    assert values["gain_db"] == pytest.approx(-6.0, abs=0.05)
    assert probed.gain_db == pytest.approx(-6.0, abs=0.1)
    with pytest.raises(InputError, match="Fault has no preset 'Full': it has Half"):
        load_preset("Fault", "Full")


def test_a_damaged_cache_is_an_empty_one(fault_plugin, cache_folder):
    (cache_folder / "plugins.json").write_text('{"schema": "mixagent.plugins/1", "files": [{"path": 3}]}')
    assert known_plugins() == []
    assert find_plugin("Fault").name == "Fault"


def test_a_mono_song_passes_a_stereo_plugin(fault_build):
    insert = Insert(
        "comp",
        "Fault",
        "1.0.0",
        "0",
        os.fspath(fault_build),
        "",
        (2,),
        PluginMap("Fault", "comp", ("strip",)),
    )
    inserts = Inserts([insert], LIMITS)
    processor, _ = inserts.processor("vocals", "comp", {}, RATE, 1)
    sound = noise(1.0, 1)
    padded = np.concatenate((sound, np.zeros((1, processor.latency), np.float32)), axis=1)
    np.testing.assert_array_equal(processor.process(padded)[:, processor.latency :], sound)
    assert [(row.place, row.effect) for row in inserts.played] == [("vocals", "comp")]
    assert inserts.at("master", "comp") is None


def test_a_fault_names_its_slot(fault_build):
    failing = PluginMap("Fault", "comp", ("strip",), fixed={"fault": float(FAULTS.index("nan"))})
    insert = Insert("vocals.comp", "Fault", "1.0.0", "0", os.fspath(fault_build), "", (2,), failing)
    with pytest.raises(InsertFault) as raised:
        Inserts([insert], LIMITS).processor("vocals", "comp", {}, RATE, 2)
    assert (raised.value.slot, raised.value.died) == ("vocals.comp", False)
