"""What a broker or a sink says of a window: where its gate is, which faults it offers, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chaosharness.model.flow import Flow
from chaosharness.model.gate import Point
from chaosharness.model.window import Actor

HARNESS_CONSUMES = "the harness reads the source itself: there is no consumer to break"
"""Why a window of the consumer is declined, by brokers and sinks alike, for a flow that declares none."""
NO_DEAD_LETTER = "the source declares no dead_letter: nobody said where a message that can never succeed is to end"


def why_no_poison(flow: Flow) -> str | None:
    """Why no message that can never succeed is aimed at the flow, by brokers and sinks alike; None if one can be."""
    if flow.consumer is None:
        return HARNESS_CONSUMES
    return None if flow.source.options.get("dead_letter") else NO_DEAD_LETTER


@dataclass(frozen=True, slots=True)
class Aim:
    """One window of one flow, as one broker or sink gives it."""

    window: str
    point: Point
    actor: Actor
    """Whose link the gate stands on."""
    server: str
    """`LinkId.server` of that link: `broker`, `effect.NAME` or `store.NAME`."""
    offers: tuple[str, ...]
    """Fault ids that can be aimed here."""
    redelivers: frozenset[str] = frozenset()
    """Those of `offers` after which the broker promises to hand an unsettled delivery over again."""
    unsettled: bool = False
    """The window needs a delivery that is not settled by being handed over (model.gate.Gate.unsettled)."""
    after_effects: bool = False
    """The gate waits for the key's effects: an earlier match means that the flow has no such window."""
    once_applied: Point | None = None
    """Where the gate stands instead, once the key has an effect (model.gate.Gate.once_applied)."""
    declined: Mapping[str, str] = field(default_factory=dict)
    """Fault id → why it is not applicable here for this flow; `*` for the whole window."""
