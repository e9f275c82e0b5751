"""Measures the repairs of voices: motions for rigid ones, and noise under them.

    python scripts/benchmark_restoration.py voice --songs SONG... [--voices VOICE...] [--start-s 110]
        [--seconds 40] [--tables singing noise generated] [--opinion]

Songs are separated, and what is found of their voices is taken as it is: sung voices, with what a separator
leaves on them. `singing` tunes each of them hard (`scripts/hard_tune.py`) and lets the naturalizer have both
the sung and the tuned one. `noise` adds steady noise that swells and fades with the voice, as a separator
leaves it. `generated` tells of each of --voices, which are taken as voices alone, and of the voice of each of
--generated-songs, what was found and what changed. With --opinion DistillMOS hears before and after (2 s
for 10 s of a voice).
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hard_tune import hard_tuned
from scipy.signal import fftconvolve

from mixagent.envs.degradation.codecs import installed, through_codec
from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.io import decode
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.pitch import track_pitch
from mixagent.pipeline.measure.singing import Singing, measure_singing
from mixagent.pipeline.restoration import denoising, naturalizer
from mixagent.pipeline.restoration.base import Found
from mixagent.pipeline.restoration.deepfilter import removed_noise
from mixagent.pipeline.restoration.noise_floor import noise_floor
from mixagent.pipeline.separation import choose_separator
from mixagent.pipeline.types import Audio, FloatArray, load

TABLES = ("singing", "noise", "generated")
SNRS_DB = (10, 20, 30, 40)
NOISES = ("white", "pink", "codec")

Opinion = Callable[[Audio], float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this table."""
    parser.add_argument("--songs", nargs="*", type=Path, default=[], help="finished songs that are sung")
    parser.add_argument("--voices", nargs="*", type=Path, default=[], help="generated voices alone")
    parser.add_argument("--generated-songs", nargs="*", type=Path, default=[])
    parser.add_argument("--start-s", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--tables", nargs="*", default=TABLES, choices=TABLES)
    parser.add_argument("--opinion", action="store_true")


def main(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    opinion = _opinion() if arguments.opinion else lambda audio: math.nan
    sung = [(path.stem, _voice(path, arguments.start_s, arguments.seconds)) for path in arguments.songs]
    if "singing" in arguments.tables:
        _singing(sung, opinion)
    if "noise" in arguments.tables:
        _noise(sung, opinion)
    if "generated" in arguments.tables:
        alone = [(path.stem, _excerpt(path, 0.0, arguments.seconds)) for path in arguments.voices]
        songs = [(path.stem, _voice(path, 0.0, arguments.seconds)) for path in arguments.generated_songs]
        _generated(alone + songs, opinion)


def _singing(voices: Sequence[tuple[str, Audio]], opinion: Opinion) -> None:
    print(
        "| voice | deviation, cents | modulation, cents | glide, ms | rigid | natural: difference, dB | "
        "DistillMOS | find, run: share of length |\n|---|---|---|---|---|---|---|---|"
    )
    rows = []
    for name, natural in voices:
        tuned = hard_tuned(natural)
        _, after_natural, _ = _naturalized(natural)
        found, after, shares = _naturalized(tuned)
        three = [_sung(audio) for audio in (natural, tuned, after)]
        opinions = [opinion(audio) for audio in (natural, tuned, after)]
        motions = [(one.deviation_cents, one.modulation_cents, 1e3 * one.glide_s) for one in three]
        rigid = "–" if found is None else f"{found.values['rigid_share']:.0%}"
        print(
            f"| {name} | {_slashed(motions, 0, 1)} | {_slashed(motions, 1, 1)} | {_slashed(motions, 2, 0)} | "
            f"{rigid} | {_difference_db(natural, after_natural):.0f} | {_told(opinions, 2)} | {shares} |",
            flush=True,
        )
        rows.append(np.column_stack((motions, opinions)))
    medians = np.nanmedian(np.array(rows), axis=0)
    columns = [_told(medians[:, column], digits) for column, digits in ((0, 1), (1, 1), (2, 0))]
    print(f"| median | {' | '.join(columns)} | | | {_told(medians[:, 3], 2)} | |")
    half = (medians[2] - medians[1]) / (medians[0] - medians[1])
    print(f"\nOf the way from tuned to natural: deviation {half[0]:.0%}, modulation {half[1]:.0%}.\n")


def _noise(voices: Sequence[tuple[str, Audio]], opinion: Opinion) -> None:
    print(
        "| voice | noise | SNR, dB | found at, dB | SDR, dB: input / as shipped / subtraction alone |", end=""
    )
    print(" DistillMOS: clean / input / as shipped / subtraction alone |\n|---|---|---|---|---|---|")
    for name, clean in voices:
        of_clean = opinion(clean)
        floor = noise_floor(clean)
        print(f"| {name} | none | | {floor.level_db if floor.found else 'closed'} | | {of_clean:.2f} |")
        for kind in NOISES:
            for snr_db in SNRS_DB:
                noisy = _with_noise(clean, kind, snr_db)
                shipped, plain, said = _denoised(noisy)
                outs = [noisy, shipped, plain]
                sdrs = [_sdr_db(clean, audio) for audio in outs]
                opinions = [of_clean, *(opinion(audio) for audio in outs)] if shipped is not noisy else []
                print(
                    f"| {name} | {kind} | {snr_db} | {said} | {_told(sdrs, 1)} | {_told(opinions, 2)} |",
                    flush=True,
                )
    print()


def _generated(voices: Sequence[tuple[str, Audio]], opinion: Opinion) -> None:
    print(
        "| voice | found | deviation, cents | modulation, cents | DistillMOS | noise |\n"
        "|---|---|---|---|---|---|"
    )
    for name, voice in voices:
        found, after, _ = _naturalized(voice)
        both = [_sung(voice), _sung(after)]
        amounts = found.details["naturalness"] if found else {}
        said = ", ".join(
            f"{key} {amount:.1f}" for key, amount in amounts.items() if amount and key != "rate_hz"
        )
        opinions = [opinion(voice), opinion(after)] if found else []
        motions = [(one.deviation_cents, one.modulation_cents) for one in both]
        cleaned, _, noise = _denoised(voice)
        if cleaned is not voice:
            noise += f": {_told([opinion(voice), opinion(cleaned)], 2)}"
        print(
            f"| {name} | {said or 'nothing'} | {_slashed(motions, 0, 1)} | {_slashed(motions, 1, 1)} | "
            f"{_told(opinions, 2)} | {noise} |",
            flush=True,
        )
    print()


class _Naturalized(NamedTuple):
    found: Found | None
    audio: Audio
    shares: str


def _naturalized(voice: Audio) -> _Naturalized:
    """The voice after the naturalizer, and the time that it took as shares of its length."""
    analysis, length_s = analyse(voice), voice.frames / voice.rate
    begun = time.process_time()
    found = naturalizer.find(voice, analysis, lambda share: None)
    looked = time.process_time()
    if found is None:
        return _Naturalized(None, voice, f"{(looked - begun) / length_s:.3f}, –")
    with tempfile.TemporaryDirectory() as folder:
        restored = naturalizer.run(voice, found, Path(folder), lambda share: None)
        done = time.process_time()
        shares = f"{(looked - begun) / length_s:.3f}, {(done - looked) / length_s:.3f}"
        return _Naturalized(found, load(restored.audio), shares)


def _denoised(noisy: Audio) -> tuple[Audio, Audio, str]:
    """The voice as the repair leaves it, after subtraction alone, and what was found and done."""
    found = denoising.find(noisy, analyse(noisy), lambda share: None)
    if found is None:
        return noisy, noisy, "closed"
    floor = denoising.NoiseFloor(**found.details)
    with tempfile.TemporaryDirectory() as folder:
        restored = denoising.run(noisy, found, Path(folder), lambda share: None)
        shipped = load(restored.audio) if restored.applied else noisy
        plain = removed_noise(noisy, floor, Path(folder), lambda share: None, network=False)
        said = f"{floor.level_db:.0f}" + ("" if restored.applied else ", rejected")
        return shipped, Audio(noisy.samples + load(plain).samples, noisy.rate), said


def _with_noise(clean: Audio, kind: str, snr_db: float) -> Audio:
    """The voice with noise that is there where the voice is, as on a separated one."""
    shape = clean.samples.shape
    noise = np.random.default_rng(1).standard_normal(shape)
    if kind == "pink":
        frequencies = np.fft.rfftfreq(shape[1], 1 / clean.rate)
        noise = np.fft.irfft(np.fft.rfft(noise) / np.sqrt(np.maximum(frequencies, 30)), shape[1])
    if kind == "codec":
        codec = installed()[0]
        noise = through_codec(clean, codec, 48).samples.astype(np.float64) - clean.samples
    else:
        noise *= _presence(clean)
    level = db_to_amplitude(-snr_db) * math.sqrt(float(np.mean(np.square(clean.samples, dtype=np.float64))))
    noise *= level / math.sqrt(float(np.mean(np.square(noise))))
    return Audio((clean.samples + noise).astype(np.float32), clean.rate)


def _presence(voice: Audio) -> FloatArray:
    """1 where the voice is within 40 dB of its loudest, 0 from 50 dB under it on, shape (frames,)."""
    size = round(0.1 * voice.rate)
    window = np.hanning(size)
    power = fftconvolve(np.square(voice.samples).mean(0), window / window.sum(), "same")
    level_db = powers_to_db(np.maximum(power / power.max(), 1e-9))
    return np.clip(level_db / 10 + 5, 0, 1).astype(np.float32)


def _voice(path: Path, start_s: float, seconds: float) -> Audio:
    """The voice of an excerpt of a song, as the embedded separator finds it."""
    excerpt = _excerpt(path, start_s, seconds)
    with tempfile.TemporaryDirectory() as folder:
        separator = choose_separator("embedded", "cpu").separator
        return load(separator.separate(excerpt, Path(folder)).parts["vocals"])


def _excerpt(path: Path, start_s: float, seconds: float) -> Audio:
    with tempfile.TemporaryDirectory() as folder:
        song = decode(path, Path(folder) / "song.f32").audio
        first = max(min(round(start_s * song.rate), song.frames - round(seconds * song.rate)), 0)
        return Audio(song.read(first, first + round(seconds * song.rate)).copy(), song.rate)


def _opinion() -> Opinion:
    from mixagent.reward.quality import DistillMos, levelled

    rater = DistillMos()

    def opinion(audio: Audio) -> float:
        mono = levelled(audio)
        return math.nan if mono is None else rater.rate(mono, audio.rate)

    return opinion


def _sung(voice: Audio) -> Singing:
    return measure_singing(track_pitch(voice, lambda share: None))


def _difference_db(before: Audio, after: Audio) -> float:
    error = np.square(after.samples - before.samples, dtype=np.float64).sum()
    return float(powers_to_db(error / np.square(before.samples, dtype=np.float64).sum()))


def _sdr_db(truth: Audio, estimate: Audio) -> float:
    return -_difference_db(truth, estimate)


def _slashed(rows: Sequence[Sequence[float]], column: int, digits: int) -> str:
    return _told([row[column] for row in rows], digits)


def _told(values: Sequence[float] | FloatArray, digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)
