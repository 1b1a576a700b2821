"""`late` and `bound_exceeded`: the numbers of a promise; they break any semantic."""

from __future__ import annotations

from collections.abc import Iterator

from chaosharness.checkers.duplicated import upstream
from chaosharness.checkers.evidence import example, pick, promised
from chaosharness.checkers.semantics import breaks
from chaosharness.checkers.sets import Case, completing, lateness_s
from chaosharness.model.verdict import Finding, FindingKind


def find_late(case: Case) -> Iterator[Finding]:
    """Complete only after `recover_within_s`, counted from the heal, or from the publish where that came later."""
    if not case.sets.late:
        return
    by_key = ((key, lateness_s(case.facts, case.hit, case.promise, key)) for key in sorted(case.sets.late))
    took_s = {key: seconds for key, seconds in by_key if seconds is not None}
    slowest = max(took_s, key=took_s.__getitem__)
    words = f"recover_within_s = {case.promise.bound_s:g}, the slowest took {took_s[slowest]:.3g} s"
    evidence = pick(promised(case, slowest), case.hit.healed, completing(case.facts, case.promise, slowest))
    yield Finding(FindingKind.LATE, tuple(took_s), words, evidence, breaks(FindingKind.LATE, case.promise))


def find_exceeded(case: Case) -> Iterator[Finding]:
    """Beyond `max_loss`, `max_duplicates` (those that upstream made left out) or `max_parked`."""
    sets, promise = case.sets, case.promise
    for name, most, keys in (
        ("max_loss", promise.max_loss, sets.lost),
        ("max_duplicates", promise.max_duplicates, sets.duplicated - upstream(case)),
        ("max_parked", promise.max_parked, sets.parked),
    ):
        if most is not None and len(keys) > most:
            key = example(case, keys)
            effects = case.facts.effects.get(key, ())
            kind = FindingKind.BOUND_EXCEEDED
            words = f"{name} = {most}, found {len(keys)}"
            yield Finding(kind, tuple(sorted(keys)), words, pick(promised(case, key), *effects), breaks(kind, promise))
