"""Settings that differ by section, through the one render."""

import numpy as np
import pytest

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.chain.section_settings import CROSSFADE_S, SectionSettings
from mixagent.pipeline.decibels import amplitudes_to_db
from mixagent.pipeline.render import mixed, premaster
from mixagent.pipeline.types import Audio, Stems, load

RATE = 22_050
SPACE = ParameterSpace.for_stems(("vocals", "drums"))
NEUTRAL = SPACE.settings()


@pytest.fixture(scope="module")
def stems() -> Stems:
    rng = np.random.default_rng(0)
    parts = {name: Audio(_noise(rng), RATE) for name in ("vocals", "drums")}
    mix = sum(part.samples for part in parts.values())
    return Stems(Audio(np.asarray(mix, np.float32), RATE), parts)


def _noise(rng):
    beats = np.exp(-(np.arange(12 * RATE) % (RATE // 2)) / (0.02 * RATE)) + 0.05
    return (0.3 * beats * rng.standard_normal((2, 12 * RATE))).astype(np.float32)


def rendered(stems, *sections, settings=NEUTRAL):
    return load(premaster(stems, settings, sections=sections)).samples


def frames(start_s, stop_s):
    return slice(round(start_s * RATE), round(stop_s * RATE))


def level_db(samples, start_s, stop_s):
    return float(amplitudes_to_db(np.sqrt(np.mean(samples[:, frames(start_s, stop_s)] ** 2))))


def test_nothing_outside_a_section_changes_by_a_bit(stems):
    out = rendered(stems, SectionSettings(4.0, 8.0, gain_db=3.0, values={"master.eq_air_db": 4.0}))
    before = stems.mix.read(0, stems.mix.frames)
    for outside in (frames(0, 4.0 - CROSSFADE_S), frames(8.0 + CROSSFADE_S, 12)):
        assert np.array_equal(out[:, outside], before[:, outside])
    assert out.shape == before.shape


@pytest.mark.parametrize("gain_db", [3.0, -4.0])
def test_a_section_has_its_level(stems, gain_db):
    out = rendered(stems, SectionSettings(4.0, 8.0, gain_db=gain_db))
    before = stems.mix.read(0, stems.mix.frames)
    assert level_db(out, 5.1, 6.9) - level_db(before, 5.1, 6.9) == pytest.approx(gain_db, abs=0.01)


def test_what_is_raised_is_so_from_its_first_beat_and_what_is_lowered_fades_within(stems):
    before = stems.mix.read(0, stems.mix.frames)
    raised, lowered = (rendered(stems, SectionSettings(4.0, 8.0, gain_db=db)) for db in (3.0, -3.0))
    inside = frames(4.0, 8.0)
    assert raised[:, inside] == pytest.approx(before[:, inside] * 10 ** (3 / 20), abs=1e-5)
    outside = frames(0.0, 4.0)
    assert np.array_equal(lowered[:, outside], before[:, outside])


def test_levels_cross_without_a_step(stems):
    ones = Audio(np.full((2, 12 * RATE), 0.1, np.float32), RATE)
    out = rendered(Stems(ones, {}), SectionSettings(4.0, 8.0, gain_db=6.0))
    assert np.abs(np.diff(out[0])).max() < 1e-4


def test_a_stem_alone_is_raised_in_a_section(stems):
    out = rendered(stems, SectionSettings(4.0, 8.0, where="vocals", gain_db=6.0))
    added = out - stems.mix.read(0, stems.mix.frames)
    vocals = stems.parts["vocals"].samples
    gain = 10 ** (6 / 20) - 1
    assert added[:, frames(4, 8)] == pytest.approx(gain * vocals[:, frames(4, 8)], abs=1e-5)
    assert not added[:, frames(0, 3)].any()


def test_what_is_late_is_put_in_its_place(stems):
    """A transient shaper looks ahead: what it does to a section still lies in the section."""
    section = SectionSettings(4.0, 8.0, values={"master.transient_attack_db": 6.0})
    settings = SPACE.settings({"master.transient_attack_db": 3.0})
    for base in (NEUTRAL, settings):
        out, plain = rendered(stems, section, settings=base), rendered(stems, settings=base)
        assert np.array_equal(out[:, frames(0, 2.9)], plain[:, frames(0, 2.9)])
        assert not np.allclose(out[:, frames(5, 7)], plain[:, frames(5, 7)], atol=1e-3)


def test_stretches_of_the_same_settings_that_touch_are_one(stems):
    halves = [SectionSettings(4.0, 6.0, gain_db=-3.0), SectionSettings(6.0, 8.0, gain_db=-3.0)]
    assert np.array_equal(rendered(stems, *halves), rendered(stems, SectionSettings(4.0, 8.0, gain_db=-3.0)))


def test_a_section_of_a_part_lies_where_it_lies_in_the_song(stems):
    section = SectionSettings(4.0, 8.0, gain_db=3.0)
    whole = rendered(stems, section)
    cut = Stems(Audio(stems.mix.read(2 * RATE, 12 * RATE), RATE), {})
    part, _ = mixed(cut, NEUTRAL, sections=[section.later(-2.0)])
    assert load(part).samples == pytest.approx(whole[:, 2 * RATE :], abs=1e-6)


def test_a_place_that_is_not_there_is_left_out(stems):
    out = rendered(stems, SectionSettings(4.0, 8.0, where="bass", gain_db=6.0))
    assert np.array_equal(out, stems.mix.read(0, stems.mix.frames))


def test_settings_are_bounded_and_scaled_by_the_strengths():
    wild = SectionSettings(0, 1, gain_db=99.0, values={"master.eq_air_db": 99.0, "no.such_db": 1.0})
    held = wild.bounded(SPACE)
    assert (held.gain_db, dict(held.values)) == (12.0, {"master.eq_air_db": 9.0})
    half = held.scaled(0.5, Strengths(dynamics=0.5, eq=1.0), SPACE)
    assert (half.gain_db, half.values["master.eq_air_db"]) == (3.0, 4.5)
