"""Who publishes: the harness itself through a tap of its own, or the flow's producer, launched and driven."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from chaosharness.model.address import Address
from chaosharness.model.errors import TimedOut
from chaosharness.model.flow import Flow, Producer
from chaosharness.ports.launch import Instance
from chaosharness.scenario.observer import Observer
from chaosharness.scenario.readiness import READY_WITHIN_S
from chaosharness.scenario.senders import HttpSender, LineSender, Sender
from chaosharness.scenario.wiring import Wiring
from chaosharness.servers.logs import tail
from chaosharness.systems.container import HTTP

NOISE_AT_MOST = 3
LOOK_TIMEOUT_S = 0.5
CLOSED_WITHIN_S = 0.2


def harness_sender(wiring: Wiring) -> Sender:
    """A connection of the harness's own producer."""
    return wiring.broker.producer(wiring.harness_broker(), wiring.namespace, wiring.flow.source)


@dataclass(slots=True)
class ProducerUnderTest:
    """The flow's producer: its process, and how it is driven."""

    declared: Producer
    instance: Instance
    drives: LineSender | HttpSender
    address: Address | None
    """Where it listens, if it is driven by HTTP."""

    @classmethod
    def launch(cls, flow: Flow, wiring: Wiring, folder: Path) -> ProducerUnderTest:
        """Starts it behind its own link."""
        assert flow.producer
        declared = flow.producer
        if declared.drive == "stdin":
            lines = LineSender()
            try:
                instance = wiring.launch(declared.service, 0, folder, producer=True, stdio=lines.stdio)
            finally:
                lines.handed_over()
            return cls(declared, instance, lines, None)
        port = wiring.rig.launcher.free_port()
        instance = wiring.launch(declared.service, 0, folder, producer=True, port=port)
        address = instance.nodes.get(HTTP) or Address("127.0.0.1", port)
        drive = HttpSender(declared.drive, address, flow.workload.in_flight, flow.promise.bound_s)
        return cls(declared, instance, drive, address)

    @property
    def name(self) -> str:
        return self.declared.service.name

    def sender(self) -> Sender:
        return self.drives

    def await_ready(self, observer: Observer) -> str | None:
        """One that is driven by HTTP must listen; one that reads lines may start when it likes. A problem, or None."""
        address, contained = self.address, self.declared.service.image is not None
        if address is None:
            return None
        what = f"{self.instance.name} to listen at {address}"
        if contained:
            what += " ({port} on every interface of its container)"
        try:
            observer.wait(what, READY_WITHIN_S, lambda: _listens(address, contained))
        except TimedOut as never:
            return f"{never}; the end of its log:\n{tail(self.instance.log, lines=10)}"
        return None

    def complaints(self) -> list[str]:
        """What it wrote to its standard output that was no answer."""
        if not isinstance(self.drives, LineSender) or not self.drives.noise:
            return []
        shown = "; ".join(repr(line) for line in self.drives.noise[:NOISE_AT_MOST])
        return [f"{self.instance.name}: {self.drives.noisy} lines on its standard output were no answers, e.g. {shown}"]

    def stop(self) -> None:
        self.instance.stop(self.declared.service.stop_grace_s)

    def close(self) -> None:
        """After its process has ended."""
        self.drives.close()


def _listens(address: Address, proxied: bool) -> bool:
    """`proxied`: Docker may accept for a service that does not listen yet, and then closes at once."""
    with socket.socket() as probe:
        probe.settimeout(LOOK_TIMEOUT_S)
        if probe.connect_ex((address.host, address.port)) != 0:
            return False
        if not proxied:
            return True
        probe.settimeout(CLOSED_WITHIN_S)
        try:
            return bool(probe.recv(1))
        except TimeoutError:
            return True  # a server of HTTP waits for its client to speak
        except OSError:
            return False
