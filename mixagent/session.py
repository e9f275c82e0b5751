"""What the commands do with songs: master, analyse and compare them, from request to result."""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from mixagent.account import analysis_object, build_report
from mixagent.pipeline.audio import AudioSource, Stems
from mixagent.pipeline.errors import UsageError
from mixagent.pipeline.files import BitDepth, check_output, decode, encode, resample
from mixagent.pipeline.graph import Result, Stage
from mixagent.pipeline.meters import true_peak_dbtp
from mixagent.pipeline.parameters import ParameterSpace
from mixagent.pipeline.separation import Choice, choose_separator
from mixagent.pipeline.targets import LoudnessTarget
from mixagent.policies import load_policy
from mixagent.policies.base import Context, Decision, Policy
from mixagent.progress import ShowProgress
from mixagent.running import Runner, beside, opened_run
from mixagent.searching import Search, searched, searching_stage
from mixagent.settings import Config, load_config
from mixagent.splitting import stem_separator
from mixagent.stages import (
    Heard,
    heard_song,
    hearing_stages,
    listening_stages,
    rendering_stages,
)
from mixagent.stem_files import all_parts, stem_files, write_stems

LOSSY = (".mp3", ".ogg")
SAMPLE_RATES_HZ = (44_100, 48_000, 96_000)
"""The rates that a master may be asked for."""


@dataclass(frozen=True)
class Request:
    """What to do with one song.

    `amount` scales every correction; at 0 the song is given back untouched and no target is aimed
    at. `policy` stands in for the configured one, as in a replay. `search` renders try to better what
    the policy decides; 0 takes it as it is.
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
    search: int = 0


@dataclass(frozen=True)
class Mastered:
    """A finished master: the report object, and both sides to listen to while the session is open."""

    report: dict[str, Any]
    before: AudioSource
    after: AudioSource


def output_path(song: Path, output: Path | None, format: str | None) -> Path:
    """Where the master goes: as asked, or `SONG.master.wav` beside the song.

    Raises:
        UsageError: an output whose suffix is not the format asked for.
    """
    if output is None:
        return beside(song, f".master.{format or 'wav'}")
    if format is not None and output.suffix.lower() != f".{format}":
        raise UsageError(f"--format {format} and the output {output} do not agree")
    return output


@contextmanager
def master_song(request: Request, progress: ShowProgress | None = None) -> Iterator[Mastered]:
    """Master a song and write it; the result's audio can be read while the context is open.

    Raises:
        MixagentError: of the kind that says what went wrong; nothing is left half written.
    """
    decoding, *_ = listening_stages(request.song)
    _check_master(request, SAMPLE_RATES_HZ[0])
    with opened_run(request.config, request.use_cache, progress) as run:
        _check_master(request, run.stages([decoding])[decoding.name].audio("audio").rate)
        yield _untouched(request, run) if request.amount == 0.0 else _mastered(request, run)


def _check_master(request: Request, song_rate: int) -> None:
    rate = request.sample_rate or song_rate
    check_output(request.output, rate, request.bit_depth, inputs=[request.song])


def analyze_song(song: Path, progress: ShowProgress | None = None) -> dict[str, Any]:
    """Measures and diagnosis of a song as one versioned object."""
    with opened_run(load_config(), True, progress) as run:
        results = run.stages(listening_stages(song))
        return analysis_object(song, results["decode"].values, results["analyse"].values)


def compare_songs(files: Sequence[Path], progress: ShowProgress | None = None) -> dict[str, Any]:
    """`analyze_song` of each file, in one versioned object."""
    return {"schema": "mixagent.comparison/1", "files": [analyze_song(file, progress) for file in files]}


def _untouched(request: Request, run: Runner) -> Mastered:
    """Amount 0: the decoded song is written as it is."""
    if request.stems_folder is not None:
        raise UsageError("--amount 0 takes no song apart: use `mixagent split` for its stems")
    if request.search:
        raise UsageError("--amount 0 changes nothing, so there is nothing to search: leave --search out")
    results = run.stages(listening_stages(request.song))
    song = results["decode"].audio("audio")
    with tempfile.TemporaryDirectory(prefix="mixagent-") as scratch:
        rate = request.sample_rate or song.rate
        warnings = _export(request, resample(song, rate, Path(scratch) / "resampled.f32"), run)
    over_db = results["analyse"].values["analysis"]["sample_peak_dbfs"] or -math.inf
    if over_db > 0 and request.output.suffix.lower() not in LOSSY and request.bit_depth != "32f":
        warnings.append(
            f"peaks {over_db:.1f} dB over full scale were clipped: write wav with --bit-depth 32f"
        )
    nothing = Decision(ParameterSpace.for_stems(()).settings(), {})
    report = build_report(request, results, run.events, nothing, nothing.settings, [], warnings)
    return Mastered(report, song, song)


def _mastered(request: Request, run: Runner) -> Mastered:
    policy = request.policy or load_policy(request.config.policy.name)
    choice = choose_separator(request.config.pipeline.separator, request.device)
    with _master_stems(request) as stem_files:
        hearing = hearing_stages(request.song, request.config.pipeline, choice.separator)
        heard = heard_song(run.stages(hearing), request.amount)
        context = _context(request, heard)
        decision, search = _decided(request, run, policy, hearing, heard, context)
        settings = decision.settings.scaled(request.amount)
        rendering = rendering_stages(heard, settings, request.amount, request.sample_rate, request.target)
        *before_measure, measure = [*hearing, *rendering]
        after = run.stages(before_measure)["finalise"].audio("audio")
        warnings, results = _measured_export(request, after, run, [*before_measure, measure])
        warnings += _lossy_overshoot(request)
        # Against the song as it came: the residual also holds what restoration took out.
        parts = all_parts(Stems(heard.song, heard.stems.parts))
        write_stems(parts, stem_files, request.song, run.show)
    models = _models(choice, results)
    report = build_report(request, results, run.events, decision, settings, models, warnings, search)
    remembered = request.config.experience
    if remembered.remember:
        from mixagent.recording import Made, record

        made = Made(report, context, settings, heard.stems, heard.song, after)
        report["warnings"] += record(made, remembered.keep_audio)
    return Mastered(report, heard.song, after)


def _decided(
    request: Request,
    run: Runner,
    policy: Policy,
    hearing: Sequence[Stage],
    heard: Heard,
    context: Context,
) -> tuple[Decision, dict[str, Any] | None]:
    """What the policy decides, and what a search from there made of it, with its account."""
    decision = policy.decide(context)
    if not request.search:
        return decision, None
    search = Search(context, decision, request.search, request.seed)
    stage = searching_stage(heard, request.amount, search)
    return searched(search, run.stages([*hearing, stage])[stage.name])


@contextmanager
def _master_stems(request: Request) -> Iterator[Mapping[str, Path]]:
    if request.stems_folder is None:
        yield {}
        return
    names = (*stem_separator(request.config, request.device).separator.stem_names, "residual")
    with stem_files(request.song, request.stems_folder, names) as files:
        yield files


def _models(choice: Choice, results: Mapping[str, Result]) -> list[dict[str, str]]:
    models = [{"stage": "separate", "name": choice.separator.name, "why": choice.why}]
    if not results["denoise"].skipped:
        why = results["denoise"].values["why"]
        models.append({"stage": "denoise", "name": "deepfilternet3", "why": why})
    return models


def _context(request: Request, heard: Heard) -> Context:
    space = ParameterSpace.for_stems(tuple(heard.stems.parts))
    return Context(
        heard.analysis, heard.stem_analyses, heard.diagnosis, request.target, space, heard.features
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
            import_module("mixagent.recording")
            return measuring.result()

        try:
            return _export(request, master, run, measured), measured()
        finally:
            cancel.set()


def _export(
    request: Request, master: AudioSource, run: Runner, before_naming: Callable[[], object] = lambda: None
) -> list[str]:
    """Write the master; warnings for the user. What `before_naming` raises leaves no file."""

    def shown(share: float) -> None:
        run.show("write", share)
        if share >= 1.0:
            before_naming()

    warnings = encode(
        master,
        request.output,
        request.bit_depth,
        seed=request.seed,
        inputs=[request.song],
        tags_from=request.song,
        progress=shown,
    )
    return list(warnings)


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
