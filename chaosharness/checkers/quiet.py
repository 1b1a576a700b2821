"""`quiet_end`: when the sinks closed, nothing could act any more.

Something can still act where the fault left a process alive that had met it (all but a crash of the whole tree, an end
after SIGTERM, and a republish, which breaks nothing), where a request is under way, or where a producer has never
answered. Then the harness waits, and records `quiet`, after the drain and before it stops the flow's services. Where
nothing can act, no wait is asked for; of a fault that is not known here, the harness must at least say so by a `quiet`
of its own.
"""

from __future__ import annotations

from collections import Counter

from chaosharness.checkers.facts import Seen, Wire, after, last
from chaosharness.checkers.sets import DRAIN_ENDS, Case
from chaosharness.model.event import Kind
from chaosharness.model.verdict import Code, Missing
from chaosharness.model.window import FAULTS

LEAVES_NOBODY = frozenset({"crash", "term", "leave", "republish"})
"""Faults after which no process goes on, unaware, with what it had."""
ENDS_A_REQUEST = (Kind.EFFECT, Kind.REPLAY, Kind.REFUSED, Kind.KEY_REUSED, Kind.DISCARDED)


def quiet_end(case: Case) -> Missing | None:
    """The flow's services were stopped after the drain, and nothing could act when they were."""
    facts, code = case.facts, Code.QUIET_END
    ends = facts.of(*DRAIN_ENDS, Kind.RESTARTED_AFRESH)
    drained = [seen for seen in ends if seen.event.kind in DRAIN_ENDS]
    stops = after(facts.of(Kind.STOPPED), ends[-1].at) if drained else []
    if not stops:
        return Missing(code, "the flow's services were not stopped after the drain")
    running = sorted(set(case.aimed.stopped_by) - _stopped(case, stops[-1].at))
    if running:
        return Missing(code, f"not stopped after the drain: {', '.join(running)}")
    quiet = [seen for seen in after(facts.of(Kind.QUIET), drained[0].at) if seen.at < stops[-1].at]
    could_act = _could_act(case, stops[0].at)
    if could_act and not any(_waited(seen) for seen in quiet):
        return Missing(code, f"nobody waited out what could still act before the stop: {could_act}")
    unknown = sorted(set(case.aimed.faults) - set(FAULTS))
    if unknown and not quiet:
        return Missing(code, f"nobody said whether anything could still act after {', '.join(unknown)}")
    return None


def _waited(quiet: Seen) -> bool:
    waited_s = quiet.get("waited_s")
    return isinstance(waited_s, int | float) and waited_s > 0


def _stopped(case: Case, until: int) -> set[str]:
    """Instances that the harness stopped after the drain, or whose processes were all gone and not started again."""
    found: set[str] = set()
    drained = case.facts.of(*DRAIN_ENDS)
    for seen in after(case.facts.of(Kind.STOPPED), drained[0].at):
        names = seen.get("instances")
        if isinstance(names, list | tuple):
            found.update(str(name) for name in names)
    for name in case.aimed.stopped_by:
        life = [s for s in case.facts.of(Kind.STARTED, Kind.EXITED) if s.text("instance") == name and s.at < until]
        end = last(life)
        if end and end.event.kind is Kind.EXITED and end.get("gone") is True:
            found.add(name)
    return found


def _could_act(case: Case, stop: int) -> str | None:
    survived = [fault for fault in case.aimed.faults if fault in FAULTS and fault not in LEAVES_NOBODY]
    if survived:
        return f"a process that {survived[0]} left alive"
    under_way = _under_way(case, stop)
    if under_way:
        return f"a request of {under_way} was under way"
    silent = sorted(op.key for op in case.facts.workload() if op.completed is None) if case.aimed.sut_producer else []
    return f"the producer has not answered for {silent[0]}" if silent else None


def _under_way(case: Case, stop: int) -> str | None:
    """A key whose request had no outcome when the services were stopped, on a connection that still stood."""
    open_requests: Counter[tuple[Wire, str]] = Counter()
    gone: set[Wire] = set()
    for seen in case.facts.of(Kind.REQUEST, Kind.DISCONNECT, *ENDS_A_REQUEST):
        if seen.at > stop:
            break
        if seen.event.kind is Kind.DISCONNECT:
            gone.add(seen.wire)
        for key in seen.event.keys:
            open_requests[seen.wire, key] += 1 if seen.event.kind is Kind.REQUEST else -1
    return next((key for (wire, key), count in open_requests.items() if count > 0 and wire not in gone), None)
