"""`fault_evidence`: what each fault must have left in the ledger, beside its own word, to count as having happened.

Goes in: a `Case` and a fault's id. Comes out: what is missing, in words, or None. The harness's `fault_injected` is
never enough where another process saw, or should have seen, the fault itself. A fault that is not named here (a
plugin's) stands on its own evidence alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chaosharness.checkers.evidence_of_broker import ON_BROKER
from chaosharness.checkers.evidence_of_link import LINK
from chaosharness.checkers.evidence_of_replica import REPLICA, disconnected
from chaosharness.checkers.evidence_of_sink import SINK
from chaosharness.checkers.evidence_of_store import ON_STORE
from chaosharness.checkers.facts import Seen, after, first
from chaosharness.checkers.sets import Case
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


def _cut(case: Case, injected: Seen) -> str | None:
    """Bytes thrown away by the gate, and the connection closed by the tap."""
    gate = case.hit.gate
    if gate is None or not case.hit.cut:
        return "the gate has cut nothing"
    size = gate.get("bytes")
    if not isinstance(size, int) or size <= 0:
        return "the gate threw no bytes away"
    return None if disconnected(case, "tap", gate.at) else "the tap did not close the connection that it cut"


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
    **ON_BROKER,
    **LINK,
    **ON_STORE,
    **SINK,
    "publish-lost": _cut,
    "confirm-lost": _cut,
    "ack-lost": _cut,
    "response-lost": _cut,
    "cut": _cut,
    "republish": _republish,
}
