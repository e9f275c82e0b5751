"""Ten songs from nothing but numpy: a corpus for tests and for runs that only have to run.

Each has its own tempo, key, chords and sounds (drums, bass, chords on both sides, a lead), is stereo,
reaches 20 kHz and does not clip. The same number gives the same song.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from mixagent.envs.corpus import Corpus, Split
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.files import atomically
from mixagent.pipeline.names import for_libsndfile
from mixagent.pipeline.types import Audio, Float64Array, ShowProgress

RATE_HZ = 44100
SECONDS = 12.0
SPLITS_OF_TEN: tuple[Split, ...] = (*("train",) * 6, *("validation",) * 2, *("test",) * 2)


_SCALE = (0, 2, 3, 5, 7, 8, 10)


def debug_corpus(directory: Path, seconds: float = SECONDS, progress: ShowProgress | None = None) -> Corpus:
    """The corpus of ten synthesised songs in `directory`, made where it is not there: 6 train, 2, 2.

    Raises:
        OutputError: the songs cannot be written.
    """
    corpus = Corpus.open(directory)
    for split in dict.fromkeys(SPLITS_OF_TEN):
        folder = corpus.directory / "songs" / split
        with corpus.writing():
            folder.mkdir(parents=True, exist_ok=True)
            for number in (n for n, place in enumerate(SPLITS_OF_TEN) if place == split):
                _write(folder / f"song-{number}.flac", number, seconds)
        corpus = corpus.add([folder], split, shortest_s=min(seconds, 5.0), progress=progress)
    return corpus


def _write(path: Path, number: int, seconds: float) -> None:
    if path.exists():
        return
    with (
        atomically(path) as place,
        soundfile.SoundFile(for_libsndfile(place), "w", RATE_HZ, 2, "PCM_16", format="FLAC") as file,
    ):
        file.artist = f"Synthesised {number}"
        file.write(synthetic_song(number, seconds).samples.T)


def synthetic_song(number: int, seconds: float = SECONDS) -> Audio:
    """A song, float32 stereo at `RATE_HZ`, peaks at −1 dBFS."""
    random = np.random.default_rng([1, number])
    beat_s, root = 60.0 / random.uniform(84, 136), int(random.integers(40, 52))
    bars = int(np.ceil(seconds / (4 * beat_s)))
    degrees = random.integers(0, 7, bars)
    frames = round(seconds * RATE_HZ)
    mix = np.zeros((2, frames))
    for bar, degree in enumerate(degrees):
        start_s = 4 * bar * beat_s
        chord = [root + _step(int(degree) + third) for third in (0, 2, 4)]
        _play_drums(mix, start_s, beat_s, random)
        _play_harmony(mix, start_s, beat_s, chord, random)
        _play_lead(mix, start_s, beat_s, chord, random)
    mix += 1e-4 * random.standard_normal(mix.shape)
    mix *= db_to_amplitude(-1) / np.max(np.abs(mix))
    return Audio(mix.astype(np.float32), RATE_HZ)


def _step(degree: int) -> int:
    return _SCALE[degree % 7] + 12 * (degree // 7)


def _play_drums(mix: Float64Array, start_s: float, beat_s: float, random: np.random.Generator) -> None:
    time = np.arange(round(0.3 * RATE_HZ)) / RATE_HZ
    kick = np.sin(2 * np.pi * (48 * time + 3 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.12)
    for beat in range(4):
        noise = random.standard_normal((2, time.size))
        _add(mix, kick if beat % 2 == 0 else 0.3 * noise * np.exp(-time / 0.06), start_s + beat * beat_s)
        for half in (0.0, 0.5):
            hat = np.diff(random.standard_normal((2, time.size + 1))) * np.exp(-time / 0.03)
            _add(mix, random.uniform(0.06, 0.12) * hat, start_s + (beat + half) * beat_s)


def _play_harmony(
    mix: Float64Array, start_s: float, beat_s: float, chord: list[int], random: np.random.Generator
) -> None:
    _add(mix, 0.4 * _tone(chord[0] - 12, 3.6 * beat_s, 1.2), start_s)
    for place, pitch in zip((-0.7, 0.0, 0.7), chord, strict=True):
        note = _tone(pitch + 12 + random.normal(0, 0.03), 3.8 * beat_s, 0.8)
        _add(mix, 0.16 * np.stack([(1 - place) * note, (1 + place) * note]), start_s)


def _play_lead(
    mix: Float64Array, start_s: float, beat_s: float, chord: list[int], random: np.random.Generator
) -> None:
    for beat in np.flatnonzero(random.random(8) < 0.6) / 2:
        pitch = int(random.choice(chord)) + 24
        _add(mix, 0.2 * _tone(pitch, beat_s, 0.25), start_s + beat * beat_s + random.normal(0, 0.005))


def _tone(pitch: float, seconds: float, decay_s: float) -> Float64Array:
    """A plucked note of twelve partials, the upper ones dying first."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time
    # Each partial from the two before it: sin (k + 1)x = 2 cos x · sin kx − sin (k − 1)x.
    before, partial, turn = np.zeros_like(time), np.sin(phase), 2 * np.cos(phase)
    level, dying = np.exp(-1.3 * time / decay_s), np.exp(-0.3 * time / decay_s)
    tone = level * partial
    for k in range(2, 13):
        before, partial = partial, turn * partial - before
        level *= dying
        tone += level * partial / k
    return np.asarray(tone * np.clip((seconds - time) / 0.02, 0, 1) * np.clip(time / 0.003, 0, 1))


def _add(mix: Float64Array, sound: Float64Array, at_s: float) -> None:
    start = max(round(at_s * RATE_HZ), 0)
    part = np.atleast_2d(sound)[:, : max(mix.shape[1] - start, 0)]
    mix[:, start : start + part.shape[1]] += part
