"""Goals and sections on the report's page and in the terminal."""

import io
from dataclasses import replace

import pytest
from reports import make_report, song
from rich.console import Console

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.chain.section_settings import SectionSettings
from mixagent.pipeline.matching.reading import understood
from mixagent.pipeline.measure.song_sections import SongSection
from mixagent.report.model import Report, SectionRow
from mixagent.report.page import render_page
from mixagent.report.terminal import summary_text
from mixagent.session.guidance import Guidance, guidance_sections
from mixagent.session.reporting.sections import section_rows
from mixagent.session.results import Results

FOUND = (
    SongSection(0.0, 2.0, "A", "intro", 0.8, "intro", -20.0),
    SongSection(2.0, 4.0, "B", "", 0.4, "chorus", -12.0),
)
RAISED = SectionSettings(2.0, 4.0, gain_db=2.0, values={"master.eq_air_db": 2.5}, reason="“louder”")


@pytest.fixture(scope="module")
def report() -> Report:
    goal = understood("drums 2 dB up, cassette <b>, purple")
    space = ParameterSpace.for_stems(("drums",))
    _, told = guidance_sections(Guidance(goal=goal), Results({}), space, (RAISED,))
    made = make_report(song(), song(gain=0.05))
    return replace(made, goal=told, sections=section_rows(FOUND, (RAISED,)))


def test_sections_are_rows_with_what_each_has_by_itself(report):
    intro, other = report.sections
    assert (intro.label, intro.differs) == ("intro", ())
    assert (other.label, other.likely) == ("section B", "chorus")
    assert other.differs == ("level +2.0 dB", "air +2.5 dB")
    assert section_rows(FOUND[:1], ()) == ()


def test_the_page_shows_the_goal_piece_by_piece_and_the_sections(report):
    page = render_page(report, song(), song(gain=0.05))
    for shown in ("drums: louder", "2 dB", "era cassette", "Not understood: b, purple.", "perhaps chorus"):
        assert shown in page
    assert "level +2.0 dB; air +2.5 dB" in page
    assert "cassette <b>" not in page, "what a person types stays text"


def test_the_terminal_has_a_line_for_each_section(report):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(summary_text(report))
    said = console.export_text()
    assert "0:02–0:04 section B (B), perhaps chorus, −12.0 LUFS: level +2.0 dB; air +2.5 dB" in said


def test_a_report_with_them_comes_back_from_its_json(report):
    assert Report.from_dict(report.to_dict()).sections == report.sections
    assert Report.from_dict(report.to_dict()).goal == report.goal
    assert isinstance(report.sections[0], SectionRow)
