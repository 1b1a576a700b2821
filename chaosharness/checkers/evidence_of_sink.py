"""What a fault of the sink, and a message that can never succeed, must have left in the ledger.

Goes in: a `Case` and the injection. Comes out: what is missing, in words, or None; `evidence_of_fault` asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from chaosharness.checkers.evidence_of_replica import disconnected
from chaosharness.checkers.facts import Seen, after
from chaosharness.checkers.hit import parse_link
from chaosharness.checkers.sets import Case
from chaosharness.model.event import Kind

Rule = Callable[[Case, Seen], str | None]
APPLIED = (Kind.EFFECT, Kind.REPLAY, Kind.KEY_REUSED)


def _outage(case: Case, injected: Seen) -> str | None:
    """The sink refused the held request: it is the first that the outage met."""
    gate = case.hit.gate
    refused = after(case.facts.about(case.aimed.key, Kind.REFUSED), gate.at) if gate else []
    return None if any(seen.wire == case.hit.wire for seen in refused) else "the sink did not refuse the held request"


def _apply_late(case: Case, injected: Seen) -> str | None:
    """The caller closed its connection while its request was held, and then it was applied."""
    gate = case.hit.gate
    if gate is None or not disconnected(case, "client", gate.at):
        return "the caller did not close its connection while its request was held"
    applied = after(case.facts.about(case.aimed.key, *APPLIED), gate.at)
    if not any(seen.wire == case.hit.wire for seen in applied):
        return "the request was not applied after its caller had given up"
    return None


def _reject(case: Case, injected: Seen) -> str | None:
    """Refused from the hold on, and never applied after that."""
    missing = _outage(case, injected)
    gate, held = case.hit.gate, case.hit.link
    later = after(case.facts.effects.get(case.aimed.key, ()), gate.at) if gate else []
    if missing is None and held and any((at := parse_link(s.event.link)) and at.server == held.server for s in later):
        return "the sink took after all what it was to refuse for good"
    return missing


def _malformed(case: Case, injected: Seen) -> str | None:
    """Spoiled before it was published."""
    invoked = case.facts.about(case.aimed.key, Kind.INVOKE)
    return None if any(seen.get("spoiled") is True for seen in invoked) else "the message was published as it should be"


def _killer(case: Case, injected: Seen) -> str | None:
    """For every time that it was held: SIGKILL, no process left, the held connection at its end of file."""
    holds = _holds(case)
    if not holds:
        return "the message was never in anybody's hands"
    for hold in holds:
        victim = (hold.event.link or "").partition(">")[0]
        story = after(case.facts.of(Kind.SIGNALLED, Kind.STARTED, Kind.EXITED), hold.at)
        own = [seen for seen in story if seen.text("instance") == victim]
        if not own or own[0].text("signal") != "kill":
            return f"no SIGKILL of {victim} after the message was held"
        exits = itertools.takewhile(lambda seen: seen.event.kind is Kind.EXITED, own[1:])
        if not any(seen.get("gone") is True for seen in exits):
            return f"no record that all processes of {victim} were gone"
        ends = [seen for seen in after(case.facts.of(Kind.DISCONNECT), own[0].at) if seen.wire == hold.wire]
        if not ends or ends[0].text("by") != "client":
            return f"the connection of {victim} that held it did not reach end of file after the kill"
    return None


def _holds(case: Case) -> list[Seen]:
    """Each time that the aimed gate, or one that was armed after it, held the aimed key."""
    own = case.aimed.gate
    held = case.facts.about(case.aimed.key, Kind.GATE_HELD)
    return [seen for seen in held if (name := seen.text("gate")) and (name == own or name.startswith(f"{own}-"))]


SINK: Mapping[str, Rule] = {
    "outage": _outage,
    "apply-late": _apply_late,
    "reject": _reject,
    "malformed": _malformed,
    "killer": _killer,
}
"""Fault → what it must have left."""
