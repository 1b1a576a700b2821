"""The end of a scenario: drained, quiet, stopped, and a last look at what the broker still yields."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaosharness.ledger.writer import Ledger
from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Kind
from chaosharness.model.flow import Service
from chaosharness.model.key import KeyFinder, Place
from chaosharness.model.semantic import Promise
from chaosharness.ports.plugin import Held
from chaosharness.scenario.drain import Drain
from chaosharness.scenario.observer import Observer
from chaosharness.scenario.wiring import Wiring

QUIET_S = 1.0
"""Silence after the drain where something that the fault left alive could still act."""
QUIET_WITHIN_S = 10.0


@dataclass(slots=True)
class Ending:
    """What comes after the heal."""

    wiring: Wiring
    consumer: Service
    promise: Promise
    ledger: Ledger
    observer: Observer
    held: Callable[[], Held]
    nudge: Callable[[], None]
    """Publishes a few more messages."""
    hopeless: frozenset[str]
    """Keys that can never succeed."""
    folder: Path
    notes: list[str]

    def drain(self, workload_done: Callable[[], bool]) -> bool:
        """Waits until nothing is in flight; what the broker then still holds gets two more chances.

        A few more messages, for a consumer that looks again at what it left only when something comes; then a new
        deployment. False if neither helped, and messages still cycle: all three bounds were waited out.
        """
        drain = Drain(self.observer, self.promise.count, self.held, self.ledger, workload_done, self.hopeless)
        for chance in (self.nudge, self._restart_afresh):
            if drain.run(self.promise.bound_s):
                return True
            if self.held().empty:  # what is missing is lost, and no chance brings it back
                return True
            chance()
        return drain.run(self.promise.bound_s) or self.held().empty

    def _restart_afresh(self) -> None:
        """What a new deployment would do: whether it brings back what no one reclaimed tells stranded from stuck."""
        consumer = self.consumer
        for replica in range(consumer.replicas):
            instance = self.wiring.instances[consumer.name, replica]
            instance.stop(consumer.stop_grace_s)
            self.ledger.append(Kind.RESTARTED_AFRESH, data={"instance": instance.name})
            self.wiring.launch(consumer, replica, self.folder, afresh=True)

    def await_quiet(self, survivors: bool, rests: bool) -> None:
        """`survivors`: the fault left something alive that could still act.

        `rests`: nothing is held any more. What still cycles after all of the drain's bounds is never silent: they were
        the wait.
        """
        if not survivors:
            self.ledger.append(Kind.QUIET, data={"why": "nothing that the fault met can act any more", "waited_s": 0})
            return
        why = f"{QUIET_S:g} s of silence: what the fault left alive could still act"
        began = time.monotonic()
        try:
            within_s = QUIET_WITHIN_S if rests else 2 * QUIET_S
            self.observer.wait(why, within_s, lambda: self.observer.quiet_s() >= QUIET_S)
        except TimedOut as restless:
            self.notes.append(str(restless))
            if rests:
                return
            why = f"the drain's bound was waited out ({self.promise.bound_s:g} s), and what is still held never rests"
        self.ledger.append(Kind.QUIET, data={"why": why, "waited_s": round(time.monotonic() - began, 3)})

    def record_yields(self) -> None:
        """After the systems under test have stopped: what is held, and what is parked."""
        wiring, source = self.wiring, self.wiring.flow.source
        held = self.held()
        self.observer.poll()
        if held.empty and not held.dead and not self.observer.missing(self.promise.count):
            self.ledger.append(Kind.YIELDS, data={"source": True, "place": source.name})
            return
        finder = KeyFinder(wiring.nonce, (), Place(source.key) if source.key else None)
        found = wiring.broker.yields(
            wiring.running.instance, wiring.namespace, source, sorted(self.observer.places), finder.find
        )
        for place, keys in found.items():
            if place.startswith("dead:"):
                self.ledger.append(Kind.PARKED, list(keys), data={"place": place.removeprefix("dead:")})
            else:
                self.ledger.append(Kind.YIELDS, list(keys), data={"source": place == source.name, "place": place})
