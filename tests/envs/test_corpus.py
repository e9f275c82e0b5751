"""The corpus: what is measured and skipped, splits by artist, copies, stems, kills and full disks."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mixagent.envs import corpus as corpus_module
from mixagent.envs.corpus import Corpus, split_of
from mixagent.envs.duplicates import bit_errors
from mixagent.envs.songs import find_songs
from mixagent.envs.synthetic import SPLITS_OF_TEN, debug_corpus, synthetic_song
from mixagent.pipeline.errors import InputError, OutputError, UsageError
from mixagent.pipeline.types import load

RATE = 44100


def write(path: Path, samples: np.ndarray, rate: int = RATE, artist: str = "", gain: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, samples.shape[0], "PCM_16") as file:
        if artist:
            file.artist = artist
        file.write(gain * samples.T)
    return path


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return synthetic_song(20, 4.0).samples


def added(folder: Path, directory: Path, **options) -> Corpus:
    return Corpus.open(directory).add([folder], shortest_s=2.0, **options)


def reasons(corpus: Corpus) -> dict[str, str]:
    return {row.path.name: row.skipped for row in corpus.skipped()}


def test_files_that_cannot_serve_are_skipped_with_a_reason_and_the_others_indexed(tmp_path, song):
    folder = tmp_path / "music"
    write(folder / "good.flac", song)
    write(folder / "mono.wav", song[:1])
    write(folder / "twice-mono.wav", song[[0, 0]])
    write(folder / "silent.wav", np.zeros_like(song))
    write(folder / "short.wav", song[:, :RATE])
    write(folder / "copy.wav", song)
    (folder / "same-bytes.flac").write_bytes((folder / "good.flac").read_bytes())
    (folder / "text.wav").write_text("not a song")
    (folder / "empty.ogg").touch()
    whole = write(folder / "cut.wav", song[:, ::-1]).read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) * 5 // 8])
    nan = song.copy()
    nan[0, 1000] = np.nan
    soundfile.write(folder / "nan.wav", nan.T, RATE, "FLOAT")
    (folder / "notes.txt").write_text("no audio")
    found = reasons(added(folder, tmp_path / "corpus"))
    assert found["mono.wav"] == "mono"
    assert found["twice-mono.wav"] == "mono in two channels"
    assert found["silent.wav"] == "silent"
    assert found["short.wav"] == "short: 1.0 s, under 2 s"
    assert found["same-bytes.flac"].startswith("duplicate of ")
    assert "cut short or damaged" in found["cut.wav"]
    for name in ("text.wav", "empty.ogg", "nan.wav"):
        assert found[name].startswith("broken: ")
    # Four seconds are too few for the fingerprint to tell a copy by its sound.
    assert [row.path.name for row in Corpus.open(tmp_path / "corpus").songs()] == ["copy.wav", "good.flac"]


def tune(random: np.random.Generator, rate: int) -> np.ndarray:
    """Two minutes of chords of three plucked notes, mono."""
    time_s = np.arange(round(0.4 * rate)) / rate
    hz = random.uniform(150, 2000, (300, 3, 1))
    notes = np.sin(2 * np.pi * hz * time_s) * np.exp(-5 * time_s) * random.uniform(0.1, 1, (300, 3, 1))
    return notes.sum(axis=1).reshape(1, -1).astype(np.float32)


def test_a_copy_in_another_format_level_and_place_in_time_is_found_and_another_song_is_not():
    from mixagent.envs.duplicates import fingerprint, same_recording
    from mixagent.pipeline.types import Audio

    rate = 8000
    first, other = (tune(np.random.default_rng(seed), rate) for seed in (0, 1))
    noise = np.random.default_rng(2).standard_normal(first.shape)
    late = np.pad(0.3 * first + 0.01 * noise, ((0, 0), (rate // 3, 0))).astype(np.float32)
    prints = [fingerprint(Audio(samples, rate)) for samples in (first, late, other)]
    assert same_recording(prints[0], prints[1])
    assert not same_recording(prints[0], prints[2])
    assert bit_errors(np.zeros(0, np.uint16), np.zeros(0, np.uint16)) == 1.0


def test_what_is_measured_matches_what_was_written(tmp_path, song):
    write(tmp_path / "music" / "a.flac", song, artist="Ada")
    clipped = np.clip(8 * song, -1, 1)
    write(tmp_path / "music" / "crushed.flac", clipped, artist="Ada", gain=0.99)
    clean, crushed = added(tmp_path / "music", tmp_path / "corpus").songs()
    assert (clean.rate, clean.channels, clean.artist) == (RATE, 2, "Ada")
    assert clean.duration_s == pytest.approx(4.0)
    assert clean.true_peak_dbtp == pytest.approx(-1 - 6.02, abs=0.6)
    assert clean.fit == ("clean truth", "rough input")
    assert crushed.clipped_runs > 100
    assert crushed.fit == ("rough input",)
    assert Corpus.open(tmp_path / "corpus").songs(fit="clean truth") == [clean]


def test_the_split_follows_the_artist_and_is_near_eighty_ten_ten():
    shares = Counter(split_of(f"artist {n}") for n in range(2000))
    assert shares["train"] / 2000 == pytest.approx(0.8, abs=0.03)
    assert shares["validation"] / 2000 == pytest.approx(0.1, abs=0.02)
    assert split_of("Björk") == split_of("BJÖRK")


def test_songs_without_an_artist_share_the_split_of_their_folder_and_a_split_can_be_forced(tmp_path, song):
    write(tmp_path / "band" / "a.flac", song)
    write(tmp_path / "band" / "b.flac", np.flip(song, 1))
    rows = added(tmp_path / "band", tmp_path / "corpus").songs()
    assert [row.split for row in rows] == [split_of("band")] * 2
    forced = added(tmp_path / "band", tmp_path / "corpus", split="test")
    assert [row.split for row in forced.songs()] == ["test"] * 2
    assert forced.songs("train") == []


def test_a_second_run_measures_only_what_is_new_or_has_changed(tmp_path, song, monkeypatch):
    write(tmp_path / "music" / "a.flac", song)
    write(tmp_path / "music" / "b.flac", np.flip(song, 1))
    added(tmp_path / "music", tmp_path / "corpus")
    write(tmp_path / "music" / "b.flac", -np.flip(song, 0))
    write(tmp_path / "music" / "c.flac", np.flip(song, 1), gain=0.3)
    measured = []
    measure = corpus_module.measure_song

    def watched(found, **options):
        measured.append(found.path.name)
        return measure(found, **options)

    monkeypatch.setattr(corpus_module, "measure_song", watched)
    assert len(added(tmp_path / "music", tmp_path / "corpus").songs()) == 3
    assert measured == ["b.flac", "c.flac"]


def test_a_segment_is_what_lies_there_in_the_file(tmp_path, song):
    write(tmp_path / "music" / "a.wav", song)
    corpus = added(tmp_path / "music", tmp_path / "corpus")
    row = corpus.songs()[0]
    segment = corpus.segment(row, 0.5, 2.0)
    assert (segment.rate, segment.samples.shape) == (RATE, (2, 2 * RATE))
    expected = 0.5 * song[:, round(0.5 * RATE) : round(2.5 * RATE)]
    assert segment.samples == pytest.approx(expected, abs=1e-4)
    past_end = corpus.segment(row, 3.0, 2.0).samples
    assert np.any(past_end[:, : RATE - 1])
    assert not np.any(past_end[:, RATE:])


def test_a_segment_of_another_rate_is_resampled_without_edges(tmp_path):
    time_s = np.arange(4 * 48000) / 48000
    tone = np.stack([np.sin(2 * np.pi * 1000 * time_s), np.cos(2 * np.pi * 1000 * time_s)])
    write(tmp_path / "music" / "a.wav", tone, 48000)
    corpus = added(tmp_path / "music", tmp_path / "corpus")
    segment = corpus.segment(corpus.songs()[0], 1.0, 1.0)
    time_s = 1.0 + np.arange(RATE) / RATE
    assert segment.samples[0] == pytest.approx(0.5 * np.sin(2 * np.pi * 1000 * time_s), abs=2e-4)


def test_a_folder_of_parts_is_one_song_in_stems_whose_mix_is_their_sum(tmp_path, song):
    folder = tmp_path / "songs" / "one"
    write(folder / "drums.wav", song)
    write(folder / "bass.wav", np.flip(song, 1))
    write(folder / "01 Vox.wav", song[:1, : 3 * RATE])
    write(folder / "mix.wav", song)
    corpus = added(tmp_path / "songs", tmp_path / "corpus")
    (row,) = corpus.songs()
    assert (row.kind, row.path, row.fit) == ("stems", folder, ("rough input", "stems"))
    assert [name for name, _ in row.parts] == ["bass", "drums", "vocals"]
    assert row.duration_s == pytest.approx(4.0)
    stems = corpus.stems(row, 2.0, 2.0)
    total = sum(load(part).samples for part in stems.parts.values())
    assert np.array_equal(corpus.segment(row, 2.0, 2.0).samples, load(stems.mix).samples)
    assert load(stems.mix).samples == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(
    ("names", "songs", "in_stems"),
    [
        (("chaos-guitar", "chaos-song", "peace-guitar", "peace-song", "solo"), 3, 2),
        (("01_Kick", "02_ElecGtr1", "03_LeadSynth"), 1, 1),
        (("song-1", "song-2", "drums of war"), 3, 0),
        (("first", "second"), 2, 0),
    ],
)
def test_names_and_equal_lengths_tell_parts_from_songs(tmp_path, names, songs, in_stems):
    for name in names:
        write(tmp_path / f"{name}.wav", np.zeros((2, 100)))
    found = list(find_songs(tmp_path))
    assert (len(found), sum(bool(song.parts) for song in found)) == (songs, in_stems)


def test_a_file_that_went_or_changed_is_reported(tmp_path, song):
    for name in ("a", "b", "c"):
        write(tmp_path / "music" / f"{name}.wav", np.roll(song, 1000 * ord(name), 1))
    corpus = added(tmp_path / "music", tmp_path / "corpus")
    assert corpus.check() == []
    (tmp_path / "music" / "a.wav").unlink()
    write(tmp_path / "music" / "b.wav", song)
    gone, changed = corpus.check()
    assert "a.wav is gone" in gone
    assert "b.wav has changed" in changed
    with pytest.raises(InputError, match=r"a\.wav does not exist"):
        corpus.segment(corpus.songs()[0], 0.0, 1.0)


def test_a_corpus_that_holds_its_songs_can_be_moved(tmp_path, song):
    write(tmp_path / "here" / "songs" / "a.wav", song)
    added(tmp_path / "here" / "songs", tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Corpus.open(tmp_path / "there")
    assert moved.songs()[0].path == tmp_path / "there" / "songs" / "a.wav"
    assert moved.check() == []


def test_an_index_of_another_version_is_refused_with_the_line(tmp_path):
    (tmp_path / "index.jsonl").write_text('{"path": "a.wav"}\n')
    with pytest.raises(InputError, match=r"index\.jsonl, line 1: not a song"):
        Corpus.open(tmp_path)


def test_minus_infinity_survives_the_index(tmp_path, song):
    write(tmp_path / "music" / "a.wav", np.zeros_like(song))
    corpus = added(tmp_path / "music", tmp_path / "corpus")
    assert corpus.rows[0].integrated_lufs == -math.inf
    assert json.loads((tmp_path / "corpus" / "index.jsonl").read_text())["integrated_lufs"] is None


def test_two_programs_do_not_add_at_once(tmp_path, song):
    write(tmp_path / "music" / "a.wav", song)
    with (
        corpus_module.locked(tmp_path / "corpus"),
        pytest.raises(UsageError, match="another program is adding"),
    ):
        added(tmp_path / "music", tmp_path / "corpus")


def test_a_full_disk_is_one_clear_error_and_the_index_stays(tmp_path, song, monkeypatch):
    write(tmp_path / "music" / "a.wav", song)
    before = added(tmp_path / "music", tmp_path / "corpus").rows
    write(tmp_path / "music" / "b.wav", np.flip(song, 1))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "index.jsonl")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left on device"):
        added(tmp_path / "music", tmp_path / "corpus")
    assert Corpus.open(tmp_path / "corpus").rows == before


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a signal of POSIX")
def test_a_kill_in_the_middle_loses_nothing_that_was_saved(tmp_path, song):
    for number in range(12):
        write(tmp_path / "music" / f"{number:02}.wav", np.roll(song, 997 * number, 1))
    program = (
        "import sys, pathlib, mixagent.envs.corpus as c\n"
        "c._SAVE_EVERY_S = 0.0\n"
        "c.Corpus.open(pathlib.Path(sys.argv[1])).add([pathlib.Path(sys.argv[2])], shortest_s=2.0)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "corpus"), str(tmp_path / "music")]
    index = tmp_path / "corpus" / "index.jsonl"
    process = subprocess.Popen(command)
    while process.poll() is None and (not index.exists() or index.read_text().count("\n") < 3):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    saved = Corpus.open(tmp_path / "corpus").rows
    assert len(saved) >= 3
    finished = added(tmp_path / "music", tmp_path / "corpus")
    assert finished.rows[: len(saved)] == saved
    assert len(finished.rows) == 12


def test_the_debug_corpus_has_ten_songs_fit_for_training_in_every_split(tmp_path):
    corpus = debug_corpus(tmp_path, seconds=5.0)
    assert Counter(song.split for song in corpus.songs(fit="clean truth")) == Counter(SPLITS_OF_TEN)
    assert debug_corpus(tmp_path, seconds=5.0).rows == corpus.rows
