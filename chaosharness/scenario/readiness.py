"""Ready when the tap sees every replica subscribe: no sleeps, and no word of the system under test is taken for it."""

from __future__ import annotations

from chaosharness.ledger.writer import Ledger
from chaosharness.model.address import BROKER, LinkId
from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Kind
from chaosharness.model.flow import Service
from chaosharness.ports.launch import Instance
from chaosharness.scenario.guard import describe_connections
from chaosharness.scenario.observer import Observer
from chaosharness.scenario.wiring import Wiring
from chaosharness.servers.logs import tail

READY_WITHIN_S = 30.0
HOPELESS_EXITS = 3
"""A service that has ended this often by itself without subscribing will not subscribe."""


def await_ready(observer: Observer, wiring: Wiring, consumer: Service, ledger: Ledger) -> str | None:
    """Waits until each replica has a subscription to the source. The problem, in words, or None."""
    for replica in range(consumer.replicas):
        link = str(LinkId(consumer.name, replica, BROKER))
        instance = wiring.instances[consumer.name, replica]

        def settled(link: str = link, instance: Instance = instance) -> str | None:
            if observer.subscribed[link]:
                return "subscribed"
            if instance.name in observer.bounded:
                return "bounded"
            hopeless = len(observer.exits[instance.name]) >= HOPELESS_EXITS or (
                consumer.restart == "never" and observer.exits[instance.name]
            )
            return "hopeless" if hopeless else None

        try:
            found = observer.wait(f"{instance.name} to subscribe to {wiring.flow.source.name}", READY_WITHIN_S, settled)
        except TimedOut as never:
            return f"{never}; {describe_connections(instance)}{_log_of(instance)}"
        if found == "bounded":
            return f"{instance.name} was ended by the harness: {observer.bounded[instance.name]}{_log_of(instance)}"
        if found == "hopeless":
            codes = ", ".join(str(code) for code in observer.exits[instance.name])
            return (
                f"{instance.name} ended before it subscribed to {wiring.flow.source.name} "
                f"(exit codes {codes}){_log_of(instance)}"
            )
        ledger.append(Kind.READY, link=link)
    return None


def _log_of(instance: Instance) -> str:
    text = tail(instance.log, lines=10)
    return f"; the end of its log:\n{text}" if text else "; its log is empty"
