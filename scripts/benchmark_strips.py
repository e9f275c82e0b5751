"""Listens to each effect of a strip with instruments: does it do what its name and unit say, alone?

A song is taken apart into four stems, and each effect of a strip works on each of them. What is printed:
the gain by third octave where the effect is said to work and where it is not, the power, the crest, what
is left where the effect is nearly neutral, clicks, what a send returns, and the CPU time of ten seconds.
Then our compressor beside pedalboard's. Last, what must hold for any sound: mono, other rates, silence.

    python scripts/benchmark_strips.py SONG [--seconds 20] [--start 40]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pedalboard

from mixagent.pipeline.chain.mixing import measure_levels, mix_blocks, strip_blocks
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.dsp.dynamics import compressor
from mixagent.pipeline.dsp.programme import measure_programme
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.analysis import MidSideSpectrum, third_octaves_db
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.types import Audio, Float64Array, FloatArray, Stems, collect, load

STEMS = ("vocals", "drums", "bass", "other")
SPACE = ParameterSpace.for_stems(STEMS)
NEARLY: Mapping[str, float] = {
    "low_mid_cut_db": 0.01, "shimmer_cut_db": 0.01, "high_pass_hz": 20.01, "low_shelf_db": 0.01,
    "bell_db": 0.01, "presence_db": 0.01, "air_db": 0.01, "comp_ratio": 1.001,
    "transient_attack_db": 0.01, "transient_sustain_db": 0.01, "gain_db": 0.01, "pan": 0.001,
    "width": 1.001, "reverb_send_db": -59.9, "delay_send_db": -59.9,
}  # fmt: skip
"""Every effect of a strip as little as can be; all but the high-pass, which is one or is none, must null."""

MOVED: Mapping[str, Mapping[str, float]] = {
    "high-pass 100 Hz": {"high_pass_hz": 100.0},
    "low shelf +6": {"low_shelf_db": 6.0},
    "bell 1 kHz −6": {"bell_db": -6.0},
    "presence +6": {"presence_db": 6.0},
    "air +6": {"air_db": 6.0},
    "low-mid cut 12": {"low_mid_cut_db": 12.0},
    "shimmer cut 12": {"shimmer_cut_db": 12.0},
    "compressor −6 dB, 4:1, 2/150 ms": {
        "comp_threshold_db": -6.0, "comp_ratio": 4.0, "comp_attack_ms": 2.0, "comp_release_ms": 150.0
    },
    "attack +6": {"transient_attack_db": 6.0},
    "attack −6": {"transient_attack_db": -6.0},
    "sustain −6": {"transient_sustain_db": -6.0},
    "fader +6": {"gain_db": 6.0},
    "pan 0.5": {"pan": 0.5},
    "width 0.5": {"width": 0.5},
    "width 2": {"width": 2.0},
}  # fmt: skip
TOLD_HZ = (50.0, 100.0, 315.0, 1000.0, 3150.0, 8000.0, 16000.0)


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--start", type=float, default=40.0)
    arguments = parser.parse_args()
    stems = separated(arguments.song, arguments.start, arguments.seconds)
    print_effects(stems)
    print_nulls(stems)
    print_sends(stems)
    print_compressors(stems)
    print_anything(stems)


def separated(song: Path, start_s: float, seconds: float) -> Stems:
    """A part of a song and its four stems, in memory."""
    with TemporaryDirectory() as scratch:
        audio = decode(song, Path(scratch) / "song.f32").audio
        start = round(min(start_s, max(audio.frames / audio.rate - seconds, 0.0)) * audio.rate)
        mix = Audio(audio.read(start, start + round(seconds * audio.rate)), audio.rate)
        apart = choose_separator("embedded", "cpu", 4).separator.separate(mix, Path(scratch))
        return Stems(mix, {name: load(part) for name, part in apart.parts.items()})


def rendered(stems: Stems, stem: str, values: Mapping[str, float]) -> FloatArray:
    """One stem behind its strip, without sends."""
    settings = SPACE.settings({f"{stem}.{name}": value for name, value in values.items()})
    part = stems.parts[stem]
    return collect(strip_blocks(stems, stem, settings), part.rate, part.channels).samples


def print_effects(stems: Stems) -> None:
    """The gain by third octave of each effect on each stem, and what it does to power, crest and width."""
    hz = " | ".join(f"{band:g} Hz" for band in TOLD_HZ)
    print(f"| effect | stem | {hz} | LU | crest | side/mid | right/left | clicks | ms for 10 s |")
    print("|---|---|" + "--:|" * (len(TOLD_HZ) + 6))
    for effect, values in MOVED.items():
        for stem in stems.parts:
            before = load(stems.parts[stem]).samples
            rendered(stems, stem, values)
            started = time.process_time()
            after = rendered(stems, stem, values)
            ms = 1000 * (time.process_time() - started) * 10 * stems.mix.rate / stems.mix.frames
            gains = bands_db(after, stems.mix.rate) - bands_db(before, stems.mix.rate)
            told = [gains[THIRD_OCTAVES_HZ.index(band)] for band in TOLD_HZ]
            moved = [measure(after, stems.mix.rate) - measure(before, stems.mix.rate) for measure in MEASURES]
            row = " | ".join(f"{value:+.1f}" for value in (*told, *moved))
            print(f"| {effect} | {stem} | {row} | {jumps(after) - jumps(before)} | {ms:.0f} |")


def bands_db(samples: FloatArray, rate: int) -> Float64Array:
    """Mid and side together by third octave."""
    spectrum = MidSideSpectrum(rate)
    halves = np.stack([samples[0] + samples[-1], samples[0] - samples[-1]]) * np.float32(0.5)
    spectrum.update(halves)
    mid, side = spectrum.mean_power(samples.shape[1])
    return np.array(third_octaves_db(mid + side, rate))


def _lufs(samples: FloatArray, rate: int) -> float:
    return integrated_lufs(Audio(samples, rate))


def _crest(samples: FloatArray, rate: int) -> float:
    return float(powers_to_db(np.abs(samples).max() ** 2 / power(samples)))


def _side(samples: FloatArray, rate: int) -> float:
    return float(powers_to_db(power(samples[0] - samples[-1]) / power(samples[0] + samples[-1])))


def _lean(samples: FloatArray, rate: int) -> float:
    return float(powers_to_db(power(samples[-1]) / power(samples[0])))


MEASURES: tuple[Callable[[FloatArray, int], float], ...] = (_lufs, _crest, _side, _lean)


def power(samples: FloatArray) -> float:
    """Mean square, above that of silence."""
    return float(np.mean(np.square(samples, dtype=np.float64))) + 1e-15


def jumps(samples: FloatArray) -> int:
    """Samples whose third difference stands 30 dB over that of the 5 ms about them: clicks."""
    third = np.square(np.diff(samples, 3, axis=1)).max(axis=0)
    window = 221
    count = third.size // window
    pieces = third[: count * window].reshape(count, window)
    return int((pieces > 1000 * np.median(pieces, axis=1, keepdims=True) + 1e-8).sum())


def print_nulls(stems: Stems) -> None:
    """What is left of each stem less itself behind nearly neutral effects, alone and all together."""
    print(
        "\nWhat nearly neutral effects change, dB against the stem\n\n| effect | " + " | ".join(stems.parts)
    )
    print("|---|" + "--:|" * len(stems.parts))
    everything = {k: v for k, v in NEARLY.items() if k != "high_pass_hz"}
    for effect, values in {
        **{k: {k: v} for k, v in NEARLY.items()},
        "all but the high-pass": everything,
    }.items():
        left = [
            mixed(stems, {f"{stem}.{k}": v for k, v in values.items()}) - load(stems.mix).samples
            for stem in stems.parts
        ]
        told = [
            powers_to_db(power(x) / power(load(p).samples))
            for x, p in zip(left, stems.parts.values(), strict=True)
        ]
        print(f"| {effect} | " + " | ".join(f"{db:.0f}" for db in told) + " |")


def mixed(stems: Stems, values: Mapping[str, float]) -> FloatArray:
    """The mix under these settings."""
    levels = measure_levels(stems)
    return collect(
        mix_blocks(stems, SPACE.settings(values), levels), stems.mix.rate, stems.mix.channels
    ).samples


def print_sends(stems: Stems) -> None:
    """What a send of 0 dB returns: its level against the stem, its lows, when it begins and how it dies."""
    print("\n| send of 0 dB | stem | return, LU | under 100 Hz | 100–300 Hz | over 5 kHz | side/mid |")
    print("|---|---|--:|--:|--:|--:|--:|")
    rate = stems.mix.rate
    for send in ("reverb", "delay"):
        for stem, part in stems.parts.items():
            returned = mixed(stems, {f"{stem}.{send}_send_db": 0.0}) - load(stems.mix).samples
            dry = load(part).samples
            bands = bands_db(returned, rate) - bands_db(dry, rate)
            hz = np.array(THIRD_OCTAVES_HZ)
            told = [
                bands[(hz >= low) & (hz <= high)].mean()
                for low, high in ((31, 100), (100, 300), (5000, 12000))
            ]
            row = [_lufs(returned, rate) - _lufs(dry, rate), *told, _side(returned, rate)]
            print(f"| {send} | {stem} | " + " | ".join(f"{db:+.1f}" for db in row) + " |")
    click = np.zeros((2, 3 * rate), np.float32)
    click[:, rate // 10] = 0.5
    for size in (0.05, 0.4, 1.0):
        alone = Stems(Audio(click, rate), {"vocals": Audio(click, rate)})
        tail = mixed(alone, {"vocals.reverb_send_db": 0.0, "reverb.size": size}) - click
        energy = np.square(tail, dtype=np.float64).sum(axis=0)
        left_db = powers_to_db(np.cumsum(energy[::-1])[::-1] / energy.sum() + 1e-12)
        first = int(np.argmax(energy > 1e-6 * energy.max())) - rate // 10
        falls = [int(np.argmax(left_db < -db)) for db in (5, 25)]
        print(f"reverb.size {size}: first return after {1000 * first / rate:.1f} ms, "
              f"RT60 {3 * (falls[1] - falls[0]) / rate:.2f} s")  # fmt: skip


def print_compressors(stems: Stems) -> None:
    """Our compressor beside pedalboard's with the same figures, at the same mean level."""
    print("\n| compressor −6 dB, 4:1, 2/150 ms | stem | crest | loudness range of 50 ms | lean moves | "
          "distortion of 60 Hz | ms for 10 s |\n|---|---|--:|--:|--:|--:|--:|")  # fmt: skip
    rate = stems.mix.rate
    for stem, part in stems.parts.items():
        samples = load(part).samples
        for name, make in (("ours", _ours), ("pedalboard", _theirs)):
            process = make(Audio(samples, rate))
            started = time.process_time()
            after = process(samples)
            ms = 1000 * (time.process_time() - started) * 10 * rate / samples.shape[1]
            figures = [
                _crest(after, rate) - _crest(samples, rate),
                spread_db(after, rate) - spread_db(samples, rate),
            ]
            moves = lean_moves_db(samples, after, rate)
            print(f"| {name} | {stem} | {figures[0]:+.1f} | {figures[1]:+.1f} | {moves:.2f} | "
                  f"{distortion_db(make, rate):.0f} | {ms:.0f} |")  # fmt: skip


def _ours(audio: Audio) -> Callable[[FloatArray], FloatArray]:
    return compressor(-6.0, 4.0, 2.0, 150.0, measure_programme(audio), audio.rate, audio.channels).process


def _theirs(audio: Audio) -> Callable[[FloatArray], FloatArray]:
    threshold_db = measure_programme(audio).level_db - 6.0
    plugin = pedalboard.Compressor(max(threshold_db, -100.0), 4.0, 2.0, 150.0)
    return lambda samples: np.asarray(plugin.process(samples, audio.rate))


def spread_db(samples: FloatArray, rate: int) -> float:
    """95th less 10th percentile of the level of 50 ms, of what is audible."""
    window = rate // 20
    count = samples.shape[1] // window
    levels = powers_to_db(
        np.square(samples[:, : count * window]).reshape(-1, count, window).mean((0, 2)) + 1e-12
    )
    audible = levels[levels > levels.max() - 40]
    return float(np.percentile(audible, 95) - np.percentile(audible, 10))


def lean_moves_db(before: FloatArray, after: FloatArray, rate: int) -> float:
    """RMS of how far right over left of 50 ms is moved, where both sides sound."""
    window = rate // 20
    count = before.shape[1] // window

    def leans(samples: FloatArray) -> Float64Array:
        powers = (
            np.square(samples[:, : count * window], dtype=np.float64).reshape(2, count, window).mean(2) + 1e-9
        )
        return np.asarray(powers_to_db(powers[1] / powers[0]))

    return float(np.sqrt(np.mean(np.square(leans(after) - leans(before)))))


def distortion_db(make: Callable[[Audio], Callable[[FloatArray], FloatArray]], rate: int) -> float:
    """Overtones of a steady 60 Hz against it, in the last of three seconds."""
    tone = 0.3 * np.sin(2 * np.pi * 60 * np.arange(3 * rate) / rate)
    samples = np.stack([tone, tone]).astype(np.float32)
    after = make(Audio(samples, rate))(samples)[0, -rate:]
    spectrum = np.square(np.abs(np.fft.rfft(after * np.hanning(rate))))
    own = spectrum[50:71].sum()
    return float(powers_to_db((spectrum[71:].sum() + 1e-12) / own))


def print_anything(stems: Stems) -> None:
    """All effects at once on mono, at other rates, on silence, and between two silences."""
    everything = {f"{stem}.{k}": v for stem in STEMS for values in MOVED.values() for k, v in values.items()}
    everything |= {f"{stem}.{send}_send_db": -12.0 for stem in STEMS for send in ("reverb", "delay")}
    random = np.random.default_rng(0)
    print("\n| all effects at once | finite | highest sample | length kept |\n|---|---|--:|---|")
    for name, rate, channels in (("stereo", 44100, 2), ("mono", 44100, 1), ("22.05 kHz", 22050, 2),
                                 ("96 kHz", 96000, 2), ("8 kHz", 8000, 2)):  # fmt: skip
        parts = {s: 0.1 * random.standard_normal((channels, rate)).astype(np.float32) for s in STEMS}
        _told(name, parts, rate, everything)
    silent = {stem: np.zeros((2, 44100), np.float32) for stem in STEMS}
    _told("silence", silent, 44100, everything)
    burst = {stem: np.pad(np.full((2, 4410), 0.5, np.float32), ((0, 0), (20000, 20000))) for stem in STEMS}
    _told("a burst", burst, 44100, everything)
    _told("one sample", {stem: np.full((2, 1), 0.5, np.float32) for stem in STEMS}, 44100, everything)


def _told(name: str, parts: Mapping[str, FloatArray], rate: int, values: Mapping[str, float]) -> None:
    mix = np.sum(list(parts.values()), axis=0, dtype=np.float32)
    stems = Stems(Audio(mix, rate), {stem: Audio(part, rate) for stem, part in parts.items()})
    out = mixed(stems, values)
    same = "yes" if out.shape == mix.shape else f"{out.shape}"
    print(f"| {name} | {'yes' if np.isfinite(out).all() else 'NO'} | {np.abs(out).max():.3f} | {same} |")


if __name__ == "__main__":
    main()
