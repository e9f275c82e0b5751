"""Who may what: keys, sessions, links, other sites, other users."""

import pytest
from services import called

from mixagent.service.access import Signer
from mixagent.service.problems import Problem


@pytest.fixture
def shared(tmp_path):
    """A service with accounts, and headers of three keys."""
    with called(tmp_path, accounts=True, host="0.0.0.0") as api:
        scopes = {"anna": "write", "bert": "write", "eve": "read", "root": "admin"}
        made = {name: api.service.keys.create(name, "test", [scope])[0] for name, scope in scopes.items()}
        keys = {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}
        yield api, keys


def test_without_a_key_nothing_is_told(shared):
    api, _ = shared
    for url in ("/v1", "/v1/jobs", "/v1/uploads", "/v1/keys", "/v1/events", "/v1/jobs/job_x/events"):
        answer = api.get(url)
        assert (answer.status_code, answer.json()["code"]) == (401, "key")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    wrong = api.get("/v1", headers={"Authorization": "Bearer mxk_wrong"})
    assert wrong.status_code == 401


def test_what_is_another_users_is_not_there(shared, short_song):
    api, keys = shared
    song = api.upload(short_song, headers=keys["anna"])["id"]
    job = api.job("master", song, headers=keys["anna"])["id"]
    for method, url in (
        ("GET", f"/v1/uploads/{song}"),
        ("GET", f"/v1/uploads/{song}/content"),
        ("GET", f"/v1/uploads/{song}/peaks"),
        ("DELETE", f"/v1/uploads/{song}"),
        ("HEAD", f"/v1/tus/{song}"),
        ("GET", f"/v1/jobs/{job}"),
        ("GET", f"/v1/jobs/{job}/events"),
        ("GET", f"/v1/jobs/{job}/page"),
        ("GET", f"/v1/jobs/{job}/files/a.wav"),
        ("POST", f"/v1/jobs/{job}/cancel"),
        ("DELETE", f"/v1/jobs/{job}"),
    ):
        headers = {**keys["bert"], "Tus-Resumable": "1.0.0"}
        assert api(method, url, headers=headers).status_code == 404, url
    body = {"kind": "master", "uploads": [song]}
    assert api.post("/v1/jobs", json=body, headers=keys["bert"]).status_code == 404
    assert api.get("/v1/jobs", headers=keys["bert"]).json()["jobs"] == []


def test_a_key_does_what_its_scope_allows_and_nothing_once_it_is_revoked(shared, short_song):
    api, keys = shared
    answer = api.post("/v1/uploads", content=b"x", headers=keys["eve"])
    assert (answer.status_code, answer.json()["code"]) == (403, "scope")
    assert api.get("/v1/keys", headers=keys["anna"]).status_code == 403
    made = api.post("/v1/keys", json={"user": "carl", "scopes": ["read"]}, headers=keys["root"]).json()
    own = {"Authorization": f"Bearer {made['key']}"}
    assert api.get("/v1", headers=own).json()["user"] == "carl"
    assert api("DELETE", f"/v1/keys/{made['id']}", headers=keys["root"]).status_code == 204
    assert api.get("/v1", headers=own).status_code == 401
    listed = api.get("/v1/keys", headers=keys["root"])
    assert made["key"] not in listed.text


def test_the_database_has_no_key(shared):
    api, keys = shared
    api.service.database.close()
    data = b"".join(path.read_bytes() for path in api.service.settings.data.glob("service.sqlite*"))
    assert keys["anna"]["Authorization"].split()[1].encode() not in data


def test_a_session_serves_the_page_and_ends_with_its_key(shared):
    api, keys = shared
    key = keys["anna"]["Authorization"].split()[1]
    opened = api.post("/v1/session", json={"key": key})
    cookie = opened.headers["Set-Cookie"]
    assert opened.status_code == 204
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    headers = {"Cookie": cookie.partition(";")[0]}
    assert api.get("/v1", headers=headers).json()["user"] == "anna"
    tampered = {"Cookie": headers["Cookie"][:-2] + "xx"}
    assert api.get("/v1", headers=tampered).status_code == 401
    api.service.keys.revoke(api.service.keys.caller(key).key)
    assert api.get("/v1", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_another_site_sends_is_refused(api, headers):
    answer = api.post("/v1/goals", json={"text": "warm"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "origin")


def test_the_page_itself_may_ask(api):
    headers = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert api.post("/v1/goals", json={"text": "warm"}, headers=headers).status_code == 200


def test_a_name_that_leads_to_this_machine_is_not_this_service(api):
    assert api.get("/v1", headers={"Host": "evil.example"}).status_code == 403
    assert api.get("/v1", headers={"Host": "localhost:8300"}).status_code == 200


def test_every_answer_tells_browsers_what_they_may(api):
    for url in ("/v1", "/v1/jobs/none", "/nothing"):
        headers = api.get(url).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"


def test_actions_are_put_down(api, short_song):
    song = api.upload(short_song)["id"]
    job = api.job("master", song)["id"]
    api("DELETE", f"/v1/jobs/{job}")
    entries = api.get("/v1/audit").json()["entries"]
    assert [(row["what"], row["about"]) for row in entries] == [
        ("delete job", job),
        ("job", job),
        ("upload", song),
    ]


def test_a_token_says_what_was_signed_for_its_purpose_and_its_time(tmp_path):
    signer = Signer(tmp_path / "secret")
    token = signer.sign("link", {"job": "a"}, 60)
    assert signer.read("link", token)["job"] == "a"
    assert Signer(tmp_path / "secret").read("link", token)["job"] == "a"
    for purpose, wrong in (
        ("session", token),
        ("link", token[:-1] + "!"),
        ("link", "x." + token),
        ("link", ""),
    ):
        with pytest.raises(Problem, match="no such link"):
            signer.read(purpose, wrong)
    with pytest.raises(Problem, match="time is over"):
        signer.read("link", signer.sign("link", {"job": "a"}, -2))
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0


def test_too_many_requests_are_told_when_to_ask_again(tmp_path):
    from mixagent.service.settings import Limits

    with called(tmp_path, limits=Limits(requests_a_second=0.5)) as api:
        codes = [api.get("/v1").status_code for _ in range(7)]
        assert codes[:5] == [200] * 5
        assert codes[-1] == 429


def test_a_body_that_is_no_upload_is_bounded(api):
    answer = api.post("/v1/goals", content=b'{"text": "' + b"a" * 2_000_000 + b'"}')
    assert answer.status_code == 413


def test_it_tells_whether_it_is_alive_and_ready_and_its_figures(api):
    assert api.get("/healthz").status_code == 200
    # Its workers were not started.
    assert api.get("/readyz").status_code == 503
    text = api.get("/metrics").text
    assert "mixagent_requests_total" in text
    assert "mixagent_disk_free_bytes" in text
