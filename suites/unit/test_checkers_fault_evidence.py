"""`fault_evidence`: what each fault must have left in the ledger, and what is missing without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, history, insert, without
from spine import CRASH, EXACTLY, SPINE, C, E
from test_checkers_preconditions import GREEN, codes, lacks, proves

from chaosharness.checkers.verdict import judge
from chaosharness.model.verdict import Verdict


def fault_lacks(cell: str, text: str, *others: str) -> str:
    judgement = lacks(text, *others, "fault_evidence", scenario=SPINE[cell])
    return next(missing.why for missing in judgement.missing if missing.code == "fault_evidence")


@pytest.mark.parametrize("cell", SPINE)
def test_every_fault_needs_its_injection_its_evidence_and_its_heal(cell: str) -> None:
    scenario = SPINE[cell]
    fault = scenario.fault
    injected = f"fault_injected fault={fault} ok=true"
    assert "never injected" in fault_lacks(cell, without(scenario.text, "fault_injected"))
    assert "without evidence" in fault_lacks(cell, change(scenario.text, injected, injected.replace("true", "false")))
    assert "without evidence" in fault_lacks(cell, _no_evidence(scenario.text))
    unhealed = scenario.judge(without(scenario.text, "fault_healed"))
    assert {"fault_evidence", "progress_after"} <= set(codes(unhealed))
    healed = f"fault_healed fault={fault} ok=true"
    assert "healed, but" in fault_lacks(cell, change(scenario.text, healed, healed.replace("true", "false")))
    wrong = scenario.judge(scenario.text.replace(f"fault={fault}", "fault=another"))
    assert codes(wrong) == ["fault_evidence"]


def _no_evidence(text: str) -> str:
    rows = text.splitlines()
    return "\n".join(row.split(" evidence=")[0] if "fault_injected" in row else row for row in rows)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("signal=kill", "signal=term", "no SIGKILL of payment.0"),
        ("exited instance=payment.0", "exited instance=payment.1", "no record that all processes"),
        ("gone=true", "gone=false", "no record that all processes"),
        (f"disconnect @{C}#1 by=client", f"disconnect @{C}#1 by=tap", "did not reach end of file"),
        (f"disconnect @{C}#1 by=client", f"disconnect @{C}#8 by=client", "did not reach end of file"),
    ],
)
def test_evidence_of_a_crash(old: str, new: str, why: str) -> None:
    assert why in fault_lacks("effect-ack:crash", change(GREEN, old, new))


@pytest.mark.parametrize(
    ("cell", "whom", "other"),
    [("effect-ack:crash", "payment.0", "payment.1"), ("stored:broker-kill", "rabbitmq.0", "payment.0")],
)
def test_a_signal_to_another_process_is_not_what_ended_the_connection(cell: str, whom: str, other: str) -> None:
    text = change(SPINE[cell].text, f"signalled instance={whom}", f"signalled instance={other}")
    lacks(text, "hold_first", "fault_evidence", scenario=SPINE[cell])


def test_a_crash_in_which_the_held_ack_was_sent_on_has_no_evidence() -> None:
    text = change(GREEN, "forwarded=false", "forwarded=true")
    assert "sent on" in fault_lacks("effect-ack:crash", text)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("signal=kill", "signal=term", "no SIGKILL of the broker"),
        ("exited instance=rabbitmq.0", "exited instance=other.0", "was gone"),
        (f"disconnect @{C}#1 by=server", f"disconnect @{C}#1 by=client", "did not close"),
        ("started instance=rabbitmq.0 pid=51", "started instance=other.0 pid=51", "not started again"),
    ],
)
def test_evidence_of_a_broker_kill(old: str, new: str, why: str) -> None:
    assert why in fault_lacks("stored:broker-kill", change(SPINE["stored:broker-kill"].text, old, new))


@pytest.mark.parametrize(
    ("cell", "point"),
    [
        ("ack-settle:ack-lost", "point=settle bytes=21"),
        ("publish-store:publish-lost", "point=publish bytes=80"),
        ("store-confirm:confirm-lost", "point=confirm bytes=21"),
        ("store-deliver:cut", "point=deliver bytes=90"),
    ],
)
def test_evidence_of_a_cut(cell: str, point: str) -> None:
    text = SPINE[cell].text
    assert "no bytes" in fault_lacks(cell, change(text, point, point.split()[0] + " bytes=0"))
    assert "did not close" in fault_lacks(cell, change(text, "by=tap", "by=client"))
    assert "has cut nothing" in fault_lacks_held(cell, change(text, "gate_cut", "gate_held"))


def fault_lacks_held(cell: str, text: str) -> str:
    judgement = SPINE[cell].judge(text)
    return next(missing.why for missing in judgement.missing if missing.code == "fault_evidence")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (f"ok=true link={C}", "ok=true", "no record of the link"),
        (f"ok=true link={C}", "ok=true link=payment.1>broker.0", "is payment.1>broker.0"),
        (f"ok=true link={C}", f"ok=true link={E}", "is payment.0>effect.effect.0"),
    ],
)
def test_evidence_of_a_partition(old: str, new: str, why: str) -> None:
    assert why in fault_lacks("effect-ack:partition", change(SPINE["effect-ack:partition"].text, old, new))


def test_what_was_held_must_not_have_crossed_the_partition() -> None:
    text = SPINE["effect-ack:partition"].text
    sent_on = change(text, "forwarded=false", "forwarded=true")
    assert "may have crossed" in fault_lacks_held("effect-ack:partition", sent_on)
    assert "may have crossed" in fault_lacks_held("effect-ack:partition", without(text, "gate_released"))


def test_a_partition_of_the_broker_link_at_a_sinks_gate() -> None:
    """The request goes on, the link to the broker is cut: evidence is about that link."""
    scenario = SPINE["effect-ack:partition"]
    at_sink = change(scenario.text, f"gate_held k1 @{C}#1", f"gate_held k1 @{E}#3")
    released = f"gate_released k1 @{E}#3 gate=g forwarded=true why=told"
    at_sink = insert(without(at_sink, "gate_released"), "fault_healed", released)
    proves(change(at_sink, f"disconnect @{C}#1 by=tap", "connect @x.0>broker.0#9"), scenario)


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        (("invoke k1 op=101",), "not published a second time"),
        (("confirm k1 @harness.1", "complete k1 op=101"), "not confirmed"),
    ],
)
def test_evidence_of_a_republish(gone: tuple[str, ...], why: str) -> None:
    assert why in fault_lacks("store-confirm:republish", without(SPINE["store-confirm:republish"].text, *gone))


@pytest.mark.parametrize("gone", ["confirm k1 @harness.1", "complete k1 op=101"])
def test_one_of_two_answers_is_evidence_of_a_republish(gone: str) -> None:
    scenario = SPINE["store-confirm:republish"]
    proves(without(scenario.text, gone), scenario)


def test_a_fault_of_a_plugin_stands_on_its_own_evidence() -> None:
    text = insert(GREEN.replace("fault=crash", "fault=brand-new"), "stopped", "quiet why=nothing waited_s=0")
    aimed = replace(CRASH.aimed, faults=("brand-new",))
    assert judge(history(text), EXACTLY, aimed).verdict is Verdict.UPHELD
    assert codes(judge(history(_no_evidence(text)), EXACTLY, aimed)) == ["fault_evidence"]
    unsignalled = without(text, "signalled")
    assert codes(judge(history(unsignalled), EXACTLY, aimed)) == ["hold_first"]
    told = insert(unsignalled, f"disconnect @{C}#1", "step what=inject fault=brand-new")
    assert judge(history(told), EXACTLY, aimed).verdict is Verdict.UPHELD


def test_both_of_two_faults_need_evidence() -> None:
    aimed = replace(CRASH.aimed, faults=("crash", "brand-new"))
    told = insert(GREEN, "stopped", "quiet why=nothing waited_s=0")
    assert codes(judge(history(told), EXACTLY, aimed)) == ["fault_evidence"]
