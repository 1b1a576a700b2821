"""What a fault of a link must have left in the ledger (see `evidence_of_fault`).

Goes in: a `Case`, the `fault_injected`. Comes out: what is missing, in words, or None.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaosharness.checkers.evidence_of_replica import Rule, disconnected, sent_on
from chaosharness.checkers.facts import Seen, link_of
from chaosharness.checkers.hit import parse_link
from chaosharness.checkers.sets import Case
from chaosharness.model.address import BROKER

OUTGOING = frozenset({"publish", "settle", "request", "record"})
"""Points of a gate at which what is held is on its way from the system under test."""
IN, OUT = "in", "out"


def _black_hole(*ways: str) -> Rule:
    """The toxic, read back, is on the held replica's link to the broker; what was on its way into it went down."""

    def rule(case: Case, injected: Seen) -> str | None:
        gate, held = case.hit.gate, case.hit.link
        if why := _not_its_broker_link(case, injected):
            return why
        if gate is None or held is None or held.server != BROKER:
            return None
        cuts = (OUT if gate.text("point") in OUTGOING else IN) in ways
        if cuts and (case.hit.released is None or case.hit.released.get("forwarded") is not False):
            return "what was held was not thrown away: it may have crossed the partition"
        return None

    return rule


def _bad_link(case: Case, injected: Seen) -> str | None:
    """The toxics, read back, are on the link where the message was held, and what was held went on into them."""
    bad, held = parse_link(link_of(injected)), case.hit.link
    if bad is None:
        return "no record of the link that was made bad"
    if bad != held:
        return f"the link that was made bad is {bad}, the message was held on {held}"
    released = case.hit.released
    if released is None or released.get("forwarded") is not True or released.at < injected.at:
        return "what was held did not go on while the link was bad"
    return None


def _reset(case: Case, injected: Seen) -> str | None:
    """The toxics, read back, are on the link where the message was held; its connection was closed, with all on it.

    By the tap, or by the toxics before that, where something else passed on it.
    """
    cut, held = parse_link(link_of(injected)), case.hit.link
    if cut is None or cut != held:
        return f"the link that was reset is {cut}, the message was held on {held}"
    struck = case.hit.struck
    if struck is None or not any(disconnected(case, by, struck) for by in ("tap", "client")):
        return "the held connection was not closed"
    return sent_on(case)


def _refuse(case: Case, injected: Seen) -> str | None:
    """What was connected was closed. That nothing connected meanwhile is a part of the heal's own evidence, which is
    recorded a little later than new connections are taken.
    """
    if why := _not_its_broker_link(case, injected):
        return why
    struck = case.hit.struck
    if struck is None or not disconnected(case, "client", struck):
        return "the held connection did not reach end of file"
    return sent_on(case)


def _not_its_broker_link(case: Case, injected: Seen) -> str | None:
    cut, held = parse_link(link_of(injected)), case.hit.link
    if cut is None:
        return "no record of the link that was cut off"
    if held is None or (cut.service, cut.replica, cut.server) != (held.service, held.replica, BROKER):
        return f"the link that was cut off is {cut}, the message was held on {held}"
    return None


LINK: Mapping[str, Rule] = {
    "partition": _black_hole(IN, OUT),
    "partition-in": _black_hole(IN),
    "partition-out": _black_hole(OUT),
    "latency": _bad_link,
    "bandwidth": _bad_link,
    "slice": _bad_link,
    "reset": _reset,
    "refuse": _refuse,
}
"""Fault → what it must have left."""
