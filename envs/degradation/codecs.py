"""Codecs and converters as damage: Opus, AAC and Vorbis by ffmpeg, and round trips through low rates.

MP3 is left to validation (`envs.pathologies`) and to tables.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache

import numpy as np
import soxr
from scipy import signal

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.types import Audio, FloatArray

CODECS = {"opus": ("libopus", "ogg"), "aac": ("aac", "adts"), "vorbis": ("libvorbis", "ogg")}
"""By name: ffmpeg's encoder and container."""

KEPT_APART = {"mp3": ("libmp3lame", "mp3")}
"""Of the same form: the codec that nothing is trained on."""

RATES_KBPS = (24, 128)
_LOWEST_KBPS = {"vorbis": 48}
ROUND_TRIP_RATES_HZ = (16000, 22050, 24000, 32000)
_TIMEOUT_S = 60


def installed() -> tuple[str, ...]:
    """The codecs of `CODECS` that an ffmpeg on this machine can encode; empty without one."""
    return tuple(name for name, (encoder, _) in CODECS.items() if encoder in _encoders())


@lru_cache
def _encoders() -> frozenset[str]:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return frozenset()
    command = (ffmpeg, "-hide_banner", "-encoders")
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S)
    return frozenset(listed.stdout.split())


def through_codec(audio: Audio, codec: str, kbps: int) -> Audio:
    """The audio after a codec, aligned with what went in and of its length.

    Args:
        audio: mono or stereo.
        codec: one of `installed()`, or of `KEPT_APART`.
        kbps: rate for all channels; Vorbis is not coded under 48.

    Raises:
        ModelMissingError: there is no ffmpeg that has the codec.
    """
    encoder, container = {**CODECS, **KEPT_APART}.get(codec, ("", ""))
    if encoder not in _encoders():
        raise ModelMissingError(f"ffmpeg with the encoder of {codec} is needed: install ffmpeg")
    channels = len(audio.samples)
    raw = ("-f", "f32le", "-ar", str(audio.rate), "-ac", str(channels))
    kbps = max(kbps, _LOWEST_KBPS.get(codec, 0))
    quality = ("-c:a", encoder, "-b:a", f"{kbps}k", "-f", container)
    peak = max(float(np.abs(audio.samples).max(initial=0.0)), 1e-9) * 1.3
    scaled = np.ascontiguousarray((audio.samples / peak).T, np.float32)
    coded = _ffmpeg((*raw, "-i", "-", *quality, "-"), scaled.tobytes())
    decoded = np.frombuffer(_ffmpeg(("-i", "-", *raw, "-"), coded), np.float32)
    samples = decoded.reshape(-1, channels).T * np.float32(peak)
    return Audio(aligned(samples, audio.samples), audio.rate)


def through_rate(audio: Audio, rate: int) -> Audio:
    """The audio brought to a lower rate and back: nothing is left above half of it."""
    there = soxr.resample(audio.samples.T, audio.rate, rate)
    back = soxr.resample(there, rate, audio.rate).T
    missing = max(audio.samples.shape[1] - back.shape[1], 0)
    samples = np.pad(back, ((0, 0), (0, missing)))[:, : audio.samples.shape[1]]
    return Audio(np.ascontiguousarray(samples, np.float32), audio.rate)


def aligned(decoded: FloatArray, reference: FloatArray) -> FloatArray:
    """`decoded` moved by up to 100 ms to where it correlates best, of the reference's length."""
    span = min(reference.shape[1], decoded.shape[1], 131072)
    a, b = decoded.sum(axis=0)[:span], reference.sum(axis=0)[:span]
    correlation = signal.correlate(a, b, "full", "fft")
    reach = min(span - 1, 4800)
    middle = span - 1
    delay = int(np.argmax(correlation[middle - reach : middle + reach + 1])) - reach
    moved = decoded[:, delay:] if delay >= 0 else np.pad(decoded, ((0, 0), (-delay, 0)))
    missing = max(reference.shape[1] - moved.shape[1], 0)
    return np.ascontiguousarray(np.pad(moved, ((0, 0), (0, missing)))[:, : reference.shape[1]], np.float32)


def _ffmpeg(arguments: tuple[str, ...], data: bytes) -> bytes:
    command = ("ffmpeg", "-hide_banner", "-loglevel", "error", "-threads", "1", *arguments)
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=_TIMEOUT_S).stdout
