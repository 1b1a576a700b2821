"""When a scenario is drained, and what it waits for: a ledger that is followed, and the broker's counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosharness.ledger.writer import Ledger
from chaosharness.model.event import Event, Kind
from chaosharness.ports.plugin import Held
from chaosharness.scenario.drain import Drain
from chaosharness.scenario.observer import Observer

K1, K2 = "kabcd-000001", "kabcd-000002"
C, E = "payment.0>broker.0", "payment.0>effect.effect.0"
EMPTY, BUSY, UNKNOWN = Held(0, 0), Held(2, 1), Held(None, None)


class Bench:
    """A drain over a relay's ledger that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.relay = Ledger(folder, "relay")
        self.harness = Ledger(folder, "harness")
        self.observer = Observer(folder)
        self.held = EMPTY

    def drain(self, *hopeless: str, done: bool = True) -> Drain:
        drain = Drain(self.observer, 1, lambda: self.held, self.harness, lambda: done, frozenset(hopeless))
        drain._asked_at -= 60.0  # the broker was last asked long ago
        return drain

    def published(self, *keys: str) -> None:
        self.harness.append(Kind.COMPLETE, list(keys), data={"op": 1, "outcome": "ok"})

    def delivered(self, key: str) -> None:
        self.relay.append(Kind.CONNECT, link=C, conn=1)
        self.relay.append(Kind.DELIVER, [key], link=C, conn=1, data={"redelivered": False, "settled": False})

    def applied(self, key: str) -> None:
        self.relay.append(Kind.EFFECT, [key], link=E, conn=2, data={"sink": "effect", "effect": f"effect#{key}"})

    def looks(self, drain: Drain) -> tuple[bool, str]:
        self.observer.poll()
        return drain.drained(), drain.waiting_for

    def ends(self) -> list[Event]:
        self.observer.poll()
        return [e for e in self.observer.events if e.kind in (Kind.DRAINED, Kind.DRAIN_EXPIRED)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.observer.close()
    bench.relay.abandon()
    bench.harness.abandon()


def test_all_effects_and_an_empty_broker_are_the_end(bench: Bench) -> None:
    bench.published(K1)
    bench.applied(K1)
    assert bench.drain().run(1.0)
    assert [event.kind for event in bench.ends()] == [Kind.DRAINED]


def test_what_the_broker_still_has_is_waited_for(bench: Bench) -> None:
    bench.published(K1)
    bench.applied(K1)
    bench.held = BUSY
    assert bench.looks(bench.drain()) == (False, "the broker has 2 ready and 1 unacknowledged")
    bench.held = UNKNOWN
    assert bench.looks(bench.drain()) == (False, "the broker gives no counts")


def test_a_message_without_its_effect_is_held_or_lost_and_the_drain_says_which(bench: Bench) -> None:
    bench.published(K1, K2)
    bench.delivered(K1)
    bench.delivered(K2)
    bench.held = BUSY
    drained, waiting = bench.looks(bench.drain())
    assert (drained, waiting) == (False, f"effects of {K1}, {K2}; the broker has 2 ready and 1 unacknowledged")
    bench.held = EMPTY
    drained, waiting = bench.looks(bench.drain())
    assert not drained
    assert waiting.endswith("0 ready and 0 unacknowledged: lost, unless a service still works on them")
    assert not bench.drain().run(0.2)
    (end,) = bench.ends()
    assert (end.kind, end.data["waiting_for"]) == (Kind.DRAIN_EXPIRED, waiting)


def test_a_message_that_can_never_succeed_is_over_with_when_the_broker_has_it_no_more(bench: Bench) -> None:
    bench.published(K1)
    bench.delivered(K1)
    bench.held = BUSY
    assert bench.looks(bench.drain(K1))[0] is False
    bench.held = EMPTY
    assert bench.drain(K1).run(2.0)
    assert not bench.drain(K2).run(0.2)


def test_the_others_are_waited_for_all_the_same(bench: Bench) -> None:
    bench.published(K1, K2)
    bench.delivered(K1)
    bench.delivered(K2)
    drained, waiting = bench.looks(bench.drain(K1))
    assert (drained, waiting.startswith(f"effects of {K2}; ")) == (False, True)


def test_the_workloads_own_operations_come_first(bench: Bench) -> None:
    assert bench.looks(bench.drain(done=False)) == (False, "the workload's own operations")


def test_a_request_that_the_sink_still_handles_is_waited_for_until_it_ends_or_its_connection_does(bench: Bench) -> None:
    bench.relay.append(Kind.REQUEST, [K1], link=E, conn=2, data={"sink": "effect"})
    assert bench.looks(bench.drain()) == (False, f"requests that the sink still handles: {K1}")
    bench.relay.append(Kind.REFUSED, [K1], link=E, conn=2, data={"sink": "effect", "status": 0})
    bench.relay.append(Kind.DISCONNECT, link=E, conn=2, data={"by": "tap"})
    assert bench.drain().run(1.0)
