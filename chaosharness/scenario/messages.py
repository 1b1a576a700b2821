"""The messages of a workload: templates filled, each with its key, its ordering key, and what it owes."""

from __future__ import annotations

from typing import Any

from chaosharness.flowfile.message import filled
from chaosharness.model.flow import Workload
from chaosharness.model.key import make_key
from chaosharness.ports.plugin import Message


def make_messages(workload: Workload, nonce: str, count: int, ordered_by: str | None = None) -> list[Message]:
    """`count` messages, numbered from 0. `ordered_by`: the place that their ordering keys are read from."""
    return [_message(workload, number, make_key(nonce, number), ordered_by) for number in range(count)]


def _message(workload: Workload, number: int, key: str, ordered_by: str | None) -> Message:
    message = filled(workload, number, key)
    ordering = message.read(ordered_by) if ordered_by else None
    return Message(
        key=key,
        body=message.body,
        headers=message.headers,
        properties=message.properties,
        ordering=ordering,
        says=_says(workload, number, ordering),
    )


def _says(workload: Workload, number: int, ordering: str | None) -> dict[str, Any]:
    of_class = workload.class_of(number)
    says: dict[str, Any] = {} if ordering is None else {"ordering": ordering}
    if of_class:
        says["class"] = of_class.name
        counts = of_class.counts
        if counts is not None:
            says |= {"counts": dict(counts)} if len(counts) > 1 else {"count": sum(counts.values())}
    return says
