"""What the harness knows while a scenario runs: the ledger files followed, and every wait that is decided by them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from chaosharness.ledger.reader import Follower
from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Event, Kind
from chaosharness.model.wait import wait_for

T = TypeVar("T")

ORIGINS = ("harness", "relay", "keeper", "docker")
QUIET_KINDS = frozenset({Kind.STEP, Kind.NOTE, Kind.READY, Kind.KEPT_BACK, Kind.DRAIN_STARTED, Kind.QUIET})
"""What the harness itself writes while it waits: no sign of life of a system under test."""


class Observer:
    """State of the scenario so far; used by one thread. `poll` reads on, everything else is what was read."""

    def __init__(self, folder: Path) -> None:
        self._follower = Follower(folder, ORIGINS)
        self.subscribed: defaultdict[str, set[int]] = defaultdict(set)
        """link → connections with a live subscription to the source"""
        self.gates: dict[str, Event] = {}
        """gate → its latest event"""
        self.closed_by: dict[int, str] = {}
        """connection → whose end of file came first"""
        self.opened_ns: dict[int, int] = {}
        self.invoked: set[str] = set()
        self.counts: dict[str, int] = {}
        """key → effects owed, where its payload class says so"""
        self.completed: set[str] = set()
        self.owed: set[str] = set()
        """As the checkers have it: completed ok, confirmed, or settled by a consumer."""
        self.effects: defaultdict[str, int] = defaultdict(int)
        self.requests: dict[tuple[str, int], str] = {}
        """(link, connection) → key of the request that is being handled"""
        self.delivered: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        """key → (link, connection) of each delivery that reached its consumer"""
        self.places: set[str] = set()
        """other places of the broker that messages were seen to be moved to"""
        self.died_ns: dict[str, int] = {}
        """instance → when the last process of it was gone; not while orphans of an incarnation live beside the next"""
        self._alive: defaultdict[str, set[int]] = defaultdict(set)
        """instance → incarnations of which a process may live"""
        self.exits: defaultdict[str, list[int]] = defaultdict(list)
        """instance → exit codes that nobody asked for"""
        self.bounded: dict[str, str] = {}
        """instance → why the harness ended it"""
        self.events: list[Event] = []
        """All of them, as they were read."""
        self.last_activity = time.monotonic()

    def close(self) -> None:
        """Reads no more."""
        self._follower.close()

    def poll(self) -> None:
        """Reads what was written since."""
        for event in self._follower.poll():
            self._take(event)
            self.events.append(event)
            if event.kind not in QUIET_KINDS:
                self.last_activity = time.monotonic()

    def wait(
        self,
        what: str,
        timeout_s: float,
        check: Callable[[], T | None],
        *,
        last_seen: Callable[[], object] | None = None,
        error: type[Exception] = TimedOut,
    ) -> T:
        """`wait_for`, with a poll before each check."""

        def polled() -> T | None:
            self.poll()
            return check()

        return wait_for(what, timeout_s, polled, last_seen=last_seen, error=error)

    def first(self, what: str, timeout_s: float, match: Callable[[Event], bool], after: int = 0) -> Event | None:
        """The first event from place `after` on that matches; None when the time is over."""
        looked = after

        def look() -> Event | None:
            nonlocal looked
            fresh, looked = self.events[looked:], len(self.events)
            return next((event for event in fresh if match(event)), None)

        try:
            return self.wait(what, timeout_s, look)
        except TimedOut:
            return None

    def quiet_s(self) -> float:
        """Seconds since anything but the harness's own notes was recorded."""
        return time.monotonic() - self.last_activity

    def missing(self, count: int) -> set[str]:
        """Owed keys with fewer effects than `count`, or than the count of their own payload class."""
        return {key for key in self.owed if self.effects[key] < self.counts.get(key, count)}

    def gone_for_good(self, key: str) -> bool:
        """Whether no living process can still have the message: each that received it has died since."""
        return all(
            self.died_ns.get(instance_of(link), 0) > self.opened_ns.get(conn, 0) for link, conn in self.delivered[key]
        )

    def _take(self, event: Event) -> None:
        kind, link, conn = event.kind, event.link or "", event.conn or 0
        discarded = bool(event.data.get("discarded"))
        match kind:
            case Kind.SUBSCRIBED if event.data.get("source") and not discarded:
                self.subscribed[link].add(conn)
            case Kind.CONNECT:
                self.opened_ns[conn] = event.at_ns
            case Kind.DISCONNECT:
                self.closed_by[conn] = str(event.data.get("by"))
                self.subscribed[link].discard(conn)
                self.requests.pop((link, conn), None)
            case Kind.GATE_HELD | Kind.GATE_CUT | Kind.GATE_RELEASED | Kind.GATE_SKIPPED:
                self.gates[str(event.data["gate"])] = event
            case Kind.INVOKE:
                self.invoked.update(event.keys)
                counts = event.data.get("counts", {"": event.data["count"]} if "count" in event.data else None)
                if counts is not None:
                    self.counts.update(dict.fromkeys(event.keys, sum(counts.values())))
            case Kind.COMPLETE:
                self.completed.update(event.keys)
                if event.data.get("outcome") == "ok":
                    self.owed.update(event.keys)
            case Kind.CONFIRM if event.data.get("ok"):
                self.owed.update(event.keys)
            case Kind.SETTLE if not discarded and not event.data.get("requeue"):
                self.owed.update(event.keys)
            case Kind.DELIVER:
                if event.data.get("settled"):
                    self.owed.update(event.keys)
                if not discarded:
                    for key in event.keys:
                        self.delivered[key].append((link, conn))
                if "place" in event.data:
                    self.places.add(str(event.data["place"]))
            case Kind.REQUEST:
                self.requests[link, conn] = event.key or ""
            case Kind.RESPONSE | Kind.DISCARDED:
                self.requests.pop((link, conn), None)
            case Kind.EFFECT:
                for key in event.keys:
                    self.effects[key] += 1
            case Kind.STARTED:
                self._alive[str(event.data["instance"])].add(int(event.data["incarnation"]))
            case Kind.BOUNDED:
                self.bounded[str(event.data["instance"])] = str(event.data["why"])
            case Kind.EXITED:
                instance = str(event.data["instance"])
                if event.data.get("gone"):
                    self._alive[instance].discard(int(event.data["incarnation"]))
                    if not self._alive[instance]:
                        self.died_ns[instance] = event.at_ns
                if not event.data.get("asked"):
                    self.exits[instance].append(int(event.data["code"]))
            case _:
                pass


class Recorded:
    """ports.plugin.Witness over an observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def so_far(self) -> Sequence[Event]:
        self._observer.poll()
        return self._observer.events

    def wait(self, what: str, timeout_s: float, match: Callable[[Event], bool], after: int = 0) -> Event | None:
        return self._observer.first(what, timeout_s, match, after)


def instance_of(link: str) -> str:
    """The instance that a link belongs to: `payment.0>broker.0` is of `payment.0`."""
    return link.partition(">")[0]
