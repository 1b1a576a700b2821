"""The windows that a store gives to a flow, whatever store it is: a flow in, aims out.

`dedup` lies between what the store remembers of a message and the moment that this is needed again: the effect is
applied, the ack held; the store is struck; the ack is thrown away, so that the broker hands the message over again.
To try it: `suites/unit/test_stores_aims.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaosharness.model.address import BROKER, EFFECT, STORE
from chaosharness.model.aim import HARNESS_CONSUMES, Aim
from chaosharness.model.flow import Flow, StoreUse
from chaosharness.model.gate import Point
from chaosharness.model.window import Actor

NO_BOUND = (
    "the flow does not say how late a message may come again (redeliver_within_s): no time to live is known to be "
    "too short"
)
STRUCK = ("wipe", "restart", "unreachable")
"""Faults of the store as a whole."""


def store_aims(flow: Flow, use: StoreUse) -> Sequence[Aim]:
    """All of them, for the flow's first store: a scenario of one more would show nothing else."""
    if use is not flow.stores[0]:
        return ()
    why_not = _why_not(flow, use)
    consumer = {"*": why_not} if why_not else {}
    bounded = consumer if flow.promise.redeliver_within_s else {"expire": NO_BOUND, **consumer}
    aims = [
        _at_the_ack(STRUCK, consumer),
        _at_the_ack(("expire",), bounded),
        # Record first: its answer is held, and the effect is still to come. Effect first: the record is held.
        Aim(
            "dedup",
            Point.RECORDED,
            Actor.CONSUMER,
            f"{STORE}{use.name}",
            ("crash", "latency"),
            frozenset({"crash"}),
            once_applied=Point.RECORD,
            declined=consumer,
        ),
    ]
    for effect in flow.effects[:1]:
        at_work = (("expire",), frozenset({"expire"}))
        aims.append(Aim("slow", Point.REQUEST, Actor.CONSUMER, f"{EFFECT}{effect.name}", *at_work, declined=bounded))
    return tuple(aims)


def _why_not(flow: Flow, use: StoreUse) -> str | None:
    if flow.consumer is None:
        return HARNESS_CONSUMES
    texts = (flow.consumer.command, *flow.consumer.env.values())
    if not any(f"stores.{use.name}" in text for text in texts):
        return f"nothing tells the consumer where the store is: {{stores.{use.name}}} is not in its command or env"
    return None


def _at_the_ack(offers: tuple[str, ...], declined: Mapping[str, str]) -> Aim:
    """Every one of these ends with the replica's connections to the broker closed, its ack thrown away."""
    again = frozenset(offers)
    return Aim("dedup", Point.SETTLE, Actor.CONSUMER, BROKER, offers, again, after_effects=True, declined=declined)
