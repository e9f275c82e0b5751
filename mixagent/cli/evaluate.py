"""`mixagent evaluate`: policies and searches compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixagent.cli.common import choice, command, extra, print_json, print_text
from mixagent.cli.flags import Printing
from mixagent.pipeline.errors import EXIT_DONE


@command(interrupted="rows that are done are kept: the same command goes on from there")
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
    repairs: Annotated[
        bool, typer.Option(help="Repair the damaged songs before the systems hear them, as a master does.")
    ] = True,
    *,
    printing: Printing,
) -> int:
    """Compare policies and searches on damaged songs: reward, recovery, harm, renders, seconds."""
    from functools import partial

    from mixagent.cli.progress import shown_progress
    from mixagent.envs.corpus import SPLITS, default_corpus
    from mixagent.reward.model import load_reward

    with extra("train"):
        from mixagent.learning.evaluation import Evaluation, evaluate_into, known_policies, known_systems
    from mixagent.learning.evaluation_cases import MadeCases, StoredCases
    from mixagent.learning.evaluation_tables import markdown

    chosen_split = choice("split", split, SPLITS)
    made = MadeCases(str((corpus or default_corpus()).absolute()), chosen_split, seed=seed, repairs=repairs)
    policies = known_policies(policy)
    evaluation = Evaluation(
        cases=StoredCases(str(cases.absolute()), chosen_split) if cases else made,
        reward=load_reward(reward),
        systems=known_systems(systems, policies),
        policies=policies,
        songs=songs,
        seed=seed,
    )
    with shown_progress(printing.quiet) as progress:
        summary = evaluate_into(evaluation, output, workers, partial(progress, "evaluate"))
    if printing.as_json:
        print_json(summary)
    else:
        print_text(markdown(summary))
    return EXIT_DONE
