"""What comes out: findings, verdicts, the result of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chaosharness.model.event import Event


class Verdict(StrEnum):
    """The four of CONTRACT's run.json."""

    UPHELD = "upheld"
    VIOLATED = "violated"
    UNPROVEN = "unproven"
    NOT_APPLICABLE = "not_applicable"


class FindingKind(StrEnum):
    """One kind of contradiction between a history and a semantic; SEMANTICS.md's sets."""

    LOST = "lost"
    STRANDED = "stranded"
    STUCK = "stuck"
    PARKED = "parked"
    DUPLICATED = "duplicated"
    UNEXPECTED = "unexpected"
    PHANTOM = "phantom"
    REORDERED = "reordered"
    REGRESSED = "regressed"
    KEY_REUSED = "key_reused"
    PRODUCER_GAVE_UP = "producer_gave_up"
    LATE = "late"
    BOUND_EXCEEDED = "bound_exceeded"


class Code(StrEnum):
    """What a history must show before a scenario proves anything: the codes of `unproven_because`."""

    WORKLOAD_RAN = "workload_ran"
    READY_BEFORE_PUBLISH = "ready_before_publish"
    OWED_TARGET = "owed_target"
    WINDOW_HIT = "window_hit"
    HOLD_FIRST = "hold_first"
    FAULT_EVIDENCE = "fault_evidence"
    PROGRESS_AFTER = "progress_after"
    DRAINED = "drained"
    REDELIVERED = "redelivered"
    OBSERVED_WHOLE = "observed_whole"
    QUIET_END = "quiet_end"


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction, with the smallest evidence that shows it."""

    kind: FindingKind
    keys: tuple[str, ...]
    attribution: str
    """In words: `delivered without effect`, `acked without effect`, …; or which bound was exceeded by what."""
    evidence: tuple[Event, ...] = ()
    breaks: bool = True
    """False for what is only reported under this semantic (a duplicate under at_least_once)."""
    waived: str | None = None
    """The waiver's reason, where one covers it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A precondition that the history does not show."""

    code: Code
    why: str


@dataclass(frozen=True, slots=True)
class Advice:
    """A choice seen on the wire that nobody wrote down, with the frame it was seen in."""

    code: str
    text: str
    evidence: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the checkers make of one history."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    missing: tuple[Missing, ...] = ()
    advice: tuple[Advice, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What a reader must know of the verdict: `loss measured`, `no redelivery is due`, `process crash only`."""
    refutes: frozenset[str] = frozenset()
    """Semantics that this scenario, if proven, refutes: what `observed` is made of."""
    reason: str | None = None
    """Why not applicable, where it was found so only while running."""


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario, run once (or not applicable and not run)."""

    id: str
    flow: str
    window: str
    fault: str
    declared: str | None
    judgement: Judgement
    observed: str | None = None
    """The strongest semantic that this scenario alone does not refute."""
    reproduce: str = ""
    duration_s: float = 0.0
    folder: str | None = None
    """The scenario's folder, relative to the run's."""
    timelines: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    """Per key in a finding: all that the ledger has of it, with the faults, in order."""
    seed: int = 0
    target: str | None = None
    """The aimed key."""
    because: str = ""
    """The flow's own reason for its semantic."""
    phases_s: Mapping[str, float] = field(default_factory=dict)
    """Where the time went: start, publish, fault, drain, stop, check."""

    @property
    def verdict(self) -> Verdict:
        return self.judgement.verdict


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished session: what `run.json` and every report are made of."""

    seed: int
    results: tuple[Result, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    """ISO 8601, UTC."""
    duration_s: float = 0.0
    interrupted: bool = False
    broken: tuple[str, ...] = ()
    """What broke in the harness itself, if anything."""
    unused_waivers: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """CONTRACT: 130 interrupted, then 4, then 1, then 3, else 0."""
        verdicts = {result.verdict for result in self.results}
        if self.interrupted:
            return 130
        if self.broken:
            return 4
        if Verdict.VIOLATED in verdicts:
            return 1
        return 3 if Verdict.UNPROVEN in verdicts else 0
