"""Sections of songs whose form is known."""

import itertools
import math

import numpy as np
import pytest
from formed_songs import POP, RATE, Form, formed_song

from mixagent.pipeline.measure.song_sections import SURE, SongSection, find_sections
from mixagent.pipeline.types import Audio


@pytest.fixture(scope="module")
def pop() -> tuple[SongSection, ...]:
    return find_sections(formed_song(POP))


def test_sections_of_a_known_form_are_found_within_half_a_second(pop):
    assert [section.stop_s for section in pop[:-1]] == pytest.approx(POP.edges_s, abs=0.5)


def test_they_are_named_by_what_comes_back_and_how_loud_it_is(pop):
    assert tuple(section.name for section in pop) == POP.names
    assert all(section.confidence >= SURE for section in pop)


def test_what_runs_alike_has_one_letter(pop):
    letters = {name: {s.letter for s in pop if s.name == name} for name in POP.names}
    assert all(len(found) == 1 for found in letters.values())
    assert letters["verse"] != letters["chorus"]


def test_where_nothing_is_louder_no_chorus_is_claimed():
    sections = find_sections(formed_song(POP, contrast=0.0))
    assert "chorus" not in {section.name for section in sections}
    assert all(section.label.startswith("section ") for section in sections[1:-1])


def test_they_cover_the_song_in_order(pop):
    song = formed_song(POP)
    assert pop[0].start_s == 0.0
    assert pop[-1].stop_s == pytest.approx(song.frames / song.rate)
    assert all(a.stop_s == b.start_s for a, b in itertools.pairwise(pop))


def test_another_level_changes_no_section(pop):
    song = formed_song(POP)
    quieter = find_sections(Audio((0.2 * song.samples).astype(np.float32), song.rate))
    assert [(s.start_s, s.name) for s in quieter] == [(s.start_s, s.name) for s in pop]


@pytest.mark.parametrize(
    "song",
    [
        Audio(np.zeros((2, 0), np.float32), RATE),
        Audio(np.zeros((1, 40 * RATE), np.float32), RATE),
        formed_song(Form(("verse",), (10.0,))),
    ],
)
def test_a_short_or_silent_song_is_one_section_without_a_name(song):
    (section,) = find_sections(song)
    assert (section.name, section.letter) == ("", "A")
    assert SongSection.from_json(section.to_json()) == section


def test_noise_has_no_chorus():
    noise = np.random.default_rng(0).standard_normal((2, 60 * RATE)).astype(np.float32)
    assert "chorus" not in {s.name for s in find_sections(Audio(0.1 * noise, RATE))}
    assert not any(math.isnan(s.confidence) for s in find_sections(Audio(0.1 * noise, RATE)))
