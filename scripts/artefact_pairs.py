"""Makes pairs of music and the same with artefacts, as band powers, to train the artefact net on.

    python scripts/artefact_pairs.py --store STORE --to PAIRS [--train 3500] [--coded 1400]

A pair is a float16 array (3, 2, bands, frames): of mid and side the music's powers in dB, those of what was
added to it, and the correlation of the two. So a share of the damage can be put in when it is read. A `.json`
beside the pairs has what each was damaged by. Pairs that are there are left;
after the first `--coded` ones no codec is run, which takes most of the time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from music_store import SPLITS, Music
from numpy.typing import NDArray

from mixagent.envs.degradation.codecs import RATES_KBPS, installed, through_codec
from mixagent.envs.degradation.excess import with_excess
from mixagent.envs.degradation.fields import KINDS, MOVING
from mixagent.envs.degradation.vocoders import coarse, noisy_band, through_mel
from mixagent.envs.pathologies import MECHANISMS
from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.restoration.artefact_bands import HOP, RATE, band_powers, forward, summed
from mixagent.pipeline.types import Audio, FloatArray

FRAMES = 512
FLOOR = 1e-10
_LEAD = 8192
_LEAST_HZ = 11000.0
_SHIMMERS = tuple(m for m in MECHANISMS["shimmer"] if not m.validation_only)


def main() -> None:
    """Read the command line and fill the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--train", type=int, default=3500)
    parser.add_argument("--validation", type=int, default=240)
    parser.add_argument("--coded", type=int, default=1400)
    arguments = parser.parse_args()
    counts = {"train": arguments.train, "validation": arguments.validation}
    for split in sorted(SPLITS, reverse=True):
        folder = arguments.to / split
        folder.mkdir(parents=True, exist_ok=True)
        music = Music.of(arguments.store, split, least_hz=_LEAST_HZ)
        for index in range(counts[split]):
            path = folder / f"{index:05d}.npy"
            if not path.exists():
                coded = index < arguments.coded
                _keep(music, np.random.default_rng([SPLITS.index(split), index]), path, coded)


def _keep(music: Music, random: np.random.Generator, path: Path, coded: bool) -> None:
    clean = Audio(music.excerpt(random, _LEAD + (FRAMES + 1) * HOP), RATE)
    kinds, damaged = damage(clean, random, coded)
    path.with_suffix(".json").write_text(json.dumps(kinds), encoding="utf-8")
    with path.with_suffix(".partial").open("wb") as file:
        np.save(file, pair(clean.samples[:, _LEAD:], damaged.samples[:, _LEAD:]))
    path.with_suffix(".partial").rename(path)


def damage(clean: Audio, random: np.random.Generator, coded: bool = True) -> tuple[list[str], Audio]:
    """The audio with artefacts drawn at random, and what they are: `shimmer`, `codec`, `vocoder`."""
    shares = (0.5, 0.32, 0.18) if coded else (0.8, 0.0, 0.2)
    kinds = [str(random.choice(("shimmer", "codec", "vocoder"), p=shares))]
    if coded and random.random() < 0.15:
        kinds.append("shimmer" if kinds[0] == "codec" else "codec")
    random.shuffle(kinds)
    damaged = clean
    for kind in kinds:
        damaged = {"shimmer": _shimmer, "codec": _codec, "vocoder": _vocoder}[kind](damaged, random)
    return kinds, damaged


def pair(clean: FloatArray, damaged: FloatArray) -> NDArray[np.float16]:
    """Powers and correlation of stereo music and of what was added to it, at the scale that fits best."""
    scale = float(np.vdot(clean, damaged) / max(float(np.vdot(clean, clean)), 1e-9))
    music, whole = (forward(samples) for samples in (clean, damaged / np.float32(max(scale, 0.1))))
    added = whole - music
    powers = [band_powers(spectra) + FLOOR for spectra in (music, added)]
    cross = summed(np.asarray((music * added.conj()).real, np.float32))
    correlation = cross / np.sqrt(powers[0] * powers[1])
    return np.stack([powers_to_db(powers[0]), powers_to_db(powers[1]), correlation]).astype(np.float16)


def _shimmer(audio: Audio, random: np.random.Generator) -> Audio:
    if random.random() < 0.5:
        return with_excess(audio, random)
    mechanism = _SHIMMERS[int(random.integers(len(_SHIMMERS)))]
    samples = mechanism.apply(audio.samples.astype(np.float64), audio.rate, random.uniform(0.3, 1.0), random)
    return Audio(samples.astype(np.float32), audio.rate)


def _codec(audio: Audio, random: np.random.Generator) -> Audio:
    names = installed()
    low, high = np.log(RATES_KBPS)
    kbps = int(np.exp(random.uniform(low, high)))
    return through_codec(audio, names[int(random.integers(len(names)))], kbps)


def _vocoder(audio: Audio, random: np.random.Generator) -> Audio:
    drawn = int(random.integers(4))
    if drawn == 0:
        bands, highest_hz = int(random.integers(64, 257)), random.uniform(12000, 22050)
        return through_mel(audio, bands, highest_hz, float(random.choice((0.5, 0.8, 0.9, 0.95, 1.0))))
    if drawn == 1:
        return coarse(audio, random.uniform(1.5, 8.0), random.uniform(-30.0, -6.0))
    if drawn == 2:
        low_hz = np.exp(random.uniform(np.log(1500), np.log(9000)))
        high_hz = min(low_hz * np.exp(random.uniform(0.4, 1.6)), 20000.0)
        return noisy_band(audio, low_hz, high_hz, random.uniform(0.3, 1.0), int(random.integers(1 << 30)))
    return KINDS[MOVING[0]][0](random).on_audio(audio)


if __name__ == "__main__":
    main()
