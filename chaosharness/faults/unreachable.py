"""`unreachable`: nothing passes between the flow's replicas and their store until the message has come again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from chaosharness.faults.store import no_store, not_recorded, records
from chaosharness.faults.target import declined
from chaosharness.links.toxics import BLACK_HOLE_IN, BLACK_HOLE_OUT
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

AGAIN_WITHIN_S = 15.0
"""A client of a broker may take seconds to connect again; one that waits for its store with each message, longer."""
DEALT_WITH_WITHIN_S = 8.0
"""What fails open does so when its client's time-out is over; what waits for its store is left to wait no longer."""
DEALT_WITH = (Kind.EFFECT, Kind.REPLAY, Kind.SETTLE)


class Unreachable:
    """A black hole in both directions on every replica's link to the store; its heal closes what was connected."""

    id = "unreachable"
    action = Action.HOLD
    release = Release.SEVER
    until = "at_once"
    leaves_survivors = True
    deadline_s = 15.0

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the toxics, read back from the held replica's link, and from those of the others."""
        store = target.store
        if store is None or not records(target, store):
            yield not_recorded(store) if store else no_store()
            return
        if store.link is None:
            yield declined(f"the replica has no link to the store {store.use.name}")
            return
        links = (store.link, *store.others)
        with ExitStack() as ends:
            applied = [ends.enter_context(link.apply(BLACK_HOLE_IN, BLACK_HOLE_OUT)) for link in links]
            mark = len(target.witness.so_far())
            facts = {**applied[0].facts, "links": [link.id for link in links]}
            injection = Injection(
                Evidence(all(one.ok for one in applied), "; ".join(one.what for one in applied), facts)
            )
            yield injection
            meanwhile = _dealt_with(target, mark)
        injection.healed = Evidence(True, f"the toxics are gone, the connections closed; {meanwhile}")


def _dealt_with(target: Target, mark: int) -> str:
    """Waits until the message has come again and something came of it; says which of the two was seen."""

    def about(*kinds: Kind) -> Callable[[Event], bool]:
        return lambda event: event.kind in kinds and target.key in event.keys and not event.data.get("discarded", False)

    wait = target.witness.wait
    again = wait(f"{target.key} to be handed over again", AGAIN_WITHIN_S, about(Kind.DELIVER), mark)
    if again is None:
        return f"meanwhile {target.key} was not handed over again"
    handed = target.witness.so_far().index(again)
    then = wait(f"something to come of {target.key}", DEALT_WITH_WITHIN_S, about(*DEALT_WITH), handed)
    came = f"and then: {then.kind.value}" if then else "and nothing had come of it"
    return f"meanwhile {target.key} was handed over again, {came}"
