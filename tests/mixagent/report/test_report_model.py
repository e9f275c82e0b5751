"""The typed report: JSON and back, its order, and errors that name the field."""

import json
from dataclasses import dataclass, replace

import pytest
from reports import make_report, song

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.errors import UsageError
from mixagent.report.model import (
    FinaliserSection,
    GivenReference,
    RecordedMaster,
    RecordedTrack,
    ReferenceSection,
    ReplaySection,
    Report,
)
from mixagent.report.serial import from_json, to_json


@pytest.fixture(scope="module")
def report() -> Report:
    given = GivenReference(
        name="a.wav", weight=1.0, dimensions=("tone", "loudness"), songs=("a.wav",), integrated_lufs=-11.5
    )
    section = ReferenceSection(method="profile", given=(given,), rows=())
    return replace(make_report(song(), song(gain=0.2)), reference=section)


@pytest.fixture
def data(report):
    return json.loads(json.dumps(report.to_dict(), allow_nan=False))


def change(data, *keys, value):
    """The data with one value changed."""
    inside = data
    for key in keys[:-1]:
        inside = inside[key]
    inside[keys[-1]] = value
    return data


def test_a_report_that_was_written_reads_back_to_the_same_json(data):
    assert json.dumps(Report.from_dict(data).to_dict()) == json.dumps(data)


def test_sections_read_back_equal(report, data):
    read = Report.from_dict(data)
    assert (read.before, read.after) == (report.before, report.after)
    assert (read.decision, read.findings, read.actions) == (report.decision, report.findings, report.actions)
    assert read.reference == report.reference


def test_a_silent_song_has_no_loudness_in_json_and_reads_back_as_silence():
    data = make_report(song(gain=0.0), song(gain=0.0)).to_dict()
    assert data["before"]["integrated_lufs"] is None
    assert data["judged"] is None
    assert Report.from_dict(data).before.integrated_lufs == float("-inf")


def test_a_key_that_python_reserves_is_written_by_its_own_name(data):
    assert data["reference"]["given"][0]["for"] == ["tone", "loudness"]


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("target", "ceiling_dbtp"), "loud", "target.ceiling_dbtp is 'loud'"),
        (("met",), 1, "met is 1"),
        (("warnings",), "one", "warnings is 'one'"),
        (("warnings",), [3], "warnings[0] is 3"),
        (("before",), {}, "before: KeyError of 'rate'"),
        (("output", "bit_depth"), "12", "output.bit_depth is '12'"),
        (("finaliser", "renders", 0, "gain_db"), [], "finaliser.renders[0].gain_db is []"),
        (("decision", "parameters", 0), None, "decision.parameters[0] is None"),
        (("decision", "strengths"), {"eq": True}, "decision.strengths.eq is True"),
        (("replay", "settings"), {"master.width": None}, "replay.settings.master.width is None"),
        (("replay", "pipeline"), {"separator": []}, "replay.pipeline.separator is []"),
        (("replay", "strengths"), {"volume": 1.0}, "replay.strengths.volume is not known"),
    ],
)
def test_an_error_names_the_field_and_what_stands_there(data, keys, value, named):
    with pytest.raises(ValueError, match=r" (is|of) ") as caught:
        Report.from_dict(change(data, *keys, value=value))
    assert str(caught.value) == named


def test_a_missing_field_is_named(data):
    del data["replay"]["amount"]
    with pytest.raises(ValueError, match=r"^replay\.amount is missing$"):
        Report.from_dict(data)


def test_what_a_later_version_adds_to_a_section_is_passed_over(data):
    assert Report.from_dict(change(data, "summary", "poem", value="x")).summary.new == ()


def test_a_report_of_another_schema_is_refused(data):
    with pytest.raises(ValueError, match=r"mixagent\.report/2"):
        Report.from_dict(change(data, "schema", value="mixagent.report/1"))


def test_a_replay_needs_no_more_than_the_first_schema_has():
    data = {
        "schema": "mixagent.report/1",
        "version": "0.0.1",
        "input": {"path": "song.wav", "sha256": "0" * 64},
        "output": {"path": "m.wav", "bit_depth": "24", "sha256": "1" * 64},
        "target": {"name": "t", "integrated_lufs": -14, "ceiling_dbtp": -1, "max_reduction_db": 9},
        "decision": {"policy": "rules"},
        "findings": [{"of": "another shape"}],
        "replay": {
            "settings": {},
            "reasons": {},
            "pipeline": {"separator": "none"},
            "amount": 1,
            "sample_rate": None,
            "seed": 0,
        },
    }
    read = RecordedMaster.from_dict(data)
    assert [row.path for row in read.files] == ["m.wav"]
    assert (read.replay.strengths, read.replay.match, read.stems_in) == (Strengths(), None, None)
    assert type(read.replay.amount) is float


def test_strengths_out_of_range_are_refused(data):
    with pytest.raises(UsageError, match="eq"):
        Report.from_dict(change(data, "replay", "strengths", value={"eq": 2.0}))


@pytest.mark.parametrize("kind", [FinaliserSection, ReplaySection, RecordedTrack])
def test_a_section_that_is_no_object_is_refused(kind):
    with pytest.raises(ValueError, match=r"^at is \[\]$"):
        from_json(kind, [], "at")


def test_a_pair_has_two_values():
    with pytest.raises(ValueError, match=r"^span is \[1\]$"):
        from_json(tuple[float, float], [1], "span")
    assert from_json(tuple[float, float], [1, 2.5]) == (1.0, 2.5)


def test_what_is_no_json_is_no_report():
    @dataclass(frozen=True)
    class Odd:
        value: object

    with pytest.raises(TypeError, match="set is no JSON"):
        to_json(Odd({1}))
