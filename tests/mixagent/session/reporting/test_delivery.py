"""What leaves the house: several files of one master, edits of its ends, codecs, tags, warnings."""

import json

import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC
from songs import RATE, song_samples, write_song

from mixagent.pipeline.errors import OutputError
from mixagent.pipeline.finaliser.codecs import CODECS, round_trip
from mixagent.pipeline.io.decoding import decode
from mixagent.pipeline.measure.meters import measure, true_peak_dbtp
from mixagent.pipeline.measure.playbacks import PLAYBACKS


@pytest.fixture
def master(mixagent, song):
    def run(*options, song=song):
        return mixagent("master", song, "--separator", "none", *options)

    return run


def reported(ran):
    return json.loads(ran.out)


def test_one_master_goes_into_several_files(master, song):
    ran = master("--format", "wav,flac,mp3", "--bit-depth", "16", "--json")
    assert (ran.code, ran.err) == (0, "")
    report = reported(ran)
    names = [f"song.master.{suffix}" for suffix in ("wav", "flac", "mp3")]
    assert sorted(path.name for path in song.parent.glob("song.master.*")) == sorted(names)
    assert [row["path"] for row in report["outputs"]] == [str(song.parent / name) for name in names]
    assert report["output"] == report["outputs"][0]
    wav, flac = (soundfile.read(song.parent / name, dtype="int16")[0] for name in names[:2])
    np.testing.assert_array_equal(wav, flac)
    # The lossless files are those of a run without the mp3.
    alone = song.parent / "alone.wav"
    master("-o", alone, "--bit-depth", "16")
    assert alone.read_bytes() == (song.parent / names[0]).read_bytes()


def test_outputs_are_named_one_by_one_or_by_their_formats(master, song):
    here = song.parent
    assert master("-o", here / "a.wav", "-o", here / "b.ogg").code == 0
    assert master("-o", here / "c.flac", "--format", "flac,ogg").code == 0
    assert {path.name for path in here.iterdir()} == {"song.wav", "a.wav", "b.ogg", "c.flac", "c.ogg"}


def test_a_report_that_cannot_be_written_says_that_the_master_is_there(master, song, monkeypatch):
    def full(*_):
        raise OutputError("cannot write it: No space left on device")

    monkeypatch.setattr("mixagent.report.writer.write_json", full)
    ran = master("--report", song.parent / "report.json", "--quiet")
    made = song.parent / "song.master.wav"
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (6, "", 1)
    assert ran.err.strip().endswith(f"No space left on device; the master is written: {made}")
    assert soundfile.info(made).frames == soundfile.info(song).frames


def test_where_one_file_cannot_be_written_none_is(master, song):
    ran = master("-o", song.parent / "a.wav", "-o", song.parent / "nowhere" / "b.mp3")
    assert ran.code == 6
    assert [path.name for path in song.parent.iterdir()] == ["song.wav"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "wav,aac"], "unknown format 'aac'"),
        (["--format", "wav,wav"], "two outputs have one name"),
        (["-o", "a.wav", "-o", "a.wav"], "two outputs have one name"),
        (["-o", "a.wav", "--format", "mp3,ogg"], "do not agree"),
        (["-o", "a.wav", "-o", "b.mp3", "--format", "wav,mp3"], "leave --format out"),
        (["--fade-in", "-1"], "--fade-in -1 is out of range"),
        (["--fade-out", "200"], "fades of 200 s do not fit into 3.0 s of song"),
        (["--fade-in", "2", "--fade-out", "2"], "fades of 4 s together do not fit"),
        (["--amount", "0", "--fade-in", "1"], "leave out --fade-in"),
        (["--amount", "0", "--trim-silence"], "leave out --trim-silence"),
        (["--amount", "0", "--codec-safe"], "leave out --codec-safe"),
        (["--codecs", "mp3"], "needs --check-codecs or --codec-safe"),
        (["--check-codecs", "--codecs", "mp3,atrac"], "give mp3, aac, ogg, opus"),
        (["--amount", "0", "--check-codecs"], "leave out --check-codecs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wishes_that_contradict_are_named_and_nothing_is_written(mixagent, monkeypatch, song, options, words):
    monkeypatch.chdir(song.parent)
    ran = mixagent("master", song.name, "--separator", "none", *options)
    assert (ran.code, ran.out) == (2, "")
    assert words in " ".join(ran.err.replace("│", " ").split())
    assert [path.name for path in song.parent.iterdir()] == [song.name]


def test_silence_is_trimmed_and_the_ends_faded_at_the_target(master, tmp_path):
    silence = np.zeros((RATE, 2), np.float32)
    song = tmp_path / "song.wav"
    soundfile.write(song, np.concatenate([silence, song_samples(4.0), silence]), RATE, "FLOAT")
    out = tmp_path / "m.wav"
    wishes = ("--trim-silence", "--fade-in", "0.5", "--fade-out", "1", "--bit-depth", "32f")
    ran = master("-o", out, *wishes, "--json", "--report", tmp_path / "r.html", song=song)
    assert (ran.code, ran.err) == (0, "")
    report, made = reported(ran), soundfile.read(out, dtype="float32", always_2d=True)[0]
    assert made.shape[0] / RATE == pytest.approx(4.0 + 0.02 + 0.2, abs=0.05)
    assert report["edits"]["trimmed_start_s"] == pytest.approx(0.98, abs=0.01)
    assert report["edits"]["trimmed_end_s"] == pytest.approx(0.8, abs=0.05)
    assert not made[0].any()
    assert not made[-1].any()
    assert report["after"]["integrated_lufs"] == pytest.approx(-14.0, abs=0.1)
    assert "Faded in over 0.50 s and out over 1.00 s" in report["summary"]["done"]


def test_a_trim_of_pure_silence_leaves_it_whole(master, tmp_path):
    song = tmp_path / "silence.wav"
    soundfile.write(song, np.zeros((RATE, 2)), RATE)
    ran = master("--trim-silence", "--replaygain", "--codec-safe", "--json", song=song)
    assert (ran.code, ran.err) == (4, "")
    assert "silent" in reported(ran)["missed"]
    assert soundfile.info(tmp_path / "silence.master.wav").frames == RATE


def test_an_mp3_holds_its_ceiling_after_decoding_and_a_wav_beside_it_is_left(master, song, tmp_path):
    out = song.parent / "m.mp3"
    report = reported(master("-o", out, "--target", "-11", "--json"))
    assert report["codecs"]["held"] == ["mp3"]
    heard = measure(decode(out, tmp_path / "raw").audio)
    assert heard.true_peak_dbtp <= -1.0
    assert heard.true_peak_dbtp == report["codecs"]["checks"][0]["true_peak_dbtp"]
    assert report["after"]["integrated_lufs"] == pytest.approx(-11.0, abs=0.1)
    loose = reported(master("-o", out, "--target", "-11", "--no-codec-safe", "--json"))
    assert loose["codecs"]["held"] == []
    assert len(loose["codecs"]["renders"]) == 1
    over = true_peak_dbtp(decode(out, tmp_path / "raw").audio) > -1.0
    assert over == any("mp3 at 320 kb/s peaks at" in line for line in loose["warnings"])


def test_codecs_are_checked_on_request_and_told_with_what_is_missing(master, song, monkeypatch):
    monkeypatch.setattr("mixagent.pipeline.finaliser.codecs.shutil.which", lambda name: None)
    plain = song.parent / "plain.wav"
    master("-o", plain)
    ran = master("--check-codecs", "--json")
    assert (ran.code, ran.err) == (0, "")
    report = reported(ran)
    assert [check["codec"] for check in report["codecs"]["checks"]] == ["mp3", "ogg", "opus"]
    assert "aac was not checked: ffmpeg is not installed" in report["warnings"]
    assert plain.read_bytes() == (song.parent / "song.master.wav").read_bytes()
    assert "After kb/s dBTP LUFS" in " ".join(master("--check-codecs").out.split())


def test_codec_safe_lowers_the_ceiling_until_every_codec_holds_it(master, song, tmp_path):
    ran = master("--codec-safe", "--codecs", "mp3,ogg", "--target", "-11", "--bit-depth", "32f", "--json")
    report = reported(ran)
    renders = report["codecs"]["renders"]
    assert 1 < len(renders) <= 4
    made = decode(song.parent / "song.master.wav", tmp_path / "raw").audio
    for name in report["codecs"]["held"]:
        assert round_trip(made, CODECS[name]).true_peak_dbtp <= -1.0
    assert any(line.startswith("Limited to") for line in report["summary"]["done"])


def test_replaygain_is_that_of_the_master(master, song):
    out = song.parent / "m.flac"
    report = reported(master("-o", out, "--replaygain", "--target", "-12", "--json"))
    gain_db = float(FLAC(out)["replaygain_track_gain"][0].removesuffix(" dB"))
    assert gain_db == pytest.approx(-18 - report["after"]["integrated_lufs"], abs=0.006)
    peak = np.abs(soundfile.read(out)[0]).max()
    assert float(FLAC(out)["replaygain_track_peak"][0]) == pytest.approx(peak, abs=1e-5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda values: values * np.array([1.0, -0.9]), "vanish in mono"),
        (lambda values: deep(values), "on a phone"),
    ],
)
def test_what_small_loudspeakers_lose_is_warned_of(master, tmp_path, spoil, words):
    song = tmp_path / "song.wav"
    mono = song_samples(3.0)[:, :1]
    soundfile.write(song, spoil(np.repeat(mono, 2, axis=1)), RATE, "FLOAT")
    report = reported(master("--policy", "neutral", "--json", song=song))
    assert [line for line in report["warnings"] if words in line]


def deep(values):
    time_s = np.arange(len(values))[:, None] / RATE
    return np.repeat(0.3 * np.sin(2 * np.pi * 60 * time_s), 2, axis=1)


def test_an_ordinary_song_is_not_warned_of(master, tmp_path):
    song = write_song(tmp_path / "song.wav", channels=1)
    report = reported(master("--policy", "neutral", "--json", song=song))
    # Of one channel, what two loudspeakers make of it is told; it is nothing that is wrong.
    assert [line.startswith("one channel plays 3.0 dB louder") for line in report["warnings"]] == [True]
    for when in ("translation", "translation_after"):
        rows = {row["playback"]: row for row in report[when]}
        assert list(rows) == list(PLAYBACKS)
        assert 0.0 < rows["phone"]["loudness_lost_lu"] < 10.0
        assert not any(row["cancels_db"][band] for row in rows.values() for band in row["cancels_db"])
