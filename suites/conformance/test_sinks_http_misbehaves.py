"""The HTTP sink when it is told to misbehave: an answer cut off, a request applied late, an outage, a key refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_bench import APPLIED, CHARGE, SERVER, Bench, Caller, bench_of, charge
from relay_bench import AIMED, KEYS

from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.gate import Action, Point
from chaosharness.relay.client import RelayClient
from chaosharness.servers.local import LocalLauncher

PROMPTLY_S = 5.0


@pytest.fixture(scope="module")
def relay(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayClient]:
    relay = RelayClient.start(launcher, tmp_path_factory.mktemp("relay"))
    yield relay
    relay.close()


@pytest.fixture
def bench(relay: RelayClient, tmp_path: Path) -> Iterator[Bench]:
    with bench_of(relay, tmp_path / "ledger") as bench:
        yield bench.sink()


def tell(bench: Bench, **control: object) -> object:
    return bench.scene.relay.control_sink(CHARGE.name, control)


def asked(bench: Bench, key: str, caller: Caller | None = None) -> int:
    """The status of the answer."""
    caller = caller or bench.caller()
    caller.send(charge(key, idem=key))
    return caller.answer().status


# -- response-lost -----------------------------------------------------------------------------------------------------


def test_an_answer_that_is_cut_was_applied_and_is_never_seen(bench: Bench) -> None:
    bench.scene.arm(Point.RESPONSE, Action.CUT, server=SERVER)
    caller = bench.caller()
    caller.send(charge(AIMED, idem=AIMED), charge(KEYS[5], idem=KEYS[5]))
    assert caller.closed()
    (cut,) = bench.scene.wait(Kind.GATE_CUT)
    assert cut.data["bytes"] > len("HTTP/1.1 200")
    (gone,) = bench.scene.wait(Kind.DISCONNECT)
    assert (gone.conn, gone.data["by"]) == (cut.conn, "tap")
    assert bench.kinds() == [Kind.REQUEST, Kind.EFFECT]
    assert asked(bench, AIMED) == 200
    assert bench.keys(Kind.REPLAY) == [AIMED]


def test_a_cut_meets_the_aimed_answer_alone(bench: Bench) -> None:
    bench.scene.arm(Point.RESPONSE, Action.CUT, server=SERVER)
    assert [asked(bench, key) for key in KEYS[:3]] == [200, 200, 200]
    assert bench.scene.events(Kind.GATE_CUT) == []


def test_a_request_that_is_cut_is_not_applied(bench: Bench) -> None:
    bench.scene.arm(Point.REQUEST, Action.CUT, server=SERVER)
    caller = bench.caller()
    caller.send(charge(AIMED))
    assert caller.closed()
    bench.scene.wait(Kind.DISCARDED)
    assert bench.keys(Kind.EFFECT) == []


# -- apply-late --------------------------------------------------------------------------------------------------------


def test_a_request_whose_caller_gave_up_is_applied_late(bench: Bench) -> None:
    tell(bench, apply_late=[AIMED])
    bench.arm(Point.REQUEST)
    caller = bench.caller()
    caller.send(charge(AIMED, idem=AIMED))
    (held,) = bench.scene.wait(Kind.GATE_HELD)
    assert bench.keys(Kind.EFFECT) == []
    caller.close()
    (effect,) = bench.scene.wait(Kind.EFFECT)
    assert effect.conn == held.conn
    assert bench.scene.released() == (False, "connection gone")
    assert asked(bench, AIMED) == 200
    assert bench.kinds() == [Kind.REQUEST, Kind.EFFECT, Kind.REQUEST, Kind.REPLAY, Kind.RESPONSE]


def test_another_whose_caller_gave_up_is_not(bench: Bench) -> None:
    tell(bench, apply_late=[KEYS[5]])
    bench.arm(Point.REQUEST)
    caller = bench.caller()
    caller.send(charge(AIMED, idem=AIMED))
    bench.scene.wait(Kind.GATE_HELD)
    caller.close()
    bench.scene.wait(Kind.DISCARDED)
    assert bench.keys(Kind.EFFECT) == []


def test_a_caller_that_waits_gets_its_answer(bench: Bench) -> None:
    tell(bench, apply_late=[AIMED])
    bench.arm(Point.REQUEST)
    caller = bench.caller()
    caller.send(charge(AIMED, idem=AIMED))
    bench.scene.wait(Kind.GATE_HELD)
    tell(bench, apply_late=[])
    assert bench.scene.release(forward=True)
    assert caller.answer().status == 200
    assert bench.kinds() == APPLIED


# -- outage ------------------------------------------------------------------------------------------------------------


def test_an_outage_refuses_in_turn_and_then_answers_nobody_until_its_end(bench: Bench) -> None:
    tell(bench, outage=[503, 429, 0])
    first = bench.caller()
    first.send(charge(KEYS[0]))
    assert first.answer().status == 503
    first.send(charge(KEYS[1]))
    again_in = first.answer()
    assert (again_in.status, again_in.headers["retry-after"]) == (429, "1")
    second = bench.caller()
    for caller in (first, second):
        caller.send(charge(AIMED))
    bench.scene.wait(Kind.REFUSED, count=4)
    second.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        second.socket.recv(1)
    second.socket.settimeout(PROMPTLY_S)
    assert tell(bench, outage=[]) == {"met": 4}
    assert first.closed()
    assert second.socket.recv(1) == b""
    assert [event.data["status"] for event in bench.scene.events(Kind.REFUSED)] == [503, 429, 0, 0]
    assert [event.data["by"] for event in bench.scene.wait(Kind.DISCONNECT, count=2)] == ["tap", "tap"]
    assert bench.keys(Kind.EFFECT) == []
    assert asked(bench, AIMED) == 200
    assert bench.keys(Kind.EFFECT) == [AIMED]


def test_a_caller_without_an_answer_may_go_and_nothing_is_applied(bench: Bench) -> None:
    tell(bench, outage=[0])
    caller = bench.caller()
    caller.send(charge(AIMED))
    bench.scene.wait(Kind.REFUSED)
    caller.close()
    (gone,) = bench.scene.wait(Kind.DISCONNECT)
    assert gone.data["by"] == "client"
    assert tell(bench, outage=[]) == {"met": 1}
    assert bench.kinds() == [Kind.REQUEST, Kind.REFUSED]


def test_an_outage_does_not_outlive_its_scenario(relay: RelayClient, tmp_path: Path) -> None:
    with bench_of(relay, tmp_path / "first") as first:
        first.sink()
        tell(first, outage=[0], refuse={AIMED: 422})
        caller = first.caller()
        caller.send(charge(KEYS[5]))
        first.scene.wait(Kind.REFUSED)
        began = time.monotonic()
        relay.end()
        assert caller.closed()
        assert time.monotonic() - began < PROMPTLY_S
    with bench_of(relay, tmp_path / "second") as second:
        second.sink()
        assert asked(second, AIMED) == 200


# -- a key that is refused for good ------------------------------------------------------------------------------------


def test_a_key_is_refused_for_good_and_others_are_taken(bench: Bench) -> None:
    tell(bench, refuse={AIMED: 422})
    caller = bench.caller()
    assert [asked(bench, key, caller) for key in (AIMED, KEYS[5], AIMED)] == [422, 200, 422]
    assert (bench.keys(Kind.REFUSED), bench.keys(Kind.EFFECT)) == ([AIMED, AIMED], [KEYS[5]])


def test_a_key_that_is_refused_without_an_answer_loses_its_connection_each_time(bench: Bench) -> None:
    tell(bench, refuse={AIMED: 0})
    for _ in range(2):
        caller = bench.caller()
        caller.send(charge(AIMED))
        assert caller.closed()
    assert bench.keys(Kind.REFUSED) == [AIMED, AIMED]
    assert bench.keys(Kind.EFFECT) == []


def test_what_the_sink_does_not_know_it_says(bench: Bench) -> None:
    with pytest.raises(HarnessBroke, match="a sink knows outage, refuse and apply_late, found explode"):
        tell(bench, explode=True)
    assert asked(bench, AIMED) == 200
