"""A gate that has fired, as the fault that follows sees it."""

from __future__ import annotations

from collections.abc import Callable

from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Event
from chaosharness.model.gate import Hold, Point
from chaosharness.ports.launch import Evidence
from chaosharness.scenario.observer import Observer


class GateTicket:
    """Implements ports.plugin.Ticket over the relay's commands and the ledger."""

    def __init__(self, fired: Event, observer: Observer, release: Callable[[str, bool], bool]) -> None:
        """`fired`: the GATE_HELD or GATE_CUT event; `release(gate, forward)`: the relay's."""
        point = Point(str(fired.data["point"]))
        self._hold = Hold(str(fired.data["gate"]), fired.key or "", fired.link or "", fired.conn or 0, point)
        self._observer = observer
        self._release = release

    @property
    def hold(self) -> Hold:
        return self._hold

    def discard(self) -> Evidence:
        held = self._release(self._hold.gate, False)
        what = "what was held is thrown away" if held else "the gate had let go before it was told to"
        return Evidence(held, what, {"discarded": held})

    def forward(self) -> Evidence:
        held = self._release(self._hold.gate, True)
        what = "what was held goes on" if held else "the gate had let go before it was told to"
        return Evidence(held, what, {"forwarded": held})

    def await_gone(self, timeout_s: float) -> Evidence:
        observer, hold = self._observer, self._hold
        try:
            by = observer.wait(
                f"the end of file of connection {hold.conn} on {hold.link}",
                timeout_s,
                lambda: observer.closed_by.get(hold.conn),
            )
        except TimedOut as still_open:
            return Evidence(False, str(still_open), {"connection": hold.conn, "closed": False})
        return Evidence(
            True,
            f"connection {hold.conn} on {hold.link} is at end of file (first: {by})",
            {"connection": hold.conn, "closed": True, "by": by},
        )
