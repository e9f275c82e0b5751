"""Masking of one stem by the others."""

from __future__ import annotations

import numpy as np

from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.masking import bark, masked_db

BAND = THIRD_OCTAVES_HZ.index(1000.0)


def _tone(band: int, level_db: float) -> np.ndarray:
    powers = np.full(len(THIRD_OCTAVES_HZ), 1e-12)
    powers[band] = 10 ** (level_db / 10)
    return powers


def test_a_kilohertz_lies_at_eight_and_a_half_bark() -> None:
    assert abs(float(bark(np.array(1000.0))) - 8.5) < 0.1


def test_a_stem_ten_decibels_under_another_of_the_same_band_is_masked_by_ten() -> None:
    masked = masked_db(np.stack([_tone(BAND, -10.0), _tone(BAND, 0.0)]))
    np.testing.assert_allclose(masked[:, BAND], [10.0, -10.0], atol=1e-6)


def test_masking_reaches_further_up_than_down() -> None:
    masker = masked_db(np.stack([np.full(len(THIRD_OCTAVES_HZ), 1e-6), _tone(BAND, 0.0)]))[0]
    assert masker[BAND + 4] > masker[BAND - 4]


def test_a_stem_alone_is_not_masked() -> None:
    assert masked_db(_tone(BAND, 0.0)[None])[0, BAND] < -100
