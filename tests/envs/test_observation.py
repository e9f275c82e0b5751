import numpy as np
import pytest

from mixagent.envs.cases import Case, Damage, make_case
from mixagent.envs.observation import (
    DIAGNOSIS_NAMES,
    TARGET_NAMES,
    Last,
    diagnosis_values,
    observe,
    shapes,
    target_values,
    truth_of,
)
from mixagent.envs.pathologies import KINDS, damage_all
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import Diagnosis, Finding, diagnose
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.pipeline.types import Audio
from tests.short_cases import HalfSeparator, music

STEMS = ("vocals", "accompaniment")
SPACE = ParameterSpace.for_stems(STEMS)
LEVELS_DEPEND = {"flatness.clip_dbfs", "clipping.clip_dbfs", "mono.side_db", "hum.harmonics"}


@pytest.fixture(scope="module")
def case() -> Case:
    done = Damage({"mud": 0.6}, {"mud": "shelf"}, None, 4)
    return make_case("a", music(0.8), done, HalfSeparator(), LoudnessTarget("t", -14.0))


def test_every_part_has_its_shape_and_is_finite(case: Case) -> None:
    shown = observe(case.context(SPACE), STEMS, np.zeros(5, np.float32), truth=truth_of(case))
    assert {name: part.shape for name, part in shown.items()} == shapes(STEMS, 5)
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in shown.values())


def test_stems_stand_in_the_order_asked_for(case: Case) -> None:
    advice = np.zeros(1, np.float32)
    shown, turned = (observe(case.context(SPACE), names, advice) for names in (STEMS, STEMS[::-1]))
    np.testing.assert_array_equal(shown["stems"], turned["stems"][::-1])
    np.testing.assert_array_equal(shown["stems"][0], case.features["vocals"])


def test_what_was_found_stands_at_its_name() -> None:
    hz, depth = 2000.0, 17.0
    finding = Finding("holes", 0.7, "", "", {"gap_count": 1.0, "gap_0_hz": hz, "gap_0_db": depth})
    values = dict(zip(DIAGNOSIS_NAMES, diagnosis_values(Diagnosis((finding,))), strict=True))
    assert values["holes.severity"] == pytest.approx(0.7)
    assert values["holes.gap_0_db"] == depth
    assert values["holes.gap_0_hz"] == 1.0  # an octave over 1 kHz
    assert values["holes.gap_1_hz"] == 0.0
    assert values["mud.severity"] == 0.0


def test_no_figure_of_a_pathology_is_left_out() -> None:
    audio = damage_all(music(3.0), 0.9, seed=2)
    found = diagnose(audio, analyse(audio))
    named = {f"{finding.kind}.{name}" for finding in found.findings for name in finding.values}
    assert named - LEVELS_DEPEND <= set(DIAGNOSIS_NAMES)
    assert {f"{kind}.severity" for kind in KINDS} <= set(DIAGNOSIS_NAMES)


def test_a_change_of_level_changes_nothing(case: Case) -> None:
    original = music(0.8)
    quieter = Audio(original.samples * np.float32(0.1), original.rate)
    target = LoudnessTarget("t", -14.0)
    shown = [
        observe(
            make_case("a", audio, Damage({}, {}, None, 0), None, target).context(SPACE),
            STEMS,
            np.zeros(1, np.float32),
        )
        for audio in (original, quieter)
    ]
    for name in ("mix", "diagnosis"):
        np.testing.assert_allclose(shown[0][name], shown[1][name], atol=0.05)


def test_the_last_render_is_shown_as_its_difference(case: Case) -> None:
    mix = case.features["mix"]
    last = Last(mix + np.float32(2.0), np.full(3, 0.5, np.float32), 0.25)
    shown = observe(case.context(SPACE), STEMS, np.zeros(3, np.float32), last)["last"]
    np.testing.assert_allclose(shown[: len(FEATURE_NAMES)], 2.0, atol=1e-4)
    assert list(shown[len(FEATURE_NAMES) :]) == [0.5, 0.5, 0.5, 0.25, 1.0]


def test_the_target_is_shown_in_its_units() -> None:
    shown = dict(zip(TARGET_NAMES, target_values(LoudnessTarget("x", -11.5, -2.0, 6.0)), strict=True))
    assert shown == {"integrated_lufs": -11.5, "ceiling_dbtp": -2.0, "max_reduction_db": 6.0}
