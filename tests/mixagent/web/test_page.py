"""The page in a real browser, before the real service: from the drop to the download."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from songs import RATE, write_song

from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import Audio

pytestmark = pytest.mark.slow

RESULT = 'return document.querySelector(".job .player") !== null'
PAGE_IS_THERE = """
return [...document.querySelectorAll(".tools a")].some((each) => each.innerText === "Full report")
"""
STATE_OF = 'document.querySelector(".player").state()'


@pytest.fixture(scope="session")
def song(tmp_path_factory) -> Path:
    """A quiet song of three seconds."""
    return write_song(tmp_path_factory.mktemp("songs") / "Quiet Song.wav", "PCM_16", seconds=3.0)


def asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def job_of(page) -> dict:
    id_ = page.run('return location.hash.split("/").at(-1)')
    return json.loads(asked(f"{page.url}v1/jobs/{id_}"))


def mastered(page, song) -> dict:
    page.judged(song)
    page.click("Master & Polish")
    page.wait(RESULT)
    return job_of(page)


@dataclass(frozen=True)
class Tape:
    """What was played; a busy machine may lose some of it.

    Attributes:
        sound: shape (2, samples).
        place: of each sample in the song, in samples, by the clock of the sound.
    """

    sound: np.ndarray
    place: np.ndarray


def recorded(page, begun_s: float) -> Tape:
    """The recording of a song that began at a time of the clock."""
    left, right, clock = (np.frombuffer(base64.b64decode(text), np.float32) for text in page.tape()["coded"])
    place = np.round((clock.astype(float) - begun_s) * RATE).astype(int)
    there = place >= 0
    return Tape(np.stack([left, right])[:, there], place[there])


BEGUN = """
const { positionS } = document.querySelector(".player").state();
return positionS > 0.2 ? tape.context.currentTime - positionS : null;
"""


def played(page) -> Tape:
    """Play from where the player stands to the end."""
    page.run("if (window.tape) tape.blocks.length = 0; document.querySelector('[data-part=play]').click()")
    begun_s = page.wait(BEGUN)
    page.wait(f"return !({STATE_OF}).playing")
    return recorded(page, begun_s)


def test_a_dropped_song_is_judged_and_one_click_masters_it(page, song):
    page.judged(song)
    told = page.run("return document.querySelector('.verdict-full').innerText")
    assert "LUFS" in told
    assert "What would be done" in told

    page.click("Master & Polish")
    page.wait(RESULT)
    assert "Target met" in page.run("return document.body.innerText")
    link = page.run("return document.querySelector('.tools a.primary').href")
    page.wait(
        'return [...document.querySelectorAll(".tools a")].some((each) => each.innerText === "Full report")'
    )
    master = next(file for file in job_of(page)["files"] if file["role"] == "master")
    assert hashlib.sha256(asked(link)).hexdigest() == master["sha256"]


def test_what_is_wrong_is_told_before_it_is_known_what_would_be_done(page, song):
    page.run("""
        const ask = window.fetch;
        window.fetch = (url, options) => String(options?.body).includes("dry_run")
          ? new Promise((done) => { window.goOn = () => done(ask(url, options)); }) : ask(url, options);""")
    page.browser.drop(song)
    page.wait('return document.querySelector(".song[data-state=heard]") !== null')
    told = page.run("return document.querySelector('.verdict-full').innerText")
    assert re.search(r"−\d+\.\d LUFS", told.replace("\n", " "))
    assert "Working out what would be done" in told
    page.run("goOn()")
    page.wait('return document.querySelector(".song[data-state=judged]") !== null')


def test_a_folder_is_dropped_and_mastered_as_an_album(page, tmp_path):
    folder = tmp_path / "Album"
    folder.mkdir()
    for number in (10, 2):
        write_song(folder / f"{number} Song.wav", "PCM_16", seconds=2.0)
    (folder / "cover.txt").write_text("no song")
    page.browser.drop(folder)
    page.wait('return document.querySelectorAll(".song[data-state=judged]").length === 2')
    titles = page.run('return [...document.querySelectorAll(".song-title")].map((each) => each.innerText)')
    assert titles == ["2 Song", "10 Song"]
    page.run('document.querySelector(".album-switch input").click()')
    page.click("Master & Polish the album")
    page.wait('return document.querySelectorAll(".songs-of-album li").length === 2')
    assert [file["role"] for file in job_of(page)["files"]].count("master") == 2


def test_nothing_that_is_there_moves_while_a_song_is_judged_and_mastered(page, song):
    page.judged(song)
    to(page, "Master & Polish")
    page.browser.press("Enter")
    page.wait(RESULT)
    page.wait(PAGE_IS_THERE)
    # "Good" by web.dev/cls is at most 0.1.
    shifts = page.run("return shifts")
    assert sum(shift["value"] for shift in shifts) < 0.1, json.dumps(shifts)


def test_axe_finds_nothing_to_mend_in_any_view(page, song):
    axe = os.environ.get("MIXAGENT_AXE")
    if axe is None:
        pytest.skip("MIXAGENT_AXE names no axe.min.js of axe-core")
    scripts = {
        "desk": None,
        "result": "Master & Polish",
        "history": "History",
        "stems": "Stems",
    }
    page.judged(song)
    for theme in ("light", "dark"):
        page.run(f"document.documentElement.dataset.theme = '{theme}'")
        for view, press in scripts.items():
            if press is not None:
                page.click(press)
            page.wait(RESULT if view == "result" else 'return document.querySelector("h1") !== null')
            page.run(Path(axe).read_text())
            found = page.run("""
                const { violations } = await axe.run();
                return violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);""")
            assert found == [], view
        page.run("location.hash = '#/'")
        page.wait('return document.querySelector(".song") !== null')


def test_before_and_after_play_equally_loud(page, song):
    mastered(page, song)
    tapes = []
    for key in ("a", "b"):
        page.browser.press(key)
        tapes.append(played(page))
    both = np.intersect1d(*(tape.place[tape.place < 3 * RATE] for tape in tapes))
    lufs = [integrated_lufs(Audio(tape.sound[:, np.searchsorted(tape.place, both)], RATE)) for tape in tapes]
    assert both.size > 2 * RATE
    assert lufs[0] == pytest.approx(lufs[1], abs=0.1)
    assert lufs[0] > -40


def test_a_switch_is_done_within_20_ms_of_the_clock_of_the_sound_and_stays_in_sync(page, song, tmp_path):
    job = mastered(page, song)
    page.browser.press("b")
    page.run("document.querySelector('[data-part=play]').click()")
    page.wait(f"return ({STATE_OF}).positionS > 1")
    begun_s, pressed_s = page.run(f"""
        const at = tape.context.currentTime, begun = at - ({STATE_OF}).positionS;
        document.body.dispatchEvent(new KeyboardEvent("keydown", {{ key: "a", bubbles: true }}));
        return [begun, at]""")
    page.wait(f"return !({STATE_OF}).playing")
    tape = recorded(page, begun_s)

    master = tmp_path / "master.wav"
    master.write_bytes(asked(page.url[:-1] + job["files"][0]["url"]))
    after, before = (
        soundfile.read(path, dtype="float32", always_2d=True)[0][:, 0] for path in (master, song)
    )
    pressed = (pressed_s - begun_s) * RATE
    # On a busy machine it begins a little late, in its place.
    begun = tape.place[np.flatnonzero(tape.sound[0])[0]]
    was = (tape.place >= begun) & (tape.place < pressed)
    now = (tape.place > pressed + 0.020 * RATE) & (tape.place < before.size)
    assert was.sum() > RATE / 2
    assert now.sum() > RATE / 2
    for moment, side in ((was, after), (now, before)):
        heard, sound = tape.sound[0, moment], side[tape.place[moment]]
        assert np.abs(heard - gain_of(heard, sound) * sound).max() < 1e-4


def gain_of(heard: np.ndarray, sound: np.ndarray) -> float:
    return float(heard @ sound / (sound @ sound))


def test_a_piece_of_a_long_file_follows_the_other_without_a_seam(page, tmp_path):
    seconds = 10.6
    tone = (np.sin(2 * np.pi * 441 * np.arange(round(seconds * RATE)) / RATE) * 0.5).astype(np.float32)
    soundfile.write(tmp_path / "tone.wav", tone, RATE, "PCM_24")
    page.browser.drop(tmp_path / "tone.wav")
    page.wait('return document.querySelector(".song .wave") !== null')
    upload = json.loads(asked(f"{page.url}v1/uploads?search=tone"))["uploads"][0]
    page.run(f"""
        const app = document.querySelector("script[type=module]").src;
        const {{ opener }} = await import(app.replace("app.js", "sounds.js"));
        const context = new AudioContext({{ sampleRate: {RATE} }});
        const url = "/v1/uploads/{upload["id"]}/content";
        const sounds = await opener([{{ name: "tone", url }}])(context);
        window.deck = listening.transport(context, sounds, () => 1, () => {{}});
        window.context_s = () => context.currentTime;
        await context.resume();
        deck.jump(9.501);
        deck.play();""")
    begun_s = page.wait("return deck.position() > 9.6 && context_s() - deck.position() + 100") - 100
    page.wait("return !deck.isPlaying()")
    tape = recorded(page, begun_s)
    there = (tape.place > 9.501 * RATE) & (tape.place < tone.size)
    place = tape.place[there]
    assert (place < 10 * RATE).any()
    assert (place > 10 * RATE).any()
    assert np.abs(tape.sound[0, there] - tone[place]).max() < 1e-4


def test_a_tweak_makes_another_version_beside_the_first(page, song):
    first = mastered(page, song)
    page.run("""
        const goal = document.querySelector("#tweak-goal");
        goal.value = "brighter, frobnicated";
        goal.dispatchEvent(new Event("input", { bubbles: true }));""")
    page.wait('return document.querySelector("#tweak-understood").innerText.includes("not understood")')
    assert "brighter" in page.run('return document.querySelector("#tweak-understood").innerText')
    page.click("Render again")
    page.wait(f'return !location.hash.includes("{first["id"]}")')
    page.wait(RESULT)
    assert page.run('return document.querySelectorAll(".versions-list li").length') == 2
    assert page.run('return document.querySelectorAll(".player input[type=radio]").length') == 3
    assert job_of(page)["options"]["goal"] == "brighter, frobnicated"


def test_a_job_goes_on_over_a_reload(page, song):
    page.judged(song)
    choose(page, "#choices-loudness", "loud")
    page.click("Master & Polish")
    page.wait('return document.querySelector(".progress") !== null')
    page.browser.reload()
    page.wait(RESULT)
    assert job_of(page)["result"]["after"]["integrated_lufs"] > -13


def choose(page, selector: str, value: str) -> None:
    page.run(f"""
        const field = document.querySelector("{selector}");
        field.value = "{value}";
        field.dispatchEvent(new Event("change", {{ bubbles: true }}));""")


def started(page, folder: Path) -> None:
    """Begin with a song that takes a while."""
    page.browser.drop(write_song(folder / "Long Song.wav", "PCM_16", seconds=30.0))
    page.wait('return document.querySelector(".song .wave") !== null')
    page.click("Master & Polish")


def test_a_cancelled_job_says_so(page, tmp_path):
    started(page, tmp_path)
    page.click("Stop")
    page.wait('return document.body.innerText.includes("It was stopped")')
    assert job_of(page)["state"] == "cancelled"


def test_where_no_events_come_the_page_asks(page, tmp_path):
    page.run("window.EventSource = undefined")
    started(page, tmp_path)
    page.wait('return document.querySelector(".progress[data-state=running]") !== null')
    page.run("""await fetch(`/v1/jobs/${location.hash.split("/").at(-1)}/cancel`, { method: "POST" })""")
    page.wait('return document.body.innerText.includes("It was stopped")')


def test_an_upload_that_broke_off_goes_on_when_its_file_is_dropped_again(page, tmp_path):
    long = write_song(tmp_path / "Broken Off.wav", "PCM_16", seconds=12.0)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1}
    page.browser.cdp("Network.enable")
    page.browser.cdp("Network.emulateNetworkConditions", **slow, uploadThroughput=300_000)
    page.browser.drop(long)
    found = f"{page.url}v1/uploads?search=Broken"
    page.wait('return document.querySelector(".song").innerText.match(/Sending, [1-9]/) !== null')
    page.browser.reload()
    page.browser.cdp("Network.emulateNetworkConditions", **slow, uploadThroughput=-1)
    page.wait('return document.querySelector(".song")?.innerText.includes("Was interrupted")')
    assert 0 < json.loads(asked(found))["uploads"][0]["received_bytes"] < long.stat().st_size
    page.browser.drop(long)
    page.wait('return document.querySelector(".song .wave") !== null')
    (upload,) = json.loads(asked(found))["uploads"]
    assert upload["sha256"] == hashlib.sha256(long.read_bytes()).hexdigest()


def test_what_is_no_song_is_told_in_words(page, tmp_path):
    (tmp_path / "notes.wav").write_text("no sound at all")
    page.browser.drop(tmp_path / "notes.wav")
    page.wait('return document.querySelector(".alert")?.innerText.startsWith("This file cannot be used")')
    assert page.run('return [...document.querySelectorAll(".go button")].every((each) => each.disabled)')


def test_a_browser_without_web_audio_is_told_and_can_download(page, song):
    mastered(page, song)
    address = page.run("return location.hash")
    page.run("window.AudioContext = undefined; location.hash = '#/history'")
    page.wait('return document.querySelector(".history") !== null')
    page.run(f"location.hash = '{address}'")
    page.wait('return document.querySelector("[data-part=gains]")?.innerText.includes("no Web Audio")')
    assert page.run('return document.querySelector(".tools a.primary").href').endswith("?download=1")


def test_two_tabs_show_one_desk(page, song):
    page.judged(song)
    first = page.browser.tab()
    second = page.browser.new_tab()
    page.browser.go(page.url)
    page.wait('return document.querySelector(".song[data-state=judged]") !== null')
    page.run('document.querySelector(".song-tools button").click()')
    page.browser.to_tab(first)
    page.wait('return document.querySelector(".drop") !== null')
    page.browser.close_tab(second)
    page.browser.to_tab(first)


FITS = """
const wide = [...document.querySelectorAll("main *, header *, footer *")].filter((each) => {
  const box = each.getBoundingClientRect();
  return box.width > 1 && box.right > innerWidth + 0.5 && !each.closest(".sr, .scroll, .wave-times, svg");
});
const small = [...document.querySelectorAll("main button, main select, nav a")].filter((each) => {
  const box = each.getBoundingClientRect();
  return each.checkVisibility() && (box.width < 24 || box.height < 24);
});
return [...wide, ...small].map((each) => `${each.className} ${each.textContent.slice(0, 40)}`);
"""


@pytest.mark.parametrize("width", [360, 2560, 3840])
def test_nothing_is_cut_on_a_phone_or_a_wide_screen(page, song, width):
    page.browser.size(width, 740)
    assert page.run(FITS) == []
    page.judged(song)
    page.run('for (const each of document.querySelectorAll("details")) each.open = true')
    assert page.run(FITS) == []
    page.click("Master & Polish")
    page.wait(RESULT)
    assert page.run(FITS) == []
    for place in ("history", "stems"):
        page.run(f"location.hash = '#/{place}'")
        page.wait('return document.querySelector("h1") !== null')
        assert page.run(FITS) == []


def test_all_is_done_by_keys_alone(page, song):
    to(page, "Choose songs")
    page.judged(song)
    to(page, "Master & Polish")
    page.browser.press("Enter")
    page.wait(RESULT)
    assert page.run("return document.activeElement.tagName") == "H1"
    to(page, "Play")
    page.browser.press(" ")
    page.wait(f"return ({STATE_OF}).playing")
    page.browser.press("a")
    page.wait(f"return ({STATE_OF}).side === 'before'")
    to(page, "Download")
    to(page, "Share")
    page.browser.press("Enter")
    page.wait('return document.querySelector("dialog[open]") !== null')
    page.browser.press("Escape")
    page.wait('return document.querySelector("dialog") === null')


def to(page, text: str) -> None:
    """Press Tab until something with a text has the focus."""
    for _ in range(80):
        if page.run("return document.activeElement.textContent.trim()").startswith(text):
            return
        page.browser.press("Tab")
    raise AssertionError(f"Tab does not reach {text}")


def test_what_is_deleted_is_gone(page, song):
    job = mastered(page, song)
    page.run("location.hash = '#/history'")
    page.wait('return document.querySelector(".history-list li") !== null')
    page.run(f"""[...document.querySelectorAll(".history-list li")].find((each) =>
        each.querySelector("a").hash.includes("{job["id"]}")).querySelector("button").click()""")
    page.run("""[...document.querySelectorAll("dialog button")].at(0).click()""")
    left = "[...document.querySelectorAll('.history-list a')]"
    page.wait(f"return !{left}.some((each) => each.hash.includes('{job['id']}'))")
    with pytest.raises(urllib.error.HTTPError):
        asked(f"{page.url}v1/jobs/{job['id']}")


def test_a_link_opens_the_report_for_whoever_has_it(page, song):
    mastered(page, song)
    page.wait(
        'return [...document.querySelectorAll(".tools a")].some((each) => each.innerText === "Full report")'
    )
    page.click("Share")
    page.click("Make a link")
    link = page.wait('return document.querySelector("#share-link")?.value')
    assert b"mastering report" in asked(link)


def test_a_song_is_taken_apart_and_its_stems_are_heard_alone(page, song):
    page.run("location.hash = '#/stems'")
    page.wait('return document.querySelector("h1").innerText === "Take a song apart"')
    page.browser.drop(song)
    page.click("Separate the voice")
    page.wait('return document.querySelector(".mixer") !== null')
    assert page.run('return document.querySelectorAll(".strip").length') == 2
    page.run("""document.querySelectorAll(".strip")[0].querySelectorAll("button")[0].click();
        document.querySelectorAll(".strip")[1].querySelectorAll("button")[0].click();
        document.querySelector(".mixer .play").click()""")
    page.wait('return document.querySelector(".mixer").dataset.state === "playing"')
    page.wait('return document.querySelector(".mixer").dataset.state === "idle"')
    assert np.abs(recorded(page, 0.0).sound).max() == 0


def ratings_of(page) -> list[dict]:
    id_ = page.run("return location.hash.split('/').at(-1)")
    return json.loads(asked(f"{page.url.rstrip('/')}/v1/jobs/{id_}/ratings"))["ratings"]


PRESSED = 'return [...document.querySelectorAll(".rating [aria-pressed=true]")].map((each) => each.innerText)'


def test_a_master_is_rated_and_the_rating_taken_back(page, song):
    job = mastered(page, song)
    page.wait('return !document.querySelector(".rating button").disabled')
    assert (
        page.run('return document.querySelector(".rating legend").innerText') == "After against the original"
    )
    page.run('document.querySelector(".rating button").focus()')
    page.click("Better")
    page.wait(f"{PRESSED}.length === 1")
    assert [(row["verdict"], row["than"]) for row in ratings_of(page)] == [("better", "input")]
    assert "Noted" in page.wait('return document.getElementById("said").textContent')
    page.run("""
        const note = document.querySelector(".rating input");
        note.value = "the voice is clear";
        note.dispatchEvent(new Event("input", { bubbles: true }));
        note.dispatchEvent(new Event("change", { bubbles: true }));""")
    page.wait('return document.getElementById("said").textContent === "Noted."')
    assert ratings_of(page)[0]["note"] == "the voice is clear"
    page.click("Worse")
    page.wait(f"{PRESSED}[0] === 'Worse'")
    assert [row["verdict"] for row in ratings_of(page)] == ["worse"]
    # It stands after a reload, and pressed again it is taken back.
    page.run("location.reload()")
    page.wait(f"{PRESSED}[0] === 'Worse'")
    page.click("Worse")
    page.wait(f"{PRESSED}.length === 0")
    assert ratings_of(page) == []
    assert job_of(page)["id"] == job["id"]


def test_two_versions_are_rated_against_each_other(page, song):
    first = mastered(page, song)
    page.run("""
        const goal = document.querySelector("#tweak-goal");
        goal.value = "darker";
        goal.dispatchEvent(new Event("input", { bubbles: true }));""")
    page.wait('return document.querySelector("#tweak-understood").innerText.includes("darker")')
    page.click("Render again")
    page.wait(f'return !location.hash.includes("{first["id"]}")')
    page.wait(RESULT)
    page.wait('return document.querySelectorAll(".rating").length === 2')
    page.run("""
        const rows = [...document.querySelectorAll(".rating")];
        const row = rows.find((each) => each.innerText.includes("against Version"));
        row.querySelectorAll("button")[1].click();""")
    page.wait(f"{PRESSED}.length === 1")
    (row,) = ratings_of(page)
    assert (row["than"], row["verdict"]) == (first["id"], "worse")
    # Seen from the other version it is the better one.
    page.run(f'location.hash = "#/jobs/{first["id"]}"')
    page.wait(f'return location.hash.includes("{first["id"]}") && ({PRESSED[7:]})[0] === "Better"')
