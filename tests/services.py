"""Services for tests: one that is called in the same process and whose jobs wait, and one that works."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from mixagent.service.api.app import create_app
from mixagent.service.service import Service
from mixagent.service.settings import ServiceSettings

EVERYWHERE: dict = {}
"""Settings that every service of `called` has, such as the database that a test is run on."""


class Caller:
    """Asks an application in the same process; its workers are not started."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.app = create_app(service)

    def __call__(self, method: str, url: str, **more) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, url, **more)

        return asyncio.run(asked())

    def get(self, url: str, **more) -> httpx.Response:
        return self("GET", url, **more)

    def post(self, url: str, **more) -> httpx.Response:
        return self("POST", url, **more)

    def upload(self, song: Path, name: str = "song.wav", **more) -> dict:
        answer = self.post("/v1/uploads", params={"name": name}, content=song.read_bytes(), **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def job(self, kind: str, *uploads: str, options: dict | None = None, **more) -> dict:
        body = {"kind": kind, "uploads": list(uploads), "options": options or {}}
        answer = self.post("/v1/jobs", json=body, **more)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


@contextmanager
def called(folder: Path, **settings) -> Iterator[Caller]:
    """A service with its data below a folder, called in this process; its workers are not started."""
    service = Service(ServiceSettings(data=folder / "data", **EVERYWHERE, **settings))
    try:
        yield Caller(service)
    finally:
        service.uploads.checker.close()
        service.database.close()
        service._lock.release()


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The address of a service that works, with its workers."""
    config = uvicorn.Config(
        create_app(service), port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
