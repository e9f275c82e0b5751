"""The report tells what became of each stem, measured, and its page plays the stems."""

import base64
import io
import json
import re

import numpy as np
import pytest
import soundfile
from songs import song_samples
from tracks import hats, write_band, write_track

import mixagent
from mixagent.report.model import Report
from tests import browser

QUICK = {"policy": "neutral", "renders": 1}
MIXED = {
    "repair.fill": 0.0,
    "drums.gain_db": -3.0,
    "bass.low_shelf_db": 4.0,
    "piano.width": 0.5,
    "piano.reverb_send_db": -18.0,
    "vocals.gain_db": 2.0,
}


@pytest.fixture
def band(tmp_path, cache_folder):
    write_band(tmp_path / "band")
    write_track(tmp_path / "band" / "05 Vocals.wav", 1e-3 * hats(seed=9))
    write_track(tmp_path / "band" / "06 Guitar.wav", 0.3 * song_samples())
    return tmp_path / "band"


@pytest.fixture
def reported(band, tmp_path):
    """The rows of the strips by stem, and the page."""
    page, file = tmp_path / "r.html", tmp_path / "r.json"
    mixagent.master(stems_in=band, output=tmp_path / "m.wav", report=[page, file], overrides=MIXED, **QUICK)
    report = Report.from_dict(json.loads(file.read_text()))
    return {row.stem: row for row in report.strips}, page, report


def test_what_was_done_is_what_was_measured(reported):
    rows, _, report = reported
    drums = rows["drums"].lufs
    assert drums[1] - drums[0] == pytest.approx(-3, abs=0.05)
    assert rows["drums"].did == ("level lowered by 3.0 dB",)
    gains_db = [band.mean_db for band in rows["drums"].bands]
    assert gains_db == pytest.approx([-3.0] * len(gains_db), abs=0.02)
    assert rows["piano"].width_db == pytest.approx(20 * np.log10(0.5), abs=0.05)
    assert "narrowed much, by 6.0 dB" in rows["piano"].did
    assert "sent to the reverb at −18.0 dB" in rows["piano"].did
    # The shelf lifts nearly all of a bass: its level rises, and what lies over the shelf falls behind.
    level, tone, *_ = rows["bass"].did
    assert level.startswith("level raised")
    assert "kHz lowered" in tone
    assert rows["bass"].why == ("set by hand",)
    (told,) = [line for line in report.summary.done if line.startswith("Stems: ")]
    assert "Drums: level lowered by 3.0 dB" in told
    assert "Low shelf" not in told


def test_what_was_left_alone_says_why(reported):
    rows, page, _ = reported
    assert rows["guitar"].did == ()
    assert rows["guitar"].left == "left alone: nothing was set for it"
    assert rows["vocals"].left.startswith("it is not there")
    assert {row.confidence for row in rows.values()} == {None}
    text = " ".join(page.read_text("utf-8").split())
    assert "The mix, stem by stem" in text
    assert "Left alone: nothing was set for it." in text


def test_the_page_holds_each_stem_before_and_behind_its_strip(reported):
    text = reported[1].read_text("utf-8")
    sounds = dict(re.findall(r'<script type="text/plain" id="stem-([^"]+)">([^<]+)<', text))
    assert set(sounds) >= {"drums-before", "drums-after", "guitar-before", "bass-after"}
    assert "guitar-after" not in sounds
    heard = {name: soundfile.read(io.BytesIO(base64.b64decode(sound))) for name, sound in sounds.items()}
    assert len({(rate, samples.shape) for samples, rate in heard.values()}) == 1
    drums = np.std(heard["drums-after"][0]) / np.std(heard["drums-before"][0])
    assert 20 * np.log10(drums) == pytest.approx(-3, abs=0.2)
    matched = re.search(r'data-stem="drums"[^>]*data-before-db="([^"]+)" data-after-db="([^"]+)"', text)
    assert [float(gain) for gain in matched.groups()] == pytest.approx([-3, 0], abs=0.05)


def test_a_report_that_nobody_asked_for_measures_nothing_and_tells_what_was_set(band, tmp_path):
    made = mixagent.master(stems_in=band, output=tmp_path / "m.wav", overrides=MIXED, **QUICK).report
    rows = {row.stem: row for row in made.strips}
    assert rows["drums"].did == ("Gain −3.0 dB",)
    assert rows["drums"].lufs is None
    assert "strips" not in [stage.name for stage in made.stages]


def test_the_stems_of_a_split_song_have_a_confidence_and_no_strips_no_rows(song, cache_folder):
    made = mixagent.master(song, overrides={"vocals.gain_db": 3.0, "pipeline.repairs": False}, **QUICK)
    rows = {row.stem: row for row in made.report.strips}
    assert set(rows) == {"vocals", "accompaniment"}
    assert all(0 <= row.confidence <= 1 for row in rows.values())
    assert rows["vocals"].lufs[1] - rows["vocals"].lufs[0] == pytest.approx(3, abs=0.05)
    without = mixagent.master(song, overrides={"pipeline.repairs": False}, **QUICK)
    assert without.report.strips == ()


def test_a_part_of_a_song_plays_its_stems_too(band, tmp_path):
    page = tmp_path / "r.html"
    options = {"preview": 2, "overrides": MIXED, "report": page, **QUICK}
    made = mixagent.master(stems_in=band, output=tmp_path / "m.wav", **options)
    assert made.report.strips[0].lufs is not None
    spans = re.search(r'id="stems" data-from="([^"]+)" data-to="([^"]+)"', page.read_text("utf-8"))
    assert [float(second) for second in spans.groups()] == pytest.approx([0, 2], abs=0.01)


STATE = 'return document.getElementById("player").state()'
CLICK = "document.querySelector('{}').click()"


@pytest.mark.slow
@pytest.mark.skipif(not browser.AVAILABLE, reason="chromium and chromedriver are not installed")
def test_solo_and_mute_play_stems_in_sync_and_equally_loud_in_a_browser(reported, tmp_path):
    with browser.opened(reported[1], tmp_path / "profile") as run:

        def heard(wanted):
            """The gains of what is heard, once it is what is wanted."""
            read = lambda: {n: g for n, g in (run(STATE)["gains"] or {}).items() if g > 1e-3}  # noqa: E731
            return browser.until(read, lambda gains: wanted <= set(gains) and len(gains) < 8)

        run(CLICK.format("#loop-button"))
        run(CLICK.format("#play"))
        assert set(heard({"after"})) == {"after"}
        run(CLICK.format("[data-stem=drums] .solo"))
        after = heard({"stem-drums-after"})
        run(CLICK.format("input[value=before]"))
        before = browser.until(lambda: heard({"stem-drums-before"}), lambda gains: len(gains) == 1)
        run(CLICK.format("[data-stem=drums] .solo"))
        run(CLICK.format("[data-stem=piano] .mute"))
        rest = heard({"stem-drums-before", "stem-bass-before", "stem-guitar-before"})
        lengths = run(STATE)["lengths"]
        run(CLICK.format("#whole-mix"))
        assert set(heard({"before"})) == {"before"}
    assert set(after) == {"stem-drums-after"}
    assert set(before) == {"stem-drums-before"}
    assert "stem-piano-before" not in rest
    assert len(set(lengths.values())) == 1
    # The stem is matched to itself, both mixes to each other: never louder than the files are.
    assert max(*after.values(), *before.values(), *rest.values()) <= 1.0
