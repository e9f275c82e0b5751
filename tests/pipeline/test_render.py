from pathlib import Path

import numpy as np
import pytest

from mixagent.pipeline.chain.mixing import measure_levels
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.render import ChainError, premaster, render, render_stem
from mixagent.pipeline.types import Audio, DiskAudio, Stems, load

RATE = 44100
SPACE = ParameterSpace.for_stems(["vocals"])
VALUES = {"vocals.gain_db": 2.0, "master.eq_mid_db": -3.0, "master.transient_attack_db": 3.0}


def stems() -> Stems:
    samples = (0.05 * np.random.default_rng(1).standard_normal((2, 2 * RATE))).astype(np.float32)
    return Stems(Audio(samples, RATE), {"vocals": Audio(samples * np.float32(0.5), RATE)})


def test_neutral_premaster_is_the_mix_itself() -> None:
    source = stems()
    assert premaster(source, SPACE.settings()) is source.mix


def test_memory_and_disk_give_the_same_bytes(tmp_path: Path) -> None:
    settings = SPACE.settings(VALUES)
    on_disk = premaster(stems(), settings, tmp_path)
    assert isinstance(on_disk, DiskAudio)
    assert load(on_disk).samples.tobytes() == load(premaster(stems(), settings)).samples.tobytes()


def test_render_is_the_premaster_finished_to_the_target() -> None:
    shares: list[float] = []
    source = stems()
    done = render(
        source,
        SPACE.settings(VALUES),
        LoudnessTarget("test", -20.0),
        levels=measure_levels(source),
        progress=shares.append,
    )
    assert done.finish is not None
    assert done.audio.frames == done.premaster.frames == source.mix.frames
    assert shares == sorted(shares)
    assert np.abs(load(done.audio).samples).max() <= 10 ** (-1 / 20)


def test_render_without_a_target_ends_at_the_premaster() -> None:
    done = render(stems(), SPACE.settings(VALUES), None)
    assert done.finish is None
    assert done.audio is done.premaster


def test_a_chain_that_gives_no_numbers_is_said_and_not_passed_on() -> None:
    source = stems()
    broken = load(source.mix).samples.copy()
    broken[0, RATE] = np.nan
    with pytest.raises(ChainError, match=r"master\.eq_mid_db -3"):
        premaster(Stems(Audio(broken, RATE), {}), SPACE.settings({"master.eq_mid_db": -3.0}))


def test_a_stem_alone_goes_through_its_strip_and_the_master() -> None:
    source = stems()
    settings = SPACE.settings({"vocals.gain_db": 6.0, "master.balance_db": 2.0})
    alone = render_stem(source, "vocals", settings)
    only = Stems(source.parts["vocals"], {"vocals": source.parts["vocals"]})
    np.testing.assert_allclose(alone.samples, load(premaster(only, settings)).samples, atol=1e-6)
