"""Uploads: what is taken, what is refused, and what is left of either."""

import io
import os
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from services import called
from songs import write_song

from mixagent.service.settings import Limits, ServiceSettings
from mixagent.service.worker import check

FORM = {"file": ("My song.wav", b"", "audio/wav")}


def test_a_form_and_the_bytes_as_they_are_give_the_same_upload(api, short_song):
    data = short_song.read_bytes()
    form = api.post("/v1/uploads", files={"file": ("a.wav", data)}).json()
    plain = api.post("/v1/uploads", params={"name": "a.wav"}, content=data).json()
    assert form["state"] == plain["state"] == "ready"
    assert form["sha256"] == plain["sha256"]
    assert form["audio"] == plain["audio"]
    assert plain["audio"] == {
        "container": "WAV",
        "codec": "FLOAT",
        "rate_hz": 44100,
        "channels": 2,
        "bit_depth": 32,
        "duration_s": 2.0,
    }


@pytest.mark.parametrize(
    ("data", "code", "status"),
    [
        (b"", "type", 415),
        (b"\x89PNG\r\n\x1a\n" + bytes(4000), "type", 415),
        (b"RIFF" + bytes(100), "type", 415),
        (b"<script>alert(1)</script>" * 200, "type", 415),
    ],
)
def test_what_is_no_audio_by_its_content_is_refused_whatever_its_name(api, data, code, status):
    answer = api.post("/v1/uploads", params={"name": "song.wav"}, content=data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.get("/v1/uploads").json()["uploads"] == []
    assert list(api.service.settings.incoming.glob("upl_*")) == []


def test_a_song_that_is_longer_than_allowed_is_refused_even_where_its_header_lies(tmp_path, short_song):
    with called(tmp_path, limits=Limits(duration_s=1.0)) as api:
        answer = api.post("/v1/uploads", content=short_song.read_bytes())
        assert (answer.status_code, answer.json()["code"]) == (413, "too_long")
        flac = write_song(tmp_path / "a.flac", "PCM_16", seconds=2.0)
        data = bytearray(flac.read_bytes())
        # STREAMINFO's count of samples, of which the upper four bits are zero: a quarter of what there is.
        data[22:26] = struct.pack(">I", 22050)
        answer = api.post("/v1/uploads", content=bytes(data))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_long")


def flac(seconds: float, rate: int, stated_frames: int) -> bytes:
    """Silence, which takes hardly any room; its header states another length."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(round(seconds * rate), np.int16), rate, format="FLAC")
    data = bytearray(buffer.getvalue())
    (packed,) = struct.unpack(">Q", data[18:26])
    data[18:26] = struct.pack(">Q", packed >> 36 << 36 | stated_frames)
    return bytes(data)


@pytest.mark.parametrize(
    ("seconds", "stated_s"),
    [
        pytest.param(2.0, 6 * 3600, id="six hours by its header"),
        pytest.param(1900.0, 0, id="half an hour of silence of which the header does not know"),
        pytest.param(1900.0, 3, id="half an hour of silence that is called three seconds"),
    ],
)
def test_what_lasts_too_long_is_refused_before_it_fills_the_disk(api, seconds, stated_s):
    data = flac(seconds, 8000, round(stated_s * 8000))
    assert len(data) < 1_000_000
    answer = api.post("/v1/uploads", content=data)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_long")
    assert [path for path in api.service.settings.incoming.rglob("*") if path.is_file()] == []


def test_two_gigabytes_are_refused_before_the_first_byte_is_taken(api):
    headers = {"Content-Length": "2000000001", "Content-Type": "audio/wav"}
    answer = api.post("/v1/uploads", content=b"", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "2000000001"}
    assert api.post("/v1/tus", headers=tus).status_code == 413


def test_more_bytes_than_allowed_are_refused_whether_they_are_stated_or_not(tmp_path, short_song):
    with called(tmp_path, limits=Limits(upload_bytes=100_000)) as api:

        async def pieces():
            for _ in range(8):
                yield bytes(200_000)

        for content in (short_song.read_bytes(), pieces()):
            answer = api.post("/v1/uploads", content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        answer = api.post("/v1/uploads", files={"file": ("a.wav", bytes(2_000_000))})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert list(api.service.settings.incoming.glob("upl_*")) == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a/b/Ünï cödé.wav", "Ünï cödé.wav"),
        ("<img src=x onerror=alert(1)>.wav", "_img src=x onerror=alert(1)_.wav"),
        ("line\r\nbreak\x00.wav", "line__break_.wav"),
        ("...", "song"),
        (".wav", "wav"),
        ("x" * 500 + ".wav", "x" * 120 + ".wav"),
    ],
)
def test_a_name_keeps_nothing_that_leads_elsewhere(api, short_song, sent, kept):
    assert api.upload(short_song, sent)["name"] == kept


def test_a_profile_and_a_cue_sheet_are_told_from_songs(api, tmp_path):
    sheet = tmp_path / "album.cue"
    sheet.write_text('FILE "a.wav" WAVE\n  TRACK 01 AUDIO\n')
    assert api.upload(sheet, "album.cue")["kind"] == "cue"
    answer = api.post("/v1/uploads", params={"name": "p.json"}, content=b"{}")
    assert answer.json()["code"] == "type"


def test_a_form_without_a_file_is_told_so(api):
    answer = api.post("/v1/uploads", data={"file": "words"}, files={"other": ("a", b"b")})
    assert (answer.status_code, answer.json()["field"]) == (400, "file")


def test_a_deleted_upload_leaves_nothing(api, short_song):
    first, second = api.upload(short_song), api.upload(short_song)
    blobs = api.service.settings.blobs
    assert api("DELETE", f"/v1/uploads/{first['id']}").status_code == 204
    # The other one has the same bytes.
    assert api.get(f"/v1/uploads/{second['id']}/content").content == short_song.read_bytes()
    assert api("DELETE", f"/v1/uploads/{second['id']}").status_code == 204
    assert [path for path in blobs.rglob("*") if path.is_file()] == []
    assert api.get(f"/v1/uploads/{second['id']}").status_code == 404


def test_the_waveform_has_the_extremes_of_the_song(api, short_song, tmp_path):
    song = write_song(tmp_path / "two.wav", seconds=2.0)
    upload = api.upload(song)
    shown = api.get(f"/v1/uploads/{upload['id']}/peaks", params={"points": 10}).json()
    import soundfile

    samples, _ = soundfile.read(song, dtype="float32")
    parts = [samples[n * len(samples) // 10 : (n + 1) * len(samples) // 10] for n in range(10)]
    assert shown["max"] == pytest.approx([part.max() for part in parts], abs=0.005)
    assert shown["min"] == pytest.approx([part.min() for part in parts], abs=0.005)


def test_each_upload_is_checked_by_a_child_of_its_own_of_one_process_that_stays(api, short_song):
    checker = api.service.uploads.checker
    api.upload(short_song)
    (process,) = checker._idle
    api.upload(short_song)
    assert checker._idle == [process]
    # A fork takes no other thread along: with one it would be missing its locks.
    assert len(list(Path(f"/proc/{process._process.pid}/task").iterdir())) == 1


def test_a_process_of_checks_that_was_killed_is_replaced(api, short_song):
    checker = api.service.uploads.checker
    api.upload(short_song)
    (process,) = checker._idle
    os.kill(process._process.pid, signal.SIGKILL)
    assert api.upload(short_song)["state"] == "ready"


def test_a_child_that_is_killed_while_it_decodes_costs_its_own_upload_alone(api, short_song, monkeypatch):
    monkeypatch.setattr(check, "_CPU_S", 0)
    silence = np.zeros((44_100 * 300, 2), np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, silence, 44_100, format="FLAC")
    answer = api.post("/v1/uploads", content=buffer.getvalue())
    assert (answer.status_code, answer.json()["code"]) == (415, "type")
    monkeypatch.undo()
    assert api.upload(short_song)["state"] == "ready"


def test_checking_that_a_kill_interrupted_goes_on(tmp_path, short_song):
    from mixagent.service.store.tables import Upload

    with called(tmp_path) as api:
        row = api.service.uploads.begin("local", "song.wav", short_song.stat().st_size)
        api.service.uploads.file(row.id).write_bytes(short_song.read_bytes())
        assert api.service.uploads.received(row.id).state == "checking"
    with called(tmp_path) as api:
        api.service.uploads.check_left()
        with api.service.database.reading() as session:
            assert session.get(Upload, row.id).state == "ready"


def test_settings_have_no_limit_that_refuses_an_ordinary_song():
    limits = ServiceSettings(data=None).limits
    assert limits.upload_bytes >= 200e6
    assert limits.duration_s >= 600


def test_a_thousand_files_in_one_form_are_too_many(api, short_song):
    files = [("file", (f"{number}.wav", b"RIFF")) for number in range(1000)]
    answer = api.post("/v1/uploads", files=files)
    assert (answer.status_code, answer.json()["code"]) == (400, "request")
    assert "Maximum number of files is 1" in answer.json()["detail"]
    assert api.get("/v1/uploads").json()["uploads"] == []


def test_a_thousand_files_at_once_are_taken_as_far_as_the_limits_go_and_the_rest_is_told(tmp_path):
    import asyncio

    import httpx

    async def thousand(app) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(*(client.post("/v1/tus", headers=headers) for _ in range(1000)))

    limits = Limits(uploads=30, requests_a_second=6.0)
    with called(tmp_path, limits=limits) as api:
        answers = asyncio.run(thousand(api.app))
        assert sum(answer.status_code == 201 for answer in answers) == 30
        refused = [answer for answer in answers if answer.status_code != 201]
        assert {answer.status_code for answer in refused} == {429}
        words = {answer.json()["detail"] for answer in refused}
        assert words == {"30 uploads of yours are kept: delete some", "too many requests of late"}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert len([*api.service.settings.incoming.glob("upl_*")]) == 30


def test_a_job_of_a_thousand_songs_is_told_how_many_it_may_have(api, short_song):
    song = api.upload(short_song)["id"]
    for count in (41, 1000, 1001):
        answer = api.post("/v1/jobs", json={"kind": "album", "uploads": [song] * count})
        assert (answer.status_code, answer.json()["code"]) == (422, "usage")
        assert "songs" in answer.json()["detail"] or "1000 items" in answer.json()["detail"]
