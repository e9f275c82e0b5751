"""Train the agent that mixes (`mixagent.policies.mixing`).

    python scripts/train_mixing.py material --corpus CORPUS --to STORE [--passes 0-5] [--held-out 0-3]

`material` takes excerpts of the training songs and of the validation songs apart, puts their stems in
disorder, takes the mixes apart again and keeps the measures; a pass is one excerpt of each song. It goes on
where it was stopped. One thread each, so two processes may each make some of the passes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from mixagent.envs.corpus import Corpus
from mixagent.pipeline.separation import choose_separator
from mixagent.policies.mixing.material import build_passes

HELD_OUT_SEED = 7


def main() -> None:
    """Read the command line and do the part that is asked for."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    material = parts.add_parser("material")
    material.add_argument("--corpus", type=Path, required=True)
    material.add_argument("--to", type=Path, required=True)
    material.add_argument("--passes", type=_numbers, default=range(6))
    material.add_argument("--held-out", type=_numbers, default=range(4))
    material.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    corpus, separator = Corpus.open(arguments.corpus), choose_separator("embedded", "cpu", 4).separator
    build_passes(
        corpus, "validation", arguments.to, arguments.held_out, separator, seed=HELD_OUT_SEED, progress=_told
    )
    build_passes(
        corpus, "train", arguments.to, arguments.passes, separator, seed=arguments.seed, progress=_told
    )


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _told(share: float) -> None:
    print(f"{100 * share:.0f} %", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
