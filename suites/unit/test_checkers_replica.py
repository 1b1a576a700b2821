"""Faults of a replica's processes, and of replicas that come and go.

A flow that keeps its word is upheld, one that does not is violated, and a fault that left too little behind proves
nothing.
"""

from __future__ import annotations

import pytest
from histories import change, insert, without
from spine import AT_LEAST, AT_MOST, EXACTLY, PROBE, C, E
from spine_replica import REPLICA, D, F
from test_checkers_preconditions import codes

from chaosharness.model.verdict import FindingKind, Verdict


@pytest.mark.parametrize("cell", REPLICA)
@pytest.mark.parametrize("promise", [EXACTLY, AT_LEAST, AT_MOST, PROBE], ids=lambda p: str(p.semantic))
def test_green(cell: str, promise: object) -> None:
    judgement = REPLICA[cell].judge(promise=promise)  # type: ignore[arg-type]
    assert (judgement.findings, judgement.missing, judgement.verdict) == ((), (), Verdict.UPHELD)


# what a flow must not do


def violates(cell: str, text: str, kind: FindingKind, attribution: str) -> None:
    judgement = REPLICA[cell].judge(text)
    assert judgement.verdict is Verdict.VIOLATED, judgement
    [finding] = judgement.findings
    assert (finding.kind, finding.keys, finding.attribution) == (kind, ("k1",), attribution)


def test_crash_child_red() -> None:
    """What the pool remembers of its dead worker keeps the next one from the work."""
    text = REPLICA["deliver-effect:crash-child"].text
    early = without(text, f"request k1 @{E}#5", "effect k1", "response k1")
    violates("deliver-effect:crash-child", early, FindingKind.LOST, "acked without effect")


def test_crash_parent_red() -> None:
    """The next ones begin anew what an orphan still has in hand."""
    text = REPLICA["deliver-effect:crash-parent"].text
    again = f"effect k1 @{E}#5 sink=effect effect=effect#7 idempotency_key=other"
    violates(
        "deliver-effect:crash-parent",
        insert(text, "drain_started", again),
        FindingKind.DUPLICATED,
        "applied again within one delivery, under another idempotency key",
    )


@pytest.mark.parametrize("cell", ["effect-ack:term", "rebalance:leave"])
def test_term_and_leave_red(cell: str) -> None:
    """Told to end, it acknowledges what it has not done."""
    text = without(REPLICA[cell].text, "effect k1", "response k1")
    violates(cell, text, FindingKind.LOST, "acked without effect")


def test_freeze_red() -> None:
    text = change(
        REPLICA["effect-ack:freeze"].text,
        f"replay k1 @{E}#3 sink=effect idempotency_key=k1",
        f"effect k1 @{E}#3 sink=effect effect=effect#7 idempotency_key=other",
    )
    again = "applied again after a redelivery, under another idempotency key"
    violates("effect-ack:freeze", text, FindingKind.DUPLICATED, again)


def test_a_zombies_request_red() -> None:
    text = change(
        REPLICA["rebalance:freeze"].text,
        f"replay k1 @{E}#3 sink=effect idempotency_key=k1",
        f"effect k1 @{E}#3 sink=effect effect=effect#7 idempotency_key=other",
    )
    again = "applied again after a redelivery, under another idempotency key"
    violates("rebalance:freeze", text, FindingKind.DUPLICATED, again)


def test_join_red() -> None:
    """The newcomer begins by emptying the queue."""
    text = without(REPLICA["rebalance:join"].text, "effect k1", "response k1")
    violates("rebalance:join", text, FindingKind.LOST, "acked without effect")


# what each fault must have left


@pytest.mark.parametrize("cell", REPLICA)
def test_every_fault_needs_its_injection_its_evidence_and_its_heal(cell: str) -> None:
    scenario = REPLICA[cell]
    for gone in ("fault_injected", "fault_healed"):
        assert "fault_evidence" in codes(scenario.judge(without(scenario.text, gone)))
    for said in ("fault_injected", "fault_healed"):
        not_ok = change(
            scenario.text, f"{said} fault={scenario.fault} ok=true", f"{said} fault={scenario.fault} ok=false"
        )
        assert "fault_evidence" in codes(scenario.judge(not_ok))


@pytest.mark.parametrize(
    ("cell", "old", "new", "why"),
    [
        ("deliver-effect:crash-child", "scope=child", "scope=tree", "no SIGKILL of a child of payment.0"),
        ("deliver-effect:crash-child", "signal=kill", "signal=term", "no SIGKILL of a child"),
        ("deliver-effect:crash-child", "signalled instance=payment.0", "signalled instance=payment.1", "no SIGKILL"),
        ("deliver-effect:crash-child", f"disconnect @{E}#3 by=client", f"disconnect @{E}#8 by=client", "end of file"),
        ("deliver-effect:crash-child", "forwarded=false", "forwarded=true", "sent on"),
        ("deliver-effect:crash-parent", "scope=parent", "scope=tree", "no SIGKILL of the first process"),
        ("deliver-effect:crash-parent", "exited instance=payment.0", "exited instance=x.0", "no record that the first"),
        ("effect-ack:term", "signal=term", "signal=kill", "no SIGTERM"),
        ("effect-ack:term", "exited instance=payment.0", "exited instance=x.0", "no record that payment.0 ended"),
        ("rebalance:leave", "signal=term", "signal=kill", "no SIGTERM"),
        ("effect-ack:freeze", "signal=freeze", "signal=term", "was not frozen"),
        ("effect-ack:freeze", "signal=freeze scope=tree", "signal=freeze scope=parent", "was not frozen"),
        ("effect-ack:freeze", "signal=thaw", "signal=freeze", "never thawed"),
        ("effect-ack:freeze", f"disconnect @{C}#1 by=tap", f"disconnect @{D}#1 by=tap", "kept its connection"),
        ("rebalance:freeze", f"disconnect @{C}#1 by=server", f"disconnect @{E}#3 by=tap", "kept its connection"),
        ("rebalance:join", "started instance=payment.1", "started instance=other.1", "no replica started"),
        ("rebalance:join", f"subscribed @{D}#11 source=true", f"subscribed @{D}#11 source=false", "no replica started"),
    ],
)
def test_evidence(cell: str, old: str, new: str, why: str) -> None:
    judgement = REPLICA[cell].judge(change(REPLICA[cell].text, old, new))
    assert judgement.verdict is Verdict.UNPROVEN
    assert why in next(missing.why for missing in judgement.missing if missing.code == "fault_evidence")


def test_workers_that_end_with_their_parent_are_no_lack_of_evidence() -> None:
    scenario = REPLICA["deliver-effect:crash-parent"]
    assert scenario.judge(change(scenario.text, "gone=false", "gone=true")).verdict is Verdict.UPHELD


def test_a_newcomer_must_subscribe_before_the_message_goes_on() -> None:
    scenario = REPLICA["rebalance:join"]
    late = without(scenario.text, f"subscribed @{D}#11")
    late = insert(late, "fault_healed", f"subscribed @{D}#11 source=true")
    assert codes(scenario.judge(late)) == ["fault_evidence"]


def test_who_was_there_before_the_join_must_have_been_ready() -> None:
    scenario = REPLICA["rebalance:join"]
    text = without(scenario.text, "ready link=payment.0")
    assert codes(scenario.judge(text)) == ["ready_before_publish"]
    proven = scenario.judge(without(scenario.text, f"ready link={D}"))
    assert proven.verdict is Verdict.UPHELD


@pytest.mark.parametrize("cell", [cell for cell in REPLICA if "quiet " in REPLICA[cell].text])
def test_what_such_a_fault_leaves_alive_must_be_waited_out(cell: str) -> None:
    assert codes(REPLICA[cell].judge(without(REPLICA[cell].text, "quiet "))) == ["quiet_end"]


def test_a_zombies_replica_must_have_been_ready_too() -> None:
    scenario = REPLICA["rebalance:freeze"]
    assert F in scenario.text
    assert codes(scenario.judge(without(scenario.text, f"ready link={D}"))) == ["ready_before_publish"]
