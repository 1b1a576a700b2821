"""The windows that a queue gives to a flow, whatever broker it is in: a flow in, aims out.

For brokers whose consumers settle each message by itself; one with windows of its own puts its aims together from the
pieces. To try it: `queue_aims(flow, redelivers=True)`; `suites/unit/test_brokers_windows.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosharness.model.address import BROKER
from chaosharness.model.aim import HARNESS_CONSUMES, Aim
from chaosharness.model.flow import Flow
from chaosharness.model.gate import Point
from chaosharness.model.semantic import Semantic
from chaosharness.model.window import Actor

HARNESS_PRODUCES = "the harness is the producer: this would test the harness"
NO_UPSTREAM_PROMISE = "at_most_once says nothing of an upstream that sends twice"


def queue_aims(flow: Flow, redelivers: bool) -> Sequence[Aim]:
    """All of them. `redelivers`: the broker itself hands an unsettled delivery over again (`Broker.redelivers`)."""
    return (
        *producer_aims(flow),
        republish_aim(flow),
        consumer_aim(flow, "stored", Point.DELIVER, "broker-kill", redelivers=redelivers, unsettled=True),
        # Lost before the consumer has it: the effect is still to come, and no redelivery of an effect is due.
        consumer_aim(flow, "store-deliver", Point.DELIVER, "cut"),
        consumer_aim(flow, "effect-ack", Point.SETTLE, "crash", "partition", redelivers=redelivers, after_effects=True),
        consumer_aim(flow, "ack-settle", Point.SETTLE, "ack-lost", redelivers=redelivers),
    )


def producer_aims(flow: Flow) -> Sequence[Aim]:
    """The publish, and its confirm."""
    declined = {} if flow.producer else {"*": HARNESS_PRODUCES}
    return (
        Aim("publish-store", Point.PUBLISH, Actor.PRODUCER, BROKER, ("publish-lost",), declined=declined),
        Aim("store-confirm", Point.CONFIRM, Actor.PRODUCER, BROKER, ("confirm-lost",), declined=declined),
    )


def republish_aim(flow: Flow) -> Aim:
    """Aimed at the delivery: the broker then has the message for certain, also if its producer asks for no confirms."""
    declined = {"republish": NO_UPSTREAM_PROMISE} if flow.promise.semantic is Semantic.AT_MOST_ONCE else {}
    return Aim("store-confirm", Point.DELIVER, Actor.CONSUMER, BROKER, ("republish",), declined=declined)


def consumer_aim(flow: Flow, window: str, point: Point, *offers: str, redelivers: bool = False, **more: bool) -> Aim:
    """A window of the flow's consumer; declined where the harness is it. `more`: fields of `Aim`."""
    again = frozenset(offers if redelivers else ())
    declined = {} if flow.consumer else {"*": HARNESS_CONSUMES}
    return Aim(window, point, Actor.CONSUMER, BROKER, offers, again, declined=declined, **more)
