"""Gather the finished music that Debian packages carry, and make a corpus of it.

    python scripts/gather_corpus.py DIR [--split train|evaluation|multitracks]
    python scripts/gather_corpus.py DIR --debug

Each package is downloaded by `apt-get download`, unpacked by `dpkg -x` (no root is needed), and its
stereo music of 40 s and more at 32 kHz and more is kept as DIR/<set>/<package>/*.{ogg,opus,flac,mp3,wav}.
Then all of it is measured and indexed in DIR, as `mixagent corpus add` does: by artist into train,
validation and test; the evaluation packages all into test, for nothing is fitted or tuned on them.
The multitracks have their guitar apart. `--debug` needs no network: ten songs are synthesised.
What is there already is left alone, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import soundfile

from mixagent.cli.progress import shown_progress
from mixagent.envs.corpus import Corpus, Split
from mixagent.envs.synthetic import debug_corpus

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
        "0ad-data",
        "unknown-horizons",
        "freeorion-data",
        "flare-game",
        "boswars-data",
        "fillets-ng-data",
        "openclonk-data",
        "lincity-ng-data",
        "trigger-rally-data",
        "endless-sky-data",
        "ardentryst",
        "lugaru-data",
        "neverball-data",
        "extremetuxracer-data",
        "zaz-data",
    ),
    "evaluation": (
        "fretsonfire-songs-muldjord",
        "naev-data",
        "supertuxkart-data",
        "hedgewars-data",
        "planetblupi-music-ogg",
        "pingus-data",
    ),
    "multitracks": ("fretsonfire-songs-sectoid",),
}
FORCED: dict[str, Split] = {"evaluation": "test"}
PART_FILES = ("guitar", "rhythm", "song")
"""The multitracks' names for their parts; the song is the name of their folder."""
SUFFIXES = (".ogg", ".opus", ".flac", ".mp3", ".wav")
MIN_DURATION_S = 40.0
MIN_RATE_HZ = 32000


def main() -> None:
    """Gather the sets asked for and index them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--split", choices=tuple(PACKAGES), action="append", dest="sets")
    parser.add_argument("--debug", action="store_true", help="ten synthesised songs, without a network")
    arguments = parser.parse_args()
    with shown_progress(quiet=False) as progress:
        if arguments.debug:
            corpus = debug_corpus(arguments.directory, progress=progress)
        else:
            corpus = Corpus.open(arguments.directory)
            for name in arguments.sets or PACKAGES:
                folder = arguments.directory / name
                for package in PACKAGES[name]:
                    gather(package, folder / package)
                corpus = corpus.add([folder], FORCED.get(name), progress=progress)
    print(f"{len(corpus.songs())} songs, {len(corpus.skipped())} skipped: {corpus.directory}/index.jsonl")


def gather(package: str, folder: Path) -> None:
    """Put the package's songs into `folder`; a package that is there already is left alone."""
    if folder.exists():
        return
    with tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=".") as scratch:
        root = Path(scratch)
        if not unpack(package, root / "unpacked"):
            return
        _unzip(root)
        partial = _made(root / "songs")
        kept = sum(_keep(path, partial) for path in sorted(root.rglob("*")) if _is_audio(path, partial))
        partial.rename(folder)
    print(f"{package}: {kept} songs", file=sys.stderr)


def unpack(package: str, folder: Path) -> bool:
    """Fetch a package and unpack it into `folder`; False, and a word on stderr, where it is not to be had."""
    _made(folder)
    fetched = subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True, text=True)
    if fetched.returncode:
        print(f"{package}: not fetched: {fetched.stderr.strip()}", file=sys.stderr)
        return False
    for deb in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", deb.name, "."], cwd=folder, check=True)
        deb.unlink()
    return True


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
    is_part = path.stem in PART_FILES
    name = f"{path.parent.name}-{path.name}" if is_part or (folder / path.name).exists() else path.name
    shutil.move(path, folder / name)
    return True


if __name__ == "__main__":
    main()
