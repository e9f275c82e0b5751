import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from repairing import repair
from scipy.signal import butter, sosfilt
from voices import melody, natural, sing

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.pitch import track_pitch
from mixagent.pipeline.measure.singing import measure_singing
from mixagent.pipeline.restoration import naturalizer
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.restoration.naturalizer import Naturalness
from mixagent.pipeline.types import Audio, load

RATE = 44100


def said(share):
    return None


def found_of(voice):
    return naturalizer.find(voice, analyse(voice), said)


def sung(audio):
    return measure_singing(track_pitch(audio, said))


@pytest.fixture(scope="module")
def machine():
    return sing(melody())


@pytest.fixture(scope="module")
def found(machine):
    return found_of(machine)


@pytest.fixture(scope="module")
def result(machine, found, tmp_path_factory):
    return naturalizer.run(machine, found, tmp_path_factory.mktemp("voice"), said)


class TestFind:
    def test_a_voice_that_stands_on_its_notes_is_found_and_what_it_needs_said(self, found):
        assert found.amount == 1.0
        needed = found.details["naturalness"]
        assert needed["vibrato"] == needed["glides"] == needed["breath"] == 1.0
        assert needed["metallic"] == 0.0
        assert found.values["rigid_share"] == 1.0
        assert "8 of 8 held notes" in found.why

    def test_its_details_survive_json(self, found):
        assert json.loads(json.dumps(found.details)) == found.details

    def test_vowels_that_never_move_are_set_in_motion(self, found):
        assert found.details["naturalness"]["formants"] > 0.5

    def test_a_singer_is_left(self):
        assert found_of(sing(natural(melody()))) is None

    def test_rests_between_rigid_notes_leave_no_glides(self):
        needed = found_of(sing(melody(rest_s=0.2))).details["naturalness"]
        assert needed["vibrato"] == 1.0
        assert needed["glides"] == needed["breath"] == 0.0

    @pytest.mark.parametrize("rate", [8000, 96000])
    def test_it_is_found_at_any_rate_and_metal_only_where_there_are_highs(self, rate):
        voice = sing(melody(rate=rate), rate)
        assert found_of(voice).details["naturalness"]["metallic"] == 0.0

    def test_highs_that_stand_out_are_metallic(self):
        voice = with_metal(sing(natural(melody())), 0.3)
        needed = found_of(voice).details["naturalness"]
        assert needed["metallic"] > 0.5
        assert needed["vibrato"] == 0.0

    def test_two_voices_at_once_are_left(self):
        one, two = sing(melody()), sing(melody((700, 500, 900, 700, 1000, 900, 700, 500)))
        assert found_of(Audio(one.samples + two.samples, RATE)) is None

    def test_a_choir_is_left(self):
        rng = np.random.default_rng(0)
        parts = [
            sing(natural(melody(), depth_cents=rng.uniform(20, 50), rate_hz=rng.uniform(4, 7))).samples
            for _ in range(4)
        ]
        assert found_of(Audio(sum(parts), RATE)) is None

    def test_spoken_words_are_left(self):
        time_s = np.arange(8 * RATE) / RATE
        cents = 400 * np.sin(2 * np.pi * 1.7 * time_s) - 300 * (time_s % 1)
        cents[(time_s % 0.35) > 0.22] = np.nan
        assert found_of(sing(cents, base_hz=120.0)) is None

    def test_what_leaked_of_an_instrument_is_left(self, machine):
        song = replace(analyse(machine), integrated_lufs=analyse(machine).integrated_lufs + 22)
        assert naturalizer.find(machine, song, said) is None

    @pytest.mark.parametrize("frames", [0, 1, 4000, 30000])
    def test_silence_and_shortness_are_left(self, machine, frames):
        assert found_of(Audio(machine.samples[:, :frames].copy(), RATE)) is None
        assert found_of(Audio(np.zeros((2, frames), np.float32), RATE)) is None


class TestRun:
    def test_rigid_notes_move_as_a_singers_and_steps_become_glides(self, machine, result):
        before, after = sung(machine), sung(result.audio)
        assert result.applied
        assert before.deviation_cents < 2
        assert naturalizer.NATURAL_DEVIATION_CENTS / 2 < after.deviation_cents < 25
        assert naturalizer.NATURAL_MODULATION_CENTS / 2 < after.modulation_cents < 15
        assert before.glide_s < 0.025
        assert after.glide_s == pytest.approx(naturalizer.NATURAL_GLIDE_S, abs=0.01)

    def test_length_and_rate_stay(self, machine, result):
        after = load(result.audio)
        assert (after.rate, after.samples.shape) == (RATE, machine.samples.shape)

    def test_outside_the_notes_it_is_the_voice_bit_for_bit(self, tmp_path):
        voice = sing(melody(rest_s=0.4))
        found = found_of(voice)
        only_pitch = {**found.details, "naturalness": asdict(Naturalness(vibrato=1.0))}
        after = load(naturalizer.run(voice, replace(found, details=only_pitch), tmp_path, said).audio)
        time_s = np.arange(voice.frames) / RATE
        resting = (time_s % 1.0 > 0.68) & (time_s % 1.0 < 0.96)
        np.testing.assert_array_equal(after.samples[:, resting], voice.samples[:, resting])
        assert np.any(after.samples != voice.samples)

    def test_with_every_amount_at_0_nothing_changes(self, machine, found, tmp_path):
        nothing = replace(found, details={**found.details, "naturalness": asdict(Naturalness())})
        after = load(naturalizer.run(machine, nothing, tmp_path, said).audio)
        np.testing.assert_array_equal(after.samples, machine.samples)

    def test_it_does_the_same_each_time_and_in_every_channel(self, machine, found, result, tmp_path):
        stereo = Audio(np.repeat(machine.samples, 2, axis=0), RATE)
        again = load(naturalizer.run(stereo, found, tmp_path, said).audio).samples
        np.testing.assert_array_equal(again[0], again[1])
        np.testing.assert_allclose(again[:1], load(result.audio).samples, atol=1e-6)

    def test_breath_is_noise_of_1_to_4_khz_30_db_under_the_voice_at_its_steps(self, machine, found, tmp_path):
        only = replace(found, details={**found.details, "naturalness": asdict(Naturalness(breath=1.0))})
        breath = load(naturalizer.run(machine, only, tmp_path, said).audio).samples - machine.samples
        time_s = np.arange(machine.frames) / RATE
        from_step = np.abs((time_s + 0.3) % 0.6 - 0.3)
        assert not breath[:, from_step > 0.08].any()
        step = slice(round(0.57 * RATE), round(0.63 * RATE))
        level_db = 10 * np.log10(np.mean(breath[0, step] ** 2) / np.mean(machine.samples[0, step] ** 2))
        assert level_db == pytest.approx(-30, abs=3)
        power = np.abs(np.fft.rfft(breath[0])) ** 2
        hz = np.fft.rfftfreq(breath.shape[1], 1 / RATE)
        assert power[(hz > 950) & (hz < 4100)].sum() > 0.98 * power.sum()

    def test_metal_loses_30_percent_at_most_and_nothing_else_does(self, tmp_path):
        voice = with_metal(sing(natural(melody())), 0.3)
        after = load(repair(naturalizer, voice, tmp_path).audio).samples
        hz = np.fft.rfftfreq(voice.frames, 1 / RATE)
        gain = np.abs(np.fft.rfft(after[0])) / np.maximum(np.abs(np.fft.rfft(voice.samples[0])), 1e-9)
        metal = (hz > 7300) & (hz < 8300)
        assert 0.69 < np.median(gain[metal]) < 0.95
        strong = np.abs(np.fft.rfft(voice.samples[0])) > 1.0
        np.testing.assert_allclose(gain[(hz < 5500) & strong], 1.0, atol=0.02)

    def test_a_voice_that_becomes_no_number_is_left(self, machine, found, tmp_path):
        broken = Audio(machine.samples.copy(), RATE)
        broken.samples[:, 50000] = np.nan
        restored = naturalizer.run(broken, found, tmp_path, said)
        assert not restored.applied
        assert restored.audio is broken
        assert "no numbers" in restored.why

    def test_a_progress_that_raises_stops_it(self, machine, found, tmp_path):
        def cancel(share):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            naturalizer.run(machine, found, tmp_path, cancel)


class TestNaturalness:
    @pytest.mark.parametrize("wrong", [{"vibrato": -0.1}, {"glides": 1.1}, {"rate_hz": 20.0}])
    def test_amounts_out_of_range_are_named(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Naturalness(**wrong)

    @pytest.mark.parametrize("rate_hz", [4.5, 6.0])
    def test_the_vibrato_has_the_rate_that_is_set(self, rate_hz, tmp_path):
        voice = sing(np.zeros(6 * RATE))
        details = {
            "naturalness": asdict(Naturalness(vibrato=1.0, rate_hz=rate_hz)),
            "rigid": [[5, 370]],
            "steps": [],
            "sung": [],
        }
        after = naturalizer.run(voice, Found("", {}, details), tmp_path, said).audio
        cents = track_pitch(after, said).cents[40:340]
        spectrum = np.abs(np.fft.rfft((cents - cents.mean()) * np.hanning(len(cents)), 1 << 12))
        hz = np.fft.rfftfreq(1 << 12, 0.016)
        fast = hz > 3
        assert hz[fast][spectrum[fast].argmax()] == pytest.approx(rate_hz, abs=0.5)
        assert np.abs(cents - cents.mean()).max() < 40


def with_metal(voice, level):
    """Steady noise of 6.5 to 9.5 kHz as loud as so much of the voice, while it sings."""
    noise = np.random.default_rng(1).standard_normal(voice.frames)
    band = sosfilt(butter(4, (6500, 9500), "bandpass", fs=voice.rate, output="sos"), noise)
    band *= level * voice.samples.std() / band.std()
    return Audio((voice.samples + band).astype(np.float32), voice.rate)
