"""Quorum queues as a flow's source: counts that are of now, survival of an early SIGKILL, a limit of deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pika
import pytest
from rabbitmq_rig import SOON_S, Rig, key, keys, running

from chaosharness.brokers.rabbitmq import RabbitMQBroker, _parameters
from chaosharness.model.flow import Source
from chaosharness.model.key import KeyFinder
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Namespace, Scope, Signal
from chaosharness.ports.plugin import Held

BROKER = RabbitMQBroker()
SOURCE = Source(
    "rabbitmq",
    "orders",
    options={"dead_letter": "dead", "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 2}},
)
PROMPTLY_S = 2.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("quorum")) as rig:
        yield rig


@pytest.fixture
def namespace(rig: Rig) -> Iterator[Namespace]:
    with rig.lease() as namespace:
        BROKER.declare(rig.instance, namespace, SOURCE)
        yield namespace


def connected(rig: Rig, namespace: Namespace) -> pika.BlockingConnection:
    return pika.BlockingConnection(_parameters(rig.amqp, namespace, "a test"))


def publish(rig: Rig, namespace: Namespace, *wanted: str) -> None:
    with closing(connected(rig, namespace)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for one in wanted:
            channel.basic_publish("", "orders", one.encode(), pika.BasicProperties(delivery_mode=2))


def comes_to(rig: Rig, namespace: Namespace, expected: Held) -> None:
    def look() -> bool:
        return BROKER.held(rig.instance, namespace, SOURCE, ()) == expected

    wait_for(f"{expected}", PROMPTLY_S, look, last_seen=lambda: BROKER.held(rig.instance, namespace, SOURCE, ()))


def yields(rig: Rig, namespace: Namespace) -> dict[str, list[str]]:
    found = BROKER.yields(rig.instance, namespace, SOURCE, (), KeyFinder("kabcd").find)
    return {place: sorted(them) for place, them in found.items()}


def test_its_counts_are_of_now(rig: Rig, namespace: Namespace) -> None:
    publish(rig, namespace, *keys(5))
    comes_to(rig, namespace, Held(5, 0, 0))
    with closing(connected(rig, namespace)) as connection:
        channel = connection.channel()
        method, _, _ = channel.basic_get("orders")
        comes_to(rig, namespace, Held(4, 1, 0))
        channel.basic_reject(method.delivery_tag, requeue=False)
        comes_to(rig, namespace, Held(4, 0, 1))
    assert yields(rig, namespace) == {"orders": sorted(keys(4, first=1)), "dead:dead": [key(0)]}


def test_one_that_was_declared_a_moment_ago_outlives_a_sigkill(rig: Rig, namespace: Namespace) -> None:
    publish(rig, namespace, *keys(5))
    BROKER.settle(rig.instance, namespace)
    assert rig.instance.signal(Signal.KILL, Scope.TREE).ok
    rig.instance.restart(keep_data=True)
    rig.server.wait_ready(rig.instance)
    wait_for("the queue to have a leader again", SOON_S, lambda: BROKER.held(rig.instance, namespace, SOURCE, ()).ready)
    assert yields(rig, namespace)["orders"] == sorted(keys(5))


def test_a_message_whose_consumers_are_gone_again_and_again_is_dead_lettered_at_the_limit(
    rig: Rig, namespace: Namespace
) -> None:
    publish(rig, namespace, key(1))

    def taken() -> bool:
        with closing(connected(rig, namespace)) as connection:
            return connection.channel().basic_get("orders")[0] is not None

    for _ in range(3):
        wait_for("the message to be handed over", PROMPTLY_S, taken)
    comes_to(rig, namespace, Held(0, 0, 1))
