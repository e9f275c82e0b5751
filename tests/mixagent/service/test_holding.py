"""A clock that jumps, a database that is locked, a disk that is full: words, and nothing is lost."""

import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager

import pytest
from services import called
from signing_in import PASSWORD, signed_in, tried

from mixagent.service.settings import DAY_S, Retention
from mixagent.service.store import database
from mixagent.service.store.tables import Job, Upload

HOUR_S = 3600.0
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


# --- a clock that jumps --------------------------------------------------------------------------


def test_a_day_that_did_not_pass_deletes_nothing(api, short_song, clock):
    song = api.upload(short_song)["id"]
    half = api.post("/v1/tus", headers={**BYTES, "Upload-Length": "9"}, content=b"1234").headers["Location"]
    job = api.job("master", song, headers={"Idempotency-Key": "one"})["id"]
    api("POST", f"/v1/jobs/{job}/cancel")
    api.service.sweeper.sweep_rows()
    clock.forward(60 * DAY_S)
    api.service.sweeper.sweep_rows()
    clock.forward(-60 * DAY_S)
    api.service.sweeper.sweep_rows()
    assert api.get(f"/v1/uploads/{song}").json()["state"] == "ready"
    assert api.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert api("HEAD", half, headers=TUS).headers["Upload-Offset"] == "4"
    assert api.job("master", song, headers={"Idempotency-Key": "one"})["id"] == job


def test_what_is_too_old_goes_once_the_clock_was_right_for_an_hour(tmp_path, short_song, clock, monkeypatch):
    with called(tmp_path, retention=Retention(uploads_s=DAY_S)) as api:
        song = api.upload(short_song)["id"]
        clock.forward(2 * DAY_S)
        api.service.sweeper.sweep_rows()
        assert api.get(f"/v1/uploads/{song}").status_code == 200
        steady = api.service.sweeper._clock
        monkeypatch.setattr(steady, "_held_until_s", steady._held_until_s - HOUR_S)
        api.service.sweeper.sweep_rows()
        assert api.get(f"/v1/uploads/{song}").status_code == 404


def test_a_clock_that_is_set_back_keeps_no_job_waiting(api, short_song, clock):
    job = api.job("master", api.upload(short_song)["id"])["id"]
    api.service.queue.lost(api.service.queue.claim(), "it died")
    clock.forward(-HOUR_S)
    claimed = api.service.queue.claim()
    assert claimed.id == job
    # Its worker dies with the service's thread, and the lease that it had is an hour ahead.
    clock.forward(-HOUR_S)
    assert api.service.queue.take_back() == 1
    clock.forward(60)
    assert api.service.queue.claim().id == job


def test_a_clock_that_is_set_forward_costs_no_job_and_gives_no_second_end(api, short_song, clock):
    job = api.job("master", api.upload(short_song)["id"])["id"]
    first = api.service.queue.claim()
    clock.forward(DAY_S)
    assert api.service.queue.take_back() == 1
    second = api.service.queue.claim()
    assert (second.id, second.token != first.token) == (job, True)
    assert api.service.queue.beat(first) == "lost"
    assert not api.service.queue.finish(first, {"by": "first"}, [], lambda *_: None)
    assert api.service.queue.finish(second, {"by": "second"}, [], lambda *_: None)
    assert api.get(f"/v1/jobs/{job}").json()["result"] == {"by": "second"}


def test_who_has_signed_in_stays_signed_in_and_a_link_holds_again(club, short_song, clock):
    anna = signed_in(club, "anna")
    job = club.job("master", club.upload(short_song, headers=anna)["id"], headers=anna)["id"]
    token = club.service.signer.sign("link", {"job": job, "file": "a", "page": False}, HOUR_S)
    for jump_s in (DAY_S, -DAY_S, -HOUR_S, HOUR_S):
        clock.forward(jump_s)
        assert club.get("/v1", headers=anna).status_code == 200
        club.service.sessions.flush()
        club.service.sweeper.sweep_rows()
    assert club.service.signer.read("link", token)["job"] == job
    assert club.get(f"/v1/jobs/{job}", headers=anna).json()["state"] == "queued"


# --- a database that is locked -------------------------------------------------------------------


@contextmanager
def locked(file):
    """Another process holds the lock of those who write."""
    program = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "held.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        yield
    finally:
        holder.communicate(b"")


@pytest.fixture
def impatient(tmp_path, monkeypatch, cheap):
    """A service with accounts that waits for the lock for a moment only."""
    monkeypatch.setattr(database, "BUSY_S", 0.2)
    with called(tmp_path, accounts=True, host="0.0.0.0") as api:
        api.service.users.add("anna", PASSWORD)
        yield api


def test_while_the_database_is_locked_readers_read_and_writers_are_told_to_come_again(impatient, short_song):
    api, anna = impatient, signed_in(impatient, "anna")
    song = api.upload(short_song, headers=anna)["id"]
    sent = {**anna, **BYTES, "Upload-Length": "8"}
    place = api.post("/v1/tus", headers=sent, content=b"1234").headers["Location"]
    body = {"kind": "master", "uploads": [song]}
    with locked(api.service.settings.database):
        for url in ("/v1", "/v1/jobs", f"/v1/uploads/{song}", f"/v1/uploads/{song}/content"):
            assert api.get(url, headers=anna).status_code == 200
        refused = [
            api.post("/v1/jobs", json=body, headers={**anna, "Idempotency-Key": "one"}),
            api("PATCH", place, headers={**anna, **BYTES, "Upload-Offset": "4"}, content=b"56"),
            api("DELETE", f"/v1/uploads/{song}", headers=anna),
            tried(api, "anna", PASSWORD),
        ]
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (503, "busy"), answer.text
            assert int(answer.headers["Retry-After"]) >= 1
        ready = api.get("/readyz").json()
        assert "the database is busy" in ready["parts"]["database"]
    assert api.get("/v1/jobs", headers=anna).json()["jobs"] == []
    assert api.post("/v1/jobs", json=body, headers={**anna, "Idempotency-Key": "one"}).status_code == 201
    # Of the bytes that came while it was locked none is lost, and none is there twice.
    assert api("HEAD", place, headers={**anna, **TUS}).headers["Upload-Offset"] in ("4", "6")
    assert tried(api, "anna", PASSWORD).status_code == 204


def test_what_was_done_while_the_audit_log_could_not_be_written_is_put_down_later(impatient):
    api = impatient
    key, _ = api.service.keys.create("local", "test", ["admin"])
    root = {"Authorization": f"Bearer {key}"}
    with locked(api.service.settings.database):
        assert api("DELETE", "/v1/session", headers=root).status_code in (204, 503)
        api.service.audit.put(api.service.keys.caller(key), "sign out", "", "192.0.2.1")
    api.service.audit.flush()
    lines = api.get("/v1/audit", headers=root).json()["entries"]
    assert ("sign out", "192.0.2.1") in [(line["what"], line["address"]) for line in lines]


# --- a disk that is full -------------------------------------------------------------------------


@contextmanager
def room(file_bytes: int):
    """No file may grow beyond a size: to whoever writes it is as a disk that is full."""
    resource = pytest.importorskip("resource", reason="limits of processes are of POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_upload_that_the_disk_has_no_room_for_is_told_so_and_goes_on_later(api):
    data = os.urandom(5_000_000)
    place = api.post("/v1/tus", headers={**TUS, "Upload-Length": str(len(data))}).headers["Location"]
    with room(3_000_000):
        answer = api("PATCH", place, headers={**BYTES, "Upload-Offset": "0"}, content=data)
        assert (answer.status_code, answer.json()["code"]) == (507, "disk")
        whole = api.post("/v1/uploads", content=data)
        assert (whole.status_code, whole.json()["code"]) == (507, "disk")
        form = api.post("/v1/uploads", files={"file": ("a.wav", data)})
        assert (form.status_code, form.json()["code"]) == (507, "disk")
    assert len(api.get("/v1/uploads").json()["uploads"]) == 1
    at = int(api("HEAD", place, headers=TUS).headers["Upload-Offset"])
    api("PATCH", place, headers={**BYTES, "Upload-Offset": str(at)}, content=data[at:])
    assert api.get(f"/v1/uploads/{place.rpartition('/')[2]}").json()["received_bytes"] == len(data)


def test_a_database_that_cannot_grow_is_told_and_keeps_what_it_has(api, short_song):
    song = api.upload(short_song)["id"]
    job = api.job("master", song)["id"]
    with room(1000):
        answer = api.post("/v1/jobs", json={"kind": "analyze", "uploads": [song]})
        assert (answer.status_code, answer.json()["code"]) == (507, "disk")
        assert "no room" in api.get("/readyz").json()["parts"]["database"]
        assert api.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    assert api.post("/v1/jobs", json={"kind": "analyze", "uploads": [song]}).status_code == 201
    with sqlite3.connect(api.service.settings.database) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    opened.close()
    with api.service.database.reading() as session:
        assert (session.query(Upload).count(), session.query(Job).count()) == (1, 2)
