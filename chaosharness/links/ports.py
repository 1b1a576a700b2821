"""Where links may listen: at any free port of this machine, or at those that a container has published.

Goes in: a Toxiproxy. Comes out: `Listener`s, lent and given back. To try it: `suites/unit/test_links_ports.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.launch import Instance, Launcher
from chaosharness.servers.toxiproxy import LINK


@dataclass(frozen=True, slots=True)
class Listener:
    """One port under the three addresses that it has."""

    bind: Address
    """What Toxiproxy is told to listen at."""
    listen: Address
    """What a process of this machine connects to."""
    inside: Address
    """What a container of the session connects to."""


class LinkPorts(Protocol):
    """Lends listeners to links."""

    def lend(self) -> Listener:
        """One that no other link has. Raises HarnessBroke where there is none."""
        ...

    def give_back(self, listener: Listener) -> None:
        """Its link is removed."""
        ...


class FreePorts:
    """Any of this machine, never the same twice."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def lend(self) -> Listener:
        address = Address("127.0.0.1", self._launcher.free_port())
        return Listener(address, address, address)

    def give_back(self, listener: Listener) -> None:
        pass


class PublishedPorts:
    """Those of a container, again and again. Thread-safe."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._free = list(listeners)
        self._all = len(self._free)
        self._lock = threading.Lock()

    def lend(self) -> Listener:
        with self._lock:
            if not self._free:
                raise HarnessBroke(f"links: all {self._all} published ports of Toxiproxy's container are in use")
            return self._free.pop(0)

    def give_back(self, listener: Listener) -> None:
        with self._lock:
            self._free.append(listener)


def ports_of(toxiproxy: Instance, launcher: Launcher) -> LinkPorts:
    """The published ones, where it has some."""
    inside = toxiproxy.inside
    published = [
        Listener(Address("0.0.0.0", inside[node].port), listen, inside[node])
        for node, listen in toxiproxy.nodes.items()
        if node.startswith(LINK)
    ]
    return PublishedPorts(published) if published else FreePorts(launcher)
