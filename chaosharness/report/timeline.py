"""What happened to one message, in order: events as lines, with times a person can compare.

Goes in: events of one scenario. Comes out: `origin_of_time` gives the moment that is 0, `rows` the lines, each with
`describe`'s sentence. To try it: `suites/unit/test_report_timeline.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from chaosharness.model.event import Event, Kind
from chaosharness.model.verdict import Result
from chaosharness.report.sentences import describe
from chaosharness.report.words import clean, pairs

FAULT_KINDS = frozenset({Kind.FAULT_INJECTED, Kind.FAULT_HEALED, Kind.SIGNALLED})
"""What a timeline shows as the fault itself."""


def where(event: Event) -> str:
    """Where an event was seen: its link and connection, its instance, or who wrote it."""
    if event.link:
        return clean(event.link) + (f" #{event.conn}" if event.conn is not None else "")
    instance = event.data.get("instance")
    return clean(instance) if instance else clean(event.origin)


@dataclass(frozen=True, slots=True)
class Zero:
    """The moment that all times of a scenario are measured from."""

    at_ns: int
    what: str

    def ms(self, event: Event) -> str:
        """`+12.3`, `-0.4`: milliseconds after it."""
        return f"{(event.at_ns - self.at_ns) / 1e6:+,.1f}"


def told(result: Result) -> Iterator[Sequence[Event]]:
    """Where to look for what was done: the aimed message's timeline, the evidence, a few other timelines.

    Each timeline has the faults, so that a few are as good as ten thousand.
    """
    yield result.timelines.get(result.target or "", ())
    yield from (finding.evidence for finding in result.judgement.findings)
    yield from islice(result.timelines.values(), 5)


def origin_of_time(result: Result) -> Zero:
    """The aimed message's publish; where the events do not show it, the fault; else the first event."""
    events = [event for stretch in told(result) for event in stretch]
    aimed = [event for event in events if result.target in event.keys]
    for among, kind, what in (
        (aimed, Kind.PUBLISH, f"{result.target} is published"),
        (aimed, Kind.INVOKE, f"{result.target} begins to be published"),
        (events, Kind.FAULT_INJECTED, "the fault is injected"),
    ):
        at = min((event.at_ns for event in among if event.kind == kind), default=None)
        if at is not None:
            return Zero(at, what)
    return Zero(min((event.at_ns for event in events), default=0), "the first event shown")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a timeline, ready to be shown."""

    ms: str
    where: str
    what: str
    data: str
    fault: bool
    evidence: bool


def identity(event: Event) -> tuple[str, int]:
    """What makes an event one and the same, wherever it is shown: its file and its place there."""
    return event.origin, event.seq


def _untold(event: Event) -> dict[str, object]:
    """An event's data without what its sentence says word for word."""
    evidence = event.data.get("evidence")
    if not isinstance(evidence, Mapping):
        return dict(event.data)
    facts = {name: value for name, value in evidence.items() if name not in ("ok", "what") and value != {}}
    return {**{k: v for k, v in event.data.items() if k != "evidence"}, **({"evidence": facts} if facts else {})}


def rows(
    events: Sequence[Event], zero: Zero, evidence: Collection[tuple[str, int]] = (), about: str | None = None
) -> tuple[Row, ...]:
    """The events as lines; those in `evidence` (identities) are marked; `about` as for `describe`."""
    return tuple(
        Row(
            zero.ms(event),
            where(event),
            describe(event, about),
            pairs(_untold(event)),
            event.kind in FAULT_KINDS,
            identity(event) in evidence,
        )
        for event in events
    )
