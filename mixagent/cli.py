"""The command line: options in, one call of the application, words or one JSON object out.

Progress and messages go to stderr, results to stdout. Modules that load torch or compile kernels are
imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import functools
import io
import json
import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console, RenderableType

from mixagent import __version__
from mixagent.pipeline.errors import (
    EXIT_DONE,
    EXIT_TARGET_MISSED,
    CancelledError,
    MixagentError,
    ModelMissingError,
    OutputError,
    UsageError,
)

P = ParamSpec("P")

app = typer.Typer(
    name="mixagent",
    help="Automatic mixing and mastering for generated songs and rough mixes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="Models: what is here, how to get the rest.", no_args_is_help=True)
app.add_typer(models_app, name="models")

FORMATS = ("wav", "flac", "mp3", "ogg")

Song = Annotated[
    Path,
    typer.Argument(help="Audio file: wav, flac, mp3, ogg, aiff, or m4a with ffmpeg.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Separation = Annotated[
    str | None,
    typer.Option("--separator", help="auto, embedded, none, or a Demucs model.", show_default="auto"),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of conf/, e.g. pipeline.declip=false."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither use nor leave finished stages.")]
BitDepth = Annotated[str, typer.Option(help="16, 24 or 32f: depth of wav and flac output.")]
StemDepth = Annotated[
    str | None,
    typer.Option(
        "--bit-depth", help="16, 24 or 32f: depth of wav and flac output.", show_default="32f; flac 24"
    ),
]


def main() -> None:
    """Run the program and exit with its code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupted)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="mixagent")
    except MixagentError as error:
        _say(str(error))
        sys.exit(error.exit_code)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C would interrupt the tidying up after the first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(message: str) -> None:
    """A message on stderr, on one line whatever a file's name holds."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    print(f"mixagent: {line}", file=sys.stderr)


def _print(text: RenderableType) -> None:
    # File names and sentences are printed as they are, brackets and colons too.
    Console(markup=False, emoji=False, highlight=False).print(text)


def command(
    group: typer.Typer, name: str | None = None
) -> Callable[[Callable[P, int | None]], Callable[P, None]]:
    """Register a command whose return value is the exit code; interruptions and disk errors become words."""

    def register(body: Callable[P, int | None]) -> Callable[P, None]:
        @group.command(name)
        @functools.wraps(body)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                code = body(*args, **kwargs)
            except KeyboardInterrupt:
                raise CancelledError("interrupted; nothing was written") from None
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputError(f"cannot write {error.filename or 'to disk'}: {error.strerror}") from error
            if code:
                raise typer.Exit(code)

        return guarded

    return register


def _print_json(value: Any) -> None:
    # In ASCII: a file name need not be valid text.
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"mixagent {__version__}")
        raise typer.Exit


@command(app)
def master(
    song: Song,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the master goes.", show_default="SONG.master.wav"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="spotify, apple, youtube, club, streaming, loud, or LUFS such as -11.5.",
            show_default="streaming, -14 LUFS",
        ),
    ] = None,
    intent: Annotated[str | None, typer.Option(help="streaming or loud, where no target is named.")] = None,
    ceiling: Annotated[
        float | None, typer.Option(help="True-peak ceiling in dBTP.", show_default="-1.0")
    ] = None,
    amount: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="How much of the correction: 1 all of it, 0 gives the song back untouched."
        ),
    ] = 1.0,
    stems: Annotated[
        Path | None, typer.Option(help="Also write the stems, 32-bit float wav, into this folder.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="wav, flac, mp3 or ogg; by default the output's suffix.")
    ] = None,
    bit_depth: BitDepth = "24",
    sample_rate: Annotated[str, typer.Option(help="keep, 44100, 48000 or 96000.")] = "keep",
    separator: Separation = None,
    policy: Annotated[str | None, typer.Option(help="rules or neutral.", show_default="rules")] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the report: .html is a page to listen in, .json can be replayed. May be given twice.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the dither.")] = 0,
    overrides: Overrides = None,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> int:
    """Master a song: find what is wrong, undo it, finish it to the target, say what was done."""
    from mixagent.delivery import check_reports, write_reports
    from mixagent.progress import shown_progress
    from mixagent.report.terminal import summary_text
    from mixagent.session import Request, master_song, output_path

    request = Request(
        song=song,
        output=output_path(song, output, format and _choice("format", format, FORMATS)),
        target=_target(target, intent, ceiling),
        amount=_amount(amount),
        bit_depth=_choice("bit depth", bit_depth, ("16", "24", "32f")),
        sample_rate=_sample_rate(sample_rate),
        device=_choice("device", device, ("auto", "cpu", "cuda")),
        seed=seed,
        stems_folder=stems,
        config=_config(overrides, separator, policy),
        use_cache=not no_cache,
    )
    check_reports(report or [], song)
    with shown_progress(quiet) as progress, master_song(request, progress) as result:
        write_reports(result, report or [])
        if as_json:
            _print_json(result.report)
        else:
            _print(summary_text(result.report))
        return EXIT_DONE if result.report["met"] else EXIT_TARGET_MISSED


@command(app)
def replay(
    report: Annotated[
        Path, typer.Argument(help="A report written by --report REPORT.json.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the master goes.", show_default="as the report says"),
    ] = None,
    song: Annotated[Path | None, typer.Option(help="The song, if it has moved.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Render a master again from its report; the same bytes, or exit code 4 and a word on what changed."""
    from mixagent.progress import shown_progress
    from mixagent.replay import replay_report

    with shown_progress(quiet) as progress:
        outcome = replay_report(report, output, song, progress)
    if as_json:
        _print_json(outcome)
    else:
        _print(outcome["verdict"])
    return EXIT_DONE if outcome["identical"] else EXIT_TARGET_MISSED


@command(app)
def analyze(song: Song, as_json: AsJson = False, quiet: Quiet = False) -> int:
    """Measure a song and say what is wrong with it; nothing is written."""
    from mixagent.progress import shown_progress
    from mixagent.session import analyze_song
    from mixagent.tables import analysis_text

    with shown_progress(quiet) as progress:
        found = analyze_song(song, progress)
    if as_json:
        _print_json(found)
    else:
        _print(analysis_text(found))
    return EXIT_DONE


def _splitting(help: str, *, vocals_only: bool) -> Callable[..., int]:
    """The body of `split` and of `vocals`: they differ in what is written, not in what can be asked."""

    def body(
        song: Song,
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", help="Folder for the files.", show_default="SONG.stems"),
        ] = None,
        format: Annotated[str, typer.Option(help="wav, flac, mp3 or ogg.")] = "wav",
        bit_depth: StemDepth = None,
        separator: Separation = None,
        device: Device = "auto",
        as_json: AsJson = False,
        no_cache: NoCache = False,
        quiet: Quiet = False,
    ) -> int:
        from mixagent.progress import shown_progress
        from mixagent.session import SplitRequest, beside, split_song

        request = SplitRequest(
            song=song,
            folder=output or beside(song, ".stems"),
            format=_choice("format", format, FORMATS),
            bit_depth=None if bit_depth is None else _choice("bit depth", bit_depth, ("16", "24", "32f")),
            vocals_only=vocals_only,
            device=_choice("device", device, ("auto", "cpu", "cuda")),
            config=_config(None, separator),
            use_cache=not no_cache,
        )
        with shown_progress(quiet) as progress:
            done = split_song(request, progress)
        _show_split(done, as_json)
        return EXIT_DONE

    body.__doc__ = help
    return body


def _show_split(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(done)
        return
    for warning in done["warnings"]:
        _say(warning)
    for name, path in done["files"].items():
        typer.echo(f"{name}: {path}")


command(app, "split")(
    _splitting("Split a song into stems and the residual; together they sum to the song.", vocals_only=False)
)
command(app, "vocals")(
    _splitting(
        "Split a song into vocals and instrumental; the instrumental is the song minus the vocals.",
        vocals_only=True,
    )
)


@command(app)
def compare(
    files: Annotated[list[Path], typer.Argument(help="Two or more versions of a song.", show_default=False)],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Measure versions of a song side by side."""
    from mixagent.progress import shown_progress
    from mixagent.session import compare_songs
    from mixagent.tables import comparison_text

    if len(files) < 2:
        raise UsageError("compare needs two files or more")
    with shown_progress(quiet) as progress:
        found = compare_songs(files, progress)
    if as_json:
        _print_json(found)
    else:
        _print(comparison_text(found))
    return EXIT_DONE


@command(app)
def doctor(as_json: AsJson = False) -> int:
    """Say what is installed, which weights and device are there, and what to do about the rest."""
    from mixagent.doctor import examine, to_json
    from mixagent.session import cache_folder
    from mixagent.tables import doctor_text

    checks = examine(cache_folder())
    if as_json:
        _print_json(to_json(checks))
    else:
        _print(doctor_text(checks))
    return EXIT_DONE if to_json(checks)["healthy"] else ModelMissingError.exit_code


@command(models_app, "list")
def models_list(as_json: AsJson = False) -> int:
    """List the models, their licences and whether their weights are here."""
    from dataclasses import asdict

    from mixagent.pipeline.models import available_models
    from mixagent.tables import models_text

    models = available_models()
    if as_json:
        _print_json({"schema": "mixagent.models/1", "models": [asdict(model) for model in models]})
    else:
        _print(models_text(models))
    return EXIT_DONE


@command(models_app, "pull")
def models_pull(
    name: Annotated[str, typer.Argument(help="A name from `models list`.", show_default=False)],
) -> int:
    """Fetch a model's weights into the cache."""
    from mixagent.pipeline.models import pull

    typer.echo(str(pull(name)))
    return EXIT_DONE


@command(models_app, "path")
def models_path(
    name: Annotated[str, typer.Argument(help="A name from `models list`.", show_default=False)],
) -> int:
    """Print where a model's weights are, or would be."""
    from mixagent.pipeline.models import model_path

    typer.echo(str(model_path(name)))
    return EXIT_DONE


def _choice(what: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise UsageError(f"unknown {what} {value!r}: give {', '.join(allowed)}")
    return value


def _target(name: str | None, intent: str | None, ceiling_dbtp: float | None) -> Any:
    from mixagent.pipeline.targets import loudness_target

    intent = _choice("intent", intent or "streaming", ("streaming", "loud"))
    return loudness_target(intent if name is None else name, ceiling_dbtp)


def _sample_rate(text: str) -> int | None:
    rate = _choice("sample rate", text, ("keep", "44100", "48000", "96000"))
    return None if rate == "keep" else int(rate)


def _amount(value: float) -> float:
    if math.isnan(value):
        raise UsageError("amount is not a number: give 0 to 1")
    return value


def _config(overrides: list[str] | None, separator: str | None, policy: str | None = None) -> Any:
    from mixagent.policies import POLICIES
    from mixagent.settings import load_config

    group = [f"policy={_choice('policy', policy, tuple(POLICIES))}"] if policy else []
    config = load_config([*(overrides or []), *group])
    config.pipeline.separator = separator or config.pipeline.separator
    return config
