"""Signing in on the page, by keys alone, as a screen reader reads it."""

import threading
import time
from contextlib import contextmanager

import browser
import httpx
import pytest
import uvicorn

from mixagent.service.api.app import create_app
from mixagent.service.service import Service
from mixagent.service.settings import OpenIdSettings, ServiceSettings

pytestmark = pytest.mark.skipif(not browser.AVAILABLE, reason="chromium and chromedriver are not installed")

PASSWORD = "correct horse battery"
ALERT = 'return document.querySelector("[role=alert]")?.textContent'
PROVIDER = '[...document.querySelectorAll("a")].find((each) => each.textContent === "Sign in with Example")'


@contextmanager
def answering(service: Service):
    """The address of a service that answers, and runs no jobs."""
    config = uvicorn.Config(
        create_app(service),
        port=0,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        service.database.close()
        service._lock.release()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a service with accounts and a provider, in a browser."""
    folder = tmp_path_factory.mktemp("accounts")
    openid = OpenIdSettings(issuer="http://127.0.0.1:9", client_id="mixagent", label="Example")
    service = Service(ServiceSettings(data=folder / "data", accounts=True, openid=openid))
    service.users.add("anna", PASSWORD)
    with answering(service) as address, browser.browsing(address, folder / "profile") as opened:
        opened.size(1280, 800)
        yield service, opened, address


def wait(opened, script: str):
    found = browser.until(lambda: opened.run(script), bool)
    assert found, f"{script}\n{opened.run('return document.body.innerText')[:1000]}"
    return found


def typed(opened, *words: str) -> None:
    """Text into each field from the one that has the focus on, and Enter."""
    for number, word in enumerate(words):
        if number:
            opened.press("Tab")
        opened.cdp("Input.insertText", text=word)
    opened.press("Enter")


def focused(opened) -> str:
    """The name that a screen reader has for the element with the focus."""
    return opened.run(
        "const { activeElement: each } = document;"
        "return each.labels?.[0]?.textContent ?? each.textContent.trim().slice(0, 40);"
    )


def reached(opened, name: str) -> None:
    """Go on by the tabulator to what is called so."""
    for _ in range(30):
        if focused(opened) == name:
            return
        opened.press("Tab")
    raise AssertionError(f"{name} is not reached: {focused(opened)}")


def test_one_signs_in_changes_the_password_and_leaves_everywhere_by_keys_alone(page):
    service, opened, _ = page
    wait(opened, 'return document.querySelector("#password")')
    reached(opened, "Name")
    typed(opened, "anna", "wrong password")
    problem = wait(opened, ALERT)
    assert problem == "The name or the password is wrong."
    assert focused(opened) == "Password"
    typed(opened, PASSWORD)
    wait(opened, 'return document.querySelector(".drop") !== null')
    assert "Signed in as anna." in opened.run('return document.querySelector("footer").textContent')
    # What the page does with the cookie is taken for the page's.
    asked = """return (await fetch("/v1/goals", {
        method: "POST", body: `{"text": "warm"}`, headers: { "Content-Type": "application/json" },
    })).status"""
    assert opened.run(asked) == 200
    assert opened.run("return document.cookie") == ""

    reached(opened, "Account")
    opened.press("Enter")
    wait(opened, 'return document.querySelector("#old")')
    listed = wait(opened, 'return document.querySelector(".sign-in ul li")?.textContent')
    assert "with the password" in listed
    assert "(here)" in listed
    reached(opened, "Current password")
    typed(opened, "not this one", "another horse battery")
    assert wait(opened, ALERT).startswith("The current password is wrong")
    opened.run('document.querySelector("form.sign-in-part").reset(); document.querySelector("#old").focus()')
    typed(opened, PASSWORD, "another horse battery")
    wait(opened, 'return document.querySelector("#said").textContent.startsWith("The password was changed")')
    assert service.users.sign_in("anna", "another horse battery", "192.0.2.1").user == "anna"

    reached(opened, "Sign out everywhere")
    opened.press("Enter")
    wait(opened, 'return document.querySelector("#password")')
    assert service.sessions.all("anna") == []


def test_a_key_is_another_way_and_what_a_provider_said_is_told(page):
    service, opened, address = page
    key, _ = service.keys.create("bert", "his", ["write"])
    opened.go("about:blank")
    opened.go(f"{address}#/sign-in/scope")
    problem = wait(opened, ALERT)
    assert problem.startswith("Nobody here is known by that account")
    wait(opened, f"return {PROVIDER} !== undefined")
    place = opened.run(f"return {PROVIDER}.href")
    assert place == f"{address}v1/openid"
    assert httpx.get(place).status_code == 503
    reached(opened, "Use an API key instead")
    opened.press("Enter")
    wait(opened, 'return document.querySelector("#key")')
    reached(opened, "API key")
    typed(opened, "mxk_wrong")
    assert wait(opened, ALERT) == "This key is not valid."
    typed(opened, key)
    wait(opened, 'return document.querySelector(".drop") !== null')
    assert "Signed in as bert." in opened.run('return document.querySelector("footer").textContent')


def test_it_fits_a_phone_and_every_field_has_a_name(page, tmp_path):
    _, opened, _ = page
    opened.run('await fetch("/v1/session", { method: "DELETE" })')
    opened.size(360, 740)
    opened.reload()
    wait(opened, 'return document.querySelector("#password")')
    assert opened.run("return document.documentElement.scrollWidth") <= 360
    fields = """return [...document.querySelectorAll("input")].map((each) =>
        [each.labels[0]?.textContent, each.autocomplete])"""
    assert opened.run(fields) == [["Name", "username"], ["Password", "current-password"]]
    opened.screenshot(tmp_path / "sign-in.png")
    opened.size(1280, 800)
