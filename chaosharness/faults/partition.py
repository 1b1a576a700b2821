"""`partition`: nothing passes between the replica and the broker, in either direction, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.links.toxics import BLACK_HOLE_IN, BLACK_HOLE_OUT
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target


class Partition:
    """A black hole in both directions of the replica's link to the broker; its heal closes what was connected."""

    id = "partition"
    action = Action.HOLD
    release = Release.DISCARD
    until = "published"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the toxics, read back from the link. What is held goes down with the link."""
        with target.link.apply(BLACK_HOLE_IN, BLACK_HOLE_OUT) as applied:
            discarded = target.ticket.discard()
            injection = Injection(
                Evidence(
                    applied.ok and discarded.ok,
                    f"{applied.what}; {discarded.what}",
                    {**applied.facts, **discarded.facts},
                )
            )
            yield injection
        injection.healed = Evidence(True, f"the toxics are gone from {target.link.id}: its connections are closed")
