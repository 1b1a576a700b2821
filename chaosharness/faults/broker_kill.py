"""`broker-kill`: the broker's process dies and is started again on its data.

A process's death leaves the page cache: what only a host's loss can show (acks before fsync) is not shown by this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Scope, Signal
from chaosharness.ports.plugin import Injection, Release, Target

GONE_WITHIN_S = 5.0


class BrokerKill:
    """SIGKILL of the broker's process tree, then a start on the same data and addresses."""

    id = "broker-kill"
    action = Action.HOLD
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: no process is left, and the held connection's broker end is closed."""
        killed = target.server.signal(Signal.KILL, Scope.TREE)
        gone = target.ticket.await_gone(GONE_WITHIN_S)
        injection = Injection(
            Evidence(killed.ok and gone.ok, f"{killed.what}; {gone.what}", {**killed.facts, **gone.facts})
        )
        try:
            yield injection
        finally:  # other scenarios need the broker, whatever became of this one
            restarted = target.server.restart(keep_data=True)
            target.server_ready()
        injection.healed = Evidence(restarted.ok, f"{restarted.what}; it serves clients again", restarted.facts)
