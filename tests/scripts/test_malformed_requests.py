"""A few hundred requests that make no sense: every one is answered, none by a fault."""

import logging

import pytest
from script_modules import load_script
from services import served
from songs import write_song

from mixagent.client import Client
from mixagent.service.service import Service
from mixagent.service.settings import Limits, ServiceSettings

malformed = load_script("malformed_requests")

OPERATIONS = (
    "POST /v1/jobs",
    "GET /v1/jobs",
    "POST /v1/uploads",
    "GET /v1/uploads/{id_}/peaks",
    "POST /v1/goals",
)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A service with a song in it, without a bound on requests."""
    folder = tmp_path_factory.mktemp("malformed")
    settings = ServiceSettings(data=folder / "data", limits=Limits(requests_a_second=1e6, free_bytes=0))
    with served(Service(settings)) as address:
        found = malformed.Target(address, folder / "data", longest_s=20.0, job="job_" + "2" * 24)
        with Client(address) as client:
            found.upload = client.upload(write_song(folder / "song.wav", seconds=1.0))
        yield found


def test_bytes_that_no_client_sends_are_refused_and_nothing_falls(target, caplog):
    with caplog.at_level(logging.ERROR):
        assert malformed.by_hand(target, 250, seed=1) == 250
    assert target.fallen == []
    assert caplog.records == []


def test_requests_made_of_the_schema_are_answered_and_nothing_falls(target, caplog):
    pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install -e '.[dev]'")
    with caplog.at_level(logging.ERROR):
        assert malformed.by_schema(target, 100, 1, OPERATIONS) == 100
    assert target.fallen == []
    assert caplog.records == []


def test_what_falls_is_found(tmp_path):
    found = malformed.Target("http://127.0.0.1:1", tmp_path, longest_s=1.0)
    found.judge("x", b"", 200, b"all is well", 0.1)
    assert found.fallen == []
    found.judge("x", b"", 500, b"", 0.1)
    found.judge("x", b"", 200, b"", 2.0)
    found.judge("x", b"", 404, f"there is no {tmp_path}/blobs".encode(), 0.1)
    found.judge("x", b"", 400, b"Traceback (most recent call last)", 0.1)
    assert len(found.fallen) == 4
