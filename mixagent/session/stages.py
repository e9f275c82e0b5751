"""The stages of a master: the one list behind the run, its progress and its cache.

Hearing (decode to features) depends on the song and the models alone; rendering depends on the
settings that a policy decided between the two. So another target, policy or amount finds everything
that was heard in the cache.

What a stage alone works with is imported where it works: a stage found in the cache should not cost
the time to load it. A stage closes over nothing: `settings` holds what its result depends on, `given` the
rest, both JSON-able.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixagent.pipeline.chain.edits import Edits, Span, section
from mixagent.pipeline.chain.parameters import (
    FINALISER_PLACES,
    ParameterSpace,
    Settings,
    repair_amounts,
)
from mixagent.pipeline.chain.section_settings import SectionSettings
from mixagent.pipeline.diagnosis.diagnose import Diagnosis, diagnose
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.measures import SongMeasures, measure_song
from mixagent.pipeline.graph.runner import Result, Stage, StageContext, audio_reference
from mixagent.pipeline.io import content_hash, decode
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.measure.features import describe_song
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.measure.meters import Loudness, momentary_lufs
from mixagent.pipeline.measure.song_bands import read_song
from mixagent.pipeline.restoration.table import EMBEDDED, EXTEND, REPAIRS, mix_repairs
from mixagent.pipeline.separation import SeparatedStems
from mixagent.pipeline.types import (
    AudioSource,
    DiskAudio,
    FloatArray,
    Progress,
    Stems,
    Watched,
    blocks,
    spool,
)
from mixagent.policies.base import Context
from mixagent.session.results import MIXING, Results, repair_stage, repair_stages
from mixagent.session.separators import separator_named

if TYPE_CHECKING:
    from mixagent.pipeline.finaliser.codecs import CodecPlan, CodecRender
    from mixagent.pipeline.finaliser.prediction import SourceMeasures
    from mixagent.pipeline.plugins.inserts import Insert, Inserts
    from mixagent.pipeline.separation import Separator


_LEVELS = "levels.npz"

HEARD_FIRST = ("decode", "analyse")

REPAIR_PARAMETERS = (
    "master.resonance_cut_db",
    "master.gap_fill_db",
    "master.blink_fill_db",
    "master.extend_from_hz",
    "master.extend_db",
)
"""The settings of the chain's own repairs."""


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
    results: Results

    def context(self, target: LoudnessTarget) -> Context:
        """What a policy is shown of the song, for a master with this target."""
        return Context(
            self.analysis,
            self.stem_analyses,
            self.diagnosis,
            target,
            ParameterSpace.for_stems(tuple(self.stems.parts)),
            self.features,
            self.measures,
            bands=lambda: read_song(self.stems.mix),
        )


def listening_stages(song: Path) -> list[Stage]:
    """Decode and analyse: what every command begins with."""
    decoding = Stage(
        "decode", decode_song, settings={"sha256": content_hash(song)}, given={"path": os.fspath(song)}
    )
    return [decoding, ANALYSING]


def separating_stage(separator: Separator, device: str, *needs: str, shifts: int = 1, seed: int = 0) -> Stage:
    """The separation of what the needed stages left of the song.

    Args:
        separator: as `separator_named` gives it for these shifts.
        device: to run it on.
        needs: names of stages, `decode` among them.
        shifts: times that it runs, on the song shifted at random.
        seed: of the shifts.
    """
    settings = {"name": separator.name, "version": separator.version}
    return Stage(
        "separate", separate, needs, settings, given={"device": device, "shifts": shifts, "seed": seed}
    )


def hearing_stages(
    decoding: Sequence[Stage],
    stem_source: Stage,
    stem_names: Sequence[str],
    without: Collection[str] = (),
    features: bool = True,
    extender: str = EMBEDDED,
) -> list[Stage]:
    """The stages that depend on the song and the models alone.

    Args:
        decoding: one of them is called `decode` and leaves the song.
        stem_source: leaves `parts`, references to the stems by name; called `separate`, or `stems` where
            they came from the user.
        stem_names: of the stems.
        without: names of repairs that are left out.
        features: whether what decides reads the features of the song and its stems.
        extender: a name of `EXTENDERS`.
    """
    repairs = repairing_stages(without, extender)
    repaired = tuple(stage.name for stage in repairs)
    of_stems = stem_repairing_stages(stem_source.name, stem_names, without)
    described = [describing_stage(repaired)] if features else []
    needs = ("analyse", stem_source.name, *(stage.name for stage in of_stems))
    stems = [
        Stage(f"hear {name}", hear_stem, needs, {"stem": name, "features": features}) for name in stem_names
    ]
    heard = Stage("hear mix", hear_repaired, (*HEARD_FIRST, *repaired))
    return [*decoding, ANALYSING, SECTIONING, *repairs, heard, stem_source, *of_stems, *described, *stems]


def repairing_stages(without: Collection[str] = (), extender: str = EMBEDDED) -> list[Stage]:
    """The repairs of the mix, each on what the last left; highs are made anew by this one of `EXTENDERS`."""
    stages: list[Stage] = []
    for repair in mix_repairs():
        before = tuple(stage.name for stage in stages)
        settings: dict[str, Any] = {"repair": repair.name, "on": repair.name not in without}
        if repair.name == EXTEND:
            settings["extender"] = extender
        stages.append(Stage(repair.name, repair_song, (*HEARD_FIRST, *before), settings, repair.version))
    return stages


def stem_repairing_stages(
    stem_source: str, stem_names: Sequence[str], without: Collection[str] = ()
) -> list[Stage]:
    """The repairs of stems, each on what the last left of its stem."""
    stages: list[Stage] = []
    for repair in (repair for repair in REPAIRS.values() if repair.stems):
        for stem in (stem for stem in repair.stems if stem in stem_names):
            before = tuple(stage.name for stage in stages if stage.settings["stem"] == stem)
            settings = {"repair": repair.name, "stem": stem, "on": repair.name not in without}
            needs = ("analyse", stem_source, *before)
            name = repair_stage(repair.name, stem)
            stages.append(Stage(name, repair_stem, needs, settings, repair.version))
    return stages


def restored_stems(results: Results, amounts: Mapping[str, float]) -> Stems:
    """The stems, and the mix that they are of, with these amounts of the repairs, 0..1 by name."""
    stems = split_stems(results.mix_with(amounts), results.stem_source)
    for name in stems.parts:
        stem = results.stem_with(name, amounts)
        if stem is not None:
            stems = stems.with_part(name, stem)
    return stems


def heard_song(results: Results, restoration: float) -> Heard:
    """What the hearing stages found, with `restoration` (0..1) of the repairs' own amounts applied."""
    stems = restored_stems(results, {n: restoration * a for n, a in results.repair_amounts.items()})
    described = {"mix": "features", **{name: f"hear {name}" for name in stems.parts}}
    measured = results.repaired_heard
    return Heard(
        song=results.song,
        stems=stems,
        analysis=measured.analysis,
        diagnosis=measured.diagnosis,
        measures=measured.measures,
        stem_analyses={
            name: Analysis.from_json(results[f"hear {name}"].values["analysis"]) for name in stems.parts
        },
        features={
            name: np.array(results[stage].values["features"], np.float32)
            for name, stage in described.items()
            if "features" in results
        },
        results=results,
    )


def split_stems(mix: AudioSource, separated: Result) -> Stems:
    """The stems that a separation left on disk, with what they leave of `mix`."""
    return Stems(mix, {name: separated.audio("parts", name) for name in separated.values["parts"]})


@dataclass(frozen=True)
class Rendering:
    """What a render depends on beside the song.

    Attributes:
        settings: of the chain, the amounts of the repairs among them.
        rate: of the master in Hz; None for the song's own.
        target: of the finaliser.
        edits: of the song's ends.
        codecs: that the master is checked with, and that its ceiling holds through.
        part: of the song that is rendered; None for all of it.
        matching: the stage `match` in which matchering brings the mix towards a reference, where it does.
        sections: what holds in stretches of the song beside the settings.
        inserts: plug-ins that stand in for effects.
    """

    settings: Settings
    rate: int | None
    target: LoudnessTarget
    edits: Edits
    codecs: CodecPlan
    part: Span | None = None
    matching: Stage | None = None
    sections: tuple[SectionSettings, ...] = ()
    inserts: tuple[Insert, ...] = ()


def rendering_stages(heard: Iterable[str], rendering: Rendering) -> list[Stage]:
    """The stages that depend on what was decided.

    Args:
        heard: names of the hearing stages.
        rendering: what is rendered.
    """
    settings = rendering.settings
    mixing: dict[str, Any] = {
        "settings": settings.changed(),
        "rate": rendering.rate,
        "edits": asdict(rendering.edits),
        "part": rendering.part,
        **inserted(rendering.inserts),
    }
    if rendering.sections:
        mixing["sections"] = [asdict(each) for each in rendering.sections]
    finaliser = {
        "settings": {
            name: value
            for name, value in settings.changed().items()
            if name.split(".", 1)[0] in FINALISER_PLACES
        },
        "target": asdict(rendering.target),
        "codecs": asdict(rendering.codecs),
    }
    # A render with the same repairs finds what they did.
    repairs = {name: settings[name] for name in REPAIR_PARAMETERS if name in settings.changed()}
    repaired = tuple(repair.name for repair in mix_repairs() if repair.name in set(heard))
    restoring = restored_stage(heard, repair_amounts(settings.changed()))
    stages = [Stage("mix", mix, tuple(heard), mixing, given=placed(rendering.inserts))]
    if rendering.matching is not None:
        stages.append(rendering.matching)
    mixed = tuple(stage.name for stage in stages)
    return [
        *stages,
        Stage("level", level, mixed),
        Stage("finalise", finalise_mix, (*mixed, "level"), finaliser),
        restoring,
        Stage("repairs", measure_repairs, ("decode", *repaired), repairs),
        Stage("measure", measure_master, ("finalise",)),
    ]


def restored_stage(heard: Iterable[str], amounts: Mapping[str, float]) -> Stage:
    """What the repairs changed, with these amounts, measured.

    Args:
        heard: names of the stages that came before.
        amounts: 0..1 by name of the repair.
    """
    known = set(heard)
    stages = [stage for repair in REPAIRS.values() for _, stage in repair_stages(repair)]
    sources = ("decode", "separate", "stems", *stages)
    needs = tuple(name for name in sources if name in known)
    return Stage("restored", measure_restored, needs, {"amounts": dict(amounts)})


def measure_restored(context: StageContext) -> dict[str, Any] | None:
    """What each repair changed; None where none did."""
    from mixagent.pipeline.measure.changes import measure_change

    steps = Results(context.inputs).repair_steps(context.settings["amounts"])
    changes = {}
    for done, step in enumerate(steps):

        def told(share: float, done: int = done) -> None:
            context.progress((done + share) / len(steps))

        changes[step.stage] = _finite_measures(asdict(measure_change(step.before, step.after, told)))
    return {"changes": changes} if changes else None


def measure_repairs(context: StageContext) -> dict[str, Any] | None:
    """What the chain's repairs do to the song, for the report."""
    if not context.settings:
        return None
    from mixagent.pipeline.chain.applied import repairs_applied

    settings = ParameterSpace.for_stems(()).settings(context.settings)
    applied = repairs_applied(Results(context.inputs).repaired, settings)
    return {"applied": {name: [asdict(gain) for gain in gains] for name, gains in applied.items()}}


def premaster_stages(rendering: Sequence[Stage]) -> list[Stage]:
    """Of the rendering stages those that no target enters, and what an album asks of song and mix."""
    kept = [stage for stage in rendering if stage.name in (*MIXING, "level")]
    mixed = tuple(stage.name for stage in kept if stage.name in MIXING)
    return [*kept, Stage("album", album_measures, ("decode", *mixed))]


def decode_song(context: StageContext) -> dict[str, Any]:
    """The song as samples on disk."""
    decoded = decode(Path(context.given["path"]), context.directory / "song.f32", context.progress)
    return {
        "audio": audio_reference(decoded.audio),
        "info": asdict(decoded.info),
        "warnings": list(decoded.warnings),
    }


def analyse_song(context: StageContext) -> dict[str, Any]:
    """Measures, diagnosis and translation of the song."""
    return _measured(context.inputs["decode"].audio("audio"), context.progress)


ANALYSING = Stage("analyse", analyse_song, ("decode",))
"""Measures, diagnosis and translation of the decoded song."""


def hear_sections(context: StageContext) -> dict[str, Any]:
    """The sections of the song as it came."""
    from mixagent.pipeline.measure.song_sections import find_sections

    found = find_sections(context.inputs["decode"].audio("audio"), context.progress)
    return {"sections": [each.to_json() for each in found]}


SECTIONING = Stage("sections", hear_sections, ("decode",))
"""Intro, verse, chorus and the like."""


def measure_master(context: StageContext) -> dict[str, Any]:
    """The same of the master."""
    finish = context.inputs["finalise"]
    known_lufs = finish.values["renders"][-1]["integrated_lufs"]
    return _measured(finish.audio("audio"), context.progress, known_lufs)


def _measured(source: AudioSource, progress: Progress, known_lufs: float | None = None) -> dict[str, Any]:
    """Analysis, diagnosis and translation.

    Where the source's loudness is known before, all go side by side.
    """
    from mixagent.pipeline.measure.translation import translate

    shares = [0.0, 0.0, 0.0]

    def watched(which: int) -> Watched:
        def report(share: float) -> None:
            shares[which] = max(share, shares[which])
            progress(sum(shares) / len(shares))

        return Watched(source, report)

    with ThreadPoolExecutor(2) as pool:
        hearing = None if known_lufs is None else pool.submit(fingerprint, watched(1), known_lufs)
        playing = pool.submit(translate, watched(2))
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


def repair_song(context: StageContext) -> dict[str, Any] | None:
    """One repair of the mix, of the table `pipeline.restoration.table.REPAIRS`, where its defect is found."""
    return _repaired(context, Results(context.inputs).repaired)


def repair_stem(context: StageContext) -> dict[str, Any] | None:
    """One repair of a stem, where its defect is found."""
    inputs, stem = Results(context.inputs), context.settings["stem"]
    if stem not in inputs.stem_source.values["parts"]:
        return None
    return _repaired(context, inputs.repaired_stem(stem))


def _repaired(context: StageContext, source: AudioSource) -> dict[str, Any] | None:
    """What a repair found of a source, and what it made of it; None where it found nothing."""
    if not context.settings["on"]:
        return None
    from mixagent.pipeline.restoration.table import repaired

    repair = REPAIRS[context.settings["repair"]]
    analysis = Results(context.inputs).heard.analysis
    extender = context.settings.get("extender", EMBEDDED)
    done = repaired(repair, source, analysis, context.directory, context.progress, extender)
    if done is None:
        return None
    found, restored = done
    values = {
        "amount": found.amount,
        "found": found.why,
        "why": restored.why,
        "values": {name: finite_or_none(value) for name, value in restored.values.items()},
    }
    if not restored.applied:
        return values
    return {**values, "audio": _kept(restored.audio, context.directory)}


def hear_repaired(context: StageContext) -> dict[str, Any] | None:
    """Measures, diagnosis and translation of the repaired song; none where nothing was repaired."""
    inputs = Results(context.inputs)
    if not inputs.repair_amounts:
        return None
    return _measured(inputs.repaired, context.progress)


def separate(context: StageContext) -> dict[str, Any]:
    """The song taken apart."""
    separator = separator_named(context.settings["name"], **context.given)
    stems = separator.separate(Results(context.inputs).repaired, context.directory, context.progress)
    parts = {name: _kept(part, context.directory) for name, part in stems.parts.items()}
    if not isinstance(stems, SeparatedStems):
        return {"parts": parts}
    return {
        "parts": parts,
        "agreement_db": dict(stems.agreement_db),
        "device_peak_bytes": stems.device_peak_bytes,
    }


def hear_stem(context: StageContext) -> dict[str, Any]:
    """Measures and features of one stem."""
    inputs, name = Results(context.inputs), context.settings["stem"]
    stem = inputs.repaired_stem(name)
    analysis = analyse(Watched(stem, context.progress))
    described = {"features": describe_song(stem).tolist()} if context.settings["features"] else {}
    return {"analysis": analysis.to_json(), **described}


def song_features(context: StageContext) -> dict[str, Any]:
    """What a trained policy is shown of the repaired song."""
    return {"features": describe_song(Results(context.inputs).repaired).tolist()}


def describing_stage(repairs: Sequence[str]) -> Stage:
    """What a trained policy is shown of the song as these stages left it."""
    return Stage("features", song_features, ("decode", *repairs))


def inserted(inserts: Sequence[Insert]) -> dict[str, Any]:
    """What a stage's result depends on of plug-ins; nothing, not even a key, where there are none."""
    return {"plugins": [insert.settings() for insert in inserts]} if inserts else {}


def placed(inserts: Sequence[Insert]) -> dict[str, Any]:
    """Where the plug-ins of `inserted` lie."""
    return {"plugins": [insert.placed() for insert in inserts]} if inserts else {}


def inserts_of(context: StageContext) -> Inserts | None:
    """The plug-ins that a stage was given; None without any."""
    if "plugins" not in context.settings:
        return None
    from mixagent.pipeline.plugins.inserts import Insert, Inserts

    rows = zip(context.settings["plugins"], context.given["plugins"], strict=True)
    return Inserts([Insert.from_settings(settings, **given) for settings, given in rows])


def mix(context: StageContext) -> dict[str, Any]:
    """Mix and master chain."""
    from mixagent.pipeline.render import mixed

    wanted = context.settings
    stems = restored_stems(Results(context.inputs), repair_amounts(wanted["settings"]))
    if wanted["part"] is not None:
        stems = stems_part(stems, Span(*wanted["part"]))
    begins_s = 0.0 if wanted["part"] is None else Span(*wanted["part"]).start_s
    settings = ParameterSpace.for_stems(tuple(stems.parts)).settings(wanted["settings"])
    inserts = inserts_of(context)
    audio, span = mixed(
        stems,
        settings,
        context.directory,
        wanted["rate"],
        Edits(**wanted["edits"]),
        progress=context.progress,
        sections=[SectionSettings(**each).later(-begins_s) for each in wanted.get("sections", ())],
        inserts=inserts,
    )
    if wanted["part"] is not None:
        span = Span(*wanted["part"])
    played = {} if inserts is None else {"plugins": [row.to_json() for row in inserts.played]}
    return {"audio": _kept(audio, context.directory), "span_s": span, **played}


def stems_part(stems: Stems, part: Span) -> Stems:
    """The stems of a part of the song."""
    return Stems(section(stems.mix, part), {name: section(one, part) for name, one in stems.parts.items()})


def level(context: StageContext) -> dict[str, Any]:
    """What the finaliser has to know of the mix; no target enters here."""
    from mixagent.pipeline.finaliser.prediction import measure_source

    measures = asdict(measure_source(Results(context.inputs).mixed, context.progress))
    values = {**measures.pop("loudness"), **measures}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    np.savez(context.directory / _LEVELS, allow_pickle=False, **arrays)
    return {name: value for name, value in values.items() if name not in arrays}


def levels(level: Result) -> SourceMeasures:
    """What the stage `level` measured."""
    from mixagent.pipeline.finaliser.prediction import SourceMeasures

    with np.load(level.directory / _LEVELS) as arrays:
        values = {**level.values, **arrays}
    loudness = Loudness(**{field.name: values.pop(field.name) for field in fields(Loudness)})
    return SourceMeasures(loudness=loudness, **values)


def album_measures(context: StageContext) -> dict[str, Any]:
    """What an album asks of song and mix."""
    from mixagent.pipeline.finaliser.album_levels import tone_db

    inputs = Results(context.inputs)
    tone = tone_db(Watched(inputs.mixed, context.progress))
    return {
        "momentary_lufs": [finite_or_none(level) for level in momentary_lufs(inputs.song)],
        "tone_db": [finite_or_none(level) for level in tone],
    }


def finalise_mix(context: StageContext) -> dict[str, Any]:
    """Gain and limiter, to the target."""
    from mixagent.pipeline.finaliser.codecs import CodecPlan
    from mixagent.pipeline.render import finished

    wanted = context.settings
    plan = CodecPlan(**{name: tuple(codecs) for name, codecs in wanted["codecs"].items()})
    finish, through = finished(
        Results(context.inputs).mixed,
        ParameterSpace.for_stems(()).settings(wanted["settings"]),
        LoudnessTarget(**wanted["target"]),
        context.directory,
        plan,
        levels(context.inputs["level"]),
        context.progress,
    )
    names = ("gain_db", "max_reduction_db", "transients_lost_db", "tails_lowered_db", "met", "missed")
    values = {name: getattr(finish, name) for name in names}
    return {
        "audio": _kept(finish.audio, context.directory),
        "renders": [_finite_measures(asdict(render)) for render in finish.renders],
        "codec_renders": [_codec_render(render) for render in through] if plan.checked else [],
        **values,
    }


def _codec_render(render: CodecRender) -> dict[str, Any]:
    values = _finite_measures({name: value for name, value in vars(render).items() if name != "checks"})
    return {**values, "checks": [_finite_measures(asdict(check)) for check in render.checks]}


def _finite_measures(measures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: finite_or_none(value) if isinstance(value, float) else value for name, value in measures.items()
    }


def _kept(audio: AudioSource, folder: Path) -> dict[str, Any]:
    """A reference to audio in a stage's folder, where it is put unless it lies there already."""
    if not isinstance(audio, DiskAudio) or audio.path.parent != folder:
        audio = spool(blocks(audio), folder / "audio.f32", audio.rate, audio.channels)
    return audio_reference(audio)
