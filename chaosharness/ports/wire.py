"""Codecs and stubs: what the relay loads by entry-point name. All of it is sans-I/O or asyncio, never both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from chaosharness.model.event import Sighting
from chaosharness.model.gate import Point
from chaosharness.model.key import KeyFinder


class Side(StrEnum):
    """Who sent the bytes."""

    CLIENT = "client"
    SERVER = "server"


OVERTAKES = -1
"""A lane that nothing stalls: heartbeats."""
BARRIER = 0
"""The connection's own lane: ordered behind every stalled lane of its direction (a close must not overtake an ack)."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest stretch of bytes that can be held, dropped or cut: a frame, or a whole message of several frames."""

    data: bytes
    lane: int = BARRIER
    """What comes later in the same lane and direction may not overtake this: a channel's number."""
    seen: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True)
class CodecOptions:
    """What a codec must know of the flow to tell the source's messages from all others; from `Broker.codec_options`."""

    source: str
    """The queue or key."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The broker's own: exchange, routing_key, …; plain JSON types, since it crosses processes."""
    place: str | None = None
    """`source.key`, where declared."""
    producer_link: bool = False
    """This link belongs to a producer: keyed publishes to unknown destinations are the source's."""


class Codec(Protocol):
    """Decodes one connection, both directions. A constructor `(options: CodecOptions, finder: KeyFinder)`."""

    def feed(self, side: Side, data: bytes) -> Sequence[Unit]:
        """Complete units so far; their data, concatenated, is the input to the byte.

        Bytes that cannot be decoded come out as one Unit with an UNPARSED sighting, and all later bytes as plain units;
        what was kept back of the other side then comes out when that side is fed again, be it nothing. What is kept
        until it is whole is bounded, whatever a length field says. Raises nothing.
        """
        ...

    def split(self, unit: Unit, key: str) -> tuple[Unit | None, Unit]:
        """A unit of several keys (a bulk confirm) as (all before `key`, the rest); (None, unit) if it cannot."""
        ...


class StubControl(Protocol):
    """What the relay gives to a sink's stub."""

    def opened(self, link: str, transport: asyncio.Transport) -> int:
        """A connection was accepted: its number. The relay aborts it with the sink, if it is still open then."""
        ...

    def gone(self, link: str, conn: int) -> None:
        """The connection's other end is gone: what a gate holds of it is thrown away. Idempotent."""
        ...

    def close(self, link: str, conn: int) -> None:
        """Closes the connection from this side, and records it so. Idempotent."""
        ...

    def record(self, sightings: Sequence[Sighting], link: str, conn: int) -> None:
        """Into the ledger, before anything goes on."""
        ...

    async def pass_gate(self, point: Point, key: str, link: str, conn: int, size: int) -> bool:
        """Waits while a gate holds the key here. `size`: bytes that a gate would throw away.

        True: go on; False: the connection is gone, or the gate threw it away, or cut it.
        """
        ...


class Stub(Protocol):
    """A sink's part in the relay: serves one listening socket per link. Constructor `(options: Mapping, finder)`."""

    def connection(self, link: str, control: StubControl) -> asyncio.BaseProtocol:
        """The protocol of one new connection on this link; asyncio makes its transport."""
        ...


class ControlledStub(Stub, Protocol):
    """A stub whose sink can be told to misbehave; what a fault of the sink needs."""

    def control(self, control: Mapping[str, Any]) -> Mapping[str, Any]:
        """Behave like this from now on: `{"outage": [503, 429, 0]}`, …; plain JSON types, as it crosses processes.

        Returns what it has to say of it. Raises HarnessBroke for what it does not know.
        """
        ...


__all__ = [
    "BARRIER",
    "OVERTAKES",
    "Codec",
    "CodecOptions",
    "ControlledStub",
    "KeyFinder",
    "Side",
    "Stub",
    "StubControl",
    "Unit",
]
