"""Signing in as the page does."""

import httpx

PASSWORD = "correct horse battery"
PAGE = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
"""Headers that a browser adds to a request of the page."""


def tried(api, name: str, password: str, **headers) -> httpx.Response:
    """The answer to a name and a password."""
    body = {"name": name, "password": password}
    return api.post("/v1/session", json=body, headers={**PAGE, **headers})


def signed_in(api, name: str, password: str = PASSWORD) -> dict[str, str]:
    """The headers of somebody who has signed in on the page."""
    answer = tried(api, name, password)
    assert answer.status_code == 204, answer.text
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0], **PAGE}
