"""The preconditions about the aimed message itself, sabotaged; and that no precondition goes without a sabotage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pytest
from bench import CLERK, Bench, missing, running, said

from chaosharness.brokers import rabbitmq_producer
from chaosharness.faults.crash import Crash
from chaosharness.model.verdict import Code, Verdict
from chaosharness.model.wait import wait_for
from chaosharness.ports.plugin import Injection, Target

CELL = "effect-ack:crash"
REQUEUED_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running(tmp_path_factory.mktemp("sabotage")) as bench:
        yield bench


def test_every_precondition_is_sabotaged_somewhere() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_sabotage*.py")]
    assert [code.value for code in Code if not any(f'"{code.value}"' in text for text in texts)] == []


def test_a_message_that_nobody_says_is_in_the_broker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Published without confirms, handed over, and its consumer dies for good before it settles it."""
    cell, brief = "deliver-effect:crash", replace(bench.flow, promise=replace(bench.flow.promise, drain_within_s=2.0))
    bench.green(cell, brief)

    def without_confirms(self: Any, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        self._confirming(channel)

    monkeypatch.setattr(rabbitmq_producer._Session, "_channel_opened", without_confirms)
    once = f"sh -c 'test -e {tmp_path}/ran && exit 7; touch {tmp_path}/ran; exec python3 {CLERK}'"
    mortal = replace(bench.with_command(once, restart="never"), promise=brief.promise)
    lacks = missing(bench.run(cell, mortal))
    assert "was neither reported ok, nor confirmed, nor settled" in lacks["owed_target"]


class Thief(Crash):
    """When the replica is dead, somebody else takes the aimed message: it is not handed over again."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        with super().inject(target) as injection:
            assert target.instance
            assert not target.instance.alive()
            self.steal(target.key)
            yield injection

    def steal(self, key: str) -> None:
        address = self.bench.broker.nodes["amqp"]
        login = pika.PlainCredentials("chaosharness", "chaosharness")
        vhost = self.bench.vhost()
        with pika.BlockingConnection(pika.ConnectionParameters(address.host, address.port, vhost, login)) as connection:
            channel = connection.channel()

            def stolen() -> bool:
                method, properties, _ = channel.basic_get("orders")
                if method is None or properties.message_id != key:
                    return False  # kept in hand until the connection closes, and then put back
                channel.basic_ack(method.delivery_tag)
                return True

            wait_for(f"{key} to be back in the queue", REQUEUED_WITHIN_S, stolen)


def test_a_message_that_is_not_handed_over_again(bench: Bench) -> None:
    bench.green(CELL)
    with bench.registry.replaced(Thief(bench)):
        result = bench.run(CELL)
    lacks = missing(result)
    assert set(lacks) == {"redelivered"}, said(result)
    assert lacks["redelivered"].endswith("was not handed over again after the fault")


class Mistaken(Crash):
    """A fault with a mistake of its own, as a plugin may have one."""

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        with super().inject(target) as injection:
            assert 1 / len(target.others) > 0
            yield injection


def test_a_fault_with_a_mistake_of_its_own(bench: Bench) -> None:
    """No traceback, no green run: the scenario is unproven, the run's exit code is 4, and the next scenario runs."""
    bench.green(CELL)
    with bench.registry.replaced(Mistaken()):
        lacks = missing(bench.run(CELL))
    assert lacks["observed_whole"].startswith("the harness broke: ZeroDivisionError: division by zero (")
    assert bench.session.result().exit_code == 4
    after = bench.run(CELL)
    assert after.verdict is Verdict.UPHELD, said(after)
