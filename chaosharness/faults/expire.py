"""`expire`: what the store remembers of the message expires, as by its own time to live, before it is needed again.

Applicable where that time, as seen on the wire, is shorter than the flow's `redeliver_within_s`: a message may then
come again, or still be worked on, when the entry is gone. Nothing else is shortened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.second import await_second
from chaosharness.faults.store import no_store, not_recorded, records, times_to_live
from chaosharness.faults.target import declined
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

AGAIN_WITHIN_S = 3.0
"""One that works on a message at a time connects again only when the held one is done."""


class Expire:
    """At a held ack: the entry expires, then the message comes again. At a held request (a lock, a claim): the entry
    expires while the work goes on, the broker hands the message over again, then the first one goes on."""

    id = "expire"
    action = Action.HOLD
    release = Release.FORWARD
    """A held ack is thrown away by the fault itself."""
    until = "at_once"
    leaves_survivors = True
    deadline_s = 15.0

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the store's: the entries had so long to live, and are gone."""
        injection = _expired(target)
        if injection.declined is None and injection.evidence.ok:
            injection.evidence = _handed_over(target, injection.evidence)
        yield injection
        injection.healed = Evidence(True, "nothing to heal: what has expired stays so")


def _expired(target: Target) -> Injection:
    store, within_s = target.store, target.promise.redeliver_within_s
    if store is None or within_s is None:
        return no_store() if store is None else declined("the flow declares no redeliver_within_s")
    recorded = records(target, store)
    if not recorded:
        return not_recorded(store)
    lives = times_to_live(target, store)
    known = {str(event.data.get("entry")) for event in recorded} <= set(lives)
    if known and all(lives_s is None or lives_s >= within_s for lives_s in lives.values()):
        shown = ", ".join(f"{entry}: {'for ever' if s is None else f'{s:g} s'}" for entry, s in lives.items())
        return declined(f"no time to live seen on the wire is shorter than redeliver_within_s = {within_s:g} ({shown})")
    evidence = store.store.expire(store.server, store.namespace, target.key, within_s)
    return Injection(evidence) if evidence.facts.get("expired") else declined(evidence.what)


def _handed_over(target: Target, expired: Evidence) -> Evidence:
    mark = len(target.witness.so_far())
    hold = target.ticket.hold
    at_work = hold.link != target.link.id
    if not at_work:
        target.ticket.discard()
    severed = target.sever()
    facts = {**expired.facts, **severed.facts, "at_work": at_work}
    what = f"{expired.what}; {severed.what}"
    if at_work:
        what += f"; {_second(target, mark)}"
    return Evidence(severed.ok, what, facts)


def _second(target: Target, mark: int) -> str:
    """Whether somebody else took the message up while the first one's request was held."""

    def again(event: Event) -> bool:
        return event.kind is Kind.DELIVER and target.key in event.keys and not event.data.get("discarded", False)

    handed = target.witness.wait(f"{target.key} to be handed over again", AGAIN_WITHIN_S, again, mark)
    if handed is None:
        return "the held request goes on before the message is handed over again"
    await_second(target, mark)
    return f"{target.key} was handed over on {handed.link} while the first request was held"
