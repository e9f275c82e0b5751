"""The page: self-contained, escaped, complete, and a player that switches in sync."""

import base64
import html
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from reports import make_report, measures_of, song
from rich.console import Console

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.errors import OutputError
from mixagent.pipeline.finished.measures import DEEPEST_WOBBLE_DB, SongMeasures
from mixagent.pipeline.measure.translation import translate
from mixagent.pipeline.types import Audio
from mixagent.report.charts import Scale
from mixagent.report.findings import finding_rows, judged
from mixagent.report.listening import LONGEST_S, choose_excerpt, listening_rate, mp3, peaks
from mixagent.report.model import (
    CheckedCodec,
    Codecs,
    FindingRow,
    Report,
    StageRow,
    TranslationRow,
)
from mixagent.report.page import write_page
from mixagent.report.player import match_db
from mixagent.report.serial import from_json
from mixagent.report.terminal import summary_text
from mixagent.report.words import clock, number, parameter_label, parameter_value
from mixagent.session.reporting.build import afterwards
from mixagent.session.reporting.delivery import platform_rows
from tests import browser

RATE = 44_100


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: dict[str, str] = {}
        self._id = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id", "") if tag == "script" else ""

    def handle_data(self, data):
        self.texts[self._id] = self.texts.get(self._id, "") + data


@pytest.fixture
def written(tmp_path):
    def write(before, after, **kwargs):
        path = tmp_path / "report.html"
        report = make_report(before, after, **kwargs)
        write_page(report, before, after, path)
        reader = _Reader()
        reader.feed(path.read_text("utf-8"))
        return path, reader, report

    return write


def test_the_page_tells_what_platforms_codecs_and_a_phone_make_of_it(tmp_path):
    source, path = song(), tmp_path / "r.html"
    report = make_report(source, source)
    check = CheckedCodec(codec="mp3", kbps=320, true_peak_dbtp=-0.8, integrated_lufs=-14.0, over_db=0.2)
    bare = np.stack([tone := 0.2 * np.sin(2 * np.pi * 70 * np.arange(3 * RATE) / RATE), tone])
    played = from_json(
        tuple[TranslationRow, ...],
        [row.to_json() for row in translate(Audio(bare.astype(np.float32), RATE))],
    )
    report = replace(
        report,
        platforms=platform_rows(-12.0, -1.0),
        codecs=Codecs(held=(), absent=(), checks=(check,), renders=()),
        translation=played,
        translation_after=played,
        decision=replace(report.decision, strengths=Strengths(eq=0.5)),
    )
    write_page(report, source, source, path)
    text = " ".join(path.read_text("utf-8").split())
    assert "TIDAL" in text
    assert re.search(r"<td[^>]*>−14.0</td><td[^>]*>−2.0</td>", text)
    assert "0.20 dB over the ceiling" in text
    lost_lu = number(played[1].loudness_lost_lu)
    assert f"<strong>on a phone {lost_lu} LU of the loudness are lost" in text
    assert "; the bass line is gone: " in text
    assert re.search(rf"<td[^>]*>{lost_lu}</td><td[^>]*>{lost_lu}</td>", text)
    assert "(eq 50 %)" in text
    printed = Console(width=220, record=True)
    printed.print(summary_text(report))
    told = printed.export_text()
    assert "turned down" in told
    assert f"on a phone {lost_lu} LU of the loudness are lost" in told
    assert "0.20 dB over the ceiling" in told
    assert "Strengths: eq 50 %" in told


def test_the_page_needs_no_other_file_and_no_network(written):
    path, reader, _ = written(song(), song(gain=0.2))
    for _, attributes in reader.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert not re.search(r"https?://|@import|url\(", path.read_text("utf-8"))


def test_hostile_names_stay_text(written):
    hostile = "<script>alert(1)<\\script><img src=x onerror=alert(1)>\"'&.wav"
    path, reader, report = written(song(), song(), name=hostile)
    assert "<script>alert" not in path.read_text("utf-8")
    sources = [attributes["src"] for tag, attributes in reader.tags if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert json.loads(reader.texts["report"]) == report.to_dict()


def test_a_closing_tag_in_the_data_does_not_end_the_script(written):
    _, reader, report = written(song(), song(), name="a</script><b>.wav")
    assert json.loads(reader.texts["report"])["input"]["path"] == report.input.path


def test_every_parameter_but_neutral_graphic_bands_stands_on_the_page_with_unit_and_reason(written):
    path, _, report = written(song(), song())
    text = path.read_text("utf-8")
    for row in report.decision.parameters:
        if row.where == "graphic":
            continue
        assert row.purpose.replace("'", "&#39;") in text
    assert "320 Hz" in text
    assert "mud 0.60" in text


def test_both_sides_are_embedded_at_one_rate_and_length(written):
    _, reader, _ = written(song(rate=96_000), song(rate=48_000))
    decoded = [
        soundfile.read(io.BytesIO(base64.b64decode(reader.texts[f"mp3-{side}"])))
        for side in ("before", "after")
    ]
    assert [rate for _, rate in decoded] == [48_000, 48_000]
    assert abs(len(decoded[0][0]) - len(decoded[1][0])) <= 1


@pytest.mark.parametrize(
    ("before", "after"),
    [(song(gain=0.0), song(gain=0.0)), (song(0.05), song(0.05)), (song(channels=1), song(channels=1))],
    ids=["silence", "0.05 s", "mono"],
)
def test_odd_songs_get_a_page(written, before, after):
    path, reader, _ = written(before, after)
    assert path.stat().st_size > 10_000
    assert not re.search(r"\b(nan|inf)\b", reader.texts[""], re.IGNORECASE)
    assert ("Mono: the file has one channel." in reader.texts[""]) == (before.channels == 1)


def test_a_page_that_cannot_be_written_is_an_output_error(tmp_path):
    before = song(0.5)
    with pytest.raises(OutputError, match=r"cannot write .*report\.html"):
        write_page(make_report(before, before), before, before, tmp_path / "missing" / "report.html")


def test_matching_only_turns_down():
    assert match_db({"a": -20.0, "b": -14.0}) == {"a": 0.0, "b": -6.0}
    assert match_db({"a": -9.0, "b": -14.0, "c": -12.0}) == {"a": -5.0, "b": 0.0, "c": -2.0}
    assert match_db({"a": None, "b": -14.0}) == {"a": 0.0, "b": 0.0}


def test_a_long_song_is_cut_to_its_most_energetic_part():
    lufs = [-40.0] * 600 + [-10.0] * 400 + [-40.0] * 200
    excerpt = choose_excerpt(1200.0, lufs)
    assert not excerpt.whole
    assert excerpt.stop_s - excerpt.start_s == LONGEST_S
    assert 600 <= excerpt.start_s <= 640
    assert choose_excerpt(LONGEST_S, lufs).whole


def test_six_minutes_of_both_sides_stay_under_twenty_megabytes():
    minute = choose_excerpt(20.0, [])
    size = len(mp3(song(20.0), minute, RATE)) * 2 * LONGEST_S / 20.0 * 4 / 3
    assert size < 20e6


@pytest.mark.parametrize(
    ("rate", "listened"), [(44_100, 44_100), (96_000, 48_000), (88_200, 44_100), (8000, 48_000)]
)
def test_rates_that_browsers_decode_are_used(rate, listened):
    assert listening_rate(rate) == listened


def test_peaks_hold_the_extremes():
    samples = np.zeros((2, 1000), np.float32)
    samples[0, 10], samples[1, 990] = 0.5, -0.75
    low, high = peaks(Audio(samples, 1000), choose_excerpt(1.0, []), 10)
    assert high[0] == np.float32(0.5)
    assert low[-1] == np.float32(-0.75)
    assert not low[1:9].any()


def test_numbers_are_written_for_people():
    assert number(-14.04) == "−14.0"
    assert number(-0.04, sign=True) == "0.0"
    assert number(None) == "–"
    assert parameter_value(3500.0, "Hz") == "3.50 kHz"
    assert parameter_label("master.eq_low_mid_db") == "EQ low mid"
    assert clock(75.4) == "1:15"
    assert Scale(10.0, 1000.0, log=True).share(100.0) == pytest.approx(0.5)


def test_the_summary_fits_a_small_terminal():
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(summary_text(make_report(song(), song(gain=0.2))))
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    assert "Integrated loudness" in console.file.getvalue()


STAGES = (
    StageRow(name="decode", status="cached", seconds=0.1, detail=None),
    StageRow(name="analyse", status="ran", seconds=2.0, detail=None, peak_bytes=247_000_000),
    StageRow(name="offset", status="skipped", seconds=0.02, detail=None, peak_bytes=250_000_000),
    StageRow(name="declip", status="skipped", seconds=0.61, detail=None, peak_bytes=251_000_000),
    StageRow(
        name="separate",
        status="ran",
        seconds=9.04,
        detail=None,
        peak_bytes=1_420_000_000,
        device_peak_bytes=2_130_000_000,
        beside=("listen",),
    ),
)


def test_stages_are_told_in_their_order_with_the_memory_of_each(written):
    path, _, report = written(song(), song())
    report = replace(report, stages=STAGES)
    write_page(report, song(), song(), path)
    page = " ".join(path.read_text("utf-8").split())
    assert re.search(r"1.42 GB and 2.13 GB on the GPU<span[^>]*>with listen</span>", page)
    assert ">247 MB<" in page
    printed = Console(width=300, record=True)
    printed.print(summary_text(report))
    told = printed.export_text()
    assert "most memory (* with others side by side): analyse 2.0 s, 247 MB → declip (nothing to do)" in told
    assert "0.6 s, 251 MB → separate 9.0 s, 1.42 GB* and 2.13 GB on the GPU; 1 more" in told
    assert Report.from_dict(report.to_dict()).stages == STAGES


def test_the_summary_fills_no_line_of_a_pipe_with_blanks():
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(summary_text(make_report(song(), song(gain=0.2))))
    assert max(map(len, console.file.getvalue().splitlines())) < 160


CUT = """
const document = window.frames[0].document, root = document.documentElement;
const shown = (each) => each.getBoundingClientRect().width > 0 && !each.closest(".scroll, .sr");
const cut = (each) => {
  const box = each.getBoundingClientRect();
  const hidden = window.frames[0].getComputedStyle(each).overflowX !== "visible";
  const inside = hidden && each.scrollWidth > each.clientWidth + 1;
  return inside || box.right > root.clientWidth + 1 || box.left < -1;
};
const texts = "h1, h2, h3, p, li, dt, dd, th, td, figcaption, summary, .key, .values, .name, .tick-y";
const found = [...document.querySelectorAll(texts)].filter(shown).filter(cut);
const overlapping = [...document.querySelectorAll(".plot, .picture")].flatMap((plot) => {
  const ticks = [...plot.querySelectorAll(".tick-x")].filter(shown);
  const boxes = ticks.map((tick) => tick.getBoundingClientRect());
  boxes.sort((a, b) => a.left - b.left);
  return boxes.slice(1).filter((box, k) => box.left < boxes[k].right).map(() => "labels overlap");
});
const wide = root.scrollWidth > root.clientWidth ? ["the page"] : [];
return [...wide, ...found.map((each) => each.textContent.slice(0, 60)), ...overlapping];
"""


@pytest.mark.slow
@pytest.mark.skipif(not browser.AVAILABLE, reason="chromium and chromedriver are not installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_cut_and_no_labels_overlap_on_a_phone_or_a_desk(written, tmp_path, width):
    path, _, _ = written(song(30.0), song(30.0, gain=0.2), name="a_song_with_a_rather_long_name.wav")
    # No window is as narrow as a phone, so the page stands in a frame of that width.
    frame, text = tmp_path / "frame.html", html.escape(path.read_text("utf-8"))
    frame.write_text(f'<iframe srcdoc="{text}" style="border:0;width:{width}px;height:4000px"></iframe>')
    with browser.opened(frame, tmp_path / "profile") as run:
        ready = "return window.frames[0].document.readyState"
        assert browser.until(lambda: run(ready), lambda state: state == "complete") == "complete"
        assert run(CUT) == []


STATE = 'return document.getElementById("player").state()'
PRESS_A = 'document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "a", bubbles: true}))'


@pytest.mark.slow
@pytest.mark.skipif(not browser.AVAILABLE, reason="chromium and chromedriver are not installed")
def test_the_player_plays_and_switches_at_once_in_a_browser(written, tmp_path):
    path, _, _ = written(song(), song(gain=0.2))
    with browser.opened(path, tmp_path / "profile") as run:
        run('document.getElementById("play").click()')
        first = browser.until(lambda: run(STATE), lambda state: state["playing"] and state["positionS"] > 0)
        run(PRESS_A)
        switched = lambda state: state["gains"]["after"] < 1e-3 and state["gains"]["before"] > 0.999  # noqa: E731
        second = browser.until(lambda: run(STATE), switched)
    assert first["playing"]
    assert first["lengths"]["before"] == first["lengths"]["after"]
    assert first["gains"]["before"] == 0
    assert first["gains"]["after"] == pytest.approx(0.5, rel=0.01)
    assert second["positionS"] > first["positionS"]
    assert second["gains"] == pytest.approx({"before": 1.0, "after": 0.0}, abs=1e-3)


def test_a_swing_at_the_end_of_its_scale_is_told_as_the_least_that_it_can_be():
    was = measures_of(song()).to_json()
    told = {}
    for wobble in (24.0, DEEPEST_WOBBLE_DB):
        values = {**was["values"], "sub_wobble": wobble, "bass_wobble": wobble}
        rows = finding_rows(judged(SongMeasures.from_json({**was, "values": values})), [])
        told[wobble] = next(row.sentence for row in rows if row.name == "wobbling lows")
    assert "at least" not in told[24.0]
    assert "swings at least" in told[DEEPEST_WOBBLE_DB]


def test_what_became_worse_is_not_told_as_left_alone():
    row = FindingRow(
        name="hole",
        kind="fault",
        severity=0.7,
        found=True,
        place="7–11 kHz",
        apart=3.0,
        unit="dB",
        sentence="A band is missing",
        pathology="holes",
        unanswered=None,
    )
    assert afterwards([row], [replace(row, severity=0.8)], []) == (
        ["A band is missing; more than before"],
        [],
    )
    still = "A band is missing; found, not answered"
    assert afterwards([row], [row], []) == ([still], [])
    why = "nothing fills it"
    assert afterwards([row], [replace(row, unanswered=why)], []) == ([f"{still}: {why}"], [])
