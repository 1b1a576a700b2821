"""What a history must show before it proves anything: one small function per code of `unproven_because`.

Goes in: a `Case`. Comes out: what is missing, or None. SEMANTICS, "When a scenario proves something", says each rule.
"""

from __future__ import annotations

from collections.abc import Callable

from chaosharness.checkers.evidence_of_fault import lacks
from chaosharness.checkers.facts import Seen, after, first, last, link_of
from chaosharness.checkers.hit import parse_link
from chaosharness.checkers.quiet import quiet_end
from chaosharness.checkers.redelivery import redelivered
from chaosharness.checkers.sets import Case, drain_end, intended
from chaosharness.model.address import HARNESS
from chaosharness.model.event import Kind
from chaosharness.model.verdict import Code, Missing

HOLDS_LONG = frozenset({"slow", "freeze", "broker-freeze", "apply-late"})
"""Faults that mean the hold itself to have consequences."""
STILL_AT_WORK = 0.1
"""Effects in the last tenth of a drain that expired: it was too short, nothing is known to be lost."""


def workload_ran(case: Case) -> Missing | None:
    """Something was published, and what was kept back was published after the heal."""
    facts, code = case.facts, Code.WORKLOAD_RAN
    invoked = [op.invoked for op in facts.workload() if op.invoked]
    if not invoked:
        return Missing(code, "no message was published")
    kept = sum(count for s in facts.of(Kind.KEPT_BACK) if isinstance(count := s.get("count"), int))
    healed = case.hit.healed
    later = len(after(invoked, healed.at)) if healed else kept
    if later < kept:
        return Missing(code, f"of {kept} messages kept back until after the heal {later} were published")
    if case.promise.ordered_by and not case.sets.order.compared:
        return Missing(code, f"no two messages of one {case.promise.ordered_by} were published one after the other")
    return None


def ready_before_publish(case: Case) -> Missing | None:
    """Each link that consumes was ready before the first publish; until the fault, no publish of ours was returned.

    A replica that joined while the message was held had to be ready by then only.
    """
    facts, code = case.facts, Code.READY_BEFORE_PUBLISH
    began = min((op.invoked.at for op in facts.workload() if op.invoked), default=len(facts.events))
    ready = {link_of(seen) for seen in facts.of(Kind.READY) if seen.at < began}
    if not ready:
        return Missing(code, "no consumer was seen ready before the first publish")
    afresh = first(facts.of(Kind.RESTARTED_AFRESH))
    until = afresh.at if afresh else len(facts.events)
    subscribed = [seen for seen in facts.of(Kind.SUBSCRIBED) if seen.get("source") is True]
    consuming = {seen.event.link for seen in [*subscribed, *facts.of(Kind.DELIVER)] if seen.at < until}
    if "join" in case.aimed.faults and case.hit.gate:
        held = case.hit.gate.at
        consuming &= {seen.event.link for seen in [*subscribed, *facts.of(Kind.DELIVER)] if seen.at < held}
    unready = sorted(str(link) for link in consuming - ready)
    if unready:
        return Missing(code, f"not seen ready before the first publish: {', '.join(unready)}")
    struck = len(facts.events) if case.hit.struck is None else case.hit.struck
    returned = [s for s in facts.of(Kind.RETURNED) if (link := parse_link(s.event.link)) and link.service == HARNESS]
    if returned and returned[0].at < struck:
        return Missing(code, f"the broker returned {returned[0].event.key}: no queue took what the harness published")
    return None


def owed_target(case: Case) -> Missing | None:
    """The aimed key is owed; in a producer window its publish ended `ok`, or its caller was told."""
    key, code = case.aimed.key, Code.OWED_TARGET
    if case.aimed.producer_window:
        own = [op for op in case.facts.operations.get(key, ()) if op.by_workload]
        if any(op.answered for op in own) or (not case.aimed.sut_producer and key in case.sets.owed):
            return None
        return Missing(code, f"nobody was told how the publish of {key} ended" if own else f"{key} was never published")
    return (
        None if key in case.sets.owed else Missing(code, f"{key} was neither reported ok, nor confirmed, nor settled")
    )


def window_hit(case: Case) -> Missing | None:
    """The gate had the aimed message in its hands."""
    hit = case.hit
    if hit.gate:
        return None
    if hit.skipped:
        return Missing(Code.WINDOW_HIT, f"the flow has no such window here: {hit.skipped.get('why')}")
    armed = any(seen.text("gate") == case.aimed.gate for seen in case.facts.of(Kind.GATE_ARMED))
    return Missing(Code.WINDOW_HIT, f"{case.aimed.key} never came to the gate" if armed else "the gate was never armed")


def hold_first(case: Case) -> Missing | None:
    """Nothing acted because of the hold before the fault struck. A cut holds nothing."""
    gate, hit, key = case.hit.gate, case.hit, case.aimed.key
    if gate is None or hit.cut or HOLDS_LONG & set(case.aimed.faults):
        return None
    released = hit.released
    end = hit.struck if hit.struck is not None else released.at if released else len(case.facts.events)

    def meanwhile(*kinds: Kind) -> list[Seen]:
        return [seen for seen in case.facts.of(*kinds) if gate.at < seen.at < end]

    def first_about_key(*kinds: Kind) -> Seen | None:
        return first(seen for seen in meanwhile(*kinds) if key in seen.event.keys)

    flow = {hit.instance, *case.aimed.stopped_by}
    lost = first(s for s in meanwhile(Kind.DISCONNECT, Kind.CLOSED) if s.wire == hit.wire and s.text("by") != "tap")
    died = first(s for s in meanwhile(Kind.EXITED) if s.get("asked") is False and s.text("instance") in flow)
    again = first_about_key(Kind.PUBLISH) if case.aimed.producer_window else first_about_key(Kind.REQUEST, Kind.DELIVER)
    why = None
    if lost:
        why = f"the held connection was closed by the {lost.get('by')} before the fault struck"
    elif died:
        why = f"{died.get('instance')} exited by itself while the message was held"
    elif again:
        why = f"{key} came again ({again.event.kind}) while it was held"
    elif released and released.at <= end and released.text("why") in ("deadline", "disarmed"):
        why = f"the gate let go by itself ({released.get('why')}) before the fault struck"
    elif released and released.at < end and released.get("forwarded") is not False:
        why = "what was held was sent on before the fault struck"
    return Missing(Code.HOLD_FIRST, why) if why else None


def fault_evidence(case: Case) -> Missing | None:
    """Each fault was injected, seen to have happened, and healed."""
    lacking = [why for fault in case.aimed.faults if (why := lacks(case, fault))]
    if not case.aimed.faults:
        lacking.append("no fault was aimed")
    return Missing(Code.FAULT_EVIDENCE, "; ".join(lacking)) if lacking else None


def progress_after(case: Case) -> Missing | None:
    """A message that was published after the heal came through (was settled, where no effect is intended)."""
    healed = case.hit.healed
    if healed is None:
        return Missing(Code.PROGRESS_AFTER, "no fault was healed")
    fresh = {op.key for op in case.facts.workload() if op.invoked and op.invoked.at > healed.at}
    if not fresh:
        return Missing(Code.PROGRESS_AFTER, "nothing was published after the heal")
    owing = any(intended(case.facts, case.promise, key) for key in fresh)
    kinds = (Kind.EFFECT,) if owing else (Kind.EFFECT, Kind.SETTLE)
    came = any(fresh & set(seen.event.keys) for seen in after(case.facts.of(*kinds), healed.at) if not seen.discarded)
    return (
        None
        if came
        else Missing(Code.PROGRESS_AFTER, f"none of {len(fresh)} messages published after the heal went through")
    )


def drained(case: Case) -> Missing | None:
    """Nothing is in flight but what has been classed stranded, or stuck under `recover_within_s`.

    A short key that the broker does not hold any more is lost, not in flight; but only if the broker was looked into,
    and the drain did not end while effects still came in.
    """
    facts, sets, promise, code = case.facts, case.sets, case.promise, Code.DRAINED
    end = drain_end(facts)
    if end is None:
        return Missing(code, "the drain never ended")
    in_flight = sets.leftover | (sets.stuck if promise.recover_within_s is None else frozenset())
    if in_flight:
        bound = "drain_within_s" if promise.recover_within_s is None else "recover_within_s"
        named = ", ".join(sorted(in_flight)[:3]) + (", …" if len(in_flight) > 3 else "")
        return Missing(code, f"still held after {promise.bound_s:g} s: {len(in_flight)} ({named}); raise {bound}")
    if end.event.kind is Kind.DRAIN_EXPIRED and not facts.of(Kind.YIELDS):
        return Missing(code, "the drain expired, and nobody looked at what the broker still holds")
    if sets.lost and promise.recover_within_s is None and _at_work(case, end):
        return Missing(code, f"effects still came in when the drain ended: raise drain_within_s ({promise.bound_s:g})")
    return None


def _at_work(case: Case, end: Seen) -> bool:
    began = last([seen for seen in case.facts.of(Kind.DRAIN_STARTED) if seen.at < end.at])
    since_ns = end.event.at_ns
    if began and end.event.kind is Kind.DRAIN_EXPIRED:
        since_ns -= int((end.event.at_ns - began.event.at_ns) * STILL_AT_WORK)
    firsts = (seen for found in case.facts.effects.values() for seen in found[:1])
    return any(seen.event.at_ns > since_ns for seen in firsts)


def observed_whole(case: Case) -> Missing | None:
    """Every ledger is whole and closed, every message had a key, every byte was read, nothing went past the taps."""
    facts = case.facts
    why = [*facts.gaps, *(f"the ledger of {origin} was not closed" for origin in sorted(facts.unended))]
    if not facts.events:
        why.append("the history is empty")
    if not case.promise.unkeyed_ignored:
        why += [f"without a key: {seen.get('what')}" for seen in facts.of(Kind.UNKEYED)[:3]]
    why += [f"a tap gave up on {s.event.link}: {s.get('reason')}" for s in facts.of(Kind.UNPARSED)[:3]]
    why += [f"a key of another scenario: {seen.get('found')}" for seen in facts.of(Kind.FOREIGN_KEY)[:3]]
    why += [f"{s.get('instance')} went past the taps to {s.get('remote')}" for s in facts.of(Kind.BYPASS)[:3]]
    why += [f"{s.get('instance')} was ended by the harness: {s.get('why')}" for s in facts.of(Kind.BOUNDED)[:3]]
    return Missing(Code.OBSERVED_WHOLE, "; ".join(why)) if why else None


PRECONDITIONS: dict[Code, Callable[[Case], Missing | None]] = {
    Code.WORKLOAD_RAN: workload_ran,
    Code.READY_BEFORE_PUBLISH: ready_before_publish,
    Code.OWED_TARGET: owed_target,
    Code.WINDOW_HIT: window_hit,
    Code.HOLD_FIRST: hold_first,
    Code.FAULT_EVIDENCE: fault_evidence,
    Code.PROGRESS_AFTER: progress_after,
    Code.DRAINED: drained,
    Code.REDELIVERED: redelivered,
    Code.OBSERVED_WHOLE: observed_whole,
    Code.QUIET_END: quiet_end,
}
"""All of them, in the order in which a scenario comes to them."""
TO_VIOLATE = frozenset(
    {
        Code.WORKLOAD_RAN,
        Code.WINDOW_HIT,
        Code.HOLD_FIRST,
        Code.FAULT_EVIDENCE,
        Code.DRAINED,
        Code.OBSERVED_WHOLE,
        Code.QUIET_END,
    }
)
"""Those that `violated` needs; `upheld` needs all."""
