"""A client of an engine, by docker-py, whatever way leads to it.

Goes in: an engine's variables. Comes out: a client to be closed. To try it: `chaosharness doctor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import docker

from chaosharness.servers.docker.tunnel import Tunnel, through


class Client(docker.DockerClient):
    """docker-py's, with the tunnel that it goes through."""

    tunnel: Tunnel | None = None

    def close(self) -> None:
        """Also the tunnel. Idempotent."""
        super().close()
        if self.tunnel:
            self.tunnel.close()


def connect(settings: Mapping[str, str], timeout_s: int) -> Client:
    """Of the engine that these variables lead to (`Engine.settings`). Raises docker.errors.DockerException, OSError."""
    settings, tunnel = through(settings)
    try:
        version = settings.get("DOCKER_API_VERSION") or None
        client = cast(Client, Client.from_env(environment=dict(settings), timeout=timeout_s, version=version))
    except BaseException:
        if tunnel:
            tunnel.close()
        raise
    client.tunnel = tunnel
    go_straight(client)
    return client


def go_straight(client: docker.DockerClient) -> None:
    """No HTTP_PROXY is asked, as the engine was found without; nor does REQUESTS_CA_BUNDLE oust its certificates."""
    client.api.trust_env = False


__all__ = ["Client", "connect", "go_straight"]
