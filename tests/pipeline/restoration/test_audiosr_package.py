"""The real package on a small model of random weights: its own loading and sampling code.

`MIXAGENT_TEST_AUDIOSR` names the Python of an environment with the package, such as the one that
`mixagent models pull audiosr` makes.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from highs import RATE, brick_wall, bright_music

from mixagent.pipeline.restoration import audiosr
from mixagent.pipeline.restoration.audiosr_files import WORKER, AudioSRFiles
from mixagent.pipeline.restoration.audiosr_process import Sampling
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.types import Audio, load

PYTHON = os.environ.get("MIXAGENT_TEST_AUDIOSR", "")
SMALL = Path(__file__).with_name("audiosr_small.py")
END_HZ = 8000.0

pytestmark = [
    pytest.mark.install,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="MIXAGENT_TEST_AUDIOSR names no Python with audiosr"),
]


def called(*arguments):
    command = [PYTHON, "-I", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder as `pull` leaves it, of a checkpoint in the official layout."""
    folder = tmp_path_factory.mktemp("audiosr") / "weights"
    sha256 = called(SMALL, "make", WORKER, folder)
    event = json.loads(called(WORKER, "convert", folder, folder / "pytorch_model.bin", sha256))
    assert event["event"] == "done"
    return folder


def test_the_weights_are_what_the_packages_own_loader_reads_and_sound_the_same(weights):
    found = json.loads(called(SMALL, "compare", WORKER, weights))
    assert found["same_weights"]
    assert found["same_sound"]
    assert found["finite"]
    assert found["frames"] == 96000
    assert found["left_out"] > 100
    size = (weights / "weights.safetensors").stat().st_size
    assert size < 0.8 * (weights / "pytorch_model.bin").stat().st_size


def test_a_song_is_extended_and_is_the_same_under_its_end(weights, tmp_path):
    source = Audio(brick_wall(bright_music(4.0), END_HZ), RATE)
    shares = []
    files, sampling = AudioSRFiles(Path(PYTHON), weights), Sampling("cpu", steps=4)
    found = Found("", {}, {"end_hz": END_HZ})
    restored = audiosr.run(source, found, tmp_path, shares.append, sampling, files=files)
    assert restored.applied, restored.why
    assert "on the CPU" in restored.why
    assert len(set(shares)) >= 4
    change = load(restored.audio).samples.astype(np.float64) - source.samples
    power = np.square(np.abs(np.fft.rfft(change[0] * np.hanning(change.shape[1]))))
    hz = np.fft.rfftfreq(change.shape[1], 1 / RATE)
    assert power[hz > END_HZ + 300].sum() > 1e6 * power[hz < END_HZ - 300].sum()


def test_weights_that_were_changed_are_refused(weights, tmp_path):
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "config.json").write_bytes((weights / "config.json").read_bytes())
    data = bytearray((weights / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (changed / "weights.safetensors").write_bytes(data)
    source = Audio(brick_wall(bright_music(1.0), END_HZ), RATE)
    found = Found("", {}, {"end_hz": END_HZ})
    files = AudioSRFiles(Path(PYTHON), changed)
    restored = audiosr.run(source, found, tmp_path, lambda share: None, files=files)
    assert restored.audio is source
    assert "is not the file that config.json names" in restored.why
