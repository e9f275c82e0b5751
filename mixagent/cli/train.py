"""`mixagent train`: a policy trained."""

from __future__ import annotations

from typing import Annotated

import typer

from mixagent.cli.common import command, extra, print_json, print_lines
from mixagent.cli.flags import Printing
from mixagent.pipeline.errors import EXIT_DONE


@command(interrupted="the same command goes on from there")
def train(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="In Hydra's syntax: experiment=debug trainer.seed=3.", show_default=False),
    ] = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="One policy for each combination of listed values.")
    ] = False,
    *,
    printing: Printing,
) -> int:
    """Train a policy: a warm start by the true distance, then PPO; a run that was stopped goes on."""
    from mixagent.cli.progress import shown_progress

    with extra("train"):
        from mixagent.learning.training import train as run
    with shown_progress(printing.quiet) as progress:
        folders = run(overrides or [], multirun, progress)
    if printing.as_json:
        print_json(
            {"schema": "mixagent.learning.training/1", "policies": [str(folder) for folder in folders]}
        )
    else:
        print_lines(map(str, folders))
    return EXIT_DONE
