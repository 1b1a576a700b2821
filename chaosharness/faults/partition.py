"""`partition`, `partition-in`, `partition-out`: nothing passes between the replica and the broker for a while.

In both directions, or in one, as seen from the replica. What is held on its way into the black hole goes down with it;
what is on its way in the other direction, or held at a sink, goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from chaosharness.links.toxics import BLACK_HOLE_IN, BLACK_HOLE_OUT
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action, Hold, Point
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

WORK_WITHIN_S = 2.0


class Partition:
    """A black hole in both directions of the replica's link to the broker; its heal closes what was connected."""

    id = "partition"
    action = Action.HOLD
    release = Release.DISCARD
    until = "published"
    leaves_survivors = True
    toxics: Sequence[Mapping[str, Any]] = (BLACK_HOLE_IN, BLACK_HOLE_OUT)

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the toxics, read back from the link."""
        with target.link.apply(*self.toxics) as applied:
            injection = Injection(applied)
            if not self._cuts(target.ticket.hold, target.link.id):
                injection.release = Release.FORWARD
            mark = len(target.witness.so_far())
            yield injection
            if injection.release and target.ticket.hold.point is Point.DELIVER:
                _await_work(target, mark)
        injection.healed = Evidence(True, f"the toxics are gone from {target.link.id}: its connections are closed")

    def _cuts(self, hold: Hold, link: str) -> bool:
        """Whether what is held was on its way through the black hole."""
        return hold.link == link and (BLACK_HOLE_OUT if hold.outgoing else BLACK_HOLE_IN) in self.toxics


def _await_work(target: Target, mark: int) -> None:
    """Of one that hears and cannot answer: the heal closes its connection, and it must have had something to say."""

    def worked(event: Event) -> bool:
        return event.kind is Kind.EFFECT and target.key in event.keys

    target.witness.wait(f"the effect of {target.key}, of which the broker hears nothing", WORK_WITHIN_S, worked, mark)


class PartitionIn(Partition):
    """`partition-in`: the broker hears the replica, the replica does not hear the broker."""

    id = "partition-in"
    toxics = (BLACK_HOLE_IN,)


class PartitionOut(Partition):
    """`partition-out`: the replica hears the broker, the broker does not hear the replica."""

    id = "partition-out"
    toxics = (BLACK_HOLE_OUT,)
