"""The conductor's ears and hands: the loudest parts of a song, rendered and measured under settings.

A render is made once for each settings, and only the last few are kept with their audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixagent.conductor.judges import Judge
from mixagent.conductor.state import Grade
from mixagent.envs.cases import Case
from mixagent.envs.mixing import Material
from mixagent.pipeline.chain.parameters import ParameterSpace, Settings
from mixagent.pipeline.decibels import db_to_power, power_to_db
from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.finished.band import JUDGED, Judgement, judge
from mixagent.pipeline.finished.measures import GROUPS, SongMeasures, measure_song
from mixagent.pipeline.finished.stems import finished_stem_band, measure_stems, stems_sounding
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.measure.masking import masked_db
from mixagent.pipeline.measure.stem_measures import ROLES, THIRDS, measures_of
from mixagent.pipeline.render import ChainError
from mixagent.pipeline.types import Audio, Float64Array, FloatArray
from mixagent.policies.trial import blind_part
from mixagent.reward.model import RewardModel
from mixagent.reward.quality import levelled
from mixagent.reward.render_pair import AnalysedStems, RenderPair

LOWS_HZ = 150.0
VOICE_HZ = (1000.0, 5000.0)
INNER = 1.0
"""Spreads within which nothing is outside of finished music."""

MOST_OUT = 4.0
_KEPT = 2


@dataclass(frozen=True, eq=False)
class Heard:
    """A render of the parts with what agents ask of it.

    Attributes:
        grade: its figures.
        judgement: the whole song held against finished music, by what the render changed of the parts; None
            for a song that was not measured.
        stems: `measures_of` mix and roles, mean over the parts, (1 + roles, ROW); None without stems.
        pairs: the renders beside their inputs.
        values: the settings that were rendered, without what is neutral.
        opinions: what other policies would set, by their names.
    """

    grade: Grade
    judgement: Judgement | None
    stems: FloatArray | None
    pairs: tuple[RenderPair, ...]
    values: Mapping[str, float]
    opinions: Mapping[str, Mapping[str, float]]


class Studio:
    """A song's loudest parts behind the chain.

    Args:
        cases: the parts, one or more.
        space: of the settings.
        reward: what grades; terms that need the original are not asked.
        song: measures of the whole song; None where it was not measured.
        judges: of the voice.
        opinions: what other policies would set, by their names, without what is neutral.
        rendered: called after every render; may raise to cancel.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        space: ParameterSpace,
        reward: RewardModel,
        song: SongMeasures | None,
        judges: Sequence[Judge] = (),
        opinions: Mapping[str, Mapping[str, float]] | None = None,
        rendered: Callable[[], None] | None = None,
    ) -> None:
        self.space, self.song, self.cases = space, song, tuple(cases)
        self._materials = tuple(Material(case, space) for case in cases)
        self._reward, self._judges, self._rendered = blind_part(reward), tuple(judges), rendered
        self._others = dict(opinions or {})
        self._heard: dict[tuple[tuple[str, float], ...], Heard] = {}

    def settings(self, values: Mapping[str, float]) -> Settings:
        """Settings of values by name, clipped to their ranges."""
        return self.space.settings(values)

    def hear(self, values: Mapping[str, float]) -> Heard:
        """Render the parts under these settings and measure them; one of the last few is found again."""
        settings = self.settings(values)
        key = tuple(settings.changed().items())
        if key not in self._heard:
            made = self._rendered_parts(settings)
            while len(self._heard) >= _KEPT:
                self._heard.pop(next(iter(self._heard)))
            self._heard[key] = made
            if self._rendered:
                self._rendered()
        # The least recently asked for goes first: what stands is asked for between all that is tried.
        self._heard[key] = self._heard.pop(key)
        return self._heard[key]

    @cached_property
    def has_stems(self) -> bool:
        """True where the song was taken apart into stems of the four roles."""
        return all(case.stems.parts and set(case.stems.parts) <= set(ROLES) for case in self.cases)

    def _rendered_parts(self, settings: Settings) -> Heard:
        try:
            pairs = tuple(each.render_pair(settings, stems=self.has_stems) for each in self._materials)
        except ChainError:
            return Heard(Grade(-math.inf, {}), None, None, (), settings.changed(), self._others)
        blind = float(np.mean([score.blind for score in self._reward.score_batch(pairs)]))
        judgement = self._judged(pairs)
        rows = self._rows(pairs) if self.has_stems else None
        mid_side = np.mean([_mid_side(pair.after.analysis) for pair in pairs], axis=0)
        grade = Grade(
            blind=blind,
            outside={} if judgement is None else outside(judgement),
            stems={} if rows is None else _stems_outside(rows),
            masked_db=None if rows is None else voice_masked_db(rows),
            lows_db=_lows_db(mid_side),
            mono_loss_db=_mono_loss_db(pairs),
            voice=self._graded(pairs),
        )
        return Heard(grade, judgement, rows, pairs, settings.changed(), self._others)

    @cached_property
    def _before(self) -> SongMeasures:
        return _joined_measures([material.before.audio for material in self._materials])

    def _judged(self, pairs: Sequence[RenderPair]) -> Judgement | None:
        if self.song is None:
            return None
        after = _joined_measures([pair.after.audio for pair in pairs])
        change = np.nan_to_num(after.values - self._before.values)
        moved = SongMeasures(
            self.song.values + change,
            self.song.kind,
            self.song.duration_s,
            self.song.quiet_db,
            self.song.moves_db,
        )
        return judge(moved, like=judge(self.song))

    def _rows(self, pairs: Sequence[RenderPair]) -> FloatArray:
        rows = []
        for pair in pairs:
            assert pair.stems_after is not None
            rows.append(measures_of(pair.after.analysis, pair.stems_after.analyses))
        return np.asarray(np.mean(rows, axis=0), np.float32)

    def _graded(self, pairs: Sequence[RenderPair]) -> dict[str, float]:
        voices = [voice for pair in pairs if (voice := _voice(pair.stems_after)) is not None]
        if not self._judges:
            return {}
        scores: dict[str, list[float]] = {}
        for voice in voices:
            mono = levelled(voice)
            if mono is not None:
                for judge in self._judges:
                    for name, score in judge.grade(mono, voice.rate).items():
                        scores.setdefault(name, []).append(score)
        return {name: float(np.mean(found)) for name, found in scores.items()}


def outside(judgement: Judgement) -> dict[str, float]:
    """By group, the root mean square of what lies beyond `INNER`, in spreads; {} for a sound alone."""
    if judgement.alone:
        return {}
    told = {}
    for group in GROUPS:
        found = judgement.deviations[JUDGED[group]]
        found = np.clip(np.abs(found[np.isfinite(found)]) - INNER, 0.0, MOST_OUT)
        told[str(group)] = float(np.sqrt(np.mean(found**2))) if found.size else 0.0
    return told


def voice_masked_db(rows: FloatArray) -> float | None:
    """How far the others' excitation lies over the voice's at 1 to 5 kHz, in dB; None without a voice."""
    if not stems_sounding(measure_stems(rows))[ROLES.index("vocals")]:
        return None
    powers = db_to_power(rows[1:, : 2 * THIRDS].astype(np.float64))
    over = masked_db(powers[:, :THIRDS] + powers[:, THIRDS:])[ROLES.index("vocals")]
    hz = np.array(THIRD_OCTAVES_HZ)
    return float(over[(hz >= VOICE_HZ[0]) & (hz <= VOICE_HZ[1])].mean())


def _joined_measures(parts: Sequence[Audio]) -> SongMeasures:
    joined = Audio(np.concatenate([part.samples for part in parts], axis=1), parts[0].rate)
    analysis = analyse(joined)
    return measure_song(analysis, fingerprint(joined, analysis.integrated_lufs))


def _stems_outside(rows: FloatArray) -> dict[str, float]:
    measured = measure_stems(rows)
    there = stems_sounding(measured)
    away = finished_stem_band().outside(measured, there)
    return {role: float(far) for role, far, is_there in zip(ROLES, away, there, strict=True) if is_there}


def _mid_side(analysis: Analysis) -> Float64Array:
    return np.stack(
        [
            db_to_power(np.array(levels, np.float64))
            for levels in (analysis.third_octave_mid_db, analysis.third_octave_side_db)
        ]
    )


def _lows_db(powers: Float64Array) -> float:
    both, low = powers.sum(axis=0), np.array(THIRD_OCTAVES_HZ) < LOWS_HZ
    return power_to_db(float(both[low].sum() / max(float(both[~low].sum()), 1e-20)))


def _mono_loss_db(pairs: Sequence[RenderPair]) -> float:
    """Side against mid of the lows in dB over 0: there mono folds take away more than they leave."""
    low = np.array(THIRD_OCTAVES_HZ) < LOWS_HZ
    mid, side = np.mean([_mid_side(pair.after.analysis)[:, low].sum(axis=1) for pair in pairs], axis=0)
    return max(power_to_db(float(side / max(float(mid), 1e-20))), 0.0)


def _voice(stems: AnalysedStems | None) -> Audio | None:
    return stems.voice if stems is not None and stems.sings else None
