"""Backup while the service works, and restore: everything is there, and the archive is not believed."""

import io
import json
import sqlite3
import tarfile
import threading
from contextlib import closing

import pytest
from services import called

from mixagent.pipeline.errors import InputError, UsageError
from mixagent.service.settings import ServiceSettings
from mixagent.service.store import backup as module
from mixagent.service.store.backup import TABLE, backup, restore
from mixagent.service.store.tables import JobFile

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def kept(api, short_song, tmp_path):
    """A service that keeps a song, a job with a result, a job that waits, half an upload and a link."""
    song = api.upload(short_song)["id"]
    job = api.job("master", song)["id"]
    claimed = api.service.queue.claim()
    made = tmp_path / "master.wav"
    made.write_bytes(b"master" * 100)
    row = JobFile(
        place=0,
        name="song.master.wav",
        role="master",
        media_type="audio/wav",
        bytes=600,
        blob=api.service.blobs.put(made),
    )
    assert api.service.queue.finish(claimed, {"met": True}, [row], lambda *_: None)
    waiting = api.job("split", song)["id"]
    half = api.post("/v1/tus", headers={**BYTES, "Upload-Length": "100"}, content=b"x" * 40)
    link = api.post(f"/v1/jobs/{job}/links", json={"file": "song.master.wav"}).json()["url"]
    return {"song": song, "job": job, "waiting": waiting, "half": half.headers["Location"], "link": link}


def test_everything_is_there_after_a_restore(api, kept, short_song, tmp_path):
    saved = backup(api.service.settings, tmp_path / "a.tar")
    assert (saved.rows, saved.files) == ({"users": 1, "uploads": 2, "jobs": 2}, 3)
    assert (tmp_path / "a.tar").stat().st_mode & 0o077 == 0
    assert [path.name for path in api.service.settings.data.glob("mixagent-*")] == []
    before = {url: api.get(url).json() for url in ("/v1/jobs", "/v1/uploads")}
    assert restore(ServiceSettings(data=tmp_path / "new" / "data"), tmp_path / "a.tar") == saved
    with called(tmp_path / "new") as again:
        assert {url: again.get(url).json() for url in before} == before
        assert again.get(f"/v1/uploads/{kept['song']}/content").content == short_song.read_bytes()
        assert again.get(kept["link"]).content == b"master" * 100
        assert again.service.queue.claim().id == kept["waiting"]
        assert again("HEAD", kept["half"], headers=TUS).headers["Upload-Offset"] == "40"
        done = again("PATCH", kept["half"], headers={**BYTES, "Upload-Offset": "40"}, content=b"y")
        assert done.headers["Upload-Offset"] == "41"
        assert [row["what"] for row in again.get("/v1/audit").json()["entries"]][:2] == ["restore", "backup"]


def test_a_backup_under_load_names_nothing_that_it_lacks(api, short_song, tmp_path):
    data = short_song.read_bytes()
    stop, archives = threading.Event(), []

    def users(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            # A cue sheet is checked in no time: many come and go while a backup is made.
            row = api.service.uploads.begin("local", f"{number}.cue", None)
            api.service.uploads.file(row.id).write_bytes(data + bytes([number, count % 256]))
            with api.service.database.writing() as session:
                held = session.get(type(row), row.id)
                held.blob = api.service.blobs.put(api.service.uploads.file(row.id))
                held.state, held.bytes = "ready", len(data) + 2
            if count % 2:
                with api.service.database.writing() as session:
                    api.service.uploads.forget(session, session.get(type(row), row.id))

    threads = [threading.Thread(target=users, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(4):
            archives.append(tmp_path / f"{number}.tar")
            backup(api.service.settings, archives[-1])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for number, archive in enumerate(archives):
        restore(ServiceSettings(data=tmp_path / f"restored {number}"), archive)


def test_what_was_deleted_before_a_backup_was_done_is_not_in_it(api, short_song, tmp_path, monkeypatch):
    song = api.upload(short_song)
    hold, seen = module._hold, []

    def held(settings, folder, database):
        there = hold(settings, folder, database)
        if not seen:
            seen.append(api("DELETE", f"/v1/uploads/{song['id']}").status_code)
        return there

    monkeypatch.setattr(module, "_hold", held)
    backup(api.service.settings, tmp_path / "a.tar")
    assert seen == [204]
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == [TABLE, "node", "secret", "service.sqlite"]


def test_a_folder_that_is_not_empty_or_in_use_is_left_as_it_is(api, kept, tmp_path):
    backup(api.service.settings, tmp_path / "a.tar")
    with pytest.raises(UsageError, match="a service works in"):
        restore(api.service.settings, tmp_path / "a.tar")
    used = tmp_path / "used"
    used.mkdir()
    (used / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"is not empty \(thesis.txt lies in it\)"):
        restore(ServiceSettings(data=used), tmp_path / "a.tar")
    assert (used / "thesis.txt").read_text() == "years of work"
    assert api.get(f"/v1/jobs/{kept['job']}").json()["state"] == "done"


def test_where_no_service_has_worked_there_is_nothing_to_back_up(tmp_path):
    with pytest.raises(UsageError, match="nothing to back up"):
        backup(ServiceSettings(data=tmp_path), tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def members(archive) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(archive) as opened:
        return [(member, opened.extractfile(member).read()) for member in opened]


def packed(archive, rows) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as opened:
        for member, data in rows:
            member.size = len(data) if member.isreg() else 0
            opened.addfile(member, io.BytesIO(data))


def damaged(rows, what: str):
    """The members of an archive, with something done to them."""
    table = json.loads(rows[0][1])
    if what == "a blob changed":
        place = next(n for n, (member, _) in enumerate(rows) if member.name.startswith("blobs/"))
        rows[place] = (rows[place][0], bytes(len(rows[place][1])))
    elif what == "a blob missing":
        rows = [row for row in rows if not row[0].name.startswith("blobs/")]
    elif what == "a blob that nobody knows of":
        rows.append((tarfile.TarInfo("blobs/" + "0" * 64), b"x"))
    elif what == "a blob missing from the table too":
        rows = [row for row in rows if not row[0].name.startswith("blobs/")]
        table["files"] = {name: row for name, row in table["files"].items() if "blobs" not in name}
    elif what == "a database of nothing":
        import hashlib

        junk = b"no database" * 1000
        rows = [(member, junk if member.name == "service.sqlite" else data) for member, data in rows]
        table["files"]["service.sqlite"] = {"sha256": hashlib.sha256(junk).hexdigest(), "bytes": len(junk)}
    elif what == "another kind":
        table["schema"] = "mixagent.backup/99"
    elif what == "no table":
        return rows[1:]
    elif what == "a table of nothing":
        return [(rows[0][0], b"[]"), *rows[1:]]
    return [(rows[0][0], json.dumps(table).encode()), *rows[1:]]


@pytest.mark.parametrize(
    "what",
    [
        "a blob changed",
        "a blob missing",
        "a blob that nobody knows of",
        "a blob missing from the table too",
        "a database of nothing",
        "another kind",
        "no table",
        "a table of nothing",
    ],
)
def test_a_damaged_backup_is_one_line_and_leaves_nothing(api, kept, tmp_path, what):
    backup(api.service.settings, tmp_path / "a.tar")
    packed(tmp_path / "b.tar", damaged(members(tmp_path / "a.tar"), what))
    with pytest.raises(InputError) as told:
        restore(ServiceSettings(data=tmp_path / "new"), tmp_path / "b.tar")
    assert "\n" not in str(told.value)
    assert [path.name for path in (tmp_path / "new").iterdir()] in ([], ["service.lock"])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_backup_that_was_cut_short_is_one_line(api, kept, tmp_path, share):
    backup(api.service.settings, tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"b\.tar"):
        restore(ServiceSettings(data=tmp_path / "new"), tmp_path / "b.tar")


@pytest.mark.parametrize(
    "name", ["../outside", "/tmp/outside", "blobs/../../outside", "incoming/upl_../x", "service.sqlite/x"]
)
@pytest.mark.parametrize("listed", [True, False])
def test_an_archive_writes_nowhere_else(api, kept, tmp_path, name, listed):
    import hashlib

    backup(api.service.settings, tmp_path / "a.tar")
    rows = members(tmp_path / "a.tar")
    if listed:
        table = json.loads(rows[0][1])
        table["files"][name] = {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}
        rows[0] = (rows[0][0], json.dumps(table).encode())
    packed(tmp_path / "b.tar", [*rows, (tarfile.TarInfo(name), b"x")])
    with pytest.raises(InputError):
        restore(ServiceSettings(data=tmp_path / "deep" / "new"), tmp_path / "b.tar")
    assert list(tmp_path.rglob("*outside*")) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_an_archive_brings_files_and_nothing_else(api, kept, tmp_path, kind):
    backup(api.service.settings, tmp_path / "a.tar")
    rows = members(tmp_path / "a.tar")
    rows[1][0].type, rows[1][0].linkname = kind, "/etc/passwd"
    packed(tmp_path / "b.tar", rows)
    with pytest.raises(InputError):
        restore(ServiceSettings(data=tmp_path / "new"), tmp_path / "b.tar")


def test_the_commands_say_what_they_did(api, kept, tmp_path, mixagent):
    def run(*words: object) -> tuple[int, str]:
        ran = mixagent(*words)
        return ran.code, ran.err

    code, said = run("backup", "make", tmp_path / "a.tar", "--data", api.service.settings.data)
    assert (code, "1 user, 2 uploads, 2 jobs, 3 files" in said) == (0, True)
    code, said = run("backup", "restore", tmp_path / "a.tar", "--data", tmp_path / "new")
    assert (code, "every file as it was" in said) == (0, True)
    code, said = run("backup", "restore", tmp_path / "a.tar", "--data", api.service.settings.data)
    assert (code, said.count("\n")) == (2, 1)
    code, said = run("backup", "restore", tmp_path / "none.tar", "--data", tmp_path / "newer")
    assert (code, said.count("\n")) == (3, 1)
    with closing(sqlite3.connect(tmp_path / "new" / "service.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
