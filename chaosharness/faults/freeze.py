"""`freeze`: the replica that holds the message stops as in a long collection or a moved machine, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.process import harness_holds
from chaosharness.faults.second import await_second
from chaosharness.faults.target import delivered_on
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Signal
from chaosharness.ports.plugin import Injection, Release, Target

LONGEST_S = 8.0
"""So long the broker's own reaction to lost heartbeats is waited for; beyond that the harness acts on its behalf."""
MARGIN_S = 2.0
CLOSED_WITHIN_S = 2.0
HANDED_OVER_WITHIN_S = 3.0


class Freeze:
    """SIGSTOP of the whole tree, until the broker has given it up and another replica, if any, has its message; then
    what is held at a sink goes on, and so does the replica: a zombie that knows of nothing."""

    id = "freeze"
    action = Action.HOLD
    release = Release.FORWARD
    """What was held on the way to the broker went down with its connection."""
    until = "at_once"
    leaves_survivors = True
    deadline_s = 30.0

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: every thread seen stopped, and the replica's connection to the broker closed meanwhile."""
        if target.instance is None:
            yield harness_holds("freeze")
            return
        mark = len(target.witness.so_far())
        injection = Injection(target.instance.signal(Signal.FREEZE))
        try:
            if injection.evidence.ok:
                injection.evidence = _given_up(target, injection.evidence, mark)
            yield injection
        finally:
            injection.healed = target.instance.signal(Signal.THAW)


def _given_up(target: Target, frozen: Evidence, mark: int) -> Evidence:
    """The broker's reaction, or the harness's on its behalf; then the redelivery to another replica, if there is one.

    Facts: `heartbeat_s` (None: not known), `closed_by` (`server`; `tap`: the harness), `handed_over_to` (a link).
    """
    conn = delivered_on(target, mark)
    heartbeat_s = _heartbeat_s(target, conn)

    def closed(event: Event) -> bool:
        of_it = event.link == target.link.id and (conn is None or event.conn == conn)
        return event.kind is Kind.DISCONNECT and of_it

    seen = None
    if heartbeat_s and 2 * heartbeat_s + MARGIN_S <= LONGEST_S:
        within_s = 2 * heartbeat_s + MARGIN_S
        seen = target.witness.wait("the broker to miss the heartbeats of a frozen replica", within_s, closed, mark)
    said = f"the broker, after lost heartbeats of {heartbeat_s:g} s" if seen else ""
    if seen is None:
        severed = target.sever()
        seen = target.witness.wait(f"the end of {target.link.id}", CLOSED_WITHIN_S, closed, mark)
        agreed = "none is agreed upon" if not heartbeat_s else f"{heartbeat_s:g} s are agreed upon"
        said = f"the harness, on behalf of a broker that hears no heartbeat ({agreed}): {severed.what}"
    facts = {
        **frozen.facts,
        "link": target.link.id,
        "connection": conn,
        "heartbeat_s": heartbeat_s,
        "closed_by": seen.data.get("by") if seen else None,
    }
    if seen is None:
        return Evidence(False, f"{frozen.what}; its connection to the broker did not close: {said}", facts)
    over = _handed_over(target, mark) if target.others else None
    facts["handed_over_to"] = over
    if over and target.ticket.hold.link != target.link.id:
        await_second(target, mark)
    whom = "" if not target.others else f"; then {target.key} was handed to {over or 'nobody else in time'}"
    return Evidence(True, f"{frozen.what}; its connection to the broker was closed by {said}{whom}", facts)


def _heartbeat_s(target: Target, conn: int | None) -> float | None:
    """As client and broker agreed upon; 0: none; None: their protocol says nothing of it."""
    for event in target.witness.so_far():
        if event.kind is Kind.TUNED and event.link == target.link.id and event.conn == conn:
            return float(event.data["heartbeat_s"])
    return None


def _handed_over(target: Target, mark: int) -> str | None:
    """The link of the other replica that got the message."""

    def to_another(event: Event) -> bool:
        elsewhere = event.link != target.link.id and not event.data.get("discarded")
        return event.kind is Kind.DELIVER and target.key in event.keys and elsewhere

    found = target.witness.wait(f"{target.key} to be handed to another replica", HANDED_OVER_WITHIN_S, to_another, mark)
    return found.link if found else None
