"""Measures the cost of a decision: CPU time of one call, the song's measures given, reasons included.

    python scripts/benchmark_decision.py [--cases DIR] [--split validation] [--count 50]

The songs are the cases of a store that `mixagent corpus build` made.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from mixagent.envs.cases import CaseStore
from mixagent.envs.corpus import default_corpus
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.policies import load_policy


def main() -> None:
    """Print the median and the slowest decision of each policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, default=default_corpus() / "cases")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--policies", nargs="+", default=["neutral", "rules", "band", "learned", "mix"])
    options = parser.parse_args()
    store = CaseStore(options.cases)
    cases = [store.load(name) for name in store.names(options.split)[: options.count]]
    contexts = [case.context(ParameterSpace.for_stems(tuple(case.stems.parts))) for case in cases]
    print(f"{len(contexts)} songs\n\n| policy | median, ms | slowest, ms |\n|---|--:|--:|")
    for name in options.policies:
        policy = load_policy(name)
        policy.decide(contexts[0])  # loads what it needs
        taken_ms = []
        for context in contexts:
            since = time.process_time()
            policy.decide(context)
            taken_ms.append(1000 * (time.process_time() - since))
        print(f"| {name} | {np.median(taken_ms):.1f} | {np.max(taken_ms):.1f} |")


if __name__ == "__main__":
    main()
