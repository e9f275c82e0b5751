"""Make the profiles that ship: checkpoints/profiles/*.json, from the training songs of a corpus.

    python scripts/gather_corpus.py CORPUS --split train
    python scripts/make_profiles.py CORPUS

Whole songs are measured, each once. Only songs that the index puts into the training split are taken,
so that whatever is evaluated on the others stays blind to them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mixagent.envs.corpus import Corpus
from mixagent.pipeline.io import content_hash
from mixagent.pipeline.matching.library import analysed_song, write_profile
from mixagent.pipeline.matching.profiles import profile_of

GENRES = {
    "game-orchestral": ("wesnoth-1.16-music", "orchestral game score, sampled (The Battle for Wesnoth)"),
    "game-metal": ("marsshooter-data", "metal with a female voice (Obsidian Shell, M.A.R.S. shooter)"),
    "game-electronic": ("nexuiz-music", "electronic and industrial game music (Nexuiz)"),
    "game-ambient": ("singularity-music", "ambient and electronic game music (Endgame: Singularity)"),
    "game-platformer": ("supertux-data", "cheerful tunes of a platform game, many from trackers (SuperTux)"),
}
"""For each profile the Debian package whose songs it is made of, and what they are."""
OUTPUT = Path(__file__).parents[1] / "checkpoints" / "profiles"


def main() -> None:
    """Measure the songs and write a profile for each genre."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    songs = Corpus.open(arguments.corpus).songs("train")
    arguments.output.mkdir(exist_ok=True)
    for name, (package, about) in GENRES.items():
        files = [song.path for song in songs if song.path.parent.name == package]
        scratch = arguments.output / ".song.f32"
        measured = {content_hash(file): analysed_song(file, scratch)[0] for file in files}
        write_profile(profile_of(name, measured, about), arguments.output / f"{name}.json")
        print(f"{name}: {len(files)} songs", flush=True)


if __name__ == "__main__":
    main()
