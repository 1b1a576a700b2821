"""Which Docker Engine there is, found without starting anything and, for a local socket, without loading a library.

Goes in: the environment. Comes out: an `Engine`, which answers or says why it does not.
To try it: `chaosharness doctor`.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaosharness.model.errors import MissingServer

ANSWER_WITHIN_S = 3.0
DEFAULT_SOCKET = "/var/run/docker.sock"
HOST_OVERRIDE = "TESTCONTAINERS_HOST_OVERRIDE"
"""Environment, as in testcontainers: the host at which published ports are reached."""
TLS = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
START_IT = "start Docker, or name an engine in DOCKER_HOST"


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

    @property
    def ok(self) -> bool:
        return self.version is not None

    @property
    def local(self) -> bool:
        """Whether it is reached by a socket file: its host is, most likely, this machine."""
        return urlsplit(self.url).scheme in ("unix", "http+unix", "npipe")

    @property
    def host(self) -> str:
        """Where published ports are reached; for a local engine its networks say more."""
        override = os.environ.get(HOST_OVERRIDE)
        return override or (None if self.local else urlsplit(self.url).hostname) or "127.0.0.1"

    def __str__(self) -> str:
        return f"engine {self.version} at {self.url}" if self.ok else f"{self.url}: {self.problem}"


def find_engine(environ: Mapping[str, str] = os.environ) -> Engine:
    """The engine that DOCKER_HOST, a docker context, testcontainers' settings or the default socket leads to.

    It is asked for its version, within 3 s; nothing is raised.
    """
    url = _url(environ)
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _asked(url, _UnixConnection(parts.path))
    if parts.scheme in ("tcp", "http") and not any(environ.get(name) for name in TLS):
        try:
            host, port = parts.hostname, parts.port
        except ValueError as wrong:
            return Engine(url, None, f"DOCKER_HOST is no address: {wrong}", "expected tcp://host:port")
        if not host:
            return Engine(url, None, "DOCKER_HOST names no host", "expected tcp://host:port")
        return _asked(url, http.client.HTTPConnection(host, port or 2375, timeout=ANSWER_WITHIN_S))
    return _asked_by_library(url, environ)


def require(engine: Engine) -> Engine:
    """The engine, if it answers. Raises MissingServer with the reason and what to do."""
    if not engine.ok:
        raise MissingServer(
            f"no Docker engine: {engine}; {engine.remedy}. Without Docker: the backend local runs servers as processes"
        )
    return engine


def _url(environ: Mapping[str, str]) -> str:
    home = Path(environ.get("HOME") or "/")
    contexts = home / ".docker" / "config.json"
    if environ.get("DOCKER_CONTEXT") or _names_context(contexts) or (home / ".testcontainers.properties").exists():
        from testcontainers.core.docker_client import get_docker_host  # here: it takes 0.2 s to load

        found = get_docker_host()
        if found:
            return found
    return environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"


def _names_context(config: Path) -> bool:
    try:
        return bool(json.loads(config.read_bytes()).get("currentContext", "default") != "default")
    except (OSError, ValueError, AttributeError):
        return False


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=ANSWER_WITHIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _asked(url: str, connection: http.client.HTTPConnection) -> Engine:
    try:
        connection.request("GET", "/version")
        answer = connection.getresponse()
        body = answer.read()
    except TimeoutError:
        return Engine(url, None, f"no answer within {ANSWER_WITHIN_S:g} s", START_IT)
    except (OSError, http.client.HTTPException) as error:
        return Engine(url, None, *_words(error))
    finally:
        connection.close()
    try:
        version: Any = json.loads(body)["Version"]
    except (ValueError, TypeError, KeyError):
        said = body[:100].decode("utf-8", "replace")
        return Engine(url, None, f"it answers /version with {answer.status} {said!r}, which no engine does", START_IT)
    return Engine(url, str(version))


def _words(error: Exception) -> tuple[str, str]:
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
            return f"{type(error).__name__}: {error}", START_IT


def _asked_by_library(url: str, environ: Mapping[str, str]) -> Engine:
    """By ssh or TLS. What its transport may raise is not one family."""
    import docker

    try:
        settings = {**environ, "DOCKER_HOST": url}
        client = docker.from_env(environment=settings, timeout=int(ANSWER_WITHIN_S), use_ssh_client=True)
        try:
            return Engine(url, str(client.version()["Version"]))
        finally:
            client.close()
    except Exception as error:
        return Engine(url, None, f"{type(error).__name__}: {error}", START_IT)


__all__ = ["Engine", "find_engine", "require"]
