"""The library: what it exports, what it takes and gives back, and how it is stopped."""

import doctest
import pathlib

import numpy as np
import pytest
import soundfile
from songs import RATE, song_samples, write_song

import mixagent
from mixagent import api


def test_the_public_names_are_these():
    assert (
        sorted(mixagent.__all__)
        == mixagent.__all__
        == [
            "AlbumResult",
            "AnalysisResult",
            "Audio",
            "Cancel",
            "CancelledError",
            "ComparisonResult",
            "Event",
            "Finding",
            "InputError",
            "Levels",
            "MasterResult",
            "MixagentError",
            "ModelMissingError",
            "Move",
            "OutputError",
            "OutputFile",
            "ReplayResult",
            "RestoreResult",
            "SplitResult",
            "UsageError",
            "__version__",
            "album",
            "analyze",
            "compare",
            "master",
            "replay",
            "restore",
            "split",
            "vocals",
        ]
    )
    assert all(getattr(mixagent, name) is not None for name in mixagent.__all__)
    with pytest.raises(AttributeError, match="no attribute 'masters'"):
        _ = mixagent.masters


FUNCTIONS = ("album", "analyze", "compare", "master", "replay", "restore", "split", "vocals")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_functions_example_does_what_it_says(name, tmp_path, monkeypatch, cache_folder):
    write_song(tmp_path / "song.wav")
    write_song(tmp_path / "master.wav")
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        getattr(mixagent, name), name, globs={"mixagent": mixagent, "pathlib": pathlib}
    )
    assert example.examples
    outcome = doctest.DocTestRunner(verbose=False).run(example)
    assert outcome.failed == 0


def test_samples_go_in_and_samples_come_out(cache_folder):
    song = mixagent.Audio(np.ascontiguousarray(song_samples().T), RATE)
    seen = []
    result = mixagent.master(song, target=-16, on_event=seen.append)
    assert result.audio.samples.shape == song.samples.shape
    assert result.audio.rate == RATE
    assert result.outputs == ()
    assert result.met
    assert result.after.integrated_lufs == pytest.approx(-16, abs=0.1)
    assert {event.stage for event in seen} >= {"decode", "analyse", "mix", "finalise", "measure"}
    assert all(0 <= event.share <= 1 and event.seconds >= 0 for event in seen)
    assert set(result.timings) >= {"decode", "finalise"}


def test_a_result_is_frozen_and_its_dictionary_is_the_callers_own(tmp_path, cache_folder):
    result = mixagent.analyze(write_song(tmp_path / "song.wav"))
    with pytest.raises(AttributeError):
        result.report = {}
    result.to_dict()["warnings"].append("mine")
    assert "mine" not in result.warnings


def test_a_report_is_saved_as_data_and_as_a_page(tmp_path, cache_folder):
    song = mixagent.Audio(np.ascontiguousarray(song_samples().T), RATE)
    result = mixagent.master(song)
    result.save_report(tmp_path / "report.json")
    result.save_report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8").lstrip().startswith("<!")
    assert (tmp_path / "report.json").stat().st_size > 1000


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path, cache_folder):
    song = write_song(tmp_path / "song.wav")
    result = mixagent.master(
        song, output=tmp_path / "m.wav", dry_run=True, overrides=["master.eq_low_mid_db=-3"]
    )
    assert list(tmp_path.iterdir()) == [song]
    assert any("set by hand" in line for line in result.plan)
    assert result.before == result.after
    assert "finalise" not in result.timings


def test_a_preview_is_the_loudest_part_at_the_level_of_the_master(tmp_path, cache_folder):
    samples = song_samples(20.0)
    samples[: 10 * RATE] *= 0.25
    soundfile.write(tmp_path / "song.wav", samples, RATE, "FLOAT")
    options = {"policy": "neutral", "renders": 1}
    part = mixagent.master(tmp_path / "song.wav", preview=5, **options)
    whole = mixagent.master(tmp_path / "song.wav", **options)
    assert part.audio.frames == 5 * RATE
    start = round(part.report.preview.start_s * RATE)
    assert start >= 9 * RATE
    middle = slice(RATE, 4 * RATE)
    same = whole.audio.samples[:, start : start + 5 * RATE][:, middle]
    level_db = 10 * np.log10(np.mean(part.audio.samples[:, middle] ** 2) / np.mean(same**2))
    assert abs(level_db) < 0.3


def test_an_error_says_which_option_is_at_fault(tmp_path):
    song = write_song(tmp_path / "song.wav")
    with pytest.raises(mixagent.UsageError) as caught:
        mixagent.master(song, output=tmp_path / "m.wav", amount=2)
    assert caught.value.field == "amount"
    assert caught.value.code == "usage"
    assert "--" not in str(caught.value)
    with pytest.raises(mixagent.InputError):
        mixagent.analyze(tmp_path / "missing.wav")


@pytest.mark.parametrize("stage", ["analyse", "mix", "finalise"])
def test_work_that_is_cancelled_goes_no_further_and_leaves_nothing(tmp_path, cache_folder, stage):
    song = write_song(tmp_path / "song.wav", seconds=12.0)
    cancel, after = mixagent.Cancel(), []

    def stop(event):
        if cancel.cancelled:
            after.append(event)
        elif event.stage == stage:
            cancel.cancel()

    with pytest.raises(mixagent.CancelledError):
        mixagent.master(song, output=tmp_path / "m.wav", on_event=stop, cancel=cancel)
    assert after == []
    assert list(tmp_path.iterdir()) == [song]
    assert not list(cache_folder.glob("*/*/.*"))


def test_what_was_cancelled_before_it_began_does_not_begin(tmp_path, cache_folder):
    cancel = mixagent.Cancel()
    cancel.cancel()
    with pytest.raises(mixagent.CancelledError):
        api.analyze(write_song(tmp_path / "song.wav"), cancel=cancel)
