"""`stuck`, `stranded`, `parked`: messages without their effect that the broker, or the dead-letter place, still has."""

from __future__ import annotations

from collections.abc import Iterator

from chaosharness.checkers.evidence import example, fault, pick, promised
from chaosharness.checkers.facts import last
from chaosharness.checkers.semantics import breaks
from chaosharness.checkers.sets import Case, drain_end
from chaosharness.model.event import Kind
from chaosharness.model.verdict import Finding, FindingKind


def find_stuck(case: Case) -> Iterator[Finding]:
    """Owed, without effect, held at the recovery bound; `drained` says which bound to raise."""
    if case.sets.stuck:
        words = f"still held{_places(case, case.sets.stuck)} at the recovery bound of {case.promise.bound_s:g} s"
        yield _finding(case, FindingKind.STUCK, case.sets.stuck, words)


def find_stranded(case: Case) -> Iterator[Finding]:
    """Held past the bound, untouched since the fault, overtaken, not brought back by a restart afresh."""
    if case.sets.stranded:
        words = (
            f"held{_places(case, case.sets.stranded)}; nobody has claimed it since the fault, later messages went "
            "through, and a restart with a new identity did not bring it back"
        )
        yield _finding(case, FindingKind.STRANDED, case.sets.stranded, words)


def find_parked(case: Case) -> Iterator[Finding]:
    """In the dead-letter place: breaks a promise against loss beyond `max_parked`."""
    if case.sets.parked:
        beyond = len(case.sets.parked) > (case.promise.max_parked or 0)
        words = "dead-lettered" if beyond else f"dead-lettered, as max_parked = {case.promise.max_parked} allows"
        yield _finding(case, FindingKind.PARKED, case.sets.parked, words, beyond)


def _places(case: Case, keys: frozenset[str]) -> str:
    """` in orders:processing`, where the places have names."""
    named = {
        str(seen.get("place"))
        for key in keys
        for seen in case.facts.about(key, Kind.YIELDS)
        if seen.get("place") is not None
    }
    return f" in {', '.join(sorted(named))}" if named else ""


def _finding(case: Case, kind: FindingKind, keys: frozenset[str], words: str, counts: bool = True) -> Finding:
    key = example(case, keys)
    facts = case.facts
    evidence = pick(
        promised(case, key),
        last(facts.about(key, Kind.DELIVER)),
        *fault(case, key),
        last(facts.of(Kind.RESTARTED_AFRESH)),
        drain_end(facts),
        last(facts.about(key, Kind.YIELDS, Kind.PARKED)),
    )
    return Finding(kind, tuple(sorted(keys)), words, evidence, counts and breaks(kind, case.promise))
