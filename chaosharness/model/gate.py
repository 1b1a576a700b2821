"""Gates: where one message is held, or its stream cut, so that a fault hits a window and not a clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Point(StrEnum):
    """Where in a message's life a gate can stand; the names are every protocol's."""

    PUBLISH = "publish"
    """producer → broker: the message itself"""
    CONFIRM = "confirm"
    """broker → producer: the publisher confirm"""
    DELIVER = "deliver"
    """broker → consumer: the message"""
    SETTLE = "settle"
    """consumer → broker: the consumer ack, nack, reject or removal"""
    REQUEST = "request"
    """consumer → sink: before the effect is applied"""
    RESPONSE = "response"
    """sink → consumer: after it was applied"""
    RECORD = "record"
    """consumer → store: the key is to be recorded as done, or as being worked on"""
    RECORDED = "recorded"
    """store → consumer: the answer to that"""


class Action(StrEnum):
    """What a gate does when its message comes."""

    HOLD = "hold"
    """Stall the unit and its lane until told."""
    CUT = "cut"
    """Throw away the unit and all behind it, let what went before be sent, then close both ends."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Fires once, on the first match; `gate_skipped` is recorded where the flow turns out to have no such window."""

    id: str
    point: Point
    action: Action
    key: str
    service: str
    """Fires on links of this service only, any replica."""
    server: str
    """`LinkId.server` of those links: `broker`, `effect.NAME` or `store.NAME`."""
    deadline_s: float = 5.0
    """A hold longer than this ends itself: forwarded, and recorded as `deadline`."""
    unsettled: bool = False
    """The delivery must be unsettled: one that is settled by being handed over is `settled_on_delivery`."""
    after_effects: int = 0
    """For SETTLE: how many effects the key must have by then; a settle before that is `settled_before_effect`."""
    once_applied: Point | None = None
    """Where the key has an effect already, the gate stands here instead of at `point`: between a key's record and its
    effect, whichever of the two comes first."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What a gate has in its hands."""

    gate: str
    key: str
    link: str
    conn: int
    point: Point
    """Where it stands: whose way it is on, to the server or from it."""

    @property
    def outgoing(self) -> bool:
        """On its way from the system under test."""
        return self.point in (Point.PUBLISH, Point.SETTLE, Point.REQUEST, Point.RECORD)
