"""Masking of one stem by the others: how far their excitation lies over it, band by band.

Each stem's power spreads over the critical bands by the function of M. R. Schroeder, B. S. Atal and J. L.
Hall, "Optimizing digital speech coders by exploiting masking properties of the human ear", J. Acoust. Soc.
Am. 66, 1979; masker against signal after P. Aichinger, A. Sontacchi and B. Schneider-Stickler, "Describing
the transparency of mixdowns: the masked-to-unmasked ratio", 130th AES Convention, 2011.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from mixagent.pipeline.decibels import powers_to_db
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.types import Float64Array

_FLOOR = 1e-12


def bark(hz: Float64Array) -> Float64Array:
    """Critical-band rate in Bark (H. Traunmüller, J. Acoust. Soc. Am. 88, 1990)."""
    return np.asarray(26.81 * hz / (1960.0 + hz) - 0.53)


def masked_db(powers: Float64Array) -> Float64Array:
    """The level of the others' excitation over each stem's own, in dB; over 0 the stem is masked there.

    Args:
        powers: of each stem by third octave, (…, stems, 30).

    Returns:
        The same shape.
    """
    excited = powers @ _spreading()
    others = excited.sum(axis=-2, keepdims=True) - excited
    return np.asarray(powers_to_db((others + _FLOOR) / (excited + _FLOOR)))


@cache
def _spreading() -> Float64Array:
    """Share of a band's power that excites each other, (from, to)."""
    places = bark(np.array(THIRD_OCTAVES_HZ))
    away = places[None, :] - places[:, None] + 0.474
    level_db = 15.81 + 7.5 * away - 17.5 * np.sqrt(1.0 + away**2)
    return np.asarray(10 ** (level_db / 10))
