"""What the faults of a store share: they need a message that the flow has recorded there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaosharness.model.event import Event, Kind
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, StoreTarget, Target


def records(target: Target, store: StoreTarget) -> Sequence[Event]:
    """What the tap has seen the flow record of the aimed message, so far."""
    return [
        event
        for event in target.witness.so_far()
        if event.kind is Kind.RECORD
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


def declined(why: str) -> Injection:
    return Injection(Evidence(False, why), declined=why)


def no_store() -> Injection:
    return declined("the flow declares no store")


def times_to_live(recorded: Sequence[Event]) -> Mapping[str, float | None]:
    """Entry → its latest time to live as seen on the wire (None: for ever); those that are not known are left out."""
    lives: dict[str, float | None] = {}
    for event in recorded:
        entry: Any = event.data.get("entry")
        if entry is not None and "ttl_s" in event.data:
            lives[entry] = event.data["ttl_s"]
        else:
            lives.pop(str(entry), None)
    return lives
