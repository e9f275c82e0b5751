"""Each user sees their own things alone: every route, by a table that has to hold every route."""

import pytest
from fastapi.routing import APIRoute
from services import called
from signing_in import PASSWORD, signed_in

from mixagent.service.api.app import ROUTERS

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}

FOREIGN = {
    ("GET", "/v1/uploads/{id_}"): {},
    ("DELETE", "/v1/uploads/{id_}"): {},
    ("GET", "/v1/uploads/{id_}/content"): {},
    ("HEAD", "/v1/uploads/{id_}/content"): {},
    ("GET", "/v1/uploads/{id_}/peaks"): {},
    ("HEAD", "/v1/tus/{id_}"): {"headers": TUS},
    ("PATCH", "/v1/tus/{id_}"): {"headers": BYTES, "content": b"x"},
    ("DELETE", "/v1/tus/{id_}"): {"headers": TUS},
    ("GET", "/v1/jobs/{id_}"): {},
    ("DELETE", "/v1/jobs/{id_}"): {},
    ("POST", "/v1/jobs/{id_}/cancel"): {},
    ("GET", "/v1/jobs/{id_}/events"): {},
    ("GET", "/v1/jobs/{id_}/files/{name}"): {},
    ("HEAD", "/v1/jobs/{id_}/files/{name}"): {},
    ("GET", "/v1/jobs/{id_}/files/{name}/peaks"): {},
    ("GET", "/v1/jobs/{id_}/report"): {},
    ("GET", "/v1/jobs/{id_}/page"): {},
    ("POST", "/v1/jobs/{id_}/links"): {"json": {}},
    ("POST", "/v1/jobs/{id_}/ratings"): {"json": {"verdict": "better"}},
    ("GET", "/v1/jobs/{id_}/ratings"): {},
    ("DELETE", "/v1/jobs/{id_}/ratings/{rating}"): {},
}
"""Routes to something of one user: for another it is not there."""

OWN = {
    ("GET", "/v1/uploads"): "uploads",
    ("GET", "/v1/jobs"): "jobs",
    ("GET", "/v1/sessions"): "sessions",
}
"""Lists of what is one's own."""

ADMIN = {
    ("GET", "/v1/audit"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("DELETE", "/v1/keys/{id_}"),
    ("GET", "/v1/users"),
    ("POST", "/v1/users"),
    ("DELETE", "/v1/users/{name}"),
    ("PUT", "/v1/users/{name}/password"),
}

SHARED = {
    *(("GET", f"/v1{path}") for path in ("", "/choices", "/events")),
    *(("POST", f"/v1{path}") for path in ("/goals", "/uploads", "/tus", "/jobs")),
    ("DELETE", "/v1/session"),
    ("DELETE", "/v1/sessions"),
    ("PUT", "/v1/password"),
}
"""For who has signed in; these give and take nothing of others."""

OPEN = {
    *(("GET", path) for path in ("/", "/assets/{path:path}", "/healthz", "/readyz", "/metrics")),
    *(("HEAD", path) for path in ("/", "/assets/{path:path}")),
    *(("OPTIONS", path) for path in ("/v1/tus", "/v1/tus/{id_}")),
    *((method, "/v1/links/{token}") for method in ("GET", "HEAD")),
    ("GET", "/v1/session"),
    ("POST", "/v1/session"),
    ("GET", "/v1/openid"),
    ("GET", "/v1/openid/answer"),
}
"""For everybody."""


def routes(app) -> set[tuple[str, str]]:
    every = [*app.routes, *(route for router in ROUTERS for route in router.routes)]
    return {(method, row.path) for row in every if isinstance(row, APIRoute) for method in row.methods}


def asked(api, method: str, path: str, thing: str, headers: dict, more: dict):
    url = path.replace("{id_}", thing).replace("{name}", "song.master.wav")
    return api(method, url, **{**more, "headers": {**headers, **more.get("headers", {})}})


@pytest.fixture(scope="module")
def owned(tmp_path_factory, short_song):
    """A service in which Anna has an upload that is ready, one that is not, and a job."""
    with called(tmp_path_factory.mktemp("isolation"), accounts=True, host="0.0.0.0") as api:
        api.service.users.add("anna", PASSWORD)
        api.service.users.add("bert", f"{PASSWORD} of bert")
        anna, bert = signed_in(api, "anna"), signed_in(api, "bert", f"{PASSWORD} of bert")
        song = api.upload(short_song, headers=anna)["id"]
        sent = {**anna, **TUS, "Upload-Length": "100"}
        half = api.post("/v1/tus", headers=sent).headers["Location"].rpartition("/")[2]
        job = api.job("master", song, headers=anna)["id"]
        yield api, anna, bert, {"uploads": song, "tus": half, "jobs": job}


def test_the_tables_hold_every_route(owned):
    assert {*FOREIGN, *OWN, *ADMIN, *SHARED, *OPEN} == routes(owned[0].app)


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_what_is_another_users_is_not_there(owned, method, path):
    api, anna, bert, things = owned
    thing = things[path.split("/")[2]]
    answer = asked(api, method, path, thing, bert, FOREIGN[method, path])
    assert answer.status_code == 404
    # As if there had never been such a thing: its id stands in the answer because it stood in the question.
    none = asked(api, method, path, thing[:4] + "z" * 24, bert, FOREIGN[method, path])
    assert none.status_code == 404
    assert none.text.replace("z" * 24, thing[4:]) == answer.text
    assert api.get(f"/v1/uploads/{things['uploads']}", headers=anna).json()["state"] == "ready"
    assert api.get(f"/v1/jobs/{things['jobs']}", headers=anna).json()["state"] == "queued"
    assert api("HEAD", f"/v1/tus/{things['tus']}", headers={**anna, **TUS}).status_code == 200


@pytest.mark.parametrize(("method", "path"), OWN)
def test_lists_have_what_is_ones_own(owned, method, path):
    api, anna, bert, _ = owned
    key = OWN[method, path]
    hers, his = (api(method, path, headers=each).json()[key] for each in (anna, bert))
    assert hers
    assert not {str(row) for row in hers} & {str(row) for row in his}


def test_a_job_cannot_be_made_of_what_is_anothers(owned):
    api, _, bert, things = owned
    song, job = things["uploads"], things["jobs"]
    for body in (
        {"kind": "master", "uploads": [song]},
        {"kind": "master", "uploads": [{"job": job, "file": "song.master.wav"}]},
        {"kind": "master", "uploads": [], "options": {"stems_in": [song]}},
        {"kind": "album", "uploads": [song, song], "options": {"cue": song}},
    ):
        answer = api.post("/v1/jobs", json=body, headers=bert)
        assert answer.status_code == 404, answer.text


def test_an_idempotency_key_is_ones_own(owned, short_song):
    api, anna, bert, things = owned
    his = api.upload(short_song, headers=bert)["id"]
    hers = api.job("analyze", things["uploads"], headers={**anna, "Idempotency-Key": "one"})
    assert api.job("analyze", his, headers={**bert, "Idempotency-Key": "one"})["id"] != hers["id"]


@pytest.mark.parametrize(("method", "path"), sorted({*FOREIGN, *OWN, *ADMIN, *SHARED}))
def test_who_has_not_signed_in_is_told_nothing(owned, method, path):
    api, _, _, things = owned
    more = FOREIGN.get((method, path), {"json": {}} if method in ("POST", "PUT") else {})
    answer = asked(api, method, path, things["jobs"], {}, more)
    # A body that makes no sense may be told first: it says nothing of anybody.
    assert answer.status_code in ((401,) if "json" not in more else (401, 422))


@pytest.mark.parametrize(("method", "path"), sorted(ADMIN))
def test_what_is_an_admins_is_nobody_elses(owned, method, path):
    api, anna, _, _ = owned
    bodies = {
        "/v1/keys": {"user": "anna"},
        "/v1/users": {"name": "carl", "password": PASSWORD},
        "/v1/users/{name}/password": {"password": PASSWORD},
    }
    more = {"json": bodies[path]} if method in ("POST", "PUT") else {}
    assert asked(api, method, path, "key_x", anna, more).status_code == 403
