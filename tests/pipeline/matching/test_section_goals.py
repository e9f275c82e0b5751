"""What a goal asks of sections, placed in a song."""

from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.matching.reading import understood
from mixagent.pipeline.matching.section_goals import section_settings
from mixagent.pipeline.measure.song_sections import SongSection

SPACE = ParameterSpace.for_stems(("vocals", "drums", "bass", "other"))
NAMES = ("intro", "verse", "chorus", "verse", "chorus", "outro")
FOUND = tuple(
    SongSection(10.0 * n, 10.0 * n + 10.0, name[0].upper(), name, 0.9, name, -14.0)
    for n, name in enumerate(NAMES)
)


def placed(text, found=FOUND, space=SPACE):
    return section_settings(understood(text), found, space)


def test_each_section_of_the_name_has_the_settings():
    settings, told = placed("chorus 3 dB louder and brighter")
    assert told == ()
    assert [each.start_s for each in settings] == [20.0, 40.0]
    assert {each.gain_db for each in settings} == {3.0}
    assert all(each.values["master.eq_air_db"] == 2.5 for each in settings)


def test_a_stem_in_a_section_is_moved_there_alone():
    settings, _ = placed("vocals up 2 dB in the chorus, less boxy guitars in the verse")
    assert {(each.where, each.gain_db) for each in settings} == {("vocals", 2.0), ("other", 0.0)}
    assert {each.start_s for each in settings if each.where == "other"} == {10.0, 30.0}


def test_what_cannot_be_told_apart_is_said_and_not_done():
    unsure = tuple(SongSection(s.start_s, s.stop_s, s.letter, "", 0.3, s.likely, s.lufs) for s in FOUND)
    settings, (line,) = placed("louder chorus", unsure)
    assert settings == ()
    assert "cannot be told which part of the song is the chorus" in line
    _, (line,) = placed("louder bridge")
    assert "sure are: chorus, intro, outro, verse" in line
    _, (line,) = placed("louder chorus", FOUND[:1])
    assert "no sections were found" in line


def test_the_drop_is_the_chorus_where_there_is_no_drop():
    assert [each.start_s for each in placed("bigger drop")[0]] == [20.0, 40.0]


def test_what_no_section_can_have_by_itself_is_said():
    for text, why in (("don't touch the intro", "whole song"), ("more reverb in the chorus", "by itself")):
        settings, (line,) = placed(text)
        assert settings == ()
        assert why in line
    _, (line,) = placed("drums louder in the verse", space=ParameterSpace.for_stems(()))
    assert "no stem that holds drums" in line


def test_a_goal_for_the_whole_song_is_not_of_sections():
    assert placed("brighter, vocals up") == ((), ())
