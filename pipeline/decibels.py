"""Power in decibels, fast for float32."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_DB_PER_NEPER = np.float32(10.0 / math.log(10.0))


def power_db(power: NDArray[np.floating] | float, floor: float) -> NDArray[np.float32]:
    """10·log10(power + floor) as float32, of the same shape; `floor` is a power too."""
    # NumPy vectorises the natural logarithm of float32 and not the decimal one.
    logarithm = np.log(np.asarray(power, np.float32) + np.float32(floor))
    return np.asarray(logarithm * _DB_PER_NEPER)
