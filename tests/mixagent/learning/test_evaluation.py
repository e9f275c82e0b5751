"""An evaluation compares systems under equal conditions, loses no row, and says what its rows say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixagent.envs.cases import CaseStore, Damage, make_case
from mixagent.envs.mixing import Material
from mixagent.envs.synthetic import debug_corpus
from mixagent.learning.evaluation import (
    Evaluation,
    System,
    evaluate,
    evaluate_into,
    known_policies,
    known_systems,
)
from mixagent.learning.evaluation_cases import ALL, DAMAGES, UNTOUCHED, Item, MadeCases, StoredCases
from mixagent.learning.evaluation_tables import DAMAGED, KEPT, TRAINED, estimate, markdown, summarise
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.errors import InputError, UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.types import Audio
from mixagent.policies import load_policy
from mixagent.reward.model import RewardModel, load_reward
from mixagent.reward.recovery import Original
from tests.short_cases import music

REWARD = load_reward("debug")
SYSTEMS = ("neutral", "rules", "random@3", "random@5", "cma:rules@4")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoredCases:
    """A case of each of two damages, and one undamaged, of two songs."""
    folder = tmp_path_factory.mktemp("store")
    made = CaseStore(folder)
    index = []
    for number, (song, kinds) in enumerate([("a", ("panning",)), ("b", ("mud",)), ("b", ())]):
        mechanisms = {"panning": "lean", "mud": "bell"}
        done = Damage(dict.fromkeys(kinds, 0.8), {kind: mechanisms[kind] for kind in kinds}, None, 1)
        case = make_case(f"{song}{number}", music(0.8, number), done, None, TARGETS["streaming"])
        made.save(case)
        index.append({"name": case.name, "song": song, "split": "test", "severities": done.severities})
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in index))
    return StoredCases(str(folder))


def evaluation(cases: StoredCases | MadeCases, *systems: str, **options: object) -> Evaluation:
    return Evaluation(cases, REWARD, tuple(map(System.parse, systems or SYSTEMS)), **options)


@pytest.fixture(scope="module")
def rows(store: StoredCases, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    return evaluate(evaluation(store), tmp_path_factory.mktemp("run"))


def test_every_system_meets_every_case(rows: list[dict]) -> None:
    assert len(rows) == 3 * len(SYSTEMS)
    assert {(row["case"], row["damage"]) for row in rows} == {
        ("a0", "panning"),
        ("b1", "mud"),
        ("b2", UNTOUCHED),
    }
    assert {row["system"]: row["renders"] for row in rows} == {
        "neutral": 1,
        "rules": 1,
        "random@3": 3,
        "random@5": 5,
        "cma:rules@4": 4,
    }


def test_a_row_is_what_the_environment_measures_of_the_settings(store: StoredCases, rows: list[dict]) -> None:
    space = ParameterSpace.for_stems(())
    material = Material(store.load(Item("a0", "a", "panning")), space)
    row = next(row for row in rows if (row["case"], row["system"]) == ("a0", "rules"))
    assert row["settings"] == load_policy("rules").decide(material.context).settings.changed()
    pair = material.render_pair(space.settings(row["settings"]))
    assert row["blind"] == pytest.approx(REWARD.score(pair).blind)
    before, after = (
        Original(material.case.original).distance(side.audio) for side in (pair.before, pair.after)
    )
    figures = row["before"]["total"], row["after"]["total"], row["after"]["image"]
    assert figures == pytest.approx((before.total, after.total, after.image), rel=1e-4)


def test_no_search_ends_below_its_start_or_below_a_smaller_budget(rows: list[dict]) -> None:
    blind = {(row["case"], row["system"]): row["blind"] for row in rows}
    for case in ("a0", "b1", "b2"):
        assert blind[case, "random@5"] >= blind[case, "random@3"] >= blind[case, "neutral"] - 1e-9
        assert blind[case, "cma:rules@4"] >= blind[case, "rules"] - 1e-9


def test_a_run_that_was_killed_goes_on_where_it_was(store: StoredCases, tmp_path: Path) -> None:
    wanted = evaluation(store, "neutral", "rules")
    rows = evaluate(wanted, tmp_path)
    path = tmp_path / "rows.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    # Killed while it wrote the third row of six.
    path.write_text("".join(lines[:3]) + lines[3][:20])
    again = evaluate(wanted, tmp_path)
    assert path.read_text().startswith("".join(lines[:3]))
    assert [strip(row) for row in sorted(again, key=key)] == [strip(row) for row in sorted(rows, key=key)]
    assert len(path.read_text().splitlines()) == len(lines)


def key(row: dict) -> tuple[str, str]:
    return row["case"], row["system"]


def strip(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "seconds"}


def test_more_systems_are_added_to_a_run(store: StoredCases, tmp_path: Path) -> None:
    evaluate(evaluation(store, "neutral"), tmp_path)
    rows = evaluate(evaluation(store, "neutral", "rules", songs=1), tmp_path)
    assert {row["system"] for row in rows} == {"neutral", "rules"}
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1 + 6


def test_rows_under_other_conditions_are_not_mixed(store: StoredCases, tmp_path: Path) -> None:
    evaluate(evaluation(store, "neutral"), tmp_path)
    heavier = RewardModel(REWARD.terms, {**REWARD.weights, "prior": 0.5})
    with pytest.raises(UsageError, match="another reward"):
        evaluate(replace(evaluation(store, "neutral"), reward=heavier), tmp_path)


@pytest.mark.slow
def test_processes_write_the_same_rows(store: StoredCases, tmp_path: Path, rows: list[dict]) -> None:
    shares: list[float] = []
    both = evaluate(evaluation(store), tmp_path, workers=2, progress=shares.append)
    assert [strip(row) for row in sorted(both, key=key)] == [strip(row) for row in sorted(rows, key=key)]
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_case_that_cannot_be_read_is_named_and_left_out(store: StoredCases, tmp_path: Path) -> None:
    class Broken(StoredCases):
        def load(self, item: Item):
            if item.name == "a0":
                raise InputError("a0 is broken")
            return super().load(item)

    wanted = evaluation(Broken(store.store), "neutral")
    summary = evaluate_into(wanted, tmp_path)
    assert summary["skipped"] == {"a0": "a0 is broken"}
    assert [system["cases"] for system in summary["systems"]] == [2]
    assert "Skipped a0: a0 is broken" in (tmp_path / "summary.md").read_text()


def softer(damaged: Audio, reference: Audio) -> Audio:
    assert not np.array_equal(damaged.samples, reference.samples)
    return Audio(damaged.samples * np.float32(0.5), damaged.rate)


def test_other_systems_are_finished_alike(store: StoredCases, tmp_path: Path) -> None:
    cases = MadeCases(str(debug_corpus(tmp_path / "corpus", 6.0).directory), "test", 1.0, separator="none")
    wanted = evaluation(cases, "neutral", others={"softer": softer}, damages=("mud", UNTOUCHED), songs=2)
    summary = evaluate_into(wanted, tmp_path / "run")
    neutral, other = summary["systems"]
    assert (neutral["name"], other["name"], other["songs"]) == ("neutral", "softer", 2)
    # The finaliser takes a gain back.
    assert other["recovery"]["mud"]["total"]["value"] == pytest.approx(
        neutral["recovery"]["mud"]["total"]["value"], abs=0.02
    )


# --- cases -----------------------------------------------------------------------------------------


def test_all_five_are_the_five_alone(tmp_path: Path) -> None:
    cases = MadeCases(str(debug_corpus(tmp_path, 6.0).directory), "test", 1.0, separator="none")
    items = cases.items(2)
    assert [item.damage for item in items] == [*DAMAGES, *DAMAGES]
    first = {item.damage: item for item in items if item.song == items[0].song}
    together, alone, clean = (cases.load(first[damage]) for damage in (ALL, "mud", UNTOUCHED))
    assert together.damage.severities["mud"] == alone.damage.severities["mud"]
    assert together.damage.mechanisms["mud"] == alone.damage.mechanisms["mud"]
    np.testing.assert_array_equal(alone.original.samples, together.original.samples)

    assert not clean.damage.severities
    assert clean.distance.total == pytest.approx(0.0)
    np.testing.assert_array_equal(cases.load(first["mud"]).stems.mix.samples, alone.stems.mix.samples)


def test_a_case_hears_as_much_of_its_song_as_is_asked_for(tmp_path: Path) -> None:
    folder = str(debug_corpus(tmp_path, 6.0).directory)
    for heard_s, wanted_s in ((0.0, 1.0), (4.0, 4.0), (30.0, 6.0)):
        cases = MadeCases(folder, "test", 1.0, heard_s, separator="none")
        case = cases.load(cases.items(1)[0])
        context = case.context(ParameterSpace.for_stems(()))
        assert case.analysis.duration_s == pytest.approx(1.0)
        assert context.mix.duration_s == pytest.approx(wanted_s, abs=0.02)


def test_a_split_without_songs_is_an_error(tmp_path: Path, store: StoredCases) -> None:
    with pytest.raises(InputError, match="no song"):
        MadeCases(str(tmp_path)).items(3)
    with pytest.raises(InputError, match="no case"):
        replace(store, split="validation").items(3)


# --- systems ---------------------------------------------------------------------------------------


def test_a_system_is_a_policy_or_a_search_from_one() -> None:
    assert System.parse("rules") == System("rules", "rules")
    assert System.parse("random@128") == System("random@128", "neutral", "random", 128)
    assert System.parse("cma:policy@64") == System("cma:policy@64", "policy", "cma", 64)
    assert System.parse("cma:runs/a b@8").policy == "runs/a b"


@pytest.mark.parametrize("text", ["grid@8", "cma@0", "cma@many", "", "@8", "nobody", "rules,rules"])
def test_a_system_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(UsageError):
        known_systems(text or "neutral,", ())


def test_policies_that_are_not_there_are_named(store: StoredCases) -> None:
    with pytest.raises(UsageError, match="nobody"):
        known_policies(["nobody"])
    with pytest.raises(UsageError, match="policy"):
        evaluation(store, "policy")


def test_each_policy_stands_in_its_own_rows(store: StoredCases, tmp_path: Path) -> None:
    wanted = evaluation(store, "policy", "rules", policies=("neutral", "rules"))
    summary = evaluate_into(wanted, tmp_path)
    policy, rules = summary["systems"]
    assert policy["members"] == ["neutral", "rules"]
    assert policy["by_member"]["rules"]["blind"] == rules["blind"][DAMAGED]
    halves = [policy["by_member"][name]["blind"]["value"] for name in ("neutral", "rules")]
    assert policy["blind"][DAMAGED]["value"] == pytest.approx(np.mean(halves))
    assert "Each policy alone" in (tmp_path / "summary.md").read_text()


# --- tables ----------------------------------------------------------------------------------------


def row(song: str, system: str, blind: float, before: float, after: float, damage: str = ALL) -> dict:
    distances = [dict.fromkeys(("tone", "image", "punch", "texture", "total"), d) for d in (before, after)]
    return {
        "case": f"{song} {damage}",
        "song": song,
        "damage": damage,
        "system": system,
        "member": system,
        "blind": blind,
        "before": distances[0],
        "after": distances[1],
        "renders": 1,
        "seconds": 0.1,
    }


def test_recovery_sums_distances_over_songs() -> None:
    rows = [row("a", "rules", 0.1, 4.0, 1.0), row("b", "rules", 0.3, 1.0, 1.5)]
    (system,) = summarise({}, rows, ["rules", "absent"])["systems"]
    total = system["recovery"][ALL]["total"]
    assert total["value"] == pytest.approx(1 - 2.5 / 5.0)
    # Of two songs the bootstrap draws either alone, too.
    assert (total["low"], total["high"]) == pytest.approx((-0.5, 0.75))
    assert system["blind"][DAMAGED]["value"] == pytest.approx(0.2)
    assert system["harm"] == {"tone": None, "image": None}


def test_beside_neutral_the_finaliser_costs_nothing() -> None:
    rows = [row("a", "neutral", 0.0, 2.0, 2.5), row("a", "rules", 0.0, 2.0, 1.0)]
    neutral, rules = summarise({}, rows, ["neutral", "rules"])["systems"]
    assert neutral["beside_neutral"][ALL]["value"] == 0.0
    assert rules["beside_neutral"][ALL]["value"] == pytest.approx(1 - 1.0 / 2.5)


def test_mechanisms_that_are_kept_apart_have_a_column_of_their_own() -> None:
    familiar, other = row("a", "rules", 0.0, 2.0, 1.0), row("b", "rules", 0.0, 2.0, 1.8)
    rows = [familiar | {"mechanisms": TRAINED}, other | {"mechanisms": KEPT}]
    (system,) = summarise({}, rows, ["rules"])["systems"]
    assert {kind: found["value"] for kind, found in system["mechanisms"].items()} == pytest.approx(
        {TRAINED: 0.5, KEPT: 0.1}
    )


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    random, hits = np.random.default_rng(1), 0
    for _ in range(200):
        found = estimate(np.stack([random.normal(1.0, 1.0, 40), np.ones(40)], axis=1))
        hits += found.low <= 1.0 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_a_ratio_over_nothing_is_no_figure() -> None:
    assert estimate(np.zeros((3, 2))) is None


def test_claims_compare_the_cases_that_both_have() -> None:
    rows = [row(song, "policy", 0.5, 4.0, 2.0) for song in "abc"]
    rows += [row(song, "cma@128", blind, 4.0, 2.0) for song, blind in (("a", 0.5), ("b", 0.6), ("d", 9.0))]
    rows += [row("a", "policy", 0.0, 0.0, 0.4, UNTOUCHED)]
    claims = {claim["text"]: claim for claim in summarise({}, rows, ["policy", "cma@128"])["claims"]}
    share = claims["policy ÷ cma@128, blind"]
    assert share["figure"]["value"] == pytest.approx(1.0 / 1.1)
    assert (share["met"], share["sure"]) == (True, False)
    assert claims["policy, recovery of all five"]["sure"]
    assert claims["policy, harm to tone in dB"]["figure"]["value"] == pytest.approx(0.4)
    assert "policy − random@128, blind" not in claims
    assert "yes, within chance" in markdown(summarise({}, rows, ["policy", "cma@128"]))


# --- the command -----------------------------------------------------------------------------------


def test_the_command_prints_tables_or_one_object(mixagent, store: StoredCases, tmp_path: Path) -> None:
    options = (
        "--cases",
        store.store,
        "--systems",
        "neutral,rules",
        "--reward",
        "debug",
        "-o",
        tmp_path / "run",
    )
    ran = mixagent("evaluate", *options)
    assert (ran.code, ran.err) == (0, "")
    assert "| rules |" in ran.out
    found = json.loads(mixagent("evaluate", *options, "--json").out)
    assert found["schema"] == "mixagent.learning.evaluation/1"
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == found
    ran = mixagent("evaluate", *options, "--split", "validation")
    assert (ran.code, len(ran.err.splitlines())) == (3, 1)


@pytest.mark.parametrize("command", ["train", "evaluate", "corpus"])
def test_help_says_what_each_command_is_for(mixagent, command: str) -> None:
    ran = mixagent(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "Usage: mixagent" in ran.out
