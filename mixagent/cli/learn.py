"""`mixagent learn`: the policies fine-tuned on the user's songs, ratings and corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import Printing
from mixagent.messages import print_line
from mixagent.pipeline.errors import EXIT_DONE


@command()
def learn(
    cases: Annotated[
        Path | None,
        typer.Option(
            help="Cases that hold the master's policy and judge it, made by `mixagent corpus build`.",
            show_default="those of the corpus",
        ),
    ] = None,
    renders: Annotated[
        int, typer.Option(min=8, help="Validation cases that both policies render, at most.")
    ] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    background: Annotated[
        bool,
        typer.Option(
            "--background", help="Stay, and learn whenever the machine is idle, until Ctrl-C ends it."
        ),
    ] = False,
    *,
    printing: Printing,
) -> int:
    """Fine-tune the policies on your songs, ratings and corrections; used if they lose nowhere else."""
    from mixagent.learning.background import learn_in_background
    from mixagent.learning.user import LessonSettings, learn_from_user, lesson_json, lines_of
    from mixagent.policies.experience import ExperienceStore

    if background:
        learn_in_background(print_line)
    from mixagent.cli.progress import shown_progress

    with shown_progress(printing.quiet) as progress:
        lesson = learn_from_user(ExperienceStore.default(), LessonSettings(cases, renders, seed), progress)
    if printing.as_json:
        print_json({"schema": "mixagent.learning/1", **lesson_json(lesson)})
    else:
        print_text("\n".join(lines_of(lesson)))
    return EXIT_DONE
