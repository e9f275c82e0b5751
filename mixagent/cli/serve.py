"""`mixagent serve`: the page and the service behind it, on this machine."""

from __future__ import annotations

import os
from typing import Annotated

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
from mixagent.pipeline.errors import EXIT_DONE, UsageError, option

DEFAULT_PORT = 8300


@command(interrupted="jobs that were at work go on when it is started again")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="MIXAGENT_HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", envvar="MIXAGENT_PORT")
    ] = DEFAULT_PORT,
    data: Data = None,
    workers: Annotated[
        int,
        typer.Option(
            help="Processes for full renders; 0 where `mixagent work` runs elsewhere.",
            envvar="MIXAGENT_WORKERS",
        ),
    ] = 1,
    database: DatabaseUrl = None,
    store: Store = None,
    broker: Broker = None,
    presigned: Annotated[
        bool,
        typer.Option("--presigned", help="Send downloads on to the S3 store.", envvar="MIXAGENT_PRESIGNED"),
    ] = False,
    gpus: Gpus = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
    private_webhooks: Annotated[
        bool, typer.Option("--private-webhooks", help="Let webhooks go to addresses that are not public.")
    ] = False,
    origin: Annotated[
        str | None,
        typer.Option(
            help="What the page's address begins with, where a proxy stands before it.",
            envvar="MIXAGENT_ORIGIN",
        ),
    ] = None,
    no_learning: Annotated[
        bool, typer.Option("--no-learning", help="Do not learn from ratings while no job waits or runs.")
    ] = False,
    accounts: Annotated[bool, typer.Option("--accounts", help="Ask who one is on 127.0.0.1, too.")] = False,
) -> int:
    """Serve the page where songs are dropped, and the API behind it; on 127.0.0.1 without accounts.

    An OpenID provider is named by MIXAGENT_OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET in the environment.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"{option('port', port)} is no port: give 0 to 65535", field="port")
    checked_workers(workers, 0, gpu_names(gpus))
    from mixagent.pipeline.folders import data_folder

    with extra("serve"):
        from mixagent.service.serving import serve as run
        from mixagent.service.settings import OpenIdSettings, ServiceSettings, is_loopback
    try:
        openid = OpenIdSettings.of(os.environ)
    except ValueError as error:
        raise UsageError(str(error)) from error
    settings = ServiceSettings(
        data=(data or data_folder() / "service").absolute(),
        host=host,
        port=port,
        workers=workers,
        # A proxy brings everybody to this machine's own address.
        accounts=accounts or not is_loopback(host) or origin is not None or openid is not None,
        openid=openid,
        private_webhooks=private_webhooks,
        origin=(given_text(origin) or "").rstrip("/") or None,
        database_url=given_text(database),
        store_url=given_text(store),
        broker_url=given_text(broker),
        presigned=presigned,
        gpus=gpu_names(gpus),
        learns=not no_learning,
    )
    run(settings, say, browse=not no_browser)
    return EXIT_DONE
