"""`duplicated`: a message that was attempted has more effects than intended; a redelivery alone is none.

The attribution says how the message came again: `after a redelivery`, `after it was published more than once`, or
`within one delivery` (the consumer's own retry), and whether the effects carry different idempotency keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from chaosharness.checkers.evidence import example, fault, pick
from chaosharness.checkers.facts import Seen
from chaosharness.checkers.semantics import breaks
from chaosharness.checkers.sets import Case, excess, intended
from chaosharness.model.event import Kind
from chaosharness.model.semantic import Semantic
from chaosharness.model.verdict import Finding, FindingKind


def find(case: Case) -> Iterator[Finding]:
    """One finding per attribution."""
    kind = FindingKind.DUPLICATED
    by: dict[str, list[str]] = defaultdict(list)
    for key in sorted(case.sets.duplicated):
        by[attribution(case, key)].append(key)
    for words, keys in by.items():
        key = example(case, keys)
        handed = _handed_over(case, key)
        came_again = handed if len(handed) > 1 else _published(case, key)
        evidence = pick(*came_again[:3], *case.facts.effects[key][:3], *fault(case, key))
        yield Finding(kind, tuple(keys), words, evidence, breaks(kind, case.promise) and not _excused(case, keys))


def attribution(case: Case, key: str) -> str:
    """In words, as the module's docstring gives them."""
    if not intended(case.facts, case.promise, key):
        return "applied, though no effect is intended"
    handed, published = _handed_over(case, key), _published(case, key)
    if any(seen.get("redelivered") is True for seen in handed) or len(handed) > len(published) > 0:
        again = "after a redelivery"
    elif len(published) > 1:
        again = "after it was published more than once"
    elif len(handed) > 1:
        again = "after it was handed over more than once"
    else:
        again = "within one delivery"
    names = {str(seen.get("idempotency_key")) for seen in case.facts.effects[key]}
    return f"applied again {again}" + (", under another idempotency key" if len(names) > 1 else "")


def upstream(case: Case) -> frozenset[str]:
    """Duplicates that upstream made: a republished message with no more effects than its two publishes explain.

    SEMANTICS: `republish` is not held against `max_duplicates`, nor against at_most_once.
    """
    key = case.aimed.key
    of_two = intended(case.facts, case.promise, key)
    if "republish" not in case.aimed.faults or excess(case.facts, case.promise, key) > of_two:
        return frozenset()
    return case.sets.duplicated & {key}


def _excused(case: Case, keys: list[str]) -> bool:
    return case.promise.semantic is Semantic.AT_MOST_ONCE and upstream(case).issuperset(keys)


def _handed_over(case: Case, key: str) -> list[Seen]:
    return [seen for seen in case.facts.about(key, Kind.DELIVER) if not seen.discarded]


def _published(case: Case, key: str) -> list[Seen]:
    return [seen for seen in case.facts.about(key, Kind.PUBLISH) if not seen.discarded]
