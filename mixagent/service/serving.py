"""Runs the service: its address, its log, its end."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from mixagent.service.access import ADMIN, LOCAL_USER, Caller
from mixagent.service.accounts.audit import COMMAND_LINE
from mixagent.service.api.app import create_app
from mixagent.service.logs import set_up_logs
from mixagent.service.service import Service
from mixagent.service.settings import ServiceSettings

_END_S = 3


def serve(settings: ServiceSettings, say: Callable[[str], None], browse: bool) -> None:
    """Serve until it is interrupted.

    Args:
        settings: of the service.
        say: tells a person where it is, and the first key.
        browse: whether the page is opened.

    Raises:
        UsageError, OutputError: as `Service`.
    """
    set_up_logs()
    service = Service(settings)
    if settings.accounts and not service.keys.any():
        key, row = service.keys.create(LOCAL_USER, "first", [ADMIN])
        service.audit.put(Caller(LOCAL_USER, (ADMIN,)), "create key", row.id, COMMAND_LINE)
        say(f"the first API key, which is shown this once: {key}")
    config = uvicorn.Config(
        create_app(service),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=_END_S,
        proxy_headers=False,
    )
    server = _Server(config, say, browse)
    server.run()


class _Server(uvicorn.Server):
    """Says where it is once it is there."""

    def __init__(self, config: uvicorn.Config, say: Callable[[str], None], browse: bool) -> None:
        super().__init__(config)
        self._say, self._browse = say, browse

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if not self.started:
            return
        port = self.servers[0].sockets[0].getsockname()[1]
        host = self.config.host
        named = f"[{host}]" if ":" in host else host
        address = f"http://{named}:{port}/"
        self._say(f"serving at {address}")
        if self._browse:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
