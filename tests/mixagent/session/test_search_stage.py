"""`master --search N` betters the policy's decision within its budget, and replays to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch

from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.policies.learned import Checkpoint, steered
from mixagent.policies.network import Actor, Layout, Sizes


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint whose untrained actor moves the master's equaliser."""
    torch.manual_seed(0)
    patterns = ("master.eq_*",)
    layout = Layout.of(steered(ParameterSpace.for_stems(()), patterns), ())
    sizes = Sizes(len(FEATURE_NAMES), len(DIAGNOSIS_NAMES), len(TARGET_NAMES), hidden=8, stem_hidden=4)
    actor = Actor(layout, sizes).eval()
    torch.nn.init.normal_(actor.shared.weight, std=0.05)
    Checkpoint(actor, patterns, (), "rules").save(tmp_path / "trained", "# A policy\n")
    return tmp_path / "trained"


def searched(mixagent, song: Path, *options: object) -> dict:
    ran = mixagent("master", song, "--separator", "none", "--bit-depth", "16", "--json", *options)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_a_search_counts_its_renders_says_what_it_gained_and_is_replayed(mixagent, song: Path) -> None:
    options = ("--search", "4", "--policy", "rules", "--report", song.parent / "r.json")
    report = searched(mixagent, song, *options)
    account = report["decision"]["search"]
    assert account["renders"] == 4
    assert account["blind_after"] >= account["blind_before"]
    assert any("4 settings tried on a part of the song" in line for line in report["summary"]["done"])
    again = json.loads(mixagent("replay", song.parent / "r.json", "--json").out)
    assert again["identical"]


def test_a_search_is_found_again_and_another_budget_or_seed_is_not(mixagent, song: Path) -> None:
    def status(*options: object) -> str:
        stages = {row["name"]: row["status"] for row in searched(mixagent, song, *options)["stages"]}
        return stages.get("search", "none")

    assert [status("--search", "2"), status("--search", "2"), status("--search", "3")] == [
        "ran",
        "cached",
        "ran",
    ]
    assert status("--search", "2", "--seed", "1") == "ran"
    assert status() == "none"


def test_a_trained_policy_decides_and_is_searched_from(mixagent, song: Path, trained: Path) -> None:
    alone = searched(mixagent, song, "--policy", trained)
    moved = {row["name"] for row in alone["decision"]["parameters"] if row["reason"]}
    assert moved
    assert all(name.startswith("master.eq_") for name in moved)
    assert (
        searched(mixagent, song, "--policy", trained, "--search", "2")["decision"]["search"]["renders"] == 2
    )


def test_what_cannot_be_searched_is_a_line(mixagent, song: Path) -> None:
    silent = song.with_name("silent.wav")
    soundfile.write(silent, [[0.0, 0.0]] * 44100, 44100)
    for options in ((song, "--amount", "0"), (silent,), (song, "--policy", "nobody")):
        ran = mixagent("master", *options, "--separator", "none", "--search", "2")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert {path.name for path in song.parent.iterdir()} == {"song.wav", "silent.wav"}
