"""What the commands do with songs: master and analyse them, from request to result."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.chain.amounts import ALL, Strengths, dimension
from mixagent.pipeline.chain.edits import NO_EDITS, Edits, Span, section
from mixagent.pipeline.chain.parameters import STEM_PLACES, ParameterSpace, Settings
from mixagent.pipeline.diagnosis.diagnose import FOUND, Diagnosis
from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.finaliser.codecs import CodecPlan, planned
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.graph.runner import Result, Stage
from mixagent.pipeline.io import (
    BitDepth,
    Texts,
    check_output,
    encode_all,
    replaygain_texts,
    resample,
)
from mixagent.pipeline.matching.goals import Goal
from mixagent.pipeline.measure.meters import Float64Array
from mixagent.pipeline.measure.song_bands import read_song
from mixagent.pipeline.separation import NoSeparator, choose_separator
from mixagent.pipeline.separation.choice import Choice
from mixagent.pipeline.types import AudioSource, Stems
from mixagent.policies import load_policy
from mixagent.policies.base import Context, Decision, Policy, laid_over
from mixagent.session.guidance import Wishes, known_wishes
from mixagent.session.reference_stages import matching_stage
from mixagent.session.references import References
from mixagent.session.reporting.build import analysis_object, build_report
from mixagent.session.running import Runner, opened_run
from mixagent.session.search import Search, searched, searching_stage
from mixagent.session.separators import stem_separator
from mixagent.session.stages import (
    ANALYSING,
    REPAIRS,
    Heard,
    heard_song,
    hearing_stages,
    levels,
    listening_stages,
    premaster_stages,
    rendering_stages,
    separating_stage,
)
from mixagent.session.stems_in import StemsIn, title_of
from mixagent.session.stems_stages import parts_stage, plan_of, stems_in_stages
from mixagent.settings import Config, load_config
from mixagent.song_files import beside
from mixagent.stem_files import StemFormat, all_parts, numbered_files, stem_files, write_stems
from mixagent.types import ShowProgress

LOSSY = (".mp3", ".ogg")
SAMPLE_RATES_HZ = (44_100, 48_000, 96_000)
"""The rates that a master may be asked for."""


@dataclass(frozen=True)
class Request:
    """What to do with one song.

    `amount` scales every correction; at 0 the song is given back untouched and no target is aimed
    at. `strengths` scale it once more in each dimension. `policy` stands in for the configured one, as in
    a replay. `search` renders try to better what the policy decides; 0 takes it as it is. With `stems_in`
    the stems are the user's own, and without a `song` their sum is the song. `also` are more files of the
    same master. `codecs` are those to check it with; None holds the ceiling through those of the files
    themselves, where all of them are lossy. `references` say what it is to sound like, `goal` says so in
    words, which `target_named` keeps from moving the target's loudness; `matchering` is the song that
    matchering listened to before, in a replay.

    Raises:
        UsageError: neither a song nor stems, a balance for stems of a song that has one, two outputs in
            one place, or a wish that `amount` 0 does not grant.
    """

    song: Path | None
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
    search: int = 0
    stems_in: StemsIn | None = None
    strengths: Strengths = ALL
    edits: Edits = NO_EDITS
    also: tuple[Path, ...] = ()
    codecs: CodecPlan | None = None
    replaygain: bool = False
    references: References | None = None
    goal: Goal | None = None
    target_named: bool = True
    matchering: Path | None = None

    def __post_init__(self) -> None:
        if self.song is None and self.stems_in is None:
            raise UsageError(
                f"nothing to master: name a song, or a folder of stems with {option('stems_in')}",
                field="song",
            )
        if len({path.absolute() for path in self.outputs}) < len(self.outputs):
            raise UsageError("two outputs have one name: give each another")
        ungranted = [*self.strengths.weakened(), *(name.removesuffix("_s") for name in self.edits.asked)]
        if self.amount == 0.0 and ungranted:
            raise UsageError(
                f"{option('amount', 0)} gives the song back as it is: leave out {option(ungranted[0])}",
                field="amount",
            )
        if self.song is not None and self.stems_in is not None and self.stems_in.balance != "keep":
            raise UsageError(
                f"{option('balance')} makes a mix of tracks: leave it out, or leave the song out",
                field="balance",
            )

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Every file that the master goes into."""
        return (self.output, *self.also)

    @property
    def codec_plan(self) -> CodecPlan:
        """The codecs to check the master with, and to hold its ceiling through."""
        return self.codecs or planned(False, None, [path.suffix.lower() for path in self.outputs])

    @property
    def restoration(self) -> float:
        """How much of the restoration is applied, 0..1."""
        return self.amount * self.strengths.restore

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file that is read and so never written to."""
        songs = () if self.song is None else (self.song,)
        tracks = () if self.stems_in is None else self.stems_in.files
        references = () if self.references is None else self.references.files
        return (*songs, *tracks, *references)

    @property
    def origin(self) -> Path:
        """What the master is made of, to be named by: the song, or the folder of its stems."""
        if self.song is not None:
            return self.song
        assert self.stems_in is not None
        return self.stems_in.folder


@dataclass(frozen=True)
class Mastered:
    """A finished master: the report object, and both sides to listen to while the session is open."""

    report: dict[str, Any]
    before: AudioSource
    after: AudioSource


def output_paths(
    song: Path | None, outputs: Sequence[Path], formats: Sequence[str], stems: Path | None = None
) -> list[Path]:
    """Where the master goes: as asked, or `SONG.master.wav` beside the song or beside its stems' folder.

    One output and several formats are files of one name, each with the suffix of its format.

    Raises:
        UsageError: an output whose suffix is not one of the formats asked for; nothing to name it by.
    """
    if not outputs:
        return [_default_output(song, stems, format) for format in formats or ("wav",)]
    for output in outputs:
        if formats and output.suffix.lower()[1:] not in formats:
            raise UsageError(
                f"{option('format', ','.join(formats))} and the output {output} do not agree", field="format"
            )
    if len(outputs) > 1 and len(formats) > 1:
        raise UsageError(
            f"several outputs have their own suffixes: leave {option('format')} out", field="format"
        )
    return [outputs[0].with_suffix(f".{format}") for format in formats] if len(formats) > 1 else [*outputs]


def _default_output(song: Path | None, stems: Path | None, format: str) -> Path:
    if song is not None:
        return beside(song, f".master.{format}")
    if stems is not None:
        return stems.absolute().with_name(f"{title_of(stems)}.master.{format}")
    raise UsageError(
        f"nothing to master: name a song, or a folder of stems with {option('stems_in')}", field="song"
    )


@dataclass(frozen=True)
class Premaster:
    """A song that was heard, decided on and mixed, while the level of its master is still open.

    Attributes:
        analysis: of the song as it came, as JSON.
        warnings: about the file.
        decision: what the policy decided.
        song_lufs: of the song, 400 ms windows, one each 100 ms; −inf for silence.
        mix_lufs: the same of the mix.
        tone_db: of the mix, one value a band, as `pipeline.album_levels.tone_db`; NaN where it is empty.
    """

    analysis: Mapping[str, Any]
    warnings: Sequence[str]
    decision: Decision
    song_lufs: Float64Array
    mix_lufs: Float64Array
    tone_db: Float64Array


def premaster_song(request: Request, progress: ShowProgress | None = None) -> Premaster:
    """All of a master but what its target decides; `master_song` finds it in the cache.

    Raises:
        MixagentError: of the kind that says what went wrong.
    """
    decoding = _decoding_stages(request)
    _check_master(request, SAMPLE_RATES_HZ[0])
    with opened_run(request.config, request.use_cache, progress) as run:
        _check_master(request, run.stages(decoding)["decode"].audio("audio").rate)
        request = _with_policy(request)
        decided = _decide(request, run, _parting(request, run))
        results = run.stages([*decided.hearing, *premaster_stages(_rendering(request, decided))])
        heard = results["analyse"].values
        return Premaster(
            analysis=heard["analysis"],
            warnings=results["decode"].values["warnings"],
            decision=decided.decision,
            song_lufs=_numbers(results["album"].values["momentary_lufs"], -math.inf),
            mix_lufs=levels(results["level"]).loudness.momentary_lufs,
            tone_db=_numbers(results["album"].values["tone_db"], math.nan),
        )


def _numbers(values: Sequence[float | None], otherwise: float) -> Float64Array:
    return np.array([otherwise if value is None else value for value in values], np.float64)


@contextmanager
def master_song(request: Request, progress: ShowProgress | None = None) -> Iterator[Mastered]:
    """Master a song and write it; the result's audio can be read while the context is open.

    Raises:
        MixagentError: of the kind that says what went wrong; nothing is left half written.
    """
    decoding = _decoding_stages(request)
    _check_master(request, SAMPLE_RATES_HZ[0])
    with opened_run(request.config, request.use_cache, progress) as run:
        song = run.stages(decoding)["decode"].audio("audio")
        _check_master(request, song.rate)
        request.edits.check(song.frames / song.rate)
        yield _untouched(request, run) if request.amount == 0.0 else _mastered(request, run)


def _decoding_stages(request: Request) -> list[Stage]:
    """The stages that leave the song, of which `decode` holds it."""
    song = None if request.song is None else listening_stages(request.song)[0]
    if request.stems_in is not None:
        return stems_in_stages(request.stems_in, song, request.amount)
    assert song is not None
    return [song]


def _check_master(request: Request, song_rate: int) -> None:
    rate = request.sample_rate or song_rate
    for path in request.outputs:
        check_output(path, rate, request.bit_depth, inputs=request.inputs)


def analyze_song(song: Path, progress: ShowProgress | None = None) -> dict[str, Any]:
    """Measures and diagnosis of a song as one versioned object."""
    with opened_run(load_config(), True, progress) as run:
        results = run.stages(listening_stages(song))
        return analysis_object(song, results["decode"].values, results["analyse"].values)


def _untouched(request: Request, run: Runner) -> Mastered:
    """Amount 0: the decoded song is written as it is."""
    if request.stems_folder is not None:
        raise UsageError(
            f"{option('amount', 0)} takes no song apart: use `mixagent split` for its stems", field="stems"
        )
    if request.search:
        raise UsageError(
            f"{option('amount', 0)} changes nothing, so there is nothing to search: "
            f"leave {option('search')} out",
            field="search",
        )
    results = run.stages([*_decoding_stages(request), ANALYSING])
    song = results["decode"].audio("audio")
    with scratch_folder() as scratch:
        rate = request.sample_rate or song.rate
        copied = resample(song, rate, scratch / "resampled.f32")
        warnings = _export(request, copied, run, lambda: results["analyse"])
    over_db = results["analyse"].values["analysis"]["sample_peak_dbfs"] or -math.inf
    clipping = [path for path in request.outputs if path.suffix.lower() not in LOSSY]
    if over_db > 0 and clipping and request.bit_depth != "32f":
        warnings.append(
            f"peaks {over_db:.1f} dB over full scale were clipped: write 32-bit float wav to keep them"
        )
    nothing = Decision(ParameterSpace.for_stems(()).settings(), {})
    report = build_report(request, results, run.events, nothing, nothing.settings, [], warnings)
    return Mastered(report, song, song)


def _mastered(request: Request, run: Runner) -> Mastered:
    request = _with_policy(request)
    parting = _parting(request, run)
    names = (*parting.stem_names, "residual")
    with _master_stems(request, names) as stem_files:
        decided = _fed_back(_decide(request, run, parting), run)
        request = decided.request
        heard, decision, search = decided.heard, decided.decision, decided.search
        settings = _applied(request, decision)
        *before_measure, measure = _every_stage(request, decided)
        after = run.stages(before_measure)["finalise"].audio("audio")
        warnings, results = _measured_export(request, after, run, [*before_measure, measure])
        before = section(heard.song, Span(*results["mix"].values["span_s"]))
        # Against the song as it came: the residual also holds what restoration took out.
        parts = all_parts(Stems(heard.song, heard.stems.parts))
        write_stems(parts, stem_files, request.song, run.show)
    models = _models(parting, results)
    report = build_report(
        request,
        results,
        run.events,
        decision,
        settings,
        models,
        warnings,
        search,
        decided.wishes,
        decided.feedback,
    )
    remembered = request.config.experience
    if remembered.remember:
        from mixagent.learning.experience_log import Made, record

        made = Made(report, decided.context, settings, heard.stems, before, after)
        report["warnings"] += record(made, remembered.keep_audio)
    return Mastered(report, before, after)


@dataclass(frozen=True)
class _Decided:
    """A song that was heard and decided on; the request has the target that came of the wishes."""

    request: Request
    wishes: Wishes
    hearing: list[Stage]
    heard: Heard
    context: Context
    decision: Decision
    search: dict[str, Any] | None
    feedback: dict[str, Any] | None = None


def _decide(request: Request, run: Runner, parting: _Parting) -> _Decided:
    """What the policy decides, what a search from there made of it, with its account, and the wishes.

    What was set by hand holds before the search and after it.
    """
    song = run.stages(_decoding_stages(request))["decode"].audio("audio")
    wishes = known_wishes(request.references, request.goal, song.frames / song.rate, run)
    request = replace(request, target=wishes.target(request.target, request.target_named))
    by_hand = partial(laid_over, values=request.config.chain, reason="set by hand")
    policy = request.policy
    assert policy is not None
    hearing = hearing_stages(
        _decoding_stages(request), parting.stage, parting.stem_names, request.config.pipeline
    )
    heard = heard_song(run.stages(hearing), request.restoration)
    context = _context(request, heard)
    decision, account = by_hand(policy.decide(context)), None
    if request.search:
        by_hand_names = tuple(request.config.chain)
        search = Search(context, decision, by_hand_names, request.search, request.seed)
        stage = searching_stage(heard, request.restoration, search)
        decision, account = searched(search, run.stages([*hearing, stage])[stage.name])
    decision = by_hand(wishes.decided(decision, heard.measures))
    return _Decided(request, wishes, hearing, heard, context, decision, account)


def _fed_back(decided: _Decided, run: Runner) -> _Decided:
    """What the feedback loop makes of the decision, with its account; unchanged where it may render once."""
    request, wishes = decided.request, decided.wishes
    if request.config.pipeline.renders == 1:
        return decided
    from mixagent.session.feedback import Loop, fed_back

    space = decided.decision.settings.space
    idle = {p.name for p in space if request.strengths.of(dimension(p.name)) == 0.0}
    loop = Loop(
        renders=request.config.pipeline.renders,
        aims=wishes.steered(request.target, _applied(request, decided.decision), decided.context.measures),
        held={*request.config.chain, *idle},
        stages=lambda decision: _every_stage(request, replace(decided, decision=decision)),
        edits=request.edits,
        rate=request.sample_rate,
    )
    decision, account = fed_back(loop, decided.decision, run)
    return replace(decided, decision=decision, feedback=account)


def _applied(request: Request, decision: Decision) -> Settings:
    """The settings that are rendered: as much of what was decided as was asked for."""
    return request.strengths.applied(decision.settings, request.amount)


def _every_stage(request: Request, decided: _Decided) -> list[Stage]:
    """Hearing and rendering; the last one measures."""
    return [*decided.hearing, *_rendering(request, decided)]


def _rendering(request: Request, decided: _Decided) -> list[Stage]:
    matchering = request.matchering or decided.wishes.matchering
    return rendering_stages(
        decided.heard,
        _applied(request, decided.decision),
        request.restoration,
        request.sample_rate,
        decided.request.target,
        request.edits,
        request.codec_plan,
        None if matchering is None else matching_stage(matchering, request.amount * request.strengths.eq),
    )


@dataclass(frozen=True)
class _Parting:
    """How the stems come about: the stage, the stems' names, and the row of the report."""

    stage: Stage
    stem_names: tuple[str, ...]
    model: Mapping[str, str]


def _parting(request: Request, run: Runner) -> _Parting:
    """The user's own stems, or a separator's.

    Raises:
        UsageError: stems are to be written, and the separator gives none.
    """
    if request.stems_in is not None:
        made = plan_of(run.stages(_decoding_stages(request))["place"])
        why = f"No separator ran: the stems are those of {request.stems_in.folder}."
        return _Parting(parts_stage(), made.roles, {"stage": "stems", "name": "stems-in", "why": why})
    config, device = request.config, request.device
    if request.stems_folder is not None:
        choice = stem_separator(config, device)
    elif config.pipeline.separator == "auto" and not _stems_matter(request, run):
        choice = Choice(NoSeparator(), "No separator ran: nothing that was to be done works on stems.")
    else:
        choice = choose_separator(config.pipeline.separator, device)
    model = {"stage": "separate", "name": choice.separator.name, "why": choice.why}
    stage = separating_stage(choice.separator, "decode", *REPAIRS)
    return _Parting(stage, choice.separator.stem_names, model)


def _stems_matter(request: Request, run: Runner) -> bool:
    """Whether anything that decides or was asked for reads or sets stems, or there is noise under a voice."""
    by_goal = () if request.goal is None else [name for wish in request.goal.wishes for name in wish.moves]
    if any(name.split(".", 1)[0] in STEM_PLACES for name in (*request.config.chain, *by_goal)):
        return True
    assert request.policy is not None
    if request.policy.hears_stems:
        return True
    heard = run.stages([*_decoding_stages(request), ANALYSING])["analyse"]
    noise = Diagnosis.from_json(heard.values["diagnosis"]).finding("noise")
    return request.config.pipeline.denoise and noise is not None and noise.severity >= FOUND


def _with_policy(request: Request) -> Request:
    """The request with the policy that decides, which is loaded once."""
    return replace(request, policy=request.policy or load_policy(request.config.policy.name))


@contextmanager
def _master_stems(request: Request, names: Sequence[str]) -> Iterator[Mapping[str, Path]]:
    folder = request.stems_folder
    if folder is None:
        yield {}
    elif request.song is not None:
        with stem_files(request.song, folder, names, inputs=request.inputs) as files:
            yield files
    else:
        rate = SAMPLE_RATES_HZ[0]  # any: wav takes them all
        with numbered_files(
            title_of(request.origin), rate, folder, names, StemFormat(), request.inputs
        ) as files:
            yield files


def _models(parting: _Parting, results: Mapping[str, Result]) -> list[dict[str, str]]:
    models = [dict(parting.model)]
    if not results["denoise"].skipped:
        why = results["denoise"].values["why"]
        models.append({"stage": "denoise", "name": "deepfilternet3", "why": why})
    return models


def _context(request: Request, heard: Heard) -> Context:
    space = ParameterSpace.for_stems(tuple(heard.stems.parts))
    return Context(
        heard.analysis,
        heard.stem_analyses,
        heard.diagnosis,
        request.target,
        space,
        heard.features,
        heard.measures,
        bands=lambda: read_song(heard.stems.mix),
    )


def _measured_export(
    request: Request, master: AudioSource, run: Runner, stages: Sequence[Stage]
) -> tuple[list[str], dict[str, Result]]:
    """Write the master while the last stage measures it; the file gets its name only if both went well."""
    cancel = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(run.stages, stages, cancel)

        def measured() -> dict[str, Result]:
            # What follows is loaded while the other threads are at work.
            import_module("mixagent.learning.experience_log")
            return measuring.result()

        try:
            return _export(request, master, run, lambda: measured()["measure"]), measured()
        finally:
            cancel.set()


def _export(request: Request, master: AudioSource, run: Runner, measured: Callable[[], Result]) -> list[str]:
    """Write the master; warnings for the user.

    `measured` gives the stage that holds its analysis, before a file gets its name; what it raises leaves
    none.
    """

    def shown(share: float) -> None:
        run.show("write", share)
        if share >= 1.0:
            measured()

    def tagged(texts: Texts) -> Mapping[str, list[str]]:
        analysis = measured().values["analysis"]
        levels = analysis["integrated_lufs"], analysis["sample_peak_dbfs"]
        return {} if None in levels else replaygain_texts(*levels)

    warnings = encode_all(
        master,
        request.outputs,
        request.bit_depth,
        seed=request.seed,
        inputs=request.inputs,
        tags_from=request.song,
        retag=tagged if request.replaygain else None,
        progress=shown,
    )
    return list(warnings)
