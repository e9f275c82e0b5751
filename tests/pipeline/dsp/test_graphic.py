"""The graphic equaliser: its response runs through its gains, and leaves alone what was not asked for."""

import numpy as np
import pytest
from scipy.signal import sosfreqz

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ, ParameterSpace
from mixagent.pipeline.dsp.graphic import BANDS_HZ, graphic_sections
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, Stems, load

SPACE = ParameterSpace.for_stems(())


def response_db(gains_db: np.ndarray, rate: int, hz: np.ndarray) -> np.ndarray:
    sections = graphic_sections(gains_db, rate)
    rows = np.column_stack([sections[:, :3], np.ones(len(sections)), sections[:, 3:]])
    _, response = sosfreqz(rows, hz, fs=rate)
    return 20 * np.log10(np.abs(response))


@pytest.mark.parametrize("rate", [32000, 44100, 48000, 96000])
def test_the_response_runs_through_a_smooth_curve(rate: int) -> None:
    place = np.linspace(0, 1, len(BANDS_HZ))
    gains_db = 10 * np.sin(2 * np.pi * place)
    hz = 1000 * 10 ** ((np.arange(len(BANDS_HZ)) - BANDS_HZ.index(1000.0)) / 10)
    reached = hz < 0.3 * rate
    apart = response_db(gains_db, rate, hz[reached]) - gains_db[reached]
    assert np.abs(apart).max() < 0.6


def test_flat_gains_change_nothing() -> None:
    assert np.allclose(response_db(np.zeros(28), 44100, np.geomspace(30, 18000, 50)), 0.0, atol=1e-9)


def noise(channels: int = 2, seconds: float = 2.0) -> Audio:
    samples = np.random.default_rng(0).standard_normal((channels, round(seconds * 44100)))
    return Audio((0.1 * samples).astype(np.float32), 44100)


def mastered(audio: Audio, values: dict[str, float]) -> np.ndarray:
    return np.asarray(load(premaster(Stems(audio, {}), SPACE.settings(values))).samples)


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def test_width_moves_the_side_and_leaves_the_mid() -> None:
    audio = noise()
    after = mastered(audio, {f"graphic.width_{hz}_db": -6.0 for hz in GRAPHIC_HZ})
    mid, side = (lambda x: (x[0] + x[1], x[0] - x[1]))(after)
    mid_before, side_before = audio.samples[0] + audio.samples[1], audio.samples[0] - audio.samples[1]
    assert np.abs(mid - mid_before).max() < 1e-6
    assert level_db(side) - level_db(side_before) == pytest.approx(-6.0, abs=0.2)


def test_balance_raises_right_by_half_and_lowers_left_by_half() -> None:
    audio = noise()
    after = mastered(audio, {f"graphic.balance_{hz}_db": 4.0 for hz in GRAPHIC_HZ})
    change = [level_db(after[k]) - level_db(audio.samples[k]) for k in range(2)]
    assert change == [pytest.approx(-2.0, abs=0.1), pytest.approx(2.0, abs=0.1)]


def test_one_channel_takes_the_tone_and_nothing_else() -> None:
    audio = noise(channels=1)
    values = {f"graphic.width_{hz}_db": 6.0 for hz in GRAPHIC_HZ}
    values |= {f"graphic.balance_{hz}_db": 6.0 for hz in GRAPHIC_HZ}
    assert np.array_equal(mastered(audio, values), audio.samples)
    louder = mastered(audio, {f"graphic.tone_{hz}_db": 3.0 for hz in GRAPHIC_HZ})
    assert level_db(louder) - level_db(audio.samples) == pytest.approx(3.0, abs=0.2)
