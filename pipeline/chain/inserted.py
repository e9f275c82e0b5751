"""Plug-ins in the chain: our parameters as what a plug-in is set by, and the level that it takes given back.

Imported only where a plug-in was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.dsp.dynamic_bells import MARGIN_DB
from mixagent.pipeline.dsp.dynamics import KNEE_DB, Curve, makeup_db
from mixagent.pipeline.dsp.image import Image, image_matrix
from mixagent.pipeline.dsp.programme import LOW_MID, Levelled, Programme
from mixagent.pipeline.dsp.streaming import Processor
from mixagent.pipeline.plugins.inserts import Inserts
from mixagent.pipeline.types import AudioSource, blocks

PEAK_OVER_DB = 18.0
"""What a limiter that stands in for a compressor is set by: how far peaks stand over the programme."""

_COMB_S = 0.0317
_OPEN_HZ, _DULL_HZ = 16000.0, 2000.0


def strip_compressor(
    inserts: Inserts,
    place: str,
    values: Mapping[str, float],
    part: AudioSource,
    programme: Programme,
    heard: Programme,
) -> list[Processor]:
    """The compressor of a strip or a bus; what it takes of the stem's power is measured and given back.

    Raises:
        InsertFault: the plug-in failed.
    """
    trial, _ = inserts.processor(place, "comp", _comp(values, programme), part.rate, part.channels)
    sums = np.zeros(2)
    for block in blocks(part):
        sums += [np.square(sound, dtype=np.float64).sum() for sound in (block, trial.process(block))]
    del trial
    lost_db = float(powers_to_db(sums[0] / sums[1])) if sums.min() > 0 else 0.0
    made, _ = inserts.processor(place, "comp", _comp(values, heard), part.rate, part.channels)
    return [made, *_gain(lost_db)]


def master_compressor(
    inserts: Inserts, values: Mapping[str, float], rate: int, channels: int, programme: Levelled
) -> list[Processor]:
    """The compressor of the master; what ours would take is given back, by the programme's spread.

    Raises:
        InsertFault: the plug-in failed.
    """
    made, _ = inserts.processor("master", "comp", _comp(values, programme), rate, channels)
    curve = Curve(values["comp_threshold_db"], 1 / values["comp_ratio"] - 1)
    return [made, *_gain(makeup_db(curve, programme))]


def strip_equaliser(
    inserts: Inserts, place: str, values: Mapping[str, float], rate: int, channels: int
) -> list[Processor]:
    """High-pass, shelves and bells of a strip.

    Raises:
        InsertFault: the plug-in failed.
    """
    quantities = {
        **{name: values[name] for name in ("high_pass_hz", "low_shelf_db", "bell_hz", "bell_db", "bell_q")},
        **{name: values[name] for name in ("presence_db", "air_db")},
        "high_pass_on": float(values["high_pass_hz"] > 20),
        "low_shelf_hz": 100.0,
        "presence_hz": 3500.0,
        "presence_q": 0.7,
        "air_hz": 10000.0,
    }
    return [inserts.processor(place, "eq", quantities, rate, channels)[0]]


def low_mid_cut(
    inserts: Inserts, place: str, most_db: float, rate: int, channels: int, programme: Programme
) -> list[Processor]:
    """The dynamic cut of 200 to 500 Hz.

    Raises:
        InsertFault: the plug-in failed.
    """
    usual = programme.band(LOW_MID)
    quantities = {
        "cut_db": most_db,
        "threshold_dbfs": usual.level_db + MARGIN_DB,
        "centre_hz": LOW_MID.centre_hz,
        "width_oct": math.log2(LOW_MID.high_hz / LOW_MID.low_hz),
    }
    return [inserts.processor(place, "cut", quantities, rate, channels)[0]]


def reverb(inserts: Inserts, values: Mapping[str, float], rate: int, channels: int) -> list[Processor]:
    """The one room, at the level at which it returns the power that is sent to it.

    Raises:
        InsertFault: the plug-in failed.
    """
    size, damping = values["size"], values["damping"]
    quantities = {
        "size": size,
        "damping": damping,
        # A comb of Freeverb's mean length dies away by 60 dB in this time.
        "decay_s": -3 * _COMB_S / math.log10(0.7 + 0.28 * size),
        "high_cut_hz": _OPEN_HZ * (_DULL_HZ / _OPEN_HZ) ** damping,
    }
    made, probed = inserts.processor("reverb", "reverb", quantities, rate, channels)
    return [made, *_gain(-probed.gain_db)]


def _comp(values: Mapping[str, float], programme: Levelled) -> dict[str, float]:
    threshold_db, ratio = values["comp_threshold_db"], values["comp_ratio"]
    taken_db = (1 - 1 / ratio) * max(PEAK_OVER_DB - threshold_db, 0.0)
    return {
        "threshold_dbfs": programme.level_db + threshold_db,
        "peak_threshold_dbfs": min(programme.level_db + PEAK_OVER_DB - taken_db, 0.0),
        "ratio": ratio,
        "attack_ms": values["comp_attack_ms"],
        "release_ms": values["comp_release_ms"],
        "knee_db": KNEE_DB,
    }


def _gain(gain_db: float) -> list[Processor]:
    return [Image(image_matrix(gain_db), gain_db)] if gain_db else []
