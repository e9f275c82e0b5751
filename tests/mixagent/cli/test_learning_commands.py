"""`rate`, `learn`, `models rollback` and `experience`, as a user meets them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reports import make_report
from short_cases import music
from typer.testing import CliRunner

from mixagent.cli.app import command_line
from mixagent.envs.cases import CaseStore, Damage, make_case
from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import InputError, ModelMissingError, UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.policies import promotion
from mixagent.policies.experience import Experience, ExperienceStore, Preference
from mixagent.policies.learned import Checkpoint
from mixagent.policies.network import Actor, Layout, Sizes
from mixagent.policies.promotion import Promotions, find_checkpoint

Run = Callable[..., Any]

PATTERNS = ("master.balance_db", "master.eq_air_db")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command with an empty data folder of its own; its JSON, or the error that it ends with."""
    monkeypatch.setenv("MIXAGENT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MIXAGENT_CORPUS", str(tmp_path / "corpus"))
    app = command_line()

    def run(*arguments: object) -> Any:
        result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    return run


@pytest.fixture(scope="module")
def case() -> Any:
    return make_case("song@0#0", music(), Damage({}, {}, None, 0), None, TARGETS["streaming"])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _file(path: Path) -> Path:
    path.write_bytes(path.name.encode())
    return path


def _master(case: Any, song: Path, master: Path, air_db: float = 3.0) -> Experience:
    return Experience(
        song=_digest(song),
        master=_digest(master),
        name=song.name,
        context=case.context(ParameterSpace.for_stems(())),
        settings={"master.eq_air_db": air_db},
        policy="rules",
        policy_sha256="",
        terms={"prior": -0.01},
        blind=-0.01,
        version="0.1.0",
    )


@pytest.fixture
def files(run: Run, case: Any, tmp_path: Path) -> dict[str, Path]:
    """A song with two masters that are remembered, the second's report, and another song with one."""
    paths = {name: _file(tmp_path / f"{name}.wav") for name in ("song", "one", "two", "other", "three")}
    store = ExperienceStore.default()
    for song, master in (("song", "one"), ("song", "two"), ("other", "three")):
        store.add(_master(case, paths[song], paths[master]))
    report = make_report(music(), music()).to_dict()
    report["output"]["sha256"] = _digest(paths["two"])
    (tmp_path / "report.json").write_text(json.dumps(report))
    return {**paths, "report": tmp_path / "report.json"}


# --- rate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "better", "liked", "other"),
    [
        (["song"], "B", 2, None),
        (["song"], "A", None, 2),
        (["one"], "b", 1, None),
        (["report"], "A", None, 2),
        (["one", "report"], "A", 1, 2),
        (["two", "one"], "B", 1, 2),
        (["song", "one"], "B", 1, None),
    ],
)
def test_a_rating_is_about_the_versions_that_were_named(
    run: Run, files: dict[str, Path], named: list[str], better: str, liked: int | None, other: int | None
) -> None:
    said = run("rate", *(files[name] for name in named), "--better", better, "--json")
    assert ExperienceStore.default().preferences() == [Preference(_digest(files["song"]), liked, other)]
    masters = {1: _digest(files["one"]), 2: _digest(files["two"]), None: None}
    assert (said["better"], said["worse"]) == (masters[liked], masters[other])


@pytest.mark.parametrize(
    ("named", "better", "error", "words"),
    [
        (["song"], "C", UsageError, "unknown answer"),
        (["one", "two", "song"], "A", UsageError, "two versions"),
        (["one", "three"], "A", UsageError, "different songs"),
        (["two", "report"], "A", UsageError, "the same version"),
    ],
)
def test_a_rating_that_makes_no_sense_is_one_line(
    run: Run, files: dict[str, Path], named: list[str], better: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run("rate", *(files[name] for name in named), "--better", better)
    assert ExperienceStore.default().preferences() == []


def test_a_song_that_was_never_mastered_here_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stranger\.wav is not known here"):
        run("rate", _file(tmp_path / "stranger.wav"), "--better", "A")


def test_words_say_what_was_taken_down(run: Run, files: dict[str, Path]) -> None:
    said = run("rate", files["song"], "--better", "A")
    assert said.startswith("song.wav: the song as it came is better than the master of ")


# --- learn and rollback ----------------------------------------------------------------------------


@pytest.fixture
def cases(case: Any, tmp_path: Path) -> Path:
    """Two cases to hold the policy and two to judge it."""
    store, lines = CaseStore(tmp_path / "cases"), []
    for number, split in enumerate(("train", "train", "validation", "validation")):
        name = f"song{number}@0#0"
        store.save(
            make_case(name, music(seed=number), Damage({}, {}, None, number), None, TARGETS["streaming"])
        )
        lines.append(json.dumps({"name": name, "split": split, "severities": {}}) + "\n")
    (store.directory / "index.jsonl").write_text("".join(lines))
    return store.directory


@pytest.fixture
def policy(run: Run) -> Path:
    """A policy in use that does nothing yet."""
    torch.manual_seed(0)
    sizes = Sizes(len(FEATURE_NAMES), len(DIAGNOSIS_NAMES), len(TARGET_NAMES), hidden=8, stem_hidden=4)
    checkpoint = Checkpoint(Actor(Layout(("gain_db",), PATTERNS), sizes), PATTERNS, (), "rules")
    return Promotions().promote(lambda folder: checkpoint.save(folder, "# Start\n"))


def test_learning_puts_a_policy_in_use_and_rollback_takes_it_back(
    run: Run, files: dict[str, Path], cases: Path, policy: Path
) -> None:
    run("rate", files["song"], "--better", "B")
    done = run("learn", "--cases", cases, "--quiet", "--json")
    assert done["schema"] == "mixagent.learning/1"
    assert (done["experiences"], done["preferences"], done["left_out"]) == (3, 1, 0)
    assert done["comparison"]["cases"] == 2
    assert done["agreement"]["after"] >= done["agreement"]["before"]
    assert done["promoted"] == (done["policy"] is not None)
    if done["promoted"]:
        assert find_checkpoint() == Path(done["policy"]) != policy
        learned = Checkpoint.load(Path(done["policy"]))
        assert learned.training["learned"]["promoted"]
        assert "rollback" in (Path(done["policy"]) / "README.md").read_text()
        assert run("models", "rollback", "--json")["policy"] == str(policy)
    assert find_checkpoint() == policy


def test_words_say_what_was_learned(run: Run, files: dict[str, Path], cases: Path, policy: Path) -> None:
    said = run("learn", "--cases", cases, "--quiet")
    assert said.startswith("learned from 3 masters and 0 preferences\n")
    assert "promoted" in said


def test_without_experience_it_says_what_to_do(run: Run) -> None:
    with pytest.raises(UsageError, match="no experience yet: master a song"):
        run("learn", "--quiet")


def test_without_a_policy_it_says_so(
    run: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(promotion, "shipped_folder", lambda: tmp_path / "none")
    with pytest.raises(ModelMissingError, match="no trained policy to learn with"):
        run("learn", "--quiet")


def test_weights_that_were_changed_are_refused(
    run: Run, files: dict[str, Path], cases: Path, policy: Path
) -> None:
    weights = bytearray((policy / "actor.safetensors").read_bytes())
    weights[-1] ^= 1
    (policy / "actor.safetensors").write_bytes(weights)
    with pytest.raises(ModelMissingError, match="is not the file that"):
        run("learn", "--cases", cases, "--quiet")


def test_a_store_without_cases_says_how_to_make_some(
    run: Run, files: dict[str, Path], policy: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="mixagent corpus build"):
        run("learn", "--cases", tmp_path / "nothing", "--quiet")


def test_there_is_nothing_before_the_shipped_policy(run: Run) -> None:
    with pytest.raises(UsageError, match="the shipped policy is in use"):
        run("models", "rollback")


# --- experience ------------------------------------------------------------------------------------


def test_what_is_remembered_is_listed_and_forgotten(run: Run, files: dict[str, Path]) -> None:
    run("rate", files["song"], "--better", "B")
    listed = run("experience", "list", "--json")
    assert [each["name"] for each in listed["experiences"]] == ["song.wav", "song.wav", "other.wav"]
    assert listed["experiences"][0]["settings"] == {"master.eq_air_db": 3.0}
    assert [each["better"] for each in listed["preferences"]] == [_digest(files["two"])]
    assert "other.wav" in run("experience", "list")
    assert run("experience", "forget", files["song"]) == "2 masters forgotten\n"
    assert run("experience", "forget", "--all") == "1 master forgotten\n"
    assert run("experience", "list", "--json")["experiences"] == []
    with pytest.raises(UsageError, match="a song, or --all"):
        run("experience", "forget")
