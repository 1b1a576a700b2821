"""The messages of a workload: templates filled, each with its key."""

from __future__ import annotations

from chaosharness.flowfile.templates import fill
from chaosharness.model.flow import Workload
from chaosharness.model.key import make_key
from chaosharness.ports.plugin import Message


def make_messages(workload: Workload, nonce: str, count: int) -> list[Message]:
    """`count` messages, numbered from 0."""
    return [_message(workload, make_key(nonce, number)) for number in range(count)]


def _message(workload: Workload, key: str) -> Message:
    values = {"key": key}
    return Message(
        key=key,
        body=fill(workload.payload, values).encode(),
        headers={name: fill(text, values) for name, text in workload.headers.items()},
        properties={
            name: fill(value, values) if isinstance(value, str) else value
            for name, value in workload.properties.items()
        },
    )
