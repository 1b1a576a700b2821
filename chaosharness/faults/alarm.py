"""`alarm`: the broker runs short of memory and takes nothing more from publishers until it has some again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.target import declined
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

BLOCKED_WITHIN_S = 2.0
LASTS_S = 4.0


class Alarm:
    """The publish goes on, and is what the broker blocks its connection for: it has it, reads it later."""

    id = "alarm"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: the broker's own word, and, for clients that are told, that the producer was told so."""
        alarm = getattr(target.broker, "alarm", None)
        if alarm is None:
            why = f"{target.broker.name} raises no alarms"
            yield declined(why)
            return
        mark = len(target.witness.so_far())
        with alarm(target.server) as raised:
            forwarded = target.ticket.forward()

            def blocked(event: Event) -> bool:
                return event.kind is Kind.BLOCKED and event.link == target.link.id

            told = target.witness.wait("the producer to be told", BLOCKED_WITHIN_S, blocked, mark)
            what = f"{raised.what}; {'the producer was told so' if told else 'the producer was not told so'}"
            facts = {**raised.facts, "told": told is not None, "link": target.link.id}
            injection = Injection(Evidence(raised.ok and forwarded.ok, what, facts))
            yield injection
            left = self._left(target, mark)
        injection.healed = Evidence(True, f"the alarm is cleared, by the broker's own word; {left}")

    def _left(self, target: Target, mark: int) -> str:
        """What the producer did with the time."""

        def gave_up(event: Event) -> bool:
            return event.kind is Kind.DISCONNECT and event.link == target.link.id

        found = target.witness.wait("the producer to give up", LASTS_S, gave_up, mark)
        return f"the producer closed its connection by {found.data.get('by')}" if found else "the producer waited"
