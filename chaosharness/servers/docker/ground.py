"""A session's own piece of an engine: its client, its two networks, its labels, and the end of all of it.

Goes in: an engine, a keeper. Comes out: networks to put containers on, and the addresses at which they are reached.
To try it: `suites/conformance/test_docker_ground.py`.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import docker.errors
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import Reaper
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.labels import create_labels

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, HarnessBroke, ServerFailed, TimedOut
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Way
from chaosharness.servers.docker.client import go_straight
from chaosharness.servers.docker.engine import HOST_OVERRIDE, Engine
from chaosharness.servers.docker.labels import labels
from chaosharness.servers.docker.sweep import remove_session, sweep
from chaosharness.servers.docker.tunnel import through

CALL_TIMEOUT_S = 30
SWEEP_WITHIN_S = 45.0
WAY_IN_WITHIN_S = 6.0
POLL_S = 0.05
HARNESS_HOST = "CHAOSHARNESS_HOST"
"""Environment: the host by which containers reach this machine, where it cannot be found out."""
HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
DESKTOP_HOST = "host.docker.internal"
EVERYWHERE = "0.0.0.0"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Network:
    """One of the session's bridges."""

    id: str
    name: str
    gateway: str


class Ground:
    """Made at the session's start; `close` removes everything on it. Thread-safe."""

    def __init__(self, engine: Engine, keeper: KeeperClient) -> None:
        """Makes the networks; what dead harnesses left is swept meanwhile. Raises HarnessBroke, ServerFailed."""
        self.engine = engine
        self.session = secrets.token_hex(6)
        self._named = _named_host()
        self._way_in = False
        settings, self._tunnel = through(engine.settings)
        if self._tunnel:
            keeper.remove_on_end(self._tunnel.folder)
        try:
            self._testcontainers = _testcontainers_client(settings)
        except BaseException:
            self._close_tunnel()
            raise
        self.client: Any = self._testcontainers.client
        self._keeper = keeper
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="docker")
        self._removals: list[Future[Any]] = []
        self._closed = False
        self._asked: set[str] = set()
        """The names of what the engine was asked to make and has not answered for."""
        self._lock = threading.Lock()
        self._numbers = count(1)
        # before anything is made: from here on the keeper removes it, whatever way this process ends
        self._tell_keeper()
        self._sweeping = self._pool.submit(sweep, self.client)
        networks = [self._pool.submit(self._make_network, name) for name in ("links", "servers")]
        try:
            self.links, self.servers = (network.result() for network in networks)
        except BaseException:
            self.close()
            raise
        self.reaped = self._reaper()

    def create(self, image: str, name: str, **settings: Any) -> Any:
        """A container with the session's labels, not started. Raises docker.errors.APIError."""
        # numbered: the last one of this name may still be on its way out
        unique = f"chaosharness-{self.session}-{name}-{next(self._numbers)}"
        with self._asking_for(unique):
            return self._testcontainers.create(image, name=unique, labels=self._labels(name), **settings)

    def publish_at(self, network: Network) -> str:
        """The address of the engine's host at which ports of containers on `network` are published.

        The gateway, where it is this machine's: the kernel then passes packets on, and a port on which nothing listens
        refuses, as without Docker. Elsewhere, a proxy of Docker's accepts for it.
        """
        if self.engine.local:
            return network.gateway if _is_mine(network.gateway) else LOOPBACK
        return EVERYWHERE

    def host(self, network: Network) -> str:
        """Where this machine reaches what is published at `publish_at`. Raises BadInput."""
        return self.publish_at(network) if self.engine.local else _address_of(self.engine.host)

    def prove_way_in(self, published: Address) -> None:
        """That this machine reaches a port published there; once is enough. Raises BadInput, within seconds."""
        if self._way_in or (self.engine.local and published.host != LOOPBACK):
            return
        deadline = time.monotonic() + WAY_IN_WITHIN_S
        try:
            wait_for(
                f"{published} to be reached", WAY_IN_WITHIN_S, lambda: self._reached(published, deadline), poll_s=POLL_S
            )
        except (OSError, TimedOut) as lost:
            raise BadInput(
                f"docker: this machine does not reach ports published on {published.host}: {lost}. Is there a firewall "
                f"between, is the engine at {self.engine.url} on another host, or is this process in a container? "
                f"{HOST_OVERRIDE} names another host for them"
            ) from lost
        self._way_in = True

    def ways(self) -> Sequence[Way]:
        """How Toxiproxy's container may reach this machine, the likeliest first. Raises BadInput."""
        if self._named:
            return (Way(self._named if _is_mine(self._named) else EVERYWHERE, self._named),)
        if not self.engine.local:
            mine = _my_address_towards(self.engine.host)
            return (Way(mine, mine),)
        gateway = self.links.gateway
        if _is_mine(gateway):
            return (Way(gateway, gateway),)
        return (Way(LOOPBACK, DESKTOP_HOST),)

    def discard(self, container: Any) -> Future[None]:
        """Removes a container with its anonymous volumes, in the background; `close` waits for it."""
        removal = self._pool.submit(self._remove, container)
        self._removals.append(removal)
        return removal

    def close(self) -> None:
        """Removes every container and network of the session. Idempotent. Raises HarnessBroke."""
        if self._closed:
            return
        self._closed = True
        try:
            wait([*self._removals, self._sweeping])  # what they could not do is tried again, or is the next session's
            remove_session(self.client, self.session, self._asked)
            self._keeper.forget_on_end()
        except (docker.errors.DockerException, OSError) as lost:
            raise HarnessBroke(f"docker: session {self.session} cannot be removed: {lost}") from lost
        finally:
            self._pool.shutdown()
            self.client.close()
            self._close_tunnel()

    def _close_tunnel(self) -> None:
        if self._tunnel:
            self._tunnel.close()

    def _tell_keeper(self) -> None:
        sweeper = (sys.executable, "-P", "-m", "chaosharness.servers.docker.sweep", self.session, *sorted(self._asked))
        self._keeper.run_on_end(sweeper, {**os.environ, **self.engine.settings}, SWEEP_WITHIN_S)

    @contextmanager
    def _asking_for(self, full_name: str) -> Iterator[None]:
        """Written ahead: an engine goes on making what it was asked for, also when nobody waits for its answer."""
        with self._lock:
            self._asked.add(full_name)
            self._tell_keeper()
        answered = False
        try:
            yield
            answered = True
        except docker.errors.APIError:
            answered = True
            raise
        finally:
            if answered:
                with self._lock:
                    self._asked.discard(full_name)
                    self._tell_keeper()

    def _labels(self, name: str) -> dict[str, str]:
        return labels(self.session, name, self._keeper.folder)

    def _make_network(self, name: str) -> Network:
        full = f"chaosharness-{self.session}-{name}"
        # with testcontainers' labels too, so that its reaper knows it
        settings = {"driver": "bridge", "labels": create_labels("", self._labels(name)), "check_duplicate": True}
        try:
            with self._asking_for(full):
                try:
                    made = self.client.api.create_network(full, **settings)
                except docker.errors.APIError:
                    wait([self._sweeping])  # dead harnesses may have held the last free subnets
                    made = self.client.api.create_network(full, **settings)
            config = self.client.api.inspect_network(made["Id"])["IPAM"]["Config"]
        except (docker.errors.DockerException, OSError) as refused:
            raise ServerFailed(
                f"docker: the network {full} cannot be made: {refused}. "
                "`chaosharness doctor --clean` removes what others left"
            ) from refused
        gateway = next((one["Gateway"] for one in config if ":" not in one["Gateway"]), None)
        if gateway is None:
            raise ServerFailed(f"docker: the network {full} has no IPv4 gateway: {config}")
        return Network(made["Id"], full, gateway.partition("/")[0])

    def _reached(self, published: Address, deadline: float) -> bool:
        try:
            socket.create_connection((published.host, published.port), max(deadline - time.monotonic(), 0.1)).close()
        except ConnectionRefusedError:
            # a host elsewhere passes on that nothing listens yet; a proxy of Docker's on this one accepts at once
            return not self.engine.local
        return True

    def _reaper(self) -> bool:
        """Whether testcontainers' reaper watches too. Its image may not be to be had: the sweep is enough by itself."""
        if testcontainers_config.ryuk_disabled:
            return False
        try:
            self.client.images.get(testcontainers_config.ryuk_image)
            Reaper.get_instance()
        except Exception:  # its own errors are of many kinds
            testcontainers_config.ryuk_disabled = True
            with suppress(Exception):
                Reaper.delete_instance()  # one that was half made
            return False
        return True

    def _remove(self, container: Any) -> None:
        with suppress(docker.errors.NotFound):
            container.remove(v=True, force=True)


def _is_mine(host: str) -> bool:
    """Whether a socket of this machine (of this network namespace) can be bound to it."""
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _named_host() -> str | None:
    """What CHAOSHARNESS_HOST names. Raises BadInput."""
    named = os.environ.get(HARNESS_HOST)
    if named and not HOST.fullmatch(named):
        raise BadInput(f"{HARNESS_HOST}: expected a host's name or IPv4 address, without a port, found {named!r}")
    return named or None


def _testcontainers_client(settings: Mapping[str, str]) -> DockerClient:
    """Of that engine. testcontainers asks this process's environment, and writes what it finds into it."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = settings["DOCKER_HOST"]
    try:
        client = DockerClient(
            timeout=CALL_TIMEOUT_S,
            max_pool_size=64,
            environment=dict(settings),
            version=settings["DOCKER_API_VERSION"],
        )
    finally:
        if before is None:
            os.environ.pop("DOCKER_HOST", None)
        else:
            os.environ["DOCKER_HOST"] = before
    go_straight(client.client)
    return client


def _address_of(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except (OSError, UnicodeError) as unknown:
        raise BadInput(
            f"docker: the engine's host {host!r} has no IPv4 address here ({unknown}), and its published ports cannot "
            f"be reached; {HOST_OVERRIDE} names another"
        ) from unknown


def _my_address_towards(host: str) -> str:
    """The address that packets to `host` leave from. Nothing is sent."""
    address = _address_of(host)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError as lost:
            raise BadInput(f"docker: no route to the engine's host {host} ({address}): {lost}") from lost
        mine: str = probe.getsockname()[0]
    return mine
