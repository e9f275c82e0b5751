"""`mixagent album`: one loudness for all, levels kept, one report, and what happens to bad songs."""

import json
import math
from pathlib import Path

import mutagen
import numpy as np
import pyebur128
import pytest
import soundfile
from songs import RATE, song_samples

from mixagent.albums.order import ordered
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.measure.meters import integrated_lufs, true_peak_dbtp
from mixagent.pipeline.types import Audio
from mixagent.song_files import SongFile, find_songs

QUICK = ("--separator", "none", "--policy", "neutral", "--quiet")


def write(path: Path, gain: float, seconds: float = 3.0, channels: int = 2, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, gain * song_samples(seconds, rate, channels), rate, "PCM_24")
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three songs, 0, 4 and 30 dB below the first."""
    for name, gain in (("01 One", 0.5), ("02 Two", 0.32), ("03 Three", 0.016)):
        write(tmp_path / "Record" / f"{name}.wav", gain)
    return tmp_path / "Record"


def album(mixagent, *arguments, code=0):
    ran = mixagent("album", *arguments, *QUICK, "--json")
    assert ran.code == code, ran.err
    return json.loads(ran.out)


def masters(folder: Path) -> list[Audio]:
    files = sorted(path for path in folder.rglob("*.wav"))
    read = (soundfile.read(path, dtype="float32", always_2d=True) for path in files)
    return [Audio(np.ascontiguousarray(samples.T), rate) for samples, rate in read]


def album_lufs(songs: list[Audio]) -> float:
    states = []
    for song in songs:
        state = pyebur128.R128State(song.channels, song.rate, pyebur128.MeasurementMode.MODE_I)
        state.add_frames(np.ascontiguousarray(song.samples.T).ravel(), song.frames)
        states.append(state)
    return pyebur128.get_loudness_global_multiple(states)


def test_the_album_meets_its_target_as_one_and_quiet_songs_stay_quieter(mixagent, folder):
    report = album(mixagent, folder, "--album-loudness", "-16", "--write-cue", "--gap", "2")
    made = folder.with_name("Record.mastered")
    songs = masters(made)
    assert album_lufs(songs) == pytest.approx(-16.0, abs=0.1)
    one, two, three = (integrated_lufs(song) for song in songs)
    assert one - two == pytest.approx(20 * math.log10(0.5 / 0.32), abs=0.2)
    assert two > three >= -16.0 - 6.0 - 0.1
    assert max(map(true_peak_dbtp, songs)) <= -1.0
    assert [song.frames for song in songs] == [3 * RATE] * 3
    assert (report["schema"], report["met"], report["failed"]) == ("mixagent.albums.run/1", True, [])
    assert [song["status"] for song in report["songs"]] == ["mastered"] * 3
    assert report["songs"][2]["level"]["moved_lu"] > 15
    assert "Three: " in " ".join(report["summary"]["changed"])
    assert json.loads((made / "album.json").read_text()) == report
    assert "Three" in (made / "album.html").read_text()
    assert (made / "album.cue").read_text().count("PREGAP 00:02:00") == 2
    assert [gap["added_s"] for gap in report["gaps"]] == [2.0, 2.0]


def test_a_second_run_leaves_what_is_done_and_makes_what_is_missing(mixagent, folder):
    album(mixagent, folder)
    made = folder.with_name("Record.mastered")
    one, two = made / "01 One.wav", made / "02 Two.wav"
    before = one.stat().st_mtime_ns
    two.unlink()
    again = album(mixagent, folder)
    assert [song["status"] for song in again["songs"]] == ["unchanged", "mastered", "unchanged"]
    assert one.stat().st_mtime_ns == before
    assert two.is_file()
    other = album(mixagent, folder, "--album-loudness", "-18")
    assert [song["status"] for song in other["songs"]] == ["mastered"] * 3


@pytest.mark.parametrize("form", ["flac", "mp3"])
def test_replaygain_tags_hold_the_gain_of_the_album(mixagent, tmp_path, form):
    folder = tmp_path / "Tagged"
    for name, gain in (("1 a.flac", 0.5), ("2 b.flac", 0.4)):
        write(folder / name, gain)
        tags = mutagen.File(folder / name)
        tags["title"], tags["artist"] = name, "Nobody"
        tags.save()
    report = album(mixagent, folder, "--format", form, "--replaygain")
    again = album(mixagent, folder, "--format", form, "--replaygain")
    assert [song["status"] for song in again["songs"]] == ["unchanged"] * 2
    for song in again["songs"]:
        tags = mutagen.File(song["files"]["master"])
        text = {key.removeprefix("TXXX:").lower(): value for key, value in tags.items()}
        gain = text["replaygain_album_gain"]
        expected = -18.0 - report["after"]["integrated_lufs"]
        assert float(str(gain[0]).removesuffix(" dB")) == pytest.approx(expected, abs=0.01)
        assert {"replaygain_track_gain", "replaygain_album_peak"} <= text.keys()
        assert "Nobody" in str(text.get("artist", text.get("tpe1")))


def test_what_is_set_by_hand_holds_for_every_song_and_makes_them_anew(mixagent, folder):
    album(mixagent, folder, "--album-loudness", "-20")
    again = album(mixagent, folder, "--album-loudness", "-20", "--set", "master.width=0")
    assert [song["status"] for song in again["songs"]] == ["mastered"] * 3
    made = masters(folder.with_name("Record.mastered"))
    assert len(made) == 3
    for master in made:
        assert np.abs(master.samples[0] - master.samples[1]).max() < 1e-3
    ran = mixagent("album", folder, "--set", "master.wide=0", *QUICK)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


def test_a_broken_track_is_named_and_the_rest_is_done(mixagent, folder):
    (folder / "04 Broken.wav").write_text("no song")
    ran = mixagent("album", folder, *QUICK)
    assert ran.code == 3
    assert "04 Broken.wav is not an audio file" in ran.err
    assert "3 songs" in ran.out
    made = folder.with_name("Record.mastered")
    assert [path.name for path in sorted(made.glob("*.wav"))] == ["01 One.wav", "02 Two.wav", "03 Three.wav"]
    assert "04 Broken.wav" in (made / "album.html").read_text()


def test_silence_an_interlude_mono_and_another_rate_are_part_of_an_album(mixagent, tmp_path):
    folder = tmp_path / "Odd"
    write(folder / "1 Song.wav", 0.5)
    write(folder / "2 Silence.wav", 0.0)
    write(folder / "3 Interlude.wav", 0.4, seconds=2.0)
    write(folder / "4 Mono.wav", 0.5, channels=1, rate=48000)
    report = album(mixagent, folder)
    song, silence, interlude, mono = report["songs"]
    assert (silence["status"], silence["level"]["after_lu"], silence["met"]) == ("untouched", None, True)
    assert not masters(tmp_path / "Odd.mastered")[1].samples.any()
    assert interlude["after"]["duration_s"] == 2.0
    assert (mono["after"]["channels"], mono["after"]["rate"]) == (1, 48000)
    # Both came with one level a channel, and from two loudspeakers they are equally loud.
    level = mono["after"]["integrated_lufs"] + 10 * math.log10(2) - song["after"]["integrated_lufs"]
    came = mono["before"]["integrated_lufs"] + 10 * math.log10(2) - song["before"]["integrated_lufs"]
    assert level == pytest.approx(came, abs=0.1)
    assert any("different sample rates (44100, 48000 Hz)" in line for line in report["warnings"])


def test_a_target_that_cannot_be_met_is_exit_four(mixagent, tmp_path):
    folder = tmp_path / "Spiky"
    samples = np.zeros((3 * RATE, 2), np.float32)
    samples[:: RATE // 8] = 0.9
    folder.mkdir()
    soundfile.write(folder / "01 Clicks.wav", samples, RATE, "FLOAT")
    report = album(mixagent, folder, "--album-loudness", "loud", code=4)
    assert not report["met"]
    assert "below the target" in report["missed"][0]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--album-loudness", "radio"], 2, "unknown target 'radio'"),
        (["--within", "-1"], 2, "--within -1 is out of range"),
        (["--within", "nan"], 2, "--within nan is not a number"),
        (["--amount", "0"], 2, "--policy neutral"),
        (["--gap", "2"], 2, "--write-cue"),
        (["--cue", "missing.cue"], 3, "cannot be read"),
        (["--format", "aac"], 2, "unknown format"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_line_and_nothing_is_written(mixagent, folder, options, code, words):
    ran = mixagent("album", folder, *options)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
    assert words in ran.err
    assert not folder.with_name("Record.mastered").exists()


def test_masters_among_the_songs_are_no_songs_and_the_songs_are_never_overwritten(mixagent, folder):
    made = folder / "out"
    report = album(mixagent, folder, "-o", made)
    again = album(mixagent, folder, "-o", made)
    assert len(report["songs"]) == len(again["songs"]) == 3
    before = (folder / "01 One.wav").read_bytes()
    ran = mixagent("album", folder, "-o", folder, *QUICK)
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert "name another folder" in ran.err
    assert (folder / "01 One.wav").read_bytes() == before


def test_no_songs_and_only_broken_ones_are_one_line(mixagent, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = mixagent("album", empty)
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    for name in ("a.wav", "b.wav"):
        (empty / name).write_text("no song")
    ran = mixagent("album", empty, *QUICK)
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)
    assert "none of the 2 songs" in ran.err
    assert not tmp_path.joinpath("empty.mastered").exists()


class TestOrder:
    def names(self, folder, cue=None):
        order = ordered(find_songs([folder]), cue)
        return [track.path.name for track in order.tracks], order

    def touch(self, folder, *names):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")

    def test_numbers_in_names_are_numbers(self, tmp_path):
        self.touch(tmp_path, "10 ten.wav", "2. two.wav", "1-03 three.wav", "1 one.wav")
        names, order = self.names(tmp_path)
        assert names == ["1 one.wav", "2. two.wav", "10 ten.wav", "1-03 three.wav"]
        assert [track.title for track in order.tracks] == ["one", "two", "ten", "three"]

    def test_tags_win_over_names(self, tmp_path):
        for name, number in (("a.flac", "2/2"), ("b.flac", "1/2")):
            write(tmp_path / name, 0.1, seconds=0.5)
            tags = mutagen.File(tmp_path / name)
            tags["tracknumber"], tags["album"], tags["title"] = number, "The Album", f"Song {number[0]}"
            tags.save()
        names, order = self.names(tmp_path)
        assert names == ["b.flac", "a.flac"]
        assert (order.title, order.tracks[0].title, order.tracks[0].placed_by) == (
            "The Album",
            "Song 1",
            "tag",
        )

    def test_discs_in_folders_follow_each_other_and_keep_their_places(self, tmp_path):
        self.touch(tmp_path, "CD 1/01 a.wav", "CD 1/02 b.wav", "CD 2/01 a.wav")
        names, order = self.names(tmp_path)
        assert names == ["01 a.wav", "02 b.wav", "01 a.wav"]
        assert [str(track.song.below) for track in order.tracks] == ["CD 1", "CD 1", "CD 2"]
        assert order.warnings == ()

    def test_odd_numbers_are_told(self, tmp_path):
        self.touch(tmp_path, "01 a.wav", "03 b.wav", "03 c.wav", "extra.wav")
        names, order = self.names(tmp_path)
        assert names == ["01 a.wav", "03 b.wav", "03 c.wav", "extra.wav"]
        told = " ".join(order.warnings)
        for words in ("extra.wav: no number", "two songs are number 3", "no song is number 2"):
            assert words in told

    def test_a_master_beside_its_song_is_left_out(self, tmp_path):
        self.touch(tmp_path, "song.wav", "song.master.wav", "other.master.wav")
        names, order = self.names(tmp_path)
        assert names == ["other.master.wav", "song.wav"]
        assert "song.master.wav is left out" in order.warnings[0]

    def test_two_songs_of_one_name_are_refused(self, tmp_path):
        self.touch(tmp_path, "song.wav", "song.flac")
        with pytest.raises(UsageError, match="would become one master"):
            self.names(tmp_path)

    def test_a_cue_sheet_gives_order_titles_and_pauses(self, tmp_path):
        self.touch(tmp_path, "a.flac", "b.wav", "extra.wav")
        cue = tmp_path / "album.cue"
        cue.write_text(
            'TITLE "X"\nFILE "b.wav" WAVE\nTRACK 01 AUDIO\nTITLE "Bee"\nINDEX 01 00:00:00\n'
            'FILE "a.wav" WAVE\nTRACK 02 AUDIO\nPREGAP 00:03:00\nINDEX 01 00:00:00\n'
            'FILE "gone.wav" WAVE\nTRACK 03 AUDIO\nINDEX 01 00:00:00\n'
        )
        names, order = self.names(tmp_path, cue)
        assert names == ["b.wav", "a.flac", "gone.wav", "extra.wav"]
        assert [track.title for track in order.tracks][:2] == ["Bee", "a"]
        assert order.tracks[1].pregap_s == 3.0
        assert "extra.wav is not in album.cue" in order.warnings[0]

    def test_files_without_numbers_follow_by_their_names(self):
        songs = [SongFile(Path(name)) for name in ("song 10.wav", "song 2.wav")]
        assert [track.path.name for track in ordered(songs).tracks] == ["song 2.wav", "song 10.wav"]
