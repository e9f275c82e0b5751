"""The features that the mixing agent is shown of each stem: none depends on the song's level.

They come from the analyses that a song has anyway, so that they cost no pass over the audio, and can be
worked out again for stems that are raised or filtered, which is how training draws examples.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.dsp.third_octaves import MUSIC, THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.masking import masked_db
from mixagent.pipeline.measure.meters import k_power
from mixagent.pipeline.measure.stem_measures import ROLES, SCALARS, SILENT_DB, THIRDS
from mixagent.pipeline.types import Float64Array, FloatArray

_MUSIC_BANDS = MUSIC.stop - MUSIC.start
_GROUP = 4
GROUPS = _MUSIC_BANDS // _GROUP
"""Wide bands of four third octaves each."""

_PLAIN = (
    "loudness_range_lu",
    "plr_db",
    "crest_db",
    "correlation",
    "transient_density_hz",
    "transient_sharpness_db",
)
_RATE_HZ = 44100

FEATURES = (
    *("level_db", "activity_db", "momentary_db", "balance_db"),
    *(f"share_{hz:.0f}_db" for hz in THIRD_OCTAVES_HZ[MUSIC]),
    *(f"own_{hz:.0f}_db" for hz in THIRD_OCTAVES_HZ[MUSIC]),
    *(f"mix_{hz:.0f}_db" for hz in THIRD_OCTAVES_HZ[MUSIC]),
    *(f"width_{k}_db" for k in range(GROUPS)),
    *(f"mix_width_{k}_db" for k in range(GROUPS)),
    *(f"masked_{k}_db" for k in range(GROUPS)),
    *_PLAIN,
    *(f"mix_{name}" for name in _PLAIN),
)
"""Names of the features of one stem, in order."""


def features(measures: FloatArray) -> FloatArray:
    """The features of each stem, (…, roles, len(FEATURES)) of `measures_of`, (…, 1 + roles, ROW)."""
    powers = db_to_power(measures[..., : 2 * THIRDS].astype(np.float64))
    mid, side = powers[..., :THIRDS], powers[..., THIRDS:]
    both, scalars = mid + side, measures[..., 2 * THIRDS :].astype(np.float64)
    level = k_level_db(both)
    bands = powers_to_db(both[..., MUSIC] + 1e-13)
    shape = np.clip(bands - level[..., None], -60.0, 20.0)
    width = np.clip(
        powers_to_db(wide_bands(side) + 1e-13) - powers_to_db(wide_bands(mid) + 1e-13), -30.0, 12.0
    )
    masked = np.clip(_mean(masked_db(both[..., 1:, :])[..., MUSIC]), -30.0, 40.0)
    stems, mix = slice(1, None), slice(0, 1)

    def scalar(name: str) -> Float64Array:
        return np.asarray(scalars[..., SCALARS.index(name)])

    plain = np.stack([np.clip(scalar(name), -40.0, 40.0) for name in _PLAIN], axis=-1)
    own = np.stack(
        [
            np.clip(level[..., stems] - level[..., mix], -50.0, 10.0),
            np.clip(scalar("integrated_lufs") - level, -20.0, 30.0)[..., stems],
            np.clip(scalar("momentary_max_lufs") - level, -20.0, 40.0)[..., stems],
            np.clip(scalar("balance_db"), -20.0, 20.0)[..., stems],
        ],
        axis=-1,
    )
    count = len(ROLES)
    parts = (
        own,
        np.clip(bands[..., stems, :] - bands[..., mix, :], -50.0, 6.0),
        shape[..., stems, :],
        np.repeat(shape[..., mix, :], count, axis=-2),
        width[..., stems, :],
        np.repeat(width[..., mix, :], count, axis=-2),
        masked,
        plain[..., stems, :],
        np.repeat(plain[..., mix, :], count, axis=-2),
    )
    return np.concatenate(parts, axis=-1).astype(np.float32)


def present(measures: FloatArray) -> FloatArray:
    """1 for each role that sounds and 0 for those that do not, (…, roles)."""
    return (measures[..., 1:, 2 * THIRDS] > SILENT_DB).astype(np.float32)


def k_level_db(powers: Float64Array) -> Float64Array:
    """K-weighted level in dB of powers by third octave, (…,): BS.1770 without its gate."""
    return np.asarray(powers_to_db(powers @ k_weights() + 1e-13))


@cache
def k_weights() -> Float64Array:
    """K-weighting of each third octave, in power."""
    return k_power(np.array(THIRD_OCTAVES_HZ), _RATE_HZ)


def wide_bands(powers: Float64Array) -> Float64Array:
    """Powers by third octave, (…, THIRDS), summed to wide bands, (…, GROUPS)."""
    inside = powers[..., MUSIC]
    return np.asarray(inside.reshape(*inside.shape[:-1], GROUPS, _GROUP).sum(axis=-1))


def _mean(bands: Float64Array) -> Float64Array:
    return np.asarray(bands.reshape(*bands.shape[:-1], GROUPS, _GROUP).mean(axis=-1))
