"""AudioSR: what is taken of it, and a process that misbehaves. A stub speaks for the model."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highs import RATE, brick_wall, bright_music
from scipy import signal

from mixagent.pipeline.errors import CancelledError, ModelMissingError
from mixagent.pipeline.restoration import audiosr
from mixagent.pipeline.restoration.audiosr_files import AudioSRFiles
from mixagent.pipeline.restoration.audiosr_process import Limits, Sampling, Worker
from mixagent.pipeline.restoration.audiosr_worker import LONGEST_FRAMES
from mixagent.pipeline.restoration.audiosr_worker import RATE as MODEL_RATE
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.types import Audio, load

END_HZ = 8000.0
NO_ANALYSIS = None  # The search measures for itself.

STUB = """
import json, os, sys, time
from pathlib import Path
import numpy as np

folder = Path(sys.argv[2])
does = json.loads((folder / "does.json").read_text())

def tell(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)

(folder / "pid").write_text(str(os.getpid()))
(folder / "argv.json").write_text(json.dumps(sys.argv[3:]))
print("a package says what it likes")
print('{"half a li')
print("[1, 2]")
if does == "never ready":
    time.sleep(60)
if does == "cannot load":
    tell("failed", why="ValueError: \\x1b[31mthe weights\\ndo not fit")
    sys.exit(1)
tell("ready", device="cpu")
asked = 0
for line in sys.stdin:
    request, asked = json.loads(line), asked + 1
    with (folder / "requests.jsonl").open("a") as file:
        file.write(line)
    wave = np.fromfile(request["input"], "<f4")
    np.save(folder / f"input{asked}.npy", wave)
    if does == "crashes":
        sys.exit(9)
    if does == "hangs":
        time.sleep(60)
    if does == "slow":
        for step in range(1000):
            time.sleep(0.02)
            tell("progress", share=step / 1000)
    if does == "eats":
        eaten = np.ones(40_000_000)
        time.sleep(60)
    if does == "says that it ate":
        tell("progress", share=0.1, peak_bytes=10**13)
        time.sleep(60)
    noise = np.random.default_rng(asked).standard_normal(len(wave))
    hz = np.fft.rfftfreq(len(wave), 1 / 48000)
    spectrum = np.fft.rfft(noise) * (hz >= request["from_hz"])
    power = np.abs(np.fft.rfft(wave)) ** 2
    reference = power[(hz > 0.66 * request["from_hz"]) & (hz < 0.92 * request["from_hz"])].mean()
    above = (np.abs(spectrum[hz >= request["from_hz"]]) ** 2).mean()
    wanted_db = does["over_db"] if isinstance(does, dict) else -6.0
    made = wave + np.fft.irfft(spectrum, len(wave)) * np.sqrt(reference / above * 10 ** (wanted_db / 10))
    made *= 0.1
    if does == "loud edges":
        made[:20000] = made[-20000:] = 100 * made[:20000]
    if does == "not a number":
        made[1000] = np.nan
    if does == "short":
        made = made[:-1]
    tell("progress", share=0.5)
    tell("progress", share="much")
    if does != "no file":
        made.astype("<f4").tofile(request["output"])
    tell("done")
"""


class Model:
    """The stub in the place of AudioSR, told what to do."""

    def __init__(self, folder, does):
        self.folder = folder / "weights"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "does.json").write_text(json.dumps(does))
        worker = self.folder / "worker.py"
        worker.write_text(STUB)
        self.files = AudioSRFiles(sys.executable, self.folder, worker)
        self.scratch = folder

    def run(self, source, progress=lambda share: None, limits=None, sampling=None, from_hz=END_HZ):
        found = Found("", {"end_hz": from_hz}, {"end_hz": from_hz})
        return audiosr.run(source, found, self.scratch, progress, sampling, limits, self.files)

    @property
    def requests(self):
        return [json.loads(line) for line in (self.folder / "requests.jsonl").read_text().splitlines()]

    @property
    def is_alive(self):
        try:
            os.kill(int((self.folder / "pid").read_text()), 0)
        except (ProcessLookupError, FileNotFoundError):
            return False  # It ended, before it had begun maybe.
        return True


@pytest.fixture
def model(tmp_path):
    return lambda does="extends": Model(tmp_path, does)


def dull(seconds=3.0, rate=RATE):
    return Audio(brick_wall(bright_music(seconds, rate=rate), END_HZ, rate), rate)


def density_db(samples, rate, low_hz, high_hz):
    hz, density = signal.welch(samples, rate, "hann", 8192)
    return 10 * np.log10(density[..., (hz >= low_hz) & (hz < high_hz)].mean() + 1e-30)


# --- what is taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [44100, 96000])
def test_only_the_band_above_the_end_is_added_and_sides_stay(model, rate):
    source = dull(rate=rate)
    restored = model().run(source)
    assert restored.applied
    before, after = source.samples, load(restored.audio).samples
    assert after.shape == before.shape
    change = after.astype(np.float64) - before
    # Of mid and side the side is the same, but for the rounding of float32.
    np.testing.assert_allclose(change[0], change[1], atol=1e-7)
    under = density_db(change[0], rate, 20, END_HZ - 200) - density_db(before[0], rate, 20, END_HZ - 200)
    assert under < -90
    assert density_db(after[0], rate, 9000, 12000) > density_db(before[0], rate, 9000, 12000) + 40


def test_the_new_band_stands_where_the_model_put_it_against_the_band_under_the_end(model):
    source = dull()
    mid = source.samples.mean(0)
    after = load(model({"over_db": -10.0}).run(source).audio).samples.mean(0)
    under_db = density_db(mid, RATE, 0.66 * END_HZ, 0.92 * END_HZ)
    assert density_db(after, RATE, 9000, 16000) == pytest.approx(under_db - 10, abs=1)


def test_a_band_that_would_rise_at_the_end_is_held_at_the_level_under_it(model):
    source = dull()
    after = load(model({"over_db": 12.0}).run(source).audio).samples.mean(0)
    under_db = density_db(source.samples.mean(0), RATE, 0.66 * END_HZ, 0.92 * END_HZ)
    assert density_db(after, RATE, 9000, 16000) == pytest.approx(under_db, abs=1)


def test_the_model_is_given_the_mid_behind_a_strict_low_pass(model):
    source = Audio(bright_music(), RATE)
    stub = model()
    stub.run(source)
    given = np.load(stub.folder / "input1.npy")
    hz, density = signal.welch(given, MODEL_RATE, "hann", 8192)
    passed, stopped = density[(hz > 5000) & (hz < 7000)].mean(), density[hz > 1.2 * END_HZ].max()
    assert 10 * np.log10(stopped / passed) < -80
    assert stub.requests[0]["from_hz"] == END_HZ


def test_a_song_goes_in_pieces_that_the_model_knows_and_their_ends_are_discarded(model):
    seconds = 21.0
    source = dull(seconds)
    stub = model("loud edges")
    after = load(stub.run(source).audio).samples
    pieces = [len(np.load(stub.folder / f"input{k + 1}.npy")) for k in range(len(stub.requests))]
    assert len(pieces) == 3
    assert max(pieces) <= LONGEST_FRAMES
    inner = slice(RATE, round((seconds - 1) * RATE))
    # The ends of pieces that lie inside the song are a hundred times as loud as the rest.
    peaks = np.abs(after - source.samples)[0, inner].reshape(-1, RATE // 10)[:, :].max(1)
    assert peaks.max() < 4 * np.median(peaks)


def test_the_seams_of_pieces_keep_the_level(model):
    source = Audio(0.1 * np.random.default_rng(0).standard_normal((1, 12 * RATE)).astype(np.float32), RATE)
    source = Audio(brick_wall(source.samples, END_HZ), RATE)
    change = load(model().run(source).audio).samples[0] - source.samples[0]
    seam = round((LONGEST_FRAMES / MODEL_RATE - 1) * RATE)
    at_seam = change[seam - RATE // 100 : seam + RATE // 100]
    assert 20 * np.log10(at_seam.std() / change.std()) == pytest.approx(0, abs=1)


def test_silence_is_not_sent_and_nothing_is_added_to_it(model):
    samples = dull(22.0).samples.copy()
    samples[:, : 11 * RATE] = 0
    stub = model()
    after = load(stub.run(Audio(samples, RATE)).audio).samples
    assert len(stub.requests) == 2
    assert not after[:, : 9 * RATE].any()


def test_mono_stays_mono(model):
    source = Audio(dull().samples[:1], RATE)
    restored = model().run(source)
    assert (restored.applied, restored.audio.channels) == (True, 1)


def test_a_song_shorter_than_a_breath_is_left_alone(model):
    source = Audio(np.zeros((2, 100), np.float32), RATE)
    restored = model().run(source)
    assert restored.audio is source
    assert not restored.applied


def test_sampling_reaches_the_model(model):
    stub = model()
    stub.run(dull(), sampling=Sampling("cpu", 25, 2.0, 11))
    asked = stub.requests[0]
    assert (asked["steps"], asked["guidance"], asked["seed"]) == (25, 2.0, 11)
    assert json.loads((stub.folder / "argv.json").read_text())[0] == "cpu"


@pytest.mark.parametrize("steps", [0, 3, 2000])
def test_steps_that_the_package_cannot_count_are_refused(steps):
    with pytest.raises(ValueError, match="divisor of 1000"):
        Sampling(steps=steps)


def test_progress_never_falls_and_ends_at_one(model):
    shares = []
    model().run(dull(12.0), shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


# --- what is looked for ----------------------------------------------------------------------------------


def test_a_cut_off_is_found_where_it_lies():
    found = audiosr.find(dull(), NO_ANALYSIS, lambda share: None)
    assert found.details["end_hz"] == pytest.approx(END_HZ, rel=0.05)


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (bright_music(), RATE),
        (brick_wall(bright_music(), 16500.0), RATE),
        (np.zeros((2, RATE), np.float32), RATE),
        (bright_music(rate=22050), 22050),
    ],
    ids=["full band", "where music ends", "silence", "a low rate"],
)
def test_nothing_is_found_where_nothing_is_missing(samples, rate):
    assert audiosr.find(Audio(samples, rate), NO_ANALYSIS, lambda share: None) is None


def test_the_search_can_be_cancelled():
    with pytest.raises(CancelledError):
        audiosr.find(dull(), NO_ANALYSIS, cancel_from(0.0))


# --- a process that misbehaves ---------------------------------------------------------------------------


def cancel_from(share):
    def progress(done):
        if done >= share:
            raise CancelledError("interrupted")

    return progress


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("crashes", "ended with status 9"),
        ("cannot load", "ValueError: [31mthe weights do not fit"),
        ("not a number", "no sound"),
        ("short", "samples for"),
        ("no file", "left no file"),
        ("says that it ate", "GB of memory"),
    ],
)
def test_what_fails_leaves_the_song_as_it_was(model, does, said):
    source, stub = dull(), model(does)
    restored = stub.run(source)
    assert restored.audio is source
    assert not restored.applied
    assert said in restored.why
    assert not stub.is_alive


@pytest.mark.parametrize(
    ("does", "limits", "said"),
    [
        ("never ready", Limits(start_s=0.5), "no sign of life"),
        ("hangs", Limits(silent_s=0.5), "no sign of life"),
        ("hangs", Limits(total_s=0.5), "took more than 0.5 s"),
        ("slow", Limits(total_s=4.0), "the song would take"),
    ],
)
def test_a_run_over_its_time_is_ended(model, does, limits, said):
    stub = model(does)
    restored = stub.run(dull(), limits=limits)
    assert not restored.applied
    assert said in restored.why
    assert not stub.is_alive


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say how much a process takes")
def test_a_run_over_its_memory_is_ended(model):
    stub = model("eats")
    restored = stub.run(dull(), limits=Limits(memory_bytes=250e6))
    assert "took more than 0.2 GB of memory" in restored.why
    assert not stub.is_alive


@pytest.mark.parametrize("does", ["never ready", "hangs", "slow"])
def test_cancelling_ends_the_process(model, does):
    stub = model(does)
    calls = []

    def progress(share):
        calls.append(share)
        if len(calls) > 8 and (stub.folder / "pid").exists():
            raise CancelledError("interrupted")

    with pytest.raises(CancelledError):
        stub.run(dull(), progress)
    assert not stub.is_alive


def test_a_python_that_is_gone_is_told_of(model):
    stub = model()
    stub.files = replace(stub.files, python=stub.folder / "no-such-python")
    assert "did not start" in stub.run(dull()).why


def test_without_it_the_user_is_told_how_to_get_it(tmp_path):
    found = Found("", {}, {"end_hz": END_HZ})
    with pytest.raises(ModelMissingError, match="mixagent models pull audiosr"):
        audiosr.run(dull(), found, tmp_path, lambda share: None)


@pytest.mark.skipif(os.name != "posix", reason="tells of its end by a signal")
def test_the_process_ends_with_the_program_that_started_it(model, tmp_path):
    """The real worker's reader of stdin: it does not wait for the work at hand."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import audiosr_worker\n"
        "audiosr_worker._requests(); print('reads', flush=True); time.sleep(60)"
    )
    folder = audiosr.__file__.rpartition("/")[0]
    command = [sys.executable, "-I", "-c", script, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "reads\n"
        process.stdin.close()
        assert process.wait(timeout=10) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not show another's variables")
def test_variables_that_would_lead_its_python_astray_are_kept_from_it(monkeypatch, model, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    stub = model()
    with Worker(stub.files, Sampling(), Limits(), tmp_path, lambda share: None) as worker:
        worker.begin()
        given = Path(f"/proc/{(stub.folder / 'pid').read_text()}/environ").read_bytes()
    assert b"PYTHONPATH" not in given
