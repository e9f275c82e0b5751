"""Users: made with a name and a password, let in, slowed down, and gone with all that is theirs."""

import pytest
from services import called
from signing_in import PAGE, PASSWORD, signed_in, tried

from mixagent.service.accounts import users as users_module
from mixagent.service.accounts.passwords import check_password, hashed, verified
from mixagent.service.problems import Problem
from mixagent.service.store.tables import User


def everything(api) -> bytes:
    """All that the database and what lies beside it have on the disk."""
    return b"".join(path.read_bytes() for path in api.service.settings.data.glob("service.sqlite*"))


def test_a_password_is_known_by_its_argon2_hash_alone(club):
    found = club.service.users.all()
    assert [row.name for row in found] == ["anna", "bert", "local", "root"]
    assert {row.name for row in found if (row.password or "").startswith("$argon2id$")} == {
        "anna",
        "bert",
        "root",
    }
    assert PASSWORD.encode() not in everything(club)


def test_a_hash_with_costs_of_old_is_made_anew_when_its_owner_signs_in(club):
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    old = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=1024),)).hash(PASSWORD)
    with club.service.database.writing() as session:
        session.get(User, "anna").password = old
    signed_in(club, "anna")
    with club.service.database.reading() as session:
        kept = session.get(User, "anna").password
    assert kept != old
    assert verified(PASSWORD, kept) == (True, None)


def test_what_looks_the_same_is_the_same_password():
    assert verified("o\u0302 pas de secret", hashed("\u00f4 pas de secret"))[0]


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "Anna.Miller1", "x" * 501])
def test_a_password_that_is_guessed_soon_is_not_taken(password):
    with pytest.raises(Problem) as told:
        check_password(password, "anna.miller")
    assert told.value.code == "usage"


def test_a_name_that_makes_no_sense_is_not_taken(club):
    for name in ("", "a b", "../etc", "a" * 81, "nul\0", "<script>"):
        with pytest.raises(Problem, match="a name has"):
            club.service.users.add(name, PASSWORD)


def test_a_wrong_name_and_a_wrong_password_are_told_alike(club):
    answers = [tried(club, "anna", "wrong wrong"), tried(club, "nobody", PASSWORD)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["code"] == "sign_in"


def test_wrong_passwords_are_counted_and_the_right_one_has_to_wait_too(club):
    codes = [tried(club, "anna", f"wrong password {n}").status_code for n in range(11)]
    assert codes == [401] * 10 + [429]
    right = tried(club, "anna", PASSWORD)
    assert right.status_code == 429
    assert 0 < int(right.headers["Retry-After"]) <= 900
    # Another name from there may still try.
    signed_in(club, "bert", f"{PASSWORD} of bert")


def test_a_right_password_forgets_the_wrong_ones_before(club):
    for _ in range(3):
        for n in range(9):
            assert tried(club, "anna", f"wrong password {n}").status_code == 401
        signed_in(club, "anna")


def test_guesses_that_come_at_once_are_counted_one_by_one(club, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    # How long a hash takes is of no account here.
    monkeypatch.setattr(users_module, "verified", lambda password, known: (False, None))

    def guess(number: int) -> str:
        try:
            club.service.users.sign_in("anna", f"guess {number}", "192.0.2.1")
        except Problem as problem:
            return problem.code
        return "in"

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(guess, range(40)))
    assert codes == ["limit"] * 30 + ["sign_in"] * 10


def test_an_admin_makes_lists_and_removes_users_by_the_api(club):
    root = signed_in(club, "root", f"{PASSWORD} of root")
    made = club.post("/v1/users", json={"name": "carl", "password": PASSWORD + "!"}, headers=root)
    assert made.status_code == 201
    assert made.json()["scopes"] == ["write"]
    assert "argon2" not in made.text
    again = club.post("/v1/users", json={"name": "carl", "password": PASSWORD + "!"}, headers=root)
    assert (again.status_code, again.json()["code"]) == (409, "state")
    names = [row["name"] for row in club.get("/v1/users", headers=root).json()["users"]]
    assert names == ["anna", "bert", "carl", "local", "root"]
    carl = signed_in(club, "carl", PASSWORD + "!")
    assert club("DELETE", "/v1/users/carl", headers=root).status_code == 204
    assert club.get("/v1", headers=carl).status_code == 401
    assert tried(club, "carl", PASSWORD + "!").status_code == 401
    assert club("DELETE", "/v1/users/local", headers=root).status_code == 422
    assert club("DELETE", "/v1/users/carl", headers=root).status_code == 404


def test_a_user_is_no_admin(club):
    anna = signed_in(club, "anna")
    for method, url in (("GET", "/v1/users"), ("DELETE", "/v1/users/bert"), ("GET", "/v1/audit")):
        assert club(method, url, headers=anna).status_code == 403
    body = {"name": "mine", "password": PASSWORD}
    assert club.post("/v1/users", json=body, headers=anna).status_code == 403
    assert (
        club("PUT", "/v1/users/anna/password", json={"password": "x" * 12}, headers=anna).status_code == 403
    )


def test_a_user_who_is_removed_goes_with_all_that_is_theirs(club, short_song):
    anna = signed_in(club, "anna")
    song = club.upload(short_song, name="her secret song.wav", headers=anna)
    job = club.job("master", song["id"], headers=anna)
    key, _ = club.service.keys.create("anna", "hers", ["write"])
    bert = club.upload(short_song, headers=signed_in(club, "bert", f"{PASSWORD} of bert"))
    club.service.users.remove("anna")
    assert club.get("/v1", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    with pytest.raises(Problem, match="until their songs are deleted"):
        club.service.users.add("anna", PASSWORD)
    club.service.sweeper.sweep_rows()
    club.service.database.checkpoint()
    data = everything(club)
    assert b"her secret song" not in data
    assert job["id"].encode() not in data.replace(b"job" + job["id"].encode(), b"")
    # What Bert has of the same song stays his.
    assert club.service.blobs.has(bert["sha256"])
    club.service.users.add("anna", PASSWORD)
    assert club.get("/v1/jobs", headers=signed_in(club, "anna")).json()["jobs"] == []


def test_a_job_at_work_is_stopped_before_its_user_goes(club, short_song):
    anna = signed_in(club, "anna")
    club.job("master", club.upload(short_song, headers=anna)["id"], headers=anna)
    claimed = club.service.queue.claim()
    club.service.users.remove("anna")
    club.service.sweeper.sweep_rows()
    assert club.service.queue.beat(claimed) == "cancel"
    assert club.service.queue.fail(claimed, Problem("cancelled", "cancelled").to_dict())
    club.service.sweeper.sweep_rows()
    with club.service.database.reading() as session:
        assert session.get(User, "anna") is None


def test_a_database_of_the_first_version_gets_users(tmp_path):
    import sqlite3

    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    (tmp_path / "data").mkdir()
    engine = create_engine(f"sqlite:///{tmp_path / 'data' / 'service.sqlite'}")
    config = Config()
    config.set_main_option("script_location", "mixagent.service.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO users VALUES ('anna', 1.0, 0.0)")
    engine.dispose()
    with called(tmp_path, accounts=True) as api:
        assert ("anna", ["write"]) in [(row.name, row.scopes) for row in api.service.users.all()]
        api.service.users.add("anna", PASSWORD)
        signed_in(api, "anna")
    assert sqlite3.connect(tmp_path / "data" / "service.sqlite").execute("SELECT 1").fetchone() == (1,)


def test_the_page_is_told_how_one_signs_in(tmp_path):
    with called(tmp_path, accounts=True) as api:
        assert api.get("/v1/session").json() == {"accounts": True, "ways": ["key"], "openid": None}
        api.service.users.add("anna", PASSWORD)
        assert api.get("/v1/session", headers=PAGE).json()["ways"] == ["password", "key"]


def test_behind_a_proxy_each_address_is_counted_by_itself_and_only_the_proxy_is_believed(tmp_path, cheap):
    origin = "https://mix.example.org"
    with called(tmp_path, accounts=True, origin=origin) as api:
        api.service.users.add("anna", PASSWORD)

        def guess(forwarded: str) -> int:
            sent = {"Origin": origin, "X-Forwarded-For": forwarded}
            return tried(api, "anna", "wrong password", **sent).status_code

        # Whatever a client writes into the header stands before what the proxy adds.
        assert [guess(f"198.51.100.{n}, 203.0.113.9") for n in range(11)] == [401] * 10 + [429]
        assert guess("203.0.113.9, 203.0.113.10") == 401
        key, _ = api.service.keys.create("local", "test", ["admin"])
        lines = api.get("/v1/audit", headers={"Authorization": f"Bearer {key}"}).json()["entries"]
        assert lines[0]["address"] == "203.0.113.10"
        # Everybody comes from the proxy's address, which is this machine's: its figures are an admin's.
        assert api.get("/metrics").status_code == 401
