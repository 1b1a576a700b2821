"""The checkers against a second implementation that knows nothing of them: on any history both find the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import fields

import oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stories import Line, aims, histories, promises, stories, wild

from chaosharness.checkers.facts import gather
from chaosharness.checkers.hit import find_hit
from chaosharness.checkers.sets import Sets, decide
from chaosharness.checkers.verdict import judge
from chaosharness.model.history import Aimed, History
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import FindingKind

SEARCH = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # to shrink a history takes minutes; `assert_agree` does it in a moment
)
"""The same examples in each run, however busy the machine is."""
KINDS = {kind: kind.value for kind in FindingKind} | {FindingKind.PRODUCER_GAVE_UP: "gave_up"}
SAME = [field.name for field in fields(Sets) if field.name not in ("taken", "dead", "order")]
"""The sets that both have, by the same name."""


def differences(history: History, promise: Promise, aimed: Aimed) -> dict[str, object]:
    """By name: what ours is and what the oracle's, where they differ."""
    facts = gather(history)
    hit = find_hit(facts, aimed)
    sets = decide(facts, hit, promise, aimed)
    judgement = judge(history, promise, aimed)
    theirs: dict[str, set[str]] = oracle.sets(history.events, promise, aimed, hit.struck)
    ours = {name: set(getattr(sets, name)) for name in SAME}
    ours |= {"reordered": set(sets.order.reordered), "regressed": set(sets.order.regressed)}
    ours["dead_lettered"] = set(sets.parked | sets.dead)
    assert set(ours) == set(theirs) == oracle.NAMES
    named: defaultdict[str, set[str]] = defaultdict(set)
    for finding in judgement.findings:
        named[KINDS[finding.kind]] |= set(finding.keys)
    for name in set(KINDS.values()) - {"bound_exceeded"}:
        ours[f"found {name}"], theirs[f"found {name}"] = named[name], theirs[name]
    ours["breaks"] = {finding.kind.value for finding in judgement.findings if finding.breaks}
    theirs["breaks"] = oracle.broken(theirs, history.events, promise, aimed)
    for name in set(judgement.counts) & set(SAME):
        ours[f"counted {name}"], theirs[f"counted {name}"] = {str(judgement.counts[name])}, {str(len(theirs[name]))}
    return {name: (sorted(ours[name]), sorted(theirs[name])) for name in ours if ours[name] != theirs[name]}


def assert_agree(history: History, promise: Promise, aimed: Aimed) -> None:
    if not differences(history, promise, aimed):
        return
    events = list(history.events)
    for at in reversed(range(len(events))):  # told with no more than it takes
        fewer = events[:at] + events[at + 1 :]
        if differences(History(tuple(fewer)), promise, aimed):
            events = fewer
    told = "\n".join(f"{event.kind} {','.join(event.keys)} {dict(event.data)}" for event in events)
    found = differences(History(tuple(events)), promise, aimed)
    pytest.fail(f"ours and the oracle's differ: {found}\n{promise}\n{aimed}\n{told}")


@pytest.mark.parametrize(("tales", "most"), [(stories(), 400), (wild(), 400)], ids=["life", "wild"])
def test_both_find_the_same(tales: st.SearchStrategy[list[Line]], most: int) -> None:
    met: Counter[str] = Counter()

    @settings(SEARCH, max_examples=most)
    @given(histories(tales), promises(), aims())
    def compare(history: History, promise: Promise, aimed: Aimed) -> None:
        assert_agree(history, promise, aimed)
        found = oracle.sets(history.events, promise, aimed, find_hit(gather(history), aimed).struck)
        met.update(name for name, keys in found.items() if keys)
        met.update(oracle.broken(found, history.events, promise, aimed))

    compare()
    never = {*oracle.NAMES, *FindingKind} - set(met)
    assert not never, f"{never} in no history: the stories do not tell of them"
