"""An offset of the wave from zero is measured, named and taken out; a wave without one is left as it is."""

import numpy as np
import pytest
from repairing import repair

from mixagent.pipeline.diagnosis.diagnose import diagnose
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.offset import is_offset, offset_share, offset_words
from mixagent.pipeline.restoration import declick, offset
from mixagent.pipeline.types import Audio, load

RATE = 44_100


def song(seconds=6.0, channels=2, level=0.2):
    samples = level * np.random.default_rng(3).standard_normal((channels, round(seconds * RATE)))
    samples -= samples.mean(axis=1, keepdims=True)
    return np.clip(samples, -0.9, 0.9).astype(np.float32)


def centred(samples, tmp_path):
    source = Audio(np.ascontiguousarray(samples, np.float32), RATE)
    return source, repair(offset, source, tmp_path)


@pytest.mark.parametrize("offsets", [(0.05,), (-0.05,), (0.05, 0.05), (0.05, -0.02), (0.05, 0.0)])
def test_an_offset_is_subtracted_and_nothing_else_changes(tmp_path, offsets):
    clean = song(channels=len(offsets))
    shifted = clean + np.array(offsets, np.float32)[:, None]
    _, restored = centred(shifted, tmp_path)
    assert restored.applied
    out = load(restored.audio).samples
    assert np.abs(out.mean(axis=1, dtype=np.float64)).max() < 1e-6
    # The mean of the clean song is not quite zero, as it is clipped.
    np.testing.assert_allclose(out, clean - clean.mean(axis=1, keepdims=True), atol=2e-6)


def test_the_ends_have_no_transient(tmp_path):
    faded = song() * np.minimum(1.0, np.minimum(np.arange(6 * RATE), np.arange(6 * RATE)[::-1]) / RATE)
    _, restored = centred(faded + 0.05, tmp_path)
    out = load(restored.audio).samples
    assert np.abs(out[:, :50]).max() < 2e-3
    assert np.abs(out[:, -50:]).max() < 2e-3


def test_an_offset_that_moves_is_followed(tmp_path):
    moving = np.where(np.arange(6 * RATE) < 3 * RATE, 0.08, 0.0)
    _, restored = centred(song() + moving, tmp_path)
    assert "moved" in restored.why
    out = load(restored.audio).samples
    for second in (0, 1, 4, 5):
        part = out[:, second * RATE : (second + 1) * RATE]
        assert np.abs(part.mean(axis=1)).max() < 0.005


def test_a_wave_around_zero_is_given_back_as_it_is(tmp_path):
    for samples in (song(), np.zeros((2, RATE), np.float32), song() + 0.0005):
        source, restored = centred(samples, tmp_path)
        assert restored.audio is source
        assert not restored.applied
    assert list(tmp_path.iterdir()) == []


def test_the_share_is_that_of_the_highest_sample():
    assert offset_share((0.01, -0.05), 20 * np.log10(0.5)) == pytest.approx(0.1)
    assert offset_share((0.0,), -np.inf) == 0.0
    assert is_offset((0.005,), 0.0)
    assert not is_offset((0.0049,), 0.0)


def test_the_words_name_each_channel_only_where_they_differ():
    assert offset_words((0.05, 0.05)) == "+0.050"
    assert offset_words((0.05, -0.02)) == "+0.050 left, −0.020 right"


def test_an_offset_is_a_finding_in_words():
    shifted = Audio(song() + np.float32(0.05), RATE)
    finding = diagnose(shifted, analyse(shifted)).finding("offset")
    assert finding.severity > 0.9
    assert finding.evidence.startswith("the wave lies +0.050 from zero")
    clean = Audio(song(), RATE)
    assert not diagnose(clean, analyse(clean)).found("offset")


def test_a_click_on_an_offset_is_still_found(tmp_path):
    time = np.arange(4 * RATE) / RATE
    tone = 0.2 * np.sin(2 * np.pi * 110 * time) + 0.05
    tone[2 * RATE] += 0.4
    _, restored = centred(tone[None].repeat(2, 0), tmp_path)
    assert repair(declick, restored.audio, tmp_path).values["clicks"] == 1
