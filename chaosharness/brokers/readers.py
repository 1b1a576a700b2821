"""What the harness's own readers share: how they are run, and where they post what arrived.

A reader is the consumer of a flow that declares none: arrival is the effect. In its environment: READER_BROKER (a
connection string), READER_QUEUE, READER_EFFECT (http://host:port). To try one: see the readers beside this file.
"""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from chaosharness.model.flow import Source

ARRIVED = "/arrived"
"""Where to post if READER_EFFECT has no path."""
POST_WITHIN_S = 30.0


def reader_of(module: str, source: Source) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Command and environment (templates) of the reader in `module` (`ports.plugin.Broker.reader`)."""
    templates = {"READER_BROKER": "{broker}", "READER_EFFECT": "{effect}", "READER_QUEUE": source.name}
    return (sys.executable, "-m", module), templates


class Effect:
    """Keeps one connection to the effect's stub, and opens it again when it was lost."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = parts.path or ARRIVED
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=POST_WITHIN_S)

    def post(self, body: bytes, message_id: str | None = None) -> str | None:
        """Why it did not arrive, in words; None where it was answered with less than 400."""
        headers = {"Content-Type": "application/octet-stream"}
        if message_id:
            headers["X-Message-Id"] = message_id
        try:
            self._connection.request("POST", self._path, body, headers)
            with self._connection.getresponse() as answer:
                answer.read()
                return None if answer.status < http.client.BAD_REQUEST else f"the effect answered {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return f"the effect: {type(error).__name__}: {error}"

    def listens(self) -> bool:
        """Whether it takes a connection now."""
        try:
            with socket.create_connection((self._connection.host, self._connection.port), POST_WITHIN_S):
                return True
        except OSError:
            return False

    def close(self) -> None:
        self._connection.close()
