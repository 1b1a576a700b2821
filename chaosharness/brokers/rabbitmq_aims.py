"""The windows that RabbitMQ gives to a flow: a flow in, aims out; see `suites/unit/test_brokers_rabbitmq_flow.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaosharness.model.address import BROKER
from chaosharness.model.aim import Aim
from chaosharness.model.flow import Flow
from chaosharness.model.gate import Point
from chaosharness.model.semantic import Semantic
from chaosharness.model.window import Actor

HARNESS_PRODUCES = "the harness is the producer: this would test the harness"
HARNESS_CONSUMES = "the harness reads the source itself: there is no consumer to break"
NO_UPSTREAM_PROMISE = "at_most_once says nothing of an upstream that sends twice"


def aims_of(flow: Flow) -> Sequence[Aim]:
    return *_producer(flow), *_consumer(flow)


def _producer(flow: Flow) -> Iterator[Aim]:
    declined = {} if flow.producer else {"*": HARNESS_PRODUCES}
    yield Aim("publish-store", Point.PUBLISH, Actor.PRODUCER, BROKER, ("publish-lost",), declined=declined)
    yield Aim("store-confirm", Point.CONFIRM, Actor.PRODUCER, BROKER, ("confirm-lost",), declined=declined)


def _consumer(flow: Flow) -> Iterator[Aim]:
    # Aimed at the delivery: the broker then has the message for certain, whether its producer asks for confirms or not.
    upstream = {"republish": NO_UPSTREAM_PROMISE} if flow.promise.semantic is Semantic.AT_MOST_ONCE else {}
    yield Aim("store-confirm", Point.DELIVER, Actor.CONSUMER, BROKER, ("republish",), declined=upstream)

    declined = {} if flow.consumer else {"*": HARNESS_CONSUMES}

    def aim(window: str, point: Point, *offers: str, redelivers: bool = True, **more: bool) -> Aim:
        again = frozenset(offers if redelivers else ())
        return Aim(window, point, Actor.CONSUMER, BROKER, offers, again, declined=declined, **more)

    yield aim("stored", Point.DELIVER, "broker-kill", unsettled=True)
    # The delivery is lost before the consumer has it: its effect is still to come, no redelivery of an effect is due.
    yield aim("store-deliver", Point.DELIVER, "cut", redelivers=False)
    yield aim("effect-ack", Point.SETTLE, "crash", "partition", after_effects=True)
    yield aim("ack-settle", Point.SETTLE, "ack-lost")
