"""What the embedded separator gives and costs.

    python scripts/benchmark_separation.py SONG... [--clip STEM_MP4] [--threads 2]

For each song: time as a share of its length, the process's peak memory, and what stems and residual
leave of the input. For a clip with true stems (the one in the stempeg wheel without `--clip`): SDR of
vocals and accompaniment, of the mix itself and of the ideal ratio mask.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from importlib import util
from pathlib import Path

import numpy as np
import torch

from mixagent.pipeline.audio import Audio, FloatArray, blocks, load
from mixagent.pipeline.files import decode
from mixagent.pipeline.separation import choose_separator


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", nargs="*", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--separator", default="embedded")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| song | length s | share of length | peak memory MB | null dBFS |\n|---|---|---|---|---|")
    for path in arguments.songs:
        print(_cost(path, arguments.separator), flush=True)
    print("\n| stem | SDR dB | SDR of the mix dB | SDR of the ideal mask dB |\n|---|---|---|---|")
    for row in _quality(arguments.clip or _stempeg_clip(), arguments.separator):
        print(row)


def _cost(path: Path, separator: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        song = decode(path, Path(folder) / "song.f32").audio
        start = time.perf_counter()
        stems = choose_separator(separator).separator.separate(song, Path(folder))
        share = (time.perf_counter() - start) * song.rate / song.frames
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        left = 0.0
        sources = (song, stems.residual, *stems.parts.values())
        for mix, *parts in zip(*map(blocks, sources), strict=True):
            left = max(left, float(np.abs(mix - np.sum(parts, axis=0)).max()))
    null = 20 * np.log10(max(left, 1e-10))
    return f"| {path.stem} | {song.frames / song.rate:.0f} | {share:.3f} | {peak_mb:.0f} | {null:.0f} |"


def _quality(clip: Path, separator: str) -> list[str]:
    backing = sum(_stream(clip, number) for number in (1, 2, 3))
    truth = {"vocals": _stream(clip, 4), "accompaniment": np.asarray(backing, np.float32)}
    mix = truth["vocals"] + truth["accompaniment"]
    with tempfile.TemporaryDirectory() as folder:
        stems = choose_separator(separator).separator.separate(Audio(mix, 44100), Path(folder))
        vocals = load(stems.parts["vocals"]).samples
    found = {"vocals": vocals, "accompaniment": mix - vocals}
    return [
        f"| {name} | {_sdr_db(true, found[name]):.1f} | {_sdr_db(true, mix):.1f} "
        f"| {_sdr_db(true, _ideal(mix, true, mix - true)):.1f} |"
        for name, true in truth.items()
    ]


def _ideal(mix: FloatArray, stem: FloatArray, rest: FloatArray) -> FloatArray:
    window = torch.hann_window(4096)
    spectra = [
        torch.stft(
            torch.from_numpy(wave), 4096, 1024, window=window, pad_mode="constant", return_complex=True
        )
        for wave in (mix, stem, rest)
    ]
    whole, ours, others = spectra[0], spectra[1].abs() ** 2, spectra[2].abs() ** 2
    masked = torch.istft(
        whole * ours / (ours + others + 1e-10), 4096, 1024, window=window, length=mix.shape[1]
    )
    return np.asarray(masked.numpy(), np.float32)


def _stempeg_clip() -> Path:
    spec = util.find_spec("stempeg")
    if spec is None or spec.origin is None:
        raise SystemExit("give --clip FILE.stem.mp4, or pip install stempeg, whose wheel carries one")
    return next((Path(spec.origin).parent / "data").glob("*.stem.mp4"))


def _stream(clip: Path, number: int) -> FloatArray:
    reader = ["ffmpeg", "-v", "error", "-i", str(clip), "-map", f"0:a:{number}", "-f", "f32le", "-"]
    raw = subprocess.run(reader, capture_output=True, check=True).stdout
    return np.ascontiguousarray(np.frombuffer(raw, np.float32).reshape(-1, 2).T)


def _sdr_db(truth: FloatArray, estimate: FloatArray) -> float:
    return float(10 * np.log10(np.square(truth).sum() / np.square(truth - estimate).sum()))


if __name__ == "__main__":
    main()
