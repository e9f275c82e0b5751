"""What may be asked for, and what becomes of it in the queue."""

import pytest
from services import called

from mixagent.service.settings import Limits


@pytest.fixture
def song(api, short_song) -> str:
    return api.upload(short_song)["id"]


def problem(api, body: dict, **more) -> tuple[int, str, str | None]:
    answer = api.post("/v1/jobs", json=body, **more)
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, told["code"], told["field"]


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        ("master", {"true_peak_limit_db": 3}, "true_peak_limit_db"),
        ("master", {"ceiling": 3}, "true_peak_limit_db"),
        ("master", {"target_lufs": 0}, "target_lufs"),
        ("master", {"target": "nowhere"}, "target"),
        ("master", {"target": "spotify", "target_lufs": -14}, "target_lufs"),
        ("master", {"preset": "quiet"}, "preset"),
        ("master", {"output_format": ["exe"]}, "output_format.0"),
        ("master", {"amounts": {"eq": 2}}, "eq"),
        ("master", {"repairs": {"nothing": 1}}, "repairs"),
        ("master", {"settings": {"pipeline.cache_gb": 1}}, "settings"),
        ("master", {"settings": {"low_band.comp_ratio": 1e9}}, "settings"),
        ("master", {"policy": "/etc"}, "policy"),
        ("master", {"separator": "../x"}, "separator"),
        ("master", {"output": "/etc/passwd"}, "output"),
        ("master", {"device": "cuda"}, "device"),
        ("master", {"reference": [{"profile": "/etc/passwd"}]}, "reference"),
        ("master", {"reference": [{"weight": 1}]}, "reference"),
        ("master", {"goal": " "}, "goal"),
        ("master", {"seed": -1}, "seed"),
        ("master", {"preview": 0}, "preview"),
        ("split", {"stems": 3}, "stems"),
        ("vocals", {"stems": 2}, "stems"),
        ("split", {"shifts": 1000}, "shifts"),
        ("restore", {"only": ["nothing"]}, "only"),
        ("restore", {"amounts": {"declick": 7}}, "amounts"),
        ("analyze", {"dual_mono": "perhaps"}, "dual_mono"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(api, song, kind, options, field):
    body = {"kind": kind, "uploads": [song], "options": options}
    assert problem(api, body) == (422, "usage", field)


def test_what_the_options_say_is_told_as_the_service_calls_it(api, song):
    body = {"kind": "master", "uploads": [song], "options": {"true_peak_limit_db": 3}}
    detail = api.post("/v1/jobs", json=body).json()["detail"]
    assert detail == "true_peak_limit_db=3 is out of range: give -20 to 0 dBTP"


def test_songs_are_counted(api, song):
    assert problem(api, {"kind": "master", "uploads": []})[1:] == ("usage", "uploads")
    assert problem(api, {"kind": "master", "uploads": [song, song]})[1:] == ("usage", "uploads")
    assert problem(api, {"kind": "album", "uploads": [song]})[1:] == ("usage", "uploads")
    # Both are called song.wav.
    assert problem(api, {"kind": "album", "uploads": [song, song]})[1:] == ("usage", "uploads")


def test_a_file_that_is_not_there_is_told(api):
    body = {"kind": "master", "uploads": ["upl_" + "a" * 24]}
    assert problem(api, body) == (404, "missing", "uploads")
    body = {"kind": "master", "uploads": [{"job": "job_" + "a" * 24, "file": "x.wav"}]}
    assert problem(api, body) == (404, "missing", "uploads")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", "request"), (b"[]", "usage"), (b'{"kind": "paint"}', "usage"), (b"\xff\xfe", "request")],
)
def test_a_body_that_is_no_job_is_told_so(api, content, code):
    headers = {"Content-Type": "application/json"}
    answer = api.post("/v1/jobs", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] == code


def test_the_same_key_gives_the_same_job_and_another_request_is_refused(api, song):
    headers = {"Idempotency-Key": "once"}
    first = api.job("master", song, headers=headers)
    again = api.job("master", song, headers=headers)
    assert first["id"] == again["id"]
    body = {"kind": "master", "uploads": [song], "options": {"preset": "loud"}}
    assert problem(api, body, headers=headers)[:2] == (422, "idempotency")
    assert len(api.get("/v1/jobs").json()["jobs"]) == 1


def test_too_many_jobs_of_one_user_are_told_when_to_ask_again(tmp_path, short_song):
    with called(tmp_path, limits=Limits(queued=1)) as api:
        song = api.upload(short_song)["id"]
        api.job("master", song)
        answer = api.post("/v1/jobs", json={"kind": "analyze", "uploads": [song]})
        assert (answer.status_code, answer.json()["code"]) == (429, "limit")
        assert int(answer.headers["Retry-After"]) > 0


def test_a_full_queue_is_told_as_such(tmp_path, short_song):
    with called(tmp_path, limits=Limits(queued_in_all=0)) as api:
        song = api.upload(short_song)["id"]
        answer = api.post("/v1/jobs", json={"kind": "analyze", "uploads": [song]})
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert int(answer.headers["Retry-After"]) > 0


def test_the_minutes_of_a_day_are_counted(tmp_path, short_song):
    with called(tmp_path, limits=Limits(minutes_a_day=3 / 60)) as api:
        song = api.upload(short_song)["id"]
        api.job("master", song)
        answer = api.post("/v1/jobs", json={"kind": "split", "uploads": [song]})
        assert (answer.status_code, answer.json()["code"]) == (429, "limit")


def test_a_job_that_waits_is_found_cancelled_and_deleted(api, song):
    job = api.job("master", song, options={"goal": "warm, wide"})
    assert (job["state"], job["place"]) == ("queued", 0)
    for search, count in (("song", 1), ("WARM", 1), ("song wide", 1), ("cold", 0), ("%", 0)):
        assert len(api.get("/v1/jobs", params={"search": search}).json()["jobs"]) == count
    cancelled = api.post(f"/v1/jobs/{job['id']}/cancel").json()
    assert (cancelled["state"], cancelled["problem"]["code"]) == ("cancelled", "cancelled")
    assert api.post(f"/v1/jobs/{job['id']}/cancel").status_code == 409
    assert api("DELETE", f"/v1/jobs/{job['id']}").status_code == 204
    assert api.get(f"/v1/jobs/{job['id']}").status_code == 404


def test_history_comes_in_pages_that_overlap_nowhere(api, song):
    made = [api.job("master", song, options={"seed": n})["id"] for n in range(5)]
    found, after = [], None
    while True:
        params = {"limit": 2} | ({} if after is None else {"after": after})
        page = api.get("/v1/jobs", params=params).json()
        found += [job["id"] for job in page["jobs"]]
        after = page["next"]
        if after is None:
            break
    assert found == made[::-1]
    assert api.get("/v1/jobs", params={"after": "x"}).status_code == 400


def test_choices_are_those_of_the_library(api):
    from mixagent.pipeline.restoration.table import REPAIRS

    choices = api.get("/v1/choices").json()
    assert {row["name"] for row in choices["repairs"]} == set(REPAIRS)
    assert set(choices["kinds"]) == {"master", "analyze", "restore", "split", "vocals", "album"}
    assert "true_peak_limit_db" in choices["kinds"]["master"]["properties"]


def test_a_goal_is_told_as_it_is_understood(api):
    found = api.post("/v1/goals", json={"text": "aggressive EDM, less harsh, frobnicated"}).json()
    assert [row["words"] for row in found["understood"]] != []
    assert found["genres"][0]["words"] == "edm"
    assert found["not_understood"][0]["words"] == "frobnicated"


def test_each_piece_of_a_goal_comes_with_the_goal_without_it(api):
    found = api.post("/v1/goals", json={"text": "vocals 2 dB up, -9 LUFS, wide and narrow"}).json()
    vocals, loudness = found["understood"]
    assert (vocals["scope"]["stem"], vocals["needs_stems"]) == ("vocals", True)
    assert vocals["amount"] == {"value": 2.0, "unit": "dB"}
    assert loudness["as"] == "loudness −9 LUFS"
    assert vocals["without"] == "-9 LUFS, wide and narrow"
    assert found["decided"] == ["neither was done"]
    finnish = api.post("/v1/goals", json={"text": "enemmän bassoa ja kirkkaampi laulu"}).json()
    assert "Finnish" in finnish["problems"][0]


def test_the_description_for_programs_names_every_route(api):
    described = api.get("/v1/openapi.json").json()
    assert {"/v1/jobs", "/v1/uploads", "/v1/tus", "/v1/jobs/{id_}/events"} <= set(described["paths"])
    assert "Spotify".lower() in str(described).lower()
