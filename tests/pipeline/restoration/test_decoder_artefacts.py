"""Artefacts of decoders: bands sum up, gains reach the whole song, and where nothing is found it stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highs import bright_music

from mixagent.envs.pathologies import damage
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration import artefact_bands as bands
from mixagent.pipeline.restoration import artefacts
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.pipeline.restoration.table import repaired as skipping
from mixagent.pipeline.types import Audio, FloatArray, load

torch = pytest.importorskip("torch")


def silent(_: float) -> None:
    """A progress that is not shown."""


def noise(seconds: float, rate: int = 44100, channels: int = 2) -> Audio:
    random = np.random.default_rng(5)
    samples = 0.1 * random.standard_normal((channels, round(seconds * rate)))
    return Audio(samples.astype(np.float32), rate)


class Answer:
    """A network that answers each passage alike."""

    def __init__(
        self, gain_db: float = 0.0, added_db: float = -200.0, logits: tuple[float, float] = (-9, -9)
    ):
        self.gain_db, self.added_db, self.logits = gain_db, added_db, logits

    def __call__(self, powers: Any) -> tuple[Any, Any, Any]:
        added = powers.mean(3, keepdim=True).expand_as(powers) * 10 ** (self.added_db / 10)
        return torch.full_like(powers, self.gain_db), added, torch.tensor([self.logits])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Puts a network in place of the shipped one."""

    def put(net: Any) -> None:
        monkeypatch.setattr(artefacts, "network", lambda: net)

    return put


def repaired(audio: Audio, folder: Path) -> FloatArray:
    restored = artefacts.run(audio, Found("", {}), folder, silent)
    assert restored.applied
    assert (restored.audio.rate, restored.audio.channels) == (audio.rate, audio.channels)
    return load(restored.audio).samples


def test_spectra_give_back_the_samples_between_the_outer_halves() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 21 * bands.HOP)).astype(np.float32)
    back = bands.backward(bands.forward(samples), 2)
    inner = slice(bands.HOP, -bands.HOP)
    np.testing.assert_allclose(back[:, inner], samples[:, inner], atol=1e-5)


def test_bands_hold_all_of_the_power() -> None:
    spectra = bands.forward(np.random.default_rng(0).standard_normal((2, 9 * bands.HOP)).astype(np.float32))
    np.testing.assert_allclose(
        bands.band_powers(spectra).sum(axis=1), (np.abs(spectra) ** 2).sum(axis=2), rtol=1e-4
    )
    assert bands.EDGES[-1] == bands.BINS
    assert np.all(np.diff(bands.EDGES) > 0)


def test_an_untrained_network_leaves_a_song_bit_for_bit(
    answers: Callable[[Any], None], tmp_path: Path
) -> None:
    from mixagent.pipeline.restoration.artefact_net import ArtefactNet

    answers(ArtefactNet().eval())
    song = noise(14.0)
    np.testing.assert_array_equal(repaired(song, tmp_path), song.samples)


@pytest.mark.parametrize("seconds", [0.3, 5.9, 13.7])
def test_one_gain_everywhere_is_one_gain_to_the_last_sample(
    answers: Callable[[Any], None], tmp_path: Path, seconds: float
) -> None:
    answers(Answer(gain_db=-6.0 - artefacts.LEAST_GAIN_DB))
    song = noise(seconds)
    np.testing.assert_allclose(repaired(song, tmp_path), song.samples * 10 ** (-6 / 20), atol=2e-6)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 2), (48000, 1), (96000, 2)])
def test_any_rate_and_mono_keep_their_length(
    answers: Callable[[Any], None], tmp_path: Path, rate: int, channels: int
) -> None:
    answers(Answer(gain_db=-6.0 - artefacts.LEAST_GAIN_DB))
    song = noise(3.0, rate, channels)
    after = repaired(song, tmp_path)
    assert after.shape == song.samples.shape
    middle = slice(rate, 2 * rate)
    spectra = [np.abs(np.fft.rfft(s[0, middle])) for s in (song.samples, after)]
    low = slice(100, min(rate, 44100) // 2 - 1500)
    lost_db = 20 * np.log10(spectra[1][low].mean() / spectra[0][low].mean())
    assert lost_db == pytest.approx(-6.0, abs=0.1)


def test_added_noise_has_the_power_that_was_asked_for(answers: Callable[[Any], None], tmp_path: Path) -> None:
    answers(Answer(added_db=-10.0))
    song = noise(8.0)
    change = repaired(song, tmp_path) - song.samples
    share_db = 10 * np.log10(np.mean(change[:, 44100:-44100] ** 2) / np.mean(song.samples**2))
    assert share_db == pytest.approx(-10.0, abs=0.3)


def test_silence_between_parts_stays_silent(answers: Callable[[Any], None], tmp_path: Path) -> None:
    answers(Answer(gain_db=-6.0 - artefacts.LEAST_GAIN_DB))
    samples = noise(40.0).samples.copy()
    samples[:, 10 * 44100 : 32 * 44100] = 0
    after = repaired(Audio(samples, 44100), tmp_path)
    np.testing.assert_allclose(after, samples * 10 ** (-6 / 20), atol=2e-6)


def test_silence_has_nothing_to_find(answers: Callable[[Any], None], tmp_path: Path) -> None:
    answers(Answer(gain_db=-6.0))
    song = Audio(np.zeros((2, 44100 * 8), np.float32), 44100)
    assert artefacts.heard(song, silent) is None
    np.testing.assert_array_equal(repaired(song, tmp_path), song.samples)


def test_a_network_that_gives_no_numbers_is_skipped_and_told(
    answers: Callable[[Any], None], tmp_path: Path
) -> None:
    answers(Answer(gain_db=float("nan")))
    song = noise(7.0)
    done = skipping(REPAIRS["artefacts"], song, analyse(song), tmp_path, silent)
    assert done is not None
    assert not done[1].applied
    assert done[1].audio is song
    assert "no numbers" in done[1].why


def test_a_cancelled_run_ends(answers: Callable[[Any], None], tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(_: float) -> None:
        raise StopError

    answers(Answer())
    with pytest.raises(StopError):
        artefacts.run(noise(20.0), Found("", {}), tmp_path, stop)


def test_a_passage_is_heard_alike_at_any_rate(answers: Callable[[Any], None]) -> None:
    seen: list[FloatArray] = []

    class Ear(Answer):
        def __call__(self, powers: Any) -> tuple[Any, Any, Any]:
            seen.append(powers[0].numpy())
            return super().__call__(powers)

    answers(Ear())
    for rate in (44100, 48000):
        times = np.arange(rate * 8) / rate
        tones = sum(0.05 * np.sin(2 * np.pi * hz * times * (1 + 0.001 * times)) for hz in (200, 1500, 6000))
        artefacts.heard(Audio(np.stack([tones, tones]).astype(np.float32), rate), silent)
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    for one, other in zip(first, second, strict=True):
        loud = one > 1e-3 * one.max()
        np.testing.assert_allclose(other[loud], one[loud], rtol=0.03)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(), False),
        (Answer(gain_db=-6.0), False),
        (Answer(gain_db=-6.0, logits=(9.0, -9.0)), True),
        (Answer(gain_db=6.0), False),
        (Answer(logits=(9.0, -9.0)), False),
        (Answer(logits=(-9.0, 9.0)), False),
    ],
)
def test_shimmer_is_found_where_the_network_is_sure_and_would_cut(
    answers: Callable[[Any], None], answer: Answer, found: bool
) -> None:
    answers(answer)
    song = noise(9.0)
    assert (artefacts.find(song, analyse(song), silent) is not None) == found


@pytest.mark.parametrize(("cut_db", "amount"), [(1.0, 0.75), (6.0, 1.0)])
def test_the_amount_grows_with_the_cut(answers: Callable[[Any], None], cut_db: float, amount: float) -> None:
    answers(Answer(gain_db=-cut_db, logits=(9.0, -9.0)))
    song = noise(9.0)
    found = artefacts.find(song, analyse(song), silent)
    assert found is not None
    assert found.amount == pytest.approx(amount, abs=1e-3)


def test_the_shipped_network_finds_rings_in_falling_highs_and_takes_most_of_them_back(tmp_path: Path) -> None:
    clean = Audio(bright_music(12.0, -14.0), 44100)
    assert artefacts.find(clean, analyse(clean), silent) is None
    shimmering = damage(clean, "shimmer", 0.8, "ring", seed=1)
    found = artefacts.find(shimmering, analyse(shimmering), silent)
    assert found is not None
    after = load(artefacts.run(shimmering, found, tmp_path, silent).audio).samples

    def highs_db(samples: FloatArray) -> float:
        hz = np.fft.rfftfreq(samples.shape[1], 1 / 44100)
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(10 * np.log10(power[:, (hz > 7000) & (hz < 13000)].sum() / power[:, hz < 4000].sum()))

    before_db, clean_db = highs_db(shimmering.samples), highs_db(clean.samples)
    assert before_db > clean_db + 6
    assert highs_db(after) < before_db - 0.5 * (before_db - clean_db)
