"""Which publishes are the source's: what the flow declares, and what the connection itself says of its exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROUTED_BY_ALL = ("fanout", "headers", "x-consistent-hash")
"""Types of exchange whose bindings a routing key does not decide."""


class Routes:
    """What one connection has shown of the way to the source queue."""

    def __init__(self, queue: str, facts: Mapping[str, Any], producer_link: bool) -> None:
        self._queue = queue
        self._exchange = facts.get("exchange") or ""
        self._routing_key = facts.get("routing_key")
        self._producer_link = producer_link
        self._types: dict[str, str] = {}
        self._bound: dict[str, set[str]] = {}

    def declared(self, exchange: str, kind: str) -> None:
        """exchange.declare was seen."""
        self._types[exchange] = kind

    def bound(self, queue: str, exchange: str, pattern: str) -> None:
        """queue.bind was seen."""
        if queue == self._queue:
            self._bound.setdefault(exchange, set()).add(pattern)

    def leads(self, exchange: str, routing_key: str) -> bool | None:
        """Whether a publish goes to the source queue; None = unknown."""
        if not exchange:
            return routing_key == self._queue
        patterns = self._bound.get(exchange, ())
        if patterns:
            kind = self._types.get(exchange)
            if kind in ROUTED_BY_ALL or any(matches(pattern, routing_key, kind) for pattern in patterns):
                return True
        if exchange == self._exchange:
            return self._routing_key is None or routing_key == self._routing_key
        return None

    def is_source(self, exchange: str, routing_key: str, keyed: bool) -> bool:
        """On a producer's link a keyed publish to the unknown is the source's: others may have bound the queue."""
        leads = self.leads(exchange, routing_key)
        return self._producer_link and keyed if leads is None else leads


def matches(pattern: str, routing_key: str, kind: str | None) -> bool:
    """Whether a binding takes a routing key; an exchange of unknown type is read as topic, which includes direct."""
    if kind == "direct" or pattern == routing_key:
        return pattern == routing_key
    return _topic(pattern.split("."), routing_key.split("."))


def _topic(pattern: list[str], words: list[str]) -> bool:
    """`*` is one word, `#` any number of them."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_topic(pattern[1:], words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _topic(pattern[1:], words[1:])
