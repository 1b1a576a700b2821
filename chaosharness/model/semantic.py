"""What a flow promises: the declared semantic and the bounds that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Semantic(StrEnum):
    """The three delivery semantics, weakest promise about loss first."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"
    EFFECTIVELY_ONCE = "effectively_once"


@dataclass(frozen=True, slots=True)
class Waiver:
    """A declared exemption: at most `most` findings of `finding` in the scenarios that `cell` (a glob) matches."""

    cell: str
    finding: str
    most: int
    because: str


@dataclass(frozen=True, slots=True)
class Promise:
    """Everything a verdict holds a history to. Counts are messages; `_s` are seconds."""

    semantic: Semantic | None
    """None only for `probe`."""
    because: str = ""
    count: int = 1
    """Distinct effects that one key owes, over all declared effects together."""
    recover_within_s: float | None = None
    drain_within_s: float = 30.0
    redeliver_within_s: float | None = None
    max_loss: int | None = None
    max_duplicates: int | None = None
    max_parked: int | None = None
    ordered_by: str | None = None
    unkeyed_ignored: bool = False
    waivers: tuple[Waiver, ...] = field(default=())
    counts: Mapping[str, int] = field(default_factory=dict)
    """Sink's name → distinct effects owed there, for flows of several effects: loss in one sink and a duplicate in
    another must not cancel. Empty: `count` alone."""

    @property
    def bound_s(self) -> float:
        """The recovery bound: how long after the heal a message may take."""
        return self.recover_within_s if self.recover_within_s is not None else self.drain_within_s
