"""Which findings break which semantic, and which refute it: SEMANTICS, "Semantics", as two tables."""

from __future__ import annotations

from collections.abc import Iterable

from chaosharness.model.semantic import Promise, Semantic
from chaosharness.model.verdict import FindingKind

K = FindingKind
NEVER = frozenset({K.UNEXPECTED, K.PHANTOM})
NO_DUPLICATE = frozenset({K.DUPLICATED})
NO_LOSS = frozenset({K.LOST, K.PARKED, K.STRANDED})
ANY = frozenset({K.REORDERED, K.REGRESSED, K.LATE, K.BOUND_EXCEEDED, K.KEY_REUSED, K.PRODUCER_GAVE_UP})
"""These break any semantic; they say nothing about which semantic was observed. Order is looked at only where the
promise has `ordered_by`."""

FORBIDS: dict[Semantic, frozenset[FindingKind]] = {
    Semantic.AT_MOST_ONCE: NEVER | NO_DUPLICATE,
    Semantic.AT_LEAST_ONCE: NEVER | NO_LOSS,
    Semantic.EFFECTIVELY_ONCE: NEVER | NO_DUPLICATE | NO_LOSS,
}
STRONGEST_FIRST = (Semantic.EFFECTIVELY_ONCE, Semantic.AT_LEAST_ONCE, Semantic.AT_MOST_ONCE)


def breaks(kind: FindingKind, promise: Promise) -> bool:
    """Whether a finding of this kind contradicts what is declared. A probe declares nothing.

    Stuck breaks a promise only where `recover_within_s` is part of it; else it leaves the scenario unproven.
    """
    if promise.semantic is None:
        return False
    if kind is K.STUCK:
        return promise.recover_within_s is not None
    return kind in ANY or kind in FORBIDS[promise.semantic]


def refuted_by(kind: FindingKind) -> frozenset[Semantic]:
    """The semantics that cannot hold where this was found, whatever is declared."""
    return frozenset(semantic for semantic, forbidden in FORBIDS.items() if kind in forbidden)


def observed(refutes: Iterable[frozenset[str]]) -> str | None:
    """The strongest semantic that none of these scenarios refutes; None if all three are refuted.

    Goes in: `Judgement.refutes` of *proven* scenarios.
    """
    gone = frozenset[str]().union(*refutes)
    return next((semantic.value for semantic in STRONGEST_FIRST if semantic.value not in gone), None)
