"""What strangers wrote gives a value within bounds, or none; never a traceback, never all the memory."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixagent.pipeline.untrusted import (
    MOST_TRACKS,
    decimal_number,
    file_name,
    leading_number,
    one_line,
    whole_number,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        (" 3/12", 3),
        ("007", 7),
        ("99999999999", None),
        ("9" * 5000, None),
        ("-1", None),
        ("", None),
        ("one", None),
        ("²", None),
        ("٣/١٢", 3),
        (str(MOST_TRACKS), MOST_TRACKS),
        (str(MOST_TRACKS + 1), None),
    ],
)
def test_the_number_that_a_tag_begins_with_is_read_up_to_a_bound(text, number):
    assert leading_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5),
        ("-2", -2.0),
        ("1e3", 1000.0),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("1_000", None),
        ("9" * 400, None),
        ("0x10", None),
        ("", None),
    ],
)
def test_a_decimal_number_is_finite_and_within_its_bounds(text, number):
    assert decimal_number(text, -10, 1e6) == number


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_is_read_without_an_error(text):
    for value in (whole_number(text, 0, 99), leading_number(text), decimal_number(text, 0, 99)):
        assert value is None or (math.isfinite(value) and 0 <= value <= MOST_TRACKS)
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line.encode().decode() == line


def test_a_line_keeps_its_words_and_loses_what_breaks_it():
    assert one_line("a\nb\u2028c\x85d\x0ce\x1b[2Jf\0g\ud800h Üñ歌") == "a b c d e [2Jf g�h Üñ歌"


@pytest.mark.parametrize("name", ["", "a\0b.wav", "a\ud800.wav"])
def test_what_no_file_can_be_called_is_refused(name):
    with pytest.raises(ValueError):
        file_name(name)


def test_a_name_that_is_no_text_is_a_name():
    assert file_name("caf\udce9.wav") == "caf\udce9.wav"
