"""The stages of a master: the one list behind the run, its progress and its cache.

Hearing (decode to features) depends on the song and the models alone; rendering depends on the
settings that a policy decided between the two. So another target, policy or amount finds everything
that was heard in the cache.

What a stage alone works with is imported where it works: a stage found in the cache should not cost
the time to load it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixagent.pipeline.chain.edits import NO_EDITS, Edits, edited, span_of
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.diagnosis.diagnose import Diagnosis, diagnose
from mixagent.pipeline.finaliser.settings import BY_TARGET, Finishing, finishing_of
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.measures import SongMeasures, measure_song
from mixagent.pipeline.graph.runner import Result, Stage, StageContext, audio_reference
from mixagent.pipeline.io import content_hash, decode, resample
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.measure.features import describe_song
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.measure.meters import Loudness, momentary_lufs
from mixagent.pipeline.separation import SeparatedStems
from mixagent.pipeline.types import (
    AudioSource,
    Combination,
    DiskAudio,
    FloatArray,
    Stems,
    View,
    blocks,
    spool,
)
from mixagent.settings import PipelineConfig

if TYPE_CHECKING:
    from mixagent.pipeline.finaliser.codecs import CodecPlan, CodecRender
    from mixagent.pipeline.finaliser.prediction import SourceMeasures
    from mixagent.pipeline.separation import Separator

Progress = Callable[[float], None]

_LEVELS = "levels.npz"

HEARD_FIRST = ("decode", "analyse")
REPAIRS = ("declick", "declip")
"""The stages that repair the song before it is separated, in their order; each repairs what the last left."""


@dataclass(frozen=True)
class Heard:
    """Everything that is known of a song before anything is decided."""

    song: AudioSource
    stems: Stems
    analysis: Analysis
    diagnosis: Diagnosis
    measures: SongMeasures | None
    stem_analyses: Mapping[str, Analysis]
    features: Mapping[str, FloatArray]
    results: Mapping[str, Result]


def listening_stages(song: Path) -> list[Stage]:
    """Decode and analyse: what every command begins with."""
    decoding = Stage("decode", partial(_decode, song), settings={"sha256": content_hash(song)})
    return [decoding, ANALYSING]


def separating_stage(separator: Separator, *needs: str) -> Stage:
    """The separation of what the needed stages left of the song."""
    settings = {"name": separator.name, "version": separator.version}
    return Stage("separate", partial(_separate, separator), needs, settings)


def hearing_stages(
    decoding: Sequence[Stage], parting: Stage, stem_names: Sequence[str], config: PipelineConfig
) -> list[Stage]:
    """The stages that depend on the song and the models alone.

    Args:
        decoding: one of them is called `decode` and leaves the song.
        parting: leaves `parts`, references to the stems by name; called `separate`, or `stems` where
            they came from the user.
        stem_names: of the stems.
        config: of the pipeline.
    """
    # A click goes first: whatever raises or smears the song would make more of it.
    declicked = Stage("declick", partial(_declick, config.declick), HEARD_FIRST, {"on": config.declick})
    repaired = Stage(
        "declip", partial(_declip, config.declip), (*HEARD_FIRST, "declick"), {"on": config.declip}
    )
    denoised = Stage("denoise", partial(_denoise, config.denoise), (parting.name,), {"on": config.denoise})
    features = [
        Stage("features", _features, ("decode",)),
        *(
            Stage(f"hear {name}", partial(_hear, name), (parting.name, "denoise"), {"stem": name})
            for name in stem_names
        ),
    ]
    return [*decoding, ANALYSING, declicked, repaired, parting, denoised, *features]


def parted(results: Mapping[str, Result]) -> Result:
    """The result that holds the stems: a separator's, or the user's own."""
    return results["stems"] if "stems" in results else results["separate"]


def heard_song(results: Mapping[str, Result], amount: float) -> Heard:
    """What the hearing stages found, with `amount` (0..1) of the restoration applied."""
    song = results["decode"].audio("audio")
    stems = split_stems(_blended(song, repaired_song(results), amount), parted(results))
    if not results["denoise"].skipped:
        restored = results["denoise"].audio("audio")
        stems = stems.with_part("vocals", _blended(stems.parts["vocals"], restored, amount))
    heard = {"mix": "features", **{name: f"hear {name}" for name in stems.parts}}
    return Heard(
        song=song,
        stems=stems,
        analysis=Analysis.from_json(results["analyse"].values["analysis"]),
        diagnosis=Diagnosis.from_json(results["analyse"].values["diagnosis"]),
        measures=song_measures(results["analyse"]),
        stem_analyses={
            name: Analysis.from_json(results[f"hear {name}"].values["analysis"]) for name in stems.parts
        },
        features={
            name: np.array(results[stage].values["features"], np.float32) for name, stage in heard.items()
        },
        results=results,
    )


def split_stems(mix: AudioSource, separated: Result) -> Stems:
    """The stems that a separation left on disk, with what they leave of `mix`."""
    return Stems(mix, {name: separated.audio("parts", name) for name in separated.values["parts"]})


def rendering_stages(
    heard: Heard,
    settings: Settings,
    amount: float,
    rate: int | None,
    target: LoudnessTarget,
    edits: Edits = NO_EDITS,
    codecs: CodecPlan | None = None,
    matching: Stage | None = None,
) -> list[Stage]:
    """The stages that depend on what was decided.

    Args:
        heard: the song.
        settings: of the chain.
        amount: of the restoration, 0..1.
        rate: in Hz, None for the song's own.
        target: of the finaliser.
        edits: of the song's ends.
        codecs: that the master is checked with, and that its ceiling holds through.
        matching: the stage `match` in which matchering brings the mix towards a reference, where it does.
    """
    needs = tuple(name for name in heard.results if name != "decode")
    mix = {"settings": settings.changed(), "amount": amount, "rate": rate, "edits": edits.asked}
    finishing = finishing_of(settings)
    through = {} if codecs is None else {"codecs": asdict(codecs)}
    by_hand = {} if finishing == BY_TARGET else asdict(finishing)
    mixing = [Stage("mix", partial(_mix, heard, settings, rate, edits), needs, mix)]
    if matching is not None:
        mixing.append(matching)
    mixed = tuple(stage.name for stage in mixing)
    return [
        *mixing,
        Stage("level", _level, mixed),
        Stage(
            "finalise",
            partial(_finalise, target, codecs, finishing),
            (*mixed, "level"),
            {**asdict(target), **through, **by_hand},
        ),
        Stage("measure", _measure, ("finalise",)),
    ]


MIXING = ("mix", "match")
"""The stages that leave what goes into the finaliser, the last one that ran."""


def premaster_stages(rendering: Sequence[Stage]) -> list[Stage]:
    """Of the rendering stages those that no target enters, and what an album asks of song and mix."""
    kept = [stage for stage in rendering if stage.name in (*MIXING, "level")]
    mixed = tuple(stage.name for stage in kept if stage.name in MIXING)
    return [*kept, Stage("album", _album_measures, ("decode", *mixed))]


def _decode(song: Path, context: StageContext) -> dict[str, Any]:
    decoded = decode(song, context.directory / "song.f32", context.progress)
    return {
        "audio": audio_reference(decoded.audio),
        "info": asdict(decoded.info),
        "warnings": list(decoded.warnings),
    }


def _analyse(context: StageContext) -> dict[str, Any]:
    return _measured(context.inputs["decode"].audio("audio"), context.progress)


ANALYSING = Stage("analyse", _analyse, ("decode",))
"""Measures, diagnosis and translation of the decoded song."""


def _measure(context: StageContext) -> dict[str, Any]:
    finish = context.inputs["finalise"]
    known_lufs = finish.values["renders"][-1]["integrated_lufs"]
    return _measured(finish.audio("audio"), context.progress, known_lufs)


def _measured(source: AudioSource, progress: Progress, known_lufs: float | None = None) -> dict[str, Any]:
    """Analysis, diagnosis and translation.

    Where the source's loudness is known before, all go side by side.
    """
    from mixagent.pipeline.measure.translation import translate

    shares = [0.0, 0.0]

    def watched(which: int) -> Watched:
        def report(share: float) -> None:
            shares[which] = share
            progress(sum(shares) / 2)

        return Watched(source, report)

    with ThreadPoolExecutor(2) as pool:
        hearing = None if known_lufs is None else pool.submit(fingerprint, watched(1), known_lufs)
        playing = pool.submit(translate, source)
        analysis = analyse(watched(0))
        if not math.isfinite(analysis.integrated_lufs):
            diagnosis, measures = diagnose(source, analysis), None
        else:
            heard = fingerprint(watched(1), analysis.integrated_lufs) if hearing is None else hearing.result()
            diagnosis, measures = diagnose(source, analysis, heard), measure_song(analysis, heard).to_json()
        translation = [played.to_json() for played in playing.result()]
    return {
        "analysis": analysis.to_json(),
        "diagnosis": diagnosis.to_json(),
        "measures": measures,
        "translation": translation,
    }


def song_measures(measured: Result) -> SongMeasures | None:
    """What a stage that measures left for the band of finished music; None for silence."""
    found = measured.values["measures"]
    return None if found is None else SongMeasures.from_json(found)


@dataclass(frozen=True)
class Watched(View):
    """A source that tells how far it was read, so that a pass over it can be shown and stopped."""

    progress: Progress

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop` of the source."""
        self.progress(min(stop, self.frames) / max(self.frames, 1))
        return self.source.read(start, stop)


def _declick(on: bool, context: StageContext) -> dict[str, Any] | None:
    if not on:
        return None
    from mixagent.pipeline.restoration import declick

    song = context.inputs["decode"].audio("audio")
    lufs = Analysis.from_json(context.inputs["analyse"].values["analysis"]).integrated_lufs
    restored = declick(song, lufs, context.directory, context.progress)
    if not restored.applied:
        return None
    return {"audio": _kept(restored.audio, context.directory), "why": restored.why}


def _declip(on: bool, context: StageContext) -> dict[str, Any] | None:
    if not on:
        return None
    from mixagent.pipeline.restoration import declip

    restored = declip(repaired_song(context.inputs), context.directory, context.progress)
    if not restored.applied:
        return None
    return {"audio": _kept(restored.audio, context.directory), "why": restored.why}


def _separate(separator: Separator, context: StageContext) -> dict[str, Any]:
    stems = separator.separate(repaired_song(context.inputs), context.directory, context.progress)
    parts = {name: _kept(part, context.directory) for name, part in stems.parts.items()}
    if not isinstance(stems, SeparatedStems):
        return {"parts": parts}
    return {
        "parts": parts,
        "agreement_db": dict(stems.agreement_db),
        "device_peak_bytes": stems.device_peak_bytes,
    }


def repaired_song(inputs: Mapping[str, Result]) -> AudioSource:
    """The song as the last of `REPAIRS` that ran left it."""
    found = [inputs[name] for name in REPAIRS if name in inputs and not inputs[name].skipped]
    return (found[-1] if found else inputs["decode"]).audio("audio")


def _denoise(on: bool, context: StageContext) -> dict[str, Any] | None:
    separated = parted(context.inputs)
    if not on or "vocals" not in separated.values["parts"]:
        return None
    from mixagent.pipeline.restoration import denoise_vocals

    restored = denoise_vocals(separated.audio("parts", "vocals"), context.directory, context.progress)
    if not restored.applied:
        return None
    return {"audio": _kept(restored.audio, context.directory), "why": restored.why}


def _hear(name: str, context: StageContext) -> dict[str, Any]:
    restored = context.inputs["denoise"]
    if name == "vocals" and not restored.skipped:
        stem = restored.audio("audio")
    else:
        stem = parted(context.inputs).audio("parts", name)
    analysis = analyse(Watched(stem, context.progress))
    return {"analysis": analysis.to_json(), "features": describe_song(stem).tolist()}


def _features(context: StageContext) -> dict[str, Any]:
    """What a trained policy is shown of the song."""
    return {"features": describe_song(context.inputs["decode"].audio("audio")).tolist()}


def _blended(before: AudioSource, after: AudioSource, amount: float) -> AudioSource:
    if amount == 1.0 or before is after:
        return after
    return Combination(((1.0 - amount, before), (amount, after)))


def _mix(
    heard: Heard, settings: Settings, rate: int | None, edits: Edits, context: StageContext
) -> dict[str, Any]:
    from mixagent.pipeline.render import premaster

    mixed = premaster(heard.stems, settings, context.directory, progress=context.progress)
    resampled = resample(mixed, rate or mixed.rate, context.directory / "resampled.f32")
    span = span_of(resampled, edits)
    return {"audio": _kept(edited(resampled, edits, span), context.directory), "span_s": span}


def _level(context: StageContext) -> dict[str, Any]:
    """What the finaliser has to know of the mix; no target enters here."""
    from mixagent.pipeline.finaliser.prediction import measure_source

    measures = asdict(measure_source(mixed_audio(context.inputs), context.progress))
    values = {**measures.pop("loudness"), **measures}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    np.savez(context.directory / _LEVELS, allow_pickle=False, **arrays)
    return {name: value for name, value in values.items() if name not in arrays}


def mixed_audio(inputs: Mapping[str, Result]) -> AudioSource:
    """What goes into the finaliser: the mix, or what matchering made of it."""
    found = [inputs[name] for name in MIXING if name in inputs and not inputs[name].skipped]
    return found[-1].audio("audio")


def levels(level: Result) -> SourceMeasures:
    """What the stage `level` measured."""
    from mixagent.pipeline.finaliser.prediction import SourceMeasures

    with np.load(level.directory / _LEVELS) as arrays:
        values = {**level.values, **arrays}
    loudness = Loudness(**{field.name: values.pop(field.name) for field in fields(Loudness)})
    return SourceMeasures(loudness=loudness, **values)


def _album_measures(context: StageContext) -> dict[str, Any]:
    from mixagent.pipeline.finaliser.album_levels import tone_db

    song, mix = context.inputs["decode"].audio("audio"), mixed_audio(context.inputs)
    tone = tone_db(Watched(mix, context.progress))
    return {"momentary_lufs": _or_none(momentary_lufs(song)), "tone_db": _or_none(tone)}


def _or_none(values: Iterable[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _finalise(
    target: LoudnessTarget, codecs: CodecPlan | None, finishing: Finishing, context: StageContext
) -> dict[str, Any]:
    from mixagent.pipeline.finaliser.codecs import CodecPlan, finalise_through

    mix, measures = mixed_audio(context.inputs), levels(context.inputs["level"])
    plan = codecs or CodecPlan()
    finish, through = finalise_through(
        mix, target, plan, context.directory, context.progress, measures, finishing
    )
    names = ("gain_db", "max_reduction_db", "transients_lost_db", "tails_lowered_db", "met", "missed")
    values = {name: getattr(finish, name) for name in names}
    return {
        "audio": _kept(finish.audio, context.directory),
        "renders": [_finite(asdict(render)) for render in finish.renders],
        "codec_renders": [_codec_render(render) for render in through] if plan.checked else [],
        **values,
    }


def _codec_render(render: CodecRender) -> dict[str, Any]:
    values = _finite({name: value for name, value in vars(render).items() if name != "checks"})
    return {**values, "checks": [_finite(asdict(check)) for check in render.checks]}


def _finite(measures: Mapping[str, Any]) -> dict[str, Any]:
    unknown = {
        name for name, value in measures.items() if isinstance(value, float) and not math.isfinite(value)
    }
    return {name: None if name in unknown else value for name, value in measures.items()}


def _kept(audio: AudioSource, folder: Path) -> dict[str, Any]:
    """A reference to audio in a stage's folder, where it is put unless it lies there already."""
    if not isinstance(audio, DiskAudio) or audio.path.parent != folder:
        audio = spool(blocks(audio), folder / "audio.f32", audio.rate, audio.channels)
    return audio_reference(audio)
