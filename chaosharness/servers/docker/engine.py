"""Which Docker Engine there is, found without starting anything and without loading a library.

Goes in: the environment. Comes out: an `Engine`, which answers or says why it does not.
To try it: `chaosharness doctor`.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import queue
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chaosharness.model.errors import MissingServer
from chaosharness.servers.docker.endpoint import DEFAULT_SOCKET, EXPECTED, BadEndpoint, Endpoint, find_endpoint
from chaosharness.servers.docker.tunnel import OPEN_WITHIN_S, NoTunnel, Tunnel

ANSWER_WITHIN_S = 3.0
LARGEST_ANSWER = 65_536
OLDEST_API = (1, 24)
"""What docker-py speaks: Docker 1.12, of 2016."""
HOST_OVERRIDE = "TESTCONTAINERS_HOST_OVERRIDE"
"""Environment, as in testcontainers: the host at which published ports are reached."""
START_IT = "start Docker, or name an engine in DOCKER_HOST"
LET_IN = "ssh must get there without a question: `ssh -o BatchMode=yes HOST true` shows whether it does"
LET_FORWARD = (
    f"sshd there must let this user forward to {DEFAULT_SOCKET}, or to what ssh://HOST/path/of/docker.sock names"
)
FIT_TLS = "DOCKER_TLS_VERIFY and DOCKER_CERT_PATH must fit the engine"


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that was looked for."""

    url: str
    """`unix:///var/run/docker.sock`, `tcp://host:2375`, `ssh://user@host`"""
    version: str | None
    """None: it does not answer."""
    problem: str = ""
    """Why it does not answer, in words."""
    remedy: str = ""
    named_by: str = ""
    """`DOCKER_HOST`, `the context desktop-linux`; empty for the default."""
    certificates: str | None = None
    """The folder of certificates; None: no TLS."""
    verify: bool = False
    """Whether the engine must show a certificate, too."""
    api: str = ""
    """The version of its API: `1.41`."""

    @property
    def ok(self) -> bool:
        return self.version is not None

    @property
    def local(self) -> bool:
        """Whether its published ports are, most likely, this machine's."""
        return self.host == "localhost" or self.host.startswith("127.")

    @property
    def host(self) -> str:
        """Where published ports are reached; for a local engine its networks say more."""
        parts = urlsplit(self.url)
        named = parts.hostname if parts.scheme in ("tcp", "ssh") else None
        return os.environ.get(HOST_OVERRIDE) or named or "127.0.0.1"

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment variables that lead to it, and to no other, in its own language."""
        return {
            "DOCKER_HOST": self.url,
            "DOCKER_CERT_PATH": self.certificates or "",
            "DOCKER_TLS_VERIFY": "1" if self.verify else "",
            "DOCKER_API_VERSION": self.api,
        }

    def __str__(self) -> str:
        if self.ok:
            return f"engine {self.version} at {self.url}"
        return f"{self.url}{f' ({self.named_by})' if self.named_by else ''}: {self.problem}"


def find_engine(environ: Mapping[str, str] = os.environ) -> Engine:
    """The engine that the environment leads to (`endpoint`), asked for its version; nothing is raised.

    It has 3 s to answer, one behind ssh 13 s.
    """
    try:
        endpoint = find_endpoint(environ)
    except BadEndpoint as bad:
        return Engine(bad.url, None, bad.problem, bad.remedy, bad.named_by)
    answers: queue.SimpleQueue[Engine] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_asked(endpoint)), name="engine", daemon=True).start()
    behind_ssh = urlsplit(endpoint.url).scheme == "ssh"
    within_s = ANSWER_WITHIN_S + (OPEN_WITHIN_S if behind_ssh else 0)
    try:
        # a socket's own time-out starts anew with every byte, and finding a name's address has none
        return answers.get(timeout=within_s + 0.5)
    except queue.Empty:
        return _silent(endpoint, f"no whole answer within {within_s:g} s")


def require(engine: Engine) -> Engine:
    """The engine, if it answers. Raises MissingServer with the reason and what to do."""
    if not engine.ok:
        raise MissingServer(
            f"no Docker engine: {engine}; {engine.remedy}. Without Docker: the backend local runs servers as processes"
        )
    return engine


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=ANSWER_WITHIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _asked(endpoint: Endpoint) -> Engine:
    tunnel: Tunnel | None = None
    try:
        if urlsplit(endpoint.url).scheme == "ssh":
            tunnel = Tunnel(endpoint.url)
        with closing(_connection(endpoint, tunnel)) as connection:
            connection.request("GET", "/version")
            answer = connection.getresponse()
            body = answer.read(LARGEST_ANSWER)
    except TimeoutError:
        return _silent(endpoint, f"no answer within {ANSWER_WITHIN_S:g} s")
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        if tunnel and (said := tunnel.said()):
            return _silent(endpoint, f"ssh says: {said}", LET_FORWARD)
        return _silent(endpoint, *_words(error))
    finally:
        if tunnel:
            tunnel.close()
    return _read(endpoint, answer.status, body)


def _connection(endpoint: Endpoint, tunnel: Tunnel | None) -> http.client.HTTPConnection:
    parts = urlsplit(tunnel.url if tunnel else endpoint.url)
    if parts.scheme == "unix":
        return _UnixConnection(parts.path)
    assert parts.hostname
    if endpoint.certificates is None:
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_WITHIN_S)
    context = ssl.create_default_context(cafile=str(endpoint.certificates / "ca.pem"))
    if not endpoint.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(endpoint.certificates / "cert.pem", endpoint.certificates / "key.pem")
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=ANSWER_WITHIN_S, context=context)


def _read(endpoint: Endpoint, status: int, body: bytes) -> Engine:
    try:
        answer: Any = json.loads(body)
        version, api = str(answer["Version"]), str(answer["ApiVersion"])
        numbers = tuple(int(number) for number in api.split("."))
    except (ValueError, TypeError, KeyError):
        said = body[:100].decode("utf-8", "replace")
        problem = f"it answers /version with {status} {said!r}, which no engine does"
        return _silent(endpoint, problem, FIT_TLS if "HTTPS server" in said else START_IT)
    if numbers < OLDEST_API:
        oldest = ".".join(map(str, OLDEST_API))
        problem = f"engine {version} speaks API {api}, and {oldest} or newer is needed"
        return _silent(endpoint, problem, "update Docker, or name another engine in DOCKER_HOST")
    certificates = str(endpoint.certificates) if endpoint.certificates else None
    return Engine(endpoint.url, version, "", "", endpoint.named_by, certificates, endpoint.verify, api)


def _silent(endpoint: Endpoint, problem: str, remedy: str = START_IT) -> Engine:
    return Engine(endpoint.url, None, problem, remedy, endpoint.named_by)


def _words(error: Exception) -> tuple[str, str]:
    """Problem and remedy."""
    match error:
        case NoTunnel():
            return str(error), LET_IN
        case ssl.SSLError():
            return f"TLS fails: {error.reason or error}", FIT_TLS
        case socket.gaierror() | UnicodeError():
            why = getattr(error, "strerror", None) or error
            return f"its host has no address here ({why})", f"is the name right? {EXPECTED}"
        case http.client.HTTPException() | ConnectionResetError():
            return f"what answers there is no engine ({type(error).__name__}: {error})", START_IT
    match getattr(error, "errno", None):
        case errno.ENOENT:
            return "there is no such socket", START_IT
        case errno.ECONNREFUSED:
            return "the connection was refused", START_IT
        case errno.EACCES | errno.EPERM:
            return (
                "this user may not use it (permission denied)",
                "add the user to the group docker, or run as one that is in it",
            )
        case _:
            return str(error) or type(error).__name__, START_IT


__all__ = ["Engine", "find_engine", "require"]
