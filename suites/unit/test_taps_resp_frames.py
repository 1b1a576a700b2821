"""RESP framing: literal bytes, at every cut; what comes out is what went in, to the byte."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taps_resp_talk import UNHURRIED

from chaosharness.taps import resp_frames
from chaosharness.taps.resp_frames import MAX_BULK, MAX_LINE, ErrorReply, Frame, Framer, Malformed, Value

REPLIES: list[tuple[bytes, str, Value]] = [
    (b"+OK\r\n", "+", b"OK"),
    (b"-ERR no such thing\r\n", "-", ErrorReply(b"ERR no such thing")),
    (b":-7\r\n", ":", -7),
    (b"$0\r\n\r\n", "$", b""),
    (b"$-1\r\n", "$", None),
    (b"$6\r\na\r\nb\r\n\r\n", "$", b"a\r\nb\r\n"),
    (b"*-1\r\n", "*", None),
    (b"*0\r\n", "*", []),
    (b"*2\r\n*1\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n", "*", [[b"a"], [1, []]]),
    (b"_\r\n", "_", None),
    (b"#t\r\n", "#", b"t"),
    (b",3.25\r\n", ",", b"3.25"),
    (b"(3492890328409238509324850943850943825024385\r\n", "(", b"3492890328409238509324850943850943825024385"),
    (b"!5\r\nERR x\r\n", "!", ErrorReply(b"ERR x")),
    (b"=7\r\ntxt:abc\r\n", "=", b"abc"),
    (b"%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n_\r\n", "%", [b"a", 1, b"b", [None]]),
    (b">3\r\n+message\r\n+ch\r\n$2\r\nhi\r\n", ">", [b"message", b"ch", b"hi"]),
    (b"|1\r\n+ttl\r\n:10\r\n$1\r\nv\r\n", "$", b"v"),
    (b"|0\r\n:1\r\n", ":", 1),
    (b"*2\r\n|1\r\n+a\r\n*1\r\n:0\r\n:1\r\n:2\r\n", "*", [1, 2]),
]
STREAM = b"".join(data for data, _, _ in REPLIES)
REQUESTS = b"*1\r\n$4\r\nPING\r\nPING\r\n\r\n*0\r\n*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$3\r\na\r\n\r\n"


def frames(framer: Framer, *pieces: bytes) -> list[Frame]:
    out = []
    for piece in pieces:
        framer.feed(piece)
        while frame := framer.next():
            out.append(frame)
    return out


@pytest.mark.parametrize(("data", "kind", "value"), REPLIES)
def test_each_reply_type(data: bytes, kind: str, value: Value) -> None:
    (frame,) = frames(Framer(requests=False), data)
    assert frame == Frame(data, kind, value)
    assert isinstance(frame.value, ErrorReply) == isinstance(value, ErrorReply)


def test_every_single_cut_gives_the_same_frames() -> None:
    whole = [Frame(*reply) for reply in REPLIES]
    for at in range(len(STREAM) + 1):
        assert frames(Framer(requests=False), STREAM[:at], STREAM[at:]) == whole


def test_byte_by_byte_gives_the_same_frames() -> None:
    pieces = [STREAM[at : at + 1] for at in range(len(STREAM))]
    assert frames(Framer(requests=False), *pieces) == [Frame(*reply) for reply in REPLIES]


@pytest.mark.parametrize("first", [b"$10\r\n0123456789\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b":123456\r\n"])
@pytest.mark.parametrize("then", [b"_\r\n", b"+\r\n", b"+OK\r\n", b"$0\r\n\r\n", b":1\r\n"])
def test_what_comes_in_pieces_leaves_no_trace_in_what_comes_next(first: bytes, then: bytes) -> None:
    for at in range(len(first)):
        out = frames(Framer(requests=False), first[:at], first[at:], then, then)
        assert [frame.data for frame in out] == [first, then, then]


@UNHURRIED
@given(st.lists(st.integers(0, len(REQUESTS)), max_size=8))
def test_requests_under_any_chunking(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(REQUESTS)]
    pieces = [REQUESTS[a:b] for a, b in itertools.pairwise(edges)]
    out = frames(Framer(requests=True), *pieces)
    assert [frame.value for frame in out] == [[b"PING"], [b"PING"], [], [], [b"LPUSH", b"q", b"a\r\n"]]
    assert b"".join(frame.data for frame in out) == REQUESTS


nested = st.recursive(
    st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | st.none(), lambda inner: st.lists(inner, max_size=4)
)


def encode(value: Value) -> bytes:
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    return b"*%d\r\n%s" % (len(value), b"".join(map(encode, value)))


@UNHURRIED
@given(st.lists(nested, max_size=5), st.integers(1, 60))
def test_nested_replies_under_any_piece_size(values: list[Value], size: int) -> None:
    stream = b"".join(map(encode, values))
    out = frames(Framer(requests=False), *(stream[at : at + size] for at in range(0, len(stream), size)))
    assert [frame.value for frame in out] == values
    assert b"".join(frame.data for frame in out) == stream


@pytest.mark.parametrize(
    "data", [encode(bytes(90)), encode([bytes(40), bytes(40)]), encode([bytes(10)] * 9)], ids=["bulk", "two", "nine"]
)
def test_a_frame_in_one_piece_is_bounded_too(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp_frames, "MAX_FRAME", 89)
    framer = Framer(requests=False)
    framer.feed(data)
    with pytest.raises(Malformed, match="at most 89"):
        framer.next()
    assert framer.rest() == data


def test_a_thousand_levels_do_not_recurse() -> None:
    deep = b"*1\r\n" * 5000 + b":1\r\n"
    (frame,) = frames(Framer(requests=False), deep)
    assert frame.data == deep


def test_a_big_bulk_in_small_pieces() -> None:
    payload = bytes(range(256)) * 4096 * 4
    stream = b"*2\r\n" + encode(payload) + b":1\r\n"
    out = frames(Framer(requests=False), *(stream[at : at + 4096] for at in range(0, len(stream), 4096)))
    assert out == [Frame(stream, "*", [payload, 1])]


@pytest.mark.parametrize(
    ("requests", "data", "says"),
    [
        (True, b"\x16\x03\x01\x02\x00\x01\x00", "TLS ClientHello"),
        (True, b"\x16", "TLS ClientHello"),
        (True, b"AMQP\x00\x00\x09\x01", "control characters"),
        (True, b"{json}", "expected * or $"),
        (True, b"*1\r\n:1\r\n", "expected * or $"),
        (True, b"$3\r\nabc\r\n", "expected * or $"),
        (True, b":1\r\n", "expected * or $"),
        (True, b"*1\r\n$-1\r\n", "argument of length -1"),
        (True, b"*x\r\n", "expected a number"),
        (True, b"P" * MAX_LINE, "a line longer"),
        (False, b"HTTP/1.1 400 Bad Request\r\n", "expected a RESP type from the server"),
        (False, b"\x15\x03\x01", "expected a RESP type from the server"),
        (False, b"$3\r\nabcde", "does not end where it says"),
        (False, b"$?\r\n", "streamed"),
        (False, b":1_0\r\n", "expected a number"),
        (False, b"$-2\r\n", "length of -2"),
        (False, b"$%d\r\n" % (MAX_BULK + 1), "count or length"),
    ],
)
def test_what_is_not_resp_is_said_in_words(requests: bool, data: bytes, says: str) -> None:
    framer = Framer(requests)
    framer.feed(b"*1\r\n$4\r\nPING\r\n" + data)
    assert framer.next() is not None
    with pytest.raises(Malformed, match=says.replace("*", r"\*").replace("$", r"\$")):
        framer.next()
    assert framer.rest() == data


@UNHURRIED
@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_malformed_or_incomplete_never_anything_else(data: bytes, requests: bool) -> None:
    framer = Framer(requests)
    out = b""
    framer.feed(data)
    try:
        while frame := framer.next():
            out += frame.data
    except Malformed:
        pass
    assert out + framer.rest() == data
