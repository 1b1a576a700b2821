"""The RESP codec: which reply belongs to which command, whatever stands between them, and what ends the decoding."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taps_resp_talk import (
    K1,
    K2,
    K3,
    MOVES,
    NIL,
    OK,
    QUEUED,
    UNHURRIED,
    Talk,
    array,
    body,
    bulk,
    cmd,
    confirm,
    deliver,
    kinds,
    publish,
    settle,
    take,
)

from chaosharness.model.event import Kind, Sighting
from chaosharness.ports.wire import Side


@pytest.fixture
def talk() -> Talk:
    return Talk()


# transactions


def test_a_transaction_takes_effect_at_exec(talk: Talk) -> None:
    take(talk, K1)
    requests = [cmd("MULTI"), cmd("LPUSH", "jobs", K2), cmd("LREM", "mine", "1", body(K1)), cmd("RPOP", "jobs")]
    assert talk.client(*requests) == []
    assert talk.server(OK, QUEUED, QUEUED, QUEUED) == []
    executed = talk.client(cmd("EXEC"))
    assert executed[:2] == [publish(K2), settle(K1)]
    assert kinds(executed[2:]) == []  # the move was the subscription
    assert talk.server(array(b":1\r\n", b":1\r\n", bulk(K3))) == [confirm(K2), deliver(K3, "RPOP")]
    assert talk.ask(cmd("LPUSH", "jobs", K1), b":1\r\n") == [publish(K1), confirm(K1)]


@pytest.mark.parametrize("reply", [b"*-1\r\n", b"_\r\n", b"-EXECABORT discarded\r\n"])
def test_an_aborted_transaction_confirms_nothing(talk: Talk, reply: bytes) -> None:
    talk.client(cmd("MULTI"), cmd("LPUSH", "jobs", K1), cmd("EXEC"))
    assert talk.server(OK, QUEUED, reply) == [confirm(K1, ok=False)]


def test_an_error_inside_a_transaction(talk: Talk) -> None:
    talk.client(cmd("MULTI"), cmd("LPUSH", "jobs", K1), cmd("LPUSH", "jobs", K2), cmd("EXEC"))
    assert talk.server(OK, QUEUED, QUEUED, array(b"-WRONGTYPE x\r\n", b":1\r\n")) == [
        confirm(K1, ok=False),
        confirm(K2),
    ]


def test_a_discarded_transaction_did_nothing(talk: Talk) -> None:
    assert talk.client(cmd("MULTI"), cmd("LPUSH", "jobs", K1), cmd("DISCARD"), cmd("EXEC")) == []
    assert talk.server(OK, QUEUED, OK, b"-ERR EXEC without MULTI\r\n") == []


def test_exec_that_does_not_match_its_transaction_ends_the_decoding(talk: Talk) -> None:
    talk.client(cmd("MULTI"), cmd("GET", "x"), cmd("EXEC"))
    assert kinds(talk.server(OK, QUEUED, array(OK, OK))) == [Kind.UNPARSED]


# pushes and subscriptions


def test_resp3_pushes_do_not_pop(talk: Talk) -> None:
    hello = array(bulk("proto"), b":3\r\n", mark=b"%")[:1] + b"1\r\n" + bulk("proto") + b":3\r\n"
    assert talk.ask(cmd("HELLO", "3"), hello) == []
    assert talk.client(cmd("SUBSCRIBE", "a", "b"), cmd("LPUSH", "jobs", K1)) == [publish(K1)]
    pushes = [array(b"+subscribe\r\n", bulk(ch), b":%d\r\n" % n, mark=b">") for n, ch in ((1, "a"), (2, "b"))]
    message = array(b"+message\r\n", bulk("a"), bulk(K2), mark=b">")
    assert talk.server(pushes[0], message, pushes[1], message, b":1\r\n") == [confirm(K1)]
    # An array is a reply, whatever it says: RESP3 has a type of its own for messages.
    talk.client(cmd("LRANGE", "x", "0", "2"), cmd("LPUSH", "jobs", K2))
    assert talk.server(array(bulk("message"), bulk("a"), bulk("b")), b":1\r\n") == [confirm(K2)]


def test_resp3_subscribe_refused_is_one_reply(talk: Talk) -> None:
    talk.client(cmd("SUBSCRIBE", "a", "b"), cmd("LPUSH", "jobs", K1))
    assert talk.server(b"-NOPERM no\r\n", b":1\r\n") == [confirm(K1)]


def test_resp2_subscriptions_answer_once_a_channel(talk: Talk) -> None:
    def told(what: str, channel: str | None, left: int) -> bytes:
        return array(bulk(what), bulk(channel) if channel else NIL, b":%d\r\n" % left)

    talk.client(cmd("SUBSCRIBE", "a", "b"), cmd("PSUBSCRIBE", "c*"), cmd("UNSUBSCRIBE"), cmd("PUNSUBSCRIBE"))
    talk.client(cmd("UNSUBSCRIBE"), cmd("LPUSH", "jobs", K1))
    message = array(bulk("message"), bulk("a"), bulk(K2))
    assert talk.server(
        told("subscribe", "a", 1),
        message,
        told("subscribe", "b", 2),
        told("psubscribe", "c*", 3),
        message,
        told("unsubscribe", "a", 2),
        told("unsubscribe", "b", 1),
        told("punsubscribe", "c*", 0),
        told("unsubscribe", None, 0),
        b":1\r\n",
    ) == [confirm(K1)]


def test_reset_forgets_protocol_subscriptions_and_transaction(talk: Talk) -> None:
    talk.ask(cmd("SUBSCRIBE", "a"), array(bulk("subscribe"), bulk("a"), b":1\r\n"))
    talk.ask(cmd("RESET"), b"+RESET\r\n")
    talk.client(cmd("LRANGE", "x", "0", "1"), cmd("LPUSH", "jobs", K1))
    assert talk.server(array(bulk("message"), bulk("b")), b":1\r\n") == [confirm(K1)]


# what is tolerated, and what ends the decoding


def test_inline_commands_pair_too(talk: Talk) -> None:
    assert talk.client(b"PING\r\n\r\n", b"LPUSH jobs " + K1.encode() + b"\n") == [publish(K1)]
    assert talk.server(b"+PONG\r\n", b":1\r\n") == [confirm(K1)]


def test_a_refusal_at_the_connect_is_no_surprise(talk: Talk) -> None:
    assert talk.server(b"-ERR max number of clients reached\r\n") == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "TLS ClientHello"),
        (cmd("MONITOR"), "MONITOR"),
        (cmd("PSYNC", "?", "-1"), "PSYNC"),
        (cmd("CLIENT", "reply", "off"), "CLIENT"),
        (b"*1\r\n+PING\r\n", "not RESP"),
    ],
)
def test_what_cannot_be_decoded_passes_after_one_unparsed(talk: Talk, data: bytes, says: str) -> None:
    assert talk.client(cmd("LPUSH", "jobs", K1)) == [publish(K1)]
    assert talk.codec.feed(Side.SERVER, b":") == []  # half a reply: it comes out with what follows
    before, after = cmd("PING"), cmd("LPUSH", "jobs", K2)
    first, second = talk.units(Side.CLIENT, before + data + after)
    (unparsed,) = second.seen
    assert (first.data, first.seen) == (before, ())
    assert unparsed.kind is Kind.UNPARSED
    assert unparsed.data["bytes"] == len(data + after)
    assert says in unparsed.data["reason"]
    assert talk.client(cmd("LPUSH", "jobs", K2)) == []
    assert [unit.data for unit in talk.codec.feed(Side.SERVER, b"1\r\n\x00")] == [b":1\r\n\x00"]


def test_a_reply_that_nobody_asked_for_ends_the_decoding(talk: Talk) -> None:
    assert kinds(talk.ask(cmd("PING"), b"+PONG\r\n+PONG\r\n")) == [Kind.UNPARSED]


SCRIPT = [
    (Side.CLIENT, cmd("HELLO", "3", "SETNAME", "x") + cmd("SUBSCRIBE", "ch") + cmd("MULTI") + cmd("LPUSH", "jobs", K1)),
    (Side.CLIENT, cmd("EXEC") + MOVES[0] + cmd("LREM", "mine", "1", body(K1)) + cmd("BRPOP", "jobs", "0")),
    (
        Side.SERVER,
        b"%1\r\n$5\r\nproto\r\n:3\r\n>3\r\n+subscribe\r\n$2\r\nch\r\n:1\r\n" + OK + QUEUED + array(b":1\r\n"),
    ),
    (Side.SERVER, b"|1\r\n+a\r\n+b\r\n" + bulk(body(K1)) + b":1\r\n" + array(bulk("jobs"), bulk(body(K2)))),
]
EXPECTED = [Kind.PUBLISH, Kind.SUBSCRIBE, Kind.SUBSCRIBED, Kind.SETTLE, Kind.CONFIRM, Kind.DELIVER, Kind.DELIVER]


@UNHURRIED
@given(st.integers(1, 80))
def test_a_conversation_under_any_piece_size(size: int) -> None:
    talk = Talk()
    seen: list[Sighting] = []
    for side, data in SCRIPT:
        units = [unit for at in range(0, len(data), size) for unit in talk.codec.feed(side, data[at : at + size])]
        assert b"".join(unit.data for unit in units) == data
        seen += [sighting for unit in units for sighting in unit.seen]
    assert kinds(seen) == EXPECTED


NAMES = "LPUSH LPOP BRPOP LMOVE RPOPLPUSH LMPOP LREM LTRIM DEL MULTI EXEC DISCARD SUBSCRIBE UNSUBSCRIBE RESET HELLO"
words = st.sampled_from([*re.findall(r"\w+", NAMES), "jobs", "mine", "LEFT", "0", "1", "-1", "x", K1, K2])
replies = st.sampled_from(
    [OK, QUEUED, NIL, b":1\r\n", b"-ERR x\r\n", bulk(K1), array(bulk("jobs"), bulk(K1)), b"*0\r\n"]
)
turns = st.one_of(
    st.tuples(st.just(Side.CLIENT), st.lists(words, min_size=1, max_size=5).map(lambda args: cmd(*args))),
    st.tuples(st.just(Side.SERVER), replies),
    st.tuples(st.sampled_from(list(Side)), st.binary(max_size=12)),
)


@UNHURRIED
@given(st.lists(turns, max_size=25))
def test_no_conversation_raises_or_loses_a_byte(conversation: list[tuple[Side, bytes]]) -> None:
    talk = Talk()
    sent = dict.fromkeys(Side, b"")
    out = dict.fromkeys(Side, b"")
    for side, data in conversation:
        sent[side] += data
        units = talk.codec.feed(side, data)
        out[side] += b"".join(unit.data for unit in units)
        assert sum(s.kind is Kind.UNPARSED for unit in units for s in unit.seen) <= 1
    for side in Side:
        assert sent[side].startswith(out[side])
