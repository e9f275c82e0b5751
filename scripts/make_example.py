"""Make the example: a short song from nothing but numpy, finished, then damaged as generators do it.

The song (drums, bass, electric piano, plucked strings, pad, a sung lead and its harmonies) is mixed and
mastered to a clean original; all five pathologies then go in. Both are the same for the same seed.

    python scripts/make_example.py examples/raw.flac --clean /tmp/clean.flac
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from mixagent.envs.pathologies import damage_all
from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.types import Audio, Float64Array

RATE = 44_100
TEMPO_BPM = 112.0
BEAT_S = 60.0 / TEMPO_BPM
BAR_S = 4 * BEAT_S
VERSE_BAR, CHORUS_BAR, END_BAR = 4, 8, 16
SONG_S = END_BAR * BAR_S + 3.0

PEAK_DBFS = -1.0
DAMAGE_SEVERITY, SEED = 0.95, 0

CHORDS = {"Am": (57, 60, 64), "F": (53, 57, 60), "C": (55, 60, 64), "G": (55, 59, 62)}
ROOTS = {"Am": 33, "F": 29, "C": 36, "G": 31}
HARMONY = ("Am", "F", "C", "G") * 2 + ("F", "C", "G", "Am") * 2 + ("F",)

FORMANTS_HZ = {
    "a": (850.0, 1220.0, 2810.0),
    "e": (610.0, 2330.0, 2990.0),
    "i": (310.0, 2790.0, 3310.0),
    "o": (590.0, 920.0, 2710.0),
    "u": (370.0, 950.0, 2670.0),
}
"""First three formants of a woman's vowels (Peterson and Barney, 1952)."""
HIGHER_FORMANTS_HZ = (3900.0, 4900.0, 6000.0, 7100.0, 8200.0, 9300.0)


@dataclass(frozen=True)
class Syllable:
    """One sung note: when it starts and how long it lasts in beats, its MIDI pitch and its sounds."""

    beat: float
    beats: float
    pitch: int
    vowel: str
    consonant: str = ""


def _phrase(bar: int, *notes: tuple[float, float, int, str, str]) -> tuple[Syllable, ...]:
    return tuple(Syllable(4 * bar + beat, *rest) for beat, *rest in notes)  # type: ignore[arg-type]


LEAD = (
    *_phrase(4, (0, 1, 69, "a", "s"), (1, 0.5, 71, "i", "t"), (1.5, 1.5, 72, "o", ""), (3, 1, 71, "e", "s")),
    *_phrase(5, (0, 1.5, 69, "a", ""), (1.5, 0.5, 67, "u", "t"), (2, 1.75, 65, "o", "")),
    *_phrase(6, (0, 1, 67, "e", "s"), (1, 0.5, 69, "a", ""), (1.5, 1.5, 72, "i", "t"), (3, 1, 69, "a", "")),
    *_phrase(7, (0, 1, 71, "o", "t"), (1, 2, 67, "u", ""), (3.5, 0.5, 72, "a", "s")),
    *_phrase(8, (0, 2, 76, "a", "t"), (2, 1, 74, "e", ""), (3, 1, 72, "i", "s")),
    *_phrase(9, (0, 1.5, 74, "o", ""), (1.5, 1.5, 72, "a", "t"), (3.5, 0.5, 71, "i", "")),
    *_phrase(10, (0, 2, 71, "a", "s"), (2, 1, 74, "o", ""), (3, 1, 71, "e", "t")),
    *_phrase(11, (0, 3, 69, "a", ""), (3.5, 0.5, 72, "a", "s")),
    *_phrase(12, (0, 2, 76, "a", "t"), (2, 1, 77, "e", ""), (3, 1, 76, "i", "s")),
    *_phrase(13, (0, 1.5, 76, "o", ""), (1.5, 1.5, 74, "a", "t"), (3, 1, 72, "i", "")),
    *_phrase(14, (0, 1, 74, "a", "s"), (1, 1, 76, "o", ""), (2, 2, 71, "e", "t")),
    *_phrase(15, (0, 4, 69, "a", "")),
)


def main() -> None:
    """Write the damaged example and, if asked for, its clean original."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("raw", type=Path, help="where the damaged song goes")
    parser.add_argument("--clean", type=Path, help="where the clean original goes")
    parser.add_argument(
        "--severity", type=float, default=DAMAGE_SEVERITY, help="0 to 1 (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of performance and damage (default %(default)s)"
    )
    arguments = parser.parse_args()
    clean = make_song(arguments.seed)
    if arguments.clean:
        soundfile.write(arguments.clean, clean.samples.T, RATE, subtype="PCM_24")
    raw = make_raw(clean, arguments.severity, arguments.seed)
    soundfile.write(arguments.raw, raw.samples.T, RATE, subtype="PCM_16")


def make_raw(clean: Audio, severity: float, seed: int) -> Audio:
    """The song with all five pathologies, its highest sample at `PEAK_DBFS`."""
    return Audio(_to_peak(damage_all(clean, severity, seed).samples), RATE)


def make_song(seed: int, seconds: float = SONG_S) -> Audio:
    """The clean original, float32 stereo, or its first `seconds`."""
    random = np.random.default_rng(seed)
    frames = round(SONG_S * RATE)
    duck = _duck(frames)
    kick, snare, hats = _drums(frames, random)
    lead = sing(LEAD, frames, random)
    band = (
        _at(_pan(kick, 0.0), -17.0),
        _at(_pan(snare, 0.05) + _room(snare, random, decay_s=0.5) * 0.22, -19.0),
        _at(hats, -28.0),
        _at(_pan(_bass(frames, random) * duck, 0.0), -17.5),
        _at(_keys(frames, random), -17.0),
        _at(_plucks(frames, random), -21.0),
        _at(_pad(frames, random) * duck, -17.5),
        _at(_vocals(lead, frames, random), -16.0),
    )
    song = _master(np.sum(band, axis=0))
    return Audio(song[:, : round(seconds * RATE)], RATE)


# --- mixing ----------------------------------------------------------------------------------------


def _master(mix: Float64Array) -> NDArray[np.float32]:
    """Low cut, a presence and air lift, 2:1 glue, soft peaks, then a fade at the end."""
    mix = signal.sosfilt(signal.butter(2, 28, "high", fs=RATE, output="sos"), mix)
    mix = mix + 0.25 * signal.sosfilt(signal.butter(1, 7000, "high", fs=RATE, output="sos"), mix)
    mix /= np.sqrt(np.mean(mix**2))
    level_db = powers_to_db(_smooth(np.mean(mix**2, axis=0), 0.08) + 1e-6)
    mix *= db_to_amplitude(-0.5 * np.maximum(level_db - 1.0, 0.0))
    mix = np.tanh(mix / 4.5) * 4.5
    fade = np.clip((mix.shape[1] - np.arange(mix.shape[1])) / (1.5 * RATE), 0, 1)
    return _to_peak((mix * fade**2).astype(np.float32))


def _to_peak(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples * np.float32(db_to_amplitude(PEAK_DBFS) / np.max(np.abs(samples)))


def _at(track: Float64Array, level_db: float) -> Float64Array:
    """The track at an RMS level over the whole song, in dB."""
    return np.asarray(track * db_to_amplitude(level_db) / np.sqrt(np.mean(track**2)))


def _pan(mono: Float64Array, position: float) -> Float64Array:
    """Constant-power panning, −1 left to 1 right."""
    angle = (position + 1) * np.pi / 4
    return np.stack([mono * np.cos(angle), mono * np.sin(angle)])


def _room(mono: Float64Array, random: np.random.Generator, decay_s: float) -> Float64Array:
    """Stereo reverb: decaying noise whose highs die first, after 18 ms of silence."""
    time = np.arange(round(decay_s * RATE)) / RATE
    noise = random.standard_normal((2, time.size))
    dark = signal.sosfilt(signal.butter(1, 2500, fs=RATE, output="sos"), noise)
    tail = noise * np.exp(-14 * time / decay_s) + 2.0 * dark * np.exp(-6.9 * time / decay_s)
    tail = signal.sosfilt(signal.butter(2, 250, "high", fs=RATE, output="sos"), tail)
    tail /= np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    late = np.pad(mono, (round(0.018 * RATE), 0))[: mono.size]
    return np.stack([signal.fftconvolve(late, side)[: mono.size] for side in tail])


def _duck(frames: int) -> Float64Array:
    """Gain that dips under each kick drum and comes back within 150 ms."""
    gain = np.ones(frames)
    dip = 1 - 0.45 * np.exp(-np.arange(round(0.3 * RATE)) / (0.09 * RATE))
    for beat in _kick_beats():
        _multiply(gain, dip, beat * BEAT_S)
    return gain


def _smooth(values: Float64Array, time_s: float) -> Float64Array:
    pole = np.exp(-1 / (time_s * RATE))
    return np.asarray(signal.lfilter([1 - pole], [1, -pole], values))


def _add(track: Float64Array, sound: Float64Array, at_s: float, gain: float = 1.0) -> None:
    start = max(round(at_s * RATE), 0)
    part = sound[..., : track.shape[-1] - start]
    track[..., start : start + part.shape[-1]] += gain * part


def _multiply(track: Float64Array, gain: Float64Array, at_s: float) -> None:
    start = round(at_s * RATE)
    part = gain[: track.size - start]
    track[start : start + part.size] *= part


# --- drums -----------------------------------------------------------------------------------------


def _kick_beats() -> list[float]:
    verse = [4 * bar + beat for bar in range(VERSE_BAR, CHORUS_BAR) for beat in (0.0, 2.5)]
    chorus = [4 * bar + beat for bar in range(CHORUS_BAR, END_BAR) for beat in (0.0, 1.5, 2.0, 3.5)]
    return [*verse, *chorus, 4.0 * END_BAR]


def _drums(frames: int, random: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Kick and snare in mono, hats and cymbals in stereo."""
    kick, snare, metal = np.zeros(frames), np.zeros(frames), np.zeros((2, frames))
    for beat in _kick_beats():
        _add(kick, _kick(), beat * BEAT_S, random.uniform(0.9, 1.0))
    for bar in range(VERSE_BAR, END_BAR):
        for beat in (1, 3):
            late_s = random.normal(0.006, 0.002)
            _add(snare, _snare(random), (4 * bar + beat) * BEAT_S + late_s, random.uniform(0.85, 1.0))
    for step in range(16 * 2, END_BAR * 8):
        at_s = step * BEAT_S / 2 + random.normal(0.0, 0.003)
        loud = (1.0, 0.55)[step % 2] * random.uniform(0.8, 1.0) * (1.0 if step >= 8 * VERSE_BAR else 0.6)
        is_open = step >= 8 * CHORUS_BAR and step % 8 == 7
        _add(metal, _pan(_hat(random, 0.25 if is_open else 0.045), 0.3), at_s, loud)
    for bar in (CHORUS_BAR, CHORUS_BAR + 4, END_BAR):
        _add(metal, _pan(_hat(random, 1.1), -0.35), bar * BAR_S, 0.9)
    return kick, snare, metal


def _kick() -> Float64Array:
    time = np.arange(round(0.4 * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(48 + 130 * np.exp(-time / 0.025)) / RATE
    click = np.exp(-time / 0.003) * np.sin(2 * np.pi * 2800 * time)
    return np.asarray(np.sin(phase) * np.exp(-time / 0.13) + 0.25 * click)


def _snare(random: np.random.Generator) -> Float64Array:
    time = np.arange(round(0.35 * RATE)) / RATE
    noise = random.standard_normal(time.size)
    wires = signal.sosfilt(signal.butter(2, (1400, 12000), "band", fs=RATE, output="sos"), noise)
    body = np.sin(2 * np.pi * np.cumsum(185 + 60 * np.exp(-time / 0.02)) / RATE)
    return np.asarray(0.55 * wires * np.exp(-time / 0.07) + 0.7 * body * np.exp(-time / 0.06))


def _hat(random: np.random.Generator, decay_s: float) -> Float64Array:
    time = np.arange(round(5 * decay_s * RATE)) / RATE
    noise = random.standard_normal(time.size)
    bright = signal.sosfilt(signal.butter(4, 6500, "high", fs=RATE, output="sos"), noise)
    return np.asarray(bright * np.exp(-time / decay_s) * 0.5)


# --- harmony ---------------------------------------------------------------------------------------


def _hz(pitch: float) -> float:
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def _saw(hz: float, seconds: float, top_hz: float, phase: float = 0.0) -> Float64Array:
    """A sawtooth of partials up to `top_hz`, the last octave fading out."""
    time = np.arange(round(seconds * RATE)) / RATE
    partials = np.arange(1, max(int(top_hz / hz), 1) + 1)
    weights = np.minimum(1.0, 2 * (1 - partials * hz / (1.05 * top_hz))) / partials
    waves = (
        w * np.sin(2 * np.pi * k * hz * time + k * phase) for k, w in zip(partials, weights, strict=True)
    )
    return np.asarray(sum(waves))


def _shape(sound: Float64Array, attack_s: float, release_s: float) -> Float64Array:
    time = np.arange(sound.size) / RATE
    left_s = sound.size / RATE - time
    return np.asarray(sound * np.clip(time / attack_s, 0, 1) * np.clip(left_s / release_s, 0, 1))


def _bass(frames: int, random: np.random.Generator) -> Float64Array:
    track = np.zeros(frames)
    for bar in range(2, END_BAR):
        pitch = ROOTS[HARMONY[bar]]
        steps = ((0, 1.4), (2.5, 1.4)) if bar < CHORUS_BAR else tuple((k / 2, 0.46) for k in range(8))
        for beat, beats in steps:
            lift = 12 if bar >= CHORUS_BAR and beat == 3.5 else 0
            hz = _hz(pitch + lift)
            note = _saw(hz, beats * BEAT_S, 900.0) * 0.5
            note += np.sin(2 * np.pi * hz * np.arange(note.size) / RATE)
            _add(track, _shape(note, 0.005, 0.05), (4 * bar + beat) * BEAT_S + random.normal(0.004, 0.002))
    _add(track, _shape(_saw(_hz(ROOTS["F"]), 2.5, 500.0), 0.005, 2.0), END_BAR * BAR_S)
    return track


def _keys(frames: int, random: np.random.Generator) -> Float64Array:
    """Electric piano: two-operator FM, chords rolled by a few milliseconds and spread by pitch."""
    track = np.zeros((2, frames))
    for bar in range(END_BAR + 1):
        hits = (0.0,) if bar in (0, 1, END_BAR) else (0.0, 1.5, 3.0)
        for beat in hits:
            for place, pitch in enumerate(CHORDS[HARMONY[bar]]):
                at_s = (4 * bar + beat) * BEAT_S + 0.007 * place + abs(random.normal(0, 0.004))
                note = _electric_piano(_hz(pitch), 2.6, random.uniform(0.7, 1.0))
                _add(track, _pan(note, 0.5 * (place - 1)), at_s)
    return track + 0.12 * _room(track.mean(axis=0), random, 1.4)


def _electric_piano(hz: float, seconds: float, force: float) -> Float64Array:
    time = np.arange(round(seconds * RATE)) / RATE
    tine = 0.35 * force * np.exp(-time / 0.12) * np.sin(2 * np.pi * 14 * hz * time)
    body = 1.1 * force * np.exp(-time / 0.9) * np.sin(2 * np.pi * hz * time)
    return _shape(force * np.exp(-time / 0.8) * np.sin(2 * np.pi * hz * time + body + tine), 0.003, 0.3)


def _plucks(frames: int, random: np.random.Generator) -> Float64Array:
    """Plucked strings in eighths, left and right in turn."""
    track = np.zeros((2, frames))
    for step in range(8 * 2, 8 * END_BAR):
        chord = CHORDS[HARMONY[step // 8]]
        pitch = (*chord, chord[1] + 12)[(0, 2, 1, 3, 2, 1, 3, 2)[step % 8]] + 12
        at_s = step * BEAT_S / 2 + random.normal(0, 0.005)
        side = 0.75 if step % 2 else -0.75
        _add(track, _pan(_string(_hz(pitch), random), side), at_s, random.uniform(0.6, 1.0))
    return track + 0.15 * _room(track.mean(axis=0), random, 1.6)


def _string(hz: float, random: np.random.Generator, seconds: float = 1.4) -> Float64Array:
    """A plucked string (Karplus and Strong, 1983): noise in a lossy delay line."""
    period = round(RATE / hz)
    pluck = np.zeros(round(seconds * RATE))
    pluck[:period] = signal.lfilter([0.5], [1, -0.5], random.uniform(-1, 1, period))
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1.0, -0.497, -0.497
    return _shape(signal.lfilter([1.0], loop, pluck), 0.001, 0.4)


def _pad(frames: int, random: np.random.Generator) -> Float64Array:
    """Two detuned saws a note, one a side, swelling; brighter in the chorus."""
    track = np.zeros((2, frames))
    for bar in range(2, END_BAR + 1):
        top_hz = 2200.0 if bar < CHORUS_BAR else 5000.0
        for pitch in CHORDS[HARMONY[bar]]:
            for side in (-0.8, 0.8):
                tuning = _hz(pitch + 0.06 * side)
                note = _saw(tuning, BAR_S + 0.3, top_hz, random.uniform(0, 6))
                _add(
                    track, _pan(_shape(note, 0.25, 0.3), side), bar * BAR_S, 0.6 if bar < CHORUS_BAR else 1.0
                )
    return track


# --- voice -----------------------------------------------------------------------------------------


def _vocals(lead: Float64Array, frames: int, random: np.random.Generator) -> Float64Array:
    """The lead in the middle with echo and hall; in the chorus a double and thirds at the sides."""
    chorus = [note for note in LEAD if note.beat >= 4 * CHORUS_BAR]
    thirds = sing([_third_below(note) for note in chorus], frames, random)
    double = sing(chorus, frames, random, late_s=0.018)
    echo = np.pad(lead, (round(1.5 * BEAT_S * RATE), 0))[:frames]
    echo = signal.sosfilt(signal.butter(2, (400, 3500), "band", fs=RATE, output="sos"), echo)
    dry = _pan(lead, 0.0) + _pan(double, -0.6) * 0.3 + _pan(thirds, 0.6) * 0.38
    return dry + _pan(echo, 0.4) * 0.16 + _room(lead + 0.5 * thirds, random, 2.0) * 0.16


def _third_below(note: Syllable) -> Syllable:
    """The note two steps down the scale of A minor."""
    scale = sorted({12 * octave + step for octave in range(11) for step in (0, 2, 4, 5, 7, 9, 11)})
    return Syllable(note.beat, note.beats, scale[scale.index(note.pitch) - 2], note.vowel, note.consonant)


def sing(
    notes: Sequence[Syllable], frames: int, random: np.random.Generator, late_s: float = 0.0
) -> Float64Array:
    """The notes by a source and filter voice: partials weighted by formants, breath and consonants."""
    track = np.zeros(frames)
    previous = notes[0].pitch
    for note in notes:
        at_s = note.beat * BEAT_S + late_s + random.normal(0.0, 0.008)
        _add(track, voiced(note, previous, random), at_s)
        _add(track, _consonant(note.consonant, random), at_s - (0.09 if note.consonant == "s" else 0.03))
        previous = note.pitch
    track = signal.sosfilt(signal.butter(2, 110, "high", fs=RATE, output="sos"), track)
    loud = _smooth(track**2, 0.06) + 1e-6
    return np.asarray(track * (loud / loud.max()) ** -0.2)


def voiced(note: Syllable, previous: int, random: np.random.Generator) -> Float64Array:
    """One vowel with a glide into its pitch, late vibrato, jitter and breath."""
    frames = round((note.beats * BEAT_S * 0.97) * RATE)
    time = np.arange(frames) / RATE
    glide = (previous - note.pitch) * np.exp(-time / 0.035)
    vibrato = (
        0.32 * np.clip((time - 0.25) / 0.35, 0, 1) * np.sin(2 * np.pi * 5.6 * time + random.uniform(0, 6))
    )
    drift = _smooth(random.standard_normal(frames), 0.02) * 3.0
    hz = 440.0 * 2 ** ((note.pitch - 69 + glide + vibrato + drift) / 12)
    # The formants are read on a grid of 5 ms: a vowel opens from a neutral mouth within 60 ms.
    grid = np.arange(0, frames + 220, 220)
    opening = (1 - 0.5 * np.exp(-grid / (0.06 * RATE)))[:, None]
    neutral = np.array((500.0, 1500.0, 2500.0))
    formants = neutral + opening * (np.array(FORMANTS_HZ[note.vowel]) - neutral)
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    sound = np.zeros(frames)
    for partial in range(1, int(11_000 / _hz(note.pitch)) + 1):
        gains = _mouth(partial * hz[np.minimum(grid, frames - 1)], formants) / partial
        sound += np.interp(np.arange(frames), grid, gains) * np.sin(partial * phase)
    breath = signal.sosfilt(
        signal.butter(2, 2500, "high", fs=RATE, output="sos"), random.standard_normal(frames)
    )
    sound += 0.03 * breath * (1 + np.sin(phase)) * np.exp(-time / 0.8)
    swell = 0.75 + 0.25 * np.sin(np.pi * np.clip(time / (frames / RATE), 0, 1))
    return _shape(sound * swell, 0.03, 0.07)


def _mouth(hz: Float64Array, formants: Float64Array) -> Float64Array:
    """Gain of a cascade of formant resonances at `hz`; `formants` has one row of three for each of them."""
    gain = np.ones_like(hz)
    higher = np.broadcast_to(HIGHER_FORMANTS_HZ, (hz.size, len(HIGHER_FORMANTS_HZ)))
    for centre in np.concatenate([formants, higher], axis=1).T:
        width = 70.0 + 0.045 * centre
        gain *= centre**2 / np.hypot(centre**2 - hz**2, width * hz)
    return np.minimum(gain, 12.0)


def _consonant(kind: str, random: np.random.Generator) -> Float64Array:
    if not kind:
        return np.zeros(0)
    seconds, low_hz, gain = {"s": (0.11, 4500, 0.5), "t": (0.035, 2500, 0.6)}[kind]
    noise = random.standard_normal(round(seconds * RATE))
    band = signal.sosfilt(signal.butter(2, (low_hz, 12_000), "band", fs=RATE, output="sos"), noise)
    return _shape(band * gain, 0.02 if kind == "s" else 0.002, 0.03)


if __name__ == "__main__":
    main()
