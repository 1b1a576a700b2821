"""What a fault of a replica's processes must have left in the ledger (see `evidence_of_fault`).

Goes in: a `Case`, the `fault_injected`. Comes out: what is missing, in words, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chaosharness.checkers.facts import Seen, after, first, link_of
from chaosharness.checkers.hit import parse_link
from chaosharness.checkers.sets import Case
from chaosharness.model.address import BROKER
from chaosharness.model.event import Kind

Rule = Callable[[Case, Seen], str | None]


def disconnected(case: Case, by: str, since: int) -> bool:
    """Whether the held connection ended at that end, and while it was held."""
    ends = [seen for seen in after(case.facts.of(Kind.DISCONNECT), since) if seen.wire == case.hit.wire]
    return any(seen.text("by") == by for seen in ends[:1])


def sent_on(case: Case) -> str | None:
    """What is wrong where what was held went on although it must not."""
    released = case.hit.released
    if released and released.get("forwarded") is not False:
        return "what was held was sent on: the fault did not keep it"
    return None


def _crash(case: Case, injected: Seen) -> str | None:
    """Signal, then no process left, then the held connection at its end of file, never forwarded."""
    signal = _signal(case, "crash", "kill")
    if signal is None:
        return f"no SIGKILL of {case.hit.instance} after the message was held"
    if not any(seen.get("gone") is True for seen in _exits(case, signal)):
        return f"no record that all processes of {case.hit.instance} were gone"
    if not disconnected(case, "client", signal.at):
        return "the held connection did not reach end of file after the kill: another process may have held it"
    return sent_on(case)


def _crash_child(case: Case, injected: Seen) -> str | None:
    """SIGKILL to one child, then the held connection at its end of file: it was the child's."""
    signal = _signal(case, "crash-child", "kill", "child")
    if signal is None:
        return f"no SIGKILL of a child of {case.hit.instance} after the message was held"
    if not disconnected(case, "client", signal.at):
        return "the held connection did not reach end of file after the kill: another child may have held it"
    return sent_on(case)


def _crash_parent(case: Case, injected: Seen) -> str | None:
    """SIGKILL to the parent, which has exited; if its children end with it, that is the service's own precaution."""
    signal = _signal(case, "crash-parent", "kill", "parent")
    if signal is None:
        return f"no SIGKILL of the first process of {case.hit.instance} after the message was held"
    return None if _exits(case, signal) else f"no record that the first process of {case.hit.instance} was gone"


def _ended(fault: str) -> Rule:
    """SIGTERM to the parent, and its exit."""

    def rule(case: Case, injected: Seen) -> str | None:
        signal = _signal(case, fault, "term", "parent")
        if signal is None:
            return f"no SIGTERM of {case.hit.instance} after the message was held"
        return None if _exits(case, signal) else f"no record that {case.hit.instance} ended after SIGTERM"

    return rule


def _freeze(case: Case, injected: Seen) -> str | None:
    """Frozen as a whole, its connection to the broker closed by broker or harness meanwhile, thawed after that."""
    signal = _signal(case, "freeze", "freeze", "tree")
    if signal is None:
        return f"{case.hit.instance} was not frozen after the message was held"
    sent = after(case.facts.of(Kind.SIGNALLED), signal.at)
    thawed = first(s for s in sent if s.text("instance") == case.hit.instance and s.text("signal") == "thaw")
    if thawed is None:
        return f"{case.hit.instance} was never thawed"
    closed = [
        seen
        for seen in after(case.facts.of(Kind.DISCONNECT), signal.at)
        if seen.at < thawed.at and seen.text("by") in ("server", "tap") and _is_its_broker_link(case, seen)
    ]
    return None if closed else f"{case.hit.instance} kept its connection to the broker while it was frozen"


def _join(case: Case, injected: Seen) -> str | None:
    """A replica that was started while the message was held, and subscribed before it went on."""
    gate, link, released = case.hit.gate, case.hit.link, case.hit.released
    if gate is None or link is None:
        return "nothing was held"
    until = released.at if released else len(case.facts.events)
    started = {
        seen.text("instance")
        for seen in after(case.facts.of(Kind.STARTED), gate.at)
        if seen.get("incarnation") == 1 and (seen.text("instance") or "").startswith(f"{link.service}.")
    }
    subscribed = {
        f"{found.service}.{found.replica}"
        for seen in after(case.facts.of(Kind.SUBSCRIBED), gate.at)
        if seen.get("source") is True and seen.at < until and (found := parse_link(link_of(seen)))
    }
    return None if started & subscribed else "no replica started and subscribed while the message was held"


def _signal(case: Case, fault: str, signal: str, scope: str | None = None) -> Seen | None:
    found = case.hit.signalled.get(fault)
    if found is None or found.text("signal") != signal or (scope and found.text("scope") != scope):
        return None
    return found


def _exits(case: Case, signal: Seen) -> list[Seen]:
    """Of the replica's commands, after the signal."""
    return [s for s in after(case.facts.of(Kind.EXITED), signal.at) if s.text("instance") == case.hit.instance]


def _is_its_broker_link(case: Case, seen: Seen) -> bool:
    link, held = parse_link(link_of(seen)), case.hit.link
    return (
        link is not None
        and held is not None
        and (link.service, link.replica, link.server) == (held.service, held.replica, BROKER)
    )


REPLICA: Mapping[str, Rule] = {
    "crash": _crash,
    "crash-child": _crash_child,
    "crash-parent": _crash_parent,
    "term": _ended("term"),
    "leave": _ended("leave"),
    "freeze": _freeze,
    "join": _join,
}
"""Fault → what it must have left."""
