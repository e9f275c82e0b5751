"""Guards of dynamics: transients lost, gaps torn, sustained bands pumped by the bass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixagent.pipeline.measure.artefacts import dips_db, undulation
from mixagent.pipeline.measure.features import percentiles
from mixagent.pipeline.types import FloatArray
from mixagent.reward.render_pair import RenderPair, Spectra, decibels
from mixagent.reward.terms.base import Guard

_REGIONS_HZ = ((40.0, 220.0), (220.0, 1250.0), (1250.0, 5000.0), (5000.0, 16000.0))
_RISE_FRAMES = 2
_ONSET_SHARE = 0.05
_ONSET_DB = 3.0


@dataclass(frozen=True)
class LostTransients(Guard):
    """Decibels by which the onsets rise less than the input's, in four bands.

    Onsets are the steepest twentieth of the rises of log power over 23 ms (the spectral flux of
    Bello et al. 2005, taken by band). Their own distributions are compared, not frame by frame, so
    that noise in the measure costs nothing.
    """

    free: float = 0.8
    full: float = 4.0
    name: ClassVar[str] = "lost_transients"

    def harm(self, pair: RenderPair) -> float:
        """Mean loss of rise over the bands in which the input has onsets."""
        before, after = (_onset_rises_db(side.spectra) for side in (pair.base, pair.after))
        audible = before > _ONSET_DB
        return max(float((before - after)[audible].mean()), 0.0) if audible.any() else 0.0


@dataclass(frozen=True)
class LostDynamics(Guard):
    """Decibels by which the levels of four bands lie closer together than the input's."""

    free: float = 0.5
    full: float = 4.0
    name: ClassVar[str] = "lost_dynamics"

    def harm(self, pair: RenderPair) -> float:
        """Mean fall, over the bands, of the spread from the 20th to the 95th percentile over time."""
        before, after = (_level_spreads_db(side.spectra) for side in (pair.base, pair.after))
        return max(float((before - after).mean()), 0.0)


@dataclass(frozen=True)
class OverCompression(Guard):
    """Decibels by which the gain rides against the level: a gain reduction for what is loud.

    The gain of four regions and of the whole is regressed on the level of the input, frame by frame;
    the slope times the level's standard deviation is what the loud lost against the quiet. An
    expander's gain goes with the level, an equaliser's hardly knows it.
    """

    free: float = 0.25
    full: float = 1.25
    name: ClassVar[str] = "over_compression"

    audible_db: ClassVar[float] = -55.0
    range_db: ClassVar[float] = 30.0

    def harm(self, pair: RenderPair) -> float:
        """Mean over the regions and the whole of what one standard deviation of the level costs."""
        before, after = (_with_whole(side.spectra) for side in (pair.base, pair.after))
        return max(float(np.mean([self._lost_db(b, a) for b, a in zip(before, after, strict=True)])), 0.0)

    def _lost_db(self, before_db: FloatArray, after_db: FloatArray) -> float:
        audible = before_db > max(float(percentiles(before_db, (95,))[0]) - self.range_db, self.audible_db)
        if not audible.any():
            return 0.0
        level_db, gain_db = before_db[audible], (after_db - before_db)[audible]
        centred = level_db - level_db.mean()
        # The constant keeps a level that never moves from dividing by nothing.
        return -float(np.mean(centred * gain_db)) / (float(centred.std()) + 0.3)


@dataclass(frozen=True)
class Dropouts(Guard):
    """Share of the time in which something audible was torn out: dropouts, gating."""

    free: float = 0.004
    full: float = 0.06
    name: ClassVar[str] = "dropouts"

    starts_db: ClassVar[float] = 9.0
    gone_db: ClassVar[float] = 24.0
    audible_db: ClassVar[float] = -40.0

    def harm(self, pair: RenderPair) -> float:
        """Frames weighted by how far they fell: nothing up to 9 dB, in full from 24 dB."""
        before, after = pair.base.spectra.level_db, pair.after.spectra.level_db
        gain_db = after - before
        loud = before >= percentiles(before, (70,))[0]
        fallen_db = float(np.median(gain_db[loud])) - gain_db
        share = np.clip((fallen_db - self.starts_db) / (self.gone_db - self.starts_db), 0.0, 1.0)
        audible = before > self.audible_db
        return float(share[audible].mean()) if audible.any() else 0.0


@dataclass(frozen=True)
class Pumping(Guard):
    """Decibels by which the bass moves the gain of the bands above it.

    The gain of each band above 500 Hz is regressed on the input's bass level; the slope times the
    bass's own excursions is what is heard as breathing. Only a gain that falls when the bass rises
    counts.
    """

    free: float = 1.0
    full: float = 4.0
    name: ClassVar[str] = "pumping"

    def harm(self, pair: RenderPair) -> float:
        """Mean over the bands of the dip that one typical excursion of the bass brings."""
        spectra = pair.base.spectra
        bass_db = decibels(spectra.power[spectra.bands(40.0, 220.0)].sum(axis=0), -30.0)
        audible = spectra.bands_db > -50.0
        above = spectra.bands(500.0, 16000.0)
        gain_db = np.where(audible, pair.gain_db, 0.0)[above]
        moved, bass = (undulation(side, spectra.frame_s) for side in (gain_db, bass_db))
        return max(float(dips_db(moved, bass).mean()), 0.0)


def _region_levels_db(spectra: Spectra) -> FloatArray:
    """Level of each of four regions in each frame, shape (4, frames)."""
    sums = [spectra.power[spectra.bands(low, high)].sum(axis=0) for low, high in _REGIONS_HZ]
    return decibels(np.stack(sums), -60.0)


def _with_whole(spectra: Spectra) -> FloatArray:
    """`_region_levels_db` and the level of all bands together, shape (5, frames)."""
    return np.vstack([_region_levels_db(spectra), spectra.level_db])


def _onset_rises_db(spectra: Spectra) -> FloatArray:
    level_db = _region_levels_db(spectra)
    rises = level_db[:, _RISE_FRAMES:] - level_db[:, :-_RISE_FRAMES]
    count = max(int(rises.shape[1] * _ONSET_SHARE), 1)
    if rises.shape[1] <= count:
        return np.zeros(len(_REGIONS_HZ), np.float32)
    steepest: FloatArray = np.partition(rises, -count, axis=1)[:, -count:].mean(axis=1)
    return steepest


def _level_spreads_db(spectra: Spectra) -> FloatArray:
    low_db, high_db = percentiles(_region_levels_db(spectra), (20, 95))
    spreads: FloatArray = high_db - low_db
    return spreads
