"""Keeps the corpus's songs as arrays that can be read at any place, for the scripts that train repairs.

    python scripts/music_store.py --corpus CORPUS --to STORE [--longest-s 150]

A song is an int16 array of shape (2, frames) at 44.1 kHz, its middle where it is longer, in the folder of
its split, `train` or `validation`; `test` is never read. Songs that are there already are left.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixagent.envs.corpus import Corpus
from mixagent.envs.songs import Song, Split
from mixagent.pipeline.io import resample
from mixagent.pipeline.types import FloatArray, load

RATE = 44100
SPLITS: tuple[Split, ...] = ("train", "validation")
_QUIETEST_RMS = 1e-3
_TRIES = 8


def main() -> None:
    """Read the command line and fill the store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--longest-s", type=float, default=150.0)
    arguments = parser.parse_args()
    corpus = Corpus.open(arguments.corpus)
    for split in SPLITS:
        for song in corpus.songs(split, "rough input"):
            _keep(corpus, song, arguments.to / split, arguments.longest_s)


def _keep(corpus: Corpus, song: Song, folder: Path, longest_s: float) -> None:
    path = folder / f"{song.id}.npy"
    if path.exists() or song.rate < 32000:
        return
    folder.mkdir(parents=True, exist_ok=True)
    length_s = min(song.duration_s, longest_s)
    audio = corpus.segment(song, (song.duration_s - length_s) / 2, length_s)
    samples = load(resample(audio, RATE)).samples
    stereo = np.broadcast_to(samples, (2, samples.shape[1])) if len(samples) == 1 else samples[:2]
    described = {"clean": "clean truth" in song.fit, "bandwidth_hz": song.bandwidth_hz}
    path.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")
    with path.with_suffix(".partial").open("wb") as file:
        np.save(file, np.round(np.clip(stereo, -1, 1) * 32767).astype(np.int16))
    path.with_suffix(".partial").rename(path)


@dataclass(frozen=True)
class Music:
    """The songs of one split of a store.

    Attributes:
        songs: int16 arrays (2, frames) on disk, by name.
        bandwidths_hz: where each song's spectrum ends.
    """

    songs: Sequence[NDArray[np.int16]]
    bandwidths_hz: Sequence[float]

    @classmethod
    def of(cls, store: Path, split: Split, clean: bool = False, least_hz: float = 0.0) -> Music:
        """The songs of a split; only clean truths, or of at least a bandwidth, where asked."""
        songs, bandwidths = [], []
        for path in sorted((store / split).glob("*.npy")):
            described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if (described["clean"] or not clean) and described["bandwidth_hz"] >= least_hz:
                songs.append(np.load(path, mmap_mode="r"))
                bandwidths.append(float(described["bandwidth_hz"]))
        return cls(songs, bandwidths)

    def excerpt(self, random: np.random.Generator, frames: int) -> FloatArray:
        """An excerpt that sounds, float32 (2, frames), full scale 1, of a song drawn alike."""
        for _ in range(_TRIES):
            song = self.songs[int(random.integers(len(self.songs)))]
            start = int(random.integers(max(song.shape[1] - frames, 0) + 1))
            part = np.asarray(song[:, start : start + frames], np.float32) / np.float32(32767)
            if part.shape[1] == frames and np.sqrt(np.mean(part**2)) > _QUIETEST_RMS:
                return part
        return np.pad(part, ((0, 0), (0, frames - part.shape[1])))


if __name__ == "__main__":
    main()
