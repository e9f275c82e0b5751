"""The command line: options in, one call of the library, words or one JSON object out.

Progress and messages go to stderr, results to stdout. Here is the table of commands; each is a function in
a module of its own. What loads torch or compiles kernels is imported inside the commands, so that `--help`
answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixagent.cli.interrupts import catch_interrupts, ignore_interrupts

if TYPE_CHECKING:
    import typer

COMMANDS = {
    "master": "master:master",
    "analyze": "analyze:analyze",
    "restore": "restore:restore",
    "repairs": "restore:repairs",
    "split": "split:split",
    "vocals": "split:vocals",
    "album": "album:album",
    "compare": "compare:compare",
    "replay": "replay:replay",
    "targets": "targets:targets",
    "goal": "goal:goal",
    "plugins scan": "plugins:scan",
    "plugins list": "plugins:list_plugins",
    "plugins show": "plugins:show",
    "plugins check": "plugins:check",
    "plugins save": "plugins:save",
    "profile make": "profile:make",
    "profile show": "profile:show",
    "profile list": "profile:list_profiles",
    "rate": "rate:rate",
    "learn": "learn:learn",
    "experience list": "experience:list_experiences",
    "experience forget": "experience:forget",
    "corpus add": "corpus:add",
    "corpus list": "corpus:list_songs",
    "corpus build": "corpus:build",
    "corpus check": "corpus:check",
    "train": "train:train",
    "evaluate": "evaluate:evaluate",
    "models list": "models:list_models",
    "models pull": "models:pull",
    "models path": "models:path",
    "models rollback": "models:rollback",
    "serve": "serve:serve",
    "work": "work:work",
    "users add": "users:add",
    "users list": "users:list_users",
    "users remove": "users:remove",
    "users password": "users:password",
    "backup make": "backup:make",
    "backup restore": "backup:restore",
    "remote master": "remote:master",
    "remote analyze": "remote:analyze",
    "remote restore": "remote:restore",
    "remote split": "remote:split",
    "remote vocals": "remote:vocals",
    "remote album": "remote:album",
    "conductor graph": "conductor:graph",
    "conductor agents": "conductor:agents",
    "conductor tools": "conductor:tools",
    "doctor": "doctor:doctor",
}
"""Every command: its name, and the module and function here that it is."""

GROUPS = {
    "conductor": "The agents of `master --conductor`: their graph, what each owns, a language model's tools.",
    "corpus": "The songs that training learns from.",
    "experience": "What was remembered of mastered songs, here only.",
    "models": "Models: what is here, how to get the rest.",
    "plugins": "Plug-ins that can stand in for effects of the chain.",
    "remote": "The same commands, run by a service that `mixagent serve` is elsewhere.",
    "users": "Who may use a service that has accounts.",
    "backup": "All that a service keeps, in one file.",
    "profile": "Profiles: what songs measure, to master towards without their audio.",
}
"""What the commands of several words have in common."""


EXIT_INTERRUPTED = 130
EXIT_READER_LEFT = 141
"""What a shell calls the end of a program whose reader left before it was done: 128 + SIGPIPE."""


def main() -> None:
    """Run the program and exit with its code; whatever goes wrong is one line."""
    try:
        code = _run()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = EXIT_READER_LEFT
    if code == EXIT_READER_LEFT:
        _forget_standard_streams()
    ignore_interrupts()
    sys.exit(code)


def _run() -> int:
    """The exit code of the program, whose words are said."""
    try:
        catch_interrupts()
        _open_standard_streams()
        _settle()
        return _ended(sys.argv[1:])
    except KeyboardInterrupt:
        # While modules were loaded or options parsed: commands at work say more.
        from mixagent.messages import say

        say("interrupted; nothing was written")
        return EXIT_INTERRUPTED


def _ended(arguments: Sequence[str]) -> int:
    """The exit code of a command, errors among its words."""
    from mixagent.cli.common import flag
    from mixagent.messages import say
    from mixagent.pipeline.errors import EXIT_FAULT, MixagentError

    try:
        command_line(arguments)(arguments, prog_name="mixagent")
    except MixagentError as error:
        say(error.sentence(flag))
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last handler: what is left is a fault of this program
        from mixagent.faults import told

        say(told(error))
        return EXIT_FAULT
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt from None
        # Typer and rich end with 1 where a reader left, and nothing else does.
        return EXIT_READER_LEFT if code == 1 else code
    return 0


def command_line(arguments: Sequence[str] = ()) -> typer.Typer:
    """The commands as a program; the one that the arguments begin with alone, where there is one."""
    from importlib import import_module

    import typer

    from mixagent.cli.common import root

    def group(text: str) -> typer.Typer:
        return typer.Typer(
            help=text,
            no_args_is_help=True,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
        )

    app = group("Automatic mixing and mastering for generated songs and rough mixes.")
    app.callback(invoke_without_command=True)(root)
    wanted = [name for name in COMMANDS if name.split()[0] in arguments[:1]] or [*COMMANDS]
    groups: dict[str, typer.Typer] = {}
    for name in wanted:
        first, _, second = name.partition(" ")
        if second and first not in groups:
            groups[first] = group(GROUPS[first])
            app.add_typer(groups[first], name=first)
        module, _, function = COMMANDS[name].partition(":")
        body = getattr(import_module(f"mixagent.cli.{module}"), function)
        groups.get(first, app).command(second or first)(body)
    return app


def _settle() -> None:
    """What a short run is better off with."""
    import atexit
    import gc
    import io

    # What is loaded is never rubbish: looking for some in it would cost a short run a sixth of its time.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _open_standard_streams() -> None:
    """Give a closed stdin, stdout or stderr a place: the next file would be opened in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def _forget_standard_streams() -> None:
    """Leave nothing that the end of the program would try to write to a reader that left."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nothing, stream.fileno())
