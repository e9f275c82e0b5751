"""The policy that reads the song, and its checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixagent.envs.cases import Damage, make_case
from mixagent.envs.context import Context
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.types import Audio
from mixagent.policies.reading.network import ReadingNet, Shape
from mixagent.policies.reading.policy import ReadingCheckpoint, ReadingPolicy, load_reader

SMALL = Shape(width=16, blocks=2, summary=24, band_width=16, band_blocks=2)
SPACE = ParameterSpace.for_stems(())


def _context(audio: Audio) -> Context:
    return make_case("song", audio, Damage({}, {}, {}, 0), None, TARGETS["streaming"]).context(SPACE)


SONG = _context(synthetic_song(0, 4.0))


def _checkpoint(spread: float) -> ReadingCheckpoint:
    torch.manual_seed(0)
    net = ReadingNet(SMALL)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return ReadingCheckpoint({name: value.numpy() for name, value in net.state_dict().items()}, vars(SMALL))


def test_what_is_saved_decides_as_before(tmp_path) -> None:
    checkpoint = _checkpoint(0.05)
    checkpoint.save(tmp_path, "# A card\n")
    reader = load_reader(tmp_path)
    for name, value in checkpoint.weights.items():
        np.testing.assert_array_equal(reader.weights[name], value)
    first, again = (ReadingPolicy(tmp_path).decide(SONG) for _ in range(2))
    assert first.settings.changed()
    assert first.settings.changed() == again.settings.changed()


def test_a_net_that_moves_nothing_leaves_the_bands_answer(tmp_path) -> None:
    _checkpoint(0.0).save(tmp_path, "")
    alone = ReadingPolicy(tmp_path, rest=0.0).decide(SONG).settings.changed()
    assert not [name for name in alone if name.startswith("graphic.")]


def test_every_move_has_a_reason_and_no_strip_is_set(tmp_path) -> None:
    _checkpoint(0.05).save(tmp_path, "")
    decision = ReadingPolicy(tmp_path).decide(SONG)
    assert set(decision.reasons) == set(decision.settings.changed())
    assert {name.split(".")[0] for name in decision.reasons} <= {"graphic", "master"}


def test_silence_and_what_was_not_read_are_left_alone(tmp_path) -> None:
    _checkpoint(0.05).save(tmp_path, "")
    unread = Context(SONG.mix, SONG.stems, SONG.diagnosis, SONG.target, SPACE)
    assert not ReadingPolicy(tmp_path).decide(unread).settings.changed()


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_a_file_that_is_gone_or_changed_is_refused(tmp_path, name: str) -> None:
    _checkpoint(0.05).save(tmp_path, "")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-9] + b"damaged??")
    with pytest.raises(ModelMissingError):
        load_reader(tmp_path)
    path.unlink()
    with pytest.raises(ModelMissingError):
        load_reader(tmp_path)
