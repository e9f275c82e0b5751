"""`mixagent models`: what is here, how to get the rest, and which policy is in use."""

from __future__ import annotations

from typing import Annotated

import typer

from mixagent.cli.common import choice, command, print_json, print_text
from mixagent.cli.flags import AsJson
from mixagent.messages import print_line
from mixagent.pipeline.errors import EXIT_DONE

Name = Annotated[str, typer.Argument(help="A name from `models list`.", show_default=False)]


@command()
def list_models(as_json: AsJson = False) -> int:
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


@command()
def pull(name: Name) -> int:
    """Fetch a model's weights into the cache."""
    from mixagent.pipeline.models import pull as fetch

    print_line(str(fetch(name)))
    return EXIT_DONE


@command()
def path(name: Name) -> int:
    """Print where a model's weights are, or would be."""
    from mixagent.pipeline.models import model_path

    print_line(str(model_path(name)))
    return EXIT_DONE


@command()
def rollback(
    policy: Annotated[
        str, typer.Option(help="learned: the one that sets the master; mix: the one that sets the strips.")
    ] = "learned",
    as_json: AsJson = False,
) -> int:
    """Take the policy before the last `mixagent learn` into use again."""
    from mixagent.policies.promotion import LEARNED, MIX, Promotions, find_checkpoint

    name = choice("policy", policy, (LEARNED, MIX))
    restored = Promotions.of(name).rollback()
    if as_json:
        found = {"policy": str(find_checkpoint(name) or ""), "own": restored is not None}
        print_json({"schema": "mixagent.rollback/1", **found})
    else:
        print_text(f"{restored} is in use" if restored else "the shipped policy is in use")
    return EXIT_DONE
