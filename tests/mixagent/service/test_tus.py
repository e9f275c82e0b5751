"""Resumable uploads, by the words of tus 1.0.0."""

import base64
import hashlib

import pytest
from services import called

from mixagent.service.settings import Limits, Retention

TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}


def created(api, size: int, name: str = "song.wav", **headers) -> str:
    metadata = f"filename {base64.b64encode(name.encode()).decode()},is_confidential"
    sent = {**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata, **headers}
    answer = api.post("/v1/tus", headers=sent)
    assert answer.status_code == 201
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    return answer.headers["Location"]


def patch(api, place: str, offset: int, data: bytes, **headers):
    return api("PATCH", place, content=data, headers={**BODY, "Upload-Offset": str(offset), **headers})


def offset(api, place: str) -> str:
    answer = api("HEAD", place, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.headers["Upload-Offset"]


def test_an_upload_in_pieces_is_the_file(api, short_song):
    data = short_song.read_bytes()
    place = created(api, len(data), "My song.wav")
    assert offset(api, place) == "0"
    half = len(data) // 2
    answer = patch(api, place, 0, data[:half])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(half))
    assert offset(api, place) == str(half)
    assert patch(api, place, half, data[half:]).status_code == 204
    found = api.get(f"/v1/uploads/{place.rpartition('/')[2]}").json()
    assert (found["state"], found["name"]) == ("ready", "My song.wav")
    assert found["sha256"] == hashlib.sha256(data).hexdigest()
    assert offset(api, place) == str(len(data))


def test_it_goes_on_in_a_service_that_was_started_anew(tmp_path, short_song):
    data = short_song.read_bytes()
    with called(tmp_path) as api:
        place = created(api, len(data))
        patch(api, place, 0, data[:1000])
    with called(tmp_path) as api:
        assert offset(api, place) == "1000"
        patch(api, place, 1000, data[1000:])
        assert api.get(f"/v1/uploads/{place.rpartition('/')[2]}").json()["state"] == "ready"


def test_bytes_that_all_came_and_were_not_put_down_are_checked_once_somebody_asks(api, short_song):
    data = short_song.read_bytes()
    place = created(api, len(data))
    id_ = place.rpartition("/")[2]
    api.service.uploads.file(id_).write_bytes(
        data
    )  # as a request leaves them that failed behind the last one
    assert api.get(f"/v1/uploads/{id_}").json()["state"] == "receiving"
    assert offset(api, place) == str(len(data))
    assert api.get(f"/v1/uploads/{id_}").json()["state"] == "ready"


def test_a_wrong_offset_is_told_the_right_one(api):
    place = created(api, 100)
    patch(api, place, 0, b"x" * 10)
    answer = patch(api, place, 50, b"y")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "10")


def test_bytes_that_are_not_those_of_the_checksum_are_not_kept(api):
    place = created(api, 100)
    right = base64.b64encode(hashlib.sha1(b"abc").digest()).decode()
    wrong = patch(api, place, 0, b"abd", **{"Upload-Checksum": f"sha1 {right}"})
    assert (wrong.status_code, offset(api, place)) == (460, "0")
    assert patch(api, place, 0, b"abc", **{"Upload-Checksum": f"sha1 {right}"}).status_code == 204
    unknown = patch(api, place, 3, b"d", **{"Upload-Checksum": "crc1 AAAA"})
    assert unknown.status_code == 400


def test_the_first_bytes_may_come_with_the_creation(api):
    answer = api.post("/v1/tus", headers={**BODY, "Upload-Length": "10"}, content=b"12345")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5")


def test_more_than_was_said_is_refused(api):
    place = created(api, 5)
    assert patch(api, place, 0, b"123456").status_code == 413
    assert offset(api, place) == "0"


def test_an_empty_file_is_refused_when_it_is_checked(api):
    place = created(api, 0)
    found = api.get(f"/v1/uploads/{place.rpartition('/')[2]}").json()
    assert (found["state"], found["problem"]["code"]) == ("refused", "type")


def test_one_that_is_given_up_is_gone(api):
    place = created(api, 5)
    assert api("DELETE", place, headers=TUS).status_code == 204
    assert api("HEAD", place, headers=TUS).status_code == 404
    assert list(api.service.settings.incoming.glob("upl_*")) == []


def test_another_request_at_the_same_time_is_told_to_wait(api):
    place = created(api, 5)
    with api.service.uploads.held(place.rpartition("/")[2]):
        answer = patch(api, place, 0, b"1")
    assert answer.status_code == 423


def test_what_there_is_is_told(api):
    answer = api("OPTIONS", "/v1/tus")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert "creation" in answer.headers["Tus-Extension"]
    assert "sha1" in answer.headers["Tus-Checksum-Algorithm"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "1"}, 412),
        ({**TUS}, 400),
        ({**TUS, "Upload-Length": "-1"}, 400),
        ({**TUS, "Upload-Length": "1e3"}, 400),
        ({**TUS, "Upload-Length": "9" * 30}, 400),
        ({**TUS, "Upload-Length": "3000000000"}, 413),
        ({**TUS, "Upload-Defer-Length": "1"}, 400),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "filename !!!"}, 400),
    ],
)
def test_a_creation_that_makes_no_sense_is_refused(api, headers, status):
    assert api.post("/v1/tus", headers=headers).status_code == status


def test_another_content_type_is_refused(api):
    place = created(api, 5)
    answer = api("PATCH", place, content=b"1", headers={**TUS, "Upload-Offset": "0"})
    assert answer.status_code == 415


def test_its_time_is_over_once_it_is(tmp_path):
    retention = Retention(unfinished_uploads_s=-1.0)
    with called(tmp_path, retention=retention, limits=Limits()) as api:
        place = created(api, 5)
        assert patch(api, place, 0, b"1").status_code == 410
        api.service.sweeper.sweep_rows()
        assert api("HEAD", place, headers=TUS).status_code == 404


def test_of_two_that_write_to_one_upload_at_once_one_has_it(api):
    from concurrent.futures import ThreadPoolExecutor

    place = created(api, 2_000_000)
    bodies = [letter * 2_000_000 for letter in (b"a", b"b", b"c")]
    with ThreadPoolExecutor(3) as pool:
        answers = [*pool.map(lambda body: patch(api, place, 0, body), bodies)]
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 204
    assert set(codes[1:]) <= {409, 423}
    winner = next(body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 204)
    id_ = place.rpartition("/")[2]
    # What came is no song: it is refused as a whole, and was counted as a whole.
    found = api.get(f"/v1/uploads/{id_}").json()
    assert (found["state"], found["received_bytes"]) == ("refused", len(winner))
