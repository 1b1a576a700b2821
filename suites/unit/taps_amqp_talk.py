"""AMQP frames made by pamqp, and a connection to feed them to: what the codec's tests speak in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pamqp import body, commands, frame, header

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder, make_key
from chaosharness.ports.wire import CodecOptions, Side, Unit
from chaosharness.taps.amqp import AmqpCodec

C, S = Side.CLIENT, Side.SERVER
HELLO = b"AMQP\0\0\x09\x01"
Basic, Channel, Confirm, Connection = commands.Basic, commands.Channel, commands.Confirm, commands.Connection
Exchange, Queue, Tx = commands.Exchange, commands.Queue, commands.Tx


def key(number: int) -> str:
    return make_key("kabcd", number)


def f(method: Any, channel: int = 1) -> bytes:
    return frame.marshal(method, channel)


def content(
    method: Any, text: bytes, channel: int = 1, pieces: int = 1, delivery_mode: int | None = 2, **properties: Any
) -> list[bytes]:
    """Method, header and body frames of one message."""
    found = Basic.Properties(delivery_mode=delivery_mode, **properties)
    frames = [f(method, channel), f(header.ContentHeader(body_size=len(text), properties=found), channel)]
    size = -(-len(text) // pieces) or 1
    return frames + [f(body.ContentBody(text[at : at + size]), channel) for at in range(0, len(text), size)]


def publish(
    text: str | bytes,
    routing_key: str = "orders",
    exchange: str = "",
    channel: int = 1,
    mandatory: bool = True,
    **more: Any,
) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    method = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    return b"".join(content(method, data, channel, **more))


def deliver(
    text: str, delivery_tag: int, tag: str = "c", channel: int = 1, redelivered: bool = False, **more: Any
) -> bytes:
    method = Basic.Deliver(tag, delivery_tag, redelivered, "", "orders")
    return b"".join(content(method, text.encode(), channel, **more))


class Wire:
    """A connection that has been opened; `client` and `server` feed frames and give what was seen."""

    def __init__(self, *, others: tuple[str, ...] = (), **options: Any) -> None:
        self.codec = AmqpCodec(CodecOptions("orders", **options), KeyFinder("kabcd", others))
        self.codec.feed(C, HELLO)
        self.codec.feed(S, f(Connection.Start(), 0))

    def units(self, side: Side, *frames: bytes) -> list[Unit]:
        data = b"".join(frames)
        units = list(self.codec.feed(side, data))
        assert b"".join(unit.data for unit in units) == data
        return units

    def client(self, *frames: bytes) -> list[Sighting]:
        return seen(self.units(C, *frames))

    def server(self, *frames: bytes) -> list[Sighting]:
        return seen(self.units(S, *frames))

    def consume(self, tag: str = "c", queue: str = "orders", no_ack: bool = False, channel: int = 1) -> None:
        self.client(
            f(Basic.Qos(prefetch_count=10), channel),
            f(Basic.Consume(queue=queue, consumer_tag=tag, no_ack=no_ack), channel),
        )
        self.server(f(Basic.ConsumeOk(tag), channel))


def seen(units: Iterable[Unit]) -> list[Sighting]:
    return [sighting for unit in units for sighting in unit.seen]


def brief(sightings: Iterable[Sighting]) -> list[tuple[str, tuple[str, ...]]]:
    return [(sighting.kind.value, sighting.keys) for sighting in sightings]


def only(sightings: list[Sighting], kind: Kind) -> Sighting:
    assert [s.kind for s in sightings] == [kind]
    return sightings[0]
