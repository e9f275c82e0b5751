"""Every fault of an endpoint is one line in time, without the key and without what the endpoint said."""

import json
import time

import pytest
from endpoints import KEY, body, closed, completion, endless, scripted, silent, trickle

from mixagent.conductor.endpoint import Endpoint, FormError, ModelError
from mixagent.pipeline.errors import CancelledError, UsageError

MESSAGES = [{"role": "user", "content": "what now?"}]


def asked(answer, seconds=5.0, **given):
    with scripted([answer]) as running:
        return Endpoint(running.url, "toy", KEY, seconds).ask(MESSAGES, {"type": "object"}, **given), running


def test_an_answer_comes_with_its_tokens():
    reply, running = asked(completion("hello"))
    assert (reply.text, reply.calls, reply.tokens) == ("hello", (), 900)
    (sent,) = running.asked
    assert sent["model"] == "toy"
    assert sent["messages"] == MESSAGES
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert running.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_a_streamed_answer_is_put_together():
    pieces = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in ("he", "llo")]
    reply, _ = asked("".join(f"data: {piece}\n\n" for piece in [*pieces, "[DONE]"]).encode())
    assert reply.text == "hello"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (body(b"secret-of-the-tests is wrong", 500), "answered 500"),
        (body(b"no", 401), "refused the key"),
        (b"<html>garbage</html>", "something else than a chat completion"),
        (b'{"choices": []}', "something else than a chat completion"),
        (b"[" * 100_000, "something else than a chat completion"),
        (b'data: {"choices": 3}', "streamed something else"),
        (b"\xff\xfe\x00", "something else than a chat completion"),
        (body(b"", 302, Location="http://127.0.0.1:9/elsewhere"), "sends to another address"),
        (closed, "broke off"),
        (endless, "over 1 MB"),
    ],
)
def test_a_fault_is_one_line(answer, words):
    with pytest.raises(ModelError, match=words) as error:
        asked(answer)
    assert KEY not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("answer", [silent, trickle])
def test_a_slow_answer_is_given_up_in_time(answer):
    begin = time.monotonic()
    with scripted([answer]) as running, pytest.raises(ModelError, match=r"no answer within|too long"):
        Endpoint(running.url, "toy", seconds=0.3).ask(MESSAGES, {})
    assert time.monotonic() - begin < 30


def test_waiting_can_be_cancelled():
    def cancel():
        raise CancelledError("interrupted")

    with scripted([silent]) as running, pytest.raises(CancelledError):
        Endpoint(running.url, "toy").ask(MESSAGES, {}, waiting=cancel)


def test_a_form_that_is_refused_is_an_error_of_its_own():
    with pytest.raises(FormError, match="answered 400"):
        asked(body(b"no response_format", 400))


def test_nobody_there_is_one_line():
    with scripted([b""]) as running:
        pass
    with pytest.raises(ModelError, match="cannot be reached"):
        Endpoint(running.url, "toy").ask(MESSAGES, {})


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "file:///etc/passwd", "host", "http://", "http://a:b@host/v1", "http://h/\nX: y"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UsageError, match="address is https"):
        Endpoint(url, "toy")


def test_a_key_does_not_go_in_the_clear_to_another_machine():
    with pytest.raises(UsageError, match="https alone"):
        Endpoint("http://example.org/v1", "toy", KEY)
    assert KEY not in repr(Endpoint("https://example.org/v1", "toy", KEY))
