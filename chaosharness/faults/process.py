"""What the faults of a replica's processes have in common.

Goes in: a `Target`. Comes out: whose the held connection is, and what became of the replica afterwards. To try it:
`suites/unit/test_faults_process.py`.
"""

from __future__ import annotations

from chaosharness.links.accepted import client_of
from chaosharness.model.address import Address, LinkId
from chaosharness.model.event import Kind
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Target


def harness_holds(what: str) -> Injection:
    """There is no replica to break."""
    return Injection(Evidence(False, f"nothing to {what}: the message is held on the harness's own link"))


def own_end(target: Target) -> Address:
    """The held connection's local address where its client is. Raises HarnessBroke where that cannot be told."""
    hold = target.ticket.hold
    connects = [e.conn for e in target.witness.so_far() if e.kind is Kind.CONNECT and e.link == hold.link]
    ordinal = connects.index(hold.conn) + 1
    return client_of(target.toxiproxy_log, LinkId.parse(hold.link), target.held_link.upstream, ordinal)


def started_again(target: Target) -> Evidence:
    """As its supervisor would."""
    if target.instance and target.restarts:
        return target.instance.restart()
    return Evidence(True, "not restarted: the service declares restart = never")
