"""The diagnosis: level-invariant, block-invariant, rising with strength, and silent on real songs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from mixagent.envs.pathologies import MECHANISMS, damage
from mixagent.pipeline.diagnosis import diagnose as module
from mixagent.pipeline.diagnosis.diagnose import PATHOLOGIES, Diagnosis, diagnose, tone_deviation
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio

RATE = 44100
SONGS = Path(__file__).parents[4] / "shared" / "data" / "songs"


@dataclass(frozen=True)
class Tune:
    """What a synthesised song is made of: tempo, notes, and the levels of its parts."""

    beat_s: float
    roots: tuple[int, ...]
    overtones: float
    kick: float
    hats: float
    chords: float
    seed: int


TUNES = {
    "band": Tune(0.5, (0, 5, 7, 3), 1.0, 0.25, 0.05, 0.04, 1),
    "ballad": Tune(0.8, (3, 8, 10, 5), 1.3, 0.12, 0.03, 0.06, 2),
    "dance": Tune(0.46, (2, 2, 9, 0), 0.9, 0.35, 0.08, 0.03, 3),
}


def synthesised(tune: Tune = TUNES["band"], seconds: int = 12) -> Audio:
    """Drums, a bass line and spread chords of decaying saw-like tones over pink-tilted air."""
    random = np.random.default_rng(tune.seed)
    time = np.arange(seconds * RATE) / RATE
    beat = time % tune.beat_s
    kick = np.sin(2 * np.pi * 55 * beat) * np.exp(-12 * beat)
    hats = (random.standard_normal((2, len(time))) + random.standard_normal(len(time))) * np.exp(
        -25 * (time % (tune.beat_s / 2))
    )
    root = 55 * 2 ** (np.array(tune.roots)[(time // (4 * tune.beat_s)).astype(int) % 4] / 12)
    phase = 2 * np.pi * np.cumsum(root) / RATE
    bass = sum(np.sin(k * phase) / k**1.3 for k in range(1, 6))
    chords = [
        sum(np.sin(k * m * phase + c) / k**tune.overtones for k in range(1, 20)) for c, m in ((0, 4), (1, 5))
    ]
    pair = np.stack([chords[0] + 0.4 * chords[1], chords[1] + 0.4 * chords[0]]) * np.exp(-2 * beat)
    mix = tune.kick * kick + tune.hats * hats + 0.08 * bass + tune.chords * pair
    return Audio(mix.astype(np.float32), RATE)


def heard(audio: Audio) -> Diagnosis:
    return diagnose(audio, analyse(audio))


@pytest.fixture(scope="module")
def music() -> Audio:
    return synthesised()


@pytest.fixture(scope="module")
def tunes() -> dict[str, Audio]:
    return {name: synthesised(tune, seconds=8) for name, tune in TUNES.items()}


def test_all_five_pathologies_are_always_there(music):
    assert {finding.kind for finding in heard(music).findings} >= set(PATHOLOGIES)


def test_level_changes_no_severity(music):
    quiet = heard(Audio(music.samples * np.float32(0.1), RATE))
    for kind in PATHOLOGIES:
        assert quiet.severity(kind) == pytest.approx(heard(music).severity(kind), abs=0.01)


def test_json_brings_the_diagnosis_back(music):
    assert Diagnosis.from_json(heard(music).to_json()) == heard(music)


def test_the_fingerprint_does_not_depend_on_the_blocks(music, monkeypatch):
    whole = fingerprint(music, -20.0)
    small = [music.samples[:, k : k + 7001] for k in range(0, music.frames, 7001)]
    monkeypatch.setattr("mixagent.pipeline.measure.fingerprint.blocks", lambda source: iter(small))
    cut = fingerprint(music, -20.0)
    assert np.allclose(whole.left_power, cut.left_power, rtol=1e-5)
    assert np.array_equal(whole.window_peak, cut.window_peak)


def test_clean_music_stays_under_the_threshold_and_has_no_defect(music):
    diagnosis = heard(music)
    assert not [finding.kind for finding in diagnosis.findings if diagnosis.found(finding.kind)]
    assert {finding.kind for finding in diagnosis.findings} == set(PATHOLOGIES)


def scores(song: Audio, kind: str, mechanism: str) -> list[float]:
    """The kind's score in the song as it is, and at half and full strength of the mechanism."""
    damaged = (damage(song, kind, strength, mechanism, seed=1) for strength in (0.0, 0.5, 1.0))
    return [heard(version).finding(kind).values["score"] for version in damaged]


RISING = [
    (kind, mechanism.name)
    for kind, mechanisms in MECHANISMS.items()
    for mechanism in mechanisms
    if mechanism.name not in ("hard", "multiband")
]


@pytest.mark.parametrize(("kind", "mechanism"), RISING)
@pytest.mark.parametrize("name", TUNES)
def test_the_score_rises_with_the_strength_of_every_mechanism(tunes, name, kind, mechanism):
    rising = scores(tunes[name], kind, mechanism)
    assert rising == sorted(rising)
    assert rising[0] < rising[2]


@pytest.mark.parametrize("name", TUNES)
def test_bands_thrown_apart_are_found(tunes, name):
    clean, half, full = scores(tunes[name], "panning", "hard")
    assert clean < 1 < min(half, full)


@pytest.mark.parametrize("name", TUNES)
def test_no_synthesised_song_is_found_to_have_anything(tunes, name):
    diagnosis = heard(tunes[name])
    assert not [finding.kind for finding in diagnosis.findings if diagnosis.found(finding.kind)]


def test_a_lean_that_all_sources_share_is_named_by_its_size(music):
    gains = np.array([[1.0], [10 ** (-5 / 20)]], np.float32)
    values = heard(Audio(music.samples * gains, RATE)).finding("panning").values
    assert values["common_lean_db"] == pytest.approx(-5.0, abs=0.5)
    assert -5.0 < values["likely_lean_db"] < -3.0


def test_a_lean_of_some_bands_only_is_no_lean_of_the_picture(music):
    low, high = (
        signal.butter(4, 800, fs=RATE, output="sos"),
        signal.butter(4, 800, "high", fs=RATE, output="sos"),
    )
    gains = np.array([[1.0], [10 ** (-8 / 20)]])
    mixed = signal.sosfilt(low, music.samples) * gains + signal.sosfilt(high, music.samples) * gains[::-1]
    values = heard(Audio(mixed.astype(np.float32), RATE)).finding("panning").values
    assert abs(values["likely_lean_db"]) < 3.0


def test_silence_has_no_pathology_and_says_so():
    silent = heard(Audio(np.zeros((2, RATE), np.float32), RATE))
    assert silent.found("silence")
    assert not any(silent.found(kind) for kind in PATHOLOGIES)


def test_one_channel_is_found_mono_and_has_no_panning(music):
    mono = heard(Audio(music.samples[:1].copy(), RATE))
    assert mono.found("mono")
    assert mono.severity("panning") == 0.0


def test_dropouts_are_found_with_their_times(music):
    samples = music.samples.copy()
    for second in (2, 5, 7):
        samples[:, int(second * RATE) + 500 : int(second * RATE) + 1500] = 0.0
    finding = heard(Audio(samples, RATE)).finding("glitches")
    assert finding is not None
    assert finding.values["dropouts"] == 3


def test_clicks_are_found(music):
    samples = music.samples.copy()
    samples[:, (np.arange(1.2, 11, 1) * RATE).astype(int)] += 0.4
    finding = heard(Audio(samples, RATE)).finding("glitches")
    assert finding is not None
    assert finding.severity > module.FOUND
    assert 5 <= finding.values["clicks"] <= 10


def test_mains_hum_is_found_with_its_frequency(music):
    time = np.arange(music.frames) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9))
    hum *= 10 ** (-40 / 20) / np.sqrt(np.mean(hum**2))
    finding = heard(Audio((music.samples + hum).astype(np.float32), RATE)).finding("hum")
    assert finding is not None
    assert finding.severity > module.FOUND
    assert finding.values["mains_hz"] == 50


def test_a_noise_floor_is_found(music):
    noise = np.random.default_rng(3).standard_normal(music.samples.shape) * 10 ** (-50 / 20)
    assert heard(Audio((music.samples + noise).astype(np.float32), RATE)).found("noise")


def test_hard_clipping_by_6_db_is_found(music):
    driven = music.samples * np.float32(2 * 0.999 / np.abs(music.samples).max())
    assert heard(Audio(np.clip(driven, -0.999, 0.999), RATE)).found("clipping")


def test_mud_names_distinct_resonances_the_highest_first():
    noise = np.random.default_rng(4).standard_normal((2, 8 * RATE)) * 0.005
    peaks = [g * signal.lfilter(*signal.iirpeak(hz, 60, fs=RATE), noise) for hz, g in ((230, 100), (420, 60))]
    noise += sum(peaks)
    values = heard(Audio(noise.astype(np.float32), RATE)).finding("mud").values
    count = int(values["resonance_count"])
    assert count == 2
    assert values["resonance_0_hz"] == pytest.approx(230, rel=0.06)
    assert values["resonance_1_hz"] == pytest.approx(420, rel=0.06)
    assert values["resonance_0_db"] > values["resonance_1_db"]


def test_a_lean_is_named_with_its_side(music):
    left = Audio(music.samples * np.array([[1.0], [0.5]], np.float32), RATE)
    assert "to the left" in heard(left).finding("panning").evidence


def test_a_tone_against_itself_deviates_by_the_boost(music):
    boosted = damage(music, "mud", 1.0, "bell", seed=1)
    change = tone_deviation(analyse(boosted)).deviation_db - tone_deviation(analyse(music)).deviation_db
    hz = np.array(tone_deviation(analyse(music)).hz)
    assert 200 <= hz[np.argmax(change)] <= 500


def excerpt(path: Path, seconds: int) -> Audio:
    samples, rate = soundfile.read(path, start=60 * RATE, frames=seconds * RATE, dtype="float32")
    return Audio(np.ascontiguousarray(samples.T), rate)


@pytest.mark.skipif(not SONGS.is_dir(), reason="the development songs are not beside the checkout")
@pytest.mark.parametrize("number", range(8))
def test_finished_songs_stay_under_the_threshold_and_damage_raises_them(number):
    song = excerpt(sorted(SONGS.glob("*.mp3"))[number], 8)
    clean = heard(song)
    assert sum(clean.found(kind) for kind in PATHOLOGIES) <= 1
    for kind in PATHOLOGIES:
        mechanisms = [mechanism for of, mechanism in RISING if of == kind]
        rising = scores(song, kind, mechanisms[number % len(mechanisms)])
        assert rising[0] < rising[2], kind
