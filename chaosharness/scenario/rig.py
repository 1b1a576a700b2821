"""What a scenario is given: the running parts of a session, shared by its scenarios one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaosharness.links.ports import LinkPorts
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.ports.launch import Instance, Launcher, Server, Way
from chaosharness.registry import Registry
from chaosharness.relay.client import RelayClient


@dataclass(frozen=True, slots=True)
class Running:
    """A server of the session."""

    server: Server
    instance: Instance


@dataclass(slots=True)
class Rig:
    """Everything is started; the session owns it."""

    registry: Registry
    launcher: Launcher
    relay: RelayClient
    toxiproxies: Toxiproxies
    toxiproxy_log: Path
    link_ports: LinkPorts
    way: Way
    """How links reach the relay."""
    servers: Mapping[str, Running]
    """By name; what brokers live on."""
    stores: Mapping[str, Running]
    """By the server's name; what stores live on, apart from any broker."""
    folder: Path
    """The run's folder; each scenario gets one of its own in `scenarios/`."""
    nonces: list[str] = field(default_factory=list)
    """Of the scenarios so far: keys of those have no business in a later one."""
    phase: Callable[[str], None] = lambda text: None
    """Told what the scenario is doing, for the progress line."""
