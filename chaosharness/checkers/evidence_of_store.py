"""What the faults of a store must have left in the ledger, beside their own word.

Goes in: a `Case` and the fault's `fault_injected`. Comes out: what is missing, in words, or None. What is done to a
store goes past its tap; so it counts only where the tap saw the flow record the aimed key there, and where the broker
was made to hand the message over again.
"""

from __future__ import annotations

from collections.abc import Callable

from chaosharness.checkers.facts import Seen, after, first, link_of
from chaosharness.checkers.hit import parse_link
from chaosharness.checkers.sets import Case
from chaosharness.model.address import BROKER, STORE, LinkId
from chaosharness.model.event import Kind


def _wipe(case: Case, injected: Seen) -> str | None:
    """The key was recorded; then the held ack was thrown away, and its connection to the broker closed."""
    return _recorded(case) or _handed_back(case)


def _restart(case: Case, injected: Seen) -> str | None:
    """As for `wipe`; and the store was asked to end, ended, and was started again."""
    asked = case.hit.signalled.get("restart")
    if asked is None or asked.text("signal") != "term":
        return "no SIGTERM of the store after the message was held"
    name = asked.text("instance")
    ended = first(seen for seen in after(case.facts.of(Kind.EXITED), asked.at) if seen.text("instance") == name)
    if ended is None or ended.get("gone") is not True:
        return f"no record that {name} had ended"
    if not any(seen.text("instance") == name for seen in after(case.facts.of(Kind.STARTED), ended.at)):
        return f"{name} was not started again"
    return _recorded(case) or _handed_back(case)


def _unreachable(case: Case, injected: Seen) -> str | None:
    """As for `wipe`; and the toxic, read back, is on the held replica's link to the store until the message comes."""
    cut, held = parse_link(link_of(injected)), case.hit.link
    if cut is None:
        return "no record of the link that was cut off"
    if held is None or _replica(cut) != _replica(held) or not cut.server.startswith(STORE):
        return f"the link that was cut off is {cut}, the message was held on {held}"
    healed = first(seen for seen in case.facts.of(Kind.FAULT_HEALED) if seen.text("fault") == "unreachable")
    again = [seen for seen in after(case.facts.about(case.aimed.key, Kind.DELIVER), injected.at) if not seen.discarded]
    if case.aimed.redelivers and healed and not any(seen.at < healed.at for seen in again):
        return f"{case.aimed.key} was not handed over again while the store could not be reached"
    return _recorded(case) or _handed_back(case)


def _expire(case: Case, injected: Seen) -> str | None:
    """As for `wipe`; at a held request the work went on instead, and the message came again."""
    missing = _recorded(case)
    held = case.hit.link
    if missing or held is None or held.server == BROKER:
        return missing or _handed_back(case)
    if not _severed(case):
        return f"no connection of {held.service}.{held.replica} to the broker was closed"
    gate = case.hit.gate
    again = after(case.facts.about(case.aimed.key, Kind.DELIVER), gate.at) if gate else []
    if case.aimed.redelivers and all(seen.discarded for seen in again):
        return f"{case.aimed.key} was not handed over again: nobody else worked on it"
    return None


def _recorded(case: Case) -> str | None:
    gate = case.hit.gate
    records = [seen for seen in case.facts.about(case.aimed.key, Kind.RECORD) if not seen.discarded]
    if gate and any(seen.at < gate.at for seen in records):
        return None
    return f"{case.aimed.key} had not been recorded in the store when it was held"


def _handed_back(case: Case) -> str | None:
    released = case.hit.released
    if released is None or released.get("forwarded") is not False:
        return "what was held was not thrown away: the broker may have settled the message"
    return None if _severed(case) else "the held replica's connection to the broker was not closed"


def _severed(case: Case) -> bool:
    """Whether the tap closed a connection of the held replica to the broker, after the message was held.

    A crash in the same scenario closes them all; its own evidence says so.
    """
    if "crash" in case.aimed.faults:
        return True
    gate, held = case.hit.gate, case.hit.link
    if gate is None or held is None:
        return False
    closed = [parse_link(seen.event.link) for seen in after(case.facts.of(Kind.SEVERED), gate.at)]
    return any(link and _replica(link) == _replica(held) and link.server == BROKER for link in closed)


def _replica(link: LinkId) -> tuple[str, int]:
    return link.service, link.replica


ON_STORE: dict[str, Callable[[Case, Seen], str | None]] = {
    "wipe": _wipe,
    "restart": _restart,
    "unreachable": _unreachable,
    "expire": _expire,
}
