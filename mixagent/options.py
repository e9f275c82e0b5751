"""Text to types: what a person types or a caller has at hand becomes a request, or an error with its field.

The command line, the library and whatever else takes options share this one place. Values may be text or
numbers alike: `target="spotify"`, `target=-11.5`, `bit_depth=16`, `amount="0.5"`.
"""

from __future__ import annotations

import difflib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast, get_args

from mixagent.albums.order import ordered
from mixagent.albums.run import AlbumRequest
from mixagent.conductor.state import Move
from mixagent.daw.project import SUFFIXES, Format, ProjectRequest
from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.chain.edits import Edits
from mixagent.pipeline.chain.parameters import REPAIR, repair_amounts
from mixagent.pipeline.errors import InputError, MixagentError, UsageError, option
from mixagent.pipeline.finaliser.album_levels import BOUND_LU, TONE_SHARE
from mixagent.pipeline.finaliser.codecs import CodecPlan, planned
from mixagent.pipeline.finaliser.targets import LoudnessTarget, loudness_target
from mixagent.pipeline.io import BitDepth
from mixagent.pipeline.matching.goals import Goal
from mixagent.pipeline.matching.reading import understood
from mixagent.pipeline.multitrack.plan import Balance
from mixagent.pipeline.names import place_key
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.pipeline.separation import STEM_SETS
from mixagent.report.writer import FORMATS as REPORT_FORMATS
from mixagent.report.writer import check_reports
from mixagent.restoring.run import RestoreRequest
from mixagent.session.references import DIMENSIONS, METHODS, Reference, References, check_references
from mixagent.session.request import SAMPLE_RATES_HZ, Conducting, Leading, Request, output_paths
from mixagent.session.stems_in import StemsIn
from mixagent.settings import MOST_RENDERS, ConductorConfig, Config, load_config
from mixagent.song_files import (
    MASTER_ENDING,
    SongFile,
    beside,
    find_songs,
    output_folders,
    without_made,
)
from mixagent.splitting.run import SplitRequest

if TYPE_CHECKING:
    from mixagent.pipeline.plugins.inserts import Insert

PathLike = Path | str
Number = float | str
"""A number, or text that is one."""

Named = str | Sequence[str]
"""One name, several separated by commas, or a sequence of them."""

AUDIO_FORMATS = ("wav", "flac", "mp3", "ogg")
"""Suffixes of the files that are written."""

DEVICES = ("auto", "cpu", "cuda")
INTENTS = ("streaming", "loud", "reference")
STEM_RATES_HZ = (44_100, 48_000)
"""The rates that stems may be asked for."""

RESTORED_ENDING = ".restored"
"""Ending of the name of a repaired song, before its suffix, unless it was given another."""

PREVIEW_ENDING = ".preview"
"""Ending of the name of a preview, before its suffix, unless it was given another."""

ALBUM_ENDING = ".mastered"
"""Ending of the folder that an album's masters go into."""

URL_VARIABLE, MODEL_VARIABLE = "MIXAGENT_LLM_URL", "MIXAGENT_LLM_MODEL"
NO_MODEL = "none"
"""Instead of a model's name: none is to lead, whatever the environment says."""

_HIGHEST_CEILING_DBTP, _LOWEST_CEILING_DBTP = 0.0, -20.0
_PREVIEW_S = (1.0, 600.0)
_MOST_SEED = 2**63 - 1
_MOST_SHOWN = 10**30
_MOST_SEARCHED = 100_000
_MOST_SHIFTS = 100
_WIDEST_LU = 20.0
_LONGEST_GAP_S = 60.0


# --- the options -------------------------------------------------------------------------------------


class EngineOptions(TypedDict, total=False):
    """Options of everything that works on a song."""

    bit_depth: int | str | None
    """16, 24 or 32f: depth of wav and flac output. Default 24; of stems 32f, in flac 24."""
    sample_rate: int | str | None
    """Of the output in Hz: 44100, 48000 or, for a master, 96000; keep, the default, is the song's own."""
    separator: str | None
    """auto (the default), embedded, spleeter, none, or the name of a Demucs model."""
    device: str
    """auto (the default), cpu or cuda."""
    seed: Number
    """0 or more: of the dither and of whatever else is drawn at random. Default 0."""


class MasteringOptions(EngineOptions, total=False):
    """Options that a song's master and an album have in common."""

    ceiling: Number | None
    """True-peak ceiling, -20 to 0 dBTP. Default: the target's, as a rule -1."""
    amount: Number
    """How much of the correction, 0..1. Default 1; 0 gives a song back untouched, an album needs more."""
    format: Named | None
    """wav, flac, mp3 or ogg; one master takes several. Default: the output's suffix, else wav."""
    replaygain: bool
    """Tag the files with their ReplayGain 2.0. Default False."""
    policy: PathLike | None
    """band (the default), rules, neutral, learned, or a trained policy's name or folder."""
    overrides: Sequence[str] | Mapping[str, object] | None
    """Values of `conf/` and parameters of the chain, as `KEY=VALUE` or by key. Default: none."""


class MasterOptions(MasteringOptions, total=False):
    """Keyword arguments of a master, named as the command line's options are."""

    output: PathLike | Sequence[PathLike] | None
    """File of the master, or several of one master. Default: none, the master stays in memory."""
    target: Number | LoudnessTarget | None
    """A platform or intent by name, or -40 to -5 LUFS. Default: streaming, -14 LUFS."""
    intent: str | None
    """streaming, loud or reference (as loud as `reference`), where no target is named.
    Default: reference where there is one, else streaming."""
    eq: Number
    """Strength of equalisation, 0..1, multiplied by `amount`. Default 1."""
    dynamics: Number
    """Strength of dynamics and levels, 0..1. Default 1."""
    width: Number
    """Strength of stereo width and rooms, 0..1. Default 1."""
    saturation: Number
    """Strength of saturation and clipping, 0..1. Default 1."""
    restore: Number
    """Strength of repairs, 0..1. Default 1."""
    reference: PathLike | Sequence[PathLike] | Mapping[str, float] | None
    """Songs, profiles (.json) or `genre:NAME` to sound like, each with `=WEIGHT` over 0 or by weight."""
    reference_tone: PathLike | Sequence[PathLike] | Mapping[str, float] | None
    """Others for the tone alone."""
    reference_dynamics: PathLike | Sequence[PathLike] | Mapping[str, float] | None
    """Others for the dynamics alone."""
    reference_width: PathLike | Sequence[PathLike] | Mapping[str, float] | None
    """Others for the width alone."""
    reference_method: str
    """profile (the default), or matchering for the tone and width of a single song."""
    goal: str | None
    """What it should be like, in words: "warm, wide, less harsh"."""
    stems_in: PathLike | None
    """Folder of tracks to mix instead of separating the song; without a song their sum is the song."""
    roles: Sequence[str] | Mapping[str, str] | None
    """Roles of tracks of `stems_in`, as `FILE=ROLE` or by file."""
    align: bool
    """Whether offsets and polarity of those tracks may be undone. Default True."""
    balance: str
    """keep (the default) their levels, or auto: a starting balance for raw tracks."""
    stems: PathLike | None
    """Folder for the stems too, 32-bit float wav. Default: they are not written."""
    project: PathLike | None
    """Folder for the mix as a project to open in a workstation, with its stems. Default: none."""
    project_format: Named | None
    """Which of them: reaper, dawproject. Default: both."""
    fade_in: Number
    """Seconds, 0 (the default) or more."""
    fade_out: Number
    """Seconds, 0 (the default) or more."""
    trim_silence: bool
    """Cut the silence at both ends. Default False."""
    check_codecs: bool
    """Measure what lossy codecs make of the true peak. Default False."""
    codec_safe: bool | None
    """Hold the ceiling after these codecs too. Default: only where every output is lossy."""
    codecs: Named | None
    """Which codecs the last two mean: mp3, aac, ogg, opus. Default: all that are here."""
    search: Number
    """How many settings to try to better the policy's. Default 0."""
    conductor: bool
    """Let agents hear renders and better what was decided. Default False."""
    until: Number | None
    """Let the conductor stop where the voice's opinion score, 1 to 5, is as high. Default: none."""
    judge: PathLike | None
    """With `until`: a TorchScript module that also grades the voice, (1, frames) at 16 kHz. Default: none."""
    model_url: str | None
    """Endpoint of a language model that may lead the conductor. Default: that of MIXAGENT_LLM_URL, if any."""
    model: str | None
    """The model's name there; none lets no model lead. Default: MIXAGENT_LLM_MODEL."""
    ask: bool | Callable[[Move], bool]
    """Is asked for a yes before the conductor renders a move. Default False: nobody is."""
    renders: Number | None
    """1 to 4: how often to render, measure and revise. Default 4; 1 takes the first."""
    report: PathLike | Sequence[PathLike] | None
    """Reports to write: .html, .json, or html and json alone for one beside the master of its name."""
    dry_run: bool
    """Say what is found and what would be done; render and write nothing. Default False."""
    preview: Number | None
    """Render the loudest part of so many seconds alone, 1 to 600. Default: all of the song."""
    plugins: Sequence[str] | Mapping[str, str] | None
    """Plug-ins in place of effects, as `SLOT=NAME` or by slot: `comp=ZamCompX2`. Default: none."""
    dual_mono: bool
    """Count the loudness of a song of one channel as of two, 3 LU more. Default False."""
    no_overwrite: bool
    """Refuse outputs and reports that are there already, before any work. Default False."""
    no_cache: bool
    """Neither use nor leave finished stages. Default False."""


class SplitOptions(EngineOptions, total=False):
    """Keyword arguments of a split into stems."""

    output: PathLike | None
    """Folder for the files of one song; for a folder each of several. Default: beside each song."""
    stems: Number | None
    """2, 4, 5 or 6. Default: all that the separator gives, 4 where it is chosen too."""
    format: str
    """wav (the default), flac, mp3 or ogg."""
    normalise: bool
    """One gain for all stems of a song, so that the highest peak comes to -1 dBFS. Default False."""
    shifts: Number
    """1 (the default) or more: runs that are averaged, each on the song shifted at random."""
    no_cache: bool
    """Neither use nor leave finished stages. Default False."""


class RestoreKeywords(TypedDict, total=False):
    """Keyword arguments of the repairs alone, beside `output`."""

    only: Named | None
    """Names of the repairs to run; one for stems takes the song apart. Default: all that are for the mix."""
    without: Named | None
    """Names of repairs that are left out."""
    amounts: Sequence[str] | Mapping[str, Number] | None
    """Shares of repairs, 0..1, as `NAME=SHARE` or by name. Default: each repair's own, by what it finds."""
    bit_depth: int | str | None
    """16, 24 or 32f: depth of wav and flac output. Default: the song's own."""
    report: PathLike | Sequence[PathLike] | None
    """Reports to write: .html, .json, or html and json alone for one beside the output of its name."""
    dry_run: bool
    """Say what is found and what would be done; write nothing. Default False."""
    separator: str | None
    """Where a repair is for stems: auto (the default), embedded, spleeter, or the name of a Demucs model."""
    device: str
    """auto (the default), cpu or cuda."""
    seed: Number
    """0 or more: of the dither. Default 0."""
    overrides: Sequence[str] | Mapping[str, object] | None
    """Values of `conf/`, and amounts as `repair.NAME=SHARE`. Default: none."""
    no_overwrite: bool
    """Refuse an output and reports that are there already, before any work. Default False."""
    no_cache: bool
    """Neither use nor leave finished stages. Default False."""


class RestoreOptions(RestoreKeywords, total=False):
    """All options of the repairs alone."""

    output: PathLike | None
    """File of the repaired song. Default: none, it stays in memory."""


class AlbumOptions(MasteringOptions, total=False):
    """Keyword arguments of an album."""

    output: PathLike | None
    """Folder of the masters. Default: `DIR.mastered`."""
    album_loudness: Number | LoudnessTarget
    """Of all songs as one programme: a target's name or LUFS. Default: streaming."""
    within: Number
    """How far a song may lie from the album's loudness, 0 to 20 LU. Default 6."""
    tone: Number
    """Share of its way to the album's mean tone that each song goes, 0..1. Default 1/3."""
    cue: PathLike | None
    """Cue sheet with order, titles and pauses. Default: numbers in tags and names."""
    write_cue: bool
    """Write `album.cue` beside the masters. Default False."""
    gap: Number | None
    """Silence between songs in that sheet, 0 to 60 s. Default: as `cue` has it, else none."""


# --- requests ----------------------------------------------------------------------------------------


def master_request(song: PathLike | None, options: MasterOptions) -> Request:
    """The master of one song.

    Args:
        song: the audio file; None takes the sum of `stems_in`.
        options: as `MasterOptions` has them.

    Raises:
        UsageError: an option that is not known or a value that makes no sense; its `field` says which.
        InputError: a reference or a folder of stems that cannot be read.
        ModelMissingError: a codec that was named and is not installed.
    """
    check_known(options, MasterOptions)
    found = config(options, options.get("renders"))
    path = None if song is None else Path(song)
    amount = number("amount", options.get("amount", 1.0), 0.0, 1.0)
    stems_in = _path("stems_in", options.get("stems_in"))
    outputs = _outputs(path, stems_in, options)
    target, preview = options.get("target"), options.get("preview")
    as_loud = sounds_as_loud(options)
    dry_run = switch("dry_run", options.get("dry_run", False))
    found = config(options, options.get("renders"))
    written = [] if dry_run else outputs
    request = Request(
        song=path,
        output=written[0] if written else None,
        also=tuple(written[1:]),
        stems_in=_stems_in(path, stems_in, options),
        target=_target("target", "streaming" if target is None and as_loud else target, options),
        references=_references(options, as_loud and target is None, path),
        goal=_goal(options.get("goal")),
        target_named=target is not None,
        amount=amount,
        strengths=Strengths(
            **{
                name: number(name, cast(Number, options.get(name, 1.0)), 0.0, 1.0)
                for name in ("eq", "dynamics", "width", "saturation", "restore")
            }
        ),
        bit_depth=bit_depth(options.get("bit_depth")) or "24",
        sample_rate=sample_rate(options.get("sample_rate"), SAMPLE_RATES_HZ),
        device=choice("device", options.get("device", "auto"), DEVICES),
        seed=whole("seed", options.get("seed", 0), 0, _MOST_SEED),
        stems_folder=_path("stems", options.get("stems")),
        project=_project(options),
        config=found,
        inserts=_inserts(found),
        use_cache=not switch("no_cache", options.get("no_cache", False)),
        search=whole("search", options.get("search", 0), 0, _MOST_SEARCHED),
        conductor=_conductor(options, found.conductor),
        edits=Edits(
            number("fade_in", options.get("fade_in", 0.0), 0.0, math.inf, "s"),
            number("fade_out", options.get("fade_out", 0.0), 0.0, math.inf, "s"),
            switch("trim_silence", options.get("trim_silence", False)),
        ),
        codecs=_codecs(options, outputs, amount),
        replaygain=switch("replaygain", options.get("replaygain", False)),
        dual_mono=switch("dual_mono", options.get("dual_mono", False)),
        dry_run=dry_run,
        preview_s=None if preview is None else number("preview", preview, *_PREVIEW_S, "s"),
    )
    _check_free(request, options)
    return request


def _conductor(options: MasterOptions, conf: ConductorConfig) -> Conducting | None:
    until = options.get("until")
    if not switch("conductor", options.get("conductor", False)):
        for name in ("until", "model_url", "model", "ask"):
            if options.get(name) not in (None, False):
                raise UsageError(
                    f"{option(name)} is for the conductor: give {option('conductor')} too", field=name
                )
        return None
    judge = _path("judge", options.get("judge"))
    if judge is not None and until is None:
        raise UsageError(f"{option('judge')} grades for {option('until')}: give that too", field="judge")
    return Conducting(
        until=None if until is None else number("until", until, 1.0, 5.0),
        judge=judge,
        model=_leading(options, conf),
        ask=_ask(options.get("ask", False)),
        runner=conf.runner,
        checkpoints=Path(conf.checkpoints) if conf.checkpoints else None,
    )


def _leading(options: MasterOptions, conf: ConductorConfig) -> Leading | None:
    """The language model that was given, or that the environment names; None for none."""
    from mixagent.conductor.endpoint import KEY_VARIABLE, Endpoint

    url = options.get("model_url") or conf.model_url or os.environ.get(URL_VARIABLE, "")
    name = options.get("model") or conf.model or os.environ.get(MODEL_VARIABLE, "")
    if name == NO_MODEL or not (url or name):
        return None
    if not url or not name:
        missing = "model" if url else "model_url"
        raise UsageError(
            f"a language model has an address and a name: give {option(missing)} too", field=missing
        )
    endpoint = Endpoint(url, name, os.environ.get(KEY_VARIABLE, ""))
    return Leading(
        endpoint.url,
        endpoint.model,
        conf.renders,
        conf.requests,
        conf.tokens,
        conf.seconds,
        conf.total_seconds,
    )


def _ask(asked: bool | Callable[[Move], bool]) -> Callable[[Move], bool] | None:
    if callable(asked):
        return asked
    if switch("ask", asked):
        raise UsageError("to be asked, give a function that is shown a move and says yes or no", field="ask")
    return None


def with_outputs(song: PathLike | None, options: MasterOptions) -> MasterOptions:
    """The options with files for the master, `SONG.master.wav` or `SONG.preview.wav` where none is named.

    Raises:
        UsageError: formats that are not known or do not suit the files; nothing to name them by.
    """
    path, stems_in = None if song is None else Path(song), _path("stems_in", options.get("stems_in"))
    outputs = output_paths(path, _paths("output", options.get("output")), _formats(options), stems_in)
    if options.get("preview") is not None and not options.get("output"):
        outputs = [_preview_name(output) for output in outputs]
    return cast(MasterOptions, {**options, "output": outputs, "format": None})


def report_paths(request: Request, options: MasterOptions) -> tuple[Path, ...]:
    """Where the reports of a master go; `html` and `json` alone are named by the master's file.

    Raises:
        UsageError: a file that is no report, or one of the inputs.
        OutputError: a folder that is not there or may not be written to.
    """
    paths = _report_names(request.output, request.dry_run, options)
    with _about("report"):
        check_reports(paths, request.inputs)
    return paths


def options_of_each(songs: Sequence[PathLike], options: MasterOptions) -> list[tuple[Path, MasterOptions]]:
    """Songs, and folders of them, with the options that each is mastered by.

    The masters go beside their songs or, as the songs lie, into the folder that `output` names, and
    `stems` and `project` likewise hold a folder for each song. Masters that were made before are passed
    over in folders.

    Raises:
        UsageError: an option that several songs cannot share.
        InputError: a folder without songs.
    """
    for name in ("stems_in", "roles", "balance"):
        if options.get(name, "keep") not in (None, "keep"):
            raise UsageError(f"{option(name)} is for one song: several were named", field=name)
    if any(str(report) not in ("html", "json") for report in _paths("report", options.get("report"))):
        raise UsageError(
            f"several songs have a report each: write {option('report', 'html')} or json, "
            "which goes beside each master",
            field="report",
        )
    folder, stems, project = (_one_folder(name, options.get(name)) for name in ("output", "stems", "project"))
    found = _without_masters(find_songs([_named("songs", song) for song in songs]))
    found = found if folder is None else without_made(found, folder)
    ending = MASTER_ENDING if options.get("preview") is None else PREVIEW_ENDING
    masters = _master_names(found, folder, _formats(options) or ["wav"], ending)
    none: list[Path | None] = [None] * len(found)
    stem_folders = none if stems is None else output_folders(found, stems, ".stems")
    projects = none if project is None else output_folders(found, project, ".project")
    shared: dict[str, Any] = {key: value for key, value in options.items() if key != "format"}
    return [
        (song.path, cast(MasterOptions, {**shared, "output": outputs, "stems": own, "project": into}))
        for song, outputs, own, into in zip(found, masters, stem_folders, projects, strict=True)
    ]


def split_requests(
    songs: Sequence[PathLike], options: SplitOptions, ending: str = ".stems"
) -> list[SplitRequest]:
    """The split of each song, and of each in the folders among them.

    Args:
        songs: audio files, and folders of them.
        options: as `SplitOptions` has them.
        ending: of each song's folder.

    Raises:
        UsageError: an option that is not known or a value that makes no sense; its `field` says which.
        InputError: a folder without songs.
    """
    check_known(options, SplitOptions)
    found = find_songs([_named("songs", song) for song in songs])
    folders = output_folders(found, _path("output", options.get("output")), ending)
    stems = options.get("stems")
    counts = tuple(map(str, STEM_SETS))
    shared: dict[str, Any] = {
        "stems": None if stems is None else int(choice("stems", stems, counts, "number of stems")),
        "format": choice("format", options.get("format", "wav"), AUDIO_FORMATS),
        "bit_depth": bit_depth(options.get("bit_depth")),
        "sample_rate": sample_rate(options.get("sample_rate"), STEM_RATES_HZ),
        "normalise": switch("normalise", options.get("normalise", False)),
        "shifts": whole("shifts", options.get("shifts", 1), 1, _MOST_SHIFTS),
        "seed": whole("seed", options.get("seed", 0), 0, _MOST_SEED),
        "device": choice("device", options.get("device", "auto"), DEVICES),
        "config": config(options),
        "use_cache": not switch("no_cache", options.get("no_cache", False)),
    }
    return [SplitRequest(song.path, folder, **shared) for song, folder in zip(found, folders, strict=True)]


def restore_request(song: PathLike, options: RestoreOptions) -> RestoreRequest:
    """The repairs of one song.

    Args:
        song: the audio file.
        options: as `RestoreOptions` has them.

    Raises:
        UsageError: an option that is not known or a value that makes no sense; its `field` says which.
    """
    check_known(options, RestoreOptions)
    found = config(options)
    shares = _amounts(options, found)
    request = RestoreRequest(
        song=_named("songs", song),
        output=_path("output", options.get("output")),
        repairs=_wanted(options, shares),
        amounts={name: share for name, share in shares.items() if share > 0.0},
        bit_depth=bit_depth(options.get("bit_depth")),
        device=choice("device", options.get("device", "auto"), DEVICES),
        seed=whole("seed", options.get("seed", 0), 0, _MOST_SEED),
        config=found,
        use_cache=not switch("no_cache", options.get("no_cache", False)),
        dry_run=switch("dry_run", options.get("dry_run", False)),
    )
    if switch("no_overwrite", options.get("no_overwrite", False)):
        check_free("output", [] if request.output is None or request.dry_run else [request.output])
        check_free("report", _report_names(request.output, request.dry_run, options))
    return request


def restore_report_paths(request: RestoreRequest, options: RestoreOptions) -> tuple[Path, ...]:
    """Where the reports of repairs go, as `report_paths`.

    Raises:
        UsageError, OutputError: as for `report_paths`.
    """
    paths = _report_names(request.output, request.dry_run, options)
    with _about("report"):
        check_reports(paths, [request.song])
    return paths


def with_restored(song: PathLike, options: RestoreOptions) -> RestoreOptions:
    """The options with a file for the repaired song, `SONG.restored.wav` where none is named."""
    if options.get("output") is not None:
        return options
    return cast(RestoreOptions, {**options, "output": beside(Path(song), f"{RESTORED_ENDING}.wav")})


def album_request(songs: Sequence[PathLike], options: AlbumOptions) -> AlbumRequest:
    """An album.

    Args:
        songs: its folder, or its audio files.
        options: as `AlbumOptions` has them.

    Raises:
        UsageError: an option that is not known or a value that makes no sense; its `field` says which.
        InputError: a folder without songs, or a cue sheet that cannot be used.
    """
    check_known(options, AlbumOptions)
    named = [_named("songs", song) for song in songs]
    folder = _path("output", options.get("output")) or _album_folder(named)
    with _about("album_loudness"):
        target = _target("album_loudness", options.get("album_loudness", "streaming"), options)
    write_cue, gap = switch("write_cue", options.get("write_cue", False)), options.get("gap")
    if gap is not None and not write_cue:
        raise UsageError(
            f"{option('gap')} is for the sheet that {option('write_cue')} writes: "
            "the songs' own pauses are kept",
            field="gap",
        )
    amount = number("amount", options.get("amount", 1.0), 0.0, 1.0)
    if amount == 0.0:
        raise UsageError(
            f"{option('amount', 0)} leaves an album as it is: {option('policy', 'neutral')} levels it "
            "and nothing else",
            field="amount",
        )
    found = config(options)
    if found.plugins:
        raise UsageError("an album is mastered without plug-ins: leave them out", field="overrides")
    return AlbumRequest(
        folder=folder,
        target=target,
        bound_lu=number("within", options.get("within", BOUND_LU), 0.0, _WIDEST_LU, "LU"),
        tone_share=number("tone", options.get("tone", TONE_SHARE), 0.0, 1.0),
        format=choice("format", options.get("format") or "wav", AUDIO_FORMATS),
        bit_depth=bit_depth(options.get("bit_depth")) or "24",
        sample_rate=sample_rate(options.get("sample_rate"), SAMPLE_RATES_HZ),
        amount=amount,
        device=choice("device", options.get("device", "auto"), DEVICES),
        seed=whole("seed", options.get("seed", 0), 0, _MOST_SEED),
        config=found,
        replaygain=switch("replaygain", options.get("replaygain", False)),
        write_cue=write_cue,
        gap_s=None if gap is None else number("gap", gap, 0.0, _LONGEST_GAP_S, "s"),
        # Last, since it reads the songs' tags.
        order=ordered(without_made(find_songs(named), folder), _path("cue", options.get("cue"))),
    )


# --- single values -----------------------------------------------------------------------------------


def check_known(options: Mapping[str, object], known: type) -> None:
    """Whether all options are keys of the typed dictionary `known`.

    Raises:
        UsageError: one is not.
    """
    names = [*known.__annotations__]
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise UsageError(
                f"no option is called {name}" + (f": did you mean {near[0]}?" if near else ""), field=name
            )


def choice(field: str, value: object, allowed: Sequence[str], what: str | None = None) -> Any:
    """The value, if it is one of the words that are allowed.

    Args:
        field: name of the option.
        value: as it was given.
        allowed: the words.
        what: what it is called in a sentence, where that is not its name.

    Raises:
        UsageError: it is not.
    """
    if str(value) not in allowed:
        called = what or field.replace("_", " ")
        raise UsageError(f"unknown {called} {_shown(value)!r}: give {', '.join(allowed)}", field=field)
    return str(value)


def number(field: str, value: object, low: float, high: float, unit: str = "") -> float:
    """The value as a finite number in a range, both ends included; `high` may be infinite.

    Raises:
        UsageError: it is none.
    """
    span = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
    advice = f"give {span} {unit}".rstrip()
    try:
        found = float(_plain(value))
    except (ValueError, OverflowError):
        found = math.nan
    if math.isnan(found):
        raise UsageError(f"{option(field, _shown(value))} is not a number: {advice}", field=field)
    if not low <= found <= high or math.isinf(found):
        raise UsageError(f"{option(field, f'{found:g}')} is out of range: {advice}", field=field)
    return found


def whole(field: str, value: object, low: int, high: int) -> int:
    """The value as a whole number in a range, both ends included.

    Raises:
        UsageError: it is none.
    """
    try:
        found = int(_plain(value))
        exact = isinstance(value, str) or found == value
    except (ValueError, OverflowError):
        exact, found = False, low
    if not exact:
        raise UsageError(f"{option(field, _shown(value))} is not a whole number", field=field)
    if not low <= found <= high:
        span = f"{low} or more" if found < low else f"{high} or less"
        raise UsageError(f"{option(field, _shown(found))} is out of range: give {span}", field=field)
    return found


def switch(field: str, value: object) -> bool:
    """The value as yes or no.

    Raises:
        UsageError: it is neither.
    """
    words = {"true": True, "false": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise UsageError(f"{option(field, _shown(value))}: give true or false", field=field)
    return found


def bit_depth(value: object) -> BitDepth | None:
    """A depth of samples; None where none was given.

    Raises:
        UsageError: there is no such depth.
    """
    return None if value is None else cast(BitDepth, choice("bit_depth", value, get_args(BitDepth)))


def sample_rate(value: object, rates_hz: Sequence[int]) -> int | None:
    """A sample rate in Hz; None, as for `keep`, is the song's own.

    Raises:
        UsageError: it is none of `rates_hz`.
    """
    text = choice("sample_rate", "keep" if value is None else value, ("keep", *map(str, rates_hz)))
    return None if text == "keep" else int(text)


def names(value: Named | None) -> list[str]:
    """Names, of which text holds several separated by commas."""
    parts = value.split(",") if isinstance(value, str) else value or ()
    return [part.strip() for part in parts]


def reference(text: str) -> Reference:
    """`NAME` or `NAME=WEIGHT`; a file may have `=` in its name.

    Raises:
        UsageError: no name, or a weight that is no positive number.
    """
    name, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        name, weight = text, "1"
    try:
        share = float(weight)
    except ValueError:
        raise UsageError(
            f"reference {text!r}: the weight {weight!r} is no number", field="reference"
        ) from None
    return _weighted(name, share, text)


def roles(value: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Roles of tracks by file, from `FILE=ROLE` or from a mapping.

    Raises:
        UsageError: no equals sign.
    """
    if isinstance(value, Mapping):
        return {name: role.strip().lower() for name, role in value.items()}
    found: dict[str, str] = {}
    for text in value or ():
        name, equals, role = text.rpartition("=")
        if not equals or not name:
            raise UsageError(
                f"{option('roles', text)}: write FILE=ROLE, such as 'take 3.wav=vocals'", field="roles"
            )
        found[name] = role.strip().lower()
    return found


def plugins(value: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Plug-ins by slot, from `SLOT=NAME` or from a mapping.

    Raises:
        UsageError: no equals sign.
    """
    if isinstance(value, Mapping):
        return {str(slot): str(name) for slot, name in value.items()}
    found: dict[str, str] = {}
    for text in value or ():
        slot, equals, name = text.partition("=")
        if not equals:
            raise UsageError(
                f"{option('plugins', _shown(text))}: write SLOT=NAME, such as comp=ZamCompX2", field="plugins"
            )
        found[slot.strip()] = name.strip()
    return found


def config(options: Mapping[str, Any], renders: object = None) -> Config:
    """The configuration with overrides, separator, policy, plug-ins and renders in it.

    Raises:
        UsageError: an override that `conf/` does not know, or renders out of range.
    """
    with _about("overrides"):
        found = load_config(_overrides(options.get("overrides")))
    found.pipeline.separator = options.get("separator") or found.pipeline.separator
    found.policy.name = str(options.get("policy") or found.policy.name)
    found.plugins |= plugins(options.get("plugins"))
    if renders is not None:
        found.pipeline.renders = whole("renders", renders, 1, MOST_RENDERS)
    return found


def _inserts(found: Config) -> tuple[Insert, ...]:
    """The plug-ins of a configuration, each loaded once; nothing of them is imported without any."""
    if not found.plugins:
        return ()
    from mixagent.session.plugins import chosen_inserts

    return chosen_inserts(found.plugins)


def sounds_as_loud(options: MasterOptions) -> bool:
    """Whether the target is to be as loud as the references, unless one is named."""
    intent = options.get("intent")
    named = options.get("target") is not None or intent is not None
    return intent == "reference" or bool(options.get("reference") and not named)


def check_free(field: str, paths: Sequence[Path]) -> None:
    """Whether nothing is there yet where these are to be written.

    Raises:
        UsageError: something is.
    """
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"{path} is there already: name another, or leave {option('no_overwrite')} out", field=field
            )


# --- what the requests share -------------------------------------------------------------------------


def _plain(value: object) -> Any:
    """A number or text as it is; whatever else is text that is no number."""
    if isinstance(value, bool):
        return ""
    return value if isinstance(value, Real | str) else ""


def _shown(value: object) -> str:
    """A value in a sentence, which it must not fill."""
    if isinstance(value, int) and abs(value) > _MOST_SHOWN:
        return f"{'-' * (value < 0)}{_MOST_SHOWN:g}…"
    return f"{value!s:.40}"


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Errors from inside that name no field are about this one."""
    try:
        yield
    except MixagentError as error:
        error.field = error.field or field
        raise


def _target(field: str, named: Number | LoudnessTarget | None, options: Mapping[str, Any]) -> LoudnessTarget:
    intent = choice("intent", options.get("intent") or "streaming", INTENTS)
    ceiling = options.get("ceiling")
    ceiling_dbtp = (
        None
        if ceiling is None
        else number("ceiling", ceiling, _LOWEST_CEILING_DBTP, _HIGHEST_CEILING_DBTP, "dBTP")
    )
    if isinstance(named, LoudnessTarget):
        found = named
    else:
        with _about(field):
            found = loudness_target(str(intent if named is None else named))
    return found if ceiling_dbtp is None else replace(found, ceiling_dbtp=ceiling_dbtp)


def _references(options: MasterOptions, sets_loudness: bool, song: Path | None) -> References | None:
    general = _weighed("reference", options.get("reference"))
    if sets_loudness and not general:
        raise UsageError(
            f"{option('intent', 'reference')} takes its loudness from {option('reference')}: name one",
            field="reference",
        )
    own = {name: _weighed(f"reference_{name}", options.get(f"reference_{name}")) for name in DIMENSIONS}
    method = choice("reference_method", options.get("reference_method", METHODS[0]), METHODS)
    if not general and not any(own.values()):
        if method != METHODS[0]:
            raise UsageError(
                f"{option('reference_method')} needs {option('reference')}", field="reference_method"
            )
        return None
    found = {name: parts or general for name, parts in own.items()}
    references = References(**found, loudness=general if sets_loudness else (), method=method)
    with _about("reference"):
        check_references(references, song)
    return references


def _weighed(field: str, value: object) -> tuple[Reference, ...]:
    with _about(field):
        if isinstance(value, Mapping):
            return tuple(_weighted(str(name), float(share), str(name)) for name, share in value.items())
        return tuple(reference(str(each)) for each in _several(value))


def _weighted(name: str, share: float, text: str) -> Reference:
    if not name or not 0 < share < math.inf:
        raise UsageError(f"reference {text!r}: give FILE=WEIGHT with a weight over 0")
    return Reference(name, share)


def _goal(text: str | None) -> Goal | None:
    return None if text is None else goal_of(text)


def goal_of(text: str) -> Goal:
    """A goal in words as it is understood.

    Raises:
        UsageError: it is empty.
    """
    if not text.strip():
        raise UsageError(
            f"{option('goal')} is empty: say what it should be like, such as “warm, wide, less harsh”",
            field="goal",
        )
    return understood(text)


def _stems_in(song: Path | None, folder: Path | None, options: MasterOptions) -> StemsIn | None:
    align = switch("align", options.get("align", True))
    balance = cast(Balance, choice("balance", options.get("balance", "keep"), get_args(Balance)))
    if folder is None:
        if options.get("roles") or not align or balance != "keep":
            raise UsageError(
                f"{option('roles')}, {option('align')} and {option('balance')} need {option('stems_in')} DIR",
                field="stems_in",
            )
        return None
    with _about("stems_in"):
        return StemsIn.of_folder(folder, roles(options.get("roles")), align, balance, song)


def _codecs(options: MasterOptions, outputs: Sequence[Path], amount: float) -> CodecPlan:
    check = switch("check_codecs", options.get("check_codecs", False))
    wish = options.get("codec_safe")
    safe = None if wish is None else switch("codec_safe", wish)
    named = options.get("codecs")
    if named is not None and not check and not safe:
        raise UsageError(
            f"{option('codecs')} needs {option('check_codecs')} or {option('codec_safe')}", field="codecs"
        )
    if amount == 0.0 and (check or safe):
        field = "codec_safe" if safe else "check_codecs"
        raise UsageError(
            f"{option('amount', 0)} gives the song back as it is: leave out {option(field)}", field=field
        )
    with _about("codecs"):
        return planned(check, safe, [path.suffix.lower() for path in outputs], names(named))


def _project(options: MasterOptions) -> ProjectRequest | None:
    folder = _path("project", options.get("project"))
    named = names(options.get("project_format"))
    if folder is None:
        if named:
            raise UsageError(f"{option('project_format')} needs {option('project')}", field="project_format")
        return None
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: {option('project')} names a folder", field="project")
    formats = [choice("project_format", name, tuple(SUFFIXES)) for name in named or SUFFIXES]
    return ProjectRequest(folder, tuple(cast(list[Format], list(dict.fromkeys(formats)))))


def _outputs(song: Path | None, stems_in: Path | None, options: MasterOptions) -> list[Path]:
    named, formats = _paths("output", options.get("output")), _formats(options)
    if formats and not named:
        raise UsageError(f"{option('format')} is of files: name them with {option('output')}", field="format")
    return output_paths(song, named, formats, stems_in) if named else []


def _wanted(options: RestoreOptions, shares: Mapping[str, float]) -> tuple[str, ...]:
    """The repairs to run, in the order of the table.

    Those for stems run where one of them was named: the song is taken apart for it anyway.
    """
    only, without = (
        {choice(field, name, tuple(REPAIRS), "repair") for name in names(cast(Named, options.get(field)))}
        for field in ("only", "without")
    )
    asked = {name for name, share in shares.items() if share > 0.0}
    if only and (unasked := sorted(asked - only)):
        raise UsageError(
            f"{option('amounts')} is of {unasked[0]}, which {option('only')} leaves out", field="amounts"
        )
    on_stems = any(REPAIRS[name].stems for name in asked)
    wanted = only or {name for name, repair in REPAIRS.items() if on_stems or not repair.stems}
    left = wanted - without - (shares.keys() - asked)
    if not left:
        raise UsageError("no repair is left to run: name some, or leave out fewer", field="only")
    return tuple(name for name in REPAIRS if name in left)


def _amounts(options: RestoreOptions, found: Config) -> dict[str, float]:
    """The shares of repairs that were given, among the overrides too."""
    others = [name for name in found.chain if not name.startswith(f"{REPAIR}.")]
    if others:
        raise UsageError(
            f"{option('overrides', others[0])}: the repairs alone set nothing of the chain but "
            f"{REPAIR}.NAME; `mixagent master` does",
            field="overrides",
        )
    shares = repair_amounts(found.chain)
    given = options.get("amounts")
    pairs = given.items() if isinstance(given, Mapping) else [_share(text) for text in given or ()]
    for name, share in pairs:
        known = choice("amounts", name, tuple(REPAIRS), "repair")
        shares[known] = number("amounts", share, 0.0, 1.0)
    return shares


def _share(text: str) -> tuple[str, str]:
    name, equals, share = text.rpartition("=")
    if not equals:
        raise UsageError(f"{option('amounts', text)}: write NAME=SHARE, such as declick=0.5", field="amounts")
    return name, share


def _preview_name(output: Path) -> Path:
    return output.with_name(f"{output.stem.removesuffix(MASTER_ENDING)}{PREVIEW_ENDING}{output.suffix}")


def _formats(options: MasterOptions) -> list[str]:
    return [choice("format", name, AUDIO_FORMATS) for name in names(options.get("format") or None)]


def _overrides(value: Sequence[str] | Mapping[str, object] | None) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in value.items()]
    return [*(value or ())]


def _several(value: object) -> list[object]:
    if value is None:
        return []
    return [*value] if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _paths(field: str, value: object) -> list[Path]:
    return [_named(field, each) for each in _several(value)]


def _path(field: str, value: object) -> Path | None:
    return None if value is None else _named(field, value)


def _named(field: str, value: object) -> Path:
    """A path that was given; an empty one would be the current folder."""
    if not isinstance(value, str | Path) or not str(value):
        if field == "songs":
            raise InputError("a song without a name was given: name audio files or folders", field="song")
        raise UsageError(f"{option(field)} has no name: give a path", field=field)
    return Path(value)


def _one_folder(field: str, value: object) -> Path | None:
    found = _paths(field, value)
    if len(found) > 1 or (found and found[0].exists() and not found[0].is_dir()):
        raise UsageError(f"several songs go into one folder: name it with {option(field)}", field=field)
    return found[0] if found else None


def _check_free(request: Request, options: MasterOptions) -> None:
    """With `no_overwrite`, whether nothing is there yet where output and reports go."""
    if not switch("no_overwrite", options.get("no_overwrite", False)):
        return
    check_free("output", request.outputs)
    check_free("report", _report_names(request.output, request.dry_run, options))


def _report_names(output: Path | None, dry_run: bool, options: Mapping[str, Any]) -> tuple[Path, ...]:
    kinds = {Path(suffix[1:]): suffix for suffix in REPORT_FORMATS}
    named = _paths("report", options.get("report"))
    if named and dry_run:
        raise UsageError(f"{option('dry_run')} writes nothing: leave {option('report')} out", field="report")
    if output is None and any(path in kinds for path in named):
        raise UsageError(
            f"{option('report')} has no name without {option('output')}: give a file", field="report"
        )
    return tuple(output.with_suffix(kinds[path]) if output and path in kinds else path for path in named)


def _album_folder(named: Sequence[Path]) -> Path:
    """`DIR.mastered` beside the folder that was named, or beside that of the first song."""
    first = named[0].absolute()
    folder = (first if first.is_dir() else first.parent).resolve()
    return folder.with_name(f"{folder.name or 'album'}{ALBUM_ENDING}")


def _without_masters(songs: Sequence[SongFile]) -> list[SongFile]:
    """The songs but for masters of others among them, where these were not named."""
    titles = {song.path.stem for song in songs}
    made = {title + ending for title in titles for ending in (MASTER_ENDING, PREVIEW_ENDING)}
    return [song for song in songs if song.below is None or song.path.stem not in made]


def _master_names(
    songs: Sequence[SongFile], folder: Path | None, formats: Sequence[str], ending: str
) -> list[list[Path]]:
    """The files of each song's master, beside it or as the songs lie in `folder`.

    Songs that differ in their suffix alone keep it: `SONG.mp3.master.wav`.
    """

    def name(song: SongFile, own: str) -> Path:
        place = song.path.parent if folder is None else folder / (song.below or Path())
        return place / (own + ending)

    short = [name(song, song.path.stem) for song in songs]
    count = Counter(map(place_key, short))
    found = [
        path if count[place_key(path)] == 1 else name(song, song.path.name)
        for song, path in zip(songs, short, strict=True)
    ]
    count = Counter(map(place_key, found))
    twice = [path for path in found if count[place_key(path)] > 1]
    if twice:
        raise UsageError(f"two of the songs would become {twice[0]}: master them one by one", field="output")
    return [[path.with_name(f"{path.name}.{format}") for format in formats] for path in found]
