"""Repairs in a report: their words, their picture, and what each changed alone in the player."""

import base64
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from reports import RATE, make_report, song

from mixagent.pipeline.measure.changes import BandGain, measure_change
from mixagent.pipeline.types import Audio
from mixagent.report.findings import found_rows
from mixagent.report.listening import LONGEST_S
from mixagent.report.model import FindingRow, Findings, Passage, RepairRow, Report
from mixagent.report.page import write_page
from mixagent.report.player import longest_s
from mixagent.report.repair_page import HEARD_LUFS, RAISED_TO_LUFS, solos
from mixagent.report.repairs import done_words, measured_words, rejected_words, repair_actions, repair_title
from mixagent.report.sounds import RepairSound
from mixagent.report.terminal import summary_text
from mixagent.session.reporting.build import afterwards
from tests import browser


def row(**given) -> RepairRow:
    return replace(
        RepairRow(
            name="declick",
            stem=None,
            stage="declick",
            applied=True,
            found="3 clicks stand at 0:12.3 and later.",
            done="3 clicks were taken out, at 0:12.3 and later.",
            amount=1.0,
            seconds=0.41,
            cached=False,
            answers=("glitches",),
            share=0.002,
            level_db=-41.3,
            peak_dbfs=-6.0,
            bands=(),
            passage=Passage(start_s=1.0, stop_s=3.0),
            values={"clicks": 3.0},
        ),
        **given,
    )


def band(hz: float, mean_db: float, share: float = 1.0) -> BandGain:
    return BandGain(hz, mean_db, mean_db, hz, share)


def defect(name: str, sentence: str) -> FindingRow:
    return FindingRow(
        name=name,
        kind="defect",
        severity=0.9,
        found=True,
        place="throughout",
        apart=None,
        unit="",
        sentence=sentence,
        pathology=None,
        unanswered=None,
    )


# --- in words ----------------------------------------------------------------------------------------


def test_a_repair_is_told_as_a_musician_would_say_it():
    assert done_words(row()) == "3 clicks were taken out, at 0:12.3 and later"
    assert done_words(row(amount=0.5)).endswith("at 0:12.3 and later, at 50 %")
    assert repair_title(row()) == "Declick"
    assert repair_title(row(name="denoise", stem="vocals")) == "Denoise, vocals"


def test_what_was_measured_is_told_by_band_time_and_level():
    assert measured_words(row(), 180.0) == ["0.36 s of the song changed, by up to −6.0 dBFS"]
    unheard = band(1000.0, 0.3)
    bands = (
        band(100.0, 0.6),
        unheard,
        band(8000.0, 6.0, 0.5),
        band(10_000.0, 8.0, 0.5),
        band(12_500.0, -2.0),
    )
    told = measured_words(row(bands=bands, share=0.6, stem="vocals"), 180.0)
    assert told == [
        "90–110 Hz raised a little, by 0.6 dB, most 0.6 dB at 100 Hz",
        "7.1–11 kHz raised much, by 7.0 dB in 50 % of the time, most 8.0 dB at 10 kHz",
        "11–14 kHz lowered by 2.0 dB, most 2.0 dB at 12.5 kHz",
        "60 % of the time changed",
        "the difference lies 41 dB under the stem",
    ]
    assert measured_words(row(applied=False), 180.0) == []


def test_what_was_rejected_is_no_action_but_a_note():
    rejected = row(applied=False, done="It came out worse.", answers=())
    assert repair_actions([rejected], 60.0) == []
    assert rejected_words([rejected, row()]) == ["Declick was left out: It came out worse"]
    (action,) = repair_actions([row(bands=(band(8000.0, 2.0),))], 60.0)
    assert (action.what, action.answers) == ("repair", ("glitches",))
    assert (action.change, action.unit) == (2.0, "dB")


def test_a_finding_that_a_repair_answers_is_told_as_answered():
    clicks = defect("glitches", "Clicks: 3")
    acted = repair_actions([row()], 60.0)
    assert found_rows([clicks]) == [clicks]
    assert afterwards([clicks], [], acted) == ([], [])
    left, _ = afterwards([clicks], [replace(clicks, sentence="Clicks: 1")], acted)
    assert left == ["Clicks: 1"]
    left, _ = afterwards([clicks], [replace(clicks, sentence="Clicks: 1")], [])
    assert left == ["Clicks: 1; found, not answered"]


# --- alone in the player -----------------------------------------------------------------------------


def sound(difference: np.ndarray) -> RepairSound:
    before = song()
    after = Audio(before.samples + difference.astype(np.float32), RATE)
    return RepairSound(before, after, Audio(difference.astype(np.float32), RATE))


def tone(level_db: float, hz: float = 1000.0) -> np.ndarray:
    wave = np.sin(2 * np.pi * hz * np.arange(4 * RATE) / RATE)
    return np.stack([wave, wave]) * 10 ** (level_db / 20)


@pytest.mark.parametrize(
    ("level_db", "raised_db"), [(-20.0, 0), (-39.0, 0), (-50.0, 20), (-45.0, 15)], ids=str
)
def test_a_quiet_difference_is_raised_by_what_its_label_says(level_db, raised_db):
    """A tone of 1 kHz in both channels at -X dBFS is of about -X LUFS."""
    wave = tone(level_db)
    (solo,) = solos([row(peak_dbfs=level_db)], {"declick": sound(wave)}).values()
    assert solo.raised_db == pytest.approx(raised_db, abs=1)
    assert solo.side.label == ("Declick" if raised_db == 0 else f"Declick +{solo.raised_db} dB")
    gain = 10 ** (solo.raised_db / 20)
    np.testing.assert_allclose(solo.side.source.read(0, 100), gain * wave[:, :100], rtol=1e-5, atol=1e-9)
    assert raised_db == 0 or level_db + solo.raised_db <= RAISED_TO_LUFS + 0.1


def test_a_raised_difference_never_clips():
    click = np.zeros((2, 4 * RATE))
    click[:, RATE] = 0.25
    (solo,) = solos([row(peak_dbfs=20 * math.log10(0.25))], {"declick": sound(click)}).values()
    assert 0 < solo.raised_db <= 11
    assert np.abs(solo.side.source.read(0, 4 * RATE)).max() <= 10 ** (-1 / 20) + 1e-6


def test_what_cannot_be_heard_has_no_solo():
    offset = np.full((2, 4 * RATE), 0.02)
    assert solos([row(peak_dbfs=-34.0)], {"declick": sound(offset)}) == {}
    assert solos([row(peak_dbfs=HEARD_LUFS - 10)], {"declick": sound(tone(HEARD_LUFS - 10))}) == {}


def test_solos_keep_the_page_as_large_as_it_was():
    assert longest_s(0) == LONGEST_S
    for count in range(1, 9):
        assert (2 * 160 + count * 96) * longest_s(count) <= 2 * 160 * LONGEST_S


# --- on the page -------------------------------------------------------------------------------------


def repaired_report() -> tuple[Report, Audio, Audio, dict[str, RepairSound]]:
    before = song(20.0)
    fixed = before.samples.copy()
    fixed[:, 5 * RATE : 9 * RATE] *= 0.25
    after = Audio(2 * fixed, RATE)
    report = make_report(before, after)
    repaired = Audio(fixed, RATE)
    change = measure_change(before, repaired)
    told = row(
        name="declip",
        stage="declip",
        share=change.share,
        level_db=change.level_db,
        peak_dbfs=change.peak_dbfs,
        bands=change.bands,
        passage=Passage(start_s=change.passage_s[0], stop_s=change.passage_s[1]),
        answers=("clipping",),
    )
    start, stop = (round(s * RATE) for s in change.passage_s)
    parts = [Audio(np.ascontiguousarray(each.samples[:, start:stop]), RATE) for each in (before, repaired)]
    sounds = {"declip": RepairSound(*parts, Audio(fixed - before.samples, RATE))}
    rejected = row(name="denoise", stem="vocals", stage="denoise vocals", applied=False, done="Worse.")
    findings = Findings(before=(defect("clipping", "Flat tops"), *report.findings.before), after=())
    return replace(report, restoration=(told, rejected), findings=findings), before, after, sounds


def test_the_page_shows_each_repair_with_its_picture_and_its_solo(tmp_path):
    report, before, after, sounds = repaired_report()
    path = tmp_path / "report.html"
    write_page(report, before, after, path, sounds)
    text = path.read_text("utf-8")
    section = text[text.index('id="repairs"') : text.index('id="tone-title"')]
    assert section.count("data:image/png;base64,") == 3
    assert "<h3>Declip</h3>" in section
    assert "<h3>Denoise, vocals</h3>" in section
    assert "not used" in section
    assert 'data-side="solo-c" data-from="' in section
    assert f"Repaired: {done_words(report.restoration[0])}." in text
    lengths = []
    for side in ("before", "after", "solo-c"):
        (sent,) = re.findall(rf'id="mp3-{side}">([^<]*)<', text)
        decoded, rate = soundfile.read(io.BytesIO(base64.b64decode(sent)))
        lengths.append((len(decoded), rate))
    assert len(set(lengths)) == 1
    assert Report.from_dict(report.to_dict()).restoration == report.restoration


def test_a_report_without_repairs_has_no_section_of_them(tmp_path):
    write_page(make_report(song(), song()), song(), song(), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert 'id="repairs"' not in text
    assert 'data-raised-db="' not in text


def test_the_terminal_has_a_line_for_each_repair():
    from rich.console import Console

    report, *_ = repaired_report()
    printed = Console(width=200, record=True, file=io.StringIO())
    printed.print(summary_text(report))
    text = printed.export_text()
    lines = [line for line in text.splitlines() if line.strip().startswith("· Declip: ")]
    assert len(lines) == 1
    assert "0.4 s of work" in text
    assert "Denoise" not in text


STATE = 'return document.getElementById("player").state()'


@pytest.mark.slow
@pytest.mark.skipif(not browser.AVAILABLE, reason="chromium and chromedriver are not installed")
def test_a_repair_is_heard_alone_at_the_level_of_the_song_and_the_sides_stay_matched(tmp_path):
    report, before, after, sounds = repaired_report()
    path = tmp_path / "report.html"
    write_page(report, before, after, path, sounds)
    match = float(report.before.integrated_lufs - report.after.integrated_lufs)
    with browser.opened(path, tmp_path / "profile") as run:
        run('document.querySelector(".hear-repair").click()')
        alone = browser.until(lambda: run(STATE), lambda state: state["playing"] and state["positionS"] > 0)
        words = run('return document.getElementById("gains").textContent')
        run('document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "b", bubbles: true}))')
        switched = lambda state: state["gains"]["solo-c"] < 1e-3 and state["gains"]["after"] > 0.1  # noqa: E731
        second = browser.until(lambda: run(STATE), switched)
    passage = report.restoration[0].passage
    assert alone["side"] == "solo-c"
    assert alone["loop"] == pytest.approx([passage.start_s, passage.stop_s], abs=0.01)
    assert alone["gains"] == pytest.approx(
        {"before": 0.0, "after": 0.0, "solo-c": min(1.0, 10 ** (-match / 20))}
    )
    assert len(set(alone["lengths"].values())) == 1
    assert words == "Only what was taken out or added, as loud as it is in Before."
    assert second["gains"]["after"] == pytest.approx(min(1.0, 10 ** (match / 20)), rel=0.02)
