"""Gather the finished music that Debian packages carry, for fitting and for evaluation.

    python scripts/gather_corpus.py DIR [--split train|evaluation]

Each package is downloaded by `apt-get download`, unpacked by `dpkg -x` (no root is needed), and its
stereo music of 40 s and more at 32 kHz and more is kept as DIR/<split>/<package>/*.{ogg,opus,flac,mp3,wav}.
DIR/<split>/index.jsonl then says of each file what it is: rate, channels, duration, loudness, sample
peak, clipped runs and bandwidth. The evaluation packages are never used to fit or to tune anything.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import soundfile

from mixagent.pipeline.analysis import analyse
from mixagent.pipeline.audio import Audio

PACKAGES = {
    "train": (
        "wesnoth-1.16-music",
        "ufoai-music",
        "nexuiz-music",
        "singularity-music",
        "marsshooter-data",
        "hyperrogue-music",
        "warzone2100-music",
        "widelands-data",
        "supertux-data",
        "colobot-common-sounds",
        "freedroidrpg-data",
        "megaglest-data",
    ),
    "evaluation": (
        "fretsonfire-songs-muldjord",
        "naev-data",
        "supertuxkart-data",
        "hedgewars-data",
        "planetblupi-music-ogg",
        "pingus-data",
    ),
}
SUFFIXES = (".ogg", ".opus", ".flac", ".mp3", ".wav")
MIN_DURATION_S = 40.0
MIN_RATE_HZ = 32000


def main() -> None:
    """Gather the splits asked for and index them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--split", choices=tuple(PACKAGES), action="append")
    arguments = parser.parse_args()
    for split in arguments.split or PACKAGES:
        folder = arguments.directory / split
        for package in PACKAGES[split]:
            gather(package, folder / package)
        write_index(folder)


def gather(package: str, folder: Path) -> None:
    """Put the package's songs into `folder`; a package that is there already is left alone."""
    if folder.exists():
        return
    with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as scratch:
        root = Path(scratch)
        fetched = subprocess.run(["apt-get", "download", package], cwd=root, capture_output=True, text=True)
        if fetched.returncode:
            print(f"{package}: not fetched: {fetched.stderr.strip()}", file=sys.stderr)
            return
        for deb in root.glob("*.deb"):
            subprocess.run(["dpkg", "-x", deb.name, "unpacked"], cwd=root, check=True)
            deb.unlink()
        _unzip(root)
        partial = _made(root / "songs")
        kept = sum(_keep(path, partial) for path in sorted(root.rglob("*")) if _is_audio(path, partial))
        partial.rename(folder)
    print(f"{package}: {kept} songs", file=sys.stderr)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _unzip(root: Path) -> None:
    for path in [*root.rglob("*.pk3"), *root.rglob("*.zip")]:
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(path.with_suffix(".unzipped"))


def _is_audio(path: Path, kept: Path) -> bool:
    regular = path.is_file() and not path.is_symlink()
    return regular and path.suffix.lower() in SUFFIXES and kept not in path.parents


def _keep(path: Path, folder: Path) -> bool:
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        print(f"{path.name}: {error}", file=sys.stderr)
        return False
    if info.channels != 2 or info.samplerate < MIN_RATE_HZ or info.duration < MIN_DURATION_S:
        return False
    name = f"{path.parent.name}-{path.name}" if (folder / path.name).exists() else path.name
    shutil.move(path, folder / name)
    return True


def write_index(folder: Path) -> None:
    """Measure each song under `folder` and write index.jsonl, one JSON object a line."""
    rows = [json.dumps(row) for row in _rows(folder)]
    (folder / "index.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _rows(folder: Path) -> Iterator[dict[str, object]]:

    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        analysis = analyse(Audio(samples.T.copy(), rate))
        yield {
            "path": str(path.relative_to(folder)),
            "package": path.relative_to(folder).parts[0],
            "rate": rate,
            "channels": analysis.channels,
            "duration_s": round(analysis.duration_s, 3),
            "integrated_lufs": round(analysis.integrated_lufs, 2),
            "sample_peak_dbfs": round(analysis.sample_peak_dbfs, 2),
            "clipped_runs": analysis.clipped_runs,
            "bandwidth_hz": round(analysis.bandwidth_hz),
        }


if __name__ == "__main__":
    main()
