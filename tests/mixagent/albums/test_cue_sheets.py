"""Cue sheets: what is read of them, what is written, and what is said of bad ones."""

import pytest

from mixagent.albums.cue_sheets import CueSheet, CueTrack, cue_text, read_cue
from mixagent.pipeline.errors import InputError, UsageError

SHEET = """\ufeffREM GENRE Rock
PERFORMER "The Band"
TITLE "An Album"
FILE "C:\\music\\01 One.wav" WAVE
  TRACK 01 AUDIO
    TITLE "One"
    INDEX 01 00:00:00
    POSTGAP 00:01:00
FILE two.flac WAVE
  TRACK 02 AUDIO
    TITLE "Two of \u00dcs"
    PERFORMER "Guest"
    PREGAP 00:01:15
    INDEX 01 00:00:00
"""


def sheet(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "album.cue"
    path.write_bytes(text.encode(encoding))
    return path


def test_tracks_names_and_pauses_are_read(tmp_path):
    found = read_cue(sheet(tmp_path, SHEET))
    assert (found.title, found.performer) == ("An Album", "The Band")
    assert [track.title for track in found.tracks] == ["One", "Two of \u00dcs"]
    assert [track.performer for track in found.tracks] == ["", "Guest"]
    assert [track.pregap_s for track in found.tracks] == [0.0, pytest.approx(1 + 1 + 15 / 75)]


def test_what_older_programs_wrote_is_read(tmp_path):
    found = read_cue(sheet(tmp_path, SHEET.removeprefix("\ufeff"), "cp1252"))
    assert found.tracks[1].title == "Two of \u00dcs"


def test_a_pause_at_the_end_of_the_file_before_leaves_the_track_in_its_own_file(tmp_path):
    text = (
        'FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 00 03:00:00\n'
        'FILE "b.wav" WAVE\nINDEX 01 00:00:00\n'
    )
    found = read_cue(sheet(tmp_path, text))
    assert [(track.file, track.pregap_s) for track in found.tracks] == [("a.wav", 0.0), ("b.wav", 0.0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a cue sheet"),
        ("just text\n", "is not a cue sheet"),
        ('FILE "a.wav" WAVE\nTRACK one AUDIO\n', "line 2"),
        ('FILE "a.wav" WAVE\nTRACK 01 AUDIO\nPREGAP 00:61:00\n', "line 3"),
        ('FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX 01\n', "line 3"),
        (f'FILE "a.wav" WAVE\nTRACK 01 AUDIO\nPREGAP {"9" * 400}:00:00\n', "line 3"),
        (f'FILE "a.wav" WAVE\nTRACK {"9" * 5000} AUDIO\n', "line 2"),
        ('FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX ٠١٢٣٤٥ 00:00:00\n', "line 3"),
        ('FILE "a\0b.wav" WAVE\n', "line 1"),
        ("REM\n" * 300_000, "over 1 MB"),
        (
            'FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 01 03:00:00\n',
            "cuts one file into several tracks",
        ),
    ],
)
def test_a_sheet_that_cannot_be_used_is_one_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_cue(sheet(tmp_path, text))
    with pytest.raises(InputError, match="cannot be read"):
        read_cue(tmp_path / "missing.cue")


def test_what_is_written_is_read_back(tmp_path):
    tracks = (CueTrack("01 a.wav", "A", "X"), CueTrack("CD 2/b.mp3", "B", "", 2.0))
    written = CueSheet(tracks, "T", "P")
    text = cue_text(written)
    assert '  TRACK 02 AUDIO\n    TITLE "B"\n    PREGAP 00:02:00\n    INDEX 01 00:00:00' in text
    assert 'FILE "CD 2/b.mp3" MP3' in text
    assert read_cue(sheet(tmp_path, text)) == written


@pytest.mark.parametrize("breaks", ["\n", "\r", "\r\n", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
def test_a_title_that_breaks_lines_becomes_no_command(tmp_path, breaks):
    title = f'Song{breaks}FILE "/etc/passwd" WAVE{breaks}TRACK 02 AUDIO{breaks}INDEX 01 00:00:00'
    text = cue_text(CueSheet((CueTrack("a.wav", title, title),), title, title))
    found = read_cue(sheet(tmp_path, text))
    assert [track.file for track in found.tracks] == ["a.wav"]
    assert len(text.splitlines()) == 7


def test_a_title_with_half_a_character_can_be_written(tmp_path):
    assert (
        read_cue(sheet(tmp_path, cue_text(CueSheet((CueTrack("a.wav", "a\ud800b"),))))).tracks[0].title
        == "a�b"
    )


def test_quotes_and_too_many_tracks_do_not_break_a_sheet():
    assert "TITLE \"say 'no'\"" in cue_text(CueSheet((CueTrack("a.wav", 'say "no"'),)))
    with pytest.raises(UsageError, match="99 tracks, not 100"):
        cue_text(CueSheet((CueTrack("a.wav"),) * 100))
