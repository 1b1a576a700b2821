"""The drain: the bounded wait after the heal until nothing is in flight, by the broker's own counts and the taps'."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaosharness.ledger.writer import Ledger
from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Kind
from chaosharness.ports.plugin import Held
from chaosharness.scenario.observer import Observer

ASK_BROKER_EVERY_S = 1.0
"""How often the broker is asked for its counts while messages are missing; at once when none is."""
ON_THE_WAY_S = 0.3
"""A broker that settles on delivery has no count of what is between its socket and the tap: so long must be silence."""
NAMED_AT_MOST = 5


@dataclass(slots=True)
class Drain:
    """Knows when nothing is in flight; `waiting_for` says what still is."""

    observer: Observer
    count: int
    """Effects that one key owes."""
    held: Callable[[], Held]
    """The broker's live counts."""
    ledger: Ledger
    workload_done: Callable[[], bool]
    hopeless: frozenset[str] = frozenset()
    """Keys that can never succeed: over with when the broker has them no more."""
    waiting_for: str = "its first look"
    _asked_at: float = field(default_factory=time.monotonic)
    _held: Held = field(default_factory=lambda: Held(None, None))

    def run(self, within_s: float) -> bool:
        """Waits until drained. False when the bound came first; either is in the ledger."""
        self.ledger.append(Kind.DRAIN_STARTED, data={"within_s": within_s})
        try:
            self.observer.wait("the drain", within_s, self.drained, last_seen=lambda: self.waiting_for)
        except TimedOut:
            self.ledger.append(Kind.DRAIN_EXPIRED, data={"within_s": within_s, "waiting_for": self.waiting_for})
            return False
        self.ledger.append(Kind.DRAINED, data={"within_s": within_s, "waiting_for": "nothing"})
        return True

    def drained(self) -> bool:
        """One look; cheap facts first."""
        observer = self.observer
        if not self.workload_done():
            self.waiting_for = "the workload's own operations"
            return False
        if observer.requests:
            self.waiting_for = f"requests that the sink still handles: {_some(set(observer.requests.values()))}"
            return False
        missing = observer.missing(self.count)
        living = {key for key in missing - self.hopeless if not observer.gone_for_good(key)}
        if living:
            held = self._ask(ASK_BROKER_EVERY_S)
            self.waiting_for = f"effects of {_some(living)}; {self._describe_held()}"
            if held.empty:
                self.waiting_for += ": lost, unless a service still works on them"
            return False
        held = self._ask(0)
        if not held.empty:
            self.waiting_for = self._describe_held()
            return False
        if missing and observer.quiet_s() < ON_THE_WAY_S:
            self.waiting_for = f"{_some(missing)}: nowhere any more, unless still on the way"
            return False
        return True

    def _ask(self, every_s: float) -> Held:
        now = time.monotonic()
        if now - self._asked_at >= every_s:
            self._held = self.held()
            self._asked_at = now
        return self._held

    def _describe_held(self) -> str:
        ready, unacked = self._held.ready, self._held.unacked
        if ready is None or unacked is None:
            return "the broker gives no counts"
        return f"the broker has {ready} ready and {unacked} unacknowledged"


def _some(keys: set[str]) -> str:
    named = ", ".join(sorted(keys)[:NAMED_AT_MOST])
    return named if len(keys) <= NAMED_AT_MOST else f"{named} and {len(keys) - NAMED_AT_MOST} more"
