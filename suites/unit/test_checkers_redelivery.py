"""`redelivered`, in its own words; and when none is due, which a note says."""

from __future__ import annotations

from histories import change, insert, without
from spine import AT_LEAST, CRASH, C

from chaosharness.model.verdict import Code, Judgement, Verdict

NONE_DUE = "no redelivery is due: the aimed delivery was settled when the fault struck"
AGAIN = (f"deliver k1 @{C}#4", "@payment.0>effect.effect.0#5", f"settle k1 @{C}#4")
GONE = without(CRASH.text, AGAIN[0], "request k1 @payment.0>effect.effect.0#5", "replay k1", AGAIN[2])


def why(judgement: Judgement) -> str | None:
    return next((missing.why for missing in judgement.missing if missing.code is Code.REDELIVERED), None)


def test_what_is_missing_is_said() -> None:
    assert why(CRASH.judge(GONE, AT_LEAST)) == "k1 was not handed over again after the fault"
    silent = without(CRASH.text, "request k1 @payment.0>effect.effect.0#5", "replay k1", AGAIN[2])
    assert why(CRASH.judge(silent, AT_LEAST)) == "k1 was handed over again, and nothing came of it"


def test_one_that_came_is_not_called_undue() -> None:
    judgement = CRASH.judge()
    assert judgement.verdict is Verdict.UPHELD
    assert NONE_DUE not in judgement.notes


def test_none_is_due_of_what_was_settled_by_being_handed_over() -> None:
    first = f"deliver k1 @{C}#1 redelivered=false settled=false"
    judgement = CRASH.judge(change(GONE, first, first.replace("settled=false", "settled=true")), AT_LEAST)
    assert why(judgement) is None
    assert NONE_DUE in judgement.notes


def test_of_a_fault_that_never_struck_nothing_is_said() -> None:
    judgement = CRASH.judge(without(CRASH.text, "signalled", "fault_injected"), AT_LEAST)
    assert judgement.verdict is Verdict.UNPROVEN
    assert NONE_DUE not in judgement.notes


def test_a_delivery_that_was_thrown_away_is_not_the_one_that_counts() -> None:
    """It was settled by being handed over, into nothing; the one that arrived was not."""
    thrown = f"deliver k1 @{C}#1 redelivered=false settled=true discarded=true"
    assert why(CRASH.judge(insert(GONE, "gate_held", thrown), AT_LEAST)) is not None
