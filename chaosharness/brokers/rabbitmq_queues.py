"""What a vhost holds, as its management API says it now: counts, and which queues dead letters of the source come to.

In: a server and a namespace. Out: a snapshot, or None where it cannot be had. To try it:
`suites/conformance/test_brokers_rabbitmq.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from chaosharness.ports.launch import Instance, Namespace
from chaosharness.taps.amqp.routes import ROUTED_BY_ALL, matches

ANSWER_WITHIN_S = 2.0
TOTALS = {"disable_stats": "true", "enable_queue_totals": "true"}
"""Live counts in about a millisecond; the statistics of the plain call lag by seconds."""


@dataclass(frozen=True, slots=True)
class Queues:
    """One look at all queues of one vhost; bindings are looked up only where a queue dead-letters to an exchange."""

    queues: Mapping[str, Mapping[str, Any]]
    bindings: tuple[Mapping[str, Any], ...]
    exchange_types: Mapping[str, str]

    def count(self, names: Iterable[str], what: str) -> int | None:
        """Sum of `messages_ready` or `messages_unacknowledged`; None where one of the queues does not say."""
        total = 0
        for name in names:
            count = self.queues[name].get(what)
            if not isinstance(count, int):
                return None
            total += count
        return total

    def reach(self, source: str, routing_key: str) -> list[str]:
        """The source and every queue that its dead letters can come to, in order, as far as they exist."""
        reached: list[str] = []
        ahead = [(source, routing_key)]
        while ahead:
            name, key = ahead.pop(0)
            if name in self.queues and name not in reached:
                reached.append(name)
                ahead += self._dead_letters(self.queues[name], key)
        return reached

    def holding(self, source: str, routing_key: str) -> list[str]:
        """Where a message of the source may wait: `reach`, and each queue whose own dead letters come to the source."""
        reached = self.reach(source, routing_key)
        return reached + [name for name in self.queues if name not in reached and source in self.reach(name, name)]

    def _dead_letters(self, queue: Mapping[str, Any], routing_key: str) -> Iterator[tuple[str, str]]:
        exchange, key = dead_letter_of(queue)
        key = routing_key if key is None else key
        if exchange is None:
            return
        if not exchange:
            yield key, key
            return
        for binding in self.bindings:
            if binding["source"] == exchange and binding["destination_type"] == "queue":
                kind = self.exchange_types.get(exchange)
                if kind in ROUTED_BY_ALL or matches(binding["routing_key"], key, kind):
                    yield binding["destination"], key


def dead_letter_of(queue: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Exchange and routing key, from the queue's arguments or its policy; None = none, and the message's own."""
    arguments = queue.get("arguments") or {}
    policy = queue.get("effective_policy_definition") or {}
    if not isinstance(policy, Mapping):
        policy = {}
    return (
        arguments.get("x-dead-letter-exchange", policy.get("dead-letter-exchange")),
        arguments.get("x-dead-letter-routing-key", policy.get("dead-letter-routing-key")),
    )


def look_at(server: Instance, namespace: Namespace) -> Queues | None:
    """Asks; None where the API does not answer, or not with what is expected: that is no count of 0."""
    vhost = quote(namespace.facts["vhost"], safe="")
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (namespace.facts["user"], namespace.facts["password"])

        def ask(path: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
            url = f"http://{server.nodes['management']}/api/{path}/{vhost}"
            answer = session.get(url, params=params, timeout=ANSWER_WITHIN_S)
            answer.raise_for_status()
            return [dict(each) for each in answer.json()]

        try:
            queues = {queue["name"]: queue for queue in ask("queues", TOTALS)}
            if not any(dead_letter_of(queue)[0] for queue in queues.values()):
                return Queues(queues, (), {})
            exchange_types = {exchange["name"]: exchange["type"] for exchange in ask("exchanges")}
            return Queues(queues, tuple(ask("bindings")), exchange_types)
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return None
