"""`broker-freeze`: the broker stops as in a long collection or a moved machine, and comes back with all that it had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.event import Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Signal
from chaosharness.ports.plugin import Injection, Release, Target

LASTS_S = 4.0


class BrokerFreeze:
    """SIGSTOP of the broker's tree; the delivery goes on, and what its consumer answers waits for the thaw."""

    id = "broker-freeze"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: every process seen stopped, and seen to run again. It ends early when a client gives it up."""
        injection = Injection(target.server.signal(Signal.FREEZE))
        gave_up = None
        try:
            mark = len(target.witness.so_far())
            yield injection
            gave_up = target.witness.wait(
                f"somebody to close {target.link.id}",
                LASTS_S,
                lambda event: event.kind is Kind.DISCONNECT and event.link == target.link.id,
                mark,
            )
        finally:
            thawed = target.server.signal(Signal.THAW)
            target.server_ready()
        meanwhile = f"closed by the {gave_up.data.get('by')}" if gave_up else f"open all {LASTS_S:g} s"
        injection.healed = Evidence(thawed.ok, f"{thawed.what}; {target.link.id} was {meanwhile}", thawed.facts)
