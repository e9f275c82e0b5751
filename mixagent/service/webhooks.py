"""Webhooks: told when a job ends, signed, tried again, and never sent into the network that this runs in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import select

from mixagent.service.jobs.view import job_dict
from mixagent.service.metrics import Metrics
from mixagent.service.problems import Problem
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import Delivery, Job

LOG = logging.getLogger(__name__)

LEAST_SECRET = 16
_TRIES = 8
_FIRST_WAIT_S, _FACTOR = 10.0, 4.0
_TIMEOUT_S = 10.0
_LOOK_EVERY_S = 5.0


def check_url(url: str, private: bool) -> None:
    """Whether a webhook may be sent there, as far as its text says.

    Raises:
        Problem: it is no address of a web server, or one that is not public.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None:
        raise Problem("usage", "a webhook's url is https://HOST/…", field="webhook.url")
    try:
        port = parts.port
    except ValueError:
        raise Problem("usage", "a webhook's url has no such port", field="webhook.url") from None
    if port == 0:
        raise Problem("usage", "a webhook's url has no such port", field="webhook.url")
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return
    if not private and not _is_public(address):
        raise Problem("usage", f"{parts.hostname} is no public address", field="webhook.url")


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if mapped is not None and not _is_public(mapped):
        return False
    return address.is_global and not address.is_multicast


@dataclass(frozen=True)
class _Target:
    """An address that was looked up once: what is checked is what is connected to."""

    url: httpx.URL
    host: str


def _looked_up(url: str, private: bool) -> _Target:
    """The address behind a url's name.

    Raises:
        OSError: the name leads nowhere, or to an address that is not public.
    """
    parsed = httpx.URL(url)
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    rows = socket.getaddrinfo(parsed.host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(row[4][0]) for row in rows]
    for address in addresses:
        if not private and not _is_public(address):
            raise OSError(f"{parsed.host} leads to {address}, which is not public")
    host = parsed.netloc.decode("ascii")
    return _Target(parsed.copy_with(host=str(addresses[0])), host)


def signature(secret: str, time: int, id_: str, body: bytes) -> str:
    """The value of `Mixagent-Signature` for a delivery."""
    signed = f"{time}.{id_}.".encode() + body
    return f"t={time},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Webhooks:
    """Delivers what is due, one after the other."""

    def __init__(self, database: Database, metrics: Metrics, private: bool) -> None:
        self._database, self._metrics, self._private = database, metrics, private
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, after the delivery at work."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self.deliver_next()
            except Exception:
                LOG.exception("webhooks met a fault")
                busy = False
            if not busy:
                self._stopping.wait(_LOOK_EVERY_S)

    def deliver_next(self) -> bool:
        """Make the delivery that is due longest; whether there was one."""
        with self._database.reading() as session:
            due = Delivery.next_at <= now()
            row = session.scalars(select(Delivery).where(due).order_by(Delivery.next_at).limit(1)).first()
            if row is None:
                return False
            job = session.scalars(select(Job).where(Job.id == row.job)).first()
            body = row.body if job is None else job_dict(job)
        error = self._error(row, body)
        with self._database.writing() as session:
            found = session.get(Delivery, row.id)
            if found is None:
                return True
            found.tries += 1
            found.error = None if error is None else error[:300]
            if error is None:
                found.delivered_at, found.next_at = now(), None
            elif found.tries >= _TRIES:
                found.next_at = None
            else:
                found.next_at = now() + _FIRST_WAIT_S * _FACTOR ** (found.tries - 1)
        outcome = "delivered" if error is None else "failed"
        self._metrics.webhooks.labels(outcome).inc()
        LOG.info("webhook", extra={"job": row.job, "outcome": outcome, "why": error})
        return True

    def _error(self, row: Delivery, body: Mapping[str, Any]) -> str | None:
        """Why a delivery was not taken; None where it was."""
        data = json.dumps(body).encode()
        time = round(now())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mixagent",
            "Mixagent-Delivery": row.id,
            "Mixagent-Signature": signature(row.secret, time, row.id, data),
        }
        try:
            target = _looked_up(row.url, self._private)
            headers["Host"] = target.host
            name = httpx.URL(row.url).host
            with (
                httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "POST", target.url, content=data, headers=headers, extensions={"sni_hostname": name}
                ) as answer,
            ):
                return None if answer.is_success else f"the answer was {answer.status_code}"
        except (OSError, httpx.HTTPError, UnicodeError) as error:
            return f"{type(error).__name__}: {error}"
