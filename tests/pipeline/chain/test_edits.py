"""Fades and trims: exact at their ends, untouched between, and refused where they do not fit."""

import numpy as np
import pytest

from mixagent.pipeline.chain.edits import Edits, Faded, Section, Span, edited, section, span_of
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.types import Audio

RATE = 1000


def tone(seconds: float, before_s: float = 0.0, after_s: float = 0.0, level: float = 0.5) -> Audio:
    sounding = np.full((2, round(seconds * RATE)), level, np.float32)
    sounding[:, ::2] *= -1
    silence = [np.zeros((2, round(s * RATE)), np.float32) for s in (before_s, after_s)]
    return Audio(np.concatenate([silence[0], sounding, silence[1]], axis=1), RATE)


def test_a_fade_follows_half_a_cosine_and_leaves_the_middle_bit_for_bit():
    source = tone(4.0)
    heard = Faded(source, 1000, 500).read(0, source.frames) / source.samples
    at = np.arange(1000)
    np.testing.assert_allclose(heard[0, :1000], 0.5 - 0.5 * np.cos(np.pi * at / 1000), atol=1e-6)
    np.testing.assert_array_equal(heard[:, 1000:3500], 1.0)
    np.testing.assert_allclose(heard[0, :-501:-1], 0.5 - 0.5 * np.cos(np.pi * at[:500] / 500), atol=1e-6)
    assert heard[0, 0] == heard[0, -1] == 0.0


def test_a_fade_does_not_depend_on_how_it_is_read():
    faded = Faded(tone(2.0), 700, 900)
    whole = faded.read(0, 2000)
    parts = [faded.read(start, start + 123) for start in range(0, 2000, 123)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_silence_is_trimmed_down_to_a_little_at_both_ends():
    span = span_of(tone(2.0, before_s=1.0, after_s=3.0), Edits(trim_silence=True))
    assert span == Span(pytest.approx(0.98), pytest.approx(3.2))


def test_a_tail_over_the_threshold_is_kept():
    source = tone(1.0, after_s=2.0)
    source.samples[:, 1000:2000] = 0.5 * 10 ** (-70 / 20)
    assert span_of(source, Edits(trim_silence=True)).stop_s == pytest.approx(2.2)


@pytest.mark.parametrize("level", [1e-4, 0.9])
def test_what_is_silence_does_not_depend_on_the_level(level):
    assert span_of(tone(1.0, 1.0, 1.0, level), Edits(trim_silence=True)).start_s == pytest.approx(0.98)


def test_nothing_but_silence_is_left_whole():
    silence = Audio(np.zeros((2, 500), np.float32), RATE)
    assert span_of(silence, Edits(trim_silence=True)) == Span(0.0, 0.5)
    assert edited(silence, Edits(trim_silence=True), Span(0.0, 0.5)) is silence


def test_no_edit_is_the_source_itself():
    source = tone(1.0)
    assert edited(source, Edits(), span_of(source, Edits())) is source


def test_a_section_reads_within_its_bounds():
    source = tone(2.0)
    part = section(source, Span(0.5, 1.5))
    assert isinstance(part, Section)
    assert part.frames == 1000
    np.testing.assert_array_equal(part.read(900, 1200), source.samples[:, 1400:1500])
    assert part.read(1000, 1100).shape == (2, 0)


def test_the_fade_out_ends_where_the_trimmed_song_ends():
    source, edits = tone(2.0, after_s=2.0), Edits(fade_out_s=1.0, trim_silence=True)
    heard = edited(source, edits, span_of(source, edits))
    assert heard.frames == 2200
    np.testing.assert_array_equal(heard.read(0, 1200), source.samples[:, :1200])
    assert not heard.read(2199, 2200).any()


@pytest.mark.parametrize("edits", [Edits(fade_in_s=3.0), Edits(1.5, 1.5)])
def test_fades_that_do_not_fit_are_refused_with_both_lengths(edits):
    with pytest.raises(UsageError, match=r"fades of 3 s.* do not fit into 2\.0 s of song"):
        edits.check(2.0)


@pytest.mark.parametrize("length_s", [-1.0, float("nan"), float("inf")])
def test_a_fade_of_no_length_is_refused(length_s):
    with pytest.raises(UsageError, match="fade_out"):
        Edits(fade_out_s=length_s)
