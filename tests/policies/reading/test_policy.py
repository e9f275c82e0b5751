"""The policy that reads the song, and its checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mixagent.envs.cases import Damage, make_case
from mixagent.envs.context import Context
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.finished.band import judge
from mixagent.pipeline.finished.measures import INDEX
from mixagent.pipeline.types import Audio
from mixagent.policies.band import BandPolicy
from mixagent.policies.reading.network import ReadingNet, Shape
from mixagent.policies.reading.policy import (
    KNOWN_DB,
    Moves,
    ReadingCheckpoint,
    ReadingPolicy,
    load_readers,
    read_moves,
)

SMALL = Shape(width=16, blocks=2, summary=24, beside=4)
SPACE = ParameterSpace.for_stems(())


def _context(audio: Audio) -> Context:
    return make_case("song", audio, Damage({}, {}, None, 0), None, TARGETS["streaming"]).context(SPACE)


SONG = _context(synthetic_song(0, 4.0))


def _checkpoint(spread: float) -> ReadingCheckpoint:
    torch.manual_seed(0)
    net = ReadingNet(SMALL)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    return ReadingCheckpoint([weights], vars(SMALL))


def test_what_is_saved_decides_as_before(tmp_path) -> None:
    checkpoint = _checkpoint(0.05)
    checkpoint.save(tmp_path, "# A card\n")
    (reader,) = load_readers(tmp_path)
    for name, value in checkpoint.weights[0].items():
        np.testing.assert_array_equal(reader.weights[name], value)
    first, again = (ReadingPolicy(tmp_path).decide(SONG) for _ in range(2))
    assert first.settings.changed()
    assert first.settings.changed() == again.settings.changed()


def test_several_nets_decide_by_their_mean(tmp_path) -> None:
    moving, still = _checkpoint(0.05), _checkpoint(0.0)
    assert SONG.bands is not None
    moves = {}
    for name, weights in {"one": moving.weights, "both": [*moving.weights, *still.weights]}.items():
        ReadingCheckpoint(weights, vars(SMALL)).save(tmp_path / name, "")
        moves[name] = read_moves(load_readers(tmp_path / name), SONG.bands())
    np.testing.assert_allclose(moves["both"].mid, moves["one"].mid / 2, rtol=1e-5)


def test_a_net_that_moves_nothing_leaves_the_bands_decision(tmp_path) -> None:
    _checkpoint(0.0).save(tmp_path, "")
    decision, band = (policy.decide(SONG) for policy in (ReadingPolicy(tmp_path), BandPolicy()))
    assert decision.settings.changed() == pytest.approx(band.settings.changed())


def test_every_move_has_a_reason_and_no_strip_is_set(tmp_path) -> None:
    _checkpoint(0.05).save(tmp_path, "")
    decision = ReadingPolicy(tmp_path).decide(SONG)
    assert set(decision.reasons) == set(decision.settings.changed())
    assert not {name.split(".")[0] for name in decision.reasons} & {"vocals", "accompaniment"}


def test_what_was_not_read_is_left_to_the_band(tmp_path) -> None:
    _checkpoint(0.05).save(tmp_path, "")
    unread = replace(SONG, bands=None)
    decided = ReadingPolicy(tmp_path).decide(unread).settings.changed()
    assert decided == BandPolicy().decide(unread).settings.changed()


def test_a_voice_alone_is_left_to_the_band(tmp_path) -> None:
    _checkpoint(0.05).save(tmp_path, "")
    assert SONG.measures is not None
    values = SONG.measures.values.copy()
    values[[INDEX[f"tone_{hz}"] for hz in (63, 80, 100)]] = -70.0
    voice = replace(SONG, measures=replace(SONG.measures, values=values))
    assert judge(voice.measures).alone
    decided = ReadingPolicy(tmp_path).decide(voice).settings.changed()
    assert decided == BandPolicy().decide(voice).settings.changed()


def test_the_band_leaves_a_song_whose_damage_the_net_knows() -> None:
    """The more a net moves, the less the song may still have that it does not know."""
    still = np.zeros(28)
    sizes_db = (0.0, KNOWN_DB[0], np.mean(KNOWN_DB), KNOWN_DB[1], 6.0)
    unknown = [Moves(np.full(28, size), still, still).unknown for size in sizes_db]
    half = [Moves(still, still, np.full(28, size)).unknown for size in sizes_db]
    assert half == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])
    assert unknown == sorted(unknown, reverse=True)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_a_file_that_is_gone_or_changed_is_refused(tmp_path, name: str) -> None:
    _checkpoint(0.05).save(tmp_path, "")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-9] + b"damaged??")
    with pytest.raises(ModelMissingError):
        load_readers(tmp_path)
    path.unlink()
    with pytest.raises(ModelMissingError):
        load_readers(tmp_path)
