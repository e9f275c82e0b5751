"""Speed of the mix and master chain, whole and by effect, and its memory at length.

    python scripts/benchmark_chain.py [--seconds 10] [--hours 3]

Speeds are in times real time, by processor time of one thread for a stereo song, the measuring of
programme levels included where an effect needs it. `--hours` streams so much through everything at once
and prints the peak memory after the first minute and at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixagent.pipeline.chain.mastering import Chain, band_programmes, master_processors
from mixagent.pipeline.chain.mixing import measure_levels
from mixagent.pipeline.chain.parameters import BAND_PLACES, DYNAMIC_PLACES, ParameterSpace, Settings
from mixagent.pipeline.dsp.limiter import TruePeakLimiter
from mixagent.pipeline.dsp.saturation import Curve, SoftClipper
from mixagent.pipeline.dsp.streaming import Processor, process_blocks
from mixagent.pipeline.finaliser.settings import finaliser_settings
from mixagent.pipeline.render import premaster
from mixagent.pipeline.types import Audio, FloatArray, Stems, load

RATE = 44100
CEILING_DBTP = -1.0
DRIVE = 4.0
STRIP = {
    "vocals high-pass": {"vocals.high_pass_hz": 90.0},
    "vocals shimmer cut": {"vocals.shimmer_cut_db": 4.0},
    "vocals compressor": {"vocals.comp_ratio": 2.5},
    "vocals gain": {"vocals.gain_db": 1.0},
    "accompaniment low-mid cut": {"accompaniment.low_mid_cut_db": 4.0},
    "accompaniment transients": {"accompaniment.transient_attack_db": 2.0},
}
MASTER = {
    "balance": {"master.balance_db": 1.0},
    "low-mid cut": {"master.low_mid_cut_db": 4.0},
    "shimmer cut": {"master.shimmer_cut_db": 4.0},
    "resonances": {"master.resonance_cut_db": 12.0},
    "equaliser": {"master.eq_low_mid_db": -3.0, "master.bell_1_db": 2.0},
    "air": {"master.extend_from_hz": 11000.0},
    "transients": {"master.transient_attack_db": 2.0},
    "level riding": {"master.ride_db": 2.0},
    "expander": {"master.expand_ratio": 1.3},
    "glue compressor": {"master.comp_ratio": 2.0},
    "width": {"master.width": 0.9},
    "mono lows": {"master.mono_below_hz": 120.0},
    "mid/side equaliser": {"mid.eq_presence_db": 1.0, "side.eq_air_db": 2.0},
    "dynamic equaliser, 8 bands": {f"{place}.range_db": -4.0 for place in DYNAMIC_PLACES},
    "multiband compressor": {f"{place}.comp_ratio": 2.0 for place in BAND_PLACES},
    "multiband expander": {f"{place}.expand_ratio": 1.5 for place in BAND_PLACES},
    "multiband saturation": {f"{place}.drive_db": 9.0 for place in BAND_PLACES},
    "multiband transients": {f"{place}.transient_attack_db": 2.0 for place in BAND_PLACES},
    "multiband width": {f"{place}.width": 0.9 for place in BAND_PLACES},
}
LINEAR = {"equaliser.linear_phase": 1.0}
ALL = {name: value for values in MASTER.values() for name, value in values.items()}
CLIPPER = {"clipper.over_db": 2.0}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the test signal")
    parser.add_argument("--hours", type=float, default=0.0, help="length of the stream for the memory")
    parser.add_argument("--output", type=Path, help="JSON of the speeds")
    options = parser.parse_args()
    speeds = print_speeds(options.seconds)
    if options.output:
        options.output.write_text(json.dumps(speeds, indent=1) + "\n", encoding="utf-8")
    if options.hours:
        print_memory(options.hours)


def print_speeds(seconds: float) -> dict[str, float]:
    """Each effect and all together, in times real time."""
    speeds: dict[str, float] = {}
    source = _stems(seconds)
    space = ParameterSpace.for_stems(list(source.parts))
    levels = measure_levels(source)

    def show(name: str, work: Callable[[], object]) -> None:
        speeds[name] = seconds / _cpu_s(work)
        print(f"{name:32}{speeds[name]:8.0f} x", flush=True)

    show("measure the levels", lambda: measure_levels(source))
    cases = {**STRIP, **MASTER, "equaliser in linear phase": MASTER["equaliser"] | LINEAR}
    for name, values in cases.items():
        settings = space.settings(values)
        show(name, lambda settings=settings: load(premaster(source, settings, levels=levels)))
    settings = ParameterSpace.for_stems(()).settings(ALL | CLIPPER)
    loud = Audio(source.mix.read(0, source.mix.frames) * np.float32(DRIVE), RATE)
    show("soft clipper", lambda: _drain(loud, [_clipper(settings)]))
    show("true-peak limiter", lambda: _drain(loud, [_limiter()]))
    show("the whole master chain", lambda: _drain(loud, _chain(settings, loud)))
    return speeds


def print_memory(hours: float) -> None:
    """Peak memory of a stream through everything, early and late."""
    settings = ParameterSpace.for_stems(()).settings(ALL | CLIPPER | LINEAR)
    chain = _chain(settings, Endless(60 * RATE))
    for minutes in (1.0, hours * 60):
        _drain(Endless(round(minutes * 60 * RATE)), chain)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory after {minutes:g} minutes {peak_mib:8.0f} MiB", flush=True)


@dataclass(frozen=True)
class Endless:
    """Noise made as it is read."""

    frames: int
    rate: int = RATE
    channels: int = 2

    def read(self, start: int, stop: int) -> FloatArray:
        """Frames `start` to `stop`."""
        random = np.random.default_rng(start)
        return np.float32(0.2) * random.standard_normal((2, stop - start), np.float32)


def _chain(settings: Settings, source: Audio | Endless) -> list[Processor]:
    """Everything from the mix to the finished song, at one gain."""
    level = measure_levels(Stems(source, {}))["mix"]
    bands = band_programmes(source, settings)
    chain = master_processors(Chain(settings, RATE, 2, level, None, bands))
    return [*chain, _clipper(settings), _limiter()]


def _clipper(settings: Settings) -> SoftClipper:
    clipper = finaliser_settings(settings).clipper
    assert clipper is not None
    return SoftClipper(Curve(*clipper.bounds(CEILING_DBTP)), 2)


def _limiter() -> TruePeakLimiter:
    return TruePeakLimiter(RATE, 2, CEILING_DBTP)


def _drain(source: Audio | Endless, processors: list[Processor]) -> int:
    """Stream the source through the processors; the frames that came out."""
    parts: Iterator[FloatArray] = process_blocks(source, processors)
    return sum(part.shape[1] for part in parts)


def _stems(seconds: float) -> Stems:
    vocals, rest = (_song(seconds, seed) for seed in (0, 1))
    return Stems(
        Audio(vocals + rest, RATE), {"vocals": Audio(vocals, RATE), "accompaniment": Audio(rest, RATE)}
    )


def _song(seconds: float, seed: int) -> FloatArray:
    """Pink noise with a beat."""
    random, frames = np.random.default_rng(seed), int(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal((2, frames)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 20 * seconds)), frames)
    beat = 0.3 + np.exp(-(np.arange(frames) / RATE % 0.5) / 0.05)
    return (0.05 * pink / pink.std() * beat).astype(np.float32)


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
