"""`outage`: the sink answers errors for a while, and some requests not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

ANSWERS = (503, 429, 503, 429, 503, 429, 0)
"""In turn; from the last one on no request is answered until the heal. A caller that tries three times, or five, at
once has nothing of it."""
REFUSED_WITHIN_S = 5.0
WHOLE_WITHIN_S = 3.0
"""A caller that comes again slowly meets a part of the answers."""


class Outage:
    """Begins with the held request, which is the first to be refused."""

    id = "outage"
    action = Action.HOLD
    release = Release.FORWARD
    until = "published"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the sink's record that it refused the aimed key."""
        target.control_sink({"outage": list(ANSWERS)})
        try:
            after = len(target.witness.so_far())
            target.ticket.forward()
            refused = target.witness.wait(
                f"the sink to refuse {target.key}",
                REFUSED_WITHIN_S,
                lambda event: event.kind is Kind.REFUSED and target.key in event.keys,
                after,
            )
            injection = Injection(
                Evidence(refused is not None, f"the sink refused {target.key}", dict(refused.data))
                if refused
                else Evidence(False, f"{target.key} was not refused within {REFUSED_WITHIN_S:g} s")
            )
            if refused:
                target.witness.wait("a request without an answer", WHOLE_WITHIN_S, _unanswered, after)
            yield injection
        finally:
            said = target.control_sink({"outage": []})
        injection.healed = Evidence(True, f"the sink serves again; requests refused: {said['met']}", dict(said))


def _unanswered(event: Event) -> bool:
    return event.kind is Kind.REFUSED and event.data.get("status") == 0
