"""A song of one channel may be counted as the two loudspeakers that it comes from; without, it is told."""

import numpy as np
import pytest
import soundfile

from mixagent.pipeline.finaliser.targets import loudness_target
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import Audio
from mixagent.session.analyse import measured_song
from mixagent.session.dual_mono import counted, file_target, mono_words
from mixagent.session.master import Request, master_song
from mixagent.settings import load_config

RATE = 44_100
TWICE_LU = 10 * np.log10(2)


@pytest.fixture
def mono(tmp_path, cache_folder):
    rng = np.random.default_rng(5)
    time = np.arange(5 * RATE) / RATE
    samples = 0.2 * np.sin(2 * np.pi * 220 * time) * (1 + 0.3 * np.sin(2 * np.pi * time))
    soundfile.write(tmp_path / "mono.wav", samples + 0.02 * rng.standard_normal(len(time)), RATE, "PCM_24")
    return tmp_path / "mono.wav"


def lufs(path, channels):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return integrated_lufs(Audio(np.ascontiguousarray(np.repeat(samples.T, channels, axis=0)), rate))


def mastered(song, dual_mono):
    request = Request(
        song,
        song.with_name("master.wav"),
        loudness_target("-18"),
        config=load_config(["pipeline=debug"]),
        dual_mono=dual_mono,
    )
    with master_song(request) as result:
        return result.report


def test_a_mono_master_counted_as_two_channels_plays_at_the_target(mono):
    report = mastered(mono, dual_mono=True)
    master = mono.with_name("master.wav")
    assert soundfile.info(master).channels == 1
    # The same samples on two channels, by the same meter.
    assert lufs(master, 2) == pytest.approx(-18, abs=0.1)
    assert report.after.integrated_lufs == pytest.approx(lufs(master, 2), abs=0.05)
    assert report.target.integrated_lufs == -18
    assert report.met
    assert report.replay.dual_mono
    assert any("counted as two (dual mono)" in line for line in report.warnings)


def test_without_it_the_file_is_at_the_target_and_the_difference_is_told(mono):
    report = mastered(mono, dual_mono=False)
    assert lufs(mono.with_name("master.wav"), 1) == pytest.approx(-18, abs=0.1)
    assert any("plays 3.0 dB louder on two loudspeakers" in line for line in report.warnings)


def test_an_analysis_counts_every_loudness_twice_and_nothing_else(mono):
    once, twice = (measured_song(mono, dual_mono=dual).analysis.to_json() for dual in (False, True))
    assert twice["integrated_lufs"] == pytest.approx(lufs(mono, 2), abs=0.01)
    moved = {name for name in once if once[name] != twice[name]}
    assert moved == {
        *("integrated_lufs", "momentary_max_lufs", "short_term_max_lufs", "short_term_lufs", "plr_db")
    }
    assert twice["plr_db"] == pytest.approx(once["plr_db"] - TWICE_LU)


def test_two_channels_are_never_counted_again():
    target = loudness_target("streaming")
    assert file_target(target, True, 2) is target
    assert file_target(target, True, 1).integrated_lufs == pytest.approx(target.integrated_lufs - TWICE_LU)
    stereo = analyse(Audio(np.full((2, RATE), 0.1, np.float32), RATE))
    assert counted(stereo, True) is stereo
    assert mono_words(True, 2) == mono_words(False, 2) == []
