"""What is published: a workload's templates filled for one message.

In: the `Workload`, the message's number and key. Out: body, headers and properties; and what stands at a declared
place. To try it: `filled(Workload(payload="{key}"), 0, "kabcd-000000").body`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaosharness.flowfile.templates import fill
from chaosharness.model.flow import Workload
from chaosharness.model.key import Place


@dataclass(frozen=True, slots=True)
class Filled:
    """A message without a template left in it."""

    body: bytes
    headers: Mapping[str, str]
    properties: Mapping[str, Any]

    def read(self, place: str) -> str | None:
        """What stands at a `Place`, or None."""
        properties = {name: str(value) for name, value in self.properties.items()}
        return Place(place).read(headers=self.headers, properties=properties, body=self.body)


def filled(workload: Workload, number: int, key: str) -> Filled:
    """The workload's message `number` (from 0), of its class if it has one. Raises BadInput for an unknown template."""
    values = {"key": key}
    if workload.ordered_keys:
        values["ordered_key"] = f"o{number % workload.ordered_keys}"
    of_class = workload.class_of(number)
    return Filled(
        body=fill(of_class.payload if of_class else workload.payload, values).encode(),
        headers={name: fill(text, values) for name, text in workload.headers.items()},
        properties={
            name: fill(value, values) if isinstance(value, str) else value
            for name, value in workload.properties.items()
        },
    )
