"""The stage graph: order, progress, reuse, cancellation, side by side."""

import sys
import threading
import time

import numpy as np
import pytest

import mixagent
from mixagent.pipeline.errors import CancelledError
from mixagent.pipeline.graph.runner import (
    Cache,
    Stage,
    audio_reference,
    program_version,
    run_stages,
    stage_keys,
)
from mixagent.pipeline.types import spool


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache", budget_bytes=1e9) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _the_program_as_it_is():
    yield
    program_version.cache_clear()


class Song:
    """A graph of three stages that counts its runs: decode, then stems and features from it."""

    def __init__(self):
        self.runs = []

    def stage(self, name, *needs, version="1", **settings):
        def run(context):
            self.runs.append(name)
            total = sum(context.inputs[need].values["number"] for need in needs)
            return {"number": total + settings.get("add", 1)}

        return Stage(name, run, needs, settings, version)

    def stages(self, hash="a", model="1", add=1):
        return [
            self.stage("features", "stems", add=add),
            self.stage("stems", "decode", version=model),
            self.stage("decode", hash=hash),
        ]


def test_stages_run_in_the_order_of_their_needs_and_see_their_inputs(cache):
    song = Song()
    results = run_stages(song.stages(), cache)
    assert song.runs == ["decode", "stems", "features"]
    assert {name: result.values["number"] for name, result in results.items()} == {
        "decode": 1,
        "stems": 2,
        "features": 3,
    }


def test_a_second_run_takes_everything_from_the_cache(tmp_path):
    song = Song()
    for _ in range(2):
        with Cache(tmp_path, 1e9) as cache:
            results = run_stages(song.stages(), cache)
    assert song.runs == ["decode", "stems", "features"]
    assert results["features"].values == {"number": 3}


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"add": 2}, ["features"]),
        ({"model": "2"}, ["stems", "features"]),
        ({"hash": "b"}, ["decode", "stems", "features"]),
    ],
)
def test_a_change_remakes_its_stage_and_what_follows(cache, change, remade):
    run_stages(Song().stages(), cache)
    song = Song()
    run_stages(song.stages(**change), cache)
    assert song.runs == remade


def test_keys_do_not_depend_on_the_order_of_stages_or_settings():
    def noop(context):
        return {}

    first = [Stage("a", noop, settings={"x": 1, "y": [2]}), Stage("b", noop, ("a",))]
    second = [Stage("b", noop, ("a",)), Stage("a", noop, settings={"y": [2], "x": 1})]
    assert stage_keys(first) == stage_keys(second)


def test_another_version_of_the_program_finds_nothing(cache, monkeypatch):
    for version, remade in [("0.1.0", 3), ("0.1.0", 0), ("0.2.0", 3)]:
        monkeypatch.setattr(mixagent, "__version__", version)
        program_version.cache_clear()
        song = Song()
        run_stages(song.stages(), cache)
        assert len(song.runs) == remade


@pytest.mark.parametrize(
    "edited", ["session/stages.py", "pipeline/dsp/limiter.py", "checkpoints/statistics.json"]
)
def test_an_edit_of_the_code_or_the_statistics_is_another_version(tmp_path, monkeypatch, edited):
    monkeypatch.setattr(mixagent, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / edited).parent.mkdir(parents=True, exist_ok=True)
    versions = set()
    for text in ("1", "2"):
        (tmp_path / edited).write_text(text)
        program_version.cache_clear()
        versions.add(program_version())
    assert len(versions) == 2


@pytest.mark.parametrize("needs", [("nowhere",), ("b",)])
def test_a_graph_that_cannot_run_is_refused(needs):
    stages = [Stage("a", dict, needs), Stage("b", dict, ("a",))]
    with pytest.raises(ValueError, match=r"nowhere|cycle"):
        stage_keys(stages)


def test_audio_comes_back_by_reference(cache):
    samples = np.arange(20, dtype=np.float32).reshape(2, 10)

    def run(context):
        audio = spool([samples], context.directory / "vocals.raw", 44100, 2)
        return {"stems": {"vocals": audio_reference(audio)}}

    audio = run_stages([Stage("separate", run)], cache)["separate"].audio("stems", "vocals")
    assert (audio.rate, audio.channels, audio.frames) == (44100, 2, 10)
    np.testing.assert_array_equal(audio.read(0, 10), samples)


def test_values_are_the_same_fresh_and_cached(cache):
    stages = [Stage("a", lambda context: {"pair": (1, 2), "level": float("-inf")})]
    fresh = run_stages(stages, cache)["a"].values
    assert fresh == run_stages(stages, cache)["a"].values == {"pair": [1, 2], "level": float("-inf")}


def test_events_tell_progress_and_what_became_of_each_stage(cache):
    def half(context):
        context.progress(0.5)
        return {}

    stages = [Stage("half", half), Stage("nothing", lambda context: None, ("half",))]
    events = []
    run_stages(stages, cache, events.append)
    assert [(event.stage, event.fraction, event.status) for event in events] == [
        ("half", 0.0, "running"),
        ("half", 0.5, "running"),
        ("half", 1.0, "ran"),
        ("nothing", 0.0, "running"),
        ("nothing", 1.0, "skipped"),
    ]
    events.clear()
    results = run_stages(stages, cache, events.append)
    assert [event.status for event in events if event.fraction == 1.0] == ["cached", "skipped"]
    assert results["nothing"].skipped
    assert all(event.seconds >= 0.0 for event in events)


def test_independent_stages_run_side_by_side(cache):
    meeting = threading.Barrier(2, timeout=30)

    def meet(context):
        meeting.wait()
        return {}

    run_stages([Stage("vocals", meet), Stage("drums", meet)], cache, workers=2)


def test_cancelling_stops_at_the_next_progress_call_and_leaves_nothing(tmp_path):
    cancel = threading.Event()

    def run(context):
        (context.directory / "half.raw").write_bytes(b"half")
        cancel.set()
        context.progress(0.5)
        raise AssertionError("went on")

    with Cache(tmp_path, 1e9) as cache, pytest.raises(CancelledError):
        run_stages([Stage("a", run)], cache, cancel=cancel)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]


def test_the_first_error_stops_and_joins_the_other_stages(cache):
    started, stopped = threading.Event(), threading.Event()

    def endless(context):
        started.set()
        try:
            while True:
                context.progress(0.1)
                time.sleep(0.001)
        finally:
            stopped.set()

    def broken(context):
        started.wait(30)
        raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first"):
        run_stages([Stage("endless", endless), Stage("broken", broken)], cache, workers=2)
    assert stopped.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stage")]


def test_an_interrupt_stops_and_joins_the_running_stages(tmp_path):
    stopped = threading.Event()

    def endless(context):
        try:
            while True:
                context.progress(0.1)
                time.sleep(0.001)
        finally:
            stopped.set()

    def interrupt_the_main_thread(context):
        import signal

        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return {}

    stages = [Stage("endless", endless), Stage("interrupt", interrupt_the_main_thread)]
    with Cache(tmp_path, 1e9) as cache, pytest.raises(KeyboardInterrupt):
        run_stages(stages, cache, workers=2)
    assert stopped.is_set()
    assert not list(tmp_path.glob("endless/*/*"))


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say how much memory is held")
def test_a_stage_that_ran_says_its_peak_of_memory_and_one_from_the_cache_does_not(cache):
    def hold(context):
        kept = np.ones(128 << 20, np.uint8)
        return {"sum": int(kept[:2].sum())}

    first, second = [], []
    for events in (first, second):
        run_stages([Stage("hold", hold)], cache, events.append)
    assert [event.status for event in first] == ["running", "ran"]
    assert first[0].peak_bytes is None
    assert first[1].peak_bytes > 128 << 20
    assert first[1].beside == ()
    assert (second[1].status, second[1].peak_bytes) == ("cached", None)


def test_stages_that_run_side_by_side_name_each_other(cache):
    together = threading.Barrier(2, timeout=10)

    def meet(context):
        together.wait()
        return {}

    def after(context):
        return {}

    events = {}
    stages = [Stage("a", meet), Stage("b", meet, settings={"other": True}), Stage("c", after, ("a", "b"))]
    run_stages(stages, cache, lambda event: events.__setitem__(event.stage, event), workers=2)
    assert {name: event.beside for name, event in events.items()} == {"a": ("b",), "b": ("a",), "c": ()}
