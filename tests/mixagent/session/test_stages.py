"""The stages of a real master: the same bytes however scheduled, nothing half-written when stopped."""

import json
import signal
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest

from mixagent.pipeline.chain.edits import NO_EDITS
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.codecs import CodecPlan
from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.graph.runner import Cache, order_of, run_stages
from mixagent.pipeline.io import decode
from mixagent.pipeline.render import render
from mixagent.pipeline.restoration.table import mix_repairs
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.types import Stems, load
from mixagent.policies.base import Recorded
from mixagent.session.master import master_song
from mixagent.session.request import Request
from mixagent.session.results import Results
from mixagent.session.stages import (
    Rendering,
    hearing_stages,
    listening_stages,
    rendering_stages,
    restored_stems,
    separating_stage,
)
from mixagent.session.table import STAGES
from mixagent.settings import load_config

TARGET = loudness_target("streaming")


def everything_made(song, root, workers):
    """The files of every stage by name and path, and its values."""
    with Cache(root, 1e9) as cache:
        separator = choose_separator("embedded", "cpu").separator
        separation = separating_stage(separator, "cpu", "decode", *(r.name for r in mix_repairs()))
        decoding = listening_stages(song)[:1]
        hearing = hearing_stages(decoding, separation, separator.stem_names)
        heard = Results(run_stages(hearing, cache, workers=workers))
        space = ParameterSpace.for_stems(tuple(restored_stems(heard, {}).parts))
        settings = space.settings({"master.eq_low_mid_db": -2.0})
        rendering = Rendering(settings, None, TARGET, NO_EDITS, CodecPlan())
        results = run_stages([*hearing, *rendering_stages(heard, rendering)], cache, workers=workers)
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


def test_a_stage_runs_in_another_process_from_its_order(song, tmp_path):
    script = (
        "import json, sys; from pathlib import Path\n"
        "from mixagent.pipeline.graph.runner import Cache, run_order\n"
        "from mixagent.session.table import STAGES\n"
        "with Cache(Path(sys.argv[1]), 1e9) as cache:\n"
        "    run_order(json.loads(sys.stdin.read()), STAGES, cache)\n"
    )
    stages = listening_stages(song)
    with Cache(tmp_path / "cache", 1e9) as cache:
        run_stages(stages[:1], cache)
        order = order_of(stages[1], stages, STAGES)
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "cache")],
            input=json.dumps(order),
            text=True,
            check=True,
        )
        seen = []
        ordered = run_stages(stages, cache, seen.append)
    with Cache(tmp_path / "own", 1e9) as cache:
        own = run_stages(stages, cache)
    assert {event.stage: event.status for event in seen} == {"decode": "cached", "analyse": "cached"}
    assert ordered["analyse"].values == own["analyse"].values


def test_every_stage_of_a_master_is_of_the_table(song):
    """So that any of them can be sent to a worker: what is no function of the table closes over something."""
    separator = choose_separator("embedded", "cpu").separator
    hearing = hearing_stages(
        listening_stages(song)[:1],
        separating_stage(separator, "cpu", "decode", *(r.name for r in mix_repairs())),
        separator.stem_names,
    )
    settings = ParameterSpace.for_stems(separator.stem_names).settings()
    rendering = Rendering(settings, None, TARGET, NO_EDITS, CodecPlan())
    stages = [*hearing, *rendering_stages([stage.name for stage in hearing], rendering)]
    orders = [order_of(stage, stages, STAGES) for stage in stages]
    assert json.loads(json.dumps(orders)) == orders


def test_a_master_is_what_the_one_render_makes(song, tmp_path, cache_folder):
    values = {"master.eq_low_mid_db": -2.0, "graphic.tone_1000_db": 1.5, "master.width": 1.2}
    config = load_config(["pipeline.separator=none", "pipeline.renders=1"])
    request = Request(
        song, tmp_path / "m.wav", TARGET, bit_depth="32f", config=config, policy=Recorded("set", values, {})
    )
    with master_song(request):
        pass
    heard = decode(song, tmp_path / "song.f32").audio
    stems = Stems(load(heard), {})
    settings = ParameterSpace.for_stems(()).settings(values)
    rendered = load(render(stems, settings, TARGET).audio)
    written = load(decode(tmp_path / "m.wav", tmp_path / "master.f32").audio)
    np.testing.assert_array_equal(written.samples, rendered.samples)
