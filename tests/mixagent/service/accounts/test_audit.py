"""The audit log: sign-ins and those that failed, keys, users, links, deletes; in database and log."""

import logging

from signing_in import PASSWORD, signed_in, tried

from mixagent.service.store.tables import JobFile


def done(api, song) -> str:
    """A job that is done, with a file."""
    job = api.job("master", song, headers=signed_in(api, "anna"))["id"]
    place = api.service.settings.data / "made"
    place.write_bytes(b"master")
    blob = api.service.blobs.put(place)
    row = JobFile(place=0, name="her song.wav", role="master", media_type="audio/wav", bytes=6, blob=blob)
    assert api.service.queue.finish(api.service.queue.claim(), {}, [row], lambda *_: None)
    return job


def test_who_did_what_is_put_down(club, short_song, caplog):
    anna, root = signed_in(club, "anna"), signed_in(club, "root", f"{PASSWORD} of root")
    song = club.upload(short_song, headers=anna)["id"]
    job = done(club, song)
    with caplog.at_level(logging.INFO, "mixagent.service"):
        tried(club, "anna", "not her password")
        tried(club, "correct horse password typed as a name", "x")
        club.post(f"/v1/jobs/{job}/links", json={"file": "her song.wav"}, headers=anna)
        club("DELETE", f"/v1/jobs/{job}", headers=anna)
        club("DELETE", f"/v1/uploads/{song}", headers=anna)
        key = club.post("/v1/keys", json={"user": "carl"}, headers=root).json()["id"]
        club("DELETE", f"/v1/keys/{key}", headers=root)
        club.post("/v1/users", json={"name": "dora", "password": PASSWORD}, headers=root)
        club("DELETE", "/v1/users/dora", headers=root)
        body = {"old": PASSWORD, "new": "another horse battery"}
        club("PUT", "/v1/password", json=body, headers=anna)
        club("DELETE", "/v1/session", headers=anna)
        club("DELETE", "/v1/sessions", headers=signed_in(club, "anna", "another horse battery"))
    lines = club.get("/v1/audit", params={"limit": 13}, headers=root).json()["entries"][::-1]
    assert [(line["user"], line["what"], line["about"]) for line in lines] == [
        ("anna", "sign in failed", "sign_in"),
        # Nobody is called so: it may be a password that was typed into the wrong field.
        ("", "sign in failed", "sign_in"),
        ("anna", "link", job),
        ("anna", "delete job", job),
        ("anna", "delete upload", song),
        ("root", "create key", key),
        ("root", "revoke key", key),
        ("root", "add user", "dora"),
        ("root", "remove user", "dora"),
        ("anna", "password", "anna"),
        ("anna", "sign out", ""),
        ("anna", "sign in", "password"),
        ("anna", "sign out everywhere", "1"),
    ]
    told = [record for record in caplog.records if record.message == "audit"]
    assert [record.what for record in told] == [line["what"] for line in lines]
    assert not [record for record in caplog.records if PASSWORD in str(vars(record))]


def test_it_is_searched_by_who_what_and_where(club):
    tried(club, "bert", "not his password")
    root = signed_in(club, "root", f"{PASSWORD} of root")
    for words, users in (("failed", ["bert"]), ("bert", ["bert"]), ("127.0.0.1", ["root", "bert"])):
        found = club.get("/v1/audit", params={"search": words}, headers=root).json()["entries"]
        assert [line["user"] for line in found] == users, words
