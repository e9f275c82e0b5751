"""A plug-in as a `Processor`: its sound passes through memory that both processes see, and is checked."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.fft import irfft, rfft

from mixagent.pipeline.decibels import amplitude_to_db, db_to_amplitude
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.plugins.child import PluginChild, PluginFault
from mixagent.pipeline.plugins.pool import POOL, Pool
from mixagent.pipeline.types import BLOCK_FRAMES, FloatArray

CHUNK_FRAMES = 1024
"""The frames that a plug-in gets at a time, always: some sound otherwise with other cuts."""

WINDOW_FRAMES = 16 * CHUNK_FRAMES
"""Over which levels before and behind a plug-in are held against each other."""

_PRE_ROLL_FRAMES = 8 * CHUNK_FRAMES
_QUIET_DBFS = -60.0
_MADE_OF_SILENCE_DBFS = -80.0
_SILENT_DB = -60.0
_SOUNDING_DBFS = -50.0
_ASTRAY_WINDOWS = 2
_MOST_ASTRAY = 4096
_NEAR_FRAMES = 16
_CLEAR = 0.7
_CLEARER = 0.25
_LEAST = 1e-12


@dataclass(frozen=True)
class Sounding:
    """How a plug-in is played.

    Attributes:
        rate: in Hz.
        channels: of the sound.
        each: a mono plug-in, one a channel.
        linked: a mono plug-in that only multiplies, one for all channels: it hears their power.
        values: of its parameters.
        state: that it has before these, base64; empty for its own.
        most_gain_db: that its output may lie over its input.
        in_return: a room behind sends, whose sound goes on when the input is silent.
        twice: whether a second instance plays the same, so that every difference between them is seen.
    """

    rate: int
    channels: int
    each: bool = False
    linked: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    most_gain_db: float = 12.0
    in_return: bool = False
    twice: bool = True


class OpenPlugin:
    """A plug-in that is ready for one sound: blocks in, blocks of the same length out, late by its latency.

    Its process goes back to the pool when nobody holds this any more, unless it failed.

    Raises:
        PluginFault: on opening and in `play`.
    """

    def __init__(self, child: PluginChild, sounding: Sounding, pool: Pool = POOL) -> None:
        self._child, self._sounding = child, sounding
        self._finish = weakref.finalize(self, pool.give_back, child)
        shape = (2, sounding.channels, BLOCK_FRAMES)
        with scratch_folder() as folder:
            path = folder / "buffer.f32"
            self._shared = np.memmap(path, np.float32, "w+", shape=shape)
            opened = child.ask(
                "open",
                child.limits.load_s,
                {
                    "rate": sounding.rate,
                    "channels": sounding.channels,
                    "each": sounding.each,
                    "linked": sounding.linked,
                    "twice": sounding.twice,
                    "values": dict(sounding.values),
                    "state": sounding.state,
                    "buffer": str(path),
                    "frames": BLOCK_FRAMES,
                },
            )
        self.same_twice = True
        self.values: dict[str, Any] = opened["values"]
        self.state_sha256 = str(opened["state_sha256"])
        self.reported_latency = max(int(opened["latency"]), 0)
        self._pre_roll()

    def play(self, block: FloatArray) -> FloatArray:
        """The next frames, (channels, frames), of any number."""
        parts = [
            self._played(block[:, start : start + BLOCK_FRAMES])
            for start in range(0, block.shape[1], BLOCK_FRAMES)
        ]
        return np.concatenate(parts, axis=1) if parts else block

    def fault(self, what: str) -> PluginFault:
        """The fault to raise; the process is not used again."""
        self.end()
        return PluginFault(self._child.called, what)

    def end(self) -> None:
        """Give the process up."""
        self._finish.detach()
        self._child.close()

    def _pre_roll(self) -> None:
        """Silence before the sound: a plug-in may drop its first frames, and must make nothing of it."""
        if self.reported_latency > BLOCK_FRAMES:
            raise self.fault(f"says that it is {self.reported_latency} frames late, more than can be made up")
        frames = max(_PRE_ROLL_FRAMES, -(-self.reported_latency // CHUNK_FRAMES) * CHUNK_FRAMES)
        out = self._asked(np.zeros((self._sounding.channels, frames), np.float32))
        if not np.isfinite(out).all():
            raise self.fault("gave numbers that are no sound (NaN)")
        if peak_dbfs(out) > _MADE_OF_SILENCE_DBFS:
            raise self.fault(f"made sound of silence, {peak_dbfs(out):.0f} dBFS")
        self.stated_lag = max(self.reported_latency - (frames - out.shape[1]), 0)

    def _played(self, block: FloatArray) -> FloatArray:
        out = self._asked(block)
        if out.shape[1] != block.shape[1]:
            raise self.fault(f"gave {out.shape[1]} frames for {block.shape[1]}")
        if not np.isfinite(out).all():
            raise self.fault("gave numbers that are no sound (NaN)")
        return out

    def _asked(self, block: FloatArray) -> FloatArray:
        frames = block.shape[1]
        self._shared[0, :, :frames] = block
        limits = self._child.limits
        patience_s = limits.block_s + limits.slowest * frames / self._sounding.rate
        try:
            answer = self._child.ask("process", patience_s, {"frames": frames})
        except PluginFault:
            self.end()
            raise
        self.same_twice = self.same_twice and bool(answer["same"])
        channels, made = answer["shape"]
        if channels != block.shape[0] or made > frames:
            raise self.fault(f"gave {channels} channels of {made} frames for {block.shape[0]} of {frames}")
        return np.array(self._shared[1, :, :made])


class PluginProcessor:
    """A plug-in in a chain; a `Processor`, whose output does not depend on how its input is cut.

    Args:
        plugin: fresh; it belongs to this processor.
        sounding: how it was opened. In a return blocks are whole chunks but for the last, so nothing waits
            for the next one, and the plug-in's own latency is all there is.
        lag: frames by which its output is late.

    Raises:
        PluginFault: what it gave in `process` is no sound, or no sound of its input.
    """

    def __init__(self, plugin: OpenPlugin, sounding: Sounding, lag: int) -> None:
        self.latency = lag if sounding.in_return else lag + CHUNK_FRAMES
        self._plugin, self._in_return = plugin, sounding.in_return
        self._waiting = np.zeros((sounding.channels, 0), np.float32)
        self._ready = np.zeros((sounding.channels, CHUNK_FRAMES), np.float32)
        self._watch = Watch(sounding, lag)

    @property
    def same_twice(self) -> bool:
        """Whether two instances made the same of all that was played so far."""
        return self._plugin.same_twice

    def process(self, block: FloatArray) -> FloatArray:
        """The next block, (channels, frames)."""
        if self._in_return:
            short = -block.shape[1] % CHUNK_FRAMES
            return self._played(np.pad(block, ((0, 0), (0, short))))[:, : block.shape[1]]
        waiting = np.concatenate((self._waiting, block), axis=1)
        whole = waiting.shape[1] // CHUNK_FRAMES * CHUNK_FRAMES
        given, self._waiting = waiting[:, :whole], waiting[:, whole:]
        if whole:
            self._ready = np.concatenate((self._ready, self._played(given)), axis=1)
        out, self._ready = self._ready[:, : block.shape[1]], self._ready[:, block.shape[1] :]
        return out

    def settle(self) -> None:
        """Judge what the last whole window left, when the sound has ended.

        Raises:
            PluginFault: it is not as it should be.
        """
        if wrong := self._watch.wrong_at_end():
            raise self._plugin.fault(wrong)

    def _played(self, given: FloatArray) -> FloatArray:
        made = self._plugin.play(given)
        if wrong := self._watch.wrong(given, made):
            raise self._plugin.fault(wrong)
        return made


class Watch:
    """Holds what comes out of a plug-in against what went in, window by window: its level and its time.

    Args:
        sounding: with what its output may lie over its input.
        lag: frames by which the output is late.
    """

    def __init__(self, sounding: Sounding, lag: int) -> None:
        self._sounding = sounding
        self._delay = np.zeros((sounding.channels, lag), np.float32)
        self._before = np.zeros((sounding.channels, 0), np.float32)
        self._after = self._before
        self._last = self._loudest = self._peak = 0.0
        self._astray = 0

    def wrong(self, before: FloatArray, after: FloatArray) -> str | None:
        """What is wrong with the next frames, to stand behind the plug-in's name; None if nothing is."""
        late = np.concatenate((self._delay, before), axis=1)
        self._delay = late[:, before.shape[1] :]
        self._peak = max(self._peak, float(np.abs(before).max(initial=0.0)))
        if self._peak == 0.0 and peak_dbfs(after) > _MADE_OF_SILENCE_DBFS:
            return f"made sound of silence, {peak_dbfs(after):.0f} dBFS"
        self._before = np.concatenate((self._before, late[:, : before.shape[1]]), axis=1)
        self._after = np.concatenate((self._after, after), axis=1)
        while self._before.shape[1] >= WINDOW_FRAMES:
            pair = [held[:, :WINDOW_FRAMES] for held in (self._before, self._after)]
            self._before, self._after = (held[:, WINDOW_FRAMES:] for held in (self._before, self._after))
            if said := self._level_wrong(*map(_rms, pair)) or self._time_wrong(*pair):
                return said
        return None

    def wrong_at_end(self) -> str | None:
        """The same of what is left when the sound has ended, where one sign has to do."""
        if not self._before.shape[1]:
            return None
        before, after = self._before, self._after
        self._astray = max(self._astray, _ASTRAY_WINDOWS - 1)
        return self._level_wrong(_rms(before), _rms(after)) or self._time_wrong(before, after)

    def _time_wrong(self, before: FloatArray, after: FloatArray) -> str | None:
        if self._sounding.in_return:
            return None
        late = _astray(before, after)
        self._astray = self._astray + 1 if late else 0
        return f"fell out of time, by {late} frames" if self._astray >= _ASTRAY_WINDOWS else None

    def _level_wrong(self, before: float, after: float) -> str | None:
        self._loudest = max(self._loudest, before)
        against = self._loudest if self._sounding.in_return else max(before, self._last)
        self._last = before
        most_db = self._sounding.most_gain_db
        floor = db_to_amplitude(_QUIET_DBFS)
        if after > db_to_amplitude(most_db) * max(against, floor):
            over_db = amplitude_to_db(after / max(against, floor))
            return f"came out {over_db:.0f} dB louder than it went in"
        sounds = before > db_to_amplitude(_SOUNDING_DBFS) and not self._sounding.in_return
        return "gave silence for sound" if sounds and after < db_to_amplitude(_SILENT_DB) * before else None


def _astray(before: FloatArray, after: FloatArray) -> int:
    """By how many frames a window is displaced against what it was made of; 0 unless that is clear."""
    strongest = int(np.argmax(np.square(before).sum(axis=1)))
    one, other = before[strongest].astype(np.float64), after[strongest].astype(np.float64)
    power = math.sqrt(float(one @ one) * float(other @ other))
    if power < _LEAST:
        return 0
    spectra = [rfft(sound, max(2 * WINDOW_FRAMES, 4 * _MOST_ASTRAY)) for sound in (one, other)]
    likeness = np.abs(irfft(spectra[1] * np.conj(spectra[0]))) / power
    likeness = np.concatenate((likeness[-_MOST_ASTRAY:], likeness[: _MOST_ASTRAY + 1]))
    best = int(np.argmax(likeness))
    here = likeness[_MOST_ASTRAY - _NEAR_FRAMES : _MOST_ASTRAY + _NEAR_FRAMES + 1].max()
    clear = likeness[best] > _CLEAR and likeness[best] - here > _CLEARER
    return best - _MOST_ASTRAY if clear else 0


def peak_dbfs(sound: FloatArray) -> float:
    """The highest sample of a sound in dBFS."""
    return amplitude_to_db(max(float(np.abs(sound).max(initial=0.0)), _LEAST))


def _rms(sound: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
