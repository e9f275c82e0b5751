"""Codec round trips measure what comes back, and a held ceiling holds after them."""

import json
import math
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from scipy import signal

from mixagent.pipeline.errors import ModelMissingError, UsageError
from mixagent.pipeline.finaliser.codecs import (
    CODECS,
    MAX_RENDERS,
    CodecPlan,
    finalise_through,
    planned,
    round_trip,
)
from mixagent.pipeline.finaliser.prediction import measure_source
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import Audio

RATE = 44_100
HERE = [name for name, codec in CODECS.items() if not codec.missing()]


def beat(seconds: float = 2.0, rate: int = RATE, channels: int = 2) -> Audio:
    """Hits of bright noise over a chord: what codecs overshoot on."""
    time_s = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(2).standard_normal((channels, time_s.size))
    bright = signal.sosfilt(signal.butter(8, 12_000, fs=rate, output="sos"), noise)
    hits = bright * np.exp(-30 * (time_s % 0.25))
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (110, 277, 415))
    return Audio((0.3 * hits + 0.1 * chord).astype(np.float32), rate)


def ignored(share: float) -> None:
    pass


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (48_000, 1), (96_000, 2)])
def test_a_round_trip_keeps_the_loudness_and_leaves_no_file(tmp_path, name, rate, channels):
    audio = beat(1.0, rate, channels)
    check = round_trip(audio, CODECS[name], tmp_path)
    assert (check.codec, check.kbps) == (name, CODECS[name].kbps)
    assert check.integrated_lufs == pytest.approx(integrated_lufs(audio), abs=0.5)
    assert math.isfinite(check.true_peak_dbtp)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["aac", "opus"])
def test_a_codec_runs_at_the_rate_that_it_is_said_to(tmp_path, name):
    if CODECS[name].missing() or not shutil.which("ffprobe"):
        pytest.skip(f"{name} is not here")
    path = tmp_path / f"song{CODECS[name].suffix}"
    # Noise, so that no rate is saved.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4 * 48_000)).astype(np.float32)
    CODECS[name].write(Audio(noise, 48_000), path)
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "format=bit_rate", "-of", "json", path],
        capture_output=True,
        check=True,
    )
    kbps = int(json.loads(shown.stdout)["format"]["bit_rate"]) / 1000
    assert kbps == pytest.approx(CODECS[name].kbps, rel=0.15)


def test_the_peak_after_a_codec_is_the_decoded_files(tmp_path):
    audio = beat()
    check = round_trip(audio, CODECS["ogg"])
    soundfile.write(tmp_path / "m.ogg", audio.samples.T, RATE, compression_level=0.1)
    decoded = soundfile.read(tmp_path / "m.ogg")[0]
    sample_peak_db = 20 * math.log10(np.abs(decoded).max())
    assert sample_peak_db - 0.01 <= check.true_peak_dbtp <= sample_peak_db + 3.0


def test_a_held_ceiling_holds_after_the_codec_and_every_render_is_told(tmp_path):
    source, target = beat(), LoudnessTarget("test", -12.0, -1.0)
    finish, renders = finalise_through(
        source,
        target,
        CodecPlan(("mp3", "ogg"), ("mp3",)),
        tmp_path,
        ignored,
        measure_source(source, ignored),
    )
    assert 1 < len(renders) <= MAX_RENDERS
    ceilings = [render.ceiling_dbtp for render in renders]
    assert ceilings[0] == -1.0
    assert ceilings == sorted(ceilings, reverse=True)
    assert {check.codec for check in renders[-1].checks} == {"mp3", "ogg"}
    assert renders[0].checks[0].true_peak_dbtp > -1.0
    assert round_trip(finish.audio, CODECS["mp3"]).true_peak_dbtp <= -1.0
    assert finish.met
    assert finish.integrated_lufs == pytest.approx(-12.0, abs=0.06)


def test_a_check_alone_renders_once_and_changes_nothing(tmp_path):
    source, target = beat(), LoudnessTarget("test", -12.0, -1.0)
    measures = measure_source(source, ignored)
    folders = [tmp_path / name for name in ("plain", "checked")]
    made = []
    for folder, plan in zip(folders, (CodecPlan(), CodecPlan(("mp3",))), strict=True):
        folder.mkdir()
        finish, renders = finalise_through(source, target, plan, folder, ignored, measures)
        assert len(renders) == 1
        made.append(finish.audio.read(0, source.frames))
    np.testing.assert_array_equal(*made)


def test_a_ceiling_that_cannot_hold_is_missed_in_words(tmp_path, monkeypatch):
    source, target = beat(1.0), LoudnessTarget("test", -12.0, -1.0)
    monkeypatch.setattr("mixagent.pipeline.finaliser.codecs.MAX_RENDERS", 1)
    finish, _ = finalise_through(
        source, target, CodecPlan(("opus",), ("opus",)), tmp_path, ignored, measure_source(source, ignored)
    )
    assert not finish.met
    assert "opus still peaks at" in finish.missed
    assert "ceiling of -1" in finish.missed


def test_silence_passes_through_a_codec(tmp_path):
    assert round_trip(Audio(np.zeros((2, RATE), np.float32), RATE), CODECS["mp3"]).true_peak_dbtp < -90


@pytest.mark.parametrize(
    ("check", "hold", "suffixes", "checked", "held"),
    [
        (False, None, [".wav"], (), ()),
        (False, None, [".mp3"], ("mp3",), ("mp3",)),
        (False, None, [".mp3", ".ogg"], ("mp3", "ogg"), ("mp3", "ogg")),
        (False, None, [".wav", ".mp3"], ("mp3",), ()),
        (False, False, [".mp3"], ("mp3",), ()),
        (True, None, [".wav"], tuple(HERE), ()),
        (True, None, [".mp3"], tuple(HERE), ("mp3",)),
        (False, True, [".wav"], tuple(HERE), tuple(HERE)),
    ],
)
def test_a_lossless_file_is_never_limited_for_a_codec_unasked(check, hold, suffixes, checked, held):
    plan = planned(check, hold, suffixes)
    assert (plan.checked, plan.held) == (checked, held)


def test_only_the_codecs_that_were_named_are_meant():
    plan = planned(False, True, [".wav"], ["ogg", "mp3"])
    assert (plan.checked, plan.held, plan.absent) == (("ogg", "mp3"), ("ogg", "mp3"), ())
    beside = planned(True, None, [".wav", ".mp3"], ["ogg"])
    assert (beside.checked, beside.held) == (("ogg", "mp3"), ())


def test_a_codec_that_is_not_here_is_named(monkeypatch):
    monkeypatch.setattr("mixagent.pipeline.finaliser.codecs.shutil.which", lambda name: None)
    assert planned(True, None, [".wav"]).absent == ("aac",)
    with pytest.raises(ModelMissingError, match="aac cannot be checked"):
        planned(True, None, [".wav"], ["aac"])
    with pytest.raises(ModelMissingError, match="ffmpeg is not installed"):
        round_trip(beat(0.5), CODECS["aac"])
    with pytest.raises(UsageError, match="unknown codec"):
        CodecPlan(("atrac",))
