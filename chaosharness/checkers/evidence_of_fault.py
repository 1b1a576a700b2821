"""`fault_evidence`: what each fault must have left in the ledger, beside its own word, to count as having happened.

Goes in: a `Case` and a fault's id. Comes out: what is missing, in words, or None. The harness's `fault_injected` is
never enough where another process saw, or should have seen, the fault itself. A fault that is not named here (a
plugin's) stands on its own evidence alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chaosharness.checkers.evidence_of_replica import REPLICA, disconnected, sent_on
from chaosharness.checkers.evidence_of_sink import SINK
from chaosharness.checkers.evidence_of_store import ON_STORE
from chaosharness.checkers.evidence_of_store import ON_STORE
from chaosharness.checkers.facts import Seen, after, first, link_of
from chaosharness.checkers.hit import parse_link
from chaosharness.checkers.sets import Case
from chaosharness.model.address import BROKER
from chaosharness.model.event import Kind


def lacks(case: Case, fault: str) -> str | None:
    """What the history does not show of this fault, from its injection to its heal."""
    injected = first(seen for seen in case.hit.injected if seen.text("fault") == fault)
    if injected is None:
        return f"{fault}: never injected"
    said = injected.get("evidence")
    if injected.get("ok") is not True or not said:
        what = said.get("what") if isinstance(said, Mapping) else None
        return f"{fault}: injected, but without evidence" + (f": {what}" if what else "")
    own = OWN.get(fault)
    if own and (missing := own(case, injected)):
        return f"{fault}: {missing}"
    healed = first(seen for seen in after(case.facts.of(Kind.FAULT_HEALED), injected.at) if seen.text("fault") == fault)
    if healed is None:
        return f"{fault}: never healed"
    return None if healed.get("ok") is True else f"{fault}: healed, but without evidence of it"


def _broker_kill(case: Case, injected: Seen) -> str | None:
    """Signal, the process gone, the broker's end of the held connection closed, and the next incarnation started."""
    signal = case.hit.signalled.get("broker-kill")
    if signal is None or signal.text("signal") != "kill":
        return "no SIGKILL of the broker after the message was held"
    name = signal.text("instance")
    gone = first(s for s in after(case.facts.of(Kind.EXITED), signal.at) if s.text("instance") == name)
    if gone is None:
        return f"no record that {name} was gone"
    if not disconnected(case, "server", signal.at):
        return "the broker's end of the held connection did not close after the kill"
    if not any(seen.text("instance") == name for seen in after(case.facts.of(Kind.STARTED), gone.at)):
        return f"{name} was not started again"
    return sent_on(case)


def _cut(case: Case, injected: Seen) -> str | None:
    """Bytes thrown away by the gate, and the connection closed by the tap."""
    gate = case.hit.gate
    if gate is None or not case.hit.cut:
        return "the gate has cut nothing"
    size = gate.get("bytes")
    if not isinstance(size, int) or size <= 0:
        return "the gate threw no bytes away"
    return None if disconnected(case, "tap", gate.at) else "the tap did not close the connection that it cut"


def _link_fault(case: Case, injected: Seen) -> str | None:
    """The toxic, read back, is on the held replica's link to the broker; what was held there went down with it."""
    cut, held = parse_link(link_of(injected)), case.hit.link
    if cut is None:
        return "no record of the link that was cut off"
    if held is None or (cut.service, cut.replica, cut.server) != (held.service, held.replica, BROKER):
        return f"the link that was cut off is {cut}, the message was held on {held}"
    if held.server == BROKER and (case.hit.released is None or case.hit.released.get("forwarded") is not False):
        return "what was held was not thrown away: it may have crossed the partition"
    return None


def _republish(case: Case, injected: Seen) -> str | None:
    """A second publish of the aimed key, completed `ok` or confirmed on a connection other than the held one."""
    for op in case.facts.operations.get(case.aimed.key, ()):
        if op.invoked and not op.by_workload:
            confirms = after(case.facts.about(case.aimed.key, Kind.CONFIRM), op.invoked.at)
            if op.outcome == "ok" or any(seen.get("ok") is True and seen.wire != case.hit.wire for seen in confirms):
                return None
            return "the second publish was not confirmed"
    return "the message was not published a second time"


OWN: dict[str, Callable[[Case, Seen], str | None]] = {
    **REPLICA,
    **ON_STORE,
    **ON_STORE,
    **SINK,
    "broker-kill": _broker_kill,
    "publish-lost": _cut,
    "confirm-lost": _cut,
    "ack-lost": _cut,
    "response-lost": _cut,
    "cut": _cut,
    "partition": _link_fault,
    "partition-in": _link_fault,
    "partition-out": _link_fault,
    "republish": _republish,
}
