"""The faults that a gate carries out by itself: one frame and all behind it thrown away, then both ends closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

GONE_WITHIN_S = 5.0


class Cut:
    """`cut`: a delivery on its way to the consumer is thrown away and its connection closed."""

    id = "cut"
    action = Action.CUT
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = True
    what = "the delivery"

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the tap's record: the bytes thrown away, and the connection closed."""
        gone = target.ticket.await_gone(GONE_WITHIN_S)
        hold = target.ticket.hold
        cut = f"{self.what} of {hold.key} was thrown away on {hold.link}"
        injection = Injection(Evidence(gone.ok, f"{cut}; {gone.what}", gone.facts))
        yield injection
        injection.healed = Evidence(True, f"{hold.link} takes new connections: only the one was cut")


class AckLost(Cut):
    """`ack-lost`: the consumer ack never reaches the broker."""

    id = "ack-lost"
    what = "the consumer ack"


class PublishLost(Cut):
    """`publish-lost`: the publish never reaches the broker."""

    id = "publish-lost"
    what = "the publish"


class ConfirmLost(Cut):
    """`confirm-lost`: the publisher confirm never reaches the producer."""

    id = "confirm-lost"
    what = "the publisher confirm"


class ResponseLost(Cut):
    """`response-lost`: the effect is applied, and the sink's answer never reaches its caller."""

    id = "response-lost"
    what = "the sink's answer"
