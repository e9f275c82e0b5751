"""`mixagent work`: workers for a service that runs elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mixagent.cli.common import command, extra
from mixagent.cli.service_flags import (
    Broker,
    Data,
    DatabaseUrl,
    Gpus,
    Store,
    checked_workers,
    given_text,
    gpu_names,
)
from mixagent.messages import say
from mixagent.pipeline.errors import EXIT_DONE


@command(interrupted="jobs that were at work go to other workers")
def work(
    database: DatabaseUrl = None,
    store: Store = None,
    broker: Broker = None,
    data: Data = None,
    workers: Annotated[int, typer.Option(help="Processes for any job.", envvar="MIXAGENT_WORKERS")] = 1,
    lane: Annotated[
        Literal["all", "full", "quick"],
        typer.Option(
            help="quick: one process for verdicts and previews alone; full: those for any job; all: both.",
            envvar="MIXAGENT_LANE",
        ),
    ] = "all",
    gpus: Gpus = None,
) -> int:
    """Work on the jobs of a service: with a broker woken by Celery, without one by looking every second."""
    checked_workers(workers, 1, gpu_names(gpus))
    from mixagent.pipeline.folders import data_folder

    with extra("serve"):
        from mixagent.service.settings import ServiceSettings
        from mixagent.service.working import work as run
    settings = ServiceSettings(
        data=(data or data_folder() / "service").absolute(),
        workers=workers,
        database_url=given_text(database),
        store_url=given_text(store),
        broker_url=given_text(broker),
        gpus=gpu_names(gpus),
    )
    with extra("scale"):
        run(settings, lane, say)
    return EXIT_DONE
