"""A plug-in put to the test by itself: what it makes of noise, of silence, and of the same sound twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.plugins.child import LIMITS, Limits, PluginFault
from mixagent.pipeline.plugins.library import Plugin
from mixagent.pipeline.plugins.probing import Probed, opened
from mixagent.pipeline.plugins.processor import PluginProcessor, Sounding
from mixagent.pipeline.types import FloatArray

RATES_HZ = (44_100, 48_000, 96_000)
_LOUD_DBFS = -14.0
_SOUND_S = 3.0
_MOST_GAIN_DB = 24.0
_SEED = 21


@dataclass(frozen=True)
class Checked:
    """One check of a plug-in: its name, whether it held, and in words what was found."""

    check: str
    held: bool
    words: str


def check_plugin(plugin: Plugin, limits: Limits = LIMITS) -> list[Checked]:
    """Every check of a plug-in with its own values; a fault ends the one that it comes up in."""
    return [
        *(_checked(f"{rate} Hz", partial(_played, plugin, rate, limits)) for rate in RATES_HZ),
        _checked("latency", lambda: _latency(plugin, limits)),
        _checked("the same twice", lambda: _twice(plugin, limits)),
        _checked("in blocks of any length", lambda: _cuts(plugin, limits)),
    ]


def _checked(name: str, check: Callable[[], tuple[bool, str]]) -> Checked:
    try:
        return Checked(name, *check())
    except PluginFault as fault:
        return Checked(name, False, fault.what)


def _opened(plugin: Plugin, rate: int, limits: Limits) -> tuple[PluginProcessor, Probed, int]:
    count = 2 if 2 in plugin.channels else 1
    sounding = Sounding(rate, count, most_gain_db=_MOST_GAIN_DB)
    processor, probed, _ = opened(Path(plugin.path), plugin.inside, sounding, limits)
    return processor, probed, count


def _played(plugin: Plugin, rate: int, limits: Limits) -> tuple[bool, str]:
    processor, _, count = _opened(plugin, rate, limits)
    noise = _noise(rate, count)
    out = processor.process(noise)
    gain_db = 10 * np.log10(max(float(np.mean(out**2)), 1e-20) / float(np.mean(noise**2)))
    return True, f"sound of {count} channel{'s' if count > 1 else ''}, {gain_db:+.1f} dB"


def _latency(plugin: Plugin, limits: Limits) -> tuple[bool, str]:
    _, probed, _ = _opened(plugin, RATES_HZ[0], limits)
    if probed.lag != probed.reported:
        return False, f"it says {probed.reported} frames and is {probed.lag} late: that is used"
    return True, f"{probed.lag} frames, as it says"


def _twice(plugin: Plugin, limits: Limits) -> tuple[bool, str]:
    processor, probed, count = _opened(plugin, RATES_HZ[0], limits)
    processor.process(_noise(RATES_HZ[0], count))
    if probed.same_twice and processor.same_twice:
        return True, "it makes the same of a sound twice"
    return False, "it does not: a replay of a master with it will differ"


def _cuts(plugin: Plugin, limits: Limits) -> tuple[bool, str]:
    whole, _, count = _opened(plugin, RATES_HZ[0], limits)
    noise = _noise(RATES_HZ[0], count)
    one = whole.process(noise)
    cut, _, _ = _opened(plugin, RATES_HZ[0], limits)
    other = np.concatenate([cut.process(part) for part in np.array_split(noise, 7, axis=1)], axis=1)
    same = bool(np.array_equal(one, other))
    return same, "the same however it is cut" if same else "it differs from run to run, or by the cuts"


def _noise(rate: int, channels: int) -> FloatArray:
    made = np.random.default_rng(_SEED).standard_normal((channels, round(_SOUND_S * rate)))
    return (db_to_amplitude(_LOUD_DBFS) * made).astype(np.float32)
