"""Sessions: opened with a password, held against other sites, ended here and everywhere."""

import hashlib

import pytest
from services import called
from signing_in import PAGE, PASSWORD, signed_in, tried

from mixagent.service.accounts.sessions import IDLE_S, LONGEST_S
from mixagent.service.store.tables import SignedIn


def test_a_session_does_what_its_user_may(club, short_song):
    anna = signed_in(club, "anna")
    about = club.get("/v1", headers=anna).json()
    assert (about["user"], about["scopes"]) == ("anna", ["write"])
    assert club.upload(short_song, headers=anna)["state"] == "ready"


def test_its_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(tmp_path):
    with called(tmp_path, accounts=True, origin="https://mix.example.org") as api:
        api.service.users.add("anna", PASSWORD)
        answer = tried(api, "anna", PASSWORD, Origin="https://mix.example.org")
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-mixagent_session=")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=strict"} <= {*cookie.split("; ")}
        assert "Domain" not in cookie


def test_the_database_has_the_hash_of_the_cookie_and_not_the_cookie(club):
    token = signed_in(club, "anna")["Cookie"].partition("=")[2]
    with club.service.database.reading() as session:
        rows = [row.hash for row in session.query(SignedIn)]
    assert rows == [hashlib.sha256(token.encode()).hexdigest()]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_cookie_alone_changes_nothing(club, sent):
    cookie = {"Cookie": signed_in(club, "anna")["Cookie"]}
    for method, url in (("DELETE", "/v1/sessions"), ("POST", "/v1/uploads"), ("DELETE", "/v1/uploads/upl_x")):
        answer = club(method, url, headers={**cookie, **sent})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin"), url
    assert club.get("/v1", headers=cookie).status_code == 200


def test_signing_out_ends_the_session_and_not_only_the_cookie(club):
    anna, elsewhere = signed_in(club, "anna"), signed_in(club, "anna")
    answer = club("DELETE", "/v1/session", headers=anna)
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert club.get("/v1", headers=anna).status_code == 401
    assert club.get("/v1", headers=elsewhere).status_code == 200


def test_signing_out_everywhere_ends_all_of_ones_own(club):
    first, second = signed_in(club, "anna"), signed_in(club, "anna")
    bert = signed_in(club, "bert", f"{PASSWORD} of bert")
    listed = club.get("/v1/sessions", headers=second).json()["sessions"]
    assert [row["this"] for row in listed] == [True, False]
    assert club("DELETE", "/v1/sessions", headers=first).status_code == 204
    assert [club.get("/v1", headers=each).status_code for each in (first, second, bert)] == [401, 401, 200]


def test_a_changed_password_ends_the_other_sessions(club):
    here, elsewhere = signed_in(club, "anna"), signed_in(club, "anna")
    body = {"old": "not this one", "new": "another horse battery"}
    assert club("PUT", "/v1/password", json=body, headers=here).status_code == 401
    body["old"] = PASSWORD
    assert club("PUT", "/v1/password", json=body, headers=here).status_code == 204
    assert [club.get("/v1", headers=each).status_code for each in (here, elsewhere)] == [200, 401]
    assert tried(club, "anna", PASSWORD).status_code == 401
    signed_in(club, "anna", "another horse battery")


def test_a_password_that_an_admin_sets_ends_all_sessions(club):
    anna, root = signed_in(club, "anna"), signed_in(club, "root", f"{PASSWORD} of root")
    body = {"password": "another horse battery"}
    assert club("PUT", "/v1/users/anna/password", json=body, headers=root).status_code == 204
    assert club.get("/v1", headers=anna).status_code == 401


def test_a_session_lasts_while_it_is_used_and_not_for_ever(club, clock):
    used, idle = signed_in(club, "anna"), signed_in(club, "anna")
    for _ in range(int(LONGEST_S / (IDLE_S - 3600))):
        clock.forward(IDLE_S - 3600)
        assert club.get("/v1", headers=used).status_code == 200
        club.service.sessions.flush()
    assert club.get("/v1", headers=idle).status_code == 401
    clock.forward(IDLE_S - 3600)
    assert club.get("/v1", headers=used).status_code == 401


def test_a_session_that_was_opened_with_a_key_may_what_the_key_may_and_ends_with_it(club):
    key, row = club.service.keys.create("anna", "reader", ["read"])
    answer = club.post("/v1/session", json={"key": key}, headers=PAGE)
    cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0], **PAGE}
    assert club.get("/v1", headers=cookie).json()["scopes"] == ["read"]
    assert club.post("/v1/goals", json={"text": "warm"}, headers=cookie).status_code == 200
    assert club.post("/v1/uploads", content=b"x", headers=cookie).status_code == 403
    club.service.keys.revoke(row.id)
    assert club.get("/v1", headers=cookie).status_code == 401
