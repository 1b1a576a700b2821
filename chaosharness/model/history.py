"""The merged, ordered, immutable ledger of one scenario."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaosharness.model.event import Event, Kind


@dataclass(frozen=True, slots=True)
class History:
    """All that was recorded, in order, and what the record itself lacks."""

    events: tuple[Event, ...]
    gaps: tuple[str, ...] = ()
    """In words: a file with a hole, torn in the middle, or not closed by its writer."""

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def of(self, *kinds: Kind) -> Iterator[Event]:
        """The events of these kinds, in order."""
        return (event for event in self.events if event.kind in kinds)

    def about(self, key: str) -> tuple[Event, ...]:
        """The timeline of one message."""
        return tuple(event for event in self.events if key in event.keys)

    @classmethod
    def merged(cls, events: Iterable[Event], gaps: tuple[str, ...] = ()) -> History:
        """Orders by time, then file, then sequence."""
        return cls(tuple(sorted(events, key=lambda e: (e.at_ns, e.origin, e.seq))), gaps)


@dataclass(frozen=True, slots=True)
class Aimed:
    """What a checker needs to know of the plan: what was aimed where."""

    key: str
    window: str
    faults: tuple[str, ...]
    gate: str
    """Id of the gate."""
    producer_window: bool
    """True where the gate stands on a producer's link: `owed_target` and `producer_gave_up` are then about it."""
    sut_producer: bool
    """True where a SUT publishes, not the harness."""
    redelivers: bool
    """The broker's aim promises a redelivery after this fault."""
    can_duplicate: bool
    """False where no window of this kind can duplicate: at_most_once is then `loss measured`."""
    stopped_by: tuple[str, ...] = ()
    """The instances (names) of the flow's own services, for evidence about processes."""
    random: bool = False
    """Faults that came at random, aimed at no message: a rate of loss can then be told."""
