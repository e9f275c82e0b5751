"""A master tells of its repairs: measured rows, the findings that they answer, and a page to hear them."""

import json

import numpy as np
import pytest
import soundfile
from songs import RATE, song_samples, write_song

import mixagent
from mixagent.pipeline.restoration import table
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.table import REPAIRS, Repair
from mixagent.pipeline.types import Audio

QUICK = {"policy": "neutral", "renders": 1, "separator": "none"}


class Halver:
    """Turns the second second down by half; a toy."""

    def __init__(self, applied: bool = True) -> None:
        self.applied = applied

    def find(self, source, analysis, progress):
        return Found("A second is loud.", {"loud_db": 6.0})

    def run(self, source, found, scratch, progress):
        if not self.applied:
            return Restored(source, False, "It came out worse.", found.values)
        samples = source.read(0, source.frames).copy()
        samples[:, RATE : 2 * RATE] *= np.float32(0.5)
        return Restored(Audio(samples, source.rate), True, "A second was turned down.", found.values)


def alone(monkeypatch, *names: str) -> None:
    """Leaves these repairs alone in the table."""
    for name in set(REPAIRS) - set(names):
        monkeypatch.delitem(REPAIRS, name)


@pytest.fixture
def toy(monkeypatch):
    def use(work: Halver) -> None:
        alone(monkeypatch)
        monkeypatch.setitem(REPAIRS, "halve", Repair("halve", "halves a second", lambda: work))

    return use


@pytest.fixture
def clicked(tmp_path, monkeypatch):
    """A song with a click between two hits, and the repair of it alone."""
    alone(monkeypatch, "declick")
    samples = song_samples()
    samples[RATE + 9000] += 0.7
    soundfile.write(tmp_path / "clicked.wav", samples, RATE, "FLOAT")
    return tmp_path / "clicked.wav"


def test_a_defect_that_was_repaired_is_told_as_answered_and_is_gone(clicked, tmp_path, cache_folder):
    made = mixagent.master(clicked, output=tmp_path / "m.wav", report=tmp_path / "m.html", **QUICK)
    report = made.report
    (row,) = report.restoration
    assert (row.name, row.applied, row.amount) == ("declick", True, 1.0)
    assert row.answers == ("glitches",)
    assert row.passage.start_s <= 1.2 <= row.passage.stop_s
    assert 0.0 < row.share < 0.02
    assert "A click was taken out, at 0:01.2" in report.summary.done
    assert "glitches" in [finding.name for finding in report.findings.before if finding.found]
    assert "glitches" not in [finding.name for finding in report.findings.after if finding.found]
    (move,) = [move for move in made.moves if move.what == "repair"]
    assert move.why == "A click stands at 0:01.2"
    page = (tmp_path / "m.html").read_text()
    assert "Repaired: A click was taken out" in page
    assert 'class="hear-repair" type="button" data-side="solo-c"' in page


def test_the_row_says_how_much_of_a_repair_is_in_the_master(toy, song, cache_folder):
    toy(Halver())
    full = mixagent.master(song, dry_run=True, **QUICK).report.restoration[0]
    by_hand = mixagent.master(song, dry_run=True, overrides=["repair.halve=0.5"], **QUICK).report
    weak = mixagent.master(song, dry_run=True, restore=0.5, **QUICK).report.restoration[0]
    assert (full.amount, by_hand.restoration[0].amount, weak.amount) == (1.0, 0.5, 0.5)
    # Half of the change is a quarter of its power.
    assert full.level_db - weak.level_db == pytest.approx(20 * np.log10(2), abs=0.01)
    assert by_hand.restoration[0].level_db == pytest.approx(weak.level_db, abs=0.01)
    assert "A second was turned down, at 50 %" in by_hand.summary.done


def test_a_rejected_repair_is_a_warning_with_its_reason(toy, song, cache_folder):
    toy(Halver(applied=False))
    report = mixagent.master(song, dry_run=True, **QUICK).report
    (row,) = report.restoration
    assert (row.applied, row.done) == (False, "It came out worse.")
    assert "Halve was left out: It came out worse" in report.warnings
    assert not [line for line in report.summary.done if "worse" in line]


def test_a_page_from_memory_holds_the_repairs_too(toy, song, tmp_path, cache_folder):
    toy(Halver())
    made = mixagent.master(song, **QUICK)
    made.save_report(tmp_path / "m.html")
    assert 'id="mp3-solo-c"' in (tmp_path / "m.html").read_text()
    assert set(made.sides.repairs) == {"halve"}
    change = made.sides.repairs["halve"].difference.samples
    expected = -0.5 * song_samples().T[:, RATE : 2 * RATE]
    np.testing.assert_allclose(change[:, RATE : 2 * RATE], expected, atol=1e-7)
    assert not change[:, :RATE].any()


def test_a_preview_and_a_trimmed_song_show_their_own_part(toy, tmp_path, cache_folder):
    toy(Halver())
    silence = np.zeros((RATE, 2), np.float32)
    soundfile.write(tmp_path / "s.wav", np.concatenate([silence, song_samples()]), RATE, "FLOAT")
    made = mixagent.master(tmp_path / "s.wav", trim_silence=True, **QUICK)
    assert made.report.edits.trimmed_start_s > 0.5
    assert made.sides.repairs["halve"].difference.frames == made.sides.before.frames
    previewed = mixagent.master(tmp_path / "s.wav", preview=2, **QUICK)
    assert previewed.sides.repairs["halve"].difference.frames == previewed.sides.before.frames
    previewed.save_report(tmp_path / "p.html")


def test_a_master_with_repairs_is_replayed_to_the_byte(clicked, tmp_path, cache_folder):
    mixagent.master(clicked, output=tmp_path / "m.wav", report=tmp_path / "m.json", **QUICK)
    recorded = json.loads((tmp_path / "m.json").read_text())
    assert recorded["restoration"][0]["stage"] == "declick"
    assert mixagent.replay(tmp_path / "m.json", output=tmp_path / "again.wav").identical


def test_every_repair_answers_findings_that_there_are():
    from mixagent.pipeline.diagnosis.diagnose import DEFECTS
    from mixagent.pipeline.finished.findings import BY_NAME

    for repair in table.REPAIRS.values():
        assert set(repair.answers) <= {*DEFECTS, *BY_NAME}


def test_a_song_without_defects_has_no_rows(tmp_path, cache_folder, monkeypatch):
    alone(monkeypatch, "offset", "declick", "declip")
    report = mixagent.master(write_song(tmp_path / "clean.wav"), dry_run=True, **QUICK).report
    assert report.restoration == ()
