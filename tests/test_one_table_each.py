"""A new repair, reward term, parameter, effect or command is a row of a table and a file of its own."""

import sys
import types

import numpy as np
import pytest
from songs import write_song

import mixagent
from mixagent.pipeline.chain import mastering, parameters
from mixagent.pipeline.dsp.image import Image
from mixagent.pipeline.restoration import table
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.types import Combination
from mixagent.reward import model


@pytest.fixture
def song(tmp_path, cache_folder):
    return write_song(tmp_path / "song.wav")


def test_a_repair_is_a_row_and_a_function(song, tmp_path, monkeypatch):
    class Toy:
        def find(self, source, analysis, progress):
            return Found("It is a toy.")

        def run(self, source, found, scratch, progress):
            return Restored(Combination(((0.5, source),)), True, "Halved, as a toy")

    monkeypatch.setitem(table.REPAIRS, "toy", table.Repair("toy", "halves a toy", Toy))
    options = {"policy": "neutral", "renders": 1, "output": tmp_path / "m.wav"}
    report = mixagent.master(song, **options).to_dict()
    assert "Halved, as a toy" in report["summary"]["done"]
    assert "toy" in [stage["name"] for stage in report["stages"]]


def test_a_parameter_and_its_effect_are_a_row_each(song, monkeypatch):
    row = parameters._Row("toy_gain_db", "dB", -12.0, 0.0, 12.0, "a toy")
    rows = tuple(
        (where, (*own, row)) if where == "master" else (where, own) for where, own in parameters.SHARED
    )
    monkeypatch.setattr(parameters, "SHARED", rows)

    def toy(chain):
        gain = 10 ** (chain.master["toy_gain_db"] / 20)
        return [] if gain == 1 else [Image(np.diag([gain, gain]).astype(np.float32))]

    monkeypatch.setitem(mastering.EFFECTS, "toy", toy)
    options = {"policy": "neutral", "renders": 1}
    before = mixagent.master(song, **options)
    after = mixagent.master(song, overrides=["master.toy_gain_db=6"], **options)
    gains = [made.report.finaliser.gain_db for made in (before, after)]
    assert gains[0] - gains[1] == pytest.approx(6, abs=0.05)
    (told,) = [row for row in after.report.decision.parameters if row.name == "master.toy_gain_db"]
    assert (told.value, told.reason) == (6.0, "set by hand")


def test_a_reward_term_is_a_row_and_a_class(monkeypatch):
    class Toy:
        name, blind, low, high = "toy", True, -1.0, 1.0

        def score(self, pairs):
            return np.full(len(pairs), 0.25)

    monkeypatch.setattr(model, "TERMS", {**model.TERMS, "toy": Toy})
    reward = model.load_reward({"name": "toys", "terms": {"toy": {"weight": 2.0}}})
    assert reward.score(pair=None).total == 0.5


def test_a_command_is_a_row_and_a_function(mixagent, monkeypatch):
    from mixagent.cli import app
    from mixagent.cli.common import command

    toys = types.ModuleType("mixagent.cli.toys")

    @command()
    def toy() -> int:
        """Play."""
        print("played")
        return 0

    toys.toy = toy
    monkeypatch.setitem(sys.modules, "mixagent.cli.toys", toys)
    monkeypatch.setitem(app.COMMANDS, "toy", "toys:toy")
    ran = mixagent("toy")
    assert (ran.code, ran.out) == (0, "played\n")
    assert "Play." in mixagent("--help").out
