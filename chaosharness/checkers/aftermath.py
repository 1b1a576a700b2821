"""What a reader wants to know of the aftermath, whatever the verdict: the poison message's story, the slowest recovery.

Goes in: a `Case`. Comes out: notes, and counts. To try it: `suites/unit/test_checkers_aftermath.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosharness.checkers.facts import after
from chaosharness.checkers.sets import Case, lateness_s, poison
from chaosharness.model.event import Kind


def notes(case: Case) -> Iterator[str]:
    """Of the poison message, and of the slowest recovery where one is bounded."""
    for key in sorted(poison(case.aimed)):
        yield f"poison: {_story(case, key)}"
    slowest = _slowest(case)
    if slowest:
        key, took_s = slowest
        yield f"slowest recovery after the heal: {took_s:.3g} s ({key})"


def counts(case: Case) -> dict[str, int]:
    """`dead_lettered`: the poison message, where it ended there. `recovery_ms`, of the slowest message."""
    slowest = _slowest(case)
    found = {"dead_lettered": len(case.sets.dead)} if poison(case.aimed) else {}
    return found | ({"recovery_ms": round(slowest[1] * 1000)} if slowest else {})


def _story(case: Case, key: str) -> str:
    about, sets = case.facts.about, case.sets
    deliveries = [seen for seen in about(key, Kind.DELIVER) if not seen.discarded]
    kills = []
    if "killer" in case.aimed.faults and case.hit.gate:
        kills = [s for s in after(case.facts.of(Kind.SIGNALLED), case.hit.gate.at) if s.text("signal") == "kill"]
    if key in sets.dead:
        end = "then dead-lettered, as it should be"
    elif case.facts.effects.get(key):
        end = "then applied"
    elif key in sets.held:
        end = "and still held"
    elif key in sets.lost:
        end = "then gone"
    else:
        end = "and nobody can say what became of it"
    killed = f"killed its consumer {_times(len(kills))}, " if kills else ""
    return f"delivered {_times(len(deliveries))}, {killed}{end}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _slowest(case: Case) -> tuple[str, float] | None:
    """The key that took longest from the heal, and how long; None where none came after it, or nobody asked."""
    took_s = {
        key: seconds
        for key in case.facts.effects
        if (seconds := lateness_s(case.facts, case.hit, case.promise, key)) is not None
    }
    return max(sorted(took_s.items()), key=lambda found: found[1], default=None)
