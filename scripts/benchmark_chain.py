"""Time of the mix and master chain, whole and by effect, as CPU seconds for a song of four minutes.

python scripts/benchmark_chain.py [--seconds 30]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from mixagent.pipeline.audio import Audio, Stems, load
from mixagent.pipeline.mixing import measure_levels
from mixagent.pipeline.parameters import ParameterSpace
from mixagent.pipeline.render import premaster

RATE = 44100
SONG_S = 240.0
STRIP = {
    "vocals.high_pass_hz": 90.0,
    "vocals.shimmer_cut_db": 4.0,
    "vocals.comp_ratio": 2.5,
    "vocals.gain_db": 1.0,
    "accompaniment.low_mid_cut_db": 4.0,
    "accompaniment.transient_attack_db": 2.0,
}
MASTER = {
    "master.balance_db": 1.0,
    "master.low_mid_cut_db": 4.0,
    "master.shimmer_cut_db": 4.0,
    "master.resonance_cut_db": 12.0,
    "master.eq_low_mid_db": -3.0,
    "master.extend_from_hz": 11000.0,
    "master.expand_ratio": 1.3,
    "master.width": 0.9,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the test signal")
    seconds = parser.parse_args().seconds
    source = _stems(seconds)
    space = ParameterSpace.for_stems(list(source.parts))
    levels = measure_levels(source)
    print(f"{'measure the levels':32}{_cpu_s(lambda: measure_levels(source)) * SONG_S / seconds:8.2f} s")
    cases = {name: {name: value} for name, value in (STRIP | MASTER).items()}
    for name, values in (cases | {"all of them": STRIP | MASTER}).items():
        settings = space.settings(values)
        spent = _cpu_s(lambda settings=settings: load(premaster(source, settings, levels=levels)))
        print(f"{name:32}{spent * SONG_S / seconds:8.2f} s")


def _stems(seconds: float) -> Stems:
    random = np.random.default_rng(0)
    vocals, rest = (0.05 * random.standard_normal((2, 2, int(seconds * RATE)))).astype(np.float32)
    return Stems(
        Audio(vocals + rest, RATE), {"vocals": Audio(vocals, RATE), "accompaniment": Audio(rest, RATE)}
    )


def _cpu_s(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times))


if __name__ == "__main__":
    main()
