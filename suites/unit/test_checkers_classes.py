"""Payload classes: what a message of a class owes, in place of what the flow's messages owe."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, insert
from spine import CRASH, EXACTLY, SPINE, E, apply, deliver, publish, settle

from chaosharness.checkers.facts import gather
from chaosharness.checkers.hit import find_hit
from chaosharness.checkers.sets import intended
from chaosharness.model.history import History
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import FindingKind, Judgement, Verdict

TWO = replace(EXACTLY, count=2, counts={"effect": 1, "mail": 1})
MAILS = "".join(f"effect {key} @{E}#5 sink=mail effect=mail-{key}\n" for key in ("k1", "k2", "k9"))


def of_class(says: str, done: str) -> str:
    """A third message whose invocation says something more."""
    begun = change(publish("3", 3), "by=workload", f"by=workload class=spam {says}")
    return begun + deliver("3") + "\n" + done + settle("3")


def judged(says: str, done: str = "", promise: Promise = EXACTLY) -> Judgement:
    more = MAILS if promise.counts else ""
    return CRASH.judge(insert(insert(CRASH.text, "gate_held", of_class(says, done)), "drain_started", more), promise)


def kinds(judgement: Judgement) -> list[str]:
    assert all(finding.keys == ("k3",) for finding in judgement.findings)
    return [finding.kind.value for finding in judgement.findings]


@pytest.mark.parametrize(
    ("count", "effects", "found"),
    [(0, 0, []), (0, 1, ["duplicated"]), (1, 1, []), (2, 1, ["lost"]), (2, 2, []), (2, 3, ["duplicated"])],
)
def test_a_class_has_a_count_of_its_own(count: int, effects: int, found: list[str]) -> None:
    judgement = judged(f"count={count}", "".join(apply("3", 30 + number) for number in range(effects)))
    assert kinds(judgement) == found
    assert judgement.verdict is (Verdict.VIOLATED if found else Verdict.UPHELD)


def test_what_was_to_be_dropped_and_was_applied_says_so() -> None:
    assert judged("count=0", apply("3", 3)).findings[0].attribution == "applied, though no effect is intended"


def test_a_class_owes_where_the_flow_does_not() -> None:
    none = replace(EXACTLY, count=0)
    judgement = judged("count=1", apply("3", 3), none)
    assert [finding.keys for finding in judgement.findings] == [("k1", "k2", "k9")]
    lacking = judged("count=1", "", none).findings
    assert (lacking[0].kind, lacking[0].keys) == (FindingKind.LOST, ("k3",))


@pytest.mark.parametrize(
    ("done", "found"),
    [
        (apply("3", 3), []),
        ("", ["lost"]),
        (f"effect k3 @{E}#3 sink=mail effect=m3\n", ["lost", "duplicated"]),
        (apply("3", 3) + f"effect k3 @{E}#3 sink=mail effect=m3\n", ["duplicated"]),
    ],
)
def test_counts_by_sink(done: str, found: list[str]) -> None:
    assert kinds(judged('counts={"effect":1,"mail":0}', done, TWO)) == found


@pytest.mark.parametrize(
    "says", ["", "count=true", "count=-1", "count=x", "counts={}", 'counts={"effect":-1}', "counts=1"]
)
def test_what_cannot_be_read_says_nothing(says: str) -> None:
    """Then it owes what the flow's messages owe."""
    assert kinds(judged(says)) == ["lost"]
    assert kinds(judged(says, apply("3", 3))) == []


def test_a_republish_does_not_say_it_again() -> None:
    scenario = SPINE["store-confirm:republish"]
    text = change(scenario.text, "invoke k1 op=1 producer=harness", "invoke k1 op=1 count=2 producer=harness")
    assert [finding.kind for finding in scenario.judge(text).findings] == [FindingKind.LOST]
    thrice = insert(text, "drain_started", "".join(f"effect k1 @{E}#3 effect={n} sink=effect\n" for n in "abc"))
    upstreams = scenario.judge(thrice, replace(EXACTLY, max_duplicates=0))
    assert [finding.kind for finding in upstreams.findings] == [FindingKind.DUPLICATED]
    four_too_many = insert(thrice, "drain_started", "".join(f"effect k1 effect=x{n} sink=effect\n" for n in range(3)))
    own = scenario.judge(four_too_many, replace(EXACTLY, max_duplicates=0))
    assert [finding.kind for finding in own.findings] == [FindingKind.DUPLICATED, FindingKind.BOUND_EXCEEDED]


def test_progress_of_messages_that_are_to_be_dropped_is_their_settle() -> None:
    text = change(CRASH.text, "invoke k9 op=9", "invoke k9 op=9 count=0")
    dropped = "\n".join(line for line in text.splitlines() if not ("k9" in line and "effect" in line))
    assert CRASH.judge(dropped).verdict is Verdict.UPHELD
    stopped = "\n".join(line for line in dropped.splitlines() if "settle k9" not in line)
    assert [missing.code.value for missing in CRASH.judge(stopped).missing] == ["progress_after"]
    among_others = insert(dropped, "drain_started", "invoke k8 op=8 by=workload")
    assert [missing.code.value for missing in CRASH.judge(among_others).missing] == ["progress_after"]


def test_late_is_counted_to_the_effect_that_completed_the_message() -> None:
    """In each sink the one that was still owed; a duplicate before it completes nothing."""
    promise = replace(TWO, recover_within_s=2)
    effects = f"""
    effect k3 @{E}#5 sink=effect effect=a
    effect k3 @{E}#5 sink=effect effect=b
    +3s effect k3 @{E}#5 sink=mail effect=c
    """
    text = insert(insert(CRASH.text, "gate_held", publish("3", 3) + deliver("3")), "drain_started", MAILS + effects)
    judgement = CRASH.judge(text, promise)
    assert [finding.kind for finding in judgement.findings] == [FindingKind.DUPLICATED, FindingKind.LATE]
    own = text.replace("invoke k3", 'invoke k3 counts={"effect":1,"mail":0}')
    assert FindingKind.LATE not in [finding.kind for finding in CRASH.judge(own, promise).findings]


def test_intended_is_over_all_sinks() -> None:
    facts = gather(History(()))
    assert find_hit(facts, CRASH.aimed).gate is None
    assert [intended(facts, promise, "k1") for promise in (EXACTLY, TWO, replace(EXACTLY, count=0))] == [1, 2, 0]
