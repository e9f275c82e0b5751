"""The finaliser: loudness to target in a closed loop, true peaks under the ceiling by the limiter.

The gain is predicted from one pass over the source (`predict`). Every render is of the whole song at
one gain and is measured; where it misses, the prediction is corrected by what it missed and the gain
found again, held between gains known to be too low and too high.

Targets over `LOUD_LUFS` take so much off the peaks that three things change: a soft clipper takes the
short ones, the limiter behind it releases slowly, and where the first render has lost transients, what
rings out between them is lowered before it is done again. `scripts/benchmark_loud.py` measures them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.dsp.limiter import Ballistics, TruePeakLimiter
from mixagent.pipeline.dsp.saturation import Curve, SoftClipper
from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.dsp.transients import TransientShaper
from mixagent.pipeline.finaliser.prediction import (
    Prediction,
    SourceMeasures,
    clipped_db,
    measure_source,
    predict,
    reduction_db,
)
from mixagent.pipeline.finaliser.settings import BY_TARGET, Clipper, FinaliserSettings
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.measure.artefacts import transient_loss_db
from mixagent.pipeline.measure.meters import Loudness, LoudnessMeter
from mixagent.pipeline.types import (
    Audio,
    AudioSource,
    Combination,
    DiskAudio,
    FloatArray,
    Progress,
    blocks,
    collect,
    spool,
)

TOLERANCE_LU = 0.05
MAX_GAIN_DB = 40.0
MAX_RENDERS = 10
SHORTEST_S = 0.4

ORDINARY = Ballistics()

LOUD_LUFS = -12.0
"""From here on, what follows leaves less distortion and pumping than the limiter alone does."""

LOUD_CLIPPER = Clipper(over_db=2.0, knee_db=2.0)
LOUD_BALLISTICS = Ballistics(release_ms=500.0)
"""Of the limiter behind a clipper: what is left for it to do is slow. Without one it has to be quick."""

_SLOW_BEHIND_DB = 4.0
"""The most that a clipper may leave over the ceiling for the limiter to be slow."""

PUNCH_DB = 6.0
"""The most in dB that the sustain is lowered by, for a `FinaliserSettings.punch` of 1."""

_LOST_FOR_ALL_DB = 0.5
_ROOM_FOR_ALL_DB = 2.0
"""The loss of transients that asks for all of it; and the reduction left that allows it: it costs some."""

_SMALLEST_STEP_DB = 0.002
_REDUCTION_LEFT_DB = 0.5
_LEAST_SLOPE = 0.15
_SLOPE_RUN_DB = 0.5
_SATURATION_STEP_DB = 0.2
_SEARCH_DB = 24.0
_EXACT_LU = 0.005
_MAX_LOWERINGS = 6
_LOWERING_ROOM_DB = 0.005
_METERS_DIFFER_DB = 1.0
"""The dB by which another meter may read peaks near the Nyquist frequency higher than ours."""

_MEASURING_SHARE = 0.2
_FIRST_SHARE = _MEASURING_SHARE + (1.0 - _MEASURING_SHARE) / 2
"""Of the work is done when a search has made its first render."""

_QUIETER = "quieter.raw"


@dataclass(frozen=True)
class FinishRender:
    """One pass of the loop, kept or not: the gain that it tried and what came out."""

    gain_db: float
    integrated_lufs: float
    true_peak_dbtp: float
    reduction_db: float


@dataclass(frozen=True)
class Finish:
    """The finished song, and how the loop got there.

    `max_reduction_db` is what `reduction_db` says of the last render. `missed` is a sentence for
    the user, empty where the target was met. `integrated_lufs` is −inf where it is undefined.
    `tails_lowered_db` is how far what rings out was lowered at most, because the first render had lost
    `transients_lost_db`; the renders behind that one are of the song so changed. It is 0 where that
    would have cost the loudness.
    """

    audio: Audio | DiskAudio
    gain_db: float
    max_reduction_db: float
    integrated_lufs: float
    true_peak_dbtp: float
    renders: tuple[FinishRender, ...]
    met: bool
    missed: str
    transients_lost_db: float = 0.0
    tails_lowered_db: float = 0.0


def finalise(
    source: AudioSource,
    target: LoudnessTarget,
    scratch: Path | None,
    progress: Progress | None = None,
    measures: SourceMeasures | None = None,
    by_hand: FinaliserSettings = BY_TARGET,
) -> Finish:
    """Bring a source to the target's loudness with no true peak over its ceiling.

    The limiter runs only where the gain may lift a peak over the ceiling; otherwise the output is
    the input times one gain. The ceiling always holds. The loudness is missed where it would take
    more reduction than the target allows (see `reduction_db`) or more than MAX_GAIN_DB of gain.

    Args:
        source: the song, 1 to 6 channels.
        target: loudness, ceiling and the reduction allowed.
        scratch: a folder for the result, `finished.raw`; without it the result is in memory.
        progress: called with the share done, 0 to 1; what it raises ends the work.
        measures: `measure_source(source)`, for a caller that has it.
        by_hand: what was set by hand. What a clipper takes counts as reduction; without one, targets
            over `LOUD_LUFS` have `LOUD_CLIPPER`. One that is off clips nothing.
    """
    report = progress or (lambda share: None)
    before = measures or measure_source(source, lambda share: report(share * _MEASURING_SHARE))
    unmeasurable = _unmeasurable(source, before.loudness)
    if unmeasurable:
        return _enforce_ceiling(source, target, scratch, before.loudness, unmeasurable, report)
    peaks = _taken(target, by_hand.clipper)
    search = _Search(source, target, scratch, before, report, peaks)
    if target.integrated_lufs <= LOUD_LUFS or not by_hand.punch:
        return search.run()
    lost_db, lowered_db = search.tails_to_lower()
    lowered_db *= by_hand.punch
    if not lowered_db:
        return replace(search.run(), transients_lost_db=lost_db)

    def rest(share: float) -> None:
        report(_FIRST_SHARE + share * (1.0 - _FIRST_SHARE))

    shaper = TransientShaper(0.0, -lowered_db, source.rate, source.channels)
    quieter = _store(process_blocks(source, [shaper]), source, scratch, _QUIETER)
    after = measure_source(quieter, lambda share: rest(share * _MEASURING_SHARE))
    finish = _Search(quieter, target, scratch, after, rest, peaks, search.renders).run()
    if scratch is not None:
        (scratch / _QUIETER).unlink()
    if not finish.met:
        lowered_db = 0.0
        finish = _Search(
            source, target, scratch, before, lambda share: rest(1.0), peaks, finish.renders
        ).run()
    return replace(finish, transients_lost_db=lost_db, tails_lowered_db=lowered_db)


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
    limited = before.true_peak_dbtp > target.ceiling_dbtp - _METERS_DIFFER_DB
    ceiling_dbtp = target.ceiling_dbtp if limited else None
    audio, renders = _render_under(source, 0.0, ceiling_dbtp, scratch, report, _Peaks())
    return _finish(audio, renders, why)


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


@dataclass(frozen=True)
class _Peaks:
    """The treatment of peaks: a clipper's curve, if there is one, and the limiter's ballistics."""

    curve: Curve | None = None
    ballistics: Ballistics = ORDINARY


def _taken(target: LoudnessTarget, asked: Clipper | None) -> _Peaks:
    loud = target.integrated_lufs > LOUD_LUFS
    clipper = LOUD_CLIPPER if asked is None and loud else asked
    if clipper is None or clipper.off:
        return _Peaks()
    slow = loud and clipper.over_db <= _SLOW_BEHIND_DB
    return _Peaks(Curve(*clipper.bounds(target.ceiling_dbtp)), LOUD_BALLISTICS if slow else ORDINARY)


def _render(
    source: AudioSource,
    gain_db: float,
    ceiling_dbtp: float | None,
    scratch: Path | None,
    report: Progress,
    peaks: _Peaks,
    before: SourceMeasures | None,
) -> tuple[Audio | DiskAudio, FinishRender]:
    """The source at one gain, held where a ceiling is given, and what the meters read of it."""
    gained = Combination(((db_to_amplitude(gain_db), source),))
    meter, deepest = LoudnessMeter(source.rate, source.channels), np.zeros(0)
    if ceiling_dbtp is None:
        audio = _store(_metered(blocks(gained), meter, source.frames, report), source, scratch)
    else:
        limiter = TruePeakLimiter(source.rate, source.channels, ceiling_dbtp, peaks.ballistics)
        clipped = [SoftClipper(peaks.curve, source.channels)] if peaks.curve else []
        parts = process_blocks(gained, [*clipped, limiter])
        audio = _store(_metered(parts, meter, source.frames, report), source, scratch)
        deepest = limiter.reductions_db
        if peaks.curve and before:
            taken_db = clipped_db(before, gain_db, peaks.curve)[: deepest.size]
            deepest[: taken_db.size] += taken_db
    after = meter.loudness()
    reduction = reduction_db(deepest, after.momentary_lufs, source.rate)
    return audio, FinishRender(gain_db, after.integrated_lufs, after.true_peak_dbtp, reduction)


def _render_under(
    source: AudioSource,
    gain_db: float,
    ceiling_dbtp: float | None,
    scratch: Path | None,
    report: Progress,
    peaks: _Peaks,
    before: SourceMeasures | None = None,
) -> tuple[Audio | DiskAudio, tuple[FinishRender, ...]]:
    """A render whose true peak the meter finds at or under the ceiling, if it was to be limited.

    What the meter finds over, the limiter's ceiling is lowered by, and each time by more room. Each
    render is given, the one that holds last.
    """
    audio, render = _render(source, gain_db, ceiling_dbtp, scratch, report, peaks, before)
    renders = [render]
    aim_dbtp = ceiling_dbtp
    while ceiling_dbtp is not None and aim_dbtp is not None and len(renders) <= _MAX_LOWERINGS:
        over_db = renders[-1].true_peak_dbtp - ceiling_dbtp
        if over_db <= 0.0:
            break
        aim_dbtp -= over_db + _LOWERING_ROOM_DB * 2 ** len(renders)
        audio, render = _render(source, gain_db, aim_dbtp, scratch, _unheard, peaks, before)
        renders.append(render)
    return audio, tuple(renders)


def _unheard(share: float) -> None:
    """Progress of a pass that was not foreseen."""


def _metered(
    parts: Iterator[FloatArray], meter: LoudnessMeter, frames: int, report: Progress
) -> Iterator[FloatArray]:
    done = 0
    for part in parts:
        meter.update(part)
        done += part.shape[1]
        report(done / frames)
        yield part


def _store(
    parts: Iterator[FloatArray], like: AudioSource, scratch: Path | None, name: str = "finished.raw"
) -> Audio | DiskAudio:
    if scratch is None:
        return collect(parts, like.rate, like.channels)
    return spool(parts, scratch / name, like.rate, like.channels)


class _Search:
    """The loop over the gain for one source and target.

    `_tries` are the renders that held the ceiling, one a gain; `renders` are all, `earlier` ones too.
    """

    def __init__(
        self,
        source: AudioSource,
        target: LoudnessTarget,
        scratch: Path | None,
        before: SourceMeasures,
        report: Progress,
        peaks: _Peaks,
        earlier: Iterable[FinishRender] = (),
    ) -> None:
        self._source, self._target, self._scratch = source, target, scratch
        self._before, self._report, self._peaks = before, report, peaks
        self.renders = list(earlier)
        self._tries: list[FinishRender] = []
        self._first: Audio | DiskAudio | None = None
        self._error_lu = self._error_db = 0.0
        self._predictions: dict[float, Prediction] = {}

    def run(self) -> Finish:
        """Render until the target is met or what stands in its way is reached."""
        audio = self._begun()
        while not self._settled():
            self._learn()
            step_to = self._next_gain_db()
            if len(self._tries) >= MAX_RENDERS or abs(step_to - self._tries[-1].gain_db) < _SMALLEST_STEP_DB:
                audio = self._best(audio)
                break
            audio = self._try(step_to)
        self._report(1.0)
        return _finish(audio, tuple(self.renders), self._missed(self.renders[-1]))

    def tails_to_lower(self) -> tuple[float, float]:
        """The transients that the first render lost, and how far to lower the sustain, both in dB.

        No further than there is room for in the reduction: loudness comes first.
        """
        lost_db = max(transient_loss_db(self._source, self._begun()), 0.0)
        room_db = max(self._target.max_reduction_db - self._tries[0].reduction_db, 0.0)
        return lost_db, PUNCH_DB * min(lost_db / _LOST_FOR_ALL_DB, room_db / _ROOM_FOR_ALL_DB, 1.0)

    def _begun(self) -> Audio | DiskAudio:
        """The first render, which is made once."""
        if self._first is None:
            self._first = self._try(self._predicted_gain_db())
        return self._first

    def _try(self, gain_db: float) -> Audio | DiskAudio:
        limited = self._before.loudness.true_peak_dbtp + gain_db > (
            self._target.ceiling_dbtp - _METERS_DIFFER_DB
        )
        before = 1.0 - (1.0 - _MEASURING_SHARE) / 2 ** len(self._tries)

        def report(share: float) -> None:
            self._report(before + share * (1.0 - before) / 2)

        ceiling_dbtp = self._target.ceiling_dbtp if limited else None
        audio, renders = _render_under(
            self._source, gain_db, ceiling_dbtp, self._scratch, report, self._peaks, self._before
        )
        self.renders.extend(renders)
        self._tries.append(renders[-1])
        return audio

    def _predicted(self, gain_db: float) -> Prediction:
        if gain_db not in self._predictions:
            ceiling_dbtp, peaks = self._target.ceiling_dbtp, self._peaks
            self._predictions[gain_db] = predict(
                self._before, gain_db, ceiling_dbtp, peaks.curve, peaks.ballistics
            )
        predicted = self._predictions[gain_db]
        return Prediction(
            predicted.integrated_lufs + self._error_lu, max(predicted.reduction_db + self._error_db, 0.0)
        )

    def _learn(self) -> None:
        """Correct the predictions by what the last one missed."""
        render, predicted = self._tries[-1], self._predicted(self._tries[-1].gain_db)
        if math.isfinite(render.integrated_lufs) and math.isfinite(predicted.integrated_lufs):
            self._error_lu += render.integrated_lufs - predicted.integrated_lufs
        self._error_db += render.reduction_db - predicted.reduction_db

    def _room_db(self, expected: FinishRender | Prediction) -> float:
        """The room in dB that loudness and reduction have left in their bounds; negative is over them."""
        quieter_by = self._target.integrated_lufs - expected.integrated_lufs
        # Aiming a tolerance lower keeps every accepted render within the reduction allowed.
        return min(quieter_by, self._target.max_reduction_db - TOLERANCE_LU - expected.reduction_db)

    def _settled(self) -> bool:
        render = self._tries[-1]
        room = self._room_db(render)
        if abs(room) <= TOLERANCE_LU:
            return True
        spent = self._target.max_reduction_db - render.reduction_db < _REDUCTION_LEFT_DB
        return room > 0 and (spent or render.gain_db >= MAX_GAIN_DB or self._saturated(render.gain_db))

    def _saturated(self, gain_db: float) -> bool:
        """True if more gain hardly makes it louder, because the limiter takes it back."""
        if gain_db <= self._plain_gain_db():
            return False
        before, after = self._predicted(gain_db - _SLOPE_RUN_DB), self._predicted(gain_db)
        return after.integrated_lufs - before.integrated_lufs < _LEAST_SLOPE * _SLOPE_RUN_DB

    def _plain_gain_db(self) -> float:
        """The gain that meets the loudness if nothing has to be limited."""
        loudness = self._before.loudness.integrated_lufs
        if loudness == -math.inf:
            loudness = self._before.loudness.momentary_max_lufs
        return min(self._target.integrated_lufs - loudness, MAX_GAIN_DB)

    def _predicted_gain_db(self) -> float:
        """The least gain that leaves no room, or from which on more hardly makes it louder."""
        plain_db = self._plain_gain_db()
        room = self._predicted_room_db(plain_db)
        if abs(room) <= _EXACT_LU:
            return plain_db
        low, high = (plain_db, plain_db + _SEARCH_DB) if room > 0 else (plain_db - _SEARCH_DB, plain_db)
        enough = _zero(self._predicted_room_db, low, high)
        if enough > plain_db and self._saturated(enough):
            enough = _least(self._saturated, plain_db, enough)
        return min(enough, MAX_GAIN_DB)

    def _predicted_room_db(self, gain_db: float) -> float:
        return min(self._room_db(self._predicted(gain_db)), _SEARCH_DB)

    def _next_gain_db(self) -> float:
        low = max((r.gain_db for r in self._tries if self._room_db(r) > 0), default=None)
        high = min((r.gain_db for r in self._tries if self._room_db(r) <= 0), default=None)
        gain_db = self._predicted_gain_db()
        if low is None or high is None:
            return gain_db
        inset = (high - low) / 10
        return min(max(gain_db, low + inset), high - inset)

    def _best(self, audio: Audio | DiskAudio) -> Audio | DiskAudio:
        """The loudest render that stays in bounds, rendered again where it was not the last one."""
        if self._room_db(self._tries[-1]) >= -TOLERANCE_LU:
            return audio
        allowed = [r for r in self._tries if self._room_db(r) >= -TOLERANCE_LU]
        return self._try(max(allowed, key=lambda r: r.gain_db).gain_db) if allowed else audio

    def _missed(self, render: FinishRender) -> str:
        short_by = self._target.integrated_lufs - render.integrated_lufs
        if abs(short_by) <= TOLERANCE_LU + 1e-9:
            return ""
        side = "below" if short_by > 0 else "above"
        where = f"{render.integrated_lufs:.1f} LUFS is {abs(short_by):.1f} LU {side} the target"
        if render.gain_db >= MAX_GAIN_DB:
            return f"{where}: it would take more than {MAX_GAIN_DB:g} dB of gain"
        if short_by > 0 and self._saturated(render.gain_db):
            return f"{where}: the limiter takes back what more gain puts in"
        return (
            f"{where}: more would take over {self._target.max_reduction_db:g} dB off the peaks to keep them "
            f"under {self._target.ceiling_dbtp:g} dBTP"
        )


def _zero(falling: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a falling function, by the Illinois rule; or the end of the range that is closer to it."""
    at_low, at_high = falling(low), falling(high)
    if at_low <= 0.0 or at_high >= 0.0:
        return low if at_low <= 0.0 else high
    side, middle = 0, low
    while high - low > _SMALLEST_STEP_DB:
        middle = low + (high - low) * at_low / (at_low - at_high)
        value = falling(middle)
        if abs(value) <= _EXACT_LU:
            break
        # The value of an end that stays is halved, or that end would stay for good.
        if value > 0.0:
            low, at_low, at_high = middle, value, at_high / (2.0 if side > 0 else 1.0)
        else:
            high, at_high, at_low = middle, value, at_low / (2.0 if side < 0 else 1.0)
        side = 1 if value > 0.0 else -1
    return middle


def _least(enough: Callable[[float], bool], low: float, high: float) -> float:
    """The start, by bisection, of a condition that holds at the end of a range."""
    while high - low > _SATURATION_STEP_DB:
        middle = (low + high) / 2.0
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
