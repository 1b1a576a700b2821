"""What a fault of the broker must have left in the ledger (see `evidence_of_fault`).

Goes in: a `Case`, the `fault_injected`. Comes out: what is missing, in words, or None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from chaosharness.checkers.evidence_of_replica import Rule, sent_on
from chaosharness.checkers.facts import Seen, after, first
from chaosharness.checkers.hit import parse_link
from chaosharness.checkers.sets import Case
from chaosharness.model.address import BROKER, LinkId
from chaosharness.model.event import Kind

TIMED_OUT = re.compile("time[d -]*out", re.IGNORECASE)
"""What a broker says in the reason for closing a channel whose consumer was too slow."""


def _ended(fault: str, signal: str, *closes: str) -> Rule:
    """Signal, the process gone, the replica's connection to it closed, and the next incarnation started.

    `closes`: who may have closed the connection first.
    """

    def rule(case: Case, injected: Seen) -> str | None:
        sent = case.hit.signalled.get(fault)
        if sent is None or sent.text("signal") != signal:
            return f"no SIG{signal.upper()} of the broker after the message was held"
        name = sent.text("instance")
        gone = first(s for s in after(case.facts.of(Kind.EXITED), sent.at) if s.text("instance") == name)
        if gone is None:
            return f"no record that {name} was gone"
        if not _closed(case, fault, sent.at, closes):
            return "the broker's end of the held connection did not close after the signal"
        if not any(seen.text("instance") == name for seen in after(case.facts.of(Kind.STARTED), gone.at)):
            return f"{name} was not started again"
        return sent_on(case) if _held_at_broker(case) else None

    return rule


def _closed(case: Case, fault: str, since: int, by: tuple[str, ...]) -> bool:
    """The held connection, or, of a message that was held elsewhere, the replica's to the broker.

    One that a fault before this one had ended need not end again.
    """
    ends = case.facts.of(Kind.DISCONNECT)
    if not _held_at_broker(case):
        return any(seen.text("by") in by and _is_its_broker_link(case, seen) for seen in after(ends, since))
    gate = case.hit.gate
    held = [seen for seen in ends if seen.wire == case.hit.wire and gate is not None and seen.at > gate.at]
    if held and held[0].at < since:
        return case.aimed.faults.index(fault) > 0
    return bool(held) and held[0].text("by") in by


def _freeze(case: Case, injected: Seen) -> str | None:
    """Stopped, and made to run again; it did not end meanwhile."""
    sent = case.hit.signalled.get("broker-freeze")
    if sent is None or sent.text("signal") != "freeze":
        return "the broker was not frozen after the message was held"
    name = sent.text("instance")
    later = [s for s in after(case.facts.of(Kind.SIGNALLED), sent.at) if s.text("instance") == name]
    thawed = first(s for s in later if s.text("signal") == "thaw")
    if thawed is None:
        return f"{name} was never thawed"
    exits = [s for s in after(case.facts.of(Kind.EXITED), sent.at) if s.text("instance") == name and s.at < thawed.at]
    return f"{name} ended while it was frozen" if exits else None


def _alarm(case: Case, injected: Seen) -> str | None:
    """The broker said that it is short, to the producer or, of one that is not told, of itself."""
    gate, said = case.hit.gate, injected.get("evidence")
    told = gate is not None and any(s.wire == gate.wire for s in after(case.facts.of(Kind.BLOCKED), gate.at))
    if not told and not (isinstance(said, Mapping) and said.get("alarmed") is True):
        return "nobody was told of an alarm"
    return None


def _slow(case: Case, injected: Seen) -> str | None:
    """The broker closed the replica's channel, for its time-out, while the message was held; then it went on."""
    gate, released = case.hit.gate, case.hit.released
    if gate is None or released is None:
        return "the message was not held, or never let go"
    closed = first(
        seen
        for seen in after(case.facts.of(Kind.CLOSED), gate.at)
        if seen.text("by") == "server"
        and TIMED_OUT.search(seen.text("reason") or "")
        and _is_its_broker_link(case, seen)
    )
    if closed is None or closed.at > released.at:
        return "the broker took nothing back while the message was held"
    return None if released.get("forwarded") is True else "what was held did not go on"


def _held_at_broker(case: Case) -> bool:
    return case.hit.link is not None and case.hit.link.server == BROKER


def _is_its_broker_link(case: Case, seen: Seen) -> bool:
    link, held = parse_link(seen.event.link), case.hit.link
    return link is not None and held is not None and _of(link) == _of(held) and link.server == BROKER


def _of(link: LinkId) -> tuple[str, int]:
    return link.service, link.replica


ON_BROKER: Mapping[str, Rule] = {
    "broker-kill": _ended("broker-kill", "kill", "server"),
    # Told of its end, a client may close before the broker does.
    "broker-restart": _ended("broker-restart", "term", "server", "client"),
    "broker-freeze": _freeze,
    "alarm": _alarm,
    "slow": _slow,
}
"""Fault → what it must have left."""
