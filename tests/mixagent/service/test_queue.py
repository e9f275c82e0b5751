"""The queue: who is next, one end to each job, nothing rendered twice."""

import hashlib
import os

import pytest
from services import called

from mixagent.service.access import ensure_user
from mixagent.service.jobs.submit import Asked
from mixagent.service.settings import Limits, WorkerLimits
from mixagent.service.store.tables import Job, JobFile, Upload

pytestmark = pytest.mark.usefixtures("database")

RESULT = {"runtime_seconds": 1.0, "warnings": []}


@pytest.fixture
def song(api, short_song) -> str:
    return api.upload(short_song)["id"]


def state(api, id_: str) -> str:
    with api.service.database.reading() as session:
        return session.query(Job).filter_by(id=id_).one().state


def of_user(api, user: str, song: str, **options) -> str:
    """A job of another user, with the same song."""
    with api.service.database.writing() as session:
        ensure_user(session, user)
        own = session.get(Upload, f"{song[:-4]}{user}")
        if own is None:
            found = session.get(Upload, song)
            columns = {c.key: getattr(found, c.key) for c in Upload.__table__.columns if c.key != "peaks"}
            session.add(Upload(**{**columns, "id": f"{song[:-4]}{user}", "user": user}))
    asked = Asked(options.pop("kind", "master"), [f"{song[:-4]}{user}"], options)
    return api.service.submitter.submit(user, asked)[0]


def blob(api, data: bytes, folder) -> JobFile:
    file = folder / "made"
    file.write_bytes(data)
    sha256 = api.service.blobs.put(file)
    return JobFile(place=0, name="a.wav", role="master", media_type="audio/wav", bytes=len(data), blob=sha256)


def test_users_are_served_in_turn_and_each_in_their_order(tmp_path, short_song):
    with called(tmp_path, limits=Limits(running=100)) as api:
        song = api.upload(short_song)["id"]
        queue = api.service.queue
        many = [of_user(api, "anna", song, seed=n) for n in range(4)]
        few = [of_user(api, "bert", song, seed=10 + n) for n in range(2)]
        order = []
        while (claimed := queue.claim()) is not None:
            order.append(claimed.id)
            queue.fail(claimed, {"code": "input"})
        assert order == [many[0], few[0], many[1], few[1], many[2], many[3]]


def test_what_a_job_has_made_is_there_while_it_goes_on_and_gone_where_it_comes_to_no_end(api, song, tmp_path):
    queue, blobs = api.service.queue, api.service.blobs
    id_ = api.job("master", song)["id"]
    early = {**RESULT, "summary": ["dull"]}
    for ending in (queue.give_back, lambda claimed: queue.lost(claimed, "it died")):
        claimed = queue.claim()
        queue.first(claimed, early, [blob(api, b"early", tmp_path)])
        shown = api.get(f"/v1/jobs/{id_}").json()
        assert (shown["state"], shown["result"]["summary"]) == ("running", ["dull"])
        assert api.get(shown["files"][0]["url"]).content == b"early"
        ending(claimed)
        shown = api.get(f"/v1/jobs/{id_}").json()
        assert (shown["state"], shown["result"], shown["files"]) == ("queued", None, [])
        assert not blobs.has(hashlib.sha256(b"early").hexdigest())
        with api.service.database.writing() as session:
            session.query(Job).filter_by(id=id_).one().not_before = 0
    claimed = queue.claim()
    queue.first(claimed, early, [blob(api, b"early", tmp_path)])
    assert queue.finish(claimed, RESULT, [blob(api, b"whole", tmp_path)], lambda: None)
    shown = api.get(f"/v1/jobs/{id_}").json()
    assert (shown["state"], len(shown["files"])) == ("done", 1)
    assert not blobs.has(hashlib.sha256(b"early").hexdigest())


def test_the_places_are_those_in_which_the_jobs_are_served(tmp_path, short_song):
    with called(tmp_path, limits=Limits(running=100)) as api:
        song = api.upload(short_song)["id"]
        users = ["anna", "anna", "bert", "anna", "carl"]
        jobs = [of_user(api, user, song, seed=n) for n, user in enumerate(users)]
        jobs.append(of_user(api, "bert", song, kind="analyze"))
        with api.service.database.reading() as session:
            rows = session.query(Job).filter(Job.id.in_(jobs)).all()
            found = {row.id: api.service.queue.place(session, row) for row in rows}
        order = []
        while (claimed := api.service.queue.claim()) is not None:
            order.append(claimed.id)
            api.service.queue.fail(claimed, {"code": "input"})
        # The quick job's user has been served when the others' turn comes: only the first place is sure.
        assert sorted(found.values()) == list(range(6))
        assert order[0] == min(found, key=found.get)
        assert found[order[0]] == 0


def test_no_user_has_more_at_work_than_allowed_but_for_quick_jobs(tmp_path, short_song):
    with called(tmp_path, limits=Limits(running=1)) as api:
        song = api.upload(short_song)["id"]
        for seed in range(2):
            of_user(api, "anna", song, seed=seed)
        assert api.service.queue.claim() is not None
        assert api.service.queue.claim() is None
        quick = of_user(api, "anna", song, kind="analyze")
        assert api.service.queue.claim().id == quick


def test_quick_jobs_go_first_and_a_quick_worker_takes_nothing_else(api, song):
    slow = api.job("master", song)["id"]
    quick = api.job("master", song, options={"dry_run": True})["id"]
    assert api.service.queue.claim(quick_only=True).id == quick
    assert api.service.queue.claim(quick_only=True) is None
    assert api.service.queue.claim().id == slow


def test_a_claim_that_is_void_ends_nothing(api, song, tmp_path):
    api.job("master", song)
    queue = api.service.queue
    first = queue.claim()
    assert queue.take_back(everything=True) == 1
    second = queue.claim()
    assert first.id == second.id
    assert queue.beat(first) == "lost"
    assert not queue.finish(first, RESULT, [blob(api, b"first", tmp_path)], lambda: None)
    assert queue.finish(second, RESULT, [blob(api, b"second", tmp_path)], lambda: None)
    files = api.get(f"/v1/jobs/{first.id}").json()["files"]
    assert api.get(files[0]["url"]).content == b"second"


def test_a_lease_that_ran_out_brings_the_job_back(tmp_path, short_song):
    with called(tmp_path, worker=WorkerLimits(lease_s=-1.0)) as api:
        api.job("master", api.upload(short_song)["id"])
        claimed = api.service.queue.claim()
        assert api.service.queue.take_back() == 1
        assert state(api, claimed.id) == "queued"


def test_a_job_at_which_workers_die_is_set_aside_with_the_reason(tmp_path, short_song):
    with called(tmp_path, worker=WorkerLimits(losses=2)) as api:
        job = api.job("master", api.upload(short_song)["id"])
        for _ in range(2):
            with api.service.database.writing() as session:
                session.query(Job).update({"not_before": 0.0})
            api.service.queue.lost(api.service.queue.claim(), "its process was ended by signal 11")
        found = api.get(f"/v1/jobs/{job['id']}").json()
        assert (found["state"], found["problem"]["code"]) == ("failed", "set_aside")
        assert "signal 11" in found["problem"]["detail"]


def test_a_job_that_was_cancelled_while_its_worker_died_is_cancelled(api, song):
    job = api.job("master", song)
    claimed = api.service.queue.claim()
    asked = api.post(f"/v1/jobs/{job['id']}/cancel").json()
    assert asked["cancel_asked"]
    assert api.service.queue.beat(claimed) == "cancel"
    api.service.queue.lost(claimed, "its process was ended by signal 9")
    assert state(api, job["id"]) == "cancelled"


def test_the_same_request_is_answered_from_what_was_done_also_for_another_user(api, song, tmp_path):
    first = api.job("master", song)["id"]
    claimed = api.service.queue.claim()
    assert api.service.queue.finish(claimed, RESULT, [blob(api, b"made", tmp_path)], lambda: None)
    again = api.job("master", song)
    assert (again["state"], again["cached"], again["result"]["runtime_seconds"]) == ("done", True, 0.0)
    assert again["id"] != first
    other = of_user(api, "anna", song)
    assert state(api, other) == "done"
    # What one deletes the other keeps, and what both delete is gone.
    for id_ in (first, again["id"]):
        assert api("DELETE", f"/v1/jobs/{id_}").status_code == 204
    with api.service.database.reading() as session:
        (file,) = session.query(Job).filter_by(id=other).one().files
    assert api.service.blobs.has(file.blob)


def test_an_equal_job_waits_for_the_one_at_work_and_takes_its_results(api, song, tmp_path):
    first, second = (api.job("master", song)["id"] for _ in range(2))
    claimed = api.service.queue.claim()
    assert claimed.id == first
    assert api.service.queue.claim() is None
    api.service.queue.finish(claimed, RESULT, [blob(api, b"made", tmp_path)], lambda: None)
    assert api.service.queue.claim() is None
    assert (state(api, second), api.get(f"/v1/jobs/{second}").json()["cached"]) == ("done", True)


def test_a_job_keeps_its_song_when_the_upload_is_deleted_and_lets_go_of_it_at_its_end(api, song, short_song):
    api.job("master", song)
    api("DELETE", f"/v1/uploads/{song}")
    claimed = api.service.queue.claim()
    ((path, sha256),) = claimed.inputs
    assert path == "song.wav"
    assert api.service.blobs.has(sha256)
    api.service.queue.fail(claimed, {"code": "input"})
    for path in api.service.settings.blobs.rglob(sha256):
        os.utime(path, (0, 0))
    api.service.sweeper.sweep_bytes()
    assert not api.service.blobs.has(sha256)
