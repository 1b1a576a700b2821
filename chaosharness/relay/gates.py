"""Armed gates of one scenario: which unit they stop, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chaosharness.model.address import LinkId
from chaosharness.model.event import Kind, Sighting
from chaosharness.model.gate import Action, Gate, Point


class Recorder(Protocol):
    """Writes into the ledger."""

    def __call__(
        self,
        kind: Kind,
        keys: Sequence[str] = (),
        *,
        link: str | None = None,
        conn: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None: ...


class Holder(Protocol):
    """Who has the held unit in its hands."""

    def let_go(self, forward: bool) -> int:
        """Sends on, or throws away, the unit and what waits behind it. Returns the bytes thrown away."""
        ...


class ArmedGate:
    """One gate from arming to its end; it fires at most once."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.holder: Holder | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.at: tuple[str, int] | None = None


class Gates:
    """All gates of one scenario."""

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._waiting: dict[str, ArmedGate] = {}
        self._holding: dict[str, ArmedGate] = {}
        self._effects: dict[str, int] = {}

    def arm(self, gate: Gate) -> None:
        self._waiting[gate.id] = ArmedGate(gate)
        self._record(Kind.GATE_ARMED, [gate.key], data={"gate": gate.id, "point": gate.point.value})

    def disarm(self, gate_id: str) -> None:
        """Takes the gate away; what it holds goes on."""
        if gate_id in self._holding:
            self.let_go(gate_id, True, "disarmed")
        if self._waiting.pop(gate_id, None):
            self._record(Kind.GATE_DISARMED, data={"gate": gate_id})

    def disarm_all(self) -> None:
        for gate_id in [*self._holding, *self._waiting]:
            self.disarm(gate_id)

    def count_effect(self, key: str) -> None:
        """An effect was applied: what `after_effects` counts."""
        self._effects[key] = self._effects.get(key, 0) + 1

    def stops(self, sighting: Sighting, link: LinkId, conn: int) -> ArmedGate | None:
        """The waiting gate that this sighting meets, if any; tells, and drops, gates whose window the flow lacks."""
        for armed in list(self._waiting.values()):
            gate = armed.gate
            if gate.service != link.service or gate.key not in sighting.keys:
                continue
            skipped = self._no_such_window(gate, sighting)
            if skipped:
                del self._waiting[gate.id]
                self._record(
                    Kind.GATE_SKIPPED, [gate.key], link=str(link), conn=conn, data={"gate": gate.id, "why": skipped}
                )
            elif gate.server == link.server and self._stands_at(gate, sighting) and not _gives_back(sighting):
                return armed
        return None

    def _stands_at(self, gate: Gate, sighting: Sighting) -> bool:
        applied = gate.once_applied is not None and self._effects.get(gate.key, 0) > 0
        point = gate.once_applied if gate.once_applied and applied else gate.point
        return point.value == sighting.kind.value

    def _no_such_window(self, gate: Gate, sighting: Sighting) -> str | None:
        data = sighting.data
        if sighting.kind is Kind.DELIVER and data.get("settled") and (gate.unsettled or gate.point is Point.SETTLE):
            return "settled_on_delivery"
        if sighting.kind is Kind.PUBLISH and gate.point is Point.CONFIRM and not data.get("confirms"):
            return "no_confirms"
        if (
            sighting.kind is Kind.SETTLE
            and gate.point is Point.SETTLE
            and not _gives_back(sighting)
            and self._effects.get(gate.key, 0) < gate.after_effects
        ):
            return "settled_before_effect"
        return None

    def cut(self, armed: ArmedGate, link: LinkId, conn: int, size: int) -> None:
        """The gate has cut: it is spent."""
        gate = armed.gate
        del self._waiting[gate.id]
        self._record(
            Kind.GATE_CUT,
            [gate.key],
            link=str(link),
            conn=conn,
            data={"gate": gate.id, "point": gate.point.value, "bytes": size},
        )

    def hold(self, armed: ArmedGate, holder: Holder, link: LinkId, conn: int, size: int) -> None:
        """The gate holds; it lets go when told, or by itself at its deadline."""
        gate = armed.gate
        del self._waiting[gate.id]
        armed.holder, armed.at = holder, (str(link), conn)
        self._holding[gate.id] = armed
        self._record(
            Kind.GATE_HELD,
            [gate.key],
            link=str(link),
            conn=conn,
            data={"gate": gate.id, "point": gate.point.value, "bytes": size},
        )
        loop = asyncio.get_running_loop()
        armed.timer = loop.call_later(gate.deadline_s, self.let_go, gate.id, True, "deadline")

    def let_go(self, gate_id: str, forward: bool, why: str) -> bool:
        """Ends a hold. False if the gate holds nothing (any more)."""
        armed = self._holding.pop(gate_id, None)
        if armed is None or armed.holder is None or armed.at is None:
            return False
        if armed.timer:
            armed.timer.cancel()
        link, conn = armed.at
        data = {"gate": gate_id, "forwarded": forward, "why": why}
        self._record(Kind.GATE_RELEASED, [armed.gate.key], link=link, conn=conn, data=data)
        thrown_away = armed.holder.let_go(forward)
        if thrown_away:
            self._record(
                Kind.NOTE,
                [armed.gate.key],
                link=link,
                conn=conn,
                data={"text": f"thrown away at gate {gate_id}: {thrown_away} bytes"},
            )
        return True

    def connection_gone(self, link: str, conn: int) -> None:
        """Whatever is held of this connection is thrown away: its end is gone."""
        for gate_id, armed in list(self._holding.items()):
            if armed.at == (link, conn):
                self.let_go(gate_id, False, "connection gone")


def wants_cut(armed: ArmedGate) -> bool:
    """Whether the gate throws away instead of holding."""
    return armed.gate.action is Action.CUT


def _gives_back(sighting: Sighting) -> bool:
    """A nack or reject that asks for another delivery settles nothing for good."""
    return sighting.kind is Kind.SETTLE and bool(sighting.data.get("requeue"))
