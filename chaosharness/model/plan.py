"""A scenario as data: a list of steps, so that it can be printed, replayed and shrunk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from chaosharness.model.aim import Aim
from chaosharness.model.gate import Action, Point
from chaosharness.model.window import Actor, ScenarioId


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: injected when its trigger's gate has the message, healed when `until` has come."""

    fault: str
    until: str = "at_once"
    """`at_once`: heal as soon as the fault has evidence; `published`: when the workload's first part has been sent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a scenario, given the flow: the same plan makes the same scenario."""

    flow: str
    window: str
    seed: int
    messages: int
    target: int
    """Number of the aimed message."""
    kept_back: int
    """How many of the messages are published after the heal only."""
    point: Point
    actor: Actor
    server: str
    action: Action
    unsettled: bool
    after_effects: bool
    redelivers: bool
    steps: tuple[Step, ...]
    """Injected in this order, while the gate holds; healed in the reverse order."""
    once_applied: Point | None = None
    hold_within_s: float = 10.0
    """How long the gate may wait for its message, from the workload's start."""
    deadline_s: float = 5.0
    """How long the gate may hold it."""

    @property
    def id(self) -> ScenarioId:
        return ScenarioId(self.flow, self.window, tuple(step.fault for step in self.steps))

    def as_json(self) -> dict[str, Any]:
        """Plain types only; scenario.replay reads it back."""
        return {"plan": 1, "id": str(self.id), **asdict(self)}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix flows × windows: a scenario that can be run, or the reason why there is none."""

    id: ScenarioId
    aim: Aim | None
    not_applicable: str | None = None
