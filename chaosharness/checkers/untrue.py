"""What nobody was told truly: `unexpected`, `phantom`, `producer_gave_up`, `key_reused`."""

from __future__ import annotations

from collections.abc import Iterator

from chaosharness.checkers.evidence import example, fault, pick
from chaosharness.checkers.facts import first
from chaosharness.checkers.semantics import breaks
from chaosharness.checkers.sets import Case
from chaosharness.model.event import Event, Kind
from chaosharness.model.verdict import Finding, FindingKind


def find_unexpected(case: Case) -> Iterator[Finding]:
    """An effect of a key that was never attempted."""
    if keys := case.sets.unexpected:
        key = example(case, keys)
        evidence = pick(*case.facts.effects[key][:2], first(case.facts.about(key, Kind.DELIVER)))
        yield _finding(case, FindingKind.UNEXPECTED, keys, "an effect of a key that was never attempted", evidence)


def find_phantom(case: Case) -> Iterator[Finding]:
    """Every attempt was reported as `fail` (did not happen), and yet there is an effect."""
    if keys := case.sets.phantom:
        key = example(case, keys)
        told = [op.completed for op in case.facts.operations[key]]
        evidence = pick(*told[:2], first(case.facts.about(key, Kind.CONFIRM)), case.facts.effects[key][0])
        yield _finding(case, FindingKind.PHANTOM, keys, "reported as failed, and applied all the same", evidence)


def find_gave_up(case: Case) -> Iterator[Finding]:
    """In a producer window: the caller was never told how it ended."""
    if keys := case.sets.gave_up:
        key = example(case, keys)
        asked = [op.invoked for op in case.facts.operations[key]]
        told = [op.completed for op in case.facts.operations[key]]
        evidence = pick(*asked[:2], *told[:2], *fault(case, key))
        yield _finding(case, FindingKind.PRODUCER_GAVE_UP, keys, "the producer never told its caller", evidence)


def find_key_reused(case: Case) -> Iterator[Finding]:
    """An idempotency key came again with another body."""
    if keys := case.sets.key_reused:
        key = example(case, keys)
        clash = case.facts.about(key, Kind.KEY_REUSED)[0]
        name = clash.get("idempotency_key")
        earlier = [
            seen
            for seen in case.facts.of(Kind.EFFECT)
            if seen.get("idempotency_key") == name and seen.get("sink") == clash.get("sink") and seen.at < clash.at
        ]
        yield _finding(
            case, FindingKind.KEY_REUSED, keys, "one idempotency key for two bodies", pick(first(earlier), clash)
        )


def _finding(case: Case, kind: FindingKind, keys: frozenset[str], words: str, evidence: tuple[Event, ...]) -> Finding:
    return Finding(kind, tuple(sorted(keys)), words, evidence, breaks(kind, case.promise))
