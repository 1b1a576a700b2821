"""The RESP codec: literal bytes of a connection, and what they mean for a list that serves as a queue."""

from __future__ import annotations

import pytest
from taps_resp_talk import (
    FOREIGN,
    K1,
    K2,
    K3,
    MOVES,
    OK,
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


# publishing


@pytest.mark.parametrize("push", ["LPUSH", "rpush", "LPUSHX", "RPUSHX"])
def test_push_and_its_confirm(talk: Talk, push: str) -> None:
    assert talk.client(cmd(push, "jobs", body(K1))) == [publish(K1)]
    assert talk.server(b":1\r\n") == [confirm(K1)]


def test_push_of_several_is_one_publish_and_cannot_be_split(talk: Talk) -> None:
    (unit,) = talk.units(Side.CLIENT, cmd("LPUSH", "jobs", body(K1), body(K2)))
    assert list(unit.seen) == [publish(K1, K2)]
    assert talk.codec.split(unit, K2) == (None, unit)
    assert talk.server(b":2\r\n") == [confirm(K1, K2)]


@pytest.mark.parametrize("reply", [b"-WRONGTYPE not a list\r\n", b":0\r\n"])
def test_push_refused(talk: Talk, reply: bytes) -> None:
    talk.client(cmd("LPUSHX", "jobs", body(K1)))
    assert talk.server(reply) == [confirm(K1, ok=False)]


def test_pipeline_pairs_first_in_first_out(talk: Talk) -> None:
    pipeline = [cmd("SET", "x", "1"), cmd("LPUSH", "jobs", K1), cmd("GET", "x"), cmd("LPUSH", "jobs", K2)]
    assert talk.client(*pipeline) == [publish(K1), publish(K2)]
    replies = talk.units(Side.SERVER, OK + b":1\r\n" + bulk("1") + b"-OOM no memory\r\n")
    assert [list(unit.seen) for unit in replies] == [[], [confirm(K1)], [], [confirm(K2, ok=False)]]


def test_payloads_without_a_key_of_this_scenario(talk: Talk) -> None:
    assert talk.client(cmd("LPUSH", "jobs", "hello", body(K1), body(FOREIGN))) == [
        publish(K1),
        Sighting(Kind.UNKEYED, data={"what": "publish", "place": "jobs"}),
        Sighting(Kind.FOREIGN_KEY, data={"found": FOREIGN}),
    ]
    assert talk.server(b":3\r\n") == [confirm(K1)]
    talk.client(cmd("RPOP", "jobs"))
    assert talk.server(bulk("hello")) == [Sighting(Kind.UNKEYED, data={"what": "deliver", "place": "jobs"})]


def test_other_lists_are_aside(talk: Talk) -> None:
    assert talk.ask(cmd("LPUSH", "events", body(K1)), b":1\r\n") == [
        Sighting(Kind.ASIDE, (K1,), {"what": "LPUSH", "to": "events"})
    ]
    assert talk.ask(cmd("LPUSH", "events", "hello"), b":2\r\n") == []


def test_the_declared_place_is_where_the_key_is() -> None:
    talk = Talk(place="body:json:$.id")
    payload = b'{"parent": "%s", "id": "%s"}' % (K2.encode(), K1.encode())
    assert talk.client(cmd("LPUSH", "jobs", payload)) == [publish(K1)]
    assert kinds(talk.client(cmd("LPUSH", "jobs", K1))) == [Kind.UNKEYED]


# consuming


def subscribed(how: str, auto_ack: bool) -> list[Sighting]:
    return [
        Sighting(Kind.SUBSCRIBE, data={"consumer": how, "source": True, "auto_ack": auto_ack}),
        Sighting(Kind.SUBSCRIBED, data={"consumer": how, "source": True}),
    ]


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (cmd("BRPOP", "other", "jobs", "0"), array(bulk("jobs"), bulk(body(K1)))),
        (cmd("BLPOP", "jobs", "5"), array(bulk("jobs"), bulk(body(K1)))),
        (cmd("RPOP", "jobs"), bulk(body(K1))),
        (cmd("LPOP", "jobs", "3"), array(bulk(body(K1)))),
        (cmd("LMPOP", "2", "other", "jobs", "LEFT"), array(bulk("jobs"), array(bulk(body(K1))))),
        (cmd("BLMPOP", "0", "1", "jobs", "LEFT", "COUNT", "4"), array(bulk("jobs"), array(bulk(body(K1))))),
    ],
)
def test_a_pop_settles_by_handing_over(talk: Talk, request_: bytes, reply: bytes) -> None:
    how = request_.split(b"\r\n")[2].decode()
    asked = talk.client(request_)
    assert asked[:2] == subscribed(how, auto_ack=True)
    assert asked[2].kind is Kind.ADVICE
    assert asked[2].data["code"] == "auto_ack"
    assert how in asked[2].data["detail"]
    assert talk.server(reply) == [deliver(K1, how)]
    assert talk.client(request_) == []  # said once


def test_a_pop_of_several_delivers_each(talk: Talk) -> None:
    talk.client(cmd("LPOP", "jobs", "2"))
    assert talk.server(array(bulk(K1), bulk(K2))) == [deliver(K1, "LPOP"), deliver(K2, "LPOP")]


@pytest.mark.parametrize("nothing", [b"*-1\r\n", b"_\r\n", b"-UNBLOCKED client unblocked\r\n"])
def test_a_pop_of_nothing(talk: Talk, nothing: bytes) -> None:
    talk.client(cmd("BRPOP", "jobs", "1"))
    assert talk.server(nothing) == []


def test_a_pop_of_another_list_is_no_subscription(talk: Talk) -> None:
    reply = array(bulk("other"), bulk(body(K1)))
    aside = Sighting(Kind.ASIDE, (K1,), {"what": "BRPOP", "to": "other"})
    assert talk.ask(cmd("BRPOP", "other", "0"), reply) == [aside]


@pytest.mark.parametrize("move", MOVES)
def test_a_move_delivers_and_lrem_settles(talk: Talk, move: bytes) -> None:
    how = move.split(b"\r\n")[2].decode()
    assert talk.client(move) == subscribed(how, auto_ack=False)
    assert talk.server(bulk(body(K1))) == [deliver(K1, how, "mine")]
    assert talk.client(cmd("LREM", "mine", "1", body(K1))) == [settle(K1)]
    assert talk.server(b":1\r\n") == []


def test_del_settles_all_that_is_known_there(talk: Talk) -> None:
    take(talk, K1, K2)
    assert talk.client(cmd("DEL", "mine")) == [settle(K1, K2)]
    assert talk.client(cmd("DEL", "mine")) == []
    assert talk.client(cmd("UNLINK", "other", "mine")) == []


@pytest.mark.parametrize(
    ("start", "stop", "covered"),
    [("1", "-1", [K1]), ("0", "-2", [K3]), ("1", "0", [K1, K2, K3]), ("0", "-1", []), ("-1", "-1", [K1, K2])],
)
def test_ltrim_settles_what_it_takes_off(talk: Talk, start: str, stop: str, covered: list[str]) -> None:
    take(talk, K1, K2, K3)
    assert talk.client(cmd("LTRIM", "mine", start, stop)) == ([settle(*covered)] if covered else [])


@pytest.mark.parametrize(
    ("pop", "reply"),
    [
        (cmd("LPOP", "mine"), bulk(body(K1))),
        (cmd("BRPOP", "mine", "0"), array(bulk("mine"), bulk(body(K1)))),
        (cmd("LMPOP", "1", "mine", "LEFT"), array(bulk("mine"), array(bulk(body(K1))))),
    ],
)
def test_a_pop_of_a_processing_list_settles_at_its_reply(talk: Talk, pop: bytes, reply: bytes) -> None:
    take(talk, K1)
    assert talk.client(pop) == []
    assert talk.server(reply) == [settle(K1)]


def test_a_new_connection_settles_and_reclaims_what_it_did_not_take(talk: Talk) -> None:
    assert talk.client(cmd("LREM", "older", "0", body(K1))) == [settle(K1)]
    talk.server(b":1\r\n")
    assert talk.client(cmd("LMOVE", "older", "jobs", "RIGHT", "RIGHT")) == []
    assert talk.server(bulk(body(K2))) == [Sighting(Kind.RECLAIM, (K2,), {"place": "older"})]
    talk.client(cmd("BLMOVE", "jobs", "mine", "RIGHT", "LEFT", "0"))
    assert talk.server(bulk(body(K2))) == [deliver(K2, "BLMOVE", "mine", redelivered=True)]


def test_a_reclaimed_key_is_delivered_again(talk: Talk) -> None:
    take(talk, K1)
    assert talk.ask(cmd("RPOPLPUSH", "mine", "jobs"), bulk(body(K1))) == [
        Sighting(Kind.RECLAIM, (K1,), {"place": "mine"})
    ]
    assert talk.ask(cmd("LMOVE", "jobs", "mine", "LEFT", "LEFT"), bulk(body(K1))) == [
        deliver(K1, "LMOVE", "mine", redelivered=True)
    ]


def test_a_move_on_from_the_processing_list_settles(talk: Talk) -> None:
    take(talk, K1)
    aside = Sighting(Kind.ASIDE, (K1,), {"what": "LMOVE", "to": "done"})
    assert talk.ask(cmd("LMOVE", "mine", "done", "LEFT", "LEFT"), bulk(body(K1))) == [settle(K1), aside]
    assert talk.client(cmd("DEL", "mine")) == []


def test_reading_a_list_is_nothing(talk: Talk) -> None:
    assert talk.ask(cmd("LRANGE", "jobs", "0", "-1"), array(bulk(body(K1)))) == []


def test_a_script_on_the_source_is_not_seen_through(talk: Talk) -> None:
    (advice,) = talk.client(cmd("EVAL", "return 1", "1", "jobs"))
    assert (advice.kind, advice.data["code"]) == (Kind.ADVICE, "script_on_source")
    assert talk.client(cmd("EVAL", "return 1", "1", "jobs")) == []
