"""`mixagent evaluate` with its peers beside it: matchering, libsonare and ffmpeg's loudnorm.

Each peer masters the damaged segment by its own means; its master is then finished to the same target
as every other system's render. Needs the extra `[peers]` and ffmpeg.

    python scripts/evaluate.py --corpus DIR --split test --songs 40 --workers 2 --output DIR
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from functools import partial
from pathlib import Path

from benchmark_recovery import aligned, write
from peers import PEERS

from mixagent.envs.corpus import SPLITS
from mixagent.learning.evaluation import Evaluation, evaluate_into, known_policies, known_systems
from mixagent.learning.evaluation_cases import MadeCases
from mixagent.learning.evaluation_tables import markdown
from mixagent.pipeline.types import Audio
from mixagent.reward.model import load_reward


def mastered(peer: str, damaged: Audio, reference: Audio) -> Audio:
    """A segment as a peer mastered it, aligned to it."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        song, model, master = (Path(name) / f"{part}.wav" for part in ("song", "reference", "master"))
        write(damaged, song)
        write(reference, model)
        PEERS[peer](song, master, model)
        return aligned(master, damaged)


def main() -> None:
    """Evaluate and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--songs", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a segment; longer suits the peers")
    parser.add_argument("--systems", help="as of `mixagent evaluate`")
    parser.add_argument("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS))
    parser.add_argument("--policy", action="append", help="a trained policy; several for several seeds")
    parser.add_argument("--reward", default="default", help="a file of conf/reward")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-repairs", action="store_true", help="the systems hear the songs as damaged")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("evaluation"))
    options = parser.parse_args()
    policies = known_policies(options.policy)
    evaluation = Evaluation(
        cases=MadeCases(
            str(options.corpus.absolute()),
            options.split,
            options.seconds,
            seed=options.seed,
            repairs=not options.no_repairs,
        ),
        reward=load_reward(options.reward),
        systems=known_systems(options.systems, policies),
        policies=policies,
        songs=options.songs,
        others={peer: partial(mastered, peer) for peer in options.peers},
        seed=options.seed,
    )
    print(markdown(evaluate_into(evaluation, options.output, options.workers)))


if __name__ == "__main__":
    main()
