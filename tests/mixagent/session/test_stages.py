"""The stages of a real master: the same bytes however scheduled, nothing half-written when stopped."""

import signal
import tempfile
import threading

import pytest

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.graph.runner import Cache, run_stages
from mixagent.pipeline.separation import choose_separator
from mixagent.session.master import Request, master_song
from mixagent.session.stages import (
    REPAIRS,
    heard_song,
    hearing_stages,
    listening_stages,
    rendering_stages,
    separating_stage,
)
from mixagent.settings import load_config

TARGET = loudness_target("streaming")


def everything_made(song, root, workers):
    """The files of every stage by name and path, and its values."""
    with Cache(root, 1e9) as cache:
        separator = choose_separator("embedded", "cpu").separator
        parting = separating_stage(separator, "decode", *REPAIRS)
        decoding = listening_stages(song)[:1]
        hearing = hearing_stages(decoding, parting, separator.stem_names, load_config().pipeline)
        heard = heard_song(run_stages(hearing, cache, workers=workers), 1.0)
        space = ParameterSpace.for_stems(tuple(heard.stems.parts))
        settings = space.settings({"master.eq_low_mid_db": -2.0})
        rendering = rendering_stages(heard, settings, 1.0, None, TARGET)
        results = run_stages([*hearing, *rendering], cache, workers=workers)
        return {
            name: {
                file.name: file.read_bytes()
                for file in result.directory.iterdir()
                if file.name != "meta.json"
            }
            | {"values": result.values}
            for name, result in results.items()
        }


def test_serial_and_threaded_runs_give_the_same_bytes(song, tmp_path):
    serial = everything_made(song, tmp_path / "serial", workers=1)
    assert serial == everything_made(song, tmp_path / "threaded", workers=4)
    assert {name for name, files in serial.items() if len(files) > 1} >= {"separate", "level", "finalise"}


def test_an_interrupt_in_any_stage_leaves_nothing_half_written(song, tmp_path, cache_folder, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()

    def master(name, until=None):
        def show(stage, share):
            seen[stage] = True
            # Once: a second Ctrl-C would not wait for the stages that are still being stopped.
            if stage == until and share > 0 and not interrupted:
                interrupted.append(stage)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        seen, interrupted = {}, []
        with master_song(Request(song, song.with_name(name), TARGET), show):
            return list(seen)

    def left_behind():
        unfinished = list(cache_folder.glob("*/*/.*"))
        return [*unfinished, *(tmp_path / "scratch").iterdir(), *(set(song.parent.iterdir()) - {song})]

    # Each attempt finds what the ones before it finished, so that all of them together are one master.
    stages = ["decode", "analyse", "separate", "hear vocals", "mix", "level", "finalise", "measure", "write"]
    for stage in stages:
        with pytest.raises(KeyboardInterrupt):
            master("m.wav", until=stage)
        assert left_behind() == []
    assert "write" in master("m.wav")
    monkeypatch.setenv("MIXAGENT_CACHE", str(tmp_path / "cold"))
    assert set(master("whole.wav")) >= set(stages)
    assert song.with_name("m.wav").read_bytes() == song.with_name("whole.wav").read_bytes()
