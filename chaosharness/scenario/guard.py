"""The guard: a system under test that reaches a server past its link would be neither seen nor broken."""

from __future__ import annotations

from chaosharness.ledger.writer import Ledger
from chaosharness.model.event import Kind
from chaosharness.ports.launch import Instance
from chaosharness.scenario.wiring import Wiring


def look_for_bypasses(wiring: Wiring, ledger: Ledger) -> None:
    """Writes a BYPASS for every connection that leads past a link right now.

    A port of this machine was drawn for its server, and is known under any address. Among containers a server has its
    usual port, as others have that are none of ours: there the whole address counts.
    """
    ports = {address.port for address in wiring.direct}
    inside = set(wiring.running.instance.inside.values())  # as it is now: a restart may have changed it
    for instance in wiring.instances.values():
        for remote in instance.remotes():
            if remote.port in ports or remote in inside:
                ledger.append(Kind.BYPASS, data={"instance": instance.name, "remote": str(remote)})


def describe_connections(instance: Instance) -> str:
    """Where it is connected to, in words, for the message about one that never came through its link."""
    remotes = ", ".join(sorted({str(remote) for remote in instance.remotes()}))
    return f"{instance.name} is connected to {remotes}" if remotes else f"{instance.name} is connected to nothing"
