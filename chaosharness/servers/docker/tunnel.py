"""The way to an engine behind ssh: a socket file of this machine that leads to the engine's.

Goes in: `ssh://user@host:port/path/of/docker.sock` (by default /var/run/docker.sock). Comes out: `unix://…`, while it
lasts. To try it: `DOCKER_HOST=ssh://user@host chaosharness doctor`.

One ssh, in place of the one for each call that docker-py would start: those have no time-outs, and cannot be asked
whether there is something to read. It asks nobody anything, and ends with whoever started it, however that ends: what
it runs there is `cat`, which ends with its input.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from chaosharness.servers.docker.endpoint import DEFAULT_SOCKET

OPEN_WITHIN_S = 10.0
END_WITHIN_S = 2.0
OPTIONS = (
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    f"ConnectTimeout={OPEN_WITHIN_S:.0f}",
    # a connection that hangs ends after 15 s
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    # not by a connection that others share: it would stay with them
    "ControlPath=none",
)


class NoTunnel(ConnectionError):
    """It cannot be opened; the message has ssh's words."""


class Tunnel:
    """Open when it is made."""

    def __init__(self, url: str) -> None:
        """Raises NoTunnel."""
        parts = urlsplit(url)
        self.folder = Path(tempfile.mkdtemp(prefix="chaosharness-ssh-"))
        self.url = f"unix://{self.folder / 'docker.sock'}"
        self._said = self.folder / "ssh.log"
        argv = ["ssh", "-T", *(word for option in OPTIONS for word in ("-o", option))]
        argv += ["-L", f"{self.folder / 'docker.sock'}:{parts.path or DEFAULT_SOCKET}"]
        argv += ["-p", str(parts.port)] if parts.port else []
        argv += ["-l", parts.username] if parts.username else []
        self._ours, theirs = socket.socketpair()
        try:
            with theirs, self._said.open("wb") as log:
                self._ssh = subprocess.Popen(
                    [*argv, "--", str(parts.hostname), "cat"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=log,
                    start_new_session=True,  # what is typed at the terminal is for the harness
                )
        except FileNotFoundError:
            self._ours.close()
            shutil.rmtree(self.folder)
            raise NoTunnel("there is no program ssh on PATH") from None
        try:
            self._await_echo()
        except BaseException:
            self.close()
            raise

    def said(self) -> str:
        """What ssh complained of, in one line."""
        lines = self._said.read_text(errors="replace").splitlines()
        return "; ".join(line.strip() for line in lines if line.strip())[-500:]

    def close(self) -> None:
        """Ends it. Idempotent."""
        self._ours.close()
        try:
            self._ssh.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._ssh.kill()
            self._ssh.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _await_echo(self) -> None:
        """What `cat` sends back has come through: the connection stands, and what was to be forwarded is."""
        self._ours.settimeout(OPEN_WITHIN_S)
        try:
            self._ours.sendall(b"\n")
            echo = self._ours.recv(1)
        except TimeoutError:
            raise NoTunnel(f"ssh: no connection within {OPEN_WITHIN_S:g} s; {self.said()}") from None
        except OSError:
            echo = b""
        if not echo:
            with suppress(subprocess.TimeoutExpired):
                self._ssh.wait(END_WITHIN_S)
            raise NoTunnel(f"ssh ended with exit code {self._ssh.returncode}: {self.said()}")


def through(settings: Mapping[str, str]) -> tuple[Mapping[str, str], Tunnel | None]:
    """An engine's variables (`Engine.settings`) as docker-py can use them; close the tunnel. Raises NoTunnel."""
    if urlsplit(settings["DOCKER_HOST"]).scheme != "ssh":
        return settings, None
    tunnel = Tunnel(settings["DOCKER_HOST"])
    return {**settings, "DOCKER_HOST": tunnel.url}, tunnel


__all__ = ["NoTunnel", "Tunnel", "through"]
