"""Cases: segments of finished songs, damaged on purpose, with all that a policy is shown of them.

A case is measured once and kept in a file, so that a step of the environment costs a render and a
score. Samples are kept in 16 bits under a scale of their own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mixagent.envs.context import Context
from mixagent.envs.disorders import Disorder, by_role, disorder, stem_levels_db
from mixagent.envs.pathologies import KINDS, MECHANISMS, Kind, damage
from mixagent.envs.random_degradation import degrade_randomly
from mixagent.envs.repaired import repaired_mix
from mixagent.pipeline.chain.mixing import Levels, measure_levels
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import Diagnosis, diagnose
from mixagent.pipeline.dsp.programme import BandLevel, Programme
from mixagent.pipeline.errors import InputError, OutputError
from mixagent.pipeline.files import atomically, read_lines, scratch_folder
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.measures import SongMeasures, measure_song
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.measure.features import describe
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.measure.song_bands import read_song
from mixagent.pipeline.restoration.spectral_holes import SpectralHole, SpectralHoles, measure_spectral_holes
from mixagent.pipeline.separation.base import NoSeparator, Separator
from mixagent.pipeline.types import Audio, AudioSource, Progress, Stems, load
from mixagent.reward.recovery import Distance, Original

Curriculum = Literal["none", "single", "pair", "all"]
"""The number of pathologies in a case, as a stage of the curriculum."""

STAGES: tuple[Curriculum, ...] = get_args(Curriculum)

ROUGH = "rough"
"""In a case's kinds: damage of no particular kind."""

LEAST_SEVERITY = 0.2

# A later one must not undo an earlier one: see `damage_all`.
_ORDER: tuple[Kind, ...] = ("mud", "panning", "flatness", "holes", "shimmer")
_DRAWN: Mapping[Curriculum, int] = {"none": 0, "single": 1, "pair": 2, "all": len(KINDS)}
_FULL_SCALE = 32767


@dataclass(frozen=True)
class Damage:
    """The damage that was done to an original.

    Attributes:
        severities: 0..1 of each pathology that was put in.
        mechanisms: by which mechanism of `MECHANISMS` each was.
        disorder: of the stems, before that.
        seed: what the mechanisms drew their frequencies and sides from.
        rough: after that, damage of no particular kind was done, see `envs.random_degradation`.
    """

    severities: Mapping[Kind, float]
    mechanisms: Mapping[Kind, str]
    disorder: Disorder | None
    seed: int
    rough: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of damage: pathologies, kinds of the disorder, `ROUGH`; empty for an untouched case."""
        disordered = self.disorder.kinds if self.disorder else ()
        return (*self.severities, *disordered, *((ROUGH,) if self.rough else ()))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Damage:
        """Read the fields as JSON has them; an older version knew a balance and no other disorder."""
        done = {**data, "disorder": None}
        raised_db = done.pop("balance_db", None)
        if raised_db:
            done["disorder"] = Disorder.balance(raised_db)
        elif data.get("disorder"):
            done["disorder"] = Disorder.from_json(data["disorder"])
        return cls(**done)


@dataclass(frozen=True)
class TrueLevels:
    """`stem_levels_db` of the true stems, over all that the case's song analysis covers.

    Attributes:
        original_db: of the finished music.
        disordered_db: of what the agent hears, before other damage; the same where there is no disorder.
    """

    original_db: Mapping[str, float]
    disordered_db: Mapping[str, float]


@dataclass(frozen=True)
class SongAnalysis:
    """The analysis of the damaged part of a song, as the product analyses whole songs.

    Attributes:
        analysis, diagnosis: of the damaged mix.
        measures: what it is held against finished music by; None for silence.
        bands: `read_song` of it.
        stems: what each stem of it measures.
        features: `describe` of the mix (`mix`) and of each stem by name.
    """

    analysis: Analysis
    diagnosis: Diagnosis
    measures: SongMeasures | None
    bands: NDArray[np.float32]
    stems: Mapping[str, Analysis]
    features: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """A damaged segment and what was measured of it.

    Attributes:
        name: `<song>@<start in s>#<seed>`.
        original: the truth, where it is known.
        stems: the parts of the damaged segment; `stems.mix` is the segment itself.
        levels: `measure_levels(stems)`.
        holes: `measure_spectral_holes` of the mix.
        analysis: of the mix.
        stem_analyses: of each stem by name.
        diagnosis: of the mix.
        target: what the finaliser aims at.
        features: `describe` of the mix (`mix`) and of each stem by name.
        damage: what was done to the original, where it is known.
        distance: to the original, where it is known, of the mix as it was damaged, before repairs.
        song: the analysis of the song around the segment; None where the segment is all there is.
        true_levels: how loud the stems are in the original and in disorder, where that is known.
    """

    name: str
    original: Audio | None
    stems: Stems
    levels: Levels
    holes: SpectralHoles
    analysis: Analysis
    stem_analyses: Mapping[str, Analysis]
    diagnosis: Diagnosis
    target: LoudnessTarget
    features: Mapping[str, NDArray[np.float32]]
    damage: Damage | None
    distance: Distance | None
    song: SongAnalysis | None = None
    true_levels: TrueLevels | None = None

    def context(self, space: ParameterSpace) -> Context:
        """The context that a policy is shown of this case."""
        analysed, mix = self.song, self.stems.mix
        if analysed is None:
            return Context(
                *(self.analysis, self.stem_analyses, self.diagnosis, self.target, space, self.features),
                measures=_measures(mix, self.analysis),
                bands=lambda: read_song(mix),
            )
        return Context(
            *(analysed.analysis, analysed.stems, analysed.diagnosis, self.target, space, analysed.features),
            measures=analysed.measures,
            bands=lambda: analysed.bands,
        )


def _measures(mix: AudioSource, analysis: Analysis) -> SongMeasures | None:
    if not math.isfinite(analysis.integrated_lufs):
        return None
    return measure_song(analysis, fingerprint(mix, analysis.integrated_lufs))


def draw_damage(random: np.random.Generator, stage: Curriculum, validation: bool = False) -> Damage:
    """Pathologies of this stage with severities uniform in 0.2..1, each by a mechanism drawn.

    Args:
        random: what is drawn from.
        stage: `none`, `single`, `pair` or `all`.
        validation: take the mechanisms that are kept for validation, and no others.
    """
    count = _DRAWN[stage]
    chosen = {KINDS[int(k)] for k in random.permutation(len(KINDS))[:count]}
    kinds = [kind for kind in _ORDER if kind in chosen]
    allowed = {k: [m.name for m in MECHANISMS[k] if m.validation_only == validation] for k in kinds}
    return Damage(
        severities={kind: float(random.uniform(LEAST_SEVERITY, 1.0)) for kind in kinds},
        mechanisms={kind: str(random.choice(names)) for kind, names in allowed.items()},
        disorder=None,
        seed=int(random.integers(2**31)),
    )


def make_case(
    name: str,
    original: Audio,
    done: Damage,
    separator: Separator | None,
    target: LoudnessTarget,
    segment: slice | None = None,
    repairs: bool = False,
    true_stems: Stems | None = None,
) -> Case:
    """Damage an original and measure what came of it, as the product would.

    Args:
        name: the case's name.
        original: the finished music, mono or stereo, 0.4 s or longer.
        done: what to do to it. The disorder of stems that are not there is left out.
        separator: takes the damaged mix apart; None for a case without stems.
        target: what the finaliser will aim at.
        segment: frames of the case within the original; the whole is then damaged and analysed, as the
            product analyses whole songs, and only the segment is rendered and judged. None for all of it.
        repairs: whether the damaged mix is repaired before anything is measured of it, as the product does;
            the case's distance stays that of the mix as it was damaged.
        true_stems: of the original; None for those that the separator finds, where there is a disorder.
    """
    apart: Separator = separator or NoSeparator()
    if done.disorder and true_stems is None:
        true_stems = separate(original, apart)
    mix, done, levels = _in_disorder(original, done, true_stems)
    for kind in _ORDER:
        if kind in done.severities:
            mix = damage(mix, kind, done.severities[kind], done.mechanisms[kind], done.seed)
    if done.rough:
        mix = degrade_randomly(mix, np.random.default_rng(done.seed))
    damaged = mix
    mix = repaired_mix(damaged) if repairs else damaged
    stems = separate(mix, apart)
    if segment is None:
        case = replace(measure_case(name, stems, target, original, done), true_levels=levels)
        return replace(case, distance=Original(original).distance(damaged)) if repairs else case
    parts = {stem: load(part) for stem, part in stems.parts.items()}
    cut = Stems(_cut(mix, segment), {stem: _cut(part, segment) for stem, part in parts.items()})
    analysis = analyse(mix)
    song = SongAnalysis(
        analysis=analysis,
        diagnosis=diagnose(mix, analysis),
        measures=_measures(mix, analysis),
        bands=read_song(mix),
        stems={stem: analyse(part) for stem, part in parts.items()},
        features={stem: describe(audio) for stem, audio in {"mix": mix, **parts}.items()},
    )
    truth = _cut(original, segment)
    case = measure_case(name, cut, target, truth, done)
    distance = Original(truth).distance(_cut(damaged, segment))
    return replace(
        case,
        levels=measure_levels(stems),
        holes=measure_spectral_holes(mix),
        song=song,
        distance=distance,
        true_levels=levels,
    )


def _cut(audio: Audio, segment: slice) -> Audio:
    return Audio(np.ascontiguousarray(audio.samples[:, segment]), audio.rate)


def measure_case(
    name: str,
    stems: Stems,
    target: LoudnessTarget,
    original: Audio | None = None,
    done: Damage | None = None,
) -> Case:
    """The case of these stems, held in memory, whatever their mix has been through."""
    mix, parts = load(stems.mix), {stem: load(part) for stem, part in stems.parts.items()}
    analysis = analyse(mix)
    return Case(
        name=name,
        original=original,
        stems=Stems(mix, parts),
        levels=measure_levels(stems),
        holes=measure_spectral_holes(mix),
        analysis=analysis,
        stem_analyses={stem: analyse(part) for stem, part in parts.items()},
        diagnosis=diagnose(mix, analysis),
        target=target,
        features={stem: describe(audio) for stem, audio in {"mix": mix, **parts}.items()},
        damage=done,
        distance=Original(original).distance(mix) if original is not None else None,
    )


def separate(mix: Audio, separator: Separator) -> Stems:
    """The stems of a short mix, in memory."""
    with scratch_folder() as folder:
        stems = separator.separate(mix, folder)
        return Stems(mix, {name: load(part) for name, part in stems.parts.items()})


def true_stems(song: Stems, separator: Separator) -> Stems:
    """The stems by role: those that a song comes in, or else what the separator finds."""
    return by_role(song) if song.parts else separate(load(song.mix), separator)


def _in_disorder(
    original: Audio, done: Damage, stems: Stems | None
) -> tuple[Audio, Damage, TrueLevels | None]:
    """The original with its stems in disorder, what of that could be done, and how loud the stems are."""
    left = done.disorder.among(tuple(stems.parts)) if done.disorder and stems else None
    done = replace(done, disorder=left)
    if stems is None or not stems.parts:
        return original, done, None
    levels_db = stem_levels_db(stems)
    if left is None:
        return original, done, TrueLevels(levels_db, levels_db)
    disordered = disorder(stems, left)
    return load(disordered.mix), done, TrueLevels(levels_db, stem_levels_db(disordered))


# --- the store -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CaseStore:
    """Cases in a directory: one safetensors file each, and `index.jsonl` that lists them."""

    directory: Path

    def names(self, split: str | None = None, kinds: Collection[str] | None = None) -> list[str]:
        """The cases of a split, in the order in which they were built.

        Args:
            split: `train`, `validation` or `test`; None for all.
            kinds: only cases damaged by exactly these; none of them is the undamaged ones.
        """
        return [
            row["name"]
            for row in self.rows()
            if split in (None, row["split"]) and (kinds is None or set(kinds) == set(kinds_of(row)))
        ]

    def rows(self) -> list[dict[str, Any]]:
        """The index: one object a case, without those that were skipped."""
        return [row for row in read_lines(self.directory / "index.jsonl") if not row.get("skipped")]

    def refresh(self, names: Collection[str] | None = None, progress: Progress | None = None) -> None:
        """Measure cases anew from their samples, for a version that measures otherwise; all by default.

        Raises:
            InputError: a case that was analysed within more of its song than the store keeps.
        """
        chosen = list(self.names() if names is None else names)
        for done, name in enumerate(chosen, 1):
            case = self.load(name)
            if case.song is not None:
                raise InputError(f"{self.path(name)}: {name!r} was analysed within its song: build it anew")
            fresh = measure_case(name, case.stems, case.target, case.original, case.damage)
            self.save(replace(fresh, true_levels=case.true_levels))
            if progress:
                progress(done / len(chosen))

    def load(self, name: str) -> Case:
        """The case of this name.

        Raises:
            InputError: it is not in the store, or its file is broken.
        """
        path = self.path(name)
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                data = json.loads(file.metadata()["case"])
        except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: cannot read the case {name!r}: {error}") from error
        return _unpacked(arrays, data)

    def save(self, case: Case) -> int:
        """Write a case, replacing one of the same name; the size of its file in bytes.

        Raises:
            OutputError: the disk is full or cannot be written.
        """
        path = self.path(case.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays, data = _packed(case)
        with atomically(path) as place:
            try:
                save_file(arrays, place, {"case": json.dumps(data, allow_nan=False)})
            except SafetensorError as error:
                raise OutputError(f"cannot write {path}: {error}") from error
        return path.stat().st_size

    def path(self, name: str) -> Path:
        """The path of the case of this name, whether it exists or not."""
        key = hashlib.sha256(name.encode()).hexdigest()
        return self.directory / key[:2] / f"{key[:20]}.safetensors"


def kinds_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """`Damage.kinds` of a row of the index."""
    return (*row["severities"], *row.get("disorder", ()), *((ROUGH,) if row.get("rough") else ()))


def _packed(case: Case) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the rest of a case, as safetensors and JSON take them."""
    mix = load(case.stems.mix)
    audio = {"mix": mix, **{f"stem.{name}": load(part) for name, part in case.stems.parts.items()}}
    untouched = case.original is not None and np.array_equal(case.original.samples, mix.samples)
    if case.original is not None and not untouched:
        audio["original"] = case.original
    scales = {name: _scale(sound) for name, sound in audio.items()}
    arrays: dict[str, NDArray[Any]] = {
        # safetensors writes the memory as it lies, so it has to lie in the order of the shape.
        name: np.round(sound.samples * np.float32(1 / scales[name])).astype(np.int16, order="C")
        for name, sound in audio.items()
    }
    arrays |= {"gaps.hz": case.holes.hz, "gaps.missing_db": case.holes.missing_db}
    arrays |= {f"features.{name}": values for name, values in case.features.items()}
    if case.song is not None:
        arrays |= {f"song.features.{name}": values for name, values in case.song.features.items()}
        arrays["song.bands"] = np.ascontiguousarray(case.song.bands)
    return arrays, {
        "name": case.name,
        "rate": mix.rate,
        "untouched": untouched,
        "scales": scales,
        "stems": list(case.stems.parts),
        "levels": {name: asdict(level) for name, level in case.levels.items()},
        "gaps": [asdict(hole) for hole in case.holes.holes],
        "analysis": case.analysis.to_json(),
        "stem_analyses": {name: analysis.to_json() for name, analysis in case.stem_analyses.items()},
        "diagnosis": case.diagnosis.to_json(),
        "target": asdict(case.target),
        "damage": None if case.damage is None else asdict(case.damage),
        "distance": None if case.distance is None else asdict(case.distance),
        "song": None if case.song is None else _song_packed(case.song),
        "true_levels": None if case.true_levels is None else asdict(case.true_levels),
    }


def _song_packed(song: SongAnalysis) -> dict[str, Any]:
    return {
        "analysis": song.analysis.to_json(),
        "diagnosis": song.diagnosis.to_json(),
        "measures": None if song.measures is None else song.measures.to_json(),
        "stems": {name: analysis.to_json() for name, analysis in song.stems.items()},
    }


def _song_unpacked(arrays: Mapping[str, NDArray[Any]], data: Mapping[str, Any]) -> SongAnalysis:
    return SongAnalysis(
        analysis=Analysis.from_json(data["analysis"]),
        diagnosis=Diagnosis.from_json(data["diagnosis"]),
        measures=None if data["measures"] is None else SongMeasures.from_json(data["measures"]),
        bands=arrays["song.bands"],
        stems={name: Analysis.from_json(row) for name, row in data["stems"].items()},
        features=_under("song.features.", arrays),
    )


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}


def _scale(audio: Audio) -> float:
    return max(float(np.abs(audio.samples).max(initial=0.0)), 1e-6) / _FULL_SCALE


def _unpacked(arrays: Mapping[str, NDArray[Any]], data: Mapping[str, Any]) -> Case:
    audio = {
        name: Audio(arrays[name].astype(np.float32) * np.float32(scale), data["rate"])
        for name, scale in data["scales"].items()
    }
    return Case(
        name=data["name"],
        original=audio["mix"] if data["untouched"] else audio.get("original"),
        stems=Stems(audio["mix"], {name: audio[f"stem.{name}"] for name in data["stems"]}),
        levels={name: _programme(level) for name, level in data["levels"].items()},
        holes=SpectralHoles(
            tuple(SpectralHole(**hole) for hole in data["gaps"]), arrays["gaps.hz"], arrays["gaps.missing_db"]
        ),
        analysis=Analysis.from_json(data["analysis"]),
        stem_analyses={name: Analysis.from_json(row) for name, row in data["stem_analyses"].items()},
        diagnosis=Diagnosis.from_json(data["diagnosis"]),
        target=LoudnessTarget(**data["target"]),
        features=_under("features.", arrays),
        damage=None if data["damage"] is None else Damage.from_json(data["damage"]),
        distance=None if data["distance"] is None else Distance(**data["distance"]),
        song=_song_unpacked(arrays, data["song"]) if data.get("song") else None,
        true_levels=TrueLevels(**data["true_levels"]) if data.get("true_levels") else None,
    )


def _programme(data: Mapping[str, Any]) -> Programme:
    return Programme(
        level_db=data["level_db"],
        low_mid=BandLevel(**data["low_mid"]),
        shimmer=BandLevel(**data["shimmer"]),
        spread_db=tuple(data["spread_db"]),
    )
