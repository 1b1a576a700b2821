"""The windows that a queue gives to a flow, whatever broker it is in: a flow in, aims out.

For brokers whose consumers settle each message by itself; one with windows of its own puts its aims together from the
pieces. To try it: `queue_aims(flow, redelivers=True)`; `suites/unit/test_brokers_windows.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaosharness.model.address import BROKER, EFFECT
from chaosharness.model.aim import HARNESS_CONSUMES, Aim, why_no_poison
from chaosharness.model.flow import Flow
from chaosharness.model.gate import Point
from chaosharness.model.semantic import Semantic
from chaosharness.model.window import Actor

HARNESS_PRODUCES = "the harness is the producer: this would test the harness"
NO_UPSTREAM_PROMISE = "at_most_once says nothing of an upstream that sends twice"
NOTHING_TO_LOSE = "nothing that the producer sends is kept from the broker: a lost confirm is store-confirm's"
OWN_MESSAGES = "what the flow's producer sends is its own: the harness cannot make it unreadable"
KEY_IN_BODY = "the key is read from the body (source.key): in one that nobody can read there is none"
ACK_ARRIVES = "partition-in"
"""At a held acknowledgement: what the consumer sends still arrives, so that nothing is handed over again."""

LINK = ("partition", "partition-in", "partition-out")
SLOW_LINK = ("latency", "bandwidth", "slice")
BROKEN_LINK = ("reset", "refuse")
REPLICA = ("crash", "crash-child", "crash-parent", "term", "freeze")


def queue_aims(flow: Flow, redelivers: bool) -> Sequence[Aim]:
    """All of them. `redelivers`: the broker itself hands an unsettled delivery over again (`Broker.redelivers`)."""
    held_ack = (*REPLICA, *LINK, "broker-kill", "broker-restart")
    return (
        *producer_aims(flow),
        republish_aim(flow),
        consumer_aim(
            flow, "stored", Point.DELIVER, "broker-kill", "broker-restart", redelivers=redelivers, unsettled=True
        ),
        consumer_aim(flow, "stored", Point.DELIVER, "broker-freeze", unsettled=True),
        # Lost before the consumer has it: the effect is still to come, and no redelivery of an effect is due.
        consumer_aim(flow, "store-deliver", Point.DELIVER, "cut", *LINK, *SLOW_LINK, *BROKEN_LINK),
        consumer_aim(
            flow,
            "effect-ack",
            Point.SETTLE,
            *held_ack,
            again=[fault for fault in held_ack if fault != ACK_ARRIVES] if redelivers else (),
            after_effects=True,
        ),
        consumer_aim(flow, "ack-settle", Point.SETTLE, "ack-lost", redelivers=redelivers),
        malformed_aim(flow),
    )


def producer_aims(flow: Flow) -> Sequence[Aim]:
    """The publish, and its confirm."""
    declined = {} if flow.producer else {"*": HARNESS_PRODUCES}
    lost = ("publish-lost", "partition", "partition-out", "broker-kill", "broker-restart")
    return (
        _producer_aim("publish-store", Point.PUBLISH, lost, {**declined, "partition-in": NOTHING_TO_LOSE}),
        _producer_aim("store-confirm", Point.CONFIRM, ("confirm-lost", "partition", "partition-in"), declined),
    )


def _producer_aim(window: str, point: Point, offers: tuple[str, ...], declined: Mapping[str, str]) -> Aim:
    return Aim(window, point, Actor.PRODUCER, BROKER, offers, declined=declined)


def alarm_aim(flow: Flow) -> Aim:
    """For a broker that blocks its publishers when it runs short (ports.plugin.AlarmingBroker)."""
    declined = {} if flow.producer else {"*": HARNESS_PRODUCES}
    return _producer_aim("publish-store", Point.PUBLISH, ("alarm",), declined)


def slow_aim(flow: Flow) -> Aim:
    """For a broker that takes a delivery away from a slow consumer (ports.plugin.TimingBroker).

    The work is what is slow: held at the first effect.
    """
    server = f"{EFFECT}{flow.effects[0].name if flow.effects else ''}"
    declined = {} if flow.consumer else {"*": HARNESS_CONSUMES}
    return Aim("slow", Point.REQUEST, Actor.CONSUMER, server, ("slow",), unsettled=True, declined=declined)


def republish_aim(flow: Flow) -> Aim:
    """Aimed at the delivery: the broker then has the message for certain, also if its producer asks for no confirms."""
    declined = {"republish": NO_UPSTREAM_PROMISE} if flow.promise.semantic is Semantic.AT_MOST_ONCE else {}
    return Aim("store-confirm", Point.DELIVER, Actor.CONSUMER, BROKER, ("republish",), declined=declined)


def malformed_aim(flow: Flow) -> Aim:
    """Held at its delivery, as proof that it comes as it was spoiled."""
    why = why_no_poison(flow) or (OWN_MESSAGES if flow.producer else None)
    if why is None and flow.source.key and flow.source.key.startswith("body:"):
        why = KEY_IN_BODY
    declined = {"malformed": why} if why else {}
    return Aim("poison", Point.DELIVER, Actor.CONSUMER, BROKER, ("malformed",), declined=declined)


def consumer_aim(
    flow: Flow,
    window: str,
    point: Point,
    *offers: str,
    redelivers: bool = False,
    again: Sequence[str] | None = None,
    **more: Any,
) -> Aim:
    """A window of the flow's consumer; declined where the harness is it. `more`: fields of `Aim`.

    `again`: the faults after which an unsettled delivery is handed over again; by default all, if `redelivers`.
    """
    promised = again if again is not None else offers if redelivers else ()
    declined = {} if flow.consumer else {"*": HARNESS_CONSUMES}
    return Aim(window, point, Actor.CONSUMER, BROKER, offers, frozenset(promised), declined=declined, **more)
