"""What strangers put into names and titles does nothing to a terminal."""

import unicodedata

import pytest
from mutagen import id3
from rich.table import Table
from songs import write_song

from mixagent.cli.common import print_lines, print_text
from mixagent.messages import print_line, printable, say

NASTY = "a\x1b[2J\x1b]0;owned\x07b\r\nc\x9bd\u202eexe.wav\u2028\udcffe\x7f\u200b\u2066"


def harmful(text):
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\n"]


def test_controls_escapes_directions_and_halves_become_what_python_writes():
    assert printable(NASTY) == (
        r"a\x1b[2J\x1b]0;owned\x07b\r\nc\x9bd\u202eexe.wav\u2028\udcffe\x7f\u200b\u2066"
    )


@pytest.mark.parametrize(
    "text", ["Ænima – 12″", "夜に駆ける", "می‌خواهم", "क्‍ष", "10\u202f000 \u00a0!", "👩‍🚀"]
)
def test_ordinary_text_of_any_language_stays(text):
    assert printable(text) == text


def test_everything_that_is_printed_goes_through_it(capsys):
    table = Table(title=NASTY)
    table.add_column(NASTY)
    table.add_row(NASTY)
    print_text(NASTY)
    print_text(table)
    print_lines([NASTY, "next"])
    say(NASTY)
    said = capsys.readouterr()
    assert not harmful(said.out)
    assert not harmful(said.err)
    assert said.err.count("\n") == 1


def test_a_path_goes_to_a_program_as_it_is(capsys):
    print_line("a\x1bb.wav")
    assert capsys.readouterr().out == "a\x1bb.wav\n"


def test_no_command_prints_a_nasty_name_or_title(mixagent, tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    songs = [write_song(music / f"{n}\x1b[31m\x07\u202etitle.wav", subtype="PCM_16") for n in (1, 2)]
    for song in songs:
        tags = id3.ID3()
        tags.add(id3.TIT2(3, ["\x1b]0;title\x07\u202e"]))
        tags.add(id3.TPE1(3, ["\x9b2Jsinger"]))
        tags.save(song)
        song.write_bytes(song.read_bytes())
    profile = tmp_path / "p.json"
    runs = [
        ("master", songs[0], "--separator", "none", "-o", tmp_path / "m.wav"),
        ("analyze", songs[0]),
        ("compare", *songs),
        ("album", music, "--policy", "neutral", "--separator", "none"),
        ("profile", "make", *songs, "-o", profile),
        ("profile", "show", songs[0]),
        ("experience", "list"),
        ("analyze", music / "missing\x1b[2J.wav"),
        ("split", music / "missing\u202e.wav"),
    ]
    for arguments in runs:
        ran = mixagent(*arguments)
        assert ran.out + ran.err
        # What Rich and the album's list of files write to a program they write as it is.
        shown = "\n".join(line for line in ran.out.splitlines() if not line.startswith(str(tmp_path)))
        assert not harmful(shown + ran.err), arguments
