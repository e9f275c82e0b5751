"""One song through all stages: the stage list, the decision between hearing and rendering, the result.

The stage list is the one truth for the run, its progress and its cache. Hearing (decode to features)
depends on the song and the models alone; rendering depends on the settings that a policy decided
between the two. So another target, policy or amount finds everything that was heard in the cache.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs

from mixagent.account import analysis_object, build_report
from mixagent.pipeline.analysis import Analysis, analyse
from mixagent.pipeline.audio import AudioSource, Combination, DiskAudio, Stems, blocks, spool
from mixagent.pipeline.diagnosis import Diagnosis, diagnose
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.files import BitDepth, check_output, content_hash, decode, encode, probe, resample
from mixagent.pipeline.finaliser import finalise
from mixagent.pipeline.graph import (
    Cache,
    Result,
    Stage,
    StageContext,
    StageEvent,
    audio_reference,
    run_stages,
)
from mixagent.pipeline.meters import true_peak_dbtp
from mixagent.pipeline.parameters import ParameterSpace, Settings
from mixagent.pipeline.render import premaster
from mixagent.pipeline.restoration import declip, denoise_vocals
from mixagent.pipeline.separation import Separator, choose_separator
from mixagent.pipeline.targets import LoudnessTarget
from mixagent.policies import load_policy
from mixagent.policies.base import Context, Decision, Policy
from mixagent.progress import ShowProgress
from mixagent.settings import Config, load_config

LOSSY = (".mp3", ".ogg")


@dataclass(frozen=True)
class Request:
    """What to do with one song.

    `amount` scales every correction; at 0 the song is given back untouched and no target is aimed
    at. `policy` stands in for the configured one, as in a replay.
    """

    song: Path
    output: Path
    target: LoudnessTarget
    amount: float = 1.0
    bit_depth: BitDepth = "24"
    sample_rate: int | None = None
    device: str = "auto"
    seed: int = 0
    stems_folder: Path | None = None
    config: Config = field(default_factory=load_config)
    use_cache: bool = True
    policy: Policy | None = None


@dataclass(frozen=True)
class Mastered:
    """A finished master: the report object, and both sides to listen to while the session is open."""

    report: dict[str, Any]
    before: AudioSource
    after: AudioSource


@dataclass(frozen=True)
class Heard:
    """Everything that is known of a song before anything is decided."""

    song: AudioSource
    stems: Stems
    analysis: Analysis
    diagnosis: Diagnosis
    stem_analyses: Mapping[str, Analysis]
    results: Mapping[str, Result]


def cache_folder() -> Path:
    """Where finished stages are kept: `MIXAGENT_CACHE`, or the user's cache folder."""
    named = os.environ.get("MIXAGENT_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("mixagent")


def output_path(song: Path, output: Path | None, format: str | None) -> Path:
    """Where the master goes: as asked, or `SONG.master.wav` beside the song.

    Raises:
        UsageError: an output whose suffix is not the format asked for.
    """
    if output is None:
        return song.with_name(f"{song.stem}.master.{format or 'wav'}")
    if format is not None and output.suffix.lower() != f".{format}":
        raise UsageError(f"--format {format} and the output {output} do not agree")
    return output


@contextmanager
def master_song(request: Request, progress: ShowProgress | None = None) -> Iterator[Mastered]:
    """Master a song and write it; the result's audio can be read while the context is open.

    Raises:
        MixagentError: of the kind that says what went wrong; nothing is left half written.
    """
    _check(request)
    with _run(request.config, request.use_cache, progress) as run:
        if request.amount == 0.0:
            yield _untouched(request, run)
        else:
            yield _mastered(request, run)


def analyze_song(song: Path, progress: ShowProgress | None = None) -> dict[str, Any]:
    """Measures and diagnosis of a song as one versioned object."""
    with _run(load_config(), True, progress) as run:
        results = run.stages(_listening(song))
        return analysis_object(song, results["decode"].values, results["analyse"].values)


def compare_songs(files: Sequence[Path], progress: ShowProgress | None = None) -> dict[str, Any]:
    """`analyze_song` of each file, in one versioned object."""
    return {"schema": "mixagent.comparison/1", "files": [analyze_song(file, progress) for file in files]}


@dataclass(frozen=True)
class SplitRequest:
    """What to write of a song's stems: all of them, or the vocals and the rest."""

    song: Path
    folder: Path
    format: str = "wav"
    bit_depth: BitDepth = "24"
    vocals_only: bool = False
    device: str = "auto"
    config: Config = field(default_factory=load_config)
    use_cache: bool = True


def split_song(request: SplitRequest, progress: ShowProgress | None = None) -> dict[str, Any]:
    """Write a song's stems, with the residual, into a folder; they sum to the song.

    Raises:
        UsageError: a separator that gives no stems.
    """
    choice = choose_separator(request.config.pipeline.separator, request.device)
    if not choice.separator.stem_names:
        raise UsageError("--separator none gives no stems to write")
    with _run(request.config, request.use_cache, progress) as run:
        results = run.stages([*_listening(request.song), _separating(choice.separator, "decode")])
        stems = _stems(results["decode"].audio("audio"), results["separate"])
        parts = _vocals_and_rest(stems) if request.vocals_only else _all_parts(stems)
        return {
            "schema": "mixagent.split/1",
            "song": str(request.song),
            "model": {"name": choice.separator.name, "version": choice.separator.version, "why": choice.why},
            "seconds": round(run.events["separate"].seconds, 3),
            "files": _write_stems(parts, request.folder, request, run.show),
            "warnings": _said(results),
        }


def _all_parts(stems: Stems) -> dict[str, AudioSource]:
    return {**stems.parts, "residual": stems.residual}


def _vocals_and_rest(stems: Stems) -> dict[str, AudioSource]:
    vocals = stems.parts["vocals"]
    return {"vocals": vocals, "instrumental": Combination(((1.0, stems.mix), (-1.0, vocals)))}


def _write_stems(
    parts: Mapping[str, AudioSource], folder: Path, request: Request | SplitRequest, show: ShowProgress
) -> dict[str, str]:
    """Each part as a file of the folder, numbered so that a DAW sorts them in order."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = request.format if isinstance(request, SplitRequest) else "wav"
    files = {}
    for number, (name, part) in enumerate(parts.items(), 1):
        path = folder / f"{number:02d} {request.song.stem} - {name}.{suffix}"
        encode(
            part,
            path,
            request.bit_depth,
            inputs=[request.song],
            tags_from=request.song,
            progress=partial(show, f"write {name}"),
        )
        files[name] = str(path)
    return files


def _check(request: Request) -> None:
    rate = request.sample_rate or probe(request.song).rate
    check_output(request.output, rate, request.bit_depth, inputs=[request.song])


@dataclass
class _Runner:
    """Runs stages against one cache and remembers how each of them went."""

    cache: Cache
    show: ShowProgress
    events: dict[str, StageEvent] = field(default_factory=dict)

    def stages(self, stages: Sequence[Stage]) -> dict[str, Result]:
        return run_stages(stages, self.cache, self._heard)

    def _heard(self, event: StageEvent) -> None:
        if event.stage in self.events and self.events[event.stage].status != "running":
            return
        self.events[event.stage] = event
        self.show(event.stage, event.fraction)


@contextmanager
def _run(config: Config, use_cache: bool, progress: ShowProgress | None) -> Iterator[_Runner]:
    show = progress or (lambda stage, share: None)
    budget = config.pipeline.cache_gb * 1e9
    with Cache(cache_folder(), budget) if use_cache else Cache.temporary() as cache:
        yield _Runner(cache, show)


def _untouched(request: Request, run: _Runner) -> Mastered:
    """Amount 0: the decoded song is written as it is."""
    results = run.stages(_listening(request.song))
    song = results["decode"].audio("audio")
    with tempfile.TemporaryDirectory(prefix="mixagent-") as scratch:
        rate = request.sample_rate or song.rate
        warnings = _export(request, resample(song, rate, Path(scratch) / "resampled.f32"), run)
    nothing = Decision(ParameterSpace.for_stems(()).settings(), {})
    report = build_report(
        request, results, run.events, nothing, nothing.settings, [], [*_said(results), *warnings]
    )
    return Mastered(report, song, song)


def _mastered(request: Request, run: _Runner) -> Mastered:
    policy = request.policy or load_policy(request.config.policy.name)
    choice = choose_separator(request.config.pipeline.separator, request.device)
    hearing = hearing_stages(request, choice.separator)
    heard = _heard(request, run.stages(hearing))
    decision = policy.decide(_context(request, heard))
    settings = decision.settings.scaled(request.amount)
    results = run.stages([*hearing, *rendering_stages(request, heard, settings)])
    after = results["finalise"].audio("audio")
    warnings = [*_said(results), *_export(request, after, run)]
    if request.stems_folder is not None:
        _write_stems(_all_parts(heard.stems), request.stems_folder, request, run.show)
    models = [{"stage": "separate", "name": choice.separator.name, "why": choice.why}]
    report = build_report(request, results, run.events, decision, settings, models, warnings)
    return Mastered(report, heard.song, after)


def _said(results: Mapping[str, Result]) -> list[str]:
    return list(results["decode"].values["warnings"])


def _context(request: Request, heard: Heard) -> Context:
    space = ParameterSpace.for_stems(tuple(heard.stems.parts))
    return Context(heard.analysis, heard.stem_analyses, heard.diagnosis, request.target, space)


def hearing_stages(request: Request, separator: Separator) -> list[Stage]:
    """The stages that depend on the song and the models alone."""
    config = request.config.pipeline
    repaired = Stage("declip", partial(_declip, config.declip), ("decode", "analyse"), {"on": config.declip})
    separated = _separating(separator, "decode", "declip")
    denoised = Stage("denoise", partial(_denoise, config.denoise), ("separate",), {"on": config.denoise})
    features = [
        Stage(f"hear {name}", partial(_hear, name), ("separate", "denoise"), {"stem": name})
        for name in separator.stem_names
    ]
    return [*_listening(request.song), repaired, separated, denoised, *features]


def rendering_stages(request: Request, heard: Heard, settings: Settings) -> list[Stage]:
    """The stages that depend on what was decided."""
    needs = tuple(name for name in heard.results if name != "decode")
    mix = {"settings": settings.changed(), "amount": request.amount, "rate": request.sample_rate}
    return [
        Stage("mix", partial(_mix, heard, settings, request.sample_rate), needs, mix),
        Stage("finalise", partial(_finalise, request.target), ("mix",), asdict(request.target)),
        Stage("measure", _measure, ("finalise",)),
    ]


def _listening(song: Path) -> list[Stage]:
    decoding = Stage("decode", partial(_decode, song), settings={"sha256": content_hash(song)})
    return [decoding, Stage("analyse", _analyse, ("decode",))]


def _separating(separator: Separator, *needs: str) -> Stage:
    settings = {"name": separator.name, "version": separator.version}
    return Stage("separate", partial(_separate, separator), needs, settings)


def _decode(song: Path, context: StageContext) -> dict[str, Any]:
    decoded = decode(song, context.directory / "song.f32", context.progress)
    return {
        "audio": audio_reference(decoded.audio),
        "info": asdict(decoded.info),
        "warnings": list(decoded.warnings),
    }


def _analyse(context: StageContext) -> dict[str, Any]:
    return _measured(context.inputs["decode"].audio("audio"), context.progress)


def _measured(source: AudioSource, progress: Callable[[float], None]) -> dict[str, Any]:
    analysis = analyse(source)
    progress(0.5)
    return {"analysis": analysis.to_json(), "diagnosis": diagnose(source, analysis).to_json()}


def _declip(on: bool, context: StageContext) -> dict[str, Any] | None:
    if not on:
        return None
    restored = declip(context.inputs["decode"].audio("audio"), context.directory, context.progress)
    return {"audio": audio_reference(restored.audio), "why": restored.why} if restored.applied else None


def _separate(separator: Separator, context: StageContext) -> dict[str, Any]:
    stems = separator.separate(_repaired(context.inputs), context.directory, context.progress)
    return {"parts": {name: audio_reference(part) for name, part in stems.parts.items()}}


def _repaired(inputs: Mapping[str, Result]) -> AudioSource:
    declipped = inputs.get("declip")
    return (inputs["decode"] if declipped is None or declipped.skipped else declipped).audio("audio")


def _stems(mix: AudioSource, separated: Result) -> Stems:
    return Stems(mix, {name: separated.audio("parts", name) for name in separated.values["parts"]})


def _denoise(on: bool, context: StageContext) -> dict[str, Any] | None:
    separated = context.inputs["separate"]
    if not on or "vocals" not in separated.values["parts"]:
        return None
    restored = denoise_vocals(separated.audio("parts", "vocals"), context.directory, context.progress)
    return {"audio": audio_reference(restored.audio), "why": restored.why} if restored.applied else None


def _hear(name: str, context: StageContext) -> dict[str, Any]:
    restored = context.inputs["denoise"]
    if name == "vocals" and not restored.skipped:
        return {"analysis": analyse(restored.audio("audio")).to_json()}
    return {"analysis": analyse(context.inputs["separate"].audio("parts", name)).to_json()}


def _heard(request: Request, results: Mapping[str, Result]) -> Heard:
    song = results["decode"].audio("audio")
    stems = _stems(_blended(song, _repaired(results), request.amount), results["separate"])
    if not results["denoise"].skipped:
        restored = results["denoise"].audio("audio")
        stems = stems.with_part("vocals", _blended(stems.parts["vocals"], restored, request.amount))
    return Heard(
        song=song,
        stems=stems,
        analysis=Analysis.from_json(results["analyse"].values["analysis"]),
        diagnosis=Diagnosis.from_json(results["analyse"].values["diagnosis"]),
        stem_analyses={
            name: Analysis.from_json(results[f"hear {name}"].values["analysis"]) for name in stems.parts
        },
        results=results,
    )


def _blended(before: AudioSource, after: AudioSource, amount: float) -> AudioSource:
    if amount == 1.0 or before is after:
        return after
    return Combination(((1.0 - amount, before), (amount, after)))


def _mix(heard: Heard, settings: Settings, rate: int | None, context: StageContext) -> dict[str, Any]:
    mixed = premaster(heard.stems, settings, context.directory, progress=context.progress)
    if rate is not None and rate != mixed.rate:
        return {"audio": audio_reference(resample(mixed, rate, context.directory / "resampled.f32"))}
    if not isinstance(mixed, DiskAudio) or mixed.path.parent != context.directory:
        mixed = spool(blocks(mixed), context.directory / "mix.f32", mixed.rate, mixed.channels)
    return {"audio": audio_reference(mixed)}


def _finalise(target: LoudnessTarget, context: StageContext) -> dict[str, Any]:
    finish = finalise(context.inputs["mix"].audio("audio"), target, context.directory, context.progress)
    values = {f: getattr(finish, f) for f in ("gain_db", "max_reduction_db", "met", "missed")}
    renders = [asdict(render) for render in finish.renders]
    return {"audio": audio_reference(finish.audio), "renders": renders, **values}


def _measure(context: StageContext) -> dict[str, Any]:
    return _measured(context.inputs["finalise"].audio("audio"), context.progress)


def _export(request: Request, master: AudioSource, run: _Runner) -> list[str]:
    """Write the master, and the stems if asked; warnings for the user."""
    show = partial(run.show, "write")
    warnings = encode(
        master,
        request.output,
        request.bit_depth,
        seed=request.seed,
        inputs=[request.song],
        tags_from=request.song,
        progress=show,
    )
    return [*warnings, *_lossy_overshoot(request)]


def _lossy_overshoot(request: Request) -> list[str]:
    """What a lossy encoder made of the ceiling: measured on the written file."""
    if request.output.suffix.lower() not in LOSSY:
        return []
    with tempfile.TemporaryDirectory(prefix="mixagent-") as scratch:
        peak_dbtp = true_peak_dbtp(decode(request.output, Path(scratch) / "written.f32").audio)
    if peak_dbtp <= request.target.ceiling_dbtp:
        return []
    return [
        f"{request.output.suffix[1:]} encoding raised the true peak to {peak_dbtp:.2f} dBTP: "
        "write wav or flac, or lower --ceiling"
    ]
