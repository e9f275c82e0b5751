"""A kit's pads are found by their names, and notes sound where they stand."""

import numpy as np
import pytest
import soundfile
from script_modules import load_script

RATE = 44100

PADS = ("Kick", "Stick", "Snare Rock", "Closed HH", "Open HH", "Tom Hi", "Crash")


@pytest.fixture(scope="module")
def modules():
    return {name: load_script(name) for name in ("midi", "drum_sampler")}


@pytest.fixture
def kit(modules, tmp_path):
    """A kit whose pad number n sounds a constant n + 1 hundredths for 0.1 s."""
    entries = []
    for number, name in enumerate(PADS):
        soundfile.write(tmp_path / f"{number}.wav", np.full(RATE // 10, (number + 1) / 100), RATE, "FLOAT")
        entries.append(
            f"<instrument><id>{number}</id><name>{name}</name><volume>1</volume>"
            f"<layer><filename>{number}.wav</filename><min>0</min><max>1</max><gain>1</gain></layer></instrument>"
        )
    listed = "".join(entries)
    (tmp_path / "drumkit.xml").write_text(
        f"<drumkit_info><instrumentList>{listed}</instrumentList></drumkit_info>"
    )
    return modules["drum_sampler"].Kit.read(tmp_path)


def played(modules, kit, *notes: tuple[float, int]) -> np.ndarray:
    note = modules["midi"].Note
    score = modules["midi"].Score(tuple(note(at, at + 0.1, 9, pitch, 127) for at, pitch in notes), ())
    return modules["drum_sampler"].play(score, kit, RATE, np.random.default_rng(0))


def test_pads_are_found_by_name(kit):
    assert set(kit.pads) == {"kick", "stick", "snare", "closed_hat", "open_hat", "high_tom", "crash"}


@pytest.mark.parametrize(
    ("pitch", "pad"), [(36, 0), (37, 1), (38, 2), (42, 3), (46, 4), (50, 5), (49, 6), (41, 5)]
)
def test_a_note_sounds_its_pad_from_its_start_on(modules, kit, pitch, pad):
    out = played(modules, kit, (0.5, pitch))
    assert not out[:, : RATE // 2].any()
    assert out[0, RATE // 2 + 10] == pytest.approx((pad + 1) / 100, rel=1e-3)
    assert not out[:, int(0.61 * RATE) :].any()


def test_a_closed_hat_chokes_an_open_one(modules, kit):
    out = played(modules, kit, (0.0, 46), (0.05, 44))
    assert out[0, int(0.08 * RATE)] == pytest.approx(0.04, rel=1e-3)


def test_a_kit_without_a_snare_is_none(modules, tmp_path):
    (tmp_path / "drumkit.xml").write_text("<drumkit_info/>")
    assert modules["drum_sampler"].Kit.read(tmp_path) is None
