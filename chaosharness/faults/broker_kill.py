"""`broker-kill`, `broker-restart`: the broker is gone, and started again on its data.

A process's death leaves the page cache: what only a host's loss can show (acks before fsync) is not shown by this.
What is held on its way to or from the broker is gone with it; what is held at a sink goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Evidence, Scope, Signal
from chaosharness.ports.plugin import Injection, Release, Target

GONE_WITHIN_S = 5.0
GRACE_S = 15.0
"""A graceful end may take six seconds and more."""
LOOK_EVERY_S = 0.02


class BrokerKill:
    """SIGKILL of the broker's process tree, then a start on the same data and addresses."""

    id = "broker-kill"
    action = Action.HOLD
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: no process is left, and the replica's connection to it is at end of file."""
        at_broker = target.ticket.hold.link == target.link.id
        mark = len(target.witness.so_far())
        try:
            ended = self.end(target)
            gone = target.ticket.await_gone(GONE_WITHIN_S) if at_broker else _link_gone(target, mark)
            evidence = Evidence(ended.ok and gone.ok, f"{ended.what}; {gone.what}", {**ended.facts, **gone.facts})
            injection = Injection(evidence, release=Release.DISCARD if at_broker else Release.FORWARD)
            yield injection
        finally:  # other scenarios need the broker, whatever became of this one
            restarted = target.server.restart(keep_data=True)
            target.server_ready()
        injection.healed = Evidence(restarted.ok, f"{restarted.what}; it serves clients again", restarted.facts)

    def end(self, target: Target) -> Evidence:
        """Of the broker."""
        return target.server.signal(Signal.KILL, Scope.TREE)


class BrokerRestart(BrokerKill):
    """SIGTERM, and the time that the broker needs to end in good order; SIGKILL only after that."""

    id = "broker-restart"
    deadline_s = 30.0

    def end(self, target: Target) -> Evidence:
        asked = target.server.signal(Signal.TERM, Scope.PARENT)
        what = f"{target.server.name} to end after SIGTERM"
        try:
            wait_for(what, GRACE_S, lambda: not target.server.alive(), poll_s=LOOK_EVERY_S)
        except TimedOut as late:
            killed = target.server.signal(Signal.KILL, Scope.TREE)
            return Evidence(killed.ok, f"{asked.what}; {late}; {killed.what}", {**killed.facts, "forced": True})
        return Evidence(asked.ok, f"{asked.what}; it ended by itself", {**asked.facts, "forced": False})


def _link_gone(target: Target, mark: int) -> Evidence:
    """An end of file on the link to the broker, while the message is held elsewhere."""

    def ended(event: Event) -> bool:
        return event.kind is Kind.DISCONNECT and event.link == target.link.id

    found = target.witness.wait(f"the end of file of {target.link.id}", GONE_WITHIN_S, ended, mark)
    if found is None:
        return Evidence(False, f"{target.link.id} is still connected", {"link": target.link.id})
    return Evidence(True, f"{target.link.id} is at end of file", {"link": target.link.id, "by": found.data.get("by")})
