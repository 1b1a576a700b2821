"""The verdict: findings and preconditions of one history, held to one promise.

Goes in: `History`, `Promise`, `Aimed`. Comes out: `Judgement`. `upheld` needs every precondition, `violated` those of
`TO_VIOLATE`; everything else is `unproven`, with the codes that are missing and whatever was found.
To try it: `judge(history(TEXT), Promise(Semantic.AT_LEAST_ONCE), aimed)`, as the tests do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from chaosharness.checkers import aftermath, bounds, duplicated, held, lost, order, untrue
from chaosharness.checkers.advice import advise
from chaosharness.checkers.binomial import upper_bound
from chaosharness.checkers.facts import after, first, gather
from chaosharness.checkers.hit import find_hit
from chaosharness.checkers.preconditions import PRECONDITIONS, TO_VIOLATE
from chaosharness.checkers.redelivery import applied_before, settled_before
from chaosharness.checkers.semantics import observed, refuted_by
from chaosharness.checkers.sets import Case, decide
from chaosharness.model.event import Kind
from chaosharness.model.history import Aimed, History
from chaosharness.model.names import glob_match
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.model.verdict import Finding, FindingKind, Judgement, Verdict

__all__ = ["CHECKERS", "judge", "observed"]

CHECKERS: dict[FindingKind, Callable[[Case], Iterator[Finding]]] = {
    FindingKind.LOST: lost.find,
    FindingKind.STRANDED: held.find_stranded,
    FindingKind.STUCK: held.find_stuck,
    FindingKind.PARKED: held.find_parked,
    FindingKind.DUPLICATED: duplicated.find,
    FindingKind.UNEXPECTED: untrue.find_unexpected,
    FindingKind.PHANTOM: untrue.find_phantom,
    FindingKind.REORDERED: order.find_reordered,
    FindingKind.REGRESSED: order.find_regressed,
    FindingKind.KEY_REUSED: untrue.find_key_reused,
    FindingKind.PRODUCER_GAVE_UP: untrue.find_gave_up,
    FindingKind.LATE: bounds.find_late,
    FindingKind.BOUND_EXCEEDED: bounds.find_exceeded,
}
"""Finding kind → its checker, in the order of a report."""

NO_WINDOW = {
    "settled_on_delivery": (
        "the consumer's messages are settled when they are handed over (auto-ack, or a popping read): there is no "
        "acknowledgement to lose"
    ),
    "settled_before_effect": "the consumer acknowledges before the effect: it has no such window",
    "no_confirms": "the producer publishes without publisher confirms: it has no such window",
}
"""Why a gate was skipped → the reason of `not_applicable`."""
NEVER_RECORDED = "the flow records nothing in its store that names a message's key, as far as the tap can read it"
UPSTREAM = "a republished message is upstream's duplicate: at_most_once promises nothing about it"


def judge(history: History, promise: Promise, aimed: Aimed) -> Judgement:
    """Judges one scenario's history. Pure, and total: any history has a verdict."""
    facts = gather(history)
    hit = find_hit(facts, aimed)
    case = Case(facts, hit, decide(facts, hit, promise, aimed), promise, aimed)
    found = [finding for find in CHECKERS.values() for finding in find(case)]
    findings = _waived(found, promise, f"{aimed.window}:{'+'.join(aimed.faults)}")
    breaking = any(finding.breaks and finding.waived is None for finding in findings)
    judgement = Judgement(
        Verdict.UPHELD,
        findings,
        advice=advise(facts, promise),
        counts=_counts(case),
        notes=tuple(_notes(case)),
        refutes=_refutes(case),
    )
    reason = _not_applicable(case)
    if reason and not breaking and not (promise.semantic is None and judgement.refutes):
        return replace(judgement, verdict=Verdict.NOT_APPLICABLE, reason=reason)
    missing = tuple(lacking for check in PRECONDITIONS.values() if (lacking := check(case)))
    if breaking and not any(one.code in TO_VIOLATE for one in missing):
        unshown = tuple(f"not shown either: {one.code} ({one.why})" for one in missing)
        return replace(judgement, verdict=Verdict.VIOLATED, notes=judgement.notes + unshown)
    if breaking or missing:
        return replace(judgement, verdict=Verdict.UNPROVEN, missing=missing)
    return replace(judgement, notes=(*_loss(case), *judgement.notes))


def _loss(case: Case) -> Iterator[str]:
    """The loss that at_most_once allows: a rate only where nobody chose whom the faults hit; else counted."""
    if case.promise.semantic is not Semantic.AT_MOST_ONCE:
        return
    k, n = len(case.sets.lost), len(case.sets.owed)
    if case.aimed.random:
        yield f"loss at most {100 * upper_bound(k, n):.2g} % (95 %, exact binomial, {k} of {n})"
    elif not case.aimed.can_duplicate:
        yield f"loss measured: {k} of {n}"


def _not_applicable(case: Case) -> str | None:
    """Why the flow turned out to have no such window, in words; None if it has, or if nobody can say.

    A flow that lost something although no fault hit it is no such case: the caller keeps the findings in sight.
    """
    if "republish" in case.aimed.faults and case.promise.semantic is Semantic.AT_MOST_ONCE:
        return UPSTREAM
    declined = first(case.facts.of(Kind.FAULT_DECLINED))
    if declined:
        return str(declined.get("why"))
    if _never_recorded(case):
        return NEVER_RECORDED
    skipped = case.hit.skipped
    if skipped is None or case.hit.gate is not None:
        return None
    why = str(skipped.text("why"))
    if why == "settled_before_effect":
        # A nack or reject is no acknowledgement: the consumer refused the message, its window may well be there.
        settle = first(after(case.facts.about(case.aimed.key, Kind.SETTLE), skipped.at))
        if settle and settle.text("how") in ("nack", "reject"):
            return None
    return NO_WINDOW.get(why, f"the flow has no such window: {why}")


def _never_recorded(case: Case) -> bool:
    """The gate stood at the store, and the aimed message was done with without coming by there."""
    facts, key = case.facts, case.aimed.key
    at_store = (Kind.RECORD.value, Kind.RECORDED.value)
    armed = first(seen for seen in facts.of(Kind.GATE_ARMED) if seen.text("gate") == case.aimed.gate)
    if armed is None or armed.text("point") not in at_store or case.hit.gate is not None:
        return False
    done = any(seen.settles for seen in facts.about(key, Kind.SETTLE))
    return done and not facts.about(key, Kind.RECORD)


def _waived(findings: Sequence[Finding], promise: Promise, cell: str) -> tuple[Finding, ...]:
    """A waiver covers all breaking findings of its kind, or none: those of more messages than it allows stand."""
    keys: Counter[FindingKind] = Counter()
    for finding in findings:
        if finding.breaks:
            keys[finding.kind] += len(finding.keys)
    reasons = {
        kind: waiver.because
        for waiver in reversed(promise.waivers)
        for kind, count in keys.items()
        if waiver.finding == kind.value and glob_match(waiver.cell, cell) and count <= waiver.most
    }
    return tuple(
        replace(finding, waived=reasons[finding.kind]) if finding.breaks and finding.kind in reasons else finding
        for finding in findings
    )


def _refutes(case: Case) -> frozenset[str]:
    """Semantics that cannot hold where this was found, whatever is declared or waived."""
    sets = case.sets
    refuted: set[Semantic] = set()
    for kind, keys in (
        (FindingKind.LOST, sets.lost),
        (FindingKind.STRANDED, sets.stranded),
        (FindingKind.UNEXPECTED, sets.unexpected),
        (FindingKind.PHANTOM, sets.phantom),
        (FindingKind.DUPLICATED, sets.duplicated),
    ):
        if keys:
            refuted |= refuted_by(kind)
    if len(sets.parked) > (case.promise.max_parked or 0):
        refuted |= refuted_by(FindingKind.PARKED)
    if not sets.unexpected | sets.phantom | (sets.duplicated - duplicated.upstream(case)):
        refuted.discard(Semantic.AT_MOST_ONCE)
    return frozenset(semantic.value for semantic in refuted)


def _notes(case: Case) -> Iterator[str]:
    yield from lost.how_settled(case)
    if case.aimed.redelivers and applied_before(case) and settled_before(case):
        yield "no redelivery is due: the aimed delivery was settled when the fault struck"
    if "broker-kill" in case.aimed.faults:
        yield "process crash only: what the operating system still had to write survives it; a host's loss is not shown"
    if "restart" in case.aimed.faults:
        yield "process end only: what the store had written but not synced survives it; a host's loss is not shown"
    yield from aftermath.notes(case)
    done = case.sets.abandoned - case.sets.short
    if done:
        yield f"with their effect, but still in the broker, where nobody claims them: {len(done)}"


def _counts(case: Case) -> dict[str, int]:
    """Messages, unless said otherwise. `effects`, `deliveries` and `replayed` count occurrences; see `aftermath`."""
    facts, sets = case.facts, case.sets
    again = [key for key in sets.delivered if len(facts.about(key, Kind.DELIVER)) > 1]
    return {
        "attempted": len(sets.attempted),
        "owed": len(sets.owed),
        "confirmed": len(sets.confirmed),
        "delivered": len(sets.delivered),
        "deliveries": len(facts.of(Kind.DELIVER)),
        "redelivered": len(again),
        "effects": sum(len(seen) for seen in facts.effects.values()),
        "replayed": len(facts.of(Kind.REPLAY)),
        "lost": len(sets.lost),
        "duplicated": len(sets.duplicated),
        "stuck": len(sets.stuck),
        "stranded": len(sets.stranded),
        "parked": len(sets.parked),
        "held": len(sets.held),
        "unexpected": len(sets.unexpected),
        "phantom": len(sets.phantom),
        "reordered": len(sets.order.reordered),
        "regressed": len(sets.order.regressed),
        "recovered": len(sets.recovered),
        "late": len(sets.late),
        **aftermath.counts(case),
    }
