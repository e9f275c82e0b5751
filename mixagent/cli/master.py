"""`mixagent master`: songs mastered, one by one."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mixagent.cli import flags
from mixagent.cli.common import command, flag, keywords, print_json, print_text
from mixagent.cli.flags import (
    CODECS,
    ENGINE,
    FILES,
    LOUDNESS,
    MAIN,
    PRINTING,
    REFERENCES,
    STRENGTHS,
    TRACKS,
    Printing,
)
from mixagent.cli.streams import goes_to_stdout, is_stream, sent, spooled
from mixagent.messages import print_line, printable, say
from mixagent.pipeline.errors import (
    EXIT_DONE,
    EXIT_TARGET_MISSED,
    CancelledError,
    InputError,
    MixagentError,
    OutputError,
    UsageError,
    option,
)
from mixagent.types import Event

if TYPE_CHECKING:
    from mixagent.conductor.state import Move
    from mixagent.options import MasterOptions
    from mixagent.report.model import Report
    from mixagent.types import OnEvent

SCHEMA = "mixagent.masters/1"
"""Of the object that several songs print: their reports, and the songs that failed."""

Songs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="SONG",
        help="Audio file: wav, flac, mp3, ogg, aiff, or m4a with ffmpeg; - is stdin. Several, and folders "
        "of them, are mastered one by one. May be left out with --stems-in.",
        parser=flags.named_path,
        show_default=False,
    ),
]
_STRENGTH: dict[str, Any] = {"rich_help_panel": STRENGTHS}
_REFERENCE: dict[str, Any] = {"metavar": "REF[=WEIGHT]", "show_default": False}


@dataclass(frozen=True)
class MasterFlags:
    """The options of a master; see `mixagent.options.MasterOptions`."""

    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the master goes; - is stdout. Given many times, one master goes into each of them. "
            "Of several songs: a folder.",
            show_default="SONG.master.wav",
            rich_help_panel=MAIN,
        ),
    ] = None
    target: Annotated[
        str | None,
        typer.Option(
            help="A platform such as spotify, apple, youtube, club or cd (`mixagent targets` lists them), "
            "streaming, loud, or LUFS such as -11.5.",
            show_default="streaming, -14 LUFS",
            rich_help_panel=MAIN,
        ),
    ] = None
    amount: flags.Amount = 1.0
    goal: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="What it should be like: “warm, vocal up front, louder chorus, −9 LUFS”; `mixagent goal` "
            "tells how it is understood.",
            show_default=False,
            rich_help_panel=MAIN,
        ),
    ] = None
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Sound like this song, profile (.json) or genre:NAME (see `profile list`); several are "
            "blended by weight.",
            rich_help_panel=MAIN,
            **_REFERENCE,
        ),
    ] = None
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the report: .html is a page to listen in, .json can be replayed; html or json alone "
            "is named by the master. May be given twice.",
            show_default=False,
            rich_help_panel=MAIN,
        ),
    ] = None
    format: Annotated[
        str | None,
        typer.Option(
            help="wav, flac, mp3 or ogg, or several separated by commas.",
            show_default="the output's suffix, else wav",
            rich_help_panel=MAIN,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what is found and what would be done; write nothing.", rich_help_panel=MAIN
        ),
    ] = False
    preview: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Master the loudest S seconds alone, at the level that they have in the whole.",
            show_default=False,
            rich_help_panel=MAIN,
        ),
    ] = None
    stems: Annotated[
        Path | None,
        typer.Option(help="Also write the stems, 32-bit float wav, into this folder.", rich_help_panel=MAIN),
    ] = None
    stems_in: Annotated[
        Path | None,
        typer.Option(
            "--stems-in",
            metavar="DIR",
            help="Mix the tracks in this folder instead of separating the song; without a SONG their sum "
            "is the song.",
            show_default=False,
            rich_help_panel=MAIN,
        ),
    ] = None
    intent: Annotated[
        str | None,
        typer.Option(
            help="streaming, loud or reference (as loud as --reference), where no target is named.",
            show_default="reference with --reference, else streaming",
            rich_help_panel=LOUDNESS,
        ),
    ] = None
    ceiling: flags.Ceiling = None
    eq: Annotated[
        float,
        typer.Option(help="Of equalisation: 0 none of it, 1 all; --amount multiplies it.", **_STRENGTH),
    ] = 1.0
    dynamics: Annotated[float, typer.Option(help="Of dynamics and faders, 0 to 1.", **_STRENGTH)] = 1.0
    width: Annotated[float, typer.Option(help="Of stereo width and rooms, 0 to 1.", **_STRENGTH)] = 1.0
    saturation: Annotated[float, typer.Option(help="Of saturation and clipping, 0 to 1.", **_STRENGTH)] = 1.0
    restore: Annotated[float, typer.Option(help="Of repairs, 0 to 1.", **_STRENGTH)] = 1.0
    reference_tone: Annotated[
        list[str] | None,
        typer.Option(help="Another reference for the tone.", rich_help_panel=REFERENCES, **_REFERENCE),
    ] = None
    reference_dynamics: Annotated[
        list[str] | None,
        typer.Option(help="Another for the dynamics.", rich_help_panel=REFERENCES, **_REFERENCE),
    ] = None
    reference_width: Annotated[
        list[str] | None,
        typer.Option(help="Another for the width.", rich_help_panel=REFERENCES, **_REFERENCE),
    ] = None
    reference_method: Annotated[
        str,
        typer.Option(
            help="profile, or matchering for the tone and width of a single song.",
            rich_help_panel=REFERENCES,
        ),
    ] = "profile"
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FILE=ROLE",
            help="What a track of --stems-in is: vocals, drums, bass, piano, guitar, other, accompaniment, "
            "residual (in the mix, on no strip), or out. May be given many times.",
            show_default=False,
            rich_help_panel=TRACKS,
        ),
    ] = None
    align: Annotated[
        bool,
        typer.Option(
            " /--no-align",
            help="Leave the timing and polarity of --stems-in tracks as they are.",
            show_default=False,
            rich_help_panel=TRACKS,
        ),
    ] = True
    balance: Annotated[
        str,
        typer.Option(
            help="keep the tracks' own levels, or auto: a starting balance for raw tracks.",
            rich_help_panel=TRACKS,
        ),
    ] = "keep"
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write the mix, before the finaliser, as a project for REAPER and as a DAWproject into "
            "this folder: stems, faders, pans, sends and equalisers, and notes of the rest.",
            show_default=False,
            rich_help_panel=FILES,
        ),
    ] = None
    project_format: Annotated[
        str | None,
        typer.Option(
            help="Of --project: reaper or dawproject, or both separated by commas.",
            show_default="both",
            rich_help_panel=FILES,
        ),
    ] = None
    fade_in: Annotated[
        float,
        typer.Option(metavar="S", help="Fade in over the first S seconds.", rich_help_panel=FILES),
    ] = 0.0
    fade_out: Annotated[
        float,
        typer.Option(metavar="S", help="Fade out over the last S seconds.", rich_help_panel=FILES),
    ] = 0.0
    trim_silence: Annotated[
        bool,
        typer.Option(
            "--trim-silence",
            help="Cut the silence before the song begins and after it ends.",
            rich_help_panel=FILES,
        ),
    ] = False
    bit_depth: flags.MasterBitDepth = "24"
    sample_rate: flags.MasterSampleRate = "keep"
    replaygain: flags.ReplayGain = False
    dual_mono: flags.DualMono = False
    no_overwrite: flags.NoOverwrite = False
    check_codecs: Annotated[
        bool,
        typer.Option(
            "--check-codecs",
            help="Measure what mp3, aac, ogg and opus make of the master's true peak.",
            rich_help_panel=CODECS,
        ),
    ] = False
    codec_safe: Annotated[
        bool | None,
        typer.Option(
            help="Lower the limiter's ceiling until the master holds it after these codecs too.",
            show_default="only where every output is mp3 or ogg, and for these alone",
            rich_help_panel=CODECS,
        ),
    ] = None
    codecs: Annotated[
        str | None,
        typer.Option(
            help="Which codecs the last two mean: mp3, aac, ogg, opus, separated by commas.",
            show_default="all that are here",
            rich_help_panel=CODECS,
        ),
    ] = None
    separator: flags.Separator = None
    policy: flags.Policy = None
    plugins: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin",
            metavar="SLOT=NAME",
            help="A VST3 or AU plug-in in place of comp, eq, cut or reverb, or of one place's, such as "
            "vocals.comp; NAME@PRESET recalls a preset. See `plugins list`. May be given many times.",
            show_default=False,
            rich_help_panel=ENGINE,
        ),
    ] = None
    search: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Better the policy's settings: try N times how far to go with each, on the loudest parts.",
            show_default="0, the policy's own",
            rich_help_panel=ENGINE,
        ),
    ] = 0
    conductor: Annotated[
        bool,
        typer.Option(
            "--conductor",
            help="Let agents for phase, tone, dynamics and space hear renders and better the settings.",
            rich_help_panel=ENGINE,
        ),
    ] = False
    until: Annotated[
        float | None,
        typer.Option(
            metavar="MOS",
            help="With --conductor: go no further where the voice's opinion score, 1 to 5, is as high.",
            rich_help_panel=ENGINE,
        ),
    ] = None
    judge: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --until: a TorchScript module that grades the voice too, from 16 kHz mono to 1 … 5.",
            rich_help_panel=ENGINE,
        ),
    ] = None
    model_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="With --conductor: OpenAI-compatible endpoint of a language model that leads after the "
            "planner, such as http://localhost:11434/v1; its key is MIXAGENT_LLM_KEY. It gets numbers and "
            "the goal, no audio.",
            show_default="MIXAGENT_LLM_URL, else no model",
            rich_help_panel=ENGINE,
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            help="The model's name there; none leaves it out.",
            show_default="MIXAGENT_LLM_MODEL",
            rich_help_panel=ENGINE,
        ),
    ] = None
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="With --conductor: ask in the terminal before a move is rendered.",
            rich_help_panel=ENGINE,
        ),
    ] = False
    renders: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Render, measure, and where the master went out of band revise and render again, N times "
            "at most, 1 to 4; 1 takes the first as it is.",
            show_default="4",
            rich_help_panel=ENGINE,
        ),
    ] = None
    device: flags.Device = "auto"
    seed: flags.Seed = 0
    overrides: flags.Overrides = None
    no_cache: flags.NoCache = False


Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Print what the conductor tried and why, and all that was said to a language model.",
        rich_help_panel=PRINTING,
    ),
]


@command()
def master(songs: Songs = None, *, given: MasterFlags, explain: Explain = False, printing: Printing) -> int:
    """Master songs, or mix and master a folder of stems: find what is wrong, undo it, finish it, report."""
    options, named = keywords(given), songs or []
    if options.get("ask"):
        options["ask"], printing = asked_in_terminal(), replace(printing, quiet=True)
    if len(named) > 1 or any(song.is_dir() for song in named):
        try:
            return _each(named, options, printing)
        except KeyboardInterrupt:
            raise CancelledError("interrupted; masters that were finished are kept") from None
    return _one(named, options, printing, explain)


def asked_in_terminal() -> Callable[[Move], bool]:
    """Asks whether a move of the conductor's is to be rendered.

    Raises:
        UsageError: nobody is at the terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("nobody is at a terminal to be asked: leave it out", field="ask")

    def ask(move: Move) -> bool:
        values = ", ".join(f"{name} {value:.2f}" for name, value in list(move.values.items())[:8])
        more = f" and {len(move.values) - 8} more" if len(move.values) > 8 else ""
        return typer.confirm(
            printable(f"{move.agent}: {values}{more}; {move.reason}. Render it?"), default=True, err=True
        )

    return ask


def _one(named: list[Path], options: dict[str, Any], printing: Printing, explain: bool) -> int:
    """One song, or the stems that stand for it."""
    from mixagent.cli.progress import shown_events

    if any(map(is_stream, named)) and not options.get("output"):
        raise UsageError(
            f"a song in a pipe has no name: say where the master goes with {option('output')}",
            field="output",
        )
    to_stderr = goes_to_stdout(options)
    with spooled(named) as files, sent(options) as own, shown_events(printing.quiet) as show:
        report = _mastered(files[0] if files else None, cast("MasterOptions", own), show)
    if printing.as_json:
        print_json(report.to_dict(), to_stderr=to_stderr)
    else:
        from mixagent.report.terminal import explained_text, planned_text, summary_text

        text = planned_text(report) if report.dry_run else summary_text(report)
        print_text(text, to_stderr=to_stderr)
        if explain:
            print_text(explained_text(report), to_stderr=to_stderr)
    return EXIT_DONE if report.met else EXIT_TARGET_MISSED


def _mastered(song: Path | None, options: MasterOptions, show: OnEvent) -> Report:
    """The report of a master, which is written, as its reports are."""
    from mixagent import api
    from mixagent.options import with_outputs

    return api.master(song, on_event=show, **with_outputs(song, options)).report


def _each(songs: list[Path], options: dict[str, Any], printing: Printing) -> int:
    """Several songs, each with a line when it is done; one that fails does not stop the others.

    What is wrong with the options is found before the first begins. The exit code is the gravest.
    """
    from mixagent.cli.progress import shown_events
    from mixagent.options import master_request, options_of_each, report_paths

    if any(is_stream(path) for path in (*songs, *options.get("output", ()))):
        raise UsageError("a pipe holds one song: master it by itself", field="song")
    planned = options_of_each(songs, cast("MasterOptions", options))
    requests = [master_request(song, own) for song, own in planned]
    for request, (_, own) in zip(requests, planned, strict=True):
        for path in request.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
        report_paths(request, own)
    reports: list[Report] = []
    failed: list[tuple[Path, MixagentError]] = []
    with shown_events(printing.quiet) as show:
        for done, (song, own) in enumerate(planned):
            show(Event("songs", done / len(planned), 0.0))
            try:
                report = _mastered(song, own, show)
            except (InputError, OutputError, UsageError) as error:
                failed.append((song, error))
                sentence = error.sentence(flag)
                say(sentence if str(song) in sentence else f"{song}: {sentence}")
                continue
            if not printing.as_json:
                print_line(_line(song, report))
            reports.append(report)
    if printing.as_json:
        rows = [{"song": str(song), "code": e.code, "error": e.sentence(flag)} for song, e in failed]
        print_json({"schema": SCHEMA, "songs": [report.to_dict() for report in reports], "failed": rows})
    if failed:
        return max(error.exit_code for _, error in failed)
    return EXIT_DONE if all(report.met for report in reports) else EXIT_TARGET_MISSED


def _line(song: Path, report: Report) -> str:
    """The outcome of a song, in one line."""
    if report.output is None:
        return f"{song}: {'; '.join(report.summary.done) or 'nothing would be done'}"
    levels = ((report.after.integrated_lufs, "LUFS"), (report.after.true_peak_dbtp, "dBTP"))
    level = ", ".join(f"{value:.1f} {unit}" for value, unit in levels if math.isfinite(value))
    missed = "" if report.met else f"; target missed: {report.missed}"
    return f"{song}: {report.output.path}: {level or 'silent'}{missed}"
