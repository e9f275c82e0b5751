"""`mixagent goal`: a goal in words as it is understood, before anything is rendered."""

from __future__ import annotations

from typing import Annotated

import typer

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import AsJson
from mixagent.pipeline.errors import EXIT_DONE


@command()
def goal(
    words: Annotated[
        str,
        typer.Argument(
            metavar="WORDS",
            help="What it should be like, as `master --goal` takes it.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> int:
    """Tell how a goal in words is understood: each piece, what it means, and what is not understood."""
    from mixagent.options import goal_of
    from mixagent.pipeline.matching.goal_data import goal_to_dict
    from mixagent.report.goals import goal_text
    from mixagent.session.guidance import goal_lines, understood_words

    found = goal_of(words)
    if as_json:
        print_json({"schema": "mixagent.goal/1", **goal_to_dict(found), "notes": goal_lines(found)})
    else:
        print_text(goal_text([understood_words(piece) for piece in found.pieces], goal_lines(found)))
    return EXIT_DONE
