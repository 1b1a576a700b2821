"""A finding, and what is missing for a proof, in plain sentences for an engineer.

Goes in: a `Result`. Comes out: what was declared, what was done, what was found, what was not shown; the same
sentences in the terminal and on the page. To try it: `suites/unit/test_report_explain.py`.
"""

from __future__ import annotations

from chaosharness.model.event import Event, Kind
from chaosharness.model.verdict import Code, Finding, FindingKind, Missing, Result
from chaosharness.model.window import FAULTS, WINDOWS
from chaosharness.report.sentences import link_ends
from chaosharness.report.timeline import told
from chaosharness.report.words import clean, counted, listed

FOUND = {
    FindingKind.LOST: "never had the effect that was owed, and the broker no longer yields it",
    FindingKind.STRANDED: "stayed held past the recovery bound, unclaimed, also after one more restart",
    FindingKind.STUCK: "stayed held by the broker, without effect, until the recovery bound",
    FindingKind.PARKED: "ended in the dead-letter place",
    FindingKind.DUPLICATED: "had more effects than intended",
    FindingKind.UNEXPECTED: "had an effect without ever having been published",
    FindingKind.PHANTOM: "had an effect although the publish was reported as failed",
    FindingKind.REORDERED: "had an effect out of the order that was declared",
    FindingKind.REGRESSED: "left a final state that is older than an earlier one",
    FindingKind.KEY_REUSED: "used an idempotency key again with another body",
    FindingKind.PRODUCER_GAVE_UP: "got no answer from the producer",
    FindingKind.LATE: "had an effect only after recover_within_s",
    FindingKind.BOUND_EXCEEDED: "went beyond a declared bound",
}
"""What `N messages …` of each kind did; SEMANTICS: the sets."""

DEMANDS = {
    Code.WORKLOAD_RAN: "the workload must have run",
    Code.READY_BEFORE_PUBLISH: "the consumer must be seen ready before the first publish",
    Code.OWED_TARGET: "the aimed message must be owed",
    Code.WINDOW_HIT: "the fault must strike while the aimed message is in the window",
    Code.HOLD_FIRST: "the fault must strike before the hold itself makes anyone act",
    Code.FAULT_EVIDENCE: "the fault must be seen to have happened",
    Code.PROGRESS_AFTER: "messages must go through after the heal",
    Code.DRAINED: "nothing may be in flight at the end",
    Code.REDELIVERED: "the aimed message must be handed over again, with a consequence",
    Code.OBSERVED_WHOLE: "everything must have been seen: no gap in a ledger, no message without a key",
    Code.QUIET_END: "nothing may be able to act any more when the sinks close",
}
"""What each code asks for; SEMANTICS: when a scenario proves something."""


def declared(result: Result) -> str:
    """`effectively_once, because a double charge costs real money`."""
    if result.declared is None:
        return "nothing (a probe)"
    return result.declared + (f", because {clean(result.because)}" if result.because else "")


def done(result: Result) -> str:
    """Which message was caught where, in which window, and what was broken then."""
    key = result.target or "a message"
    stop = _gate_event(result)
    if stop is None:
        first = f"The fault was aimed at {key} in the window {window(result)}."
    else:
        client, server = link_ends(stop.link)
        verb = "was cut off" if stop.kind == Kind.GATE_CUT else "was held"
        first = f"{key} {verb} between {client} and {server} in the window {window(result)}."
    return f"{clean(first, 400)} {faults(result)}"


def window(result: Result) -> str:
    """`effect → ack (after: the consumer knows; before: the ack is settled)`."""
    known = WINDOWS.get(result.window)
    return f"{known.arrow} (after: {known.opens}; before: {known.closes})" if known else clean(result.window)


def faults(result: Result) -> str:
    """`Fault crash: SIGKILL of …`, one sentence for each."""
    names = result.fault.split("+")
    return " ".join(f"Fault {clean(n)}: {FAULTS[n]}." if n in FAULTS else f"Fault {clean(n)}." for n in names)


def _gate_event(result: Result) -> Event | None:
    stops = (e for events in told(result) for e in events if e.kind in (Kind.GATE_HELD, Kind.GATE_CUT) and e.link)
    return next(stops, None)


def found(finding: Finding) -> str:
    """`duplicated: 1 message had more effects than intended: k7f3q-000117 (applied again after the crash)`."""
    keys = finding.keys
    what = (
        f"{finding.kind}: {counted(len(keys), 'message')} {FOUND[finding.kind]}"
        if keys
        else (f"{finding.kind}: the scenario {FOUND[finding.kind]}")
    )
    named = f": {listed(keys)}" if keys else ""
    return f"{what}{named}" + (f" ({clean(finding.attribution, 400)})" if finding.attribution else "")


def standing_of(finding: Finding) -> str:
    """Why a finding does not count against the flow; empty where it does."""
    if finding.waived is not None:
        return f"waived, because {clean(finding.waived)}" if finding.waived else "waived"
    return "" if finding.breaks else "reported only: it does not break what was declared"


def missing(one: Missing) -> str:
    """`window_hit: the fault must strike while …; the gate saw no message within 10 s`."""
    return f"{one.code}: {DEMANDS[one.code]}" + (f"; but {clean(one.why, 400)}" if one.why else "")
