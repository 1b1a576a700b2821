"""A message that can never succeed: dead-lettered is right, vanished is lost, held is stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, history, insert, without
from spine import AT_LEAST, AT_MOST, CRASH, EXACTLY, C, deliver, publish, settle

from chaosharness.checkers.verdict import judge
from chaosharness.model.history import Aimed
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import FindingKind, Judgement

POISON = ("malformed", "reject", "killer")
NOT_APPLIED = without(
    CRASH.text, f"deliver k1 @{C}#4", f"settle k1 @{C}#4", "request k1", "effect k1", "response k1", "replay k1"
)
"""The aimed message has no effect."""
REFUSED = insert(
    NOT_APPLIED, "drain_started", deliver("1", 4, "true") + "\n" + settle("1", 4).replace("=ack", "=reject")
)
PARKED = REFUSED + "\nparked k1 place=dead"


def judged(text: str, fault: str, promise: Promise = EXACTLY, extra: tuple[str, ...] = ()) -> Judgement:
    aimed: Aimed = replace(CRASH.aimed, window="poison", faults=(fault, *extra))
    return judge(history(text), promise, aimed)


def kinds(judgement: Judgement) -> dict[str, tuple[str, ...]]:
    return {finding.kind.value: finding.keys for finding in judgement.findings}


@pytest.mark.parametrize("fault", POISON)
@pytest.mark.parametrize("promise", [EXACTLY, AT_LEAST, AT_MOST, replace(EXACTLY, max_parked=0)], ids=str)
def test_dead_lettered_is_right(fault: str, promise: Promise) -> None:
    judgement = judged(PARKED, fault, promise)
    assert (judgement.findings, judgement.refutes) == ((), frozenset())
    assert (judgement.counts["parked"], judgement.counts["lost"]) == (0, 0)
    (story,) = [note for note in judgement.notes if note.startswith("poison: ")]
    assert story.startswith(
        "poison: delivered twice, " if fault != "killer" else "poison: delivered twice, killed its consumer once, "
    )
    assert story.endswith("then dead-lettered, as it should be")
    assert judgement.counts["dead_lettered"] == 1


def test_of_a_good_message_it_is_a_finding() -> None:
    assert kinds(judged(PARKED, "crash")) == {"parked": ("k1",)}
    assert judged(PARKED, "crash").refutes == {"at_least_once", "effectively_once"}
    assert not any("poison" in note for note in judged(PARKED, "crash").notes)


@pytest.mark.parametrize("fault", POISON)
def test_a_good_message_beside_it_is_still_a_finding(fault: str) -> None:
    text = insert(PARKED, "drain_started", publish("3", 3)) + "\nparked k3 place=dead"
    judgement = judged(text, fault)
    assert kinds(judgement) == {"parked": ("k3",)}
    assert judgement.refutes == {"at_least_once", "effectively_once"}
    allowed = judged(text, fault, replace(EXACTLY, max_parked=1))
    assert not any(finding.breaks for finding in allowed.findings)
    assert (allowed.refutes, allowed.counts["parked"]) == (frozenset(), 1)


@pytest.mark.parametrize("fault", POISON)
def test_vanished(fault: str) -> None:
    judgement = judged(REFUSED, fault)
    (finding,) = judgement.findings
    assert (finding.kind, finding.keys, finding.breaks) == (FindingKind.LOST, ("k1",), True)
    assert finding.attribution == "poison: settled without effect and not dead-lettered"
    assert "acked without effect: 1 settled by reject" in judgement.notes
    assert judgement.refutes == {"at_least_once", "effectively_once"}
    assert judged(REFUSED, "crash").findings[0].attribution == "acked without effect"


def test_only_the_poison_message_is_called_so() -> None:
    other = publish("3", 3) + deliver("3", 4) + "\n" + settle("3", 4)
    judgement = judged(insert(REFUSED, "drain_started", other), "reject")
    assert {finding.keys: finding.attribution for finding in judgement.findings} == {
        ("k1",): "poison: settled without effect and not dead-lettered",
        ("k3",): "acked without effect",
    }


def test_a_poison_message_that_was_never_settled_is_lost_as_any_other() -> None:
    assert judged(NOT_APPLIED, "malformed").findings[0].attribution == "delivered without effect"


@pytest.mark.parametrize("fault", POISON)
def test_held_at_the_bound_is_stuck(fault: str) -> None:
    text = change(NOT_APPLIED, "yields source=true", "yields k1 source=true place=orders")
    assert kinds(judged(text, fault)) == {"stuck": ("k1",)}


def test_a_killer_that_was_applied_after_all_is_fine() -> None:
    assert judged(CRASH.text, "killer").findings == ()


def test_one_of_two_faults_is_enough() -> None:
    assert judged(PARKED, "broker-kill", extra=("reject",)).findings == ()
