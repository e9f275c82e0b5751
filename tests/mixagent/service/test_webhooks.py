"""Webhooks: what is sent, to whom, and what happens when nobody takes it."""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from services import called

from mixagent.service.problems import Problem
from mixagent.service.store.tables import Delivery
from mixagent.service.webhooks import check_url

SECRET = "a secret of some length"


@pytest.fixture
def receiver():
    """A server that keeps what it gets and answers with what it is told to."""
    taken, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((dict(self.headers), body))
            self.send_response(answers.pop(0) if answers else 200)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", taken, answers
    server.shutdown()
    thread.join()
    server.server_close()


def cancelled(api, short_song, url: str) -> str:
    song = api.upload(short_song)["id"]
    body = {"kind": "master", "uploads": [song], "webhook": {"url": url, "secret": SECRET}}
    job = api.post("/v1/jobs", json=body).json()["id"]
    api.post(f"/v1/jobs/{job}/cancel")
    return job


def delivery(api) -> Delivery:
    with api.service.database.reading() as session:
        return session.query(Delivery).one()


def test_the_end_of_a_job_is_told_with_a_signature(tmp_path, short_song, receiver):
    url, taken, _ = receiver
    with called(tmp_path, private_webhooks=True) as api:
        job = cancelled(api, short_song, url)
        assert api.service.webhooks.deliver_next()
        assert not api.service.webhooks.deliver_next()
        ((headers, body),) = taken
        assert json.loads(body)["id"] == job
        assert json.loads(body)["state"] == "cancelled"
        time, _, mac = headers["Mixagent-Signature"].removeprefix("t=").partition(",v1=")
        signed = f"{time}.{headers['Mixagent-Delivery']}.".encode() + body
        assert mac == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert SECRET not in api.get(f"/v1/jobs/{job}").text


def test_what_is_not_taken_is_tried_again_later_and_no_redirect_is_followed(tmp_path, short_song, receiver):
    url, taken, answers = receiver
    answers += [500, 302]
    with called(tmp_path, private_webhooks=True) as api:
        cancelled(api, short_song, url)
        waits = []
        for _ in range(3):
            assert api.service.webhooks.deliver_next()
            row = delivery(api)
            waits.append(row.next_at)
            assert not api.service.webhooks.deliver_next()
            with api.service.database.writing() as session:
                if row.next_at is not None:
                    session.get(Delivery, row.id).next_at = 0.0
        assert len(taken) == 3
        assert len({headers["Mixagent-Delivery"] for headers, _ in taken}) == 1
        assert waits[2] is None
        assert delivery(api).delivered_at is not None
        # The second wait is longer, and began later.
        assert waits[1] > waits[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://192.168.1.1:8080/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fd00::1]/",
        "http://0.0.0.0/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://user:word@example.org/",
        "http:///x",
        "http://example.org:99999/",
    ],
)
def test_an_address_that_is_not_public_is_refused(url):
    with pytest.raises(Problem, match=r"webhook|public"):
        check_url(url, private=False)


def test_a_name_that_leads_to_such_an_address_is_not_sent_to(tmp_path, short_song, receiver):
    url, taken, _ = receiver
    with called(tmp_path) as api:
        cancelled(api, short_song, url.replace("127.0.0.1", "localhost"))
        assert api.service.webhooks.deliver_next()
        assert taken == []
        assert "not public" in delivery(api).error
