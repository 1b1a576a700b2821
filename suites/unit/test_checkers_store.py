"""Faults of a store: a flow that keeps its word is upheld, one that leans on the store alone is violated.

And a fault that left too little behind proves nothing.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, history, insert, without
from spine import AT_LEAST, AT_MOST, EXACTLY, PROBE, C, E, Scenario
from spine_store import BOUNDED, CLAIMED, STORE, F, S, record
from test_checkers_preconditions import codes, lacks, proves

from chaosharness.checkers.verdict import NEVER_RECORDED, judge
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import FindingKind, Verdict

ALL = {**STORE, "dedup:crash, record first": CLAIMED}
AT_THE_ACK = ["dedup:wipe", "dedup:restart", "dedup:unreachable", "dedup:expire"]


@pytest.mark.parametrize("cell", ALL)
@pytest.mark.parametrize("promise", [EXACTLY, BOUNDED, AT_LEAST, AT_MOST, PROBE], ids=["E", "B", "L", "M", "P"])
def test_green(cell: str, promise: Promise) -> None:
    judgement = ALL[cell].judge(promise=promise)
    assert (judgement.findings, judgement.missing, judgement.verdict) == ((), (), Verdict.UPHELD)


# what a flow must not do


def violates(scenario: Scenario, text: str, kind: FindingKind, attribution: str) -> None:
    judgement = scenario.judge(text)
    assert judgement.verdict is Verdict.VIOLATED, judgement
    [finding] = judgement.findings
    assert (finding.kind, finding.keys, finding.attribution) == (kind, ("k1",), attribution)


def applied_again(text: str, link: str, conn: int) -> str:
    """The sink is not idempotent: what it collapsed in the green history, it applies."""
    replayed = f"replay k1 @{link}#{conn} sink=effect idempotency_key=k1"
    applied = f"effect k1 @{link}#{conn} sink=effect effect=effect#7"
    return without_key(change(text, replayed, applied))


def without_key(text: str) -> str:
    return text.replace(" idempotency_key=k1", "")


@pytest.mark.parametrize("cell", ["dedup:wipe", "dedup:expire"])
def test_what_only_the_store_knew_is_done_again(cell: str) -> None:
    scenario = STORE[cell]
    violates(scenario, applied_again(scenario.text, E, 3), FindingKind.DUPLICATED, "applied again after a redelivery")


@pytest.mark.parametrize("cell", ["dedup:restart", "dedup:unreachable"])
def test_one_that_fails_open_does_it_again(cell: str) -> None:
    scenario = STORE[cell]
    again = f"""
    request k1 @{E}#3 sink=effect method=POST
    effect k1 @{E}#3 sink=effect effect=effect#7
    response k1 @{E}#3 sink=effect status=200
    """
    text = insert(scenario.text, "lookup k1 @payment.0>store.dedup.0#8", again)
    violates(scenario, without_key(text), FindingKind.DUPLICATED, "applied again after a redelivery")


def test_effect_before_record_red() -> None:
    scenario = STORE["dedup:crash"]
    text = applied_again(scenario.text, E, 5)
    violates(scenario, text, FindingKind.DUPLICATED, "applied again after a redelivery")


def test_record_before_effect_red() -> None:
    """What was noted before it was done is taken for done."""
    text = without(CLAIMED.text, f"request k1 @{E}#5", "effect k1", "response k1")
    violates(CLAIMED, text, FindingKind.LOST, "acked without effect")


def test_its_own_late_claim_red() -> None:
    """The claim that timed out was taken all the same: met again, it is taken for somebody else's, done."""
    scenario = STORE["dedup:latency"]
    text = without(scenario.text, f"request k1 @{E}#3", "effect k1", "response k1")
    violates(scenario, text, FindingKind.LOST, "acked without effect")


def test_at_work_red() -> None:
    """Two owners of one claim, and nothing behind them that collapses what they do."""
    scenario = STORE["slow:expire"]
    text = applied_again(scenario.text, E, 3)
    violates(scenario, text, FindingKind.DUPLICATED, "applied again after a redelivery")


# what must have been seen


def why(cell: str, text: str, promise: Promise = EXACTLY) -> str:
    judgement = STORE[cell].judge(text, promise)
    assert (judgement.verdict, "fault_evidence" in codes(judgement)) == (Verdict.UNPROVEN, True), judgement
    return next(missing.why for missing in judgement.missing if missing.code == "fault_evidence")


@pytest.mark.parametrize("cell", STORE)
def test_every_fault_needs_its_injection_and_its_heal(cell: str) -> None:
    scenario, fault = STORE[cell], STORE[cell].fault
    assert "never injected" in why(cell, without(scenario.text, "fault_injected"))
    assert "healed, but" in why(cell, change(scenario.text, f"healed fault={fault} ok=true", f"healed fault={fault}"))


@pytest.mark.parametrize("cell", [*AT_THE_ACK, "slow:expire"])
def test_the_key_must_have_been_recorded(cell: str) -> None:
    assert "had not been recorded" in why(cell, without(STORE[cell].text, f"record k1 @{S}#7"))
    thrown_away = STORE[cell].text.replace("command=SET", "command=SET discarded=true")
    assert "had not been recorded" in why(cell, thrown_away)


@pytest.mark.parametrize("cell", AT_THE_ACK)
def test_the_broker_must_have_been_made_to_hand_it_over_again(cell: str) -> None:
    text = STORE[cell].text
    assert "was not closed" in why(cell, without(text, "severed"))
    assert "was not closed" in why(cell, change(text, f"severed @{C}#1", "severed @payment.1>broker.0#1"))
    assert "was not thrown away" in why(cell, change(text, "forwarded=false", "forwarded=true"))
    lacks(
        without(text, f"deliver k1 @{C}#4", f"settle k1 @{C}#4"),
        *(["fault_evidence"] if cell == "dedup:unreachable" else []),
        "redelivered",
        scenario=STORE[cell],
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("signal=term", "signal=kill", "no SIGTERM of the store"),
        ("signalled instance=store.0", "signalled instance=payment.0", "no SIGTERM of the store"),
        ("exited instance=store.0", "exited instance=other.0", "no record that store.0 had ended"),
        ("gone=true", "gone=false", "no record that store.0 had ended"),
        ("started instance=store.0 pid=61", "started instance=other.0 pid=61", "not started again"),
    ],
)
def test_evidence_of_a_restart(old: str, new: str, said: str) -> None:
    assert said in why("dedup:restart", change(STORE["dedup:restart"].text, old, new))


def test_others_may_start_meanwhile() -> None:
    scenario = STORE["dedup:restart"]
    text = insert(scenario.text, "fault_injected", "started instance=payment.0 pid=101 incarnation=2")
    proves(text, scenario)


@pytest.mark.parametrize("link", [C, "payment.1>store.dedup.0"])
def test_the_link_that_is_bad_is_the_one_to_the_store(link: str) -> None:
    text = STORE["dedup:latency"].text
    assert f"is {link}" in why("dedup:latency", change(text, f"ok=true link={S}", f"ok=true link={link}"))
    assert "did not go on" in why("dedup:latency", change(text, "forwarded=true", "forwarded=false"))


@pytest.mark.parametrize("link", [C, E, "payment.1>store.dedup.0"])
def test_the_link_that_is_cut_off_is_the_replicas_own_to_the_store(link: str) -> None:
    text = change(STORE["dedup:unreachable"].text, f"ok=true link={S}", f"ok=true link={link}")
    assert f"is {link}" in why("dedup:unreachable", text)


def test_the_store_is_unreachable_until_the_message_has_come_again() -> None:
    text = STORE["dedup:unreachable"].text
    late = without(text, f"deliver k1 @{C}#4")
    late = insert(late, f"connect @{S}#8", f"deliver k1 @{C}#4 redelivered=true settled=false how=push")
    assert "was not handed over again while" in why("dedup:unreachable", late)


def test_somebody_else_must_have_had_it_while_the_first_was_at_work() -> None:
    text = without(STORE["slow:expire"].text, "deliver k1 @payment.1")
    assert "nobody else worked on it" in why("slow:expire", text)
    assert "was closed" in why("slow:expire", without(STORE["slow:expire"].text, "severed"))
    assert F in text


def test_a_crash_in_the_same_scenario_closes_the_connection_too() -> None:
    lost = 'fault_injected fault=wipe ok=true evidence={"what":"19 entries before, 0 after"}'
    healed = 'fault_healed fault=wipe ok=true evidence={"what":"nothing to heal"}'
    both = insert(insert(CLAIMED.text, "fault_injected", lost), "fault_healed", healed)
    aimed = replace(CLAIMED.aimed, faults=("wipe", "crash"))
    assert [missing.code for missing in judge(history(both), EXACTLY, aimed).missing] == ["quiet_end"]
    unasked = replace(CLAIMED.aimed, faults=("wipe",))
    assert "fault_evidence" in [missing.code for missing in judge(history(both), EXACTLY, unasked).missing]


# what turns out not to be applicable


def test_a_flow_that_records_nothing_has_no_such_window() -> None:
    green = STORE["dedup:crash"].text
    quiet = without(
        green, "gate_held", "gate_released", "record", "lookup", "looked_up", "fault_", "signalled", "exited"
    )
    text = change(quiet, "gate_armed k1 gate=g point=any", "gate_armed k1 gate=g point=recorded")
    judgement = judge(history(text), EXACTLY, STORE["dedup:crash"].aimed)
    assert (judgement.verdict, judgement.reason) == (Verdict.NOT_APPLICABLE, NEVER_RECORDED)
    elsewhere = change(text, "point=recorded", "point=settle")
    assert judge(history(elsewhere), EXACTLY, STORE["dedup:crash"].aimed).verdict is Verdict.UNPROVEN
    in_hand = without(text, "settle k1")
    assert judge(history(in_hand), EXACTLY, STORE["dedup:crash"].aimed).verdict is Verdict.UNPROVEN


def test_a_fault_that_is_declined_says_why() -> None:
    text = change(
        without(STORE["dedup:expire"].text, "fault_healed"),
        'fault_injected fault=expire ok=true evidence={"what":"expired, and gone: done:k1 (59.9 s left)"}',
        'fault_declined k1 fault=expire why="it lives for ever"',
    )
    judgement = STORE["dedup:expire"].judge(text)
    assert (judgement.verdict, judgement.reason) == (Verdict.NOT_APPLICABLE, "it lives for ever")


# advice


def advised(text: str, promise: Promise = BOUNDED) -> list[str]:
    return [f"{advice.code}: {advice.text}" for advice in STORE["dedup:wipe"].judge(text, promise).advice]


def test_a_time_to_live_shorter_than_the_retries_is_advised_against() -> None:
    text = STORE["dedup:wipe"].text
    [advice] = advised(text)
    assert advice.startswith("short_ttl: what is remembered of a message lives for 60 s")
    assert advised(text, EXACTLY) == []
    assert advised(text.replace("ttl_s=60", "ttl_s=3600")) == []
    assert advised(text.replace("ttl_s=60", "ttl_s=null")) == []
    assert advised(text.replace(" ttl_s=60", "")) == [], "of a script nobody knows it"


def test_a_short_claim_beside_a_lasting_note_is_none() -> None:
    text = STORE["dedup:wipe"].text
    note = record(ttl_s="null").replace("done:k1", "note:k1")
    assert advised(insert(text, "gate_held", note)) == []
    assert advised(insert(text, "gate_held", record(ttl_s="null"))) == [], "the last one counts"


def test_what_the_store_did_not_take_gave_no_time_to_anything() -> None:
    text = insert(STORE["dedup:wipe"].text, "gate_held", record(ttl_s="null"))
    refused = record(ttl_s="3", ok="false")
    assert advised(insert(text, "gate_held", refused)) == []
    [advice] = advised(insert(text, "gate_held", refused.replace("false", "true")))
    assert "lives for 3 s" in advice


def test_a_note_whose_answer_nobody_saw_may_have_been_taken() -> None:
    noted = "\n".join(record(conn=9, ttl_s="null").splitlines()[:2])
    text = STORE["dedup:wipe"].text
    assert advised(insert(text, "gate_held", noted)) == []
    [advice] = advised(insert(text, f"deliver k1 @{C}#1", noted))
    assert "lives for 60 s" in advice


def test_a_message_that_is_not_done_with_tells_nothing_of_what_is_remembered() -> None:
    assert advised(without(STORE["dedup:wipe"].text, "settle k1")) == []
