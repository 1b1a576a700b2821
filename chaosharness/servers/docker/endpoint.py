"""Where the environment says that the Docker Engine is.

Goes in: environment variables, docker contexts, testcontainers' settings. Comes out: an `Endpoint`, or why not.
To try it: `DOCKER_CONTEXT=somewhere chaosharness doctor`.

The order is testcontainers': `tc.host` of ~/.testcontainers.properties, DOCKER_HOST, DOCKER_CONTEXT, the current
context of ~/.docker/config.json, the default socket.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

DEFAULT_SOCKET = "/var/run/docker.sock"
PORT, TLS_PORT = 2375, 2376
CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")
EXPECTED = "expected unix:///path, tcp://host:port or ssh://user@host"


class BadEndpoint(Exception):
    """What was found is no address of an engine. `remedy`: what to do."""

    def __init__(self, url: str, named_by: str, problem: str, remedy: str = EXPECTED) -> None:
        super().__init__(f"{url} ({named_by}): {problem}")
        self.url = url
        self.named_by = named_by
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, and by whose word."""

    url: str
    """`unix:///var/run/docker.sock`, `tcp://host:2375`, `ssh://user@host`"""
    named_by: str = ""
    """`DOCKER_HOST`, `the context desktop-linux`; empty for the default."""
    certificates: Path | None = None
    """The folder with ca.pem, cert.pem and key.pem; None: no TLS."""
    verify: bool = False
    """Whether the engine must show a certificate of ca.pem's."""


def find_endpoint(environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Looks at files and variables alone. Raises BadEndpoint."""
    home = Path(environ.get("HOME") or "/")
    docker = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    properties = home / ".testcontainers.properties"
    if host := _property(properties, "tc.host"):
        return _with_tls(host, f"tc.host in {properties}", docker, environ)
    if host := environ.get("DOCKER_HOST"):
        return _with_tls(host, "DOCKER_HOST", docker, environ)
    context, named_by = environ.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
    if not context:
        context, named_by = _current_context(docker / "config.json"), f"currentContext in {docker / 'config.json'}"
    if context and context != "default":
        return _of_context(docker / "contexts", context, named_by)
    return Endpoint(f"unix://{DEFAULT_SOCKET}")


def _with_tls(host: str, named_by: str, docker: Path, environ: Mapping[str, str]) -> Endpoint:
    """As the docker command and docker-py read them, an empty variable is none."""
    verify, path = environ.get("DOCKER_TLS_VERIFY"), environ.get("DOCKER_CERT_PATH")
    certificates = Path(path or docker) if verify or path else None
    return _checked(host, named_by, certificates, bool(verify))


def _of_context(contexts: Path, name: str, named_by: str) -> Endpoint:
    number = hashlib.sha256(name.encode()).hexdigest()
    meta = contexts / "meta" / number / "meta.json"
    try:
        found: Any = json.loads(meta.read_bytes())["Endpoints"]["docker"]
        host, skip = str(found["Host"]), bool(found.get("SkipTLSVerify"))
    except FileNotFoundError:
        lists = "`docker context ls` lists what there is"
        raise BadEndpoint(f"context {name}", named_by, "there is no such context", lists) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as wrong:
        problem = f"{meta} cannot be read as a context with a docker endpoint: {type(wrong).__name__}: {wrong}"
        raise BadEndpoint(f"context {name}", named_by, problem, "`docker context inspect` shows it") from None
    tls = contexts / "tls" / number / "docker"
    return _checked(host, f"the context {name}", tls if tls.is_dir() else None, not skip)


def _checked(host: str, named_by: str, certificates: Path | None, verify: bool) -> Endpoint:
    host = host.strip()
    try:
        parts = urlsplit(host)
        port = parts.port
    except ValueError as wrong:
        raise BadEndpoint(host, named_by, f"no address of an engine: {wrong}") from None
    if parts.password or parts.query or parts.fragment or (parts.username and parts.scheme != "ssh"):
        # not shown whole: it may be a secret
        raise BadEndpoint(f"{parts.scheme}://…", named_by, "a user, a password or a query has no place in it")
    match parts.scheme.removeprefix("http+"):
        case "unix":
            return Endpoint(f"unix://{_path(parts) or DEFAULT_SOCKET}", named_by)
        case "ssh" if parts.hostname:
            return Endpoint(host.rstrip("/"), named_by)
        case "tcp" | "http" if parts.hostname and parts.path in ("", "/"):
            name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            if certificates is None:
                return Endpoint(f"tcp://{name}:{PORT if port is None else port}", named_by)
            url = f"tcp://{name}:{TLS_PORT if port is None else port}"
            _check_certificates(url, named_by, certificates)
            return Endpoint(url, named_by, certificates, verify)
        case _:
            raise BadEndpoint(host, named_by, "no address of an engine")


def _check_certificates(url: str, named_by: str, folder: Path) -> None:
    missing = [name for name in CERTIFICATES if not (folder / name).is_file()]
    if missing:
        raise BadEndpoint(
            url,
            named_by,
            f"TLS is asked for, and {folder} has no {', '.join(missing)}",
            f"DOCKER_CERT_PATH names the folder of {', '.join(CERTIFICATES)}; for an engine without TLS unset it, and "
            "DOCKER_TLS_VERIFY",
        )


def _path(parts: SplitResult) -> str:
    """`unix://var/run/docker.sock` has always been taken for `unix:///var/run/docker.sock`."""
    return f"/{parts.netloc}{parts.path}" if parts.netloc else parts.path


def _property(file: Path, name: str) -> str | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return next((value.strip() for key, value in found.items() if key.strip() == name), None)


def _current_context(config: Path) -> str | None:
    """None also for a file that nobody can read: the docker command warns of it, and goes on."""
    try:
        return str(json.loads(config.read_bytes()).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return None


__all__ = ["DEFAULT_SOCKET", "EXPECTED", "BadEndpoint", "Endpoint", "find_endpoint"]
