"""The example's instruments: deterministic, in tune, and a file small enough to ship."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from script_modules import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example():
    return load_script("make_example")


def test_the_committed_example_is_short_stereo_and_under_five_megabytes():
    path = ROOT / "examples" / "raw.flac"
    about = soundfile.info(path)
    assert path.stat().st_size < 5e6
    assert (about.channels, about.samplerate) == (2, 44_100)
    assert 30 <= about.duration <= 60


def test_a_note_is_sung_at_its_pitch_with_its_formants(example):
    note = example.Syllable(0.0, 2.0, 57, "a")
    sung = example.voiced(note, 57, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(sung * np.hanning(sung.size)))
    hz = np.fft.rfftfreq(sung.size, 1 / example.RATE)
    fundamental = hz[(hz > 180) & (hz < 260)][np.argmax(spectrum[(hz > 180) & (hz < 260)])]
    assert 1200 * abs(np.log2(fundamental / 220.0)) < 50

    def level(low, high):
        return np.sum(spectrum[(hz > low) & (hz < high)] ** 2)

    assert level(600, 1400) > 10 * level(1700, 2300)


def test_the_same_seed_sings_the_same_notes(example):
    sing = [example.sing(example.LEAD[:3], 10 * example.RATE, np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(*sing)
    assert np.abs(sing[0]).max() > 0
