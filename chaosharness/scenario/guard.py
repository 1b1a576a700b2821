"""The guard: a system under test that reaches a server past its link would be neither seen nor broken."""

from __future__ import annotations

from collections.abc import Mapping, Set

from chaosharness.ledger.writer import Ledger
from chaosharness.model.address import Address
from chaosharness.model.event import Kind
from chaosharness.ports.launch import Instance


def look_for_bypasses(instances: Mapping[tuple[str, int], Instance], direct: Set[Address], ledger: Ledger) -> None:
    """Writes a BYPASS for every connection that leads past a link right now."""
    ports = {address.port for address in direct}
    for instance in instances.values():
        for remote in instance.remotes():
            if remote.port in ports:
                ledger.append(Kind.BYPASS, data={"instance": instance.name, "remote": str(remote)})


def describe_connections(instance: Instance) -> str:
    """Where it is connected to, in words, for the message about one that never came through its link."""
    remotes = ", ".join(sorted({str(remote) for remote in instance.remotes()}))
    return f"{instance.name} is connected to {remotes}" if remotes else f"{instance.name} is connected to nothing"
