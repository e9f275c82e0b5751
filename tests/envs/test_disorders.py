from pathlib import Path

import numpy as np
import pytest

from mixagent.envs.disorders import (
    MOST_SCRAMBLED_DB,
    Disorder,
    StemDisorder,
    by_role,
    disorder,
    draw_any,
    stem_levels_db,
    there,
)
from mixagent.pipeline.types import Audio, Stems, load
from tests.short_cases import HalfSeparator, music


@pytest.fixture
def stems() -> Stems:
    song = music(1.5)
    return Stems(song, HalfSeparator().separate(song, Path()).parts)


def test_nothing_done_changes_nothing(stems: Stems) -> None:
    same = disorder(stems, Disorder(("balance",), {"vocals": StemDisorder()}))
    np.testing.assert_allclose(load(same.mix).samples, load(stems.mix).samples, atol=1e-6)


def test_faders_move_each_stem_by_their_gain_and_the_mix_keeps_its_power(stems: Stems) -> None:
    moved = disorder(stems, Disorder.balance({"vocals": 4.0, "accompaniment": -3.0}))
    was, now = stem_levels_db(stems), stem_levels_db(moved)
    apart = [levels["vocals"] - levels["accompaniment"] for levels in (was, now)]
    assert apart[1] - apart[0] == pytest.approx(7.0, abs=0.05)
    powers = [np.mean(np.square(load(one.mix).samples, dtype=np.float64)) for one in (stems, moved)]
    assert powers[1] == pytest.approx(powers[0], rel=1e-3)


def test_what_is_drawn_sums_to_its_mix_and_comes_back_the_same_by_its_seed(stems: Stems) -> None:
    for seed in range(8):
        done = draw_any(np.random.default_rng(seed), there(stems))
        assert all(abs(one.gain_db) <= MOST_SCRAMBLED_DB for one in done.stems.values())
        once, twice = disorder(stems, done), disorder(stems, done)
        np.testing.assert_array_equal(load(once.mix).samples, load(twice.mix).samples)
        summed = sum(load(part).samples for part in once.parts.values())
        np.testing.assert_allclose(summed, load(once.mix).samples, atol=1e-5)


def test_a_stem_far_under_its_mix_is_not_there(stems: Stems) -> None:
    voice = load(stems.parts["vocals"])
    traced = Stems(stems.mix, {**stems.parts, "drums": Audio(voice.samples * np.float32(0.01), voice.rate)})
    assert there(traced) == ["vocals", "accompaniment"]


def test_stems_of_any_name_are_summed_by_role(stems: Stems) -> None:
    voice = stems.parts["vocals"]
    roles = by_role(Stems(stems.mix, {"vocals": voice, "guitar": voice, "piano": voice})).parts
    assert list(roles) == ["vocals", "other"]
    np.testing.assert_allclose(load(roles["other"]).samples, 2 * load(voice).samples, atol=1e-6)
