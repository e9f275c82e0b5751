"""How the stems of finished music stand to each other: a band with two edges for each measure of each stem.

A stem's level depends much on what it is: brushes lie lower than a rock kit. So what finished music has is
foretold from what no fader changes of the song's stems (tone, width and dynamics of all of them, of a stem's
own those of the other groups), by ridge regression, and the band lies about that. Made by
`scripts/fit_stem_band.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np

from mixagent.pipeline.decibels import db_to_power, powers_to_db
from mixagent.pipeline.measure.stem_features import GROUPS as BANDS
from mixagent.pipeline.measure.stem_features import k_level_db, wide_bands
from mixagent.pipeline.measure.stem_measures import ROLES, SCALARS, THERE_DB, THIRDS
from mixagent.pipeline.types import Float64Array, FloatArray

DYNAMICS = ("crest_db", "plr_db", "transient_sharpness_db")
STEM_MEASURES = (
    "level_db",
    *(f"tone_{k}_db" for k in range(BANDS)),
    *(f"width_{k}_db" for k in range(BANDS)),
    *DYNAMICS,
)
"""The measures of one stem: K-weighted level against the sum of the stems, wide bands against its own level,
side against mid by wide band, and its peaks."""

STEM_GROUPS: Mapping[str, slice] = MappingProxyType(
    {
        "level": slice(0, 1),
        "tone": slice(1, 1 + BANDS),
        "width": slice(1 + BANDS, 1 + 2 * BANDS),
        "dynamics": slice(1 + 2 * BANDS, len(STEM_MEASURES)),
    }
)

SCHEMA = "mixagent.stem_band/1"
MOST_OUT = 4.0
_LIMIT = 3.0
_FLOOR = 1e-13


def measure_stems(rows: FloatArray) -> Float64Array:
    """The measures of each stem, (…, roles, measures), finite, of `measures_of`, (…, 1 + roles, ROW)."""
    stems = rows[..., 1:, :].astype(np.float64)
    mid, side = db_to_power(stems[..., :THIRDS]), db_to_power(stems[..., THIRDS : 2 * THIRDS])
    level_db = k_level_db(mid + side)
    total_db = powers_to_db(db_to_power(level_db).sum(axis=-1, keepdims=True) + _FLOOR)
    tone_db = np.clip(powers_to_db(wide_bands(mid + side) + _FLOOR) - level_db[..., None], -50.0, 20.0)
    width_db = np.clip(powers_to_db((wide_bands(side) + _FLOOR) / (wide_bands(mid) + _FLOOR)), -30.0, 12.0)
    dynamics = [stems[..., 2 * THIRDS + SCALARS.index(name)] for name in DYNAMICS]
    against_db = np.clip(level_db - total_db, -60.0, 0.0)
    parts = (against_db[..., None], tone_db, width_db, np.clip(np.stack(dynamics, axis=-1), 0.0, 40.0))
    return np.concatenate(parts, axis=-1)


def stems_sounding(measured: Float64Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The stems that sound, (…, roles)."""
    return np.asarray(measured[..., 0] > THERE_DB)


@dataclass(frozen=True)
class StemBand:
    """What finished music measures stem by stem.

    Attributes:
        songs: how many it was fitted on.
        mean, spread: of each measure, (roles, measures).
        weights: from `characters` to how far a measure is expected from its mean, (roles, measures, inputs).
        left: the spread about what is expected, (roles, measures).
        inner, outer: the edges of each group's root mean square of deviations, (roles, groups).
    """

    songs: int
    mean: Float64Array
    spread: Float64Array
    weights: Float64Array
    left: Float64Array
    inner: Float64Array
    outer: Float64Array

    def characters(self, measured: Float64Array, there: np.ndarray[Any, Any]) -> Float64Array:
        """What no fader changes of the stems that are there, and which are, (…, inputs)."""
        standard = np.clip((measured - self.mean) / self.spread, -_LIMIT, _LIMIT) * there[..., None]
        own = standard[..., 1:]
        return np.concatenate([own.reshape(*own.shape[:-2], -1), there.astype(np.float64)], axis=-1)

    def expected(self, measured: Float64Array, there: np.ndarray[Any, Any]) -> Float64Array:
        """The measures that finished music of these stems has, (…, roles, measures)."""
        foretold = np.einsum("rmi,...i->...rm", self.weights, self.characters(measured, there))
        return np.asarray(self.mean + foretold)

    def deviations(self, measured: Float64Array, there: np.ndarray[Any, Any]) -> Float64Array:
        """Root mean square of each group's deviations in spreads, (…, roles, groups)."""
        away = (measured - self.expected(measured, there)) / self.left
        groups = [np.sqrt(np.square(away[..., part]).mean(axis=-1)) for part in STEM_GROUPS.values()]
        return np.stack(groups, axis=-1)

    def outside(self, measured: Float64Array, there: np.ndarray[Any, Any] | None = None) -> Float64Array:
        """How far each stem lies outside, (…, roles): 0 inside the inner edges, about 1 at the outer ones.

        Args:
            measured: by `measure_stems`.
            there: which stems are judged; those that sound by default. The others lie at 0.
        """
        judged = stems_sounding(measured) if there is None else there
        over = (self.deviations(measured, judged) - self.inner) / (self.outer - self.inner)
        return np.asarray(np.clip(over, 0.0, MOST_OUT).mean(axis=-1) * judged)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it: numbers alone."""
        arrays = {key: value for key, value in asdict(self).items() if key != "songs"}
        rounded = {key: np.round(value, 4).tolist() for key, value in arrays.items()}
        named = {"schema": SCHEMA, "roles": list(ROLES), "measures": list(STEM_MEASURES)}
        return {**named, "songs": self.songs, **rounded}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StemBand:
        """Read the result of `to_json`.

        Raises:
            KeyError, ValueError: anything else.
        """
        if data["schema"] != SCHEMA or data["measures"] != list(STEM_MEASURES):
            raise ValueError(f"not schema {SCHEMA}")
        arrays = {f.name: np.array(data[f.name], np.float64) for f in fields(cls) if f.name != "songs"}
        return cls(int(data["songs"]), **arrays)


@cache
def finished_stem_band() -> StemBand:
    """The statistics that ship."""
    file = resources.files("mixagent.checkpoints").joinpath("finished_stems/statistics.json")
    return StemBand.from_json(json.loads(file.read_text(encoding="utf-8")))
