"""Signing in by an OpenID provider, which runs: who is let in, and what of an answer is not believed."""

from urllib.parse import urlsplit

import httpx
import pytest
from services import called
from signing_in import PAGE, PASSWORD

pytest.importorskip("authlib", reason="the extra openid is not installed")

from openid_provider import CLIENT, SECRET, provided

from mixagent.service.settings import OpenIdSettings


@pytest.fixture(scope="module")
def running():
    with provided() as provider:
        yield provider


@pytest.fixture
def provider(running):
    """The provider as it was at first."""
    running.person = {"sub": "4711", "email": "anna@example.org", "email_verified": True}
    running.claims, running.in_token, running.denies, running.algorithm = {}, True, False, "RS256"
    running.published, running.called = [running.key], None
    return running


@pytest.fixture
def house(tmp_path, provider, cheap):
    """A service whose users sign in by the provider; none is known yet."""
    openid = OpenIdSettings(issuer=provider.issuer, client_id=CLIENT, client_secret=SECRET, label="Example")
    with called(tmp_path, accounts=True, host="0.0.0.0", openid=openid) as api:
        yield api


def begun(api) -> tuple[str, dict[str, str]]:
    """The address that the browser is sent to, and the cookie that it keeps."""
    answer = api.get("/v1/openid")
    assert answer.status_code == 303
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    return answer.headers["Location"], {"Cookie": cookie.partition(";")[0]}


def came_back(api) -> tuple[httpx.Response, dict[str, str]]:
    """The service's answer to a browser that went to the provider and came back, and its cookie."""
    place, cookie = begun(api)
    sent = httpx.get(place)
    back = urlsplit(sent.headers["Location"])
    return api.get(f"{back.path}?{back.query}", headers=cookie), cookie


def code_of(answer: httpx.Response) -> str:
    """Of what went wrong, as the page is told."""
    assert answer.status_code == 303
    assert "mixagent_session" not in answer.headers.get("Set-Cookie", "")
    place = answer.headers["Location"]
    assert place.startswith("/#/sign-in/"), place
    return place.rpartition("/")[2]


def who(api, answer: httpx.Response) -> str:
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookies = answer.headers.get_list("set-cookie")
    cookie = next(each for each in cookies if each.startswith("mixagent_session="))
    assert "samesite=strict" in cookie.lower()
    return api.get("/v1", headers={"Cookie": cookie.partition(";")[0]}).json()["user"]


def test_who_was_made_for_it_signs_in_and_stays_who_they_are(house, provider):
    house.service.users.add("anna@example.org", None)
    assert who(house, came_back(house)[0]) == "anna@example.org"
    # It is the provider's name for them that counts from then on, and not their mail.
    provider.person["email"] = "anna.miller@example.org"
    assert who(house, came_back(house)[0]) == "anna@example.org"
    ways = house.get("/v1/session").json()
    assert ways["openid"] == {"label": "Example", "url": "/v1/openid"}
    entries = [row["what"] for row in house.get("/v1/audit", headers=admin(house)).json()["entries"]]
    assert entries == ["sign in", "sign in"]


def admin(api) -> dict[str, str]:
    key, _ = api.service.keys.create("local", "test", ["admin"])
    return {"Authorization": f"Bearer {key}"}


def test_mail_that_stands_in_the_userinfo_alone_is_found_there(house, provider):
    provider.in_token = False
    house.service.users.add("anna@example.org", None)
    assert who(house, came_back(house)[0]) == "anna@example.org"


def test_who_is_not_known_here_stays_outside(house):
    assert code_of(came_back(house)[0]) == "scope"


def test_mail_that_nobody_verified_opens_nothing(house, provider):
    house.service.users.add("anna@example.org", None)
    provider.person["email_verified"] = False
    assert code_of(came_back(house)[0]) == "scope"
    provider.person["email_verified"] = "true"
    assert code_of(came_back(house)[0]) == "scope"


def test_a_user_who_has_a_password_or_is_anothers_is_not_taken_over(house, provider):
    house.service.users.add("anna@example.org", PASSWORD)
    assert code_of(came_back(house)[0]) == "scope"
    house.service.users.add("bert@example.org", None)
    provider.person = {"sub": "1", "email": "bert@example.org", "email_verified": True}
    assert who(house, came_back(house)[0]) == "bert@example.org"
    provider.person["sub"] = "2"
    assert code_of(came_back(house)[0]) == "scope"


def test_new_users_are_made_where_that_is_wanted(tmp_path, provider):
    openid = OpenIdSettings(issuer=provider.issuer, client_id=CLIENT, client_secret=SECRET, new_users=True)
    with called(tmp_path, accounts=True, openid=openid) as api:
        assert who(api, came_back(api)[0]) == "anna@example.org"
        provider.person = {"sub": "another", "email": "anna@example.org", "email_verified": True}
        assert who(api, came_back(api)[0]).startswith("openid-")
        provider.person = {"sub": "../../etc"}
        assert who(api, came_back(api)[0]).startswith("openid-")


def test_who_was_removed_is_not_let_in_again_by_the_provider(house):
    house.service.users.add("anna@example.org", None)
    came_back(house)
    house.service.users.remove("anna@example.org")
    assert code_of(came_back(house)[0]) == "scope"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"nonce": "another"},
        {"exp": 1},
        {"iat": 9999999999},
        {"azp": "another"},
        {"sub": None},
    ],
)
def test_a_token_that_is_not_for_this_sign_in_is_not_believed(house, provider, claims):
    house.service.users.add("anna@example.org", None)
    provider.claims = claims
    assert code_of(came_back(house)[0]) == "sign_in"


def test_a_token_that_another_signed_is_not_believed(house, provider):
    house.service.users.add("anna@example.org", None)
    came_back(house)
    right = provider.key
    provider.new_key()
    # A key that the provider does not tell of, under the name of one that it does.
    provider.published, provider.called = [right], right.kid
    assert code_of(came_back(house)[0]) == "sign_in"
    provider.called = None
    assert code_of(came_back(house)[0]) == "sign_in"


def test_a_token_that_the_clients_secret_signed_is_not_believed(house, provider):
    house.service.users.add("anna@example.org", None)
    provider.algorithm = "HS256"
    assert code_of(came_back(house)[0]) == "sign_in"


def test_a_provider_may_change_its_key(house, provider):
    house.service.users.add("anna@example.org", None)
    came_back(house)
    provider.new_key()
    assert who(house, came_back(house)[0]) == "anna@example.org"


def test_an_answer_counts_once_and_in_the_browser_that_asked(house):
    house.service.users.add("anna@example.org", None)
    place, cookie = begun(house)
    back = urlsplit(httpx.get(place).headers["Location"])
    url = f"{back.path}?{back.query}"
    _, other = begun(house)
    assert code_of(house.get(url)) == "missing"
    assert code_of(house.get(url, headers=other)) == "request"
    assert who(house, house.get(url, headers=cookie)) == "anna@example.org"
    assert code_of(house.get(url, headers=cookie)) == "sign_in"
    assert code_of(house.get(f"{url}&iss=https%3A%2F%2Fevil.example", headers=cookie)) == "request"


def test_a_refusal_of_the_provider_is_told(house, provider):
    provider.denies = True
    assert code_of(came_back(house)[0]) == "sign_in"


def test_a_provider_that_does_not_answer_is_told(tmp_path):
    openid = OpenIdSettings(issuer="http://127.0.0.1:9", client_id=CLIENT)
    with called(tmp_path, accounts=True, openid=openid) as api:
        answer = api.get("/v1/openid")
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")


def test_a_provider_that_calls_itself_otherwise_is_not_believed(tmp_path, provider):
    openid = OpenIdSettings(issuer=provider.issuer.replace("127.0.0.1", "localhost"), client_id=CLIENT)
    with called(tmp_path, accounts=True, openid=openid) as api:
        assert api.get("/v1/openid").status_code == 503


def test_without_a_provider_there_is_no_such_way(tmp_path):
    with called(tmp_path, accounts=True) as api:
        assert api.get("/v1/openid").status_code == 404
        assert api.get("/v1/session", headers=PAGE).json()["openid"] is None


def test_the_environment_names_the_provider_and_nothing_shows_its_secret():
    named = {"MIXAGENT_OIDC_ISSUER": "https://id.example.org", "MIXAGENT_OIDC_CLIENT_ID": "mixagent"}
    found = OpenIdSettings.of({**named, "MIXAGENT_OIDC_CLIENT_SECRET": "s3cret"})
    assert (found.issuer, found.client_secret, found.new_users) == ("https://id.example.org", "s3cret", False)
    assert "s3cret" not in repr(found)
    assert OpenIdSettings.of({}) is None
    for wrong in (
        {"MIXAGENT_OIDC_ISSUER": "https://id.example.org"},
        {**named, "MIXAGENT_OIDC_ISSUER": "http://id.example.org"},
    ):
        with pytest.raises(ValueError, match="MIXAGENT_OIDC"):
            OpenIdSettings.of(wrong)
