"""Time left, and how far a job is, from what the library tells."""

import pytest

from mixagent.service.jobs.estimates import Course, Estimates
from mixagent.service.store.database import Database


@pytest.fixture
def estimates(tmp_path):
    database = Database(tmp_path / "a.sqlite")
    yield Estimates(database)
    database.close()


def test_what_stages_took_is_expected_of_the_next_job_by_its_length(estimates):
    assert estimates.whole_s("master", 60.0) is None
    estimates.learn("master", 60.0, {"decode": 1.0, "mix": 5.0})
    assert estimates.expected("master", 120.0) == {"decode": 2.0, "mix": 10.0}
    assert estimates.whole_s("master", 120.0) == 12.0
    assert estimates.whole_s("split", 120.0) is None


def test_what_was_learned_is_kept(estimates, tmp_path):
    estimates.learn("master", 60.0, {"decode": 1.0, "mix": 5.0})
    database = Database(tmp_path / "a.sqlite")
    assert Estimates(database).expected("master", 60.0) == estimates.expected("master", 60.0)
    database.close()


def test_the_seconds_of_all_stages_are_those_that_passed():
    course = Course({"decode": 1.0, "mix": 4.0}, begun_at=10.0)
    assert course.left_s() == 5.0
    assert course.tell("decode", 0.0, 10.5)
    assert not course.tell("decode", 0.5, 11.0)
    assert course.left_s() == 4.5
    assert course.tell("decode", 1.0, 12.0)
    # Two stages at once.
    course.tell("mix", 0.0, 12.5)
    course.tell("hear", 0.0, 12.5)
    course.tell("mix", 0.5, 14.0)
    assert sum(course.seconds.values()) == pytest.approx(4.0)
    assert course.left_s() == 2.0
    told = course.to_dict()
    assert [row["name"] for row in told["stages"]] == ["decode", "mix", "hear"]
    assert [row["state"] for row in told["stages"]] == ["done", "running", "running"]
    assert (told["stage"], told["share"]) == ("mix", 0.5)


def test_a_share_never_leaves_its_range():
    course = Course({}, 0.0)
    course.tell("mix", 7.0, 1.0)
    assert course.to_dict()["share"] == 1.0
    assert course.left_s() is None
