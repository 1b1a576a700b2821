"""`reordered` and `regressed`: messages of one ordering key whose effects did not keep the order of their publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chaosharness.checkers.evidence import example, fault, pick
from chaosharness.checkers.facts import last
from chaosharness.checkers.ordering import Pair
from chaosharness.checkers.semantics import breaks
from chaosharness.checkers.sets import Case
from chaosharness.model.event import Kind
from chaosharness.model.verdict import Finding, FindingKind


def find_reordered(case: Case) -> Iterator[Finding]:
    """The first effect came after that of a message published later; a replay (1 2 3 2 3 4) is none."""
    words = "the first effect came after that of a message of the same ordering key that was published later"
    yield from _find(case, FindingKind.REORDERED, case.sets.order.reordered, words)


def find_regressed(case: Case) -> Iterator[Finding]:
    """The last effect of an ordering key is that of an older message."""
    words = "the ordering key's last effect is that of an older message: its final state is out of date"
    yield from _find(case, FindingKind.REGRESSED, case.sets.order.regressed, words)


def _find(case: Case, kind: FindingKind, pairs: Mapping[str, Pair], words: str) -> Iterator[Finding]:
    if not pairs:
        return
    key = example(case, pairs)
    newer, earlier, later = pairs[key]
    evidence = pick(
        *[op.completed for op in case.facts.operations[key] if op.by_workload],
        *[op.invoked for op in case.facts.operations[newer] if op.by_workload],
        earlier,
        *fault(case, key),
        last([seen for seen in case.facts.about(key, Kind.DELIVER) if seen.at < later.at]),
        later,
    )
    yield Finding(kind, tuple(sorted(pairs)), words, evidence, breaks(kind, case.promise))
