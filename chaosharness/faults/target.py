"""What faults of every kind ask of their target, and how they decline it.

Goes in: a `Target`. Comes out: the connection that the message came on; an `Injection` that has done nothing.
To try it: `suites/unit/test_faults_process.py`.
"""

from __future__ import annotations

from chaosharness.model.event import Kind
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Target


def declined(why: str) -> Injection:
    """The cell turns out not to be applicable; nothing was done."""
    return Injection(Evidence(False, why), declined=why)


def delivered_on(target: Target, mark: int) -> int | None:
    """The connection to the broker on which the replica got the message, as far as was seen before the mark."""
    if target.ticket.hold.link == target.link.id:
        return target.ticket.hold.conn
    handed = [
        event.conn
        for event in target.witness.so_far()[:mark]
        if event.kind is Kind.DELIVER and target.key in event.keys and event.link == target.link.id
    ]
    return handed[-1] if handed else None
