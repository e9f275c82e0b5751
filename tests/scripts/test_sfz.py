"""SFZ instruments: regions inherit, noises are left out, and notes sound at their pitch, place and time."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from script_modules import load_script

RATE = 44100


@pytest.fixture(scope="module")
def modules():
    return {name: load_script(name) for name in ("midi", "sfz")}


@pytest.fixture
def sfz(modules):
    return modules["sfz"]


@pytest.fixture
def bass(tmp_path) -> Path:
    """An SFZ file with a sine of 110 Hz, soft and loud, a noise, and a sample that is not there."""
    t = np.arange(RATE) / RATE
    (tmp_path / "notes").mkdir()
    for name, level in (("soft", 0.1), ("loud", 0.4), ("noise", 0.4)):
        soundfile.write(tmp_path / "notes" / f"a2_{name}.wav", level * np.sin(2 * np.pi * 110 * t), RATE)
    (tmp_path / "map.sfz").write_text("<region> sample=a2_$LOUD.wav lovel=64 volume=-6\n")
    (tmp_path / "bass.sfz").write_text(
        "#define $LOUD loud\n<control> default_path=notes\\\n<global> ampeg_release=0.05 // short\n"
        "<group> lokey=40 hikey=a2 pitch_keycenter=45\n<region> sample=a2_soft.wav hivel=63\n"
        '#include "map.sfz"\n'
        "<group> key=90 <region> sample=a2_noise.wav\n<region> sample=a2_gone.wav\n"
        "<group> trigger=release <region> sample=a2_soft.wav\n"
    )
    return tmp_path / "bass.sfz"


def played(modules, path, *notes, controls=(), octaves=0, seconds=2):
    score = modules["midi"].Score(tuple(modules["midi"].Note(*note) for note in notes), tuple(controls))
    instrument = modules["sfz"].Instrument.read(path, octaves)
    return modules["sfz"].perform(score, instrument, seconds * RATE, np.random.default_rng(0))


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 19))
    return float(np.argmax(spectrum)) * RATE / (1 << 19)


def test_regions_have_what_their_groups_and_includes_say_and_noises_are_left_out(sfz, bass):
    soft, loud = sfz.Instrument.read(bass).regions
    assert (soft.path.name, soft.low_key, soft.high_key, soft.centre) == ("a2_soft.wav", 40, 45, 45)
    assert (soft.low_velocity, soft.high_velocity, soft.gain_db) == (0, 63, 0.0)
    assert (loud.path.name, loud.low_velocity, loud.high_velocity) == ("a2_loud.wav", 64, 127)
    assert (loud.gain_db, loud.release_s) == (-6.0, 0.05)


def test_a_file_without_notes_says_so(sfz, tmp_path):
    (tmp_path / "empty.sfz").write_text("<region> sample=none.wav\n")
    with pytest.raises(ValueError, match="no sample"):
        sfz.Instrument.read(tmp_path / "empty.sfz")


@pytest.mark.parametrize(("pitch", "expected"), [(45, 45), (43, 43), (31, 43), (57, 45), (46, 46)])
def test_a_note_sounds_at_its_pitch_or_octaves_from_it_where_there_are_no_keys(
    modules, bass, pitch, expected
):
    sound = played(modules, bass, (0.0, 1.0, 0, pitch, 100))
    assert pitch_hz(sound[0, 4000:36000]) == pytest.approx(440 * 2 ** ((expected - 69) / 12), rel=2e-3)


def test_keys_mapped_as_notated_sound_an_octave_lower(modules, bass):
    sound = played(modules, bass, (0.0, 1.0, 0, 33, 100), octaves=1)
    assert pitch_hz(sound[0, 4000:36000]) == pytest.approx(110, rel=2e-3)


def test_a_note_stands_where_its_channel_is_panned_and_ends_with_its_release(modules, bass):
    control = modules["midi"].Control(0.0, 2, 0xB0, (10, 0))
    sound = played(modules, bass, (0.5, 0.8, 2, 45, 100), controls=[control])
    assert not sound[1].any() or np.abs(sound[1]).max() < 1e-6
    assert not sound[0, : RATE // 2].any()
    assert np.abs(sound[0, RATE // 2 : RATE]).max() > 0.05
    assert not sound[0, round(0.86 * RATE) :].any()
