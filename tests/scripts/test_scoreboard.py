"""The page of headline figures: how a figure is read, and where it stands against its floor."""

from __future__ import annotations

import json

import pytest
from script_modules import SCRIPTS, load_script

board = load_script("scoreboard")

SYSTEMS = {
    "systems": {
        "ours": {"corrects": False, "removed": 0.4},
        "one": {"corrects": True, "removed": 0.5},
        "other": {"corrects": True, "removed": 0.1},
    }
}


def figure(path, wanted="≥", floor=0.3):
    return board.Figure("a figure", "generated", path, wanted, floor)


def test_every_figure_is_of_a_benchmark_whose_script_is_there():
    for one in board.FIGURES:
        command = board.BENCHMARKS[one.of].command
        assert (SCRIPTS.parent / command.split()[0]).is_file()


def test_every_benchmark_writes_where_its_figures_are_read():
    for benchmark in board.BENCHMARKS.values():
        output = benchmark.command.split("--output RESULTS/")[1]
        assert benchmark.file == output or benchmark.file.startswith(f"{output}/")


def test_a_figure_over_its_floor_is_met_and_one_under_it_is_short_by_the_rest():
    data = {"share": 0.25}
    assert board.score(figure(("share",), floor=0.2), data).short_by == 0.0
    assert board.score(figure(("share",), floor=0.3), data).short_by == pytest.approx(0.05)
    assert board.score(figure(("share",), "≤", 0.2), data).short_by == pytest.approx(0.05)


def test_of_several_rows_the_worst_counts():
    rows = [{"db": 0.1}, {"db": 0.7}, {"db": None}]
    assert board.score(figure((board.EACH, "db"), "≤"), rows).measured == 0.7
    assert board.score(figure((board.EACH, "db"), "≥"), rows).measured == 0.1


def test_a_floor_among_the_peers_is_the_best_of_them():
    floor = ("systems", {"corrects": True}, "removed")
    found = board.score(figure(("systems", "ours", "removed"), "≥", floor), SYSTEMS)
    assert found.floor == 0.5
    assert found.short_by == pytest.approx(0.1)


def test_a_figure_without_peers_to_compare_with_says_so():
    alone = {"systems": {"ours": SYSTEMS["systems"]["ours"]}}
    floor = ("systems", {"corrects": True}, "removed")
    found = board.score(figure(("systems", "ours", "removed"), "≥", floor), alone)
    assert found.short_by == 0.0
    assert board.cells(found)[2:4] == ["–", "nothing to compare with"]


def test_what_was_not_measured_is_said_and_is_not_short(tmp_path):
    found = list(board.scores(tmp_path))
    assert [one.figure for one in found] == list(board.FIGURES)
    assert not any(one.short_by for one in found)
    assert board.cells(found[0])[3] == "not measured"


def test_a_file_that_lacks_a_figure_is_named(tmp_path):
    (tmp_path / "gates.json").write_text(json.dumps({"fallen_share": 1.0}))
    with pytest.raises(SystemExit, match=r"gates\.json lacks 'median_rho'"):
        list(board.scores(tmp_path))
