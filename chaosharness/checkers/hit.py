"""What the aimed gate did, and when the fault struck.

Goes in: `Facts`, `Aimed`. Comes out: a `Hit`. Events of different processes are compared by time only where one caused
the other: the keeper writes `signalled` before it sends the signal, the relay writes `disconnect` when it sees what the
signal did, the harness writes `fault_injected` when it has seen that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaosharness.checkers.facts import Facts, Seen, Wire, after, first, last
from chaosharness.model.address import LinkId
from chaosharness.model.event import Kind
from chaosharness.model.history import Aimed

KILLS_REPLICA = frozenset({"crash", "crash-child", "crash-parent", "term", "freeze", "leave", "killer"})
"""Faults that strike by a signal to the replica that holds the message."""
KILLS_BROKER = frozenset({"broker-kill", "broker-restart", "broker-freeze"})
"""Faults that strike by a signal to an instance that is not the flow's own."""
CUTS = frozenset({"publish-lost", "confirm-lost", "ack-lost", "response-lost", "cut"})
"""Faults that the gate carries out by itself."""
LINK_FAULTS = frozenset({"partition", "partition-in", "partition-out"})
"""Faults of the held replica's link to the broker that let nothing through."""
NOTHING_IN = LINK_FAULTS - {"partition-out"}
"""Those in which what the broker sends is lost."""
KILLS_STORE = frozenset({"restart"})
"""Faults that strike by a signal to the store: an instance that is not the flow's own either."""
OWN_ACT = CUTS | LINK_FAULTS | {"republish"}
"""Faults whose first act is known, and is no signal."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The gate that had the aimed message in its hands, and the fault that came of it; None = not seen."""

    gate: Seen | None
    """`gate_held` or `gate_cut` of the aimed gate with the aimed key."""
    released: Seen | None
    """`gate_released` of the aimed gate."""
    skipped: Seen | None
    """`gate_skipped` of the aimed gate."""
    link: LinkId | None
    """Where the message was held."""
    signalled: Mapping[str, Seen]
    """Fault → the signal by which it struck, of those that strike by one."""
    struck: int | None
    """The place in the history at which the fault struck."""
    injected: Sequence[Seen]
    healed: Seen | None
    """The last heal."""

    @property
    def cut(self) -> bool:
        return self.gate is not None and self.gate.event.kind is Kind.GATE_CUT

    @property
    def wire(self) -> Wire:
        """The held connection. (None, None) where nothing was held."""
        return self.gate.wire if self.gate else (None, None)

    @property
    def instance(self) -> str | None:
        """The name of the replica that had the message."""
        return f"{self.link.service}.{self.link.replica}" if self.link else None


def find_hit(facts: Facts, aimed: Aimed) -> Hit:
    """Looks only at the gate with the id `aimed.gate`."""

    def own(*kinds: Kind) -> list[Seen]:
        return [seen for seen in facts.of(*kinds) if seen.text("gate") == aimed.gate]

    gate = first(seen for seen in own(Kind.GATE_HELD, Kind.GATE_CUT) if aimed.key in seen.event.keys)
    released = first(after(own(Kind.GATE_RELEASED), gate.at)) if gate else None
    link = parse_link(gate.event.link) if gate else None
    injected = facts.of(Kind.FAULT_INJECTED)
    signalled = _signals(facts, gate, link, aimed) if gate else {}
    return Hit(
        gate=gate,
        released=released,
        skipped=first(own(Kind.GATE_SKIPPED)),
        link=link,
        signalled=signalled,
        struck=_struck(facts, gate, released, signalled, aimed) if gate else None,
        injected=injected,
        healed=last(facts.of(Kind.FAULT_HEALED)),
    )


def parse_link(text: str | None) -> LinkId | None:
    """A link id, or None where it is none."""
    try:
        return LinkId.parse(text) if text else None
    except ValueError:
        return None


def _signals(facts: Facts, gate: Seen, link: LinkId | None, aimed: Aimed) -> dict[str, Seen]:
    """The first signal of each fault after the gate, to whom the fault is aimed at."""
    replica = f"{link.service}.{link.replica}" if link else None
    sent = after(facts.of(Kind.SIGNALLED), gate.at)
    flow = {replica, *aimed.stopped_by}
    found: dict[str, Seen] = {}
    for fault in aimed.faults:
        if fault in KILLS_REPLICA:
            to = [seen for seen in sent if seen.text("instance") == replica]
        elif fault in KILLS_BROKER | KILLS_STORE:
            to = [seen for seen in sent if seen.text("instance") not in flow]
        else:
            continue
        if to:
            found[fault] = to[0]
    return found


def _struck(facts: Facts, gate: Seen, released: Seen | None, signalled: Mapping[str, Seen], aimed: Aimed) -> int | None:
    """The first fault's first act: the cut, the signal, the second publish, the discard on a dead link, the injection.

    Of a fault that is not known here, and strikes by no signal that is: the moment the harness began to inject it.
    """
    if gate.event.kind is Kind.GATE_CUT:
        return gate.at
    acts = facts.of(Kind.FAULT_INJECTED)
    acts += signalled.values()
    if not (KILLS_REPLICA | KILLS_BROKER | OWN_ACT) & set(aimed.faults):
        acts += facts.of(Kind.SIGNALLED)
        acts += [seen for seen in facts.of(Kind.STEP) if seen.text("fault") in aimed.faults]
    if "republish" in aimed.faults:
        acts += [seen for seen in facts.about(aimed.key, Kind.INVOKE) if seen.text("by") == "republish"]
    if released and released.text("why") == "told" and released.get("forwarded") is False:
        acts.append(released)
    return min((seen.at for seen in after(acts, gate.at)), default=None)
