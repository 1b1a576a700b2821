"""Which templates are valid where: the names of a flow's links, as its services write them.

In: checked flows. Out: full template names; or problems for those that name nothing. To try it:
`service_names([flow], shared=False)`.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosharness.flowfile.lines import KeyPath
from chaosharness.flowfile.problems import Problems
from chaosharness.flowfile.service import texts_of
from chaosharness.flowfile.templates import problems_in, with_attributes
from chaosharness.model.flow import Effect, Flow, Service

OF_A_REPLICA = ("replica", "host")


def effect_name(effect: Effect) -> str:
    """How its flow's services write an effect: `effect`, or `effects.NAME` where there are several."""
    return effect.name if effect.name == "effect" else f"effects.{effect.name}"


def service_names(flows: Sequence[Flow], shared: bool) -> list[str]:
    """The full names that are valid in the consumer of these flows, with their attributes.

    A shared service writes `payment.effect`; bare `effect` only where all its flows have the same.
    """
    names: list[str] = []
    first = flows[0]
    if all(flow.source.broker == first.source.broker for flow in flows):
        names.append("broker")
    names += [effect_name(effect) for effect in first.effects if all(effect in flow.effects for flow in flows)]
    names += [f"stores.{use.name}" for use in first.stores if all(use in flow.stores for flow in flows)]
    if shared:
        for flow in flows:
            own = ("broker", *map(effect_name, flow.effects), *(f"stores.{use.name}" for use in flow.stores))
            names += [f"{flow.name}.{name}" for name in own]
    return [*(full for name in names for full in with_attributes(name)), *OF_A_REPLICA]


def producer_names() -> list[str]:
    """The full names that are valid in a producer."""
    return [*with_attributes("broker"), "port", *OF_A_REPLICA]


def check_templates(flows: Sequence[Flow], problems: Problems) -> None:
    """Every template of every service names something."""
    shared: dict[str, list[Flow]] = {}
    for flow in flows:
        path = ("flow", flow.name)
        if flow.producer:
            _check((*path, "producer"), flow.producer.service, producer_names(), problems)
        if flow.consumer and flow.consumer.shared:
            shared.setdefault(flow.consumer.name, []).append(flow)
        elif flow.consumer:
            _check((*path, "consumer"), flow.consumer, service_names([flow], shared=False), problems)
    for name, users in shared.items():
        consumer = users[0].consumer
        if consumer:
            _check(("service", name), consumer, service_names(users, shared=True), problems)


def _check(path: KeyPath, service: Service, known: Sequence[str], problems: Problems) -> None:
    for place, text in texts_of(path, service):
        for wrong in problems_in(text, known):
            problems.add(place, wrong)
