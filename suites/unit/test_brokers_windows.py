"""The windows that queues give: what is applicable to whom, at which gate, and what the broker promises after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.brokers.redis_list import RedisListBroker
from chaosharness.model.flow import Effect, Flow, Producer, Service, Source
from chaosharness.model.gate import Point
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.model.window import Actor
from chaosharness.ports.plugin import Broker

BROKERS = [RabbitMQBroker(), RedisListBroker()]
SERVICE = Service("payment", "python -m payment")
REPLICA = ("crash", "crash-child", "crash-parent", "term", "freeze")
LINK = ("partition", "partition-in", "partition-out")


def cells(window: str, *faults: str) -> set[str]:
    return {f"{window}:{fault}" for fault in faults}


PRODUCER_CELLS = {
    *cells("publish-store", "publish-lost", "partition", "partition-out", "broker-kill", "broker-restart"),
    *cells("store-confirm", "confirm-lost", "partition", "partition-in"),
}
CONSUMER_CELLS = {
    *cells("stored", "broker-kill", "broker-restart", "broker-freeze"),
    *cells("store-deliver", "cut", *LINK, "latency", "bandwidth", "slice", "reset", "refuse"),
    *cells("effect-ack", *REPLICA, *LINK, "broker-kill", "broker-restart"),
    *cells("ack-settle", "ack-lost"),
}
OWN_PRODUCER, OWN_CONSUMER = {"publish-store:alarm"}, {"slow:slow"}
"""Of a broker that has them: which is RabbitMQ."""
REPUBLISH = {"store-confirm:republish"}
WINDOWS_HERE = {cell.partition(":")[0] for cell in PRODUCER_CELLS | CONSUMER_CELLS}


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
    own = broker.name == "rabbitmq"
    of_producer = PRODUCER_CELLS | (OWN_PRODUCER if own else set())
    of_consumer = CONSUMER_CELLS | (OWN_CONSUMER if own else set())
    assert applicable(broker, flow()) == of_producer | of_consumer | REPUBLISH
    assert applicable(broker, flow(producer=False)) == of_consumer | REPUBLISH
    assert applicable(broker, flow(consumer=False)) == of_producer | REPUBLISH
    assert applicable(broker, flow(False, False, None)) == REPUBLISH
    assert applicable(broker, flow(semantic=Semantic.AT_MOST_ONCE)) == of_producer | of_consumer


def test_each_aim_says_its_gate(broker: Broker) -> None:
    aims = [aim for aim in broker.aims(flow()) if aim.window in WINDOWS_HERE]
    gates = {(aim.window, aim.point, aim.actor, aim.server) for aim in aims}
    assert gates == {
        ("publish-store", Point.PUBLISH, Actor.PRODUCER, "broker"),
        ("store-confirm", Point.CONFIRM, Actor.PRODUCER, "broker"),
        ("store-confirm", Point.DELIVER, Actor.CONSUMER, "broker"),
        ("stored", Point.DELIVER, Actor.CONSUMER, "broker"),
        ("store-deliver", Point.DELIVER, Actor.CONSUMER, "broker"),
        ("effect-ack", Point.SETTLE, Actor.CONSUMER, "broker"),
        ("ack-settle", Point.SETTLE, Actor.CONSUMER, "broker"),
    }
    assert {aim.window for aim in aims if aim.after_effects} == {"effect-ack"}
    assert {aim.window for aim in aims if aim.unsettled} == {"stored"}


def test_slow_work_is_held_at_the_first_effect() -> None:
    """Of a delivery that the broker can take back."""
    charged = replace(flow(), effects=(Effect("charge", "http", "POST /"), Effect("mail", "http", "POST /")))
    [aim] = [aim for aim in RabbitMQBroker().aims(charged) if aim.window == "slow"]
    assert (aim.point, aim.actor, aim.server, aim.unsettled) == (Point.REQUEST, Actor.CONSUMER, "effect.charge", True)


def test_a_redelivery_is_promised_by_a_broker_that_redelivers_where_a_delivery_was_lost() -> None:
    promised = {f"{aim.window}:{fault}" for aim in RabbitMQBroker().aims(flow()) for fault in aim.redelivers}
    assert promised == {
        *cells("stored", "broker-kill", "broker-restart"),
        *cells("effect-ack", *REPLICA, "partition", "partition-out", "broker-kill", "broker-restart"),
        *cells("ack-settle", "ack-lost"),
    }
    assert {fault for aim in RedisListBroker().aims(flow()) for fault in aim.redelivers} == set()


def test_a_declined_window_says_why(broker: Broker) -> None:
    nobody = flow(False, False, Semantic.AT_MOST_ONCE)
    reasons = {(aim.window, fault): dict(aim.declined) for aim in broker.aims(nobody) for fault in aim.offers}
    harness_produces = "the harness is the producer: this would test the harness"
    assert reasons["publish-store", "publish-lost"]["*"] == harness_produces
    assert "store-confirm" in reasons["publish-store", "publish-lost"]["partition-in"]
    assert reasons["effect-ack", "crash"]["*"].startswith("the harness reads the source itself: ")
    assert "at_most_once" in reasons["store-confirm", "republish"]["republish"]
    assert all(reasons.values())
