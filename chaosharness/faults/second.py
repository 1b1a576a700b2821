"""The second consumer of a message whose first one is stopped, or held at its work."""

from __future__ import annotations

from chaosharness.model.event import Event, Kind
from chaosharness.ports.plugin import Target

AT_WORK_WITHIN_S = 2.0
"""For one that is at work already on a message before it; what waits for a claim of the first waits for it in vain."""
DONE = (Kind.RESPONSE, Kind.SETTLE)


def await_second(target: Target, mark: int) -> Event | None:
    """What the second one came to: an answer of the sink, or its ack. Until then the first must not go on: else it is
    the quicker one, and nobody has seen two of them at work."""

    def came(event: Event) -> bool:
        elsewhere = event.conn != target.ticket.hold.conn and not event.data.get("discarded", False)
        return event.kind in DONE and target.key in event.keys and elsewhere

    return target.witness.wait(f"a second consumer to work on {target.key}", AT_WORK_WITHIN_S, came, mark)
