"""One pass over a history: every question that the checkers ask is a look-up afterwards.

Goes in: a `History`. Comes out: frozen `Facts`. Nothing is decided here. Data of the wrong shape reads as absent: an
observation that cannot be read proves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from chaosharness.model.event import Event, Kind
from chaosharness.model.history import History

Wire = tuple[str | None, int | None]
"""(link, connection number): one connection."""


class Seen(NamedTuple):
    """An event and its place in the history: `at` orders events as the history does."""

    at: int
    event: Event

    def get(self, name: str) -> Any:
        return self.event.data.get(name)

    def text(self, name: str) -> str | None:
        """A name, or None where there is none: safe to look up in a set."""
        found = self.event.data.get(name)
        return found if isinstance(found, str) else None

    @property
    def wire(self) -> Wire:
        return self.event.link, self.event.conn

    @property
    def discarded(self) -> bool:
        """Sent, and thrown away at the tap: it never arrived."""
        return self.get("discarded") is True

    @property
    def settles(self) -> bool:
        """A settle that reached the broker and asked for no further delivery."""
        return not self.discarded and self.get("requeue") is not True


@dataclass(frozen=True, slots=True)
class Operation:
    """One attempt to publish one key: an invocation and at most one completion."""

    key: str
    invoked: Seen | None
    completed: Seen | None = None

    @property
    def by_workload(self) -> bool:
        return self.invoked is not None and self.invoked.text("by") != "republish"

    @property
    def outcome(self) -> str:
        """`ok`, `fail`, or `info`: indeterminate, also where no completion was seen."""
        found = self.completed.text("outcome") if self.completed else None
        return found if found in ("ok", "fail") else "info"

    @property
    def answered(self) -> bool:
        """The caller was told how it ended; `ok` and `fail` are answers, `info` is one only where it says so."""
        return self.outcome != "info" or (self.completed is not None and self.completed.get("told") is True)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a history says, by kind, by key, and by operation."""

    events: Sequence[Event]
    gaps: Sequence[str]
    kinds: Mapping[Kind, Sequence[Seen]]
    keyed: Mapping[tuple[Kind, str], Sequence[Seen]]
    effects: Mapping[str, Sequence[Seen]]
    """Distinct effects of a key: an id that was recorded twice counts once."""
    operations: Mapping[str, Sequence[Operation]]
    owes: Mapping[str, int | Mapping[str, int]]
    """Key → effects owed, in all or by sink, where the message is of a payload class with a count of its own."""
    unended: frozenset[str]
    """Origins whose last event is not `end`."""

    def of(self, *kinds: Kind) -> list[Seen]:
        """Events of these kinds, in order."""
        found = [seen for kind in kinds for seen in self.kinds.get(kind, ())]
        return sorted(found, key=lambda seen: seen.at) if len(kinds) > 1 else found

    def about(self, key: str, *kinds: Kind) -> list[Seen]:
        """Events of these kinds about one key, in order."""
        found = [seen for kind in kinds for seen in self.keyed.get((kind, key), ())]
        return sorted(found, key=lambda seen: seen.at) if len(kinds) > 1 else found

    def keys(self, kind: Kind) -> frozenset[str]:
        """All keys that events of this kind name."""
        return frozenset(key for seen in self.kinds.get(kind, ()) for key in seen.event.keys)

    def workload(self) -> list[Operation]:
        """The workload's own operations, republishing left out."""
        return [op for ops in self.operations.values() for op in ops if op.by_workload]


def first(seen: Iterable[Seen]) -> Seen | None:
    """The first of them, or None."""
    return next(iter(seen), None)


def last(seen: Sequence[Seen]) -> Seen | None:
    """The last of them, or None."""
    return seen[-1] if seen else None


def after(seen: Iterable[Seen], at: int) -> list[Seen]:
    """Those later in the history than the place `at`."""
    return [one for one in seen if one.at > at]


def link_of(seen: Seen) -> str | None:
    """The link that an event of the harness speaks of: its own, or the one in its data."""
    return seen.event.link or seen.text("link")


def gather(history: History) -> Facts:
    """Reads a history once."""
    kinds: dict[Kind, list[Seen]] = defaultdict(list)
    keyed: dict[tuple[Kind, str], list[Seen]] = defaultdict(list)
    latest: dict[str, Kind] = {}
    for at, event in enumerate(history.events):
        seen = Seen(at, event)
        kinds[event.kind].append(seen)
        for key in event.keys:
            keyed[event.kind, key].append(seen)
        latest[event.origin] = event.kind
    return Facts(
        events=history.events,
        gaps=history.gaps,
        kinds=dict(kinds),
        keyed=dict(keyed),
        effects=_effects(kinds[Kind.EFFECT]),
        operations=_operations(kinds[Kind.INVOKE], kinds[Kind.COMPLETE]),
        owes=_owes(kinds[Kind.INVOKE]),
        unended=frozenset(origin for origin, kind in latest.items() if kind is not Kind.END),
    )


def _effects(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    distinct: dict[str, dict[object, Seen]] = defaultdict(dict)
    for one in seen:
        name = one.get("effect")
        identity = (str(one.get("sink")), str(name)) if name is not None else one.at
        for key in one.event.keys:
            distinct[key].setdefault(identity, one)
    return {key: list(found.values()) for key, found in distinct.items()}


def _owes(invoked: Sequence[Seen]) -> dict[str, int | Mapping[str, int]]:
    owes: dict[str, int | Mapping[str, int]] = {}
    for seen in invoked:
        counts, count = seen.get("counts"), seen.get("count")
        if isinstance(counts, Mapping) and counts and all(_is_count(one) for one in counts.values()):
            owed: int | Mapping[str, int] = {str(sink): one for sink, one in counts.items()}
        elif _is_count(count):
            owed = count
        else:
            continue
        for key in seen.event.keys:
            owes.setdefault(key, owed)
    return owes


def _is_count(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and found >= 0


def _operations(invoked: Sequence[Seen], completed: Sequence[Seen]) -> dict[str, list[Operation]]:
    """Pairs by `op` and key; a completion without its invocation still says what it says."""
    ends: dict[tuple[str, str], Seen] = {}
    untold: dict[str, Seen] = {}
    for seen in completed:
        name = str(seen.get("op"))
        untold.setdefault(name, seen)
        for key in seen.event.keys:
            ends.setdefault((name, key), seen)
    operations: dict[str, list[Operation]] = defaultdict(list)
    for seen in invoked:
        name = str(seen.get("op"))
        for key in seen.event.keys:
            end = ends.pop((name, key), None)
            if end is None and name in untold and not untold[name].event.keys:
                end = untold[name]
            operations[key].append(Operation(key, seen, end))
    for (_, key), seen in ends.items():
        operations[key].append(Operation(key, None, seen))
    return dict(operations)
