"""What becomes of each track of a folder: its role and how that was found, its place, and what is said."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from tracks import RATE, bass, hats, keys, kick, stereo

from mixagent.pipeline.measure.meters import EnergyMeter, gated_loudness
from mixagent.pipeline.multitrack.placement import summed
from mixagent.pipeline.multitrack.plan import BALANCE_LU, Track, Wish, plan
from mixagent.pipeline.types import BLOCK_FRAMES, Audio, load


def track(name, samples):
    audio = Audio(np.atleast_2d(samples.T).astype(np.float32), RATE)
    meter = EnergyMeter.k_weighted(RATE, audio.channels)
    meter.update(audio.samples)
    with np.errstate(divide="ignore"):
        peak_dbfs = float(20 * np.log10(np.abs(audio.samples).max()))
    return Track(name, audio, gated_loudness(meter.energies), peak_dbfs, meter.energies)


@pytest.fixture(scope="module")
def band():
    named = {"Kick": kick(), "Hat": hats(), "Bass": bass(), "Keys": keys()}
    return [track(name, samples) for name, samples in named.items()]


def rows(made):
    return [(placement.role, placement.how) for placement in made.placements]


def test_the_user_s_word_goes_before_the_name_and_the_name_before_the_content(band):
    tracks = [*band, track("take 4", bass())]
    made = plan(tracks, Wish(roles={1: "other"}))
    assert rows(made) == [
        ("drums", "name"),
        ("other", "map"),
        ("bass", "name"),
        ("piano", "name"),
        ("bass", "content"),
    ]
    assert made.roles == ("drums", "bass", "piano", "other")


def test_a_bounce_that_the_user_gave_a_role_stays(band):
    mix = track(
        "mix", sum(stereo(t.audio.samples.T if t.audio.channels == 2 else t.audio.samples[0]) for t in band)
    )
    assert rows(plan([*band, mix], Wish()))[-1] == ("out", "name")
    assert rows(plan([*band, mix], Wish(roles={4: "other"})))[-1] == ("other", "map")


def test_a_click_and_silence_are_left_out_and_said(band):
    made = plan([*band, track("Click", kick()), track("Vox", 0 * kick())], Wish())
    assert rows(made)[-2:] == [("out", "name"), ("out", "silence")]
    assert "Click is left out: a click track by its name (click)" in made.warnings
    assert "Vox is left out: silent" in made.warnings


def test_a_silent_residual_belongs_to_the_mix_without_a_word(band):
    made = plan([*band, track("residual", 0 * kick())], Wish())
    assert rows(made)[-1] == ("residual", "name")
    assert made.warnings == ()


def test_mono_tracks_alone_make_a_mono_mix_and_a_pair_or_a_stereo_one_a_stereo_mix(band):
    assert plan(band[:3], Wish()).channels == 1
    assert plan(band, Wish()).channels == 2
    pair = [track("OH L", hats()), track("OH R", hats(seed=3))]
    made = plan([*band[:1], *pair], Wish())
    assert made.channels == 2
    assert [placement.side for placement in made.placements] == [0, -1, 1]


def test_the_mix_lasts_as_long_as_the_longest_track_and_a_given_song_s_length_counts(band):
    long = track("Pad", keys(4.0))
    assert plan([*band, long], Wish()).frames == 4 * RATE
    made = plan([*band, long], Wish(song=band[3].audio))
    assert (made.channels, made.frames) == (2, 3 * RATE)
    assert "1 of 5 tracks is longer than the song: cut at its end" in made.warnings


def test_the_starting_balance_is_the_table_s_and_only_attenuates(band):
    vocals = track("Vox", 0.1 * keys())
    made = plan([*band, vocals], Wish(balance="auto"))
    lufs = [t.lufs + p.gain_db for t, p in zip([*band, vocals], made.placements, strict=True)]
    assert max(placement.gain_db for placement in made.placements) == pytest.approx(0)
    # Two tracks share what their role has.
    assert lufs[0] == pytest.approx(lufs[1])
    assert lufs[0] + 10 * np.log10(2) - lufs[4] == pytest.approx(BALANCE_LU["drums"] - BALANCE_LU["vocals"])
    assert lufs[2] - lufs[4] == pytest.approx(BALANCE_LU["bass"] - BALANCE_LU["vocals"])


def test_without_being_asked_no_gain_is_changed(band):
    loud = [track(t.name, (0.9 / np.abs(t.audio.samples).max() * t.audio.samples).T.squeeze()) for t in band]
    made = plan(loud, Wish())
    assert all(placement.gain_db == 0 for placement in made.placements)
    assert "all 4 tracks peak at -0.9 dBFS" in made.warnings[0]


def test_equally_loud_tracks_are_said_to_be_no_mix(band):
    level = [track(t.name, (10 ** ((-20 - t.lufs) / 20) * t.audio.samples).T.squeeze()) for t in band]
    assert "equally loud" in plan(level, Wish()).warnings[0]


class TestPlaces:
    @pytest.fixture
    def kicks(self):
        return [track("Kick In", kick()), track("Kick Out", -0.7 * kick(at_s=0.004)), track("Bass", bass())]

    def low_db(self, tracks, made):
        spectrum = np.fft.rfft(load(summed([t.audio for t in tracks], made, "drums")).samples[0])
        hz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
        return 10 * np.log10(np.square(np.abs(spectrum[(hz > 30) & (hz < 200)])).sum())

    def test_microphones_are_laid_on_each_other_and_the_lows_rise_as_said(self, kicks):
        left, made = plan(kicks, Wish(align=False)), plan(kicks, Wish())
        assert made.placements[1].invert
        assert made.placements[1].advance == pytest.approx(0.004 * RATE, abs=1)
        (pair,) = made.pairs
        rise_db = self.low_db(kicks, made) - self.low_db(kicks, left)
        assert rise_db > 1
        said_db = float(pair.split("laid onto it, ")[1].split(" dB")[0])
        assert said_db == pytest.approx(rise_db, abs=0.5)

    def test_they_are_told_and_left_where_aligning_is_off(self, kicks):
        made = plan(kicks, Wish(align=False))
        assert not any(p.advance or p.invert for p in made.placements)
        assert made.pairs == (
            "Kick Out holds the sound of Kick In, 4.0 ms later and upside down: left as it is",
        )

    def test_within_a_song_s_tracks_nothing_moves_alone(self, kicks):
        song = load(summed([t.audio for t in kicks], plan(kicks, Wish(align=False))))
        made = plan(kicks, Wish(song=song))
        assert not any(p.advance or p.invert for p in made.placements)
        assert made.pairs

    def test_a_room_may_come_later(self, kicks):
        room = [kicks[0], track("Kick Room", 0.7 * kick(at_s=0.012)), kicks[2]]
        made = plan(room, Wish())
        assert made.placements[1].advance == 0
        assert made.pairs == ("Kick Room holds the sound of Kick In, 12.0 ms later: left as it is",)

    def test_two_sides_keep_their_offset(self):
        sides = [track("Gtr L", keys()[:, 0]), track("Gtr R", np.roll(keys()[:, 0], 300))]
        made = plan([*sides, track("Bass", bass())], Wish())
        assert [p.advance for p in made.placements] == [0, 0, 0]
        assert [p.side for p in made.placements] == [-1, 1, 0]

    def test_what_cancels_in_the_lows_is_said(self):
        """Two takes of one line, upside down in the lows and each with highs of its own."""
        tracks = [track("Bass 1", bass() + 3 * hats()), track("Bass 2", -0.8 * bass() + 3 * hats(seed=3))]
        (pair,) = plan(tracks, Wish(align=False)).pairs
        assert pair.startswith("Bass 1 and Bass 2 cancel each other in the lows (correlation −")

    def test_tracks_of_different_roles_are_not_compared(self, kicks):
        same = [track("Kick", kick()), track("Synth", -kick())]
        assert plan([*same, kicks[2]], Wish()).pairs == ()


@dataclass
class Watched:
    """A source that remembers the longest read."""

    source: Audio
    longest: list[int] = field(default_factory=lambda: [0])

    rate = property(lambda self: self.source.rate)
    channels = property(lambda self: self.source.channels)
    frames = property(lambda self: self.source.frames)

    def read(self, start, stop):
        self.longest[0] = max(self.longest[0], stop - start)
        return self.source.read(start, stop)


def test_no_track_is_read_whole():
    """However long the tracks, a plan and a sum read them in pieces of some seconds."""
    seconds = 60.0
    noise = np.random.default_rng(0)
    rate = 8000
    tracks = []
    for k in range(6):
        audio = Audio(0.1 * noise.standard_normal((1, int(seconds * rate))).astype(np.float32), rate)
        meter = EnergyMeter.k_weighted(rate, 1)
        meter.update(audio.samples)
        tracks.append(Track(f"{'gtr' if k else 'take'} {k}", Watched(audio), -20.0, -10.0, meter.energies))
    made = plan(tracks, Wish())
    total = summed([t.audio for t in tracks], made)
    for start in range(0, total.frames, BLOCK_FRAMES):
        total.read(start, min(start + BLOCK_FRAMES, total.frames))
    assert max(t.audio.longest[0] for t in tracks) <= max(12 * rate, BLOCK_FRAMES)


def test_progress_rises_to_the_end(band):
    shares = []
    plan([*band, track("take", bass())], Wish(), shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
