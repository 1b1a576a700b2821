"""`redelivered`: where the broker promises a redelivery and one is due, it must have come, and with a consequence.

Due = the key's effect was applied, and its delivery stood unsettled, when the fault struck. A delivery that no tap saw
is not known to be settled. An ack that was on its way may reach the tap after the kill: it settles all the same.
"""

from __future__ import annotations

from chaosharness.checkers.facts import after, first, last
from chaosharness.checkers.sets import Case
from chaosharness.model.event import Kind
from chaosharness.model.verdict import Code, Missing

CONSEQUENCES = (Kind.EFFECT, Kind.REPLAY, Kind.REQUEST, Kind.LOOKUP, Kind.RECORD, Kind.SETTLE)


def redelivered(case: Case) -> Missing | None:
    """The aimed key was handed over again after the fault, and something came of it."""
    key, struck, code = case.aimed.key, case.hit.struck, Code.REDELIVERED
    if struck is None or not case.aimed.redelivers or not applied_before(case) or settled_before(case):
        return None
    again = first(seen for seen in after(case.facts.about(key, Kind.DELIVER), struck) if not seen.discarded)
    if again is None:
        return Missing(code, f"{key} was not handed over again after the fault")
    if all(seen.discarded for seen in after(case.facts.about(key, *CONSEQUENCES), again.at)):
        return Missing(code, f"{key} was handed over again, and nothing came of it")
    return None


def applied_before(case: Case) -> bool:
    """Whether the aimed key had an effect when the gate had it: both are the relay's own record."""
    gate = case.hit.gate
    return gate is not None and any(seen.at < gate.at for seen in case.facts.effects.get(case.aimed.key, ()))


def settled_before(case: Case) -> bool:
    """Whether the aimed delivery was settled by what its consumer had done before the fault struck."""
    struck, about = case.hit.struck, case.facts.about
    if struck is None:
        return False
    handed = last([s for s in about(case.aimed.key, Kind.DELIVER) if s.at < struck and not s.discarded])
    if handed is None:
        return False
    settles = [seen for seen in after(about(case.aimed.key, Kind.SETTLE), handed.at) if seen.settles]
    return handed.get("settled") is True or any(s.at < struck or s.wire == handed.wire for s in settles)
