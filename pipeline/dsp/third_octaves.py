"""Third octaves: the one list of bands in which songs are measured, judged and corrected."""

from __future__ import annotations

import numpy as np

THIRD_OCTAVES_HZ: tuple[float, ...] = (
    *(25.0, 31.5, 40.0, 50.0, 63.0, 80.0, 100.0, 125.0, 160.0, 200.0),
    *(250.0, 315.0, 400.0, 500.0, 630.0, 800.0, 1000.0, 1250.0, 1600.0, 2000.0),
    *(2500.0, 3150.0, 4000.0, 5000.0, 6300.0, 8000.0, 10000.0, 12500.0, 16000.0, 20000.0),
)
"""Nominal centres of IEC 61260-1; a name that holds one has it without its fraction, as `tone_31`."""

EDGES_HZ = 1000.0 * 10 ** ((np.arange(len(THIRD_OCTAVES_HZ) + 1) - 16.5) / 10)
"""Their edges, the exact ones: 1000·10^((n ± 1/2)/10) Hz."""

MUSIC = slice(1, 29)
"""Those in which a song is judged and corrected, 31.5 Hz to 16 kHz."""
