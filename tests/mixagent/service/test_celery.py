"""Workers elsewhere, woken by Celery: nothing lost whatever is killed, users in turn, poison set aside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import servers
from services import called, served
from songs import write_song
from test_queue import of_user

import mixagent
from mixagent.client import FINAL, Client
from mixagent.service.service import Service
from mixagent.service.settings import Limits, ServiceSettings, WorkerLimits
from mixagent.service.store.tables import Job
from mixagent.service.worker.celery_app import FULL, QUICK, Wakes, celery_app

pytestmark = pytest.mark.skipif(servers.NO_REDIS is not None, reason=str(servers.NO_REDIS))

OPTIONS = {"separator": "none", "renders": 1}


@pytest.fixture
def broker() -> Iterator[str]:
    with servers.redis() as (url, _):
        yield url


def messages(url: str, route: str) -> int:
    import redis

    with redis.Redis.from_url(url) as client:
        return client.llen(route)


# --- who is woken ------------------------------------------------------------------------------------


def test_there_are_as_many_messages_as_jobs_that_could_be_begun(tmp_path, short_song, broker):
    with called(tmp_path, limits=Limits(running=2)) as api:
        song = api.upload(short_song)["id"]
        for n in range(3):
            of_user(api, "anna", song, seed=n)
        of_user(api, "bert", song, seed=7)
        of_user(api, "bert", song, kind="analyze")
        tools = api.service.tools
        wakes = Wakes(celery_app(broker, tools.settings.worker), tools.queue, tools.board)
        assert wakes.send() == 4
        assert (messages(broker, FULL), messages(broker, QUICK)) == (3, 1)
        # What waits already is not sent again.
        assert wakes.send() == 0


def test_no_job_is_refused_while_the_broker_is_away_and_those_are_woken_once_it_is_back(tmp_path, short_song):
    port = servers.free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with called(tmp_path, broker_url=url) as api:
        api.service.engine.start()
        api.service.tools.roll.say("machine", 1)
        job = api.job("master", api.upload(short_song)["id"])
        until(lambda: not api.service.engine.alive())
        assert api.get("/readyz").status_code == 503
        assert api.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"
        with servers.redis(port):
            api.service.engine.offer(job["id"], False)
            until(lambda: messages(url, FULL) == 1)
            until(api.service.engine.alive)
            assert api.get("/readyz").status_code == 200
            api.service.engine.stop()


def test_a_message_is_given_to_another_only_after_the_longest_job():
    limits = WorkerLimits()
    settings = celery_app("redis://127.0.0.1:1/0", limits).conf
    assert limits.longest_s(1e9) < settings.task_soft_time_limit < settings.task_time_limit
    assert settings.task_time_limit < settings.broker_transport_options["visibility_timeout"]
    assert settings.task_acks_late
    assert settings.task_reject_on_worker_lost
    assert settings.worker_prefetch_multiplier == 1
    assert settings.worker_proc_alive_timeout > 60


def test_nothing_of_torch_is_loaded_before_the_fork():
    program = (
        "import sys, mixagent.service.worker.celery_node\n"
        "assert not {'torch', 'numba', 'scipy'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- workers -----------------------------------------------------------------------------------------


def until(holds, seconds: float = 120.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


@contextmanager
def working(data: Path, url: str, **more: str) -> Iterator[subprocess.Popen]:
    """`mixagent work` in a process of its own."""
    environment = {**os.environ, "MIXAGENT_BROKER": url, "MIXAGENT_LANE": "full", **more}
    command = [sys.executable, "-m", "mixagent", "work", "--data", str(data)]
    with data.with_name("work.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def children(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        found += [int(number) for number in (task / "children").read_text().split()]
    return found


def keeper_of(work: subprocess.Popen) -> int:
    """The one child of Celery's pool."""
    (node,) = children(work.pid)
    (keeper,) = children(node)
    return keeper


def begun(client: Client, job: str) -> None:
    for _, kind, _ in client.events(job):
        if kind == "progress":
            return


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
def test_what_was_accepted_is_done_once_whatever_is_killed(tmp_path, data):
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    port = servers.free_port()
    url = f"redis://127.0.0.1:{port}/0"
    limits = WorkerLimits(lease_s=5.0)
    service = Service(ServiceSettings(data=data, broker_url=url, worker=limits))
    with (
        served(service) as address,
        working(data, url) as work,
        Client(address) as client,
    ):
        with servers.redis(port):
            until(lambda: client._http.get("/readyz").status_code == 200)
            upload = client.upload(song)
            # A child that is killed at its job, as the system does where memory runs out.
            job = client.submit("master", [upload], {**OPTIONS, "seed": 1})["id"]
            begun(client, job)
            os.kill(keeper_of(work), signal.SIGKILL)
            done = client.wait(job)
            assert (done["state"], done["attempts"]) == ("done", 2)
            # A job that kills every child is set aside, and the next one is done.
            # Its song is longer, so that it is still at work when the kill comes.
            long = client.upload(write_song(tmp_path / "long.wav", seconds=20.0))
            poison = client.submit("master", [long], {**OPTIONS, "seed": 2})["id"]
            for attempt in (1, 2):
                until(lambda a=attempt: client.job(poison)["attempts"] == a)
                os.kill(keeper_of(work), signal.SIGKILL)
            until(lambda: client.job(poison)["state"] in FINAL)
            found = client.job(poison)
            assert (found["state"], found["problem"]["code"], found["attempts"]) == ("failed", "set_aside", 2)
            # The broker is lost in the midst of a job.
            job = client.submit("master", [upload], {**OPTIONS, "seed": 3})["id"]
            begun(client, job)
        later = client.submit("analyze", [upload])["id"]
        with servers.redis(port):
            for each in (job, later):
                assert (client.wait(each)["state"], client.job(each)["attempts"]) == ("done", 1)
            # Whoever stops the workers loses nothing: the job waits for others.
            job = client.submit("master", [upload], {**OPTIONS, "seed": 4})["id"]
            begun(client, job)
            work.terminate()
            work.wait()
            assert client.job(job)["state"] == "queued"
            until(lambda: client._http.get("/readyz").status_code == 503)
            with working(data, url):
                done = client.wait(job)
            assert (done["state"], done["attempts"]) == ("done", 1)
    assert not any((data / "workers").iterdir())


@pytest.mark.slow
def test_workers_need_no_broker_where_they_look_for_themselves(tmp_path, data, elsewhere, postgres):
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    url, store = postgres.url(), str(tmp_path / "store")
    service = Service(ServiceSettings(data=data, database_url=url, store_url=store, workers=0))
    with served(service) as address, Client(address) as client:
        job = client.submit("analyze", [client.upload(song)])["id"]
        assert client._http.get("/readyz").status_code == 503
        with working(elsewhere, "", MIXAGENT_DATABASE=url, MIXAGENT_STORE=store):
            assert client.wait(job)["state"] == "done"
            postgres.drop_connections()
            until(lambda: client._http.get("/readyz").status_code == 200)
            again = client.submit("analyze", [client.upload(song)], {"dual_mono": True})["id"]
            assert client.wait(again)["state"] == "done"
        with service.database.reading() as session:
            assert {row.worker for row in session.query(Job)} != {None}


def test_a_database_that_cannot_be_reached_is_one_line(mixagent, monkeypatch):
    monkeypatch.setattr("mixagent.service.worker.tools._START_S", 0.1)
    ran = mixagent("work", "--database", "postgresql://a@127.0.0.1:1/b")
    assert ran.code == 6
    assert "cannot be reached" in ran.err


@pytest.mark.slow
@pytest.mark.skipif(servers.NO_S3 is not None, reason=str(servers.NO_S3))
def test_with_database_store_and_broker_elsewhere_a_master_has_the_bytes_that_the_library_writes(
    tmp_path, data, elsewhere, postgres, monkeypatch
):
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    url, store = postgres.url(), f"s3://{servers.BUCKET}/songs"
    with servers.s3() as s3, servers.redis() as (broker, _):
        for name, value in {**servers.S3_KEYS, "AWS_ENDPOINT_URL": s3}.items():
            monkeypatch.setenv(name, value)
        settings = ServiceSettings(
            data=data, database_url=url, store_url=store, broker_url=broker, presigned=True
        )
        service = Service(settings)
        with (
            served(service) as address,
            working(elsewhere, broker, MIXAGENT_DATABASE=url, MIXAGENT_STORE=store),
            Client(address) as client,
        ):
            job = client.submit("master", [client.upload(song)], OPTIONS)["id"]
            begun(client, job)
            # In the midst of it the database lets go of everybody.
            assert postgres.drop_connections() > 0
            done = client.wait(job)
            assert (done["state"], done["attempts"]) == ("done", 1)
            fetched = client.download(done, "song.master.wav", tmp_path / "fetched.wav")
            sent_on = client._http.get(f"{done['files'][0]['url']}?download=1", follow_redirects=False)
            assert sent_on.status_code == 307
            assert httpx.get(sent_on.headers["Location"]).content == fetched.read_bytes()
    mixagent.master(song, output=tmp_path / "own.wav", **OPTIONS)
    assert fetched.read_bytes() == (tmp_path / "own.wav").read_bytes()
    # Neither songs nor results lie on the disk of the service or of the worker.
    for folder in (data, elsewhere):
        assert not [*(folder / "blobs").glob("*/*")]
