"""Stages that are sent one by one: who has which, and a song whose stems two processes restore."""

import hashlib
import os
import signal
import threading

import pytest
from services import served
from songs import write_song

import mixagent
from mixagent.client import Client
from mixagent.pipeline.graph.runner import DISPATCH, Cache, Stage, run_stages
from mixagent.service.service import Service
from mixagent.service.settings import ServiceSettings, WorkerLimits
from mixagent.service.store.tables import Job, JobStage

ORDER = {"stage": "a", "kind": "repair stem", "key": "k", "inputs": {}, "settings": {}, "given": {}}


@pytest.fixture
def job(api, short_song) -> str:
    return api.job("master", api.upload(short_song)["id"])["id"]


@pytest.mark.usefixtures("database")
class TestBoard:
    """Rows of stages."""

    def test_each_stage_is_taken_once_and_only_on_the_machine_whose_cache_has_its_inputs(self, api, job):
        board = api.service.tools.board
        for name in "abc":
            board.send(job, name, "here", {**ORDER, "stage": name}, "/cache")
        assert board.claim("elsewhere", "elsewhere:1") is None
        taken = []

        def take():
            while (found := board.claim("here", "here:1")) is not None:
                taken.append(found.name)

        threads = [threading.Thread(target=take) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == ["a", "b", "c"]

    def test_a_stage_is_not_waited_for_once_it_ended_or_its_worker_is_gone_or_nobody_took_it(self, api, job):
        board = api.service.tools.board
        for name in "abcd":
            board.send(job, name, "here", {**ORDER, "stage": name}, "/cache")
        done, gone, held = (board.claim("here", "here:1") for _ in range(3))
        board.end(done, 1.5)
        with api.service.database.writing() as session:
            session.get(JobStage, (job, gone.name)).lease_until = 0.0
        assert sorted(board.ended(job, [*"abcd"], withdrawn=["c", "d"])) == ["a", "b", "d"]
        assert board.beat(held)
        assert not board.beat(gone)
        board.end(gone, 2.0)
        states = {row.name: (row.state, row.worker) for row in board.of(job)}
        assert states == {
            "a": ("done", "here:1"),
            "b": ("failed", "here:1"),
            "c": ("running", "here:1"),
            "d": ("failed", None),
        }

    def test_a_stage_is_sent_only_where_somebody_is_free(self, api, job):
        board = api.service.tools.board
        assert board.free("here", 2) == 2
        api.service.queue.claim(worker="here:1")
        assert board.free("here", 2) == 1
        board.send(job, "a", "here", ORDER, "/cache")
        assert board.free("here", 2) == 0
        board.claim("here", "here:2")
        assert board.free("here", 2) == 0


def _number(context):
    (context.directory / "number").write_text("1")
    return {"number": 1}


def test_a_run_asks_once_for_each_stage_that_is_not_there_and_makes_what_is_not_there_after_that(tmp_path):
    asked = []
    stages = [Stage("a", _number), Stage("b", _number, ("a",))]
    token = DISPATCH.set(lambda stage, run, cache, progress: asked.append((stage.name, len(run), cache)))
    try:
        for _ in range(2):
            with Cache(tmp_path, float("inf")) as cache:
                results = run_stages(stages, cache)
            assert results["b"].values == {"number": 1}
    finally:
        DISPATCH.reset(token)
    assert asked == [("a", 2, tmp_path), ("b", 2, tmp_path)]


@pytest.mark.slow
def test_two_processes_restore_the_stems_of_one_song_and_the_bytes_are_the_librarys(tmp_path, data):
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    limits = WorkerLimits(lease_s=5.0)
    service = Service(ServiceSettings(data=data, workers=2, worker=limits))
    options = {"renders": 1, "separator": "spleeter"}
    with served(service) as address, Client(address) as client:
        done = client.run("master", [song], options)
        rows = service.tools.board.of(done["id"])
        sent = [row for row in rows if row.order is not None and row.state == "done"]
        with service.database.reading() as session:
            own = session.query(Job).filter_by(id=done["id"]).one().worker
        assert sent
        assert {row.worker for row in sent} - {own}
        assert {row.state for row in rows} == {"done"}
        # One that is killed at a stage of another's job costs nothing.
        killed = threading.Event()

        def kill():
            while not killed.is_set():
                for row in service.tools.board.of(job["id"]):
                    if row.state == "running" and row.order is not None:
                        slot = next(slot for slot in service.engine._slots if slot.name == row.worker)
                        os.kill(slot._process.pid, signal.SIGKILL)
                        killed.set()

        job = client.submit("master", [client.upload(song)], {**options, "seed": 3})
        thread = threading.Thread(target=kill)
        thread.start()
        again = client.wait(job["id"])
        killed.set()
        thread.join()
        assert (again["state"], again["attempts"]) == ("done", 1)
    own_file = tmp_path / "own.wav"
    mixagent.master(song, output=own_file, **options)
    made = next(file for file in done["files"] if file["role"] == "master")
    assert made["sha256"] == hashlib.sha256(own_file.read_bytes()).hexdigest()
