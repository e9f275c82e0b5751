"""The equaliser in linear phase: its magnitude, its symmetry, its delay."""

import numpy as np
import pytest

from mixagent.pipeline.dsp.equaliser import Filter
from mixagent.pipeline.dsp.linear_phase import LinearPhase
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.types import Audio, FloatArray, collect

FRAMES, AT = 1 << 16, 30_000
FILTERS = [
    Filter("low_shelf", 90.0, 4.0, 0.7),
    Filter("bell", 2000.0, -6.0, 1.0),
    Filter("high_shelf", 9000.0, 3.0, 0.7),
]


def answer(rate: int, size: int = 1 << 17) -> FloatArray:
    impulse = np.zeros((1, FRAMES), np.float32)
    impulse[0, AT] = 1.0
    sections = np.stack([each.section(rate) for each in FILTERS])
    linear = LinearPhase(sections, rate, 1)
    return collect(process_blocks(Audio(impulse, rate), [linear], size), rate, 1).samples


@pytest.mark.parametrize("rate", [44100, 96000])
def test_the_magnitude_is_that_of_the_sections(rate: int) -> None:
    hz = np.fft.rfftfreq(FRAMES, 1 / rate)
    found_db = 20 * np.log10(np.abs(np.fft.rfft(answer(rate)[0].astype(np.float64))))
    heard = (hz > 20) & (hz < 20_000)
    wanted_db = sum(each.response_db(hz[heard], rate) for each in FILTERS)
    assert np.abs(found_db[heard] - wanted_db).max() < 0.05


def test_the_answer_is_symmetric_about_where_it_was_asked() -> None:
    answered = answer(44100)[0]
    np.testing.assert_allclose(answered[AT : AT + 8000], answered[AT : AT - 8000 : -1], atol=1e-6)


def test_the_output_does_not_depend_on_the_blocks() -> None:
    assert answer(44100, 997).tobytes() == answer(44100).tobytes()
