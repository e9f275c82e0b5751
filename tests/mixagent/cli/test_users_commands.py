"""`mixagent users`: users are made, listed, removed; a password is asked for or read from stdin."""

import io
import sys

import pytest
from services import called

PASSWORD = "correct horse battery"


@pytest.fixture
def data(tmp_path):
    with called(tmp_path) as api:
        made = api.service.settings
    return made.data


@pytest.fixture
def users(monkeypatch, mixagent, data):
    """Runs `mixagent users`, with what stands on stdin; gives its exit code, and what it printed and said."""

    def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        ran = mixagent("users", *words, "--data", data)
        return ran.code, ran.out, ran.err

    return run


def test_a_user_is_made_listed_given_another_password_and_removed(users, tmp_path):
    assert users("add", "anna", stdin=f"{PASSWORD}\n") == (0, "", "mixagent: anna is a user now\n")
    users("add", "bert@example.org", "--no-password")
    users("add", "root", "--admin", stdin=f"{PASSWORD} of root\r\n")
    listed = users("list")[1].splitlines()
    assert listed == [
        "anna\twrite\tpassword",
        "bert@example.org\twrite\tOpenID or keys",
        "local\twrite\tOpenID or keys",
        "root\tadmin\tpassword",
    ]
    assert users("password", "anna", stdin="another horse battery")[0] == 0
    with called(tmp_path, accounts=True) as api:
        assert api.service.users.sign_in("anna", "another horse battery", "").scopes == ("write",)
        assert api.service.users.sign_in("root", f"{PASSWORD} of root", "").scopes == ("admin",)
    code, _, said = users("remove", "anna")
    assert (code, "anna is no user any more" in said) == (0, True)
    assert "anna" not in users("list")[1]
    with called(tmp_path) as api:
        lines = api.get("/v1/audit").json()["entries"]
    made = [(line["what"], line["about"]) for line in lines if line["address"] == "command line"]
    assert made[::-1] == [
        ("add user", "anna"),
        ("add user", "bert@example.org"),
        ("add user", "root"),
        ("password", "anna"),
        ("remove user", "anna"),
    ]


def test_a_password_is_asked_for_twice_and_not_shown(users, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    answers = iter([PASSWORD, PASSWORD, PASSWORD, "another"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr(io, "StringIO", Terminal)
    assert users("add", "anna")[0] == 0
    code, _, said = users("password", "anna")
    assert (code, "these are two passwords" in said) == (2, True)


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (("add", "anna"), "short\n", "a password has 10 to 500 characters"),
        (("add", "a b"), f"{PASSWORD}\n", "a name has 1 to 80"),
        (("remove", "nobody"), "", "there is no user nobody"),
        (("password", "nobody"), f"{PASSWORD}\n", "there is no user nobody"),
        (("remove", "local"), "", "local is whoever uses this machine"),
    ],
)
def test_what_makes_no_sense_is_one_line(users, words, stdin, says):
    code, _, said = users(*words, stdin=stdin)
    assert (code, said.count("\n")) == (2, 1)
    assert says in said


def test_a_password_is_no_word_of_the_command(users):
    assert users("add", "anna", PASSWORD)[0] == 2
    assert "anna" not in users("list")[1]


def test_a_folder_without_a_service_is_told_so(users, data, tmp_path):
    (data / "service.sqlite").unlink()
    code, _, said = users("list")
    assert (code, "no service has worked in" in said) == (2, True)
    assert not (data / "service.sqlite").exists()
