"""Amplitudes and powers in decibels, and back."""

from __future__ import annotations

import math
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

_DB_PER_NEPER = np.float32(10.0 / math.log(10.0))

Real = TypeVar("Real", bound=np.floating[Any])


@overload
def db_to_amplitude(db: float | np.floating[Any]) -> float: ...
@overload
def db_to_amplitude(db: NDArray[Real]) -> NDArray[Real]: ...
def db_to_amplitude(db: Any) -> Any:
    """The factor 10^(db/20) by which a level in dB multiplies an amplitude: 1.0 at 0 dB.

    An array keeps its shape and type.
    """
    return 10 ** (db / 20)


@overload
def db_to_power(db: float | np.floating[Any]) -> float: ...
@overload
def db_to_power(db: NDArray[Real]) -> NDArray[Real]: ...
def db_to_power(db: Any) -> Any:
    """The factor 10^(db/10) by which a level in dB multiplies a power: 1.0 at 0 dB.

    An array keeps its shape and type.
    """
    return 10 ** (db / 10)


def amplitude_to_db(amplitude: float) -> float:
    """20·log10 of one amplitude.

    Raises:
        ValueError: the amplitude is not above 0.
    """
    return 20 * math.log10(amplitude)


def power_to_db(power: float) -> float:
    """10·log10 of one power.

    Raises:
        ValueError: the power is not above 0.
    """
    return 10 * math.log10(power)


# The last bit of NumPy's logarithm may differ from that of the C library's, so each has a name.
@overload
def amplitudes_to_db(amplitudes: float | np.floating[Any]) -> float: ...
@overload
def amplitudes_to_db(amplitudes: NDArray[Real]) -> NDArray[Real]: ...
def amplitudes_to_db(amplitudes: Any) -> Any:
    """20·log10 of each amplitude, by NumPy: an array keeps its shape and type, and 0 is −inf."""
    return 20 * np.log10(amplitudes)


@overload
def powers_to_db(powers: float | np.floating[Any]) -> float: ...
@overload
def powers_to_db(powers: NDArray[Real]) -> NDArray[Real]: ...
def powers_to_db(powers: Any) -> Any:
    """10·log10 of each power, by NumPy: an array keeps its shape and type, and 0 is −inf."""
    return 10 * np.log10(powers)


def floored_powers_to_db(powers: NDArray[np.floating] | float, floor: float) -> NDArray[np.float32]:
    """10·log10(powers + floor) as float32, of the same shape; `floor` is a power too."""
    # NumPy vectorises the natural logarithm of float32 and not the decimal one.
    logarithm = np.log(np.asarray(powers, np.float32) + np.float32(floor))
    return np.asarray(logarithm * _DB_PER_NEPER)
