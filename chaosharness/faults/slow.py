"""`slow`: the work takes longer than the broker waits for it, and the message is handed to somebody else.

The harness lowers the broker's time-out for this scenario, and says so: nobody waits half an hour for a verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from chaosharness.faults.target import declined, delivered_on
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Instance
from chaosharness.ports.plugin import Broker, Injection, Release, Target

TIMEOUT_S = 3.0
"""What the broker's time-out is lowered to: beyond what any message here takes by itself."""
CLOSED_WITHIN_S = 8.0
HANDED_OVER_WITHIN_S = 2.0
"""Another replica gets it at once; one alone gets it when it has come back from its work."""
TIMED_OUT = re.compile("time[d -]*out", re.IGNORECASE)
SETTLED = "the delivery was settled before its effect: no time-out of the broker runs"


class Slow:
    """The first effect's request is held until the broker has taken the delivery back; then it goes on."""

    id = "slow"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = True
    deadline_s = 20.0

    def prepare(self, broker: Broker, server: Instance) -> AbstractContextManager[Evidence]:
        """The lower time-out, for the whole scenario."""
        lowered = getattr(broker, "consumer_timeout", None)
        if lowered is None:
            raise HarnessBroke(f"{broker.name} offers the window slow, and has no time-out for its consumers")
        found: AbstractContextManager[Evidence] = lowered(server, TIMEOUT_S)
        return found

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: the broker's close of the channel or connection that had the delivery, for this reason."""
        seen = target.witness.so_far()
        conn = delivered_on(target, len(seen))
        if any(e.kind is Kind.SETTLE and target.key in e.keys and e.conn == conn for e in seen):
            yield declined(SETTLED)
            return
        mark = len(seen)

        def taken_back(event: Event) -> bool:
            closed = event.kind is Kind.CLOSED and event.data.get("by") == "server" and event.conn == conn
            return closed and TIMED_OUT.search(str(event.data.get("reason"))) is not None

        closed = target.witness.wait("the broker to lose patience", CLOSED_WITHIN_S, taken_back, mark)
        lowered = target.prepared.what if target.prepared else "its time-out is not known"
        if closed is None:
            yield Injection(Evidence(False, f"{lowered}; it took nothing back within {CLOSED_WITHIN_S:g} s"))
            return

        def handed_over(event: Event) -> bool:
            return event.kind is Kind.DELIVER and target.key in event.keys

        again = target.witness.wait(f"{target.key} to be handed over again", HANDED_OVER_WITHIN_S, handed_over, mark)
        closure = {name: closed.data.get(name) for name in ("scope", "code", "reason")}
        over = f"then {target.key} was handed to {again.link}" if again else "nobody else was there to take it"
        what = "{scope} closed by the broker: {code} {reason}".format(**closure)
        facts = {**closure, "link": target.link.id, "connection": conn, "again": bool(again)}
        yield (injection := Injection(Evidence(True, f"{lowered}; {what}; {over}", facts)))
        injection.healed = Evidence(True, "the request goes on: what it does now, it does late")
