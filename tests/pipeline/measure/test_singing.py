import numpy as np
import pytest
from voices import melody, natural, sing

from mixagent.pipeline.measure.pitch import FRAME_S, PitchTrack, track_pitch
from mixagent.pipeline.measure.singing import measure_singing, motion_of
from mixagent.pipeline.types import Audio


def tracked(audio):
    return track_pitch(audio, lambda share: None)


class TestPitch:
    @pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (48000, 2), (8000, 1), (96000, 2)])
    def test_it_is_the_sung_one_at_any_rate(self, rate, channels):
        track = tracked(sing(np.full(2 * rate, 300.0), rate, channels=channels))
        inner = track.hz[10:-10]
        assert np.isfinite(inner).all()
        assert 1200 * np.log2(np.median(inner) / (220 * 2**0.25)) == pytest.approx(0, abs=10)

    def test_a_quiet_voice_is_heard_as_a_loud_one(self):
        loud = sing(melody())
        quiet = Audio(loud.samples * np.float32(0.02), loud.rate)
        one, two = tracked(loud), tracked(quiet)
        np.testing.assert_allclose(one.hz, two.hz, rtol=1e-3)
        both = np.isfinite(one.hz)
        np.testing.assert_allclose(two.level_db[both], one.level_db[both] + 20 * np.log10(0.02), atol=0.1)

    def test_silence_and_noise_have_none(self):
        noise = np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32) * 0.1
        assert not np.isfinite(tracked(Audio(np.zeros((2, 44100), np.float32), 44100)).hz).any()
        assert np.isfinite(tracked(Audio(noise, 44100)).hz).mean() < 0.05

    @pytest.mark.parametrize("frames", [0, 1, 100, 700])
    def test_the_shortest_of_sources_are_tracked(self, frames):
        tracked(Audio(np.full((1, frames), 0.1, np.float32), 44100))

    def test_a_progress_that_raises_stops_it(self):
        def cancel(share):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            track_pitch(sing(melody()), cancel)


class TestSinging:
    def test_notes_that_stand_move_by_nothing(self):
        singing = measure_singing(tracked(sing(melody())))
        assert len(singing.held) == 8
        assert singing.deviation_cents < 2
        assert singing.modulation_cents < 2

    def test_a_vibrato_is_as_deep_as_it_was_sung(self):
        time_s = np.arange(3 * 44100) / 44100
        singing = measure_singing(tracked(sing(30 * np.sin(2 * np.pi * 4.5 * time_s))))
        assert singing.modulation_cents == pytest.approx(30 / np.sqrt(2), rel=0.15)

    def test_steps_are_shorter_than_slides_and_lie_where_they_were_sung(self):
        jumping = measure_singing(tracked(sing(melody())))
        sliding = measure_singing(tracked(sing(natural(melody(), depth_cents=0.0))))
        assert jumping.glide_s < 0.025 < sliding.glide_s
        times = [change.time_s for change in jumping.changes]
        assert len(times) == 7
        np.testing.assert_allclose(times, 0.6 * np.arange(1, 8), atol=0.01)
        np.testing.assert_allclose(
            [change.step_cents for change in jumping.changes],
            np.diff([0, 200, 400, 300, 500, 200, 0, 300]),
            atol=15,
        )

    def test_across_a_rest_there_is_no_change(self):
        assert not measure_singing(tracked(sing(melody(rest_s=0.2)))).changes

    def test_motion_is_the_standard_deviation_and_what_a_parabola_leaves_of_it(self):
        frames = np.arange(60)
        slope = motion_of(0.5 * frames)
        assert slope == (pytest.approx(0.5 * np.std(frames[4:-4])), pytest.approx(0, abs=1e-9))
        assert motion_of(np.zeros(int(0.2 / FRAME_S))) is None
        assert motion_of(np.where(frames % 2, 0.0, np.nan)) is None

    def test_a_track_without_a_pitch_has_no_notes(self):
        nothing = PitchTrack(np.full(100, np.nan), np.zeros(100), np.full(100, -120.0))
        singing = measure_singing(nothing)
        assert not singing.notes
        assert np.isnan(singing.deviation_cents)
