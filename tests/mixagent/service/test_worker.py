"""Jobs that are run: by warm processes, as the library does it, whatever happens to the processes."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing

import browser
import mutagen.wave
import pytest
from mutagen.id3 import TIT2
from services import served
from songs import write_song

import mixagent
from mixagent.client import Client
from mixagent.pipeline.errors import OutputError
from mixagent.policies.experience import ExperienceStore
from mixagent.service.service import Service
from mixagent.service.settings import ServiceSettings, WorkerLimits
from mixagent.service.store.tables import Base
from mixagent.service.worker.slot import Slot
from mixagent.types import Cancel

OPTIONS = {"preset": "loud", "output_format": ["wav", "flac"], "renders": 1, "separator": "none"}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A service that works, with a client of it."""
    folder = tmp_path_factory.mktemp("work")
    service = Service(ServiceSettings(data=folder / "data"))
    with served(service) as address, Client(address) as client:
        yield service, client


def sha256(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return write_song(tmp_path_factory.mktemp("song") / "My song.wav", seconds=2.0)


def test_a_master_that_is_rated_is_learnt_from(work, tmp_path):
    service, client = work
    song = write_song(tmp_path / "Rated.wav", seconds=2.5)
    job = client.run("master", [song], OPTIONS)
    assert {file["role"] for file in job["files"]} == {"master", "report", "page"}
    service.ratings.rate("local", job["id"], "input", True, "")
    service.ratings.hand_over()
    store = ExperienceStore.default()
    (kept,) = [each for each in store.all() if each.song == sha256(song)]
    assert kept.master in {file["sha256"] for file in job["files"]}
    assert kept.number in {each.better for each in store.preferences()}


def test_a_master_has_the_bytes_that_the_library_writes(work, song, tmp_path):
    _, client = work
    events = []
    job = client.run("master", [song], OPTIONS, on_event=events.append)
    outputs = [tmp_path / f"own.{suffix}" for suffix in ("wav", "flac")]
    own = mixagent.master(song, output=outputs, intent="loud", renders=1, separator="none")
    masters = {file["name"]: file["sha256"] for file in job["files"] if file["role"] == "master"}
    assert masters == {
        "My song.master.wav": sha256(outputs[0]),
        "My song.master.flac": sha256(outputs[1]),
    }
    result = job["result"]
    assert result["after"]["integrated_lufs"] == pytest.approx(own.after.integrated_lufs)
    assert (result["engine_name"], result["engine_version"]) == ("mixagent", mixagent.__version__)
    assert result["device"] == "cpu"
    assert result["runtime_seconds"] > 0
    # Stages are told of four times a second at most, and most of a short song's are shorter.
    stages = {event.stage for event in events}
    assert "upload" in stages
    assert len(stages) > 1
    fetched = client.download(job, "My song.master.flac", tmp_path / "fetched.flac")
    assert sha256(fetched) == masters["My song.master.flac"]
    # No folder of the service is named in what it gives.
    assert "/" not in client.report(job["id"])["input"]["path"]
    again = client.run("master", [song], OPTIONS)
    assert again["cached"]
    assert again["files"][0]["sha256"] == job["files"][0]["sha256"]


def test_stems_sum_to_the_song_and_go_on_into_a_master(work, song, tmp_path):
    import numpy as np
    import soundfile

    _, client = work
    upload = client.upload(song)
    split = client.wait(client.submit("vocals", [upload])["id"])
    names = [file["name"] for file in split["files"] if file["role"] == "stem"]
    assert names == ["My song - 01 vocals.wav", "My song - 02 instrumental.wav"]
    parts = [soundfile.read(client.download(split, name, tmp_path / name))[0] for name in names]
    assert np.abs(sum(parts) - soundfile.read(song)[0]).max() < 1e-6
    tracks = [{"job": split["id"], "file": name} for name in names]
    master = client.wait(client.submit("master", [], {"stems_in": tracks, "renders": 1})["id"])
    assert [file["role"] for file in master["files"]] == ["master", "report", "page"]


def test_a_song_that_nothing_can_be_made_of_is_a_reason(work, tmp_path):
    _, client = work
    # Long enough to be taken, too short for two windows of a reference.
    song = write_song(tmp_path / "a.wav", seconds=0.5)
    with pytest.raises(mixagent.MixagentError):
        client.run("master", [song], {"separator": "htdemucs"})


def test_a_job_is_stopped_when_its_caller_asks(work, song):
    service, client = work
    cancel = Cancel()
    with pytest.raises(mixagent.CancelledError):
        client.run("master", [song], {"seed": 5}, on_event=lambda _: cancel.cancel(), cancel=cancel)
    assert list(service.settings.work.iterdir()) == []
    assert client.about()["engine_name"] == "mixagent"


def test_a_process_that_is_killed_costs_no_job(work, song):
    service, client = work
    upload = client.upload(song)
    job = client.submit("master", [upload], {"seed": 6, "separator": "none"})
    for _, kind, _ in client.events(job["id"]):
        if kind == "progress":
            os.kill(service.engine._slots[1]._process.pid, signal.SIGKILL)
            break
    done = client.wait(job["id"])
    assert (done["state"], done["attempts"]) == ("done", 2)


def any_known(estimates):
    """One may be 0.0: a quick machine rounds it to that."""
    return any(estimate is not None for estimate in estimates)


def test_events_are_told_once_and_in_order_however_often_one_comes_back(work, song):
    service, client = work
    upload = client.upload(song)
    job = client.submit("analyze", [upload], {"dual_mono": True})["id"]
    whole = list(client.events(job))
    numbers = [number for number, _, _ in whole if number]
    assert numbers == sorted(set(numbers))
    assert whole[-1][1:] == ("end", {"job": job, "state": "done"})
    for begin in (numbers[0], numbers[len(numbers) // 2]):
        rest = [number for number, _, _ in client.events(job, after=begin)]
        assert rest == [number for number in numbers if number > begin]
    # Another test may have left the song's stages, of which jobs have a shape of their own.
    shapes = ("analyze", "analyze again")
    # They are learnt behind the end of the job.
    known = browser.until(lambda: [service.estimates.whole_s(shape, 2.0) for shape in shapes], any_known)
    assert any_known(known)


def test_results_are_read_by_ranges_and_known_by_their_tag(work, song):
    _, client = work
    upload = client.upload(song)
    job = client.wait(client.submit("split", [upload], {"stems": 2})["id"])
    file = next(file for file in job["files"] if file["role"] == "stem")
    http = client._http
    whole = http.get(file["url"])
    size, tag = len(whole.content), whole.headers["ETag"]
    assert tag == f'"{file["sha256"]}"'
    for header, part in (
        ("bytes=0-3", whole.content[:4]),
        ("bytes=-5", whole.content[-5:]),
        (f"bytes={size - 2}-", whole.content[-2:]),
        (f"bytes=1-{size * 2}", whole.content[1:]),
    ):
        answer = http.get(file["url"], headers={"Range": header})
        assert (answer.status_code, answer.content) == (206, part)
    assert http.get(file["url"], headers={"Range": f"bytes={size}-"}).status_code == 416
    assert http.get(file["url"], headers={"Range": "bytes=0-1,4-5"}).status_code == 200
    assert http.get(file["url"], headers={"If-None-Match": tag}).status_code == 304
    other = http.get(file["url"], headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert (other.status_code, len(other.content)) == (200, size)
    assert http.head(file["url"]).headers["Content-Length"] == str(size)
    named = http.get(file["url"], params={"download": True}).headers["Content-Disposition"]
    assert named.startswith("attachment")
    assert len(http.get(file["peaks_url"], params={"points": 7}).json()["max"]) == 7
    assert http.get(f"/v1/jobs/{job['id']}/files/..%2F..%2Fsecret").status_code == 404


def test_a_report_runs_its_own_scripts_alone_and_a_link_to_it_ends_with_the_job(work, song):
    _, client = work
    upload = client.upload(song)
    job = client.wait(client.submit("restore", [upload])["id"])["id"]
    page = client._http.get(f"/v1/jobs/{job}/page")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts")
    scripts = policy.partition("script-src ")[2].partition(";")[0]
    assert 0 < scripts.count("'sha256-") <= page.text.count("<script")
    assert "unsafe" not in scripts
    link = client.link(job)
    assert client._http.get(link).content == page.content
    # Whoever has the link needs no key; who changes it has nothing.
    assert client._http.get(link[:-1] + ("A" if link[-1] != "A" else "B")).status_code == 404
    client.delete(job)
    assert client._http.get(link).status_code == 410


@pytest.mark.skipif(not browser.AVAILABLE, reason="chromium and chromedriver are not installed")
def test_a_report_plays_in_a_browser_under_its_policy(work, song, tmp_path):
    _, client = work
    job = client.run("master", [song], OPTIONS)["id"]
    address = str(client._http.base_url.join(f"/v1/jobs/{job}/page"))
    state = 'return document.getElementById("player").state()'
    with browser.opened(address, tmp_path / "profile") as run:
        assert run("return self.origin") == "null"
        run('document.getElementById("play").click()')
        plays = browser.until(lambda: run(state), lambda found: found["playing"] and found["positionS"] > 0)
    assert plays["playing"]
    assert plays["positionS"] > 0


def test_what_takes_too_long_is_stopped_with_the_reason(tmp_path, song):
    limits = WorkerLimits(time_limit_s=0.5, time_factor=0.0)
    service = Service(ServiceSettings(data=tmp_path / "data", worker=limits))
    with served(service) as address, Client(address) as client:
        job = client.submit("master", [client.upload(song)])
        with pytest.raises(mixagent.MixagentError, match="stopped after"):
            client.wait(job["id"])
        assert client.job(job["id"])["problem"]["code"] == "time_limit"


def test_logs_name_the_job():
    import logging

    from mixagent.service.logs import JsonLines

    record = logging.makeLogRecord({"msg": "done", "levelname": "INFO", "job": "job_x"})
    line = json.loads(JsonLines().format(record))
    assert (line["said"], line["job"], line["level"]) == ("done", "job_x", "info")


def test_what_a_process_says_of_a_job_that_was_given_up_is_not_taken_for_the_next_ones(
    tmp_path, song, monkeypatch
):
    bound, failed = Slot._bound, []

    def full_once(self, *words):
        if not failed:
            failed.append(words)
            raise OSError(28, "No space left on device")
        bound(self, *words)

    monkeypatch.setattr(Slot, "_bound", full_once)
    service = Service(ServiceSettings(data=tmp_path / "data"))
    with served(service) as address, Client(address) as client:
        upload = client.upload(song)
        with pytest.raises(OutputError, match="No space left on device"):
            client.wait(client.submit("master", [upload], OPTIONS)["id"])
        second = client.wait(client.submit("master", [upload], {**OPTIONS, "output_format": "ogg"})["id"])
        assert [file["name"] for file in second["files"] if file["role"] == "master"] == [
            "My song.master.ogg"
        ]


def test_a_service_whose_worker_processes_do_not_come_up_is_not_ready(tmp_path, monkeypatch):
    monkeypatch.setattr("mixagent.service.worker.process.sys.executable", "/bin/false")
    service = Service(ServiceSettings(data=tmp_path / "data"))
    with served(service) as address, Client(address) as client:
        until = time.monotonic() + 30
        while client._http.get("/readyz").status_code == 200 and time.monotonic() < until:
            time.sleep(0.1)
        assert client._http.get("/readyz").json()["detail"] == "workers: no worker is alive"


TRICKS = "../../..\\etc/<img src=x onerror=alert(1)> \u202e cron.d \u0000 trick.wav"
TITLE = "</script><script>alert('tag')</script>../../../title"


def tricky(song, place):
    """A song whose title plays tricks."""
    tags = mutagen.wave.WAVE(shutil.copyfile(song, place))
    tags.add_tags()
    tags.tags.add(TIT2(text=[TITLE]))
    tags.save()
    return place


def on_the_disk(folder) -> dict[str, bytes]:
    """The files of a folder by name, with their content."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(service) -> str:
    """All that the tables of a database hold, as text."""
    with closing(sqlite3.connect(service.settings.database)) as database:
        tables = [database.execute(f'SELECT * FROM "{table}"') for table in Base.metadata.tables]
        return "\n".join(repr(row) for table in tables for row in table)


def test_names_and_tags_of_a_song_lead_nowhere_and_of_what_is_deleted_nothing_is_left(work, song, tmp_path):
    service, client = work
    data, http = service.settings.data, client._http
    beside = {path.name for path in data.parent.iterdir()}
    sent = tricky(song, tmp_path / "trick.wav").read_bytes()
    upload = http.post("/v1/uploads", params={"name": TRICKS}, content=sent).json()
    assert not {"/", "\\", "<", "\u202e", "\0"} & {*upload["name"]}
    job = client.wait(client.submit("master", [upload["id"]], OPTIONS)["id"])
    assert {path.name for path in data.parent.iterdir()} == beside
    assert not [name for name in on_the_disk(data) if "cron" in name or "title" in name]
    for file in job["files"]:
        answer = http.get(file["url"])
        assert answer.status_code == 200
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    page = http.get(f"/v1/jobs/{job['id']}/page").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page

    link = client.link(job["id"])
    stem = upload["name"].rpartition(".")[0]
    assert stem in rows(service)
    client.delete(job["id"])
    assert http.delete(f"/v1/uploads/{upload['id']}").status_code == 204
    assert http.get(link).status_code == 410
    own = [upload["sha256"], *(file["sha256"] for file in job["files"])]
    for listed in (data / "cache").glob("*/blobs.txt"):
        # A job may just have got it: within its first seconds it is not swept.
        os.utime(listed, (0, 0))
    for step in service.sweeper._steps:
        step()
    for name, content in on_the_disk(data).items():
        assert not [sha256 for sha256 in own if sha256 in name or sha256.encode() in content], name
        assert stem.encode() not in content, name
        assert b"alert('tag')" not in content, name
    # What the log of who did what keeps of it is its ids.
    assert stem not in rows(service)
    assert job["id"] in rows(service)
