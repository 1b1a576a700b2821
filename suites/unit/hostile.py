"""What must hold for whatever a peer sends: to a tap's codec, and to the HTTP sink's connection.

Goes in: turns (who sent which bytes, in which pieces). Comes out: what was seen, or a failed assertion that says which
rule was broken. Used by Hypothesis (`test_taps_hostile.py`, `test_sinks_hostile.py`) and by the fuzzer (`ci/fuzz`).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.gate import Point
from chaosharness.model.key import KeyFinder, Place
from chaosharness.ports.wire import Codec, CodecOptions, Side, Unit
from chaosharness.sinks.http_stub import HttpStub
from chaosharness.taps.amqp import AmqpCodec
from chaosharness.taps.redis_store import RedisStoreCodec
from chaosharness.taps.resp import RespCodec

NONCE, OTHER = "kabcd", "kzzzz"
Turn: TypeAlias = "tuple[Side, bytes]"
Tap: TypeAlias = "AmqpCodec | RespCodec | RedisStoreCodec"
Frames = Callable[[bytes], Iterator[tuple[object, bytes]]]
"""A stream in (lane, frame) pairs; what is no frame is the last pair, whatever it is."""


def amqp(place: str | None = None) -> AmqpCodec:
    return AmqpCodec(CodecOptions("orders", place=place, producer_link=True), finder(place))


def resp(place: str | None = None) -> RespCodec:
    return RespCodec(CodecOptions("jobs", place=place), finder(place))


def store(place: str | None = None) -> RedisStoreCodec:
    return RedisStoreCodec(CodecOptions("dedup"), finder(place))


def finder(place: str | None = None) -> KeyFinder:
    return KeyFinder(NONCE, (OTHER,), Place(place) if place else None)


def amqp_frames(stream: bytes) -> Iterator[tuple[object, bytes]]:
    """Frames with their channels: an order that the tap may change between channels, never within one."""
    at = 8 if stream.startswith(b"AMQP") else 0
    yield 0, stream[:at]
    while len(stream) >= at + 8 and stream[at] in (1, 2, 3, 8):
        channel, size = struct.unpack_from(">HI", stream, at + 1)
        frame = stream[at : at + size + 8]
        if len(frame) < size + 8 or frame[-1] != 0xCE:
            break
        yield "heartbeats" if stream[at] == 8 else channel, frame  # which overtake their own channel's frames
        at += len(frame)
    yield "rest", stream[at:]


def as_it_came(stream: bytes) -> Iterator[tuple[object, bytes]]:
    """One lane: nothing may change places."""
    yield 0, stream


def by_lane(stream: bytes, frames: Frames) -> dict[object, bytes]:
    lanes: dict[object, bytes] = {}
    for lane, frame in frames(stream):
        lanes[lane] = lanes.get(lane, b"") + frame
    return {lane: sent for lane, sent in lanes.items() if sent}


def hold_tap(make: Callable[[], Tap], turns: Sequence[Turn], frames: Frames, piece: int = 0) -> list[Sighting]:
    """One connection through a codec, each turn whole or in pieces of so many bytes. Returns all that was seen.

    As the relay does, it asks for what was kept back of the other direction when the codec gives up.
    """
    codec = make()
    sent, out = {side: bytearray() for side in Side}, {side: bytearray() for side in Side}
    seen: list[Sighting] = []
    for side, data in turns:
        sent[side] += data
        step = piece or len(data) or 1
        for at in range(0, len(data), step):
            gave_up = Kind.UNPARSED in kinds(seen)
            units = list(codec.feed(side, data[at : at + step]))
            out[side] += b"".join(unit.data for unit in units)
            fresh = [sighting for unit in units for sighting in unit.seen]
            assert not (gave_up and fresh), f"after it had given up, it saw {fresh}"
            seen += fresh
            split(codec, units)
        if Kind.UNPARSED in kinds(seen):
            for each in Side:
                out[each] += b"".join(unit.data for unit in codec.feed(each, b""))
            assert [len(out[each]) for each in Side] == [len(sent[each]) for each in Side], "it kept bytes back"
    for side in Side:
        kept = codec._framers[side].rest()
        assert by_lane(bytes(out[side] + kept), frames) == by_lane(bytes(sent[side]), frames)
    assert Kind.UNPARSED not in kinds(seen)[:-1], "it said something after it had given up"
    written(seen)
    return seen


def kinds(seen: Iterable[Sighting]) -> list[Kind]:
    return [one.kind for one in seen]


def split(codec: Codec, units: Iterable[Unit]) -> None:
    """A unit of several keys, split at each of them, is the same keys once, and no byte is invented for others."""
    for unit in units:
        for key in unit.seen[0].keys if unit.seen else ():
            before, rest = codec.split(unit, key)
            assert rest.data == unit.data
            if before:
                parts = [one for part in (before, rest) for seen in part.seen for one in seen.keys]
                assert parts == [*unit.seen[0].keys]


def written(seen: Sequence[Sighting]) -> None:
    """The ledger can write all of it down, and read it again."""
    for one in seen:
        line = msgspec.json.encode({"kind": one.kind.value, "keys": one.keys, "data": one.data})
        assert tuple(msgspec.json.decode(line)["keys"]) == one.keys


# the HTTP sink


class Outgoing(asyncio.Transport):
    """The way back to a client that reads everything; counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += bytes(data)

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Control:
    """`ports.wire.StubControl` without a gate: everything passes, everything is noted."""

    def __init__(self) -> None:
        self.seen: list[Sighting] = []

    def opened(self, link: str, transport: asyncio.Transport) -> int:
        return 1

    def gone(self, link: str, conn: int) -> None:
        pass

    def close(self, link: str, conn: int) -> None:
        pass

    def record(self, sightings: Sequence[Sighting], link: str, conn: int) -> None:
        self.seen += sightings

    async def pass_gate(self, point: Point, key: str, link: str, conn: int, size: int) -> bool:
        return True


SINK = {"sink": "charge", "status": 200, "body": "{}"}
STRICT = {
    **SINK,
    "method": "POST",
    "path": "/v1/charges",
    "key": "body:json:$.order_id",
    "idempotent_by": "body:json:$.idem",
}


def hold_http(pieces: Sequence[bytes], options: dict[str, Any]) -> list[Sighting]:
    """One connection to the sink. Returns what it recorded."""
    failures: list[dict[str, Any]] = []
    control, transport = Control(), Outgoing()
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: failures.append(context))
        runner.run(_talk(HttpStub(options, finder()), control, transport, pieces))
    assert not failures, failures
    seen = control.seen
    written(seen)
    said = kinds(seen)
    assert Kind.UNPARSED not in said[:-1], "it said something after it had given up"
    assert Kind.UNPARSED not in said or transport.closed
    applied = [kind for kind in said if kind in (Kind.EFFECT, Kind.REPLAY, Kind.KEY_REUSED, Kind.REFUSED)]
    assert said.count(Kind.REQUEST) == len(applied) == said.count(Kind.RESPONSE)
    assert said.count(Kind.RESPONSE) <= transport.sent.count(b"HTTP/1.1 ")
    return seen


async def _talk(stub: HttpStub, control: Control, transport: Outgoing, pieces: Sequence[bytes]) -> None:
    connection = stub.connection("payment.0>effect.charge", control)
    assert isinstance(connection, asyncio.Protocol)
    connection.connection_made(transport)
    for piece in pieces:
        if piece and not transport.closed:
            connection.data_received(piece)
        await _settled()
    connection.eof_received()
    connection.connection_lost(None)
    await _settled()


async def _settled() -> None:
    """Until no task of a connection is left: none of them waits for anything but the next turn of the loop."""
    this = asyncio.current_task()
    while rest := [task for task in asyncio.all_tasks() if task is not this]:
        await asyncio.gather(*rest, return_exceptions=False)


# inputs as files: one byte that picks the options, then turns, each a byte for its side, two for its length, its bytes

PLACES = (None, "body:json:$.id", "header:n", "property:message_id")
PIECES = (0, 1, 7, 64)


def as_file(turns: Sequence[Turn], options: int = 0) -> bytes:
    """What `turns_of` reads."""
    head = struct.Struct(">BH")
    return bytes([options]) + b"".join(head.pack(side is Side.SERVER, len(data)) + data for side, data in turns)


def turns_of(data: bytes) -> list[Turn]:
    """Any bytes are turns; the last may be cut off."""
    turns: list[Turn] = []
    at = 1
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "big") & 0xFFF
        turns.append((Side.SERVER if data[at] & 1 else Side.CLIENT, data[at + 3 : at + 3 + size]))
        at += 3 + size
    return turns


def _tap_target(make: Callable[[str | None], Tap], frames: Frames) -> Callable[[bytes], list[Sighting]]:
    def target(data: bytes) -> list[Sighting]:
        options = data[0] if data else 0
        return hold_tap(lambda: make(PLACES[options & 3]), turns_of(data), frames, PIECES[(options >> 2) & 3])

    return target


def _http_target(data: bytes) -> list[Sighting]:
    return hold_http([piece for _, piece in turns_of(data)], STRICT if data and data[0] & 1 else SINK)


TARGETS: dict[str, Callable[[bytes], list[Sighting]]] = {
    "amqp": _tap_target(amqp, amqp_frames),
    "resp": _tap_target(resp, as_it_came),
    "store": _tap_target(store, as_it_came),
    "http": _http_target,
}
