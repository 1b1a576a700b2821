"""Faults of a sink, and messages that can never succeed: what is right, what is not, and what must have been seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, insert, without
from spine import AT_LEAST, EXACTLY, C, E
from spine_sink import SINK
from test_checkers_spine import one

from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import Code, FindingKind, Judgement, Verdict

POISON = [cell for cell in SINK if cell.startswith("poison:")]


def found(judgement: Judgement) -> dict[str, str]:
    return {finding.kind.value: finding.attribution for finding in judgement.findings}


def lacks(cell: str, text: str) -> str:
    """What `fault_evidence` misses, and nothing else may be missing."""
    judgement = SINK[cell].judge(text)
    assert judgement.verdict is Verdict.UNPROVEN
    assert [missing.code for missing in judgement.missing] == [Code.FAULT_EVIDENCE], judgement.missing
    return judgement.missing[0].why


@pytest.mark.parametrize("cell", SINK)
@pytest.mark.parametrize("promise", [EXACTLY, AT_LEAST, replace(EXACTLY, recover_within_s=30)], ids=str)
def test_green(cell: str, promise: Promise) -> None:
    judgement = SINK[cell].judge(promise=promise)
    assert (judgement.findings, judgement.missing) == ((), ())
    assert judgement.verdict is Verdict.UPHELD
    assert judgement.refutes == frozenset()
    assert judgement.counts["owed"] == 3
    assert judgement.counts["effects"] == (2 if cell in POISON else 3)
    assert judgement.counts.get("dead_lettered") == (1 if cell in POISON else None)


# -- red ---------------------------------------------------------------------------------------------------------------


def unapplied(cell: str) -> str:
    """The aimed message's effect does not come; its consumer acknowledges."""
    return without(SINK[cell].text, f"request k1 @{E}#5", f"effect k1 @{E}#5", f"response k1 @{E}#5")


def test_outage_red() -> None:
    """Gave up and acknowledged; or dead-lettered what was good."""
    cell = "deliver-effect:outage"
    judgement = SINK[cell].judge(unapplied(cell))
    assert judgement.verdict is Verdict.VIOLATED
    assert found(judgement) == {"lost": "acked without effect"}
    parked = (
        change(unapplied(cell), f"settle k1 @{C}#1 how=ack", f"settle k1 @{C}#1 how=reject") + "\nparked k1 place=d"
    )
    assert found(SINK[cell].judge(parked)) == {"parked": "dead-lettered"}


@pytest.mark.parametrize("cell", ["effect-response:response-lost", "effect-response:apply-late"])
def test_a_retry_that_the_sink_cannot_tell_from_another_is_a_duplicate(cell: str) -> None:
    again = change(
        SINK[cell].text,
        f"replay k1 @{E}#5 sink=effect idempotency_key=k1",
        f"effect k1 @{E}#5 sink=effect effect=effect#7 idempotency_key=other",
    )
    judgement = SINK[cell].judge(again)
    assert judgement.verdict is Verdict.VIOLATED
    assert found(judgement) == {"duplicated": "applied again within one delivery, under another idempotency key"}
    assert SINK[cell].judge(again, AT_LEAST).verdict is Verdict.UPHELD


@pytest.mark.parametrize("cell", POISON)
def test_a_poison_message_that_is_nowhere_is_lost(cell: str) -> None:
    gone = without(SINK[cell].text, "parked k1")
    judgement = SINK[cell].judge(gone)
    assert judgement.verdict is Verdict.VIOLATED
    finding = one(judgement, FindingKind.LOST)
    settled = cell != "poison:killer"
    vanished = "poison: settled without effect and not dead-lettered"
    assert finding.attribution == (vanished if settled else "delivered without effect")


@pytest.mark.parametrize("cell", POISON)
def test_a_poison_message_that_is_still_held_is_stuck(cell: str) -> None:
    """A finding only of who promised to recover; else unproven, with the bound's name."""
    text = without(SINK[cell].text, "parked k1").replace(f"settle k1 @{C}#1 how=reject", f"settle k1 @{C}#1 how=nack")
    held = change(text.replace("how=nack requeue=false", "how=nack requeue=true"), "yields source", "yields k1 source")
    promised = SINK[cell].judge(held, replace(EXACTLY, recover_within_s=3))
    assert (promised.verdict, list(found(promised))) == (Verdict.VIOLATED, ["stuck"])
    unpromised = SINK[cell].judge(held)
    assert unpromised.verdict is Verdict.UNPROVEN
    (missing,) = unpromised.missing
    assert missing.code is Code.DRAINED
    assert "raise drain_within_s" in missing.why
    assert any(note.startswith("poison: ") and note.endswith("and still held") for note in unpromised.notes)


# -- evidence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", SINK)
def test_the_injection_and_the_heal_must_be_there_and_say_so(cell: str) -> None:
    text, fault = SINK[cell].text, SINK[cell].fault
    for kind, word in (("fault_injected", "injected, but"), ("fault_healed", "healed, but")):
        line = f"{kind} fault={fault} ok=true"
        assert word in lacks(cell, change(text, line, line.replace("true", "false")))


def test_an_outage_must_have_met_the_held_request() -> None:
    cell = "deliver-effect:outage"
    assert "did not refuse" in lacks(cell, without(SINK[cell].text, "refused k1 @"))
    other = SINK[cell].text.replace(f"refused k1 @{E}#3", f"refused k1 @{E}#5")
    assert "did not refuse" in lacks(cell, other)


def test_an_answer_must_have_been_cut_with_its_connection() -> None:
    cell = "effect-response:response-lost"
    assert "no bytes" in lacks(cell, change(SINK[cell].text, "point=response bytes=90", "point=response bytes=0"))
    assert "did not close" in lacks(
        cell, change(SINK[cell].text, f"disconnect @{E}#3 by=tap", f"disconnect @{E}#3 by=client")
    )


def test_a_late_request_is_applied_after_its_caller_closed_and_not_before() -> None:
    cell = "effect-response:apply-late"
    text = SINK[cell].text
    assert "did not close" in lacks(cell, change(text, f"disconnect @{E}#3 by=client", f"disconnect @{E}#3 by=tap"))
    discarded = change(text, f"effect k1 @{E}#3", f"discarded k1 @{E}#3 why=gone")
    assert "was not applied" in lacks(cell, change(discarded, f"replay k1 @{E}#5", f"effect k1 @{E}#5"))


def test_the_hold_of_apply_late_means_to_have_consequences() -> None:
    """The caller's own time-out, which elsewhere shows that another window was hit."""
    scenario = SINK["effect-response:apply-late"]
    elsewhere = replace(scenario, text=scenario.text.replace("=apply-late", "=brand-new"), fault="brand-new")
    told = insert(without(elsewhere.text, "step what"), "fault_injected", "step what=inject fault=brand-new")
    assert Code.HOLD_FIRST in [missing.code for missing in elsewhere.judge(told).missing]


def test_what_is_rejected_for_good_is_not_applied_after_all() -> None:
    cell = "poison:reject"
    assert "did not refuse" in lacks(cell, without(SINK[cell].text, "refused k1 @"))
    applied = insert(SINK[cell].text, f"settle k1 @{C}#1", f"effect k1 @{E}#3 sink=effect effect=effect#8")
    assert "took after all" in lacks(cell, applied)


def test_a_malformed_message_must_have_been_spoiled() -> None:
    cell = "poison:malformed"
    assert "as it should be" in lacks(cell, change(SINK[cell].text, " spoiled=true", ""))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("signal=kill scope=tree pids=[101]", "signal=term scope=tree pids=[101]", "no SIGKILL of payment.0"),
        (
            "code=-9 asked=true gone=true\ndisconnect @E#5",
            "code=-9 asked=true gone=false\ndisconnect @E#5",
            "no record",
        ),
        ("disconnect @E#5 by=client", "disconnect @E#5 by=tap", "did not reach end of file"),
    ],
)
def test_every_kill_of_a_killer_needs_its_evidence(old: str, new: str, why: str) -> None:
    text = "\n".join(line.strip() for line in SINK["poison:killer"].text.splitlines())
    assert why in lacks("poison:killer", change(text, old.replace("@E", f"@{E}"), new.replace("@E", f"@{E}")))
