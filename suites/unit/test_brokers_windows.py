"""The windows that queues give: what is applicable to whom, at which gate, and what the broker promises after it."""

from __future__ import annotations

import pytest

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.brokers.redis_list import RedisListBroker
from chaosharness.model.flow import Flow, Producer, Service, Source
from chaosharness.model.gate import Point
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.model.window import Actor
from chaosharness.ports.plugin import Broker

BROKERS = [RabbitMQBroker(), RedisListBroker()]
SERVICE = Service("payment", "python -m payment")
PRODUCER_CELLS = {"publish-store:publish-lost", "store-confirm:confirm-lost"}
CONSUMER_CELLS = {
    "stored:broker-kill",
    "store-deliver:cut",
    "effect-ack:crash",
    "effect-ack:partition",
    "ack-settle:ack-lost",
}
REPUBLISH = {"store-confirm:republish"}


@pytest.fixture(params=BROKERS, ids=lambda broker: broker.name)
def broker(request: pytest.FixtureRequest) -> Broker:
    found: Broker = request.param
    return found


def flow(consumer: bool = True, producer: bool = True, semantic: Semantic | None = Semantic.AT_LEAST_ONCE) -> Flow:
    made = Producer(Service("shop", "python -m shop")) if producer else None
    return Flow("payment", Source("any", "orders"), Promise(semantic), SERVICE if consumer else None, made)


def applicable(broker: Broker, flow: Flow) -> set[str]:
    return {
        f"{aim.window}:{fault}"
        for aim in broker.aims(flow)
        for fault in aim.offers
        if fault not in aim.declined and "*" not in aim.declined
    }


def test_what_is_applicable_depends_on_who_the_harness_is_and_on_the_promise(broker: Broker) -> None:
    assert applicable(broker, flow()) == PRODUCER_CELLS | CONSUMER_CELLS | REPUBLISH
    assert applicable(broker, flow(producer=False)) == CONSUMER_CELLS | REPUBLISH
    assert applicable(broker, flow(consumer=False)) == PRODUCER_CELLS | REPUBLISH
    assert applicable(broker, flow(False, False, None)) == REPUBLISH
    assert applicable(broker, flow(semantic=Semantic.AT_MOST_ONCE)) == PRODUCER_CELLS | CONSUMER_CELLS


def test_each_aim_says_its_gate(broker: Broker) -> None:
    aims = {aim.offers[0]: aim for aim in broker.aims(flow())}
    assert {fault: (aim.point, aim.actor) for fault, aim in aims.items()} == {
        "publish-lost": (Point.PUBLISH, Actor.PRODUCER),
        "confirm-lost": (Point.CONFIRM, Actor.PRODUCER),
        "republish": (Point.DELIVER, Actor.CONSUMER),
        "broker-kill": (Point.DELIVER, Actor.CONSUMER),
        "cut": (Point.DELIVER, Actor.CONSUMER),
        "crash": (Point.SETTLE, Actor.CONSUMER),
        "ack-lost": (Point.SETTLE, Actor.CONSUMER),
    }
    assert [aim.window for aim in aims.values() if aim.after_effects] == ["effect-ack"]
    assert [aim.window for aim in aims.values() if aim.unsettled] == ["stored"]
    assert {aim.server for aim in aims.values()} == {"broker"}


def test_a_redelivery_is_promised_by_a_broker_that_redelivers_where_a_delivery_was_lost() -> None:
    promised = {"broker-kill", "crash", "partition", "ack-lost"}
    assert {fault for aim in RabbitMQBroker().aims(flow()) for fault in aim.redelivers} == promised
    assert {fault for aim in RedisListBroker().aims(flow()) for fault in aim.redelivers} == set()


def test_a_declined_window_says_why(broker: Broker) -> None:
    reasons = {aim.offers[0]: dict(aim.declined) for aim in broker.aims(flow(False, False, Semantic.AT_MOST_ONCE))}
    assert reasons["publish-lost"] == {"*": "the harness is the producer: this would test the harness"}
    assert reasons["crash"]["*"].startswith("the harness reads the source itself: ")
    assert "at_most_once" in reasons["republish"]["republish"]
    assert all(reasons.values())
