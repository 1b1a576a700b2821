"""What the HTTP sink applies once: under one idempotency key, at its gates, and when a client or a scenario ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from http_bench import APPLIED, WITHIN_S, Bench, Caller, bench_of, charge
from relay_bench import AIMED, KEYS

from chaosharness.model.event import Kind
from chaosharness.model.flow import Effect
from chaosharness.model.gate import Point
from chaosharness.relay.client import RelayClient
from chaosharness.servers.local import LocalLauncher


@pytest.fixture(scope="module")
def relay(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayClient]:
    relay = RelayClient.start(launcher, tmp_path_factory.mktemp("relay"))
    yield relay
    relay.close()


@pytest.fixture
def bench(relay: RelayClient, tmp_path: Path) -> Iterator[Bench]:
    with bench_of(relay, tmp_path / "ledger") as bench:
        yield bench


# -- idempotency -------------------------------------------------------------------------------------------------------


def test_a_repeated_request_is_a_replay(bench: Bench) -> None:
    bench.sink()
    for _ in range(2):
        caller = bench.caller()
        caller.send(charge(AIMED, idem="i-1"))
        assert caller.answer().status == 200
    assert bench.kinds() == [*APPLIED, Kind.REQUEST, Kind.REPLAY, Kind.RESPONSE]
    assert {event.data["idempotency_key"] for event in bench.scene.events(Kind.EFFECT, Kind.REPLAY)} == {"i-1"}


def test_without_an_idempotency_key_a_repeated_request_is_an_effect_again(bench: Bench) -> None:
    caller = bench.sink().caller()
    for _ in range(2):
        caller.send(charge(AIMED))
        assert caller.answer().status == 200
    assert bench.keys(Kind.EFFECT) == [AIMED, AIMED]


def test_an_idempotency_key_with_another_body_is_a_clash(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(charge(AIMED, idem="i-1"), charge(KEYS[5], idem="i-1"))
    assert [caller.answer().status for _ in range(2)] == [200, 409]
    assert bench.keys(Kind.EFFECT) == [AIMED]
    assert bench.keys(Kind.KEY_REUSED) == [KEYS[5]]


def test_many_connections_at_once_with_one_idempotency_key_have_one_effect(bench: Bench) -> None:
    bench.sink()
    callers = [bench.caller() for _ in range(20)]
    together = threading.Barrier(len(callers))

    def call(caller: Caller) -> None:
        together.wait(WITHIN_S)
        caller.send(charge(AIMED, idem=AIMED))

    threads = [threading.Thread(target=call, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN_S)
    assert {caller.answer().status for caller in callers} == {200}
    assert bench.keys(Kind.EFFECT) == [AIMED]
    assert bench.keys(Kind.REPLAY) == [AIMED] * 19


def test_a_request_overtaken_while_it_was_held_is_the_replay(bench: Bench) -> None:
    bench.arm(Point.REQUEST)
    first, second = bench.sink().caller(), bench.caller()
    first.send(charge(AIMED, idem=AIMED))
    (held,) = bench.scene.wait(Kind.GATE_HELD)
    second.send(charge(AIMED, idem=AIMED))
    assert second.answer().status == 200
    assert bench.scene.release(forward=True)
    assert first.answer().status == 200
    (effect,), (replay,) = bench.scene.events(Kind.EFFECT), bench.scene.events(Kind.REPLAY)
    assert effect.conn != held.conn == replay.conn


# -- gates -------------------------------------------------------------------------------------------------------------


def by_fin(caller: Caller) -> None:
    caller.close()


def by_reset(caller: Caller) -> None:
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    caller.close()


@pytest.mark.parametrize("goes", [by_fin, by_reset])
def test_a_request_whose_connection_goes_while_it_is_held_is_never_applied(
    bench: Bench, goes: Callable[[Caller], None]
) -> None:
    bench.arm(Point.REQUEST)
    caller = bench.sink().caller()
    caller.send(charge(AIMED, idem=AIMED))
    bench.scene.wait(Kind.GATE_HELD)
    goes(caller)
    bench.scene.wait(Kind.DISCARDED)
    assert bench.scene.released() == (False, "connection gone")
    assert not bench.scene.release(forward=True)
    again = bench.caller()
    again.send(charge(AIMED, idem=AIMED))
    assert again.answer().status == 200
    assert bench.kinds() == [Kind.REQUEST, Kind.DISCARDED, *APPLIED]


@pytest.mark.parametrize("goes", [by_fin, by_reset])
def test_an_effect_whose_answer_was_held_stands(bench: Bench, goes: Callable[[Caller], None]) -> None:
    bench.arm(Point.RESPONSE)
    caller = bench.sink().caller()
    caller.send(charge(AIMED, idem=AIMED))
    bench.scene.wait(Kind.GATE_HELD)
    assert bench.kinds() == [Kind.REQUEST, Kind.EFFECT]
    goes(caller)
    assert bench.scene.released() == (False, "connection gone")
    again = bench.caller()
    again.send(charge(AIMED, idem=AIMED))
    assert again.answer().status == 200
    assert bench.kinds() == [Kind.REQUEST, Kind.EFFECT, Kind.REQUEST, Kind.REPLAY, Kind.RESPONSE]


def test_a_request_held_past_its_deadline_goes_on(bench: Bench) -> None:
    bench.arm(Point.REQUEST, deadline_s=0.2)
    caller = bench.sink().caller()
    caller.send(charge(AIMED))
    assert caller.answer().status == 200
    assert bench.scene.released() == (True, "deadline")
    assert bench.keys(Kind.EFFECT) == [AIMED]


def test_another_sink_of_the_scenario_has_effects_of_its_own(bench: Bench) -> None:
    bench.sink(Effect("mail", "http", "POST /v1/charges", idempotent_by="header:Idempotency-Key"))
    mail = bench.caller()
    charges = bench.sink().caller()
    for caller in (mail, charges):
        caller.send(charge(AIMED, idem=AIMED))
        assert caller.answer().status == 200
    assert [event.data["sink"] for event in bench.scene.events(Kind.EFFECT)] == ["mail", "charge"]


def test_a_connection_left_open_outlives_no_scenario(relay: RelayClient, tmp_path: Path) -> None:
    with bench_of(relay, tmp_path / "first") as first:
        idle, held = first.sink().caller(), first.caller()
        idle.send(charge(KEYS[0], idem="i-1"))
        assert idle.answer().status == 200
        first.arm(Point.REQUEST)
        held.send(charge(AIMED, idem="i-2"))
        first.scene.wait(Kind.GATE_HELD)
        relay.end()
        assert idle.closed()
        assert held.closed()
    assert first.scene.released() == (False, "connection gone")
    with bench_of(relay, tmp_path / "second") as second:
        caller = second.sink().caller()
        caller.send(charge(KEYS[0], idem="i-1"))
        assert caller.answer().status == 200
    assert first.keys(Kind.EFFECT) == second.keys(Kind.EFFECT) == KEYS[:1]


def test_a_closed_sink_takes_nothing_more_on_an_open_connection(bench: Bench) -> None:
    bench.arm(Point.REQUEST)
    caller, held = bench.sink().caller(), bench.caller()
    caller.send(charge(KEYS[0]))
    assert caller.answer().status == 200
    held.send(charge(AIMED))
    bench.scene.wait(Kind.GATE_HELD)
    bench.scene.relay.close_sinks()
    assert caller.closed()
    bench.scene.wait(Kind.DISCARDED)
    assert bench.keys(Kind.EFFECT) == KEYS[:1]
    assert [event.data["by"] for event in bench.scene.events(Kind.DISCONNECT)] == ["tap", "tap"]
    with pytest.raises(ConnectionRefusedError):
        bench.caller()
