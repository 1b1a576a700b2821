"""A store's tap on literal bytes: what is recorded, looked up and forgotten, told by the key in the arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hostile import Turn, as_it_came, finder, hold_tap, kinds
from hypothesis import given
from hypothesis import strategies as st
from taps_resp_talk import FOREIGN, K1, K2, K3, NIL, OK, QUEUED, UNHURRIED, array, bulk, cmd
from test_taps_hostile import edits, mutated

from chaosharness.model.event import Kind, Sighting
from chaosharness.ports.wire import CodecOptions, Side
from chaosharness.taps.redis_store import RedisStoreCodec

C, S = Side.CLIENT, Side.SERVER
ONE, ZERO = b":1\r\n", b":0\r\n"


def made() -> RedisStoreCodec:
    return RedisStoreCodec(CodecOptions("dedup"), finder())


class Talk:
    """A codec, asked and answered."""

    def __init__(self) -> None:
        self.codec = made()

    def feed(self, side: Side, data: bytes) -> list[Sighting]:
        units = self.codec.feed(side, data)
        assert b"".join(unit.data for unit in units) == data
        return [seen for unit in units for seen in unit.seen]

    def ask(self, request: bytes, reply: bytes) -> list[Sighting]:
        return self.feed(C, request) + self.feed(S, reply)


def record(command: str, *keys: str, **data: Any) -> Sighting:
    return Sighting(Kind.RECORD, keys or (K1,), {"store": "dedup", "command": command, "fresh_only": False, **data})


def recorded(ok: bool, *keys: str) -> Sighting:
    return Sighting(Kind.RECORDED, keys or (K1,), {"store": "dedup", "ok": ok})


def lookup(command: str, *keys: str) -> Sighting:
    return Sighting(Kind.LOOKUP, keys or (K1,), {"store": "dedup", "command": command})


def looked_up(found: bool, *keys: str) -> Sighting:
    return Sighting(Kind.LOOKED_UP, keys or (K1,), {"store": "dedup", "found": found})


def forget(command: str) -> Sighting:
    return Sighting(Kind.FORGET, (K1,), {"store": "dedup", "command": command})


D = f"done:{K1}"
ALL = f"all:{K1}"


@pytest.mark.parametrize(
    ("request_", "reply", "data", "ok"),
    [
        (("SET", D, "1"), OK, {"ttl_s": None}, True),
        (("set", D, "1", "NX", "EX", "60"), OK, {"ttl_s": 60.0, "fresh_only": True}, True),
        (("SET", D, "1", "px", "1500", "nx"), NIL, {"ttl_s": 1.5, "fresh_only": True}, False),
        (("SET", D, "NX"), OK, {"ttl_s": None}, True),
        (("SET", D, "1", "KEEPTTL"), OK, {}, True),
        (("SET", D, "1", "EXAT", "1795472272"), OK, {}, True),
        (("SET", D, "1", "EX", "x"), b"-ERR not an integer\r\n", {}, False),
        (("SET", D, "1", "GET"), NIL, {"ttl_s": None}, True),
        (("SET", D, "1", "GET"), bulk("0"), {"ttl_s": None}, False),
        (("SETNX", D, "1"), ONE, {"ttl_s": None, "fresh_only": True}, True),
        (("SETNX", D, "1"), ZERO, {"ttl_s": None, "fresh_only": True}, False),
        (("SETEX", D, "30", "1"), OK, {"ttl_s": 30.0}, True),
        (("PSETEX", D, "30", "1"), OK, {"ttl_s": 0.03}, True),
        (("GETSET", D, "1"), NIL, {"ttl_s": None}, True),
        (("GETSET", D, "1"), bulk("1"), {"ttl_s": None}, False),
        (("INCR", D), ONE, {"ttl_s": None}, True),
        (("INCR", D), b":2\r\n", {"ttl_s": None}, False),
        (("HSETNX", "done", K1, "1"), ZERO, {"fresh_only": True}, False),
        (("HSET", "done", K1, "1"), ZERO, {}, True),
        (("HSETEX", "done", "FNX", "EX", "9", "FIELDS", "1", K1, "1"), ONE, {"fresh_only": True, "ttl_s": 9.0}, True),
        (("SADD", "done", K1), ONE, {"fresh_only": True}, True),
        (("SADD", "done", f'{{"id": "{K1}"}}'), ZERO, {"fresh_only": True}, False),
        (("ZADD", "done", "NX", "1795472272", K1), ZERO, {"fresh_only": True}, False),
        (("ZADD", "done", "1795472272", K1), ZERO, {}, True),
        (("SET", "lock", K1), OK, {"ttl_s": None}, True),
        (("SET", D, "1"), b"-OOM no memory\r\n", {"ttl_s": None}, False),
        (("EXPIRE", D, "60"), ONE, {"ttl_s": 60.0}, True),
        (("PEXPIRE", D, "60"), ZERO, {"ttl_s": 0.06}, False),
        (("EXPIREAT", D, "1795472272"), ONE, {}, True),
    ],
)
def test_a_record_and_its_answer(request_: tuple[str, ...], reply: bytes, data: dict[str, Any], ok: bool) -> None:
    said = record(request_[0].upper(), entry=request_[1], **data)
    assert Talk().ask(cmd(*request_), reply) == [said, recorded(ok)]


def test_a_record_of_several() -> None:
    seen = Talk().ask(cmd("MSET", f"a:{K1}", "1", f"a:{K2}", "1"), OK)
    assert seen == [record("MSET", K1, K2), recorded(True, K1, K2)]


@pytest.mark.parametrize(
    ("request_", "reply", "found"),
    [
        (("GET", D), NIL, False),
        (("GET", D), bulk(""), True),
        (("GET", D), bulk("f"), True),
        (("GET", D), b"_\r\n", False),
        (("EXISTS", D), ONE, True),
        (("EXISTS", D), ZERO, False),
        (("TTL", D), b":-2\r\n", False),
        (("PTTL", D), b":-1\r\n", True),
        (("TYPE", D), b"+none\r\n", False),
        (("TYPE", D), b"+string\r\n", True),
        (("HGET", "done", K1), bulk("1"), True),
        (("HGETALL", D), b"*0\r\n", False),
        (("HGETALL", D), array(bulk("at"), bulk("1")), True),
        (("HEXISTS", "done", K1), ZERO, False),
        (("SISMEMBER", "done", K1), ONE, True),
        (("ZSCORE", "done", K1), b",0\r\n", True),
        (("ZRANK", "done", K1), ZERO, True),
        (("LPOS", "done", K1), NIL, False),
        (("BF.EXISTS", "done", K1), b"#f\r\n", False),
        (("BF.EXISTS", "done", K1), b"#t\r\n", True),
    ],
)
def test_a_look_up_and_its_answer(request_: tuple[str, ...], reply: bytes, found: bool) -> None:
    assert Talk().ask(cmd(*request_), reply) == [lookup(request_[0]), looked_up(found)]


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (("MGET", f"a:{K1}", "other", f"a:{K2}"), array(bulk("1"), NIL, NIL)),
        (("SMISMEMBER", "done", K1, K2), array(ONE, ZERO)),
        (("HMGET", "done", K1, K2), array(bulk("x"), NIL)),
    ],
)
def test_a_look_up_of_several_tells_them_apart(request_: tuple[str, ...], reply: bytes) -> None:
    seen = Talk().ask(cmd(*request_), reply)
    assert seen == [lookup(request_[0], K1, K2), looked_up(True, K1), looked_up(False, K2)]


def test_an_error_answers_no_look_up() -> None:
    assert Talk().ask(cmd("GET", D), b"-LOADING\r\n") == [lookup("GET")]


@pytest.mark.parametrize(
    "request_",
    [
        ("DEL", D), ("UNLINK", D), ("GETDEL", D), ("SREM", "done", K1), ("HDEL", "done", K1), ("ZREM", "done", K1),
        ("PERSIST", D), ("EXPIRE", D, "0"), ("PEXPIRE", D, "-1"),
    ],
)  # fmt: skip
def test_what_is_forgotten(request_: tuple[str, ...]) -> None:
    assert Talk().ask(cmd(*request_), ONE) == [forget(request_[0])]


def test_a_shorter_time_to_live_is_forgetting_and_a_first_or_longer_one_is_not() -> None:
    talk = Talk()
    assert talk.ask(cmd("SETNX", D, "1"), ONE)[1] == recorded(True)
    assert talk.ask(cmd("EXPIRE", D, "60"), ONE) == [record("EXPIRE", entry=D, ttl_s=60.0), recorded(True)]
    assert talk.ask(cmd("EXPIRE", D, "90"), ONE) == [record("EXPIRE", entry=D, ttl_s=90.0), recorded(True)]
    assert talk.ask(cmd("INCR", D), b":2\r\n") == [record("INCR", entry=D, ttl_s=90.0), recorded(False)]
    assert talk.ask(cmd("EXPIRE", D, "5"), ONE) == [forget("EXPIRE")]


@pytest.mark.parametrize("name", ["EVAL", "EVALSHA", "FCALL"])
def test_a_script_counts_as_a_record_whose_time_to_live_nobody_knows(name: str) -> None:
    talk = Talk()
    first, advice, answer = talk.ask(cmd(name, "x", "1", D), ONE)
    assert (first, answer) == (record(name), recorded(True))
    assert (advice.kind, advice.data["code"]) == (Kind.ADVICE, "script_on_store")
    assert talk.ask(cmd(name, "x", "1", D), NIL) == [record(name), recorded(False)]


def test_a_transaction_takes_effect_at_exec() -> None:
    talk = Talk()
    assert talk.ask(cmd("MULTI") + cmd("SETNX", D, "1") + cmd("EXPIRE", D, "9"), OK + QUEUED + QUEUED) == []
    assert kinds(talk.feed(C, cmd("EXEC"))) == [Kind.RECORD, Kind.RECORD]
    assert talk.feed(S, array(ONE, ONE)) == [recorded(True), recorded(True)]


def test_what_a_pipeline_asks_is_answered_in_order() -> None:
    talk = Talk()
    asked = talk.feed(C, cmd("EXISTS", D) + cmd("PING") + cmd("SETNX", D, "1") + cmd("GET", f"x:{K2}"))
    assert kinds(asked) == [Kind.LOOKUP, Kind.RECORD, Kind.LOOKUP]
    assert talk.feed(S, ZERO + b"+PONG\r\n" + ONE + NIL) == [
        looked_up(False), recorded(True), looked_up(False, K2)
    ]  # fmt: skip


def test_what_names_no_message_is_passed_over() -> None:
    talk = Talk()
    assert talk.ask(cmd("SET", "config", "1") + cmd("GET", "config") + cmd("LPUSH", "log", D), OK + NIL + ONE) == []


def test_a_key_of_another_scenario_is_told() -> None:
    assert Talk().ask(cmd("GET", f"done:{FOREIGN}"), NIL) == [Sighting(Kind.FOREIGN_KEY, data={"found": FOREIGN})]


def test_each_command_and_each_answer_is_a_unit_of_its_own() -> None:
    codec = made()
    assert [len(unit.seen) for unit in codec.feed(C, cmd("SETNX", D, "1") + cmd("GET", D))] == [1, 1]
    assert [unit.data for unit in codec.feed(S, ONE + bulk("1"))] == [ONE, bulk("1")]


TALKS: dict[str, list[Turn]] = {
    "claims": [
        (C, cmd("HELLO", "3") + cmd("SET", D, "me", "NX", "EX", "3") + cmd("EXISTS", f"x:{K2}")),
        (S, b"%1\r\n" + bulk("proto") + b":3\r\n" + OK + ZERO),
        (C, cmd("MULTI") + cmd("SADD", "done", K2, K3) + cmd("PEXPIRE", D, "100") + cmd("EXEC")),
        (S, OK + QUEUED + QUEUED + array(ONE, ONE)),
        (C, cmd("EVAL", "return 1", "1", D) + cmd("MGET", D, K2) + cmd("SUBSCRIBE", "a") + cmd("UNSUBSCRIBE")),
        (S, ONE + array(bulk("x"), NIL) + array(bulk("subscribe"), bulk("a"), ONE, mark=b">")),
        (S, array(bulk("unsubscribe"), bulk("a"), ZERO, mark=b">")),
        (C, cmd("DEL", D) + cmd("GET", f"done:{FOREIGN}") + cmd("EXPIRE") + cmd("SET") + cmd("TTL", K1)),
        (S, ONE + NIL + b"-ERR\r\n" + b"-ERR\r\n" + b":-2\r\n"),
    ]
}


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_what_is_no_attack_is_read_to_its_end(piece: int) -> None:
    seen = hold_tap(made, TALKS["claims"], as_it_came, piece)
    assert Kind.UNPARSED not in kinds(seen)
    assert seen == hold_tap(made, TALKS["claims"], as_it_came)
    assert {Kind.RECORD, Kind.RECORDED, Kind.LOOKUP, Kind.LOOKED_UP, Kind.FORGET, Kind.FOREIGN_KEY} <= set(kinds(seen))


@UNHURRIED
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=40)), max_size=12), st.integers(0, 9))
def test_noise(turns: list[Turn], piece: int) -> None:
    hold_tap(made, turns, as_it_came, piece)


@UNHURRIED
@given(edits, st.integers(0, 40))
def test_a_conversation_that_is_tampered_with(changes: list[tuple[str, int, int, bytes]], piece: int) -> None:
    turns = mutated(TALKS["claims"], changes)
    whole, parts = hold_tap(made, turns, as_it_came), hold_tap(made, turns, as_it_came, piece)
    assert [seen for seen in whole if seen.kind is not Kind.UNPARSED] == [
        seen for seen in parts if seen.kind is not Kind.UNPARSED
    ]


WORDS = st.sampled_from([b"SET", b"ZADD", b"EXPIRE", b"HSETEX", b"MGET", b"EX", b"NX", b"60", D.encode(), b"", b"EXEC"])


@UNHURRIED
@given(
    st.lists(st.lists(WORDS, min_size=1, max_size=5), max_size=6), st.lists(st.sampled_from([OK, ONE, NIL, b"*0\r\n"]))
)
def test_any_command_with_any_answer(commands: list[list[bytes]], answers: list[bytes]) -> None:
    turns = [(C, b"".join(cmd(*words) for words in commands)), (S, b"".join(answers))]
    hold_tap(made, turns, as_it_came)
