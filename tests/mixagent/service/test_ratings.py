"""Ratings over HTTP: whose they are, what is learnt of them, and that they go with what they were said of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rated import mastered

from mixagent.policies.experience import CORRECTION, SERVICE, ExperienceStore
from mixagent.service.store.tables import EXPERIENCE, Job, JobFile, User

RESULT = {"runtime_seconds": 1.0, "warnings": []}


@pytest.fixture
def song(api, short_song) -> str:
    return api.upload(short_song)["id"]


def done(api, song: str, tmp_path, gain_db: float = 0.0, **options) -> str:
    """A master that is done, with what may be learnt from it."""
    id_ = api.job("master", song, options=options)["id"]
    claimed = api.service.queue.claim()
    experience = mastered({"vocals.gain_db": gain_db, "drums.gain_db": -gain_db}, name=id_)
    files = []
    for place, (role, data) in enumerate({"master": id_.encode(), EXPERIENCE: experience.to_bytes()}.items()):
        made = tmp_path / role
        made.write_bytes(data)
        blob = api.service.blobs.put(made)
        files.append(
            JobFile(
                place=place, name=f"{role}.wav", role=role, media_type="audio/wav", bytes=len(data), blob=blob
            )
        )
    assert api.service.queue.finish(claimed, RESULT, files, lambda: None)
    return id_


def rate(api, job: str, status: int = 201, **body):
    answer = api.post(f"/v1/jobs/{job}/ratings", json={"verdict": "better", **body})
    assert answer.status_code == status, answer.text
    return answer.json()


def ratings(api, job: str) -> list[dict]:
    return api.get(f"/v1/jobs/{job}/ratings").json()["ratings"]


def said() -> list[tuple[str | None, str | None]]:
    """What the log holds: masters, the better one first."""
    store = ExperienceStore.default()
    masters = {each.number: each.master for each in store.all()}
    return [(masters.get(p.better or 0), masters.get(p.worse or 0)) for p in store.preferences()]


def test_a_rating_is_told_to_the_log_that_rate_writes_to(api, song, tmp_path):
    job = done(api, song, tmp_path, gain_db=2.0)
    row = rate(api, job, note="the voice is right")
    assert (row["verdict"], row["than"], row["source"]) == ("better", "input", "rating")
    api.service.ratings.hand_over()
    assert said() == [(f"master 0 {job}", None)]
    (kept,) = ExperienceStore.default().all()
    assert (kept.origin, kept.settings["vocals.gain_db"]) == (SERVICE, 2.0)
    assert ExperienceStore.default().preferences()[0].note == "the voice is right"


def test_said_again_of_the_same_two_it_takes_the_place_of_what_was_said(api, song, tmp_path):
    one, two = (done(api, song, tmp_path, gain_db=db, seed=k) for k, db in enumerate((0.0, 2.0)))
    first = rate(api, two, than=one)
    assert rate(api, two, status=200, than=one)["id"] == first["id"]
    api.service.ratings.hand_over()
    turned = rate(api, one, status=200, than=two)
    assert (turned["id"], turned["job"], turned["than"]) == (first["id"], one, two)
    api.service.ratings.hand_over()
    assert said() == [(f"master 0 {one}", f"master 0 {two}")]
    assert ratings(api, one) == ratings(api, two) == [turned]


def test_what_is_taken_back_is_gone_from_the_log(api, song, tmp_path):
    job = done(api, song, tmp_path)
    row = rate(api, job, verdict="worse")
    api.service.ratings.hand_over()
    assert said() == [(None, f"master 0 {job}")]
    assert api("DELETE", f"/v1/jobs/{job}/ratings/{row['id']}").status_code == 204
    api.service.ratings.hand_over()
    assert (said(), ExperienceStore.default().all()) == ([], [])
    assert api("DELETE", f"/v1/jobs/{job}/ratings/{row['id']}").status_code == 404


def test_with_a_job_goes_what_was_learnt_from_it(api, song, tmp_path):
    job = done(api, song, tmp_path)
    rate(api, job)
    api.service.ratings.hand_over()
    assert api("DELETE", f"/v1/jobs/{job}").status_code == 204
    api.service.ratings.hand_over()
    assert (said(), ExperienceStore.default().all()) == ([], [])


def test_a_song_that_the_command_line_remembers_stays_when_a_rating_goes(api, song, tmp_path):
    job = done(api, song, tmp_path)
    own = ExperienceStore.default()
    own.add(mastered({}, name=job))
    row = rate(api, job)
    api.service.ratings.hand_over()
    api("DELETE", f"/v1/jobs/{job}/ratings/{row['id']}")
    api.service.ratings.hand_over()
    assert [each.origin for each in own.all()] == [""]


def test_what_is_learnt_from_is_nobodys_to_download(api, song, tmp_path):
    job = done(api, song, tmp_path)
    assert [file["role"] for file in api.get(f"/v1/jobs/{job}").json()["files"]] == ["master"]
    assert api.get(f"/v1/jobs/{job}/files/{EXPERIENCE}.wav").status_code == 404
    assert api.post(f"/v1/jobs/{job}/links", json={"file": f"{EXPERIENCE}.wav"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"verdict": "fine"}, 422, "verdict"),
        ({"than": "job_x"}, 422, "than"),
        ({"than": "job_" + "a" * 24}, 404, "than"),
        ({"note": "x" * 501}, 422, "note"),
        ({"loudness": 1}, 422, "loudness"),
    ],
)
def test_a_rating_that_makes_no_sense_is_told(api, song, tmp_path, body, status, field):
    job = done(api, song, tmp_path)
    answer = api.post(f"/v1/jobs/{job}/ratings", json={"verdict": "better", **body})
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert ratings(api, job) == []


def test_another_song_is_no_version(api, song, short_song, tmp_path):
    other = api.upload(short_song, name="other.wav")["id"]
    one, two = done(api, song, tmp_path), done(api, other, tmp_path, seed=1)
    assert rate(api, one, 422, than=two)["field"] == "than"
    assert rate(api, one, 422, than=one)["field"] == "than"


def test_what_is_not_done_or_not_whole_cannot_be_rated(api, song):
    waiting = api.job("master", song)["id"]
    assert rate(api, waiting, 409)["code"] == "state"
    plan = api.job("master", song, options={"dry_run": True})["id"]
    assert rate(api, plan, 422)["code"] == "usage"


def test_a_rating_of_another_user_is_not_seen_and_has_a_voice_of_its_own(api, song, tmp_path):
    job = done(api, song, tmp_path)
    with api.service.database.writing() as session:
        session.add(User(name="anna", created_at=0.0))
        session.query(Job).filter_by(id=job).update({"user": "anna"})
    assert api.post(f"/v1/jobs/{job}/ratings", json={"verdict": "better"}).status_code == 404
    assert api.get(f"/v1/jobs/{job}/ratings").status_code == 404
    row, _ = api.service.ratings.rate("anna", job, "input", True, "")
    assert api("DELETE", f"/v1/jobs/{job}/ratings/{row.id}").status_code == 404
    api.service.ratings.hand_over()
    (said_by,) = ExperienceStore.default().preferences()
    assert said_by.author not in ("", "anna")


# --- corrections ------------------------------------------------------------------------------------


def test_a_version_that_was_set_right_by_hand_and_taken_is_better_than_the_one_before(api, song, tmp_path):
    one = done(api, song, tmp_path, goal="warm")
    two = done(api, song, tmp_path, gain_db=2.0, goal="warm", settings={"vocals.gain_db": 2.0})
    assert ratings(api, two) == []
    assert api.get(f"/v1/jobs/{two}/files/master.wav", params={"download": True}).status_code == 200
    (row,) = ratings(api, two)
    assert (row["job"], row["than"], row["verdict"], row["source"]) == (two, one, "better", CORRECTION)
    api.service.ratings.hand_over()
    assert said() == [(f"master 0 {two}", f"master 0 {one}")]


@pytest.mark.parametrize(
    "options",
    [{"goal": "bright"}, {"target_lufs": -9}, {"output_format": "flac"}, {"amount": 0.5, "goal": "bright"}],
)
def test_another_wish_is_no_correction(api, song, tmp_path, options):
    done(api, song, tmp_path)
    two = done(api, song, tmp_path, **options)
    api.get(f"/v1/jobs/{two}/files/master.wav", params={"download": True})
    assert ratings(api, two) == []


def test_what_was_said_stands_over_what_was_done(api, song, tmp_path):
    one, two = done(api, song, tmp_path), done(api, song, tmp_path, amount=0.5)
    row = rate(api, one, than=two)
    api.get(f"/v1/jobs/{two}/files/master.wav", params={"download": True})
    assert ratings(api, two) == [row]


def test_a_job_that_kept_nothing_is_rated_and_teaches_nothing(api, song, tmp_path):
    job = done(api, song, tmp_path)
    with api.service.database.writing() as session:
        session.query(JobFile).filter_by(job=job, role=EXPERIENCE).delete()
    rate(api, job)
    api.service.ratings.hand_over()
    assert (said(), len(ratings(api, job))) == ([], 1)


def test_a_log_that_cannot_be_written_is_told_later(api, song, tmp_path):
    job = done(api, song, tmp_path)
    rate(api, job)
    store = ExperienceStore.default()
    store.path.write_bytes(b"broken" * 1000)
    assert api.service.ratings.hand_over() == 0
    store.path.unlink()
    assert api.service.ratings.hand_over() == 1
    assert said() == [(f"master 0 {job}", None)]


def test_an_experience_comes_back_from_its_bytes():
    experience = mastered({"vocals.gain_db": 1.0}, asked={"amount": 0.5})
    again = type(experience).from_bytes(experience.to_bytes())
    assert replace(again, context=None) == replace(experience, context=None)
    assert again.context is not None
    assert experience.context is not None
    assert again.context.stems == experience.context.stems
