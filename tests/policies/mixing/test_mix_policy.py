"""The policy that mixes, and its checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mixagent.envs.cases import measure_case
from mixagent.envs.context import Context
from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.stem_measures import ROLES
from mixagent.pipeline.types import Audio, Stems
from mixagent.policies import load_policy
from mixagent.policies.band import BandPolicy
from mixagent.policies.mixing.agent import frozen_net
from mixagent.policies.mixing.forward import BoundMixer
from mixagent.policies.mixing.network import MixingNet, Shape
from mixagent.policies.mixing.policy import MixingCheckpoint, MixPolicy, load_mixers

SMALL = Shape(hidden=12, role=3)
PARTS = {name: synthetic_song(seed, 4.0) for seed, name in enumerate(ROLES)}


def _context(parts: dict[str, Audio], roles: tuple[str, ...] = ROLES) -> Context:
    mix = Audio(np.sum([part.samples for part in parts.values()], axis=0), 44100)
    space = ParameterSpace.for_stems(roles)
    return measure_case("song", Stems(mix, parts), TARGETS["streaming"]).context(space)


SONG = _context(PARTS)


def _mixer(seed: int) -> BoundMixer:
    torch.manual_seed(seed)
    net = MixingNet(SMALL).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return BoundMixer(frozen_net(net), None, 0.0)


def _saved(folder, mixers: int = 2):
    MixingCheckpoint(tuple(map(_mixer, range(mixers))), vars(SMALL)).save(folder, "# A card\n")
    return folder


def _strips(policy: MixPolicy, context: Context) -> dict[str, float]:
    changed = policy.decide(context).settings.changed()
    return {name: value for name, value in changed.items() if name.split(".")[0] in ROLES}


def test_what_is_saved_decides_as_before(tmp_path) -> None:
    policy = MixPolicy(_saved(tmp_path))
    decisions = [policy.decide(SONG) for _ in range(2)]
    assert _strips(policy, SONG)
    assert decisions[0].settings.changed() == decisions[1].settings.changed()
    start = BoundMixer(_mixer(1).net, _mixer(2).net, 0.1)
    MixingCheckpoint((start,), vars(SMALL)).save(tmp_path / "bound", "# A card\n")
    (loaded,) = load_mixers(tmp_path / "bound")
    assert loaded.reach == 0.1
    assert loaded.start is not None
    np.testing.assert_array_equal(loaded.start.weights["strip.weight"], start.start.weights["strip.weight"])


def test_every_move_has_a_reason(tmp_path) -> None:
    decision = MixPolicy(_saved(tmp_path)).decide(SONG)
    assert set(decision.settings.changed()) <= set(decision.reasons)


def test_a_song_without_stems_or_with_one_is_the_bands(tmp_path) -> None:
    policy = MixPolicy(_saved(tmp_path))
    for stems in ({}, {"vocals": SONG.stems["vocals"]}):
        context = replace(SONG, stems=stems)
        assert policy.decide(context).settings.changed() == BandPolicy().decide(context).settings.changed()


def test_a_silent_stem_is_left_alone(tmp_path) -> None:
    silent = {**PARTS, "drums": Audio(np.zeros_like(PARTS["drums"].samples), 44100)}
    moved = _strips(MixPolicy(_saved(tmp_path)), _context(silent))
    assert moved
    assert not [name for name in moved if name.startswith("drums.")]


def test_a_doubtful_stem_is_moved_less(tmp_path) -> None:
    faint = {**PARTS, "drums": Audio(PARTS["drums"].samples * np.float32(0.003), 44100)}
    assert not [
        name for name in _strips(MixPolicy(_saved(tmp_path)), _context(faint)) if name.startswith("drums.")
    ]


def test_silence_moves_nothing(tmp_path) -> None:
    quiet = {name: Audio(np.zeros((2, 44100), np.float32), 44100) for name in ROLES}
    assert not _strips(MixPolicy(_saved(tmp_path)), _context(quiet))


def test_a_damaged_checkpoint_is_refused(tmp_path) -> None:
    path = _saved(tmp_path) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-8] + b"12345678")
    with pytest.raises(ModelMissingError, match="not the file"):
        MixPolicy(tmp_path).decide(SONG)


def test_the_shipped_net_loads_and_decides() -> None:
    decision = load_policy("mix").decide(SONG)
    assert all(np.isfinite(value) for value in decision.settings.changed().values())
