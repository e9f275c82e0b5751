"""The amounts of repairs weigh what each of them changed, and none runs again for it."""

import numpy as np
import pytest

from mixagent.pipeline.graph.cache import Result, audio_reference
from mixagent.pipeline.types import load, spool
from mixagent.session.results import Results

SONG, DECLICKED, DECLIPPED = np.random.default_rng(3).uniform(-1, 1, (3, 2, 500)).astype(np.float32)


def left(folder, samples, **values):
    """The result of a stage that left these samples."""
    folder.mkdir()
    audio = spool([samples], folder / "audio.f32", 44100, 2)
    return Result(folder, {"audio": audio_reference(audio), **values})


@pytest.fixture
def results(tmp_path):
    return Results(
        {
            "decode": left(tmp_path / "decode", SONG),
            "offset": Result(tmp_path / "offset", {}, skipped=True),
            "declick": left(tmp_path / "declick", DECLICKED, amount=1.0),
            "declip": left(tmp_path / "declip", DECLIPPED, amount=0.5),
            "extend": Result(tmp_path / "extend", {"amount": 1.0, "why": "rejected"}),
        }
    )


def mixed(results, **amounts):
    return load(results.mix_with(amounts)).samples


def test_their_own_amounts_give_what_the_last_left_bit_for_bit(results):
    assert results.repair_amounts == {"declick": 1.0, "declip": 0.5}
    np.testing.assert_array_equal(mixed(results, **results.repair_amounts), DECLIPPED)
    np.testing.assert_array_equal(load(results.repaired).samples, DECLIPPED)


def test_no_amount_gives_the_song_bit_for_bit(results):
    np.testing.assert_array_equal(mixed(results), SONG)
    np.testing.assert_array_equal(mixed(results, declick=0.0, offset=1.0), SONG)


def test_each_is_weighed_against_its_own_amount(results):
    wanted = SONG + 0.25 * (DECLICKED - SONG) + 2.0 * (DECLIPPED - DECLICKED)
    np.testing.assert_allclose(mixed(results, declick=0.25, declip=1.0), wanted, atol=1e-6)


def test_one_that_moves_a_voice_in_time_is_applied_in_full_or_not_at_all(tmp_path):
    separated = left(tmp_path / "separate", SONG)
    parts = Result(separated.directory, {"parts": {"vocals": separated.values["audio"]}})
    moved = left(tmp_path / "moved", DECLICKED, amount=1.0)
    results = Results({"separate": parts, "naturalize vocals": moved})
    for amount, wanted in ((0.4, SONG), (0.5, DECLICKED), (1.0, DECLICKED)):
        stem = results.stem_with("vocals", {"naturalize": amount})
        np.testing.assert_array_equal(load(stem).samples, wanted)
