"""The command line: options in, one call of the application, words or one JSON object out.

Progress and messages go to stderr, results to stdout. Modules that load torch or compile kernels are
imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import io
import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from mixagent import __version__
from mixagent.cli.album import album
from mixagent.cli.common import (
    FORMATS,
    AsJson,
    Device,
    NoCache,
    Overrides,
    Quiet,
    Separation,
    choice,
    command,
    configured,
    flag,
    print_json,
    print_lines,
    print_text,
)
from mixagent.cli.corpus import corpus_app
from mixagent.cli.learning import experience_app, learn, rate, rollback
from mixagent.cli.profile import profile_app
from mixagent.cli.split import UNFINISHED, split, vocals
from mixagent.messages import print_line, say
from mixagent.pipeline.errors import (
    EXIT_DONE,
    EXIT_FAULT,
    EXIT_TARGET_MISSED,
    MixagentError,
    ModelMissingError,
    UsageError,
)

app = typer.Typer(
    name="mixagent",
    help="Automatic mixing and mastering for generated songs and rough mixes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="Models: what is here, how to get the rest.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(corpus_app, name="corpus")
app.add_typer(profile_app, name="profile")
app.add_typer(experience_app, name="experience")

Song = Annotated[
    Path,
    typer.Argument(help="Audio file: wav, flac, mp3, ogg, aiff, or m4a with ffmpeg.", show_default=False),
]
OptionalSong = Annotated[
    Path | None,
    typer.Argument(
        help="Audio file: wav, flac, mp3, ogg, aiff, or m4a with ffmpeg. May be left out with --stems-in.",
        show_default=False,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="How much of what was decided in this dimension: 0 none of it, 1 all. "
        "--amount multiplies it; dynamics has the faders, width the rooms, restore the repairs.",
    ),
]
BitDepth = Annotated[str, typer.Option(help="16, 24 or 32f: depth of wav and flac output.")]


_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What asks the program to stop; Windows has no hang-up."""


def main() -> None:
    """Run the program and exit with its code; whatever goes wrong is one line."""
    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupted)
    # What is loaded is never rubbish: looking for some in it would cost a short run a sixth of its time.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="mixagent")
    except MixagentError as error:
        say(error.sentence(flag))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last handler: what is left is a fault of this program
        from mixagent.faults import told

        say(told(error))
        sys.exit(EXIT_FAULT)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C would interrupt the tidying up after the first.
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"mixagent {__version__}")
        raise typer.Exit


@command(app)
def master(
    song: OptionalSong = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the master goes. Given many times, one master goes into each of them.",
            show_default="SONG.master.wav",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="A platform such as spotify, apple, youtube, club or cd (`mixagent targets` lists them), "
            "streaming, loud, or LUFS such as -11.5.",
            show_default="streaming, -14 LUFS",
        ),
    ] = None,
    intent: Annotated[
        str | None,
        typer.Option(
            help="streaming, loud or reference (as loud as --reference), where no target is named.",
            show_default="reference with --reference, else streaming",
        ),
    ] = None,
    ceiling: Annotated[
        float | None, typer.Option(help="True-peak ceiling in dBTP.", show_default="-1.0")
    ] = None,
    amount: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="How much of the correction: 1 all of it, 0 gives the song back untouched."
        ),
    ] = 1.0,
    eq: Strength = 1.0,
    dynamics: Strength = 1.0,
    width: Strength = 1.0,
    saturation: Strength = 1.0,
    restore: Strength = 1.0,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REF[=WEIGHT]",
            help="Sound like this song, profile (.json) or genre:NAME (see `profile list`); several are "
            "blended by weight.",
            show_default=False,
        ),
    ] = None,
    reference_tone: Annotated[
        list[str] | None,
        typer.Option(metavar="REF[=WEIGHT]", help="Another reference for the tone.", show_default=False),
    ] = None,
    reference_dynamics: Annotated[
        list[str] | None,
        typer.Option(metavar="REF[=WEIGHT]", help="Another for the dynamics.", show_default=False),
    ] = None,
    reference_width: Annotated[
        list[str] | None,
        typer.Option(metavar="REF[=WEIGHT]", help="Another for the width.", show_default=False),
    ] = None,
    reference_method: Annotated[
        str, typer.Option(help="profile, or matchering for the tone and width of a single song.")
    ] = "profile",
    goal: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS", help="What it should be like: “warm, wide, less harsh”.", show_default=False
        ),
    ] = None,
    stems_in: Annotated[
        Path | None,
        typer.Option(
            "--stems-in",
            metavar="DIR",
            help="Mix the tracks in this folder instead of separating the song; without a SONG their sum "
            "is the song.",
            show_default=False,
        ),
    ] = None,
    role_map: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FILE=ROLE",
            help="What a track of --stems-in is: vocals, drums, bass, piano, guitar, other, accompaniment, "
            "residual (in the mix, on no strip), or out. May be given many times.",
            show_default=False,
        ),
    ] = None,
    no_align: Annotated[
        bool,
        typer.Option("--no-align", help="Leave the timing and polarity of --stems-in tracks as they are."),
    ] = False,
    balance: Annotated[
        str,
        typer.Option(help="keep the tracks' own levels, or auto: a starting balance for raw tracks."),
    ] = "keep",
    stems: Annotated[
        Path | None, typer.Option(help="Also write the stems, 32-bit float wav, into this folder.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="wav, flac, mp3 or ogg, or several separated by commas; by default the output's suffix."
        ),
    ] = None,
    fade_in: Annotated[float, typer.Option(metavar="S", help="Fade in over the first S seconds.")] = 0.0,
    fade_out: Annotated[float, typer.Option(metavar="S", help="Fade out over the last S seconds.")] = 0.0,
    trim_silence: Annotated[
        bool, typer.Option("--trim-silence", help="Cut the silence before the song begins and after it ends.")
    ] = False,
    check_codecs: Annotated[
        bool,
        typer.Option(
            "--check-codecs", help="Measure what mp3, aac, ogg and opus make of the master's true peak."
        ),
    ] = False,
    codec_safe: Annotated[
        bool | None,
        typer.Option(
            help="Lower the limiter's ceiling until the master holds it after these codecs too.",
            show_default="only where every output is mp3 or ogg, and for these alone",
        ),
    ] = None,
    codecs: Annotated[
        str | None,
        typer.Option(
            help="Which codecs the last two mean: mp3, aac, ogg, opus, separated by commas.",
            show_default="all that are here",
        ),
    ] = None,
    replaygain: Annotated[
        bool, typer.Option("--replaygain", help="Tag the master with its ReplayGain 2.0 gain and peak.")
    ] = False,
    bit_depth: BitDepth = "24",
    sample_rate: Annotated[str, typer.Option(help="keep, 44100, 48000 or 96000.")] = "keep",
    separator: Separation = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="band, rules, neutral, learned, or a trained policy's name or folder.", show_default="band"
        ),
    ] = None,
    search: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Better the policy's settings: try N times how far to go with each, on the loudest parts.",
            show_default="0, the policy's own",
        ),
    ] = 0,
    renders: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4,
            metavar="N",
            help="Render, measure, and where the master went out of band revise and render again, N times at "
            "most; 1 takes the first as it is.",
            show_default="4",
        ),
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the report: .html is a page to listen in, .json can be replayed. May be given twice.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the dither and of the search.")] = 0,
    overrides: Overrides = None,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> int:
    """Master a song, or mix and master a folder of stems: find what is wrong, undo it, finish it, report."""
    from mixagent.cli.progress import shown_progress
    from mixagent.pipeline.chain.amounts import Strengths
    from mixagent.pipeline.chain.edits import Edits
    from mixagent.report.terminal import summary_text
    from mixagent.report.writer import check_reports, write_reports
    from mixagent.session.master import master_song
    from mixagent.session.request import Request, output_paths

    paths = output_paths(song, output or [], _formats(format), stems_in)
    follows_loudness = intent == "reference" or bool(reference and intent is None and target is None)
    request = Request(
        song=song,
        output=paths[0],
        also=tuple(paths[1:]),
        stems_in=_stems_in(stems_in, role_map, not no_align, balance, song),
        target=_target(target, "streaming" if follows_loudness else intent, ceiling),
        references=_references(
            (reference, reference_tone, reference_dynamics, reference_width),
            follows_loudness and target is None,
            reference_method,
            song,
        ),
        goal=_goal(goal),
        target_named=target is not None,
        amount=_amount(amount),
        strengths=Strengths(eq, dynamics, width, saturation, restore),
        bit_depth=choice("bit depth", bit_depth, ("16", "24", "32f")),
        sample_rate=_sample_rate(sample_rate),
        device=choice("device", device, ("auto", "cpu", "cuda")),
        seed=seed,
        stems_folder=stems,
        config=configured(overrides, separator, policy, renders),
        use_cache=not no_cache,
        search=search,
        edits=Edits(fade_in, fade_out, trim_silence),
        codecs=_codecs(check_codecs, codec_safe, codecs, amount, paths),
        replaygain=replaygain,
    )
    check_reports(report or [], request.inputs)
    with shown_progress(quiet) as progress, master_song(request, progress) as result:
        write_reports(result.report, result.before, result.after, report or [])
        if as_json:
            print_json(result.report.to_dict())
        else:
            print_text(summary_text(result.report))
        return EXIT_DONE if result.report.met else EXIT_TARGET_MISSED


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
    stems_in: Annotated[
        Path | None, typer.Option("--stems-in", metavar="DIR", help="The stems' folder, if they have moved.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Render a master again from its report; the same bytes, or exit code 4 and a word on what changed."""
    from mixagent.cli.progress import shown_progress
    from mixagent.session.replay import replay_report

    with shown_progress(quiet) as progress:
        outcome = replay_report(report, output, song, progress, stems_in)
    if as_json:
        print_json(outcome.to_dict())
    else:
        print_text(outcome.verdict)
    return EXIT_DONE if outcome.identical else EXIT_TARGET_MISSED


@command(app)
def analyze(song: Song, as_json: AsJson = False, quiet: Quiet = False) -> int:
    """Measure a song and say what is wrong with it; nothing is written."""
    from mixagent.cli.progress import shown_progress
    from mixagent.report.tables import analysis_text
    from mixagent.session.analyse import measured_song

    with shown_progress(quiet) as progress:
        found = measured_song(song, progress)
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(analysis_text(found))
    return EXIT_DONE


command(app, interrupted=UNFINISHED)(split)
command(app, interrupted=UNFINISHED)(vocals)
command(app, interrupted=UNFINISHED)(album)


@command(app)
def compare(
    files: Annotated[list[Path], typer.Argument(help="Two or more versions of a song.", show_default=False)],
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write the report: .html is a page to switch between the versions and to test them blind, "
            ".json its figures. May be given twice.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Measure versions of a song side by side; with --report, listen to them level-matched and aligned."""
    from mixagent.cli.progress import shown_progress
    from mixagent.comparing.run import compare_songs, laid_together, write_comparison
    from mixagent.report.model import ComparisonReport, ListeningReport
    from mixagent.report.tables import comparison_text
    from mixagent.report.writer import check_reports

    if len(files) < 2:
        raise UsageError("compare needs two files or more")
    check_reports(report or [], files)
    found: ComparisonReport | ListeningReport
    with shown_progress(quiet) as progress:
        if report:
            with laid_together(files, progress) as comparison:
                write_comparison(comparison, report)
                found = comparison.found
        else:
            found = compare_songs(files, progress)
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(comparison_text(found.files))
    return EXIT_DONE


@command(app)
def targets(as_json: AsJson = False) -> int:
    """List the platforms and other names that --target takes, with their sources."""
    from mixagent.report.tables import targets_text
    from mixagent.session.reporting.delivery import targets_report

    found = targets_report()
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(targets_text(found))
    return EXIT_DONE


@command(app)
def doctor(as_json: AsJson = False) -> int:
    """Say what is installed, which weights and device are there, and what to do about the rest."""
    from mixagent.doctor import examine, to_json
    from mixagent.pipeline.folders import cache_folder
    from mixagent.report.tables import doctor_text

    checks = examine(cache_folder())
    if as_json:
        print_json(to_json(checks))
    else:
        print_text(doctor_text(checks))
    return EXIT_DONE if to_json(checks)["healthy"] else ModelMissingError.exit_code


@command(app, interrupted="the same command goes on from there")
def train(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="In Hydra's syntax: experiment=debug trainer.seed=3.", show_default=False),
    ] = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="One policy for each combination of listed values.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Train a policy: a warm start by the true distance, then PPO; a run that was stopped goes on."""
    from mixagent.cli.progress import shown_progress

    with _extra("train"):
        from mixagent.learning.training import train as run
    with shown_progress(quiet) as progress:
        folders = run(overrides or [], multirun, progress)
    if as_json:
        print_json(
            {"schema": "mixagent.learning.training/1", "policies": [str(folder) for folder in folders]}
        )
    else:
        print_lines(map(str, folders))
    return EXIT_DONE


@command(app, interrupted="rows that are done are kept: the same command goes on from there")
def evaluate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; a run that was stopped goes on.")
    ] = Path("evaluation"),
    corpus: Annotated[
        Path | None,
        typer.Option(help="Damage songs of this corpus.", show_default="MIXAGENT_CORPUS or the user's own"),
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Take the cases of this store instead.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    songs: Annotated[int, typer.Option(min=1, help="How many songs.")] = 40,
    systems: Annotated[
        str | None,
        typer.Option(
            help="Separated by commas: a policy, or METHOD[:POLICY]@RENDERS, METHOD random or cma; "
            "`policy` is whatever --policy names.",
            show_default="all of the published table",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="A trained policy's name or folder; several for several seeds.", show_default="learned"
        ),
    ] = None,
    reward: Annotated[str, typer.Option(help="The judge: a file of conf/reward.")] = "default",
    seed: Annotated[int, typer.Option(min=0, help="Of the damage and of the searches.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Compare policies and searches on damaged songs: reward, recovery, harm, renders, seconds."""
    from functools import partial

    from mixagent.cli.progress import shown_progress
    from mixagent.envs.corpus import SPLITS, default_corpus
    from mixagent.reward.model import load_reward

    with _extra("train"):
        from mixagent.learning.evaluation import Evaluation, evaluate_into, known_policies, known_systems
    from mixagent.learning.evaluation_cases import MadeCases, StoredCases
    from mixagent.learning.evaluation_tables import markdown

    chosen_split = choice("split", split, SPLITS)
    made = MadeCases(str((corpus or default_corpus()).absolute()), chosen_split, seed=seed)
    policies = known_policies(policy)
    evaluation = Evaluation(
        cases=StoredCases(str(cases.absolute()), chosen_split) if cases else made,
        reward=load_reward(reward),
        systems=known_systems(systems, policies),
        policies=policies,
        songs=songs,
        seed=seed,
    )
    with shown_progress(quiet) as progress:
        summary = evaluate_into(evaluation, output, workers, partial(progress, "evaluate"))
    if as_json:
        print_json(summary)
    else:
        print_text(markdown(summary))
    return EXIT_DONE


command(app)(rate)
command(app)(learn)
command(models_app, "rollback")(rollback)


@command(models_app, "list")
def models_list(as_json: AsJson = False) -> int:
    """List the models, their licences and whether their weights are here."""
    from dataclasses import asdict

    from mixagent.pipeline.models import available_models
    from mixagent.report.tables import models_text

    models = available_models()
    if as_json:
        print_json({"schema": "mixagent.models/1", "models": [asdict(model) for model in models]})
    else:
        print_text(models_text(models))
    return EXIT_DONE


@command(models_app, "pull")
def models_pull(
    name: Annotated[str, typer.Argument(help="A name from `models list`.", show_default=False)],
) -> int:
    """Fetch a model's weights into the cache."""
    from mixagent.pipeline.models import pull

    print_line(str(pull(name)))
    return EXIT_DONE


@command(models_app, "path")
def models_path(
    name: Annotated[str, typer.Argument(help="A name from `models list`.", show_default=False)],
) -> int:
    """Print where a model's weights are, or would be."""
    from mixagent.pipeline.models import model_path

    print_line(str(model_path(name)))
    return EXIT_DONE


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Inside, a package that is not installed becomes a line that names the extra which has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelMissingError(f"{error.name} is not installed: pip install 'mixagent[{name}]'") from error


def _target(name: str | None, intent: str | None, ceiling_dbtp: float | None) -> Any:
    from mixagent.pipeline.finaliser.targets import loudness_target

    intent = choice("intent", intent or "streaming", ("streaming", "loud", "reference"))
    return loudness_target(intent if name is None else name, ceiling_dbtp)


def _codecs(check: bool, safe: bool | None, names: str | None, amount: float, outputs: list[Path]) -> Any:
    from mixagent.pipeline.finaliser.codecs import planned

    if names is not None and not check and not safe:
        raise UsageError("--codecs needs --check-codecs or --codec-safe")
    if amount == 0.0 and (check or safe):
        option = "codec-safe" if safe else "check-codecs"
        raise UsageError(f"--amount 0 gives the song back as it is: leave out --{option}")
    named = [] if names is None else [name.strip() for name in names.split(",")]
    return planned(check, safe, [path.suffix.lower() for path in outputs], named)


def _formats(text: str | None) -> list[str]:
    return [choice("format", name.strip(), FORMATS) for name in text.split(",")] if text else []


def _goal(text: str | None) -> Any:
    from mixagent.pipeline.matching.goals import understood

    if text is None:
        return None
    if not text.strip():
        raise UsageError("--goal is empty: say what it should be like, such as “warm, wide, less harsh”")
    return understood(text)


def _references(
    named: tuple[list[str] | None, ...], sets_loudness: bool, method: str, song: Path | None
) -> Any:
    """The references: those for everything, for tone, for dynamics and for width."""
    from mixagent.session.references import METHODS, check_references, parsed_references

    every, tone, dynamics, width = (texts or [] for texts in named)
    chosen = choice("reference method", method, METHODS)
    references = parsed_references(every, tone, dynamics, width, sets_loudness, chosen)
    if references is not None:
        check_references(references, song)
    elif method != METHODS[0]:
        raise UsageError("--reference-method needs --reference")
    return references


def _stems_in(
    folder: Path | None, roles: list[str] | None, align: bool, balance: str, song: Path | None
) -> Any:
    from mixagent.session.stems_in import StemsIn, parsed_roles

    if folder is None:
        if roles or not align or balance != "keep":
            raise UsageError("--map, --no-align and --balance need --stems-in DIR")
        return None
    kept = choice("balance", balance, ("keep", "auto"))
    return StemsIn.of_folder(folder, parsed_roles(roles or []), align, kept, song)


def _sample_rate(text: str) -> int | None:
    rate = choice("sample rate", text, ("keep", "44100", "48000", "96000"))
    return None if rate == "keep" else int(rate)


def _amount(value: float) -> float:
    if math.isnan(value):
        raise UsageError("amount is not a number: give 0 to 1")
    return value
