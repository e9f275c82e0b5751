"""Names of files on the systems that musicians have."""

from pathlib import Path, PureWindowsPath

import pytest

from mixagent.pipeline import names
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.names import check_name, place_key, portable_name


@pytest.mark.parametrize(
    "name",
    [
        "CON",
        "nul.wav",
        "aux.master.wav",
        "Com1.flac",
        "LPT9",
        "com¹.wav",
        "prn .wav",
        "song.",
        "song.wav ",
        "ab:c.wav",
        "what?.wav",
        'say "hi".wav',
        "a\tb.wav",
        r"C:\music\nul\song.wav",
        r"C:\music.\song.wav",
        r"\\server\share\aux.wav",
    ],
)
def test_what_windows_would_lose_or_rename_is_refused_there(name):
    with pytest.raises(UsageError, match=r"Windows|device") as refused:
        check_name(PureWindowsPath(name), windows=True)
    assert "\n" not in str(refused.value)
    check_name(PureWindowsPath(name), windows=False)


@pytest.mark.parametrize(
    "name",
    [
        "song.wav",
        "console.wav",
        "auxiliary.wav",
        "com10.wav",
        ".hidden.wav",
        "Ünïcode 夜.wav",
        "a.b.c.flac",
        r"C:\music\song.wav",
        r"c:song.wav",
        r"..\song.wav",
        r"\\server\share\song.wav",
    ],
)
def test_other_names_pass_drives_and_shares_too(name):
    check_name(PureWindowsPath(name), windows=True)


def test_two_names_in_other_case_are_one_place_where_the_folder_makes_no_difference(tmp_path, monkeypatch):
    one, other = tmp_path / "Song.wav", tmp_path / "sONG.WAV"
    (tmp_path / "probe").touch()
    folds = (tmp_path / "PROBE").exists()
    assert (place_key(one) == place_key(other)) == folds
    monkeypatch.setattr(names, "folds_case", lambda folder: True)
    assert place_key(one) == place_key(other)
    assert place_key(one) != place_key(tmp_path / "song2.wav")


def test_one_place_in_other_words_is_one_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place_key(Path("song.wav")) == place_key(tmp_path / "music" / ".." / "song.wav")
    assert place_key(tmp_path / "e\u0301.wav") == place_key(tmp_path / "\u00e9.wav")
    assert place_key(tmp_path / "missing" / "song.wav") != place_key(tmp_path / "song.wav")


def test_outputs_that_differ_by_case_only_are_refused_where_they_would_be_one(mixagent, song, monkeypatch):
    monkeypatch.setattr(names, "folds_case", lambda folder: True)
    outputs = "-o", song.with_name("m.wav"), "-o", song.with_name("M.wav")
    ran = mixagent("master", song, *outputs)
    assert (ran.code, "two outputs have one name" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A song", "A song"),
        ("Ünïcode 夜", "Ünïcode 夜"),
        ("a/b\\c:d", "a_b_c_d"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("line\nbreak\x00", "line break"),
        ("ends in dots...  ", "ends in dots"),
        ("con", "_con"),
        ("\udc80\uffff", "__"),
        ("...", "song"),
        ("", "song"),
    ],
)
def test_what_a_stranger_called_it_becomes_a_name_that_every_system_takes(text, name):
    assert portable_name(text) == name
    check_name(PureWindowsPath(f"{portable_name(text)}.wav"), windows=True)


def test_a_long_name_is_cut_between_letters():
    name = portable_name("夜" * 200)
    assert set(name) == {"夜"}
    assert len(name.encode()) <= 180
