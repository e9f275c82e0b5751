"""The finaliser: loudness to target in a closed loop, true peaks under the ceiling by the limiter.

Every pass renders the whole song at one gain and measures what came out. The gain follows by the
secant rule, held between gains known to be too low and too high.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.audio import (
    Audio,
    AudioSource,
    Combination,
    DiskAudio,
    FloatArray,
    blocks,
    collect,
    spool,
)
from mixagent.pipeline.dsp.limiter import TruePeakLimiter
from mixagent.pipeline.dsp.oversampling import HOP_FRAMES
from mixagent.pipeline.meters import Loudness, LoudnessMeter, measure
from mixagent.pipeline.streaming import process_blocks
from mixagent.pipeline.targets import LoudnessTarget

TOLERANCE_LU = 0.05
MAX_GAIN_DB = 40.0
MAX_RENDERS = 10
SHORTEST_S = 0.4

_REDUCTION_WINDOW_S = 0.4
_REDUCTION_SHARE = 0.95
_ACTIVE_LUFS = -70.0
_SMALLEST_STEP_DB = 0.002
_REDUCTION_LEFT_DB = 0.5
_LEAST_SLOPE = 0.15
_MAX_LOWERINGS = 4
_LOWERING_ROOM_DB = 0.01

Progress = Callable[[float], None]


@dataclass(frozen=True)
class FinishRender:
    """One pass of the loop: the gain that it tried and what came out."""

    gain_db: float
    integrated_lufs: float
    true_peak_dbtp: float
    reduction_db: float


@dataclass(frozen=True)
class Finish:
    """The finished song, and how the loop got there.

    `max_reduction_db` is what `reduction_db` says of the last render. `missed` is a sentence for
    the user, empty where the target was met. `integrated_lufs` is −inf where it is undefined.
    """

    audio: Audio | DiskAudio
    gain_db: float
    max_reduction_db: float
    integrated_lufs: float
    true_peak_dbtp: float
    renders: tuple[FinishRender, ...]
    met: bool
    missed: str


def finalise(
    source: AudioSource, target: LoudnessTarget, scratch: Path | None, progress: Progress | None = None
) -> Finish:
    """Bring a source to the target's loudness with no true peak over its ceiling.

    The limiter runs only where the gain lifts a peak over the ceiling; otherwise the output is the
    input times one gain. The ceiling always holds. The loudness is missed where it would take more
    reduction than the target allows (see `reduction_db`) or more than MAX_GAIN_DB of gain.

    Args:
        source: the song, 1 to 6 channels.
        target: loudness, ceiling and the reduction allowed.
        scratch: a folder for the result, `finished.raw`; without it the result is in memory.
        progress: called with the share done, 0 to 1; what it raises ends the work.
    """
    before = measure(source)
    report = progress or (lambda share: None)
    unmeasurable = _unmeasurable(source, before)
    if unmeasurable:
        return _enforce_ceiling(source, target, scratch, before, unmeasurable, report)
    return _Search(source, target, scratch, before, report).run()


def reduction_db(deepest_db: NDArray[np.float64], momentary_lufs: NDArray[np.float64], rate: int) -> float:
    """How deep the limiter works on this song, in dB ≥ 0.

    The song is cut into windows of 0.4 s, and those under −70 LUFS are left out. Of the deepest
    reduction in each, the figure is the one that 95 % of the windows (all but two of fewer than 60)
    stay within: a recurring drum counts in full, a lone click and its release do not.

    Args:
        deepest_db: the deepest reduction of each HOP_FRAMES of output.
        momentary_lufs: loudness of 400 ms, one each 100 ms.
        rate: Hz.
    """
    count = max(momentary_lufs[::4].size, 1)
    windows = np.zeros(count)
    places = np.arange(deepest_db.size) * HOP_FRAMES / (rate * _REDUCTION_WINDOW_S)
    np.maximum.at(windows, np.minimum(places.astype(np.int64), count - 1), deepest_db)
    active = np.sort(windows[: momentary_lufs[::4].size][momentary_lufs[::4] > _ACTIVE_LUFS])
    if active.size == 0:
        return float(windows.max())
    left_out = min(max(math.floor(active.size * (1.0 - _REDUCTION_SHARE)), 2), active.size - 1)
    return float(active[active.size - 1 - left_out])


def _unmeasurable(source: AudioSource, before: Loudness) -> str:
    if before.sample_peak_dbfs == -math.inf:
        return "the source is silent, so it has no loudness to bring to the target"
    if source.frames < SHORTEST_S * source.rate or before.momentary_max_lufs == -math.inf:
        return (
            "the source is shorter than 400 ms, so its loudness is undefined; only the ceiling was enforced"
        )
    return ""


def _enforce_ceiling(
    source: AudioSource,
    target: LoudnessTarget,
    scratch: Path | None,
    before: Loudness,
    why: str,
    report: Progress,
) -> Finish:
    limited = before.true_peak_dbtp > target.ceiling_dbtp
    audio, render = _render_under(source, 0.0, target.ceiling_dbtp if limited else None, scratch, report)
    return _finish(audio, (render,), why)


def _finish(audio: Audio | DiskAudio, renders: tuple[FinishRender, ...], missed: str) -> Finish:
    last = renders[-1]
    return Finish(
        audio=audio,
        gain_db=last.gain_db,
        max_reduction_db=last.reduction_db,
        integrated_lufs=last.integrated_lufs,
        true_peak_dbtp=last.true_peak_dbtp,
        renders=renders,
        met=not missed,
        missed=missed,
    )


def _render(
    source: AudioSource, gain_db: float, ceiling_dbtp: float | None, scratch: Path | None, report: Progress
) -> tuple[Audio | DiskAudio, FinishRender]:
    """The source at one gain, limited where a ceiling is given, and what the meters read of it."""
    gained = Combination(((10.0 ** (gain_db / 20.0), source),))
    limiter = (
        TruePeakLimiter(source.rate, source.channels, ceiling_dbtp) if ceiling_dbtp is not None else None
    )
    meter = LoudnessMeter(source.rate, source.channels)
    parts = _metered(
        process_blocks(gained, [limiter]) if limiter else blocks(gained), meter, source.frames, report
    )
    audio = _store(parts, source, scratch)
    after = meter.loudness()
    deepest = limiter.reductions_db if limiter else np.zeros(0)
    reduction = reduction_db(deepest, after.momentary_lufs, source.rate)
    return audio, FinishRender(gain_db, after.integrated_lufs, after.true_peak_dbtp, reduction)


def _render_under(
    source: AudioSource, gain_db: float, ceiling_dbtp: float | None, scratch: Path | None, report: Progress
) -> tuple[Audio | DiskAudio, FinishRender]:
    """A render whose true peak the meter finds at or under the ceiling, if it was to be limited."""
    audio, render = _render(source, gain_db, ceiling_dbtp, scratch, report)
    if ceiling_dbtp is None:
        return audio, render
    aim_dbtp = ceiling_dbtp
    for _ in range(_MAX_LOWERINGS):
        over_db = render.true_peak_dbtp - ceiling_dbtp
        if over_db <= 0.0:
            break
        aim_dbtp -= over_db + _LOWERING_ROOM_DB
        audio, render = _render(source, gain_db, aim_dbtp, scratch, lambda share: None)
    return audio, render


def _metered(
    parts: Iterator[FloatArray], meter: LoudnessMeter, frames: int, report: Progress
) -> Iterator[FloatArray]:
    done = 0
    for part in parts:
        meter.update(part)
        done += part.shape[1]
        report(done / frames)
        yield part


def _store(parts: Iterator[FloatArray], source: AudioSource, scratch: Path | None) -> Audio | DiskAudio:
    if scratch is None:
        return collect(parts, source.rate, source.channels)
    return spool(parts, scratch / "finished.raw", source.rate, source.channels)


class _Search:
    """The loop over the gain for one source and target."""

    def __init__(
        self,
        source: AudioSource,
        target: LoudnessTarget,
        scratch: Path | None,
        before: Loudness,
        report: Progress,
    ) -> None:
        self._source, self._target, self._scratch = source, target, scratch
        self._before, self._report = before, report
        self._renders: list[FinishRender] = []

    def run(self) -> Finish:
        """Render until the target is met or what stands in its way is reached."""
        gain_db = self._first_gain_db()
        while True:
            audio, render = self._try(gain_db)
            self._renders.append(render)
            if self._settled(render):
                break
            step_to = self._next_gain_db()
            if len(self._renders) >= MAX_RENDERS or abs(step_to - gain_db) < _SMALLEST_STEP_DB:
                audio = self._best(audio)
                break
            gain_db = step_to
        self._report(1.0)
        return _finish(audio, tuple(self._renders), self._missed(self._renders[-1]))

    def _first_gain_db(self) -> float:
        loudness = self._before.integrated_lufs
        if loudness == -math.inf:
            loudness = self._before.momentary_max_lufs
        return min(self._target.integrated_lufs - loudness, MAX_GAIN_DB)

    def _try(self, gain_db: float) -> tuple[Audio | DiskAudio, FinishRender]:
        limited = self._before.true_peak_dbtp + gain_db > self._target.ceiling_dbtp
        before = len(self._renders) / (len(self._renders) + 2)

        def report(share: float) -> None:
            self._report(before + share * (1.0 - before) / 2)

        ceiling_dbtp = self._target.ceiling_dbtp if limited else None
        return _render_under(self._source, gain_db, ceiling_dbtp, self._scratch, report)

    def _room_db(self, render: FinishRender) -> float:
        """How far loudness and reduction are from what bounds them; negative is too far."""
        quieter_by = self._target.integrated_lufs - render.integrated_lufs
        # Aiming a tolerance lower keeps every accepted render within the reduction allowed.
        return min(quieter_by, self._target.max_reduction_db - TOLERANCE_LU - render.reduction_db)

    def _settled(self, render: FinishRender) -> bool:
        room = self._room_db(render)
        if abs(room) <= TOLERANCE_LU:
            return True
        spent = self._target.max_reduction_db - render.reduction_db < _REDUCTION_LEFT_DB
        return room > 0 and (spent or render.gain_db >= MAX_GAIN_DB or self._saturated())

    def _saturated(self) -> bool:
        """Whether more gain hardly makes it louder: the limiter takes back what is put in."""
        if len(self._renders) < 2:
            return False
        before, last = self._renders[-2:]
        gain_db = last.gain_db - before.gain_db
        return gain_db > 0.5 and last.integrated_lufs - before.integrated_lufs < _LEAST_SLOPE * gain_db

    def _next_gain_db(self) -> float:
        low = max((r.gain_db for r in self._renders if self._room_db(r) > 0), default=None)
        high = min((r.gain_db for r in self._renders if self._room_db(r) <= 0), default=None)
        gain_db = min(self._secant_db(), MAX_GAIN_DB)
        if low is None or high is None:
            return gain_db
        inset = (high - low) / 10
        return min(max(gain_db, low + inset), high - inset)

    def _secant_db(self) -> float:
        last = self._renders[-1]
        slope = -1.0
        if len(self._renders) > 1:
            other = min(self._renders[:-1], key=lambda r: abs(self._room_db(r)))
            run = last.gain_db - other.gain_db
            slope = min(max((self._room_db(last) - self._room_db(other)) / run, -2.0), -0.15)
        return last.gain_db + min(max(-self._room_db(last) / slope, -12.0), 12.0)

    def _best(self, audio: Audio | DiskAudio) -> Audio | DiskAudio:
        """The loudest render that stays in bounds, rendered again where it was not the last one."""
        if self._room_db(self._renders[-1]) >= -TOLERANCE_LU:
            return audio
        allowed = [r for r in self._renders if self._room_db(r) >= -TOLERANCE_LU]
        if not allowed:
            return audio
        audio, render = self._try(max(allowed, key=lambda r: r.gain_db).gain_db)
        self._renders.append(render)
        return audio

    def _missed(self, render: FinishRender) -> str:
        short_by = self._target.integrated_lufs - render.integrated_lufs
        if abs(short_by) <= TOLERANCE_LU + 1e-9:
            return ""
        side = "below" if short_by > 0 else "above"
        where = f"{render.integrated_lufs:.1f} LUFS is {abs(short_by):.1f} LU {side} the target"
        if render.gain_db >= MAX_GAIN_DB:
            return f"{where}: it would take more than {MAX_GAIN_DB:g} dB of gain"
        if short_by > 0 and self._saturated():
            return f"{where}: the limiter takes back what more gain puts in"
        return (
            f"{where}: more would take over {self._target.max_reduction_db:g} dB off the peaks to keep them "
            f"under {self._target.ceiling_dbtp:g} dBTP"
        )
