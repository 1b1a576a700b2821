"""The AMQP codec: opening, lanes, what cannot be read, and interleaved channels."""

from __future__ import annotations

import pytest
from pamqp import heartbeat
from taps_amqp_talk import (
    HELLO,
    Basic,
    C,
    Channel,
    Confirm,
    Connection,
    S,
    Wire,
    brief,
    content,
    f,
    key,
    only,
    publish,
    seen,
)

from chaosharness.model.event import Kind
from chaosharness.model.key import KeyFinder
from chaosharness.ports.wire import BARRIER, OVERTAKES, CodecOptions, Unit
from chaosharness.taps.amqp import AmqpCodec

# -- opening ----------------------------------------------------------------------------------------------------------


def test_the_opening_passes_on_the_connections_own_lane_and_no_password_is_recorded() -> None:
    codec = AmqpCodec(CodecOptions("orders"), KeyFinder("kabcd"))
    start_ok = f(Connection.StartOk({"product": "x"}, "PLAIN", "\0guest\0secret", "en_US"), 0)
    tune_ok = f(Connection.TuneOk(2047, 131072, 20), 0)
    units = [
        *codec.feed(C, HELLO),
        *codec.feed(S, f(Connection.Start(), 0)),
        *codec.feed(C, start_ok + tune_ok + f(Connection.Open("/"), 0)),
        *codec.feed(S, f(Connection.OpenOk(), 0)),
    ]
    assert [unit.lane for unit in units] == [BARRIER] * 6
    assert only(seen(units), Kind.TUNED).data == {"heartbeat_s": 20}


def test_heartbeats_and_blocked_overtake_and_methods_keep_to_their_channel() -> None:
    wire = Wire()
    units = wire.units(
        S, f(heartbeat.Heartbeat(), 0), f(Connection.Blocked("low on memory"), 0), f(Connection.Unblocked(), 0)
    )
    assert [unit.lane for unit in units] == [OVERTAKES] * 3
    assert [(s.kind, s.data) for s in seen(units)] == [
        (Kind.BLOCKED, {"reason": "low on memory"}),
        (Kind.UNBLOCKED, {"reason": ""}),
    ]
    assert [unit.lane for unit in wire.units(C, f(Channel.Open(), 7), publish("x", channel=7))] == [7, 7]
    assert [unit.lane for unit in wire.units(C, f(Connection.Close(200, "bye", 0, 0), 0))] == [BARRIER]


def test_a_server_that_answers_with_its_protocol_header_has_refused() -> None:
    codec = AmqpCodec(CodecOptions("orders"), KeyFinder("kabcd"))
    codec.feed(C, HELLO)
    (unit,) = codec.feed(S, b"AMQP\0\1\0\0")
    assert unit.seen[0].kind is Kind.CLOSED
    assert unit.seen[0].data["by"] == "server"
    assert "AMQP" in unit.seen[0].data["reason"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (bytes.fromhex("16030100f4010000f00303"), "TLS ClientHello"),
        (b"GET / HTTP/1.1\r\n\r\n", "GET / HT"),
        (b"AMQP\x03\x01\x00\x00", "that version is not read here"),
        (b"AMQX", "expected an AMQP protocol header"),
    ],
)
def test_another_protocol_is_said_once_and_passes_both_ways(data: bytes, says: str) -> None:
    codec = AmqpCodec(CodecOptions("orders"), KeyFinder("kabcd"))
    units = list(codec.feed(C, data))
    assert b"".join(unit.data for unit in units) == data
    unparsed = only(seen(units), Kind.UNPARSED)
    assert says in unparsed.data["reason"]
    assert unparsed.data["bytes"] == len(data)
    assert codec.feed(S, b"\x15\x03\x01") == [Unit(b"\x15\x03\x01")]
    assert codec.feed(C, b"more") == [Unit(b"more")]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x09\x00\x01\x00\x00\x00\x00\xce",  # no such frame type
        b"\x01\x00\x01\x00\x00\x00\x01xx",  # no frame end
        b"\x01\x00\x01\x7f\x00\x00\x00",  # a size beyond all bounds
    ],
)
def test_garbage_is_said_once_and_everything_passes_both_ways(garbage: bytes) -> None:
    wire = Wire()
    half = b"".join(content(Basic.Publish(routing_key="orders"), b"ab", channel=3, pieces=2)[:3])
    head = f(Basic.Ack(1, True))[:5]
    assert wire.codec.feed(C, half) == []
    assert wire.codec.feed(S, head) == []
    units = list(wire.codec.feed(C, f(Channel.Open(), 2) + garbage + b"tail"))
    assert b"".join(unit.data for unit in units) == f(Channel.Open(), 2) + half + garbage + b"tail"
    assert only(seen(units), Kind.UNPARSED).data["reason"].startswith("client: ")
    assert list(wire.codec.feed(C, publish(key(1)))) == [Unit(publish(key(1)))]
    assert list(wire.codec.feed(S, b"rest")) == [Unit(head + b"rest")]


def test_a_method_that_ends_too_early_is_said_and_passes() -> None:
    wire = Wire()
    short = b"\x01\x00\x01\x00\x00\x00\x05\x00\x3c\x00\x50\x01\xce"
    units = list(wire.codec.feed(C, f(Channel.Open()) + short + publish(key(1))))
    assert b"".join(unit.data for unit in units) == f(Channel.Open()) + short + publish(key(1))
    assert "ends too early" in only(seen(units), Kind.UNPARSED).data["reason"]
    assert list(wire.codec.feed(S, f(Basic.Ack(1)))) == [Unit(f(Basic.Ack(1)))]


def test_the_negotiated_frame_size_bounds_both_directions() -> None:
    wire = Wire()
    wire.client(f(Connection.TuneOk(0, 8192, 0), 0))
    oversized = b"\x03\x00\x01" + (8193).to_bytes(4, "big")
    assert only(seen(wire.codec.feed(S, oversized)), Kind.UNPARSED).data["reason"].startswith("server: ")
    wire = Wire()
    wire.client(f(Connection.TuneOk(0, 0, 0), 0))
    assert wire.codec.feed(S, b"\x03\x00\x01" + (1 << 27).to_bytes(4, "big")) == []


# -- interleaving -----------------------------------------------------------------------------------------------------


def test_frames_of_other_channels_flow_on_while_a_message_is_on_its_way() -> None:
    wire = Wire()
    one = content(Basic.Publish(routing_key="orders"), key(1).encode() + b"." * 10, channel=1, pieces=2)
    two = content(Basic.Publish(routing_key="orders"), key(2).encode() + b"." * 10, channel=2, pieces=2)
    beat = f(heartbeat.Heartbeat(), 0)
    units = list(wire.codec.feed(C, one[0] + two[0] + beat + two[1] + one[1] + one[2] + two[2] + two[3] + one[3]))
    assert [(unit.lane, unit.data) for unit in units] == [(OVERTAKES, beat), (2, b"".join(two)), (1, b"".join(one))]
    assert [unit.seen[0].keys for unit in units[1:]] == [(key(2),), (key(1),)]


def test_a_message_broken_off_by_a_method_passes_unseen_and_in_order() -> None:
    wire = Wire()
    half = b"".join(content(Basic.Publish(routing_key="orders"), key(1).encode())[:2])
    units = wire.units(C, half, f(Channel.CloseOk()))
    assert [(unit.data, unit.lane, unit.seen) for unit in units] == [(half, 1, ()), (f(Channel.CloseOk()), 1, ())]


def test_an_empty_body_completes_at_its_header() -> None:
    wire = Wire()
    wire.client(f(Confirm.Select()))
    assert brief(wire.client(publish(b"", message_id=key(1)))) == [("publish", (key(1),))]
