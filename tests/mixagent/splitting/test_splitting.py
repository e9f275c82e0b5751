"""`mixagent split` and `mixagent vocals`: what they write, say and do again."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from songs import RATE, song_samples, write_song

from mixagent.pipeline.separation import Choice
from mixagent.pipeline.types import AudioSource, Combination, Stems, blocks, spool

FOUR = ("vocals", "drums", "bass", "other")
SIX = (*FOUR, "piano", "guitar")
SHARES = (0.4, 0.3, 0.2, 0.06, 0.03, 0.01)


class Shared:
    """A separator that gives each stem a fixed share of the mix: quick, and its sums are known."""

    name = "spleeter"

    def __init__(self, names: tuple[str, ...], shares: tuple[float, ...] = SHARES) -> None:
        self.stem_names, self.shares, self.version = names, shares, str(shares)

    def separate(self, mix: AudioSource, scratch: Path, progress=None) -> Stems:
        parts = {
            name: spool(blocks(Combination(((share, mix),))), scratch / name, mix.rate, mix.channels)
            for name, share in zip(self.stem_names, self.shares, strict=False)
        }
        return Stems(mix, parts)


@pytest.fixture
def shared(monkeypatch):
    """Makes a `Shared` separator of these stems the one that is named unless another is."""
    from mixagent.options import config

    def use(names: tuple[str, ...], shares: tuple[float, ...] = SHARES) -> None:
        choice = Choice(Shared(names, shares), "for a test")
        monkeypatch.setattr("mixagent.pipeline.separation.choice._named", lambda *arguments: choice)
        monkeypatch.setattr(
            "mixagent.options.config", lambda options: config({"separator": "spleeter", **options})
        )

    return use


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".json")


def null_db(song: Path, folder: Path) -> float:
    total = sum(samples(folder / name).astype(float) for name in written(folder))
    return float(20 * np.log10(np.abs(total - samples(song)).max() + 1e-12))


def split(mixagent, song, *options, command="split"):
    ran = mixagent(command, song, "--json", *options)
    assert ran.code == 0, ran.err
    outcome = json.loads(ran.out)
    assert (outcome["schema"], outcome["failed"]) == ("mixagent.split/2", [])
    (account,) = outcome["songs"]
    return account


class TestStems:
    @pytest.mark.parametrize("command", ["split", "vocals"])
    def test_the_embedded_parts_sum_to_the_song(self, mixagent, song, command):
        ran = mixagent(command, song)
        folder = song.with_name("song.stems" if command == "split" else "song.vocals")
        assert ran.code == 0
        assert null_db(song, folder) < -90
        names = ("vocals", "drums", "bass", "other") if command == "split" else ("vocals", "instrumental")
        assert [line.partition(":")[0] for line in ran.out.splitlines()] == list(names)

    @pytest.mark.parametrize(
        ("count", "names"),
        [
            (2, ["01 vocals", "02 instrumental"]),
            (4, ["01 vocals", "02 drums", "03 bass", "04 other"]),
            (5, ["01 vocals", "02 drums", "03 bass", "04 piano", "05 other"]),
            (6, ["01 vocals", "02 drums", "03 bass", "04 piano", "05 guitar", "06 other"]),
        ],
    )
    def test_a_set_of_stems_has_its_names_in_order_and_nulls(self, mixagent, shared, song, count, names):
        shared(SIX, (0.4, 0.3, 0.2, 0.05, 0.03, 0.02))
        split(mixagent, song, "--stems", count)
        folder = song.with_name("song.stems")
        assert written(folder) == [f"song - {name}.wav" for name in names]
        assert null_db(song, folder) < -90

    def test_what_a_set_does_not_name_is_in_its_last_stem(self, mixagent, shared, song):
        shared(SIX)
        files = split(mixagent, song, "--stems", "4")["files"]
        np.testing.assert_allclose(samples(Path(files["other"])), 0.10 * samples(song), atol=1e-6)

    def test_the_instrumental_is_the_song_without_the_vocals(self, mixagent, shared, song):
        shared(FOUR)
        files = split(mixagent, song, command="vocals")["files"]
        np.testing.assert_allclose(samples(Path(files["instrumental"])), 0.6 * samples(song), atol=1e-6)

    def test_without_a_number_every_stem_is_given_and_the_residual(self, mixagent, shared, song):
        shared(("vocals", "drums"))
        account = split(mixagent, song)
        assert list(account["files"]) == ["vocals", "drums", "residual"]
        assert null_db(song, song.with_name("song.stems")) < -90

    def test_a_residual_that_cannot_be_heard_is_not_written(self, mixagent, shared, song):
        shared(("vocals", "drums"), (0.5, 0.5))
        account = split(mixagent, song)
        assert list(account["files"]) == ["vocals", "drums"]
        assert account["residual_peak_dbfs"] is None or account["residual_peak_dbfs"] < -90

    def test_without_a_number_and_a_separator_four_stems_are_given(self, mixagent, song):
        account = split(mixagent, song)
        assert list(account["files"]) == list(FOUR)
        assert account["model"]["name"] == "embedded"

    def test_a_separator_that_is_named_gives_all_that_it_has(self, mixagent, song):
        account = split(mixagent, song, "--separator", "spleeter")
        assert list(account["files"]) == ["vocals", "accompaniment"]

    def test_shifts_are_averaged_and_their_agreement_is_told(self, mixagent, song):
        account = split(mixagent, song, "--shifts", "2", "--stems", "2")
        assert account["shifts"] == 2
        assert account["stems"]["vocals"]["evidence"]["agreement_db"] > 0
        assert "2 shifts of seed 0" in account["model"]["version"]


class TestModels:
    def test_five_stems_offline_say_what_is_missing_and_offer_four(self, mixagent, song):
        ran = mixagent("split", song, "--stems", "5")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (5, "", 1)
        assert "piano" in ran.err
        assert "--stems 4" in ran.err
        assert "mixagent models pull htdemucs_6s" in ran.err
        assert list(song.parent.iterdir()) == [song]

    def test_a_separator_that_does_not_give_them_is_a_usage_error(self, mixagent, song):
        ran = mixagent("split", song, "--stems", "4", "--separator", "spleeter")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
        assert "--stems 2" in ran.err

    @pytest.mark.parametrize("stems", ["1", "3", "many"])
    def test_another_number_of_stems_is_a_usage_error(self, mixagent, song, stems):
        ran = mixagent("split", song, "--stems", stems)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)

    def test_no_separator_is_refused_and_leaves_no_folder(self, mixagent, song):
        ran = mixagent("split", song, "--separator", "none")
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert mixagent("split", song.with_name("missing.wav")).code == 3
        assert list(song.parent.iterdir()) == [song]


class TestFiles:
    @pytest.mark.parametrize("format", ["wav", "flac", "mp3", "ogg"])
    def test_each_format_keeps_the_songs_tags_and_names_the_stem(self, mixagent, shared, tmp_path, format):
        shared(("vocals", "drums"), (0.5, 0.5))
        song = write_song(tmp_path / "song.flac", "PCM_16")
        tagged = mutagen.File(song)
        tagged["title"], tagged["artist"], tagged["tracknumber"] = "Lament", "Nobody", "7"
        tagged.save()
        files = split(mixagent, song, "--format", format)["files"]
        assert [Path(path).suffix for path in files.values()] == [f".{format}"] * 2
        tags = mutagen.File(files["drums"], easy=True)
        if format == "wav":
            assert [str(tags[name]) for name in ("TIT2", "TPE1", "TRCK")] == [
                "Lament - drums",
                "Nobody",
                "2/2",
            ]
        else:
            assert [tags[name][0] for name in ("title", "artist", "tracknumber")] == [
                "Lament - drums",
                "Nobody",
                "2/2",
            ]

    def test_a_song_without_tags_gives_stems_with_a_title(self, mixagent, shared, song):
        shared(("vocals", "drums"), (0.5, 0.5))
        files = split(mixagent, song, "--format", "flac")["files"]
        assert mutagen.File(files["vocals"])["title"] == ["song - vocals"]

    def test_another_sample_rate_keeps_the_length_in_seconds(self, mixagent, shared, song):
        shared(("vocals", "drums"), (0.5, 0.5))
        account = split(mixagent, song, "--sample-rate", "48000")
        info = soundfile.info(account["files"]["vocals"])
        assert (info.samplerate, info.frames) == (48000, 3 * 48000)

    def test_stems_are_left_at_their_level_unless_asked(self, mixagent, shared, song):
        shared(("vocals", "drums"), (0.5, 0.25))
        assert split(mixagent, song)["gain_db"] == 0.0
        account = split(mixagent, song, "--normalise")
        vocals, drums = (samples(Path(account["files"][name])) for name in ("vocals", "drums"))
        assert 20 * np.log10(np.abs(vocals).max()) == pytest.approx(-1.0, abs=0.01)
        np.testing.assert_allclose(vocals, 2 * drums, atol=1e-5)
        expected_db = -1.0 - 20 * np.log10(0.5 * np.abs(samples(song)).max())
        assert account["gain_db"] == pytest.approx(expected_db, abs=0.01)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--format", "flac"], "was clipped"),
            (["--bit-depth", "16"], "was clipped"),
            (["--format", "mp3"], "players clip it"),
            ([], "32-bit float keeps it"),
        ],
    )
    def test_what_is_over_full_scale_is_said_in_decibels(self, mixagent, shared, song, options, words):
        gain = 2.0 / np.abs(samples(song)).max()
        shared(("vocals", "drums"), (gain, 1.0 - gain))
        warnings = split(mixagent, song, *options)["warnings"]
        found = next(w for w in warnings if (w["kind"], w["stem"]) == ("clipping", "vocals"))
        assert "6.0 dB over full scale" in found["text"]
        assert words in found["text"]

    def test_normalising_instead_of_clipping(self, mixagent, shared, song):
        gain = 2.0 / np.abs(samples(song)).max()
        shared(("vocals", "drums"), (gain, 1.0 - gain))
        account = split(mixagent, song, "--format", "flac", "--normalise")
        assert not [w for w in account["warnings"] if w["kind"] == "clipping"]
        assert account["gain_db"] < -6.9

    def test_an_interrupted_write_leaves_no_stem(self, mixagent, shared, song, monkeypatch):
        import mixagent.stem_files as module

        shared(("vocals", "drums"), (0.5, 0.5))
        encode = module.encode

        def interrupted(source, path, *arguments, **options):
            if "drums" in path.name:
                raise KeyboardInterrupt
            return encode(source, path, *arguments, **options)

        monkeypatch.setattr(module, "encode", interrupted)
        ran = mixagent("split", song)
        assert (ran.code, len(ran.err.splitlines())) == (130, 1)
        assert list(song.parent.iterdir()) == [song]


class TestAgain:
    def test_a_finished_song_is_left_as_it_is_and_said_so(self, mixagent, shared, song):
        shared(FOUR)
        first = split(mixagent, song)
        before = {path: path.stat().st_mtime_ns for path in song.with_name("song.stems").iterdir()}
        again = split(mixagent, song)
        assert (first["status"], again["status"]) == ("split", "unchanged")
        assert again == {**first, "status": "unchanged"}
        assert {path: path.stat().st_mtime_ns for path in song.with_name("song.stems").iterdir()} == before
        assert "left as it is" in mixagent("split", song).err

    @pytest.mark.parametrize("options", [["--stems", "2"], ["--normalise"], ["--bit-depth", "16"]])
    def test_other_settings_split_it_again(self, mixagent, shared, song, options):
        shared(FOUR)
        split(mixagent, song)
        assert split(mixagent, song, *options)["status"] == "split"

    def test_another_song_or_a_missing_file_splits_it_again(self, mixagent, shared, song):
        shared(FOUR)
        first = split(mixagent, song)
        Path(first["files"]["bass"]).unlink()
        assert split(mixagent, song)["status"] == "split"
        write_song(song, seconds=2.0)
        assert split(mixagent, song)["status"] == "split"

    def test_files_of_an_earlier_split_are_named(self, mixagent, shared, song):
        shared(FOUR)
        split(mixagent, song)
        warnings = split(mixagent, song, "--stems", "2")["warnings"]
        (left,) = [w for w in warnings if w["kind"] == "left_over"]
        assert "song - 02 drums.wav" in left["text"]


class TestFolders:
    @pytest.fixture
    def music(self, tmp_path, shared):
        shared(("vocals", "drums"), (0.5, 0.5))
        music = tmp_path / "music"
        (music / "album").mkdir(parents=True)
        write_song(music / "one.wav", seconds=1.0)
        write_song(music / "album" / "two.flac", "PCM_16", seconds=1.0)
        (music / "broken.mp3").write_text("not music")
        (music / "notes.txt").write_text("nor this")
        return music

    def test_a_broken_file_does_not_stop_the_others(self, mixagent, music):
        ran = mixagent("split", music, "--json")
        outcome = json.loads(ran.out)
        assert ran.code == 3
        assert [Path(song["song"]).name for song in outcome["songs"]] == ["one.wav", "two.flac"]
        (failed,) = outcome["failed"]
        assert failed["song"] == str(music / "broken.mp3")
        assert ran.err.splitlines() == [f"mixagent: {failed['error']}"]
        assert len(written(music / "one.stems")) == len(written(music / "album" / "two.stems")) == 2
        assert not (music / "broken.stems").exists()

    def test_a_second_run_goes_on_where_the_first_stopped(self, mixagent, music):
        mixagent("split", music / "one.wav")
        outcome = json.loads(mixagent("split", music, "--json").out)
        assert [song["status"] for song in outcome["songs"]] == ["unchanged", "split"]

    def test_an_output_folder_gets_a_folder_for_each_song(self, mixagent, music, tmp_path):
        out = tmp_path / "out"
        mixagent("vocals", music, "-o", out)
        folders = sorted(str(path.relative_to(out)) for path in out.rglob("*.vocals"))
        assert folders == ["album/two.vocals", "one.vocals"]

    def test_one_song_goes_into_the_output_folder_itself(self, mixagent, music, tmp_path):
        mixagent("split", music / "one.wav", "-o", tmp_path / "out")
        assert written(tmp_path / "out") == ["one - 01 vocals.wav", "one - 02 drums.wav"]

    def test_stems_are_not_taken_for_songs_wherever_they_were_put(self, mixagent, music):
        mixagent("split", music / "one.wav", "-o", music)
        mixagent("split", music / "album" / "two.flac", "-o", music / "parts")
        outcome = json.loads(mixagent("split", music, "--json").out)
        assert [Path(song["song"]).name for song in outcome["songs"]] == ["one.wav", "two.flac"]

    def test_songs_that_differ_in_their_suffix_do_not_meet(self, mixagent, music):
        write_song(music / "one.flac", "PCM_16", seconds=1.0)
        mixagent("split", music)
        assert {path.name for path in music.glob("one*.stems")} == {"one.wav.stems", "one.flac.stems"}

    def test_songs_of_one_name_in_two_places_are_refused(self, mixagent, music, tmp_path):
        other = tmp_path / "one.wav"
        write_song(other, seconds=1.0)
        ran = mixagent("split", music / "one.wav", other, "-o", tmp_path / "out")
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)

    @pytest.mark.parametrize(("name", "words"), [("", "without a name"), ("/", "a whole disk")])
    def test_what_an_unset_variable_leaves_is_refused(self, mixagent, monkeypatch, music, name, words):
        monkeypatch.chdir(music)
        monkeypatch.setattr("os.walk", lambda root: pytest.fail(f"looks for songs in {root}"))
        ran = mixagent("split", name)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
        assert words in ran.err

    def test_a_folder_without_songs_is_an_input_error(self, mixagent, tmp_path):
        (tmp_path / "empty").mkdir()
        ran = mixagent("split", tmp_path / "empty")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)


def kinds(account):
    return {(warning["kind"], warning["stem"]) for warning in account["warnings"]}


class TestBadInput:
    """With the embedded separator itself."""

    def song(self, folder: Path, values: np.ndarray, rate: int = RATE) -> Path:
        path = folder / "song.wav"
        soundfile.write(path, values, rate, "FLOAT")
        return path

    @pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (8000, 1), (8000, 2), (96000, 2)])
    def test_mono_and_other_rates_keep_their_shape_and_null(self, mixagent, tmp_path, rate, channels):
        song = self.song(tmp_path, song_samples(3.2, rate, channels), rate)
        account = split(mixagent, song)
        info = soundfile.info(account["files"]["vocals"])
        assert (info.samplerate, info.channels, info.frames) == (rate, channels, round(3.2 * rate))
        assert null_db(song, tmp_path / "song.stems") < -90

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (song_samples(0.2), "too short"),
            (np.where(np.arange(3 * RATE) == RATE, np.nan, 0.1), "NaN samples"),
        ],
        ids=["0.2 s", "NaN"],
    )
    def test_what_cannot_be_split_gets_one_line(self, mixagent, tmp_path, values, words):
        song = self.song(tmp_path, values)
        ran = mixagent("split", song)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (3, "", 1)
        assert words in ran.err
        assert list(tmp_path.iterdir()) == [song]

    def test_a_short_song_is_split_with_a_warning(self, mixagent, tmp_path):
        account = split(mixagent, self.song(tmp_path, song_samples(0.6)))
        assert ("short", None) in kinds(account)

    def test_silence_is_said_to_be_silent(self, mixagent, tmp_path):
        account = split(mixagent, self.song(tmp_path, np.zeros((4 * RATE, 2), np.float32)))
        assert kinds(account) == {("silent", None)}
        assert account["integrated_lufs"] is None
        assert all(stem["confidence"] == 0.0 for stem in account["stems"].values())
        assert all(stem["peak_dbfs"] is None for stem in account["stems"].values())

    def test_a_very_quiet_song_is_split_like_a_loud_one_and_said_to_be_quiet(self, mixagent, tmp_path):
        loud = split(mixagent, self.song(tmp_path, song_samples(4.0)))
        values = samples(Path(loud["files"]["other"]))
        quiet = split(mixagent, self.song(tmp_path, song_samples(4.0) * 0.006))
        assert ("quiet", None) in kinds(quiet)
        assert quiet["integrated_lufs"] < -55
        found = samples(Path(quiet["files"]["other"])) / 0.006
        assert 10 * np.log10(np.sum(values**2) / np.sum((values - found) ** 2)) > 40

    def test_a_stem_without_sound_is_handed_out_with_a_warning(self, mixagent, shared, song):
        shared(("vocals", "drums"), (1.0, 0.0))
        account = split(mixagent, song)
        assert ("silent", "drums") in kinds(account)
        assert "drums is as good as silent" in mixagent("split", song).err

    def test_a_stem_far_below_the_song_is_said_to_be_faint(self, mixagent, shared, song):
        shared(("vocals", "drums"), (0.97, 0.03))
        account = split(mixagent, song)
        assert kinds(account) == {("faint", "drums")}
        # 20 log10(0.03) = −30.5
        assert "30 LU below the song" in mixagent("split", song).err

    @pytest.mark.parametrize("alone", ["drums", "tone"])
    def test_a_song_of_one_kind_keeps_it_in_one_stem(self, mixagent, tmp_path, alone):
        time_s = np.arange(4 * RATE) / RATE
        noise = np.random.default_rng(0).normal(0, 0.3, (4 * RATE, 2))
        hits = noise * np.exp(-30 * (time_s % 0.25))[:, None]
        tone = np.tile(0.3 * np.sin(2 * np.pi * 110 * time_s)[:, None], 2)
        song = self.song(tmp_path, hits if alone == "drums" else tone)
        account = split(mixagent, song, "--stems", "2")
        vocals = account["stems"]["vocals"]
        assert vocals["evidence"]["share_db"] < -10
        assert kinds(account) & {(kind, "vocals") for kind in ("silent", "faint", "low_confidence")}
        assert null_db(song, tmp_path / "song.stems") < -90


def test_memory_does_not_grow_with_the_song(tmp_path, cache_folder):
    def peak_kb(seconds: int) -> int:
        path = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
            for _ in range(seconds // 10):
                file.write(0.1 * np.random.default_rng(0).standard_normal(160_000))
        script = (
            "import re, sys\nfrom mixagent.cli.app import command_line\n"
            "command_line()(sys.argv[1:], standalone_mode=False)\n"
            "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
        )
        command = [sys.executable, "-c", script, "split", str(path), "--stems", "2", "--no-cache"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(ran.stderr.splitlines()[-1])

    short, long = peak_kb(20), peak_kb(70)
    # The spectra and activations of 50 s more would take 200 MB.
    assert long - short < 60_000


def test_an_interrupted_run_goes_on(tmp_path, cache_folder):
    music = tmp_path / "music"
    music.mkdir()
    for name in ("a", "b"):
        write_song(music / f"{name}.wav", seconds=12.0)
    command = [sys.executable, "-m", "mixagent", "split", str(music), "--quiet"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_interruptible
    )
    while not list((music / "a.stems").glob("a*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "finished are kept" in err
    assert not {path.name for path in music.iterdir()} - {"a.wav", "b.wav", "a.stems"}
    ran = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert [song["status"] for song in json.loads(ran.stdout)["songs"]] == ["unchanged", "split"]


def test_what_a_killed_run_left_is_swept_away(mixagent, shared, song):
    shared(("vocals", "drums"), (0.5, 0.5))
    folder = song.with_name("song.stems")
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom mixagent.pipeline.files import hidden_folder\n"
        "with hidden_folder(Path(sys.argv[1])) as hidden:\n"
        "    (hidden / 'half.wav').touch()\n    print(hidden.name, flush=True)\n    time.sleep(60)"
    )
    folder.mkdir()
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        hidden = folder / process.stdout.readline().strip()
        split(mixagent, song)
        at_work = hidden.exists()
        process.kill()
    split(mixagent, song, "--normalise")
    assert at_work
    assert not hidden.exists()
    assert written(folder) == ["song - 01 vocals.wav", "song - 02 drums.wav"]


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
