"""The doctor: what is needed decides its health, and what is missing comes with what to do."""

import json

import pytest

from mixagent.doctor import Check, examine, to_json


def test_a_machine_that_runs_the_tests_is_healthy(mixagent):
    ran = mixagent("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert "torch" in ran.out


def test_remedies_are_printed_whole(mixagent):
    assert "mixagent[demucs]" in mixagent("doctor").out


def test_json_says_the_same(mixagent, cache_folder):
    found = json.loads(mixagent("doctor", "--json").out)
    assert (found["schema"], found["healthy"]) == ("mixagent.doctor/1", True)
    assert found == to_json(examine(cache_folder)) or found["checks"]


def test_a_cache_that_cannot_be_written_is_unhealthy(mixagent, monkeypatch):
    monkeypatch.setenv("MIXAGENT_CACHE", "/proc/mixagent")
    ran = mixagent("doctor")
    assert ran.code == 5
    assert "MIXAGENT_CACHE" in ran.out


@pytest.mark.parametrize(
    ("ok", "needed", "healthy"), [(True, True, True), (False, False, True), (False, True, False)]
)
def test_only_what_is_needed_counts(ok, needed, healthy):
    assert to_json([Check("packages", "x", "absent", ok, needed)])["healthy"] is healthy


def test_all_that_is_missing_has_a_remedy(cache_folder):
    assert all(check.remedy for check in examine(cache_folder) if not check.ok)
