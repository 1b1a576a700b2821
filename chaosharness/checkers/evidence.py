"""The smallest evidence: a handful of events that show one finding.

Goes in: what was seen, in any order. Comes out: at most `MOST` events, each once, in the history's order.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosharness.checkers.facts import Seen, first
from chaosharness.checkers.sets import Case
from chaosharness.model.event import Event, Kind

MOST = 8


def pick(*seen: Seen | None) -> tuple[Event, ...]:
    """Those that are there; of too many the first and the last ones."""
    found = sorted({one.at: one for one in seen if one is not None}.items())
    if len(found) > MOST:
        found = [*found[: MOST // 2], *found[-MOST // 2 :]]
    return tuple(one.event for _, one in found)


def example(case: Case, keys: Iterable[str]) -> str:
    """The key whose story is told for all: the aimed one if it is among them. Raises ValueError if there is none."""
    keys = set(keys)
    return case.aimed.key if case.aimed.key in keys else min(keys)


def fault(case: Case, key: str) -> tuple[Seen | None, ...]:
    """The fault that came before the finding, and the gate if it held this very key."""
    gate = case.hit.gate if case.hit.gate and key in case.hit.gate.event.keys else None
    return gate, first(case.hit.injected)


def promised(case: Case, key: str) -> Seen | None:
    """What makes the key owed: the caller's `ok`, else the broker's confirm, else its first delivery."""
    told = [op.completed for op in case.facts.operations.get(key, ()) if op.completed and op.outcome == "ok"]
    confirmed = [seen for seen in case.facts.about(key, Kind.CONFIRM) if seen.get("ok") is True]
    return first([*told, *confirmed, *case.facts.about(key, Kind.DELIVER)])
