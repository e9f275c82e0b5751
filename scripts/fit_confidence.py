"""Fits the weights of `pipeline/separation/confidence.py`'s evidence to the true SDR, and judges them.

Excerpts of rendered multitracks are separated: as they are, with a voice on top, and with drums or bass
left out. Voices are what Spleeter finds in finished songs. The ratio of each stem to its error is known
there, and a line through the evidence is fitted to it; the correlation is over songs that the fit has
not seen. What is measured is kept in --rows, so a run that was stopped goes on.

    python scripts/render_multitracks.py DIR
    python scripts/fit_confidence.py --multitracks DIR --songs DIR --rows rows.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_amplitude, powers_to_db
from mixagent.pipeline.separation import Separator, choose_separator
from mixagent.pipeline.separation.confidence import stem_confidence
from mixagent.pipeline.types import Audio, FloatArray, Stems, load

RATE = 44100
EVIDENCE = ("sharing_db", "share_db")
RANGE_DB = (-10.0, 25.0)
"""The true ratio is clipped to it: a stem that should be silent has none."""

VOICE_DB = (-9.0, 3.0)
"""Level of the voice against the backing, drawn evenly."""


def main() -> None:
    """Measure what is missing in --rows, then print the fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--multitracks", type=Path, required=True, help="what render_multitracks.py wrote")
    parser.add_argument("--songs", type=Path, required=True, help="finished songs with voices")
    parser.add_argument("--separators", nargs="+", default=["spleeter", "embedded"])
    parser.add_argument("--rows", type=Path, default=Path("confidence.jsonl"))
    parser.add_argument("--seconds", type=float, default=12.0)
    arguments = parser.parse_args()
    measure_all(arguments)
    print_fit([json.loads(line) for line in arguments.rows.read_text().splitlines()])


def measure_all(arguments: argparse.Namespace) -> None:
    """A row for each stem of each mix by each separator, appended to --rows."""
    done = arguments.rows.read_text().splitlines() if arguments.rows.exists() else []
    known = {(row["song"], row["kind"], row["separator"]) for row in map(json.loads, done)}
    separators = [choose_separator(name).separator for name in arguments.separators]
    frames = round(arguments.seconds * RATE)
    voices = [_voice(song, frames) for song in sorted(arguments.songs.glob("*.*"))]
    for index, folder in enumerate(sorted(path for path in arguments.multitracks.iterdir() if path.is_dir())):
        random = np.random.default_rng(index)
        stems = _excerpt(folder, frames, random)
        for kind, truth in _mixes(stems, voices[index % len(voices)], index, random):
            for separator in separators:
                if (folder.name, kind, separator.name) in known:
                    continue
                rows = _measure(separator, truth)
                with arguments.rows.open("a") as file:
                    for row in rows:
                        place = {"song": folder.name, "kind": kind, "separator": separator.name}
                        file.write(json.dumps(place | row) + "\n")


def _excerpt(folder: Path, frames: int, random: np.random.Generator) -> dict[str, FloatArray]:
    """Drums, bass and other of a multitrack, from somewhere in its middle, each (2, frames)."""
    tracks = {path.stem: path for path in sorted(folder.glob("*.flac"))}
    whole = min(soundfile.info(path).frames for path in tracks.values())
    start = int(random.uniform(0.2, 0.6) * max(whole - frames, 0))
    stems = {name: np.zeros((2, min(frames, whole)), np.float32) for name in ("drums", "bass", "other")}
    for name, path in tracks.items():
        stems[name if name in stems else "other"] += _read(path, start, frames)
    return stems


def _read(path: Path, start: int, frames: int) -> FloatArray:
    samples, _ = soundfile.read(path, start=start, frames=frames, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T)


def _voice(song: Path, frames: int) -> FloatArray:
    excerpt = Audio(_read(song, 40 * RATE, frames), RATE)
    with TemporaryDirectory() as scratch:
        separated = choose_separator("spleeter").separator.separate(excerpt, Path(scratch))
        return load(separated.parts["vocals"]).samples


def _mixes(
    stems: dict[str, FloatArray], voice: FloatArray, index: int, random: np.random.Generator
) -> Iterator[tuple[str, dict[str, FloatArray]]]:
    """Truths by kind: sung, instrumental, and of each fourth song one that lacks drums or bass."""
    backing = sum(stems.values(), np.zeros(1, np.float32))
    voice = voice[:, : backing.shape[1]]
    level = np.sqrt(np.mean(backing**2) / np.mean(voice**2)) * db_to_amplitude(random.uniform(*VOICE_DB))
    sung = {**stems, "vocals": (voice * level).astype(np.float32)}
    yield "sung", sung
    yield "instrumental", {**stems, "vocals": np.zeros_like(voice)}
    if index % 4 == 0:
        lacking = ("drums", "bass")[index // 4 % 2]
        yield f"no {lacking}", {**sung, lacking: np.zeros_like(voice)}


def _measure(separator: Separator, truth: Mapping[str, FloatArray]) -> list[dict[str, Any]]:
    mix = np.sum(list(truth.values()), axis=0, dtype=np.float32)
    with TemporaryDirectory() as scratch:
        separated = separator.separate(Audio(mix, RATE), Path(scratch))
        parts = {name: load(part).samples for name, part in separated.parts.items()}
    confidence = stem_confidence(Stems(Audio(mix, RATE), {n: Audio(s, RATE) for n, s in parts.items()}))
    rows = []
    for name, part in parts.items():
        true = truth[name] if name in truth else mix - truth["vocals"]
        evidence = dict(confidence[name].evidence)
        rows.append({"stem": name, "sdr_db": _ratio_db(true, part), "evidence": evidence})
    return rows


def _ratio_db(truth: FloatArray, estimate: FloatArray) -> float:
    error = np.square(truth - estimate, dtype=np.float64).sum() + 1e-9
    return float(powers_to_db((np.square(truth, dtype=np.float64).sum() + 1e-9) / error))


def print_fit(rows: Sequence[Mapping[str, Any]]) -> None:
    """The weights, and the correlation over songs left out of the fit."""
    true_db = np.clip([row["sdr_db"] for row in rows], *RANGE_DB)
    evidence = np.array([[*(row["evidence"][name] for name in EVIDENCE), 1.0] for row in rows])
    songs = np.array([row["song"] for row in rows])
    told = np.zeros(len(rows))
    for song in set(songs):
        left_out = songs == song
        told[left_out] = evidence[left_out] @ _line(evidence[~left_out], true_db[~left_out])
    for name, weight in zip((*EVIDENCE, "offset_db"), _line(evidence, true_db), strict=True):
        print(f"{name:<10} {weight:6.2f}")
    for name in ("all", *sorted({row["separator"] for row in rows})):
        chosen = np.array([name in ("all", row["separator"]) for row in rows])
        error = np.sqrt(np.mean((told - true_db)[chosen] ** 2))
        r = np.corrcoef(told[chosen], true_db[chosen])[0, 1]
        print(f"{name:<10} {chosen.sum()} stems, r = {r:.2f}, off by {error:.1f} dB RMS")


def _line(evidence: NDArray[np.float64], true_db: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.lstsq(evidence, true_db, rcond=None)[0]


if __name__ == "__main__":
    main()
