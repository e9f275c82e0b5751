"""An OpenAI-compatible endpoint over HTTP, here or elsewhere: messages there, one answer back, in time.

Written for servers that lie: an answer may be huge, slow, streamed, broken or no JSON at all. Every fault is
a `ModelError` of one line, which holds neither the key nor what the server said.
"""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mixagent.pipeline.errors import UsageError

KEY_VARIABLE = "MIXAGENT_LLM_KEY"
"""The environment's variable that holds the key; it stands nowhere else."""

MOST_BYTES = 1_000_000
"""Of an answer; more is not read."""

CHARACTERS_A_TOKEN = 4
"""For endpoints that do not count."""

_LOOK_S = 0.2
_LOCAL = ("localhost", "127.0.0.1", "::1")
_REFUSED_FORM = (400, 404, 415, 422, 501)

FORMS = ("schema and limits", "schema", "json", "text")
"""How an answer's form is asked for: an endpoint that refuses one is asked for the next."""


class ModelError(Exception):
    """Why there is no answer."""


class FormError(ModelError):
    """The endpoint does not take the request's form."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: of the message.
        calls: tools that it calls, as name and arguments in JSON.
        tokens: of question and answer.
    """

    text: str
    calls: tuple[tuple[str, str], ...]
    tokens: int


@dataclass(frozen=True)
class Endpoint:
    """Where a language model answers.

    Attributes:
        url: the base, to which `/chat/completions` is added.
        model: its name there.
        key: sent as a bearer token; empty for none.
        seconds: that one answer may take.
        most_tokens: of one answer, where the endpoint takes a limit.

    Raises:
        UsageError: no address of a web server, or a key that would go in the clear to another machine.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    seconds: float = 60.0
    most_tokens: int = 2000

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.key and not _is_safe(self.url):
            raise UsageError(
                "a key goes to another machine over https alone: give an https address", field="model_url"
            )

    def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        form: str = FORMS[0],
        waiting: Callable[[], None] = lambda: None,
        seconds: float | None = None,
    ) -> Reply:
        """The answer to messages.

        Args:
            messages: as the interface has them, with `role` and `content`.
            schema: of the answer, where the endpoint takes one.
            form: one of `FORMS`.
            waiting: called while nothing has come; may raise to cancel.
            seconds: fewer than the endpoint's own.

        Raises:
            FormError: it does not take this form.
            ModelError: there is no answer, for another reason.
        """
        body = {"model": self.model, "messages": list(messages), "stream": False, **self._form(form, schema)}
        limit_s = min(self.seconds, self.seconds if seconds is None else seconds)
        answered = _within(limit_s, lambda until: self._posted(body, until), waiting)
        reply = _reply(answered)
        sent = sum(len(message["content"]) for message in messages)
        estimate = (sent + len(reply.text)) // CHARACTERS_A_TOKEN
        return reply if reply.tokens else Reply(reply.text, reply.calls, estimate)

    def _form(self, form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        wanted: dict[str, Any] = {}
        if form == "schema and limits":
            wanted = {"temperature": 0, "max_tokens": self.most_tokens}
        if form in ("schema and limits", "schema"):
            named = {"name": "moves", "strict": True, "schema": schema}
            return {**wanted, "response_format": {"type": "json_schema", "json_schema": named}}
        return {"response_format": {"type": "json_object"}} if form == "json" else {}

    def _posted(self, body: Mapping[str, Any], until: float) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers
        )
        opener = urllib.request.build_opener(_NoRedirect, *_proxies(self.url))
        with opener.open(request, timeout=max(until - time.monotonic(), 0.1)) as response:
            return b"".join(_chunks(response, until))


def check_url(url: str) -> str:
    """The address, if one of a web server.

    Raises:
        UsageError: it is none, or holds a name and password.
    """
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_web = False
    if not is_web or parts.username is not None or any(ord(each) <= ord(" ") for each in url):
        raise UsageError(
            "the language model's address is https://HOST/v1, or http://localhost:PORT/v1", field="model_url"
        )
    return url


def host_of(url: str) -> str:
    """The machine that an address names, with its port: what may be shown of it."""
    return urlsplit(url).netloc


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is sent goes where it was told to, and nowhere else."""

    def redirect_request(self, req: Any, fp: Any, *_: Any) -> None:
        fp.close()
        raise ModelError("the endpoint sends to another address: give that one")


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in _LOCAL


def _proxies(url: str) -> list[urllib.request.BaseHandler]:
    """No proxy for this machine."""
    return [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in _LOCAL else []


def _chunks(response: Any, until: float) -> Iterator[bytes]:
    size = 0
    while chunk := response.read1(65536):
        size += len(chunk)
        if size > MOST_BYTES:
            raise ModelError(f"the answer is over {MOST_BYTES // 1_000_000} MB")
        if time.monotonic() > until:
            raise TimeoutError
        yield chunk
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _within(
    seconds: float, post: Callable[[float], bytes], waiting: Callable[[], None] = lambda: None
) -> bytes:
    """What a call in a thread of its own gives in time: a name's look-up or a trickle has no limit else."""
    came: queue.SimpleQueue[bytes | ModelError] = queue.SimpleQueue()
    until = time.monotonic() + seconds
    threading.Thread(target=lambda: came.put(_caught(post, until)), daemon=True).start()
    while True:
        left = until - time.monotonic()
        try:
            answered = came.get(timeout=min(max(left, 0.01), _LOOK_S))
        except queue.Empty:
            if left <= 0:
                raise ModelError(f"no answer within {seconds:.3g} s") from None
            waiting()
            continue
        if isinstance(answered, ModelError):
            raise answered
        return answered


def _caught(post: Callable[[float], bytes], until: float) -> bytes | ModelError:
    try:
        return post(until)
    except ModelError as error:
        return error
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            return ModelError(f"the endpoint refused the key ({error.code}): set {KEY_VARIABLE}")
        kind = FormError if error.code in _REFUSED_FORM else ModelError
        return kind(f"the endpoint answered {error.code}")
    except TimeoutError:
        return ModelError("the endpoint took too long")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return ModelError("the endpoint took too long")
        return ModelError(f"the endpoint cannot be reached or broke off ({type(reason).__name__})")


def _reply(answered: bytes) -> Reply:
    text = answered.decode("utf-8", errors="replace").strip()
    if text.startswith("data:"):
        return Reply(_streamed(text), (), 0)
    try:
        data = json.loads(text)
        message = data["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        named = tuple((str(call["function"]["name"]), _json(call["function"]["arguments"])) for call in calls)
        content = message.get("content") or ""
        assert isinstance(content, str)
        return Reply(content, named, _tokens(data))
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):
        raise ModelError("the endpoint answered something else than a chat completion") from None


def _json(arguments: object) -> str:
    """A call's arguments are JSON in a text; some servers give the object itself."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _tokens(data: Mapping[str, Any]) -> int:
    total = (data.get("usage") or {}).get("total_tokens")
    return total if type(total) is int and 0 < total < 10**9 else 0


def _streamed(text: str) -> str:
    """The text of an answer that was streamed though none was asked for."""
    pieces = []
    try:
        for line in text.splitlines():
            data = line.removeprefix("data:").strip()
            if line.startswith("data:") and data != "[DONE]":
                pieces += [each["delta"].get("content") or "" for each in json.loads(data)["choices"]]
        return "".join(pieces)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ModelError("the endpoint streamed something else than a chat completion") from None
