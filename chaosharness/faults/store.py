"""What the faults of a store share: they need a message that the flow has recorded there."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from chaosharness.faults.target import declined
from chaosharness.model.event import Event, Kind
from chaosharness.ports.plugin import Injection, StoreTarget, Target


def records(target: Target, store: StoreTarget) -> Sequence[Event]:
    """What the tap has seen the flow record of the aimed message, so far."""
    return about(target, store, Kind.RECORD)


def about(target: Target, store: StoreTarget, *kinds: Kind) -> Sequence[Event]:
    """What the tap has seen of the aimed message in this store, so far."""
    return [
        event
        for event in target.witness.so_far()
        if event.kind in kinds
        and target.key in event.keys
        and event.data.get("store") == store.use.name
        and not event.data.get("discarded")
    ]


def not_recorded(store: StoreTarget) -> Injection:
    """There is nothing to take from it."""
    why = (
        f"the flow had recorded nothing of the message in the store {store.use.name} that names its key: "
        "nothing there could be missed"
    )
    return declined(why)


def no_store() -> Injection:
    return declined("the flow declares no store")


def times_to_live(target: Target, store: StoreTarget) -> Mapping[str, float | None]:
    """Entry → its latest time to live as seen on the wire (None: for ever); those that are not known are left out.

    What the store answered that it did not take (it was there already) gave no time to anything.
    """
    asked: defaultdict[tuple[str | None, int | None], deque[Event]] = defaultdict(deque)
    lives: dict[str, float | None] = {}
    for event in about(target, store, Kind.RECORD, Kind.RECORDED):
        waiting = asked[event.link, event.conn]
        if event.kind is Kind.RECORD:
            waiting.append(event)
            continue
        data = waiting.popleft().data if waiting else {}
        if event.data.get("ok") and "entry" in data:
            lives.pop(data["entry"], None)
            if "ttl_s" in data:
                lives[data["entry"]] = data["ttl_s"]
    return lives
