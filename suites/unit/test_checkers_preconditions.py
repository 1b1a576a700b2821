"""Each code of `unproven_because`: what makes it missing, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, history, insert, without
from spine import AT_LEAST, AT_MOST, CRASH, EXACTLY, PROBE, SPINE, C, E, H, Scenario, apply, deliver, publish, settle

from chaosharness.checkers.verdict import judge
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import Judgement, Verdict

GREEN = CRASH.text


def codes(judgement: Judgement) -> list[str]:
    return [missing.code.value for missing in judgement.missing]


def lacks(text: str, *expected: str, scenario: Scenario = CRASH, promise: Promise = EXACTLY) -> Judgement:
    """Unproven, with exactly these codes."""
    judgement = scenario.judge(text, promise)
    assert (codes(judgement), judgement.verdict) == (list(expected), Verdict.UNPROVEN), judgement
    return judgement


def proves(text: str, scenario: Scenario = CRASH, promise: Promise = EXACTLY) -> Judgement:
    judgement = scenario.judge(text, promise)
    assert (judgement.missing, judgement.findings, judgement.verdict) == ((), (), Verdict.UPHELD)
    return judgement


def test_the_empty_history_proves_nothing() -> None:
    judgement = judge(history(""), EXACTLY, CRASH.aimed)
    assert judgement.verdict is Verdict.UNPROVEN
    assert codes(judgement) == [
        "workload_ran", "ready_before_publish", "owed_target", "window_hit", "fault_evidence", "progress_after",
        "drained", "observed_whole", "quiet_end",
    ]  # fmt: skip


# workload_ran


def test_kept_back_messages_must_have_been_published_after_the_heal() -> None:
    judgement = lacks(change(GREEN, "kept_back count=1", "kept_back count=2"), "workload_ran")
    assert judgement.missing[0].why == "of 2 messages kept back until after the heal 1 were published"


def test_without_kept_back_messages_the_workload_ran() -> None:
    proves(without(GREEN, "kept_back"))


# ready_before_publish


def test_a_consumer_must_be_ready_before_the_first_publish() -> None:
    lacks(without(GREEN, "ready link"), "ready_before_publish")
    lacks(insert(without(GREEN, "ready link"), "settle k2", f"ready link={C}"), "ready_before_publish")


def test_every_link_that_consumes_must_have_been_ready() -> None:
    second = "subscribed @payment.1>broker.0#9 source=true"
    lacks(insert(GREEN, "gate_held", second), "ready_before_publish")
    proves(insert(insert(GREEN, "gate_held", second), "connect", "ready link=payment.1>broker.0"))
    proves(insert(GREEN, "gate_held", "subscribed @payment.1>broker.0#9 source=false"))


def test_a_returned_publish_of_the_harness_was_not_ready() -> None:
    lacks(insert(GREEN, "complete k2", f"returned k2 @{H}#2 reason=NO_ROUTE"), "ready_before_publish")
    proves(insert(GREEN, "complete k2", "returned k2 @orders.0>broker.0#2 reason=NO_ROUTE"))


def test_a_queue_that_the_fault_took_away_was_ready_before() -> None:
    returned = f"returned k3 @{H}#2 reason=NO_ROUTE\n confirm k3 @{H}#2 ok=true"
    proves(insert(GREEN, "drain_started", returned))


# owed_target


def test_the_aimed_message_must_be_owed() -> None:
    unpublished = without(GREEN, "invoke k1", "publish k1", "confirm k1", "complete k1", "deliver k1")
    judgement = CRASH.judge(without(unpublished, "request k1", "effect k1", "replay k1", "response k1"))
    assert "owed_target" in codes(judgement)
    proves(without(GREEN, "complete k1"))
    proves(without(GREEN, "confirm k1"))


def test_in_a_producer_window_its_publish_must_have_an_answer() -> None:
    scenario = SPINE["publish-store:publish-lost"]
    silent = insert(without(scenario.text, "complete k1"), "stopped", "quiet why=unanswered waited_s=1")
    judgement = scenario.judge(silent, PROBE)
    assert codes(judgement) == ["owed_target"]
    proves(change(scenario.text, "outcome=ok told=true", "outcome=info told=true"), scenario)


# window_hit


def test_the_gate_must_have_had_the_aimed_message() -> None:
    wanted = ("window_hit", "fault_evidence")
    lacks(change(GREEN, "gate_held k1", "gate_held k2"), *wanted)
    lacks(change(GREEN, f"gate_held k1 @{C}#1 gate=g", f"gate_held k1 @{C}#1 gate=other"), *wanted)
    judgement = lacks(without(GREEN, "gate_held"), *wanted)
    assert judgement.missing[0].why == "k1 never came to the gate"


SKIPPED = without(
    GREEN, "gate_held", "signalled", "exited", "broker.0#1 by=client", "gate_released", "discarded=true",
    "effect.effect.0#3 by=client", "fault_", "incarnation=2", "broker.0#4", "effect.effect.0#5",
)  # fmt: skip
SKIPPED += settle("1") + publish("8", 8) + deliver("8") + apply("8", 8) + settle("8")


def skipped(why: str) -> str:
    return insert(SKIPPED, "request k1", f"gate_skipped k1 @{C}#1 gate=g why={why}\n{settle('1')}")


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("settled_on_delivery", "settled when they are handed over (auto-ack"),
        ("settled_before_effect", "acknowledges before the effect"),
        ("no_confirms", "without publisher confirms"),
        ("something_else", "no such window: something_else"),
    ],
)
def test_a_flow_without_the_window_is_not_applicable(why: str, reason: str) -> None:
    judgement = CRASH.judge(without(skipped(why), "k9"))
    assert (judgement.verdict, judgement.missing) == (Verdict.NOT_APPLICABLE, ())
    assert reason in str(judgement.reason)


def test_what_was_lost_without_any_fault_is_never_hidden_as_not_applicable() -> None:
    lost = without(skipped("settled_before_effect"), "k9", "request k1", "effect k1", "response k1")
    judgement = CRASH.judge(lost)
    assert judgement.verdict is Verdict.UNPROVEN
    assert [finding.attribution for finding in judgement.findings] == ["acked without effect"]
    assert {"window_hit", "fault_evidence"} <= set(codes(judgement))
    assert CRASH.judge(lost, PROBE).verdict is Verdict.UNPROVEN
    assert CRASH.judge(lost, AT_MOST).verdict is Verdict.NOT_APPLICABLE


def test_a_refusal_is_no_early_acknowledgement() -> None:
    refused = skipped("settled_before_effect").replace("how=ack", "how=reject", 2).replace("how=reject", "how=ack", 1)
    judgement = CRASH.judge(without(refused, "k9"))
    assert "window_hit" in codes(judgement)


def test_a_gate_that_was_skipped_and_then_hit_is_a_hit() -> None:
    proves(insert(GREEN, "gate_held", f"gate_skipped k1 @{C}#1 gate=other why=no_confirms"))


# hold_first


@pytest.mark.parametrize(
    "act",
    [
        "exited instance=payment.0 pid=100 incarnation=1 code=1 asked=false gone=true",
        f"request k1 @{E}#9 sink=effect\n disconnect @{E}#9 by=client",
        deliver("1", 9, "true"),
        f"closed @{C}#1 scope=channel by=server code=406",
    ],
    ids=["exited by itself", "asked again", "handed over again", "channel closed"],
)  # fmt: skip
def test_the_hold_itself_must_not_make_anyone_act(act: str) -> None:
    lacks(insert(GREEN, "signalled", act), "hold_first")
    proves(insert(GREEN, "exited", act))


def test_a_connection_that_ended_before_the_kill_was_ended_by_the_hold() -> None:
    early = insert(without(GREEN, f"disconnect @{C}#1"), "signalled", f"disconnect @{C}#1 by=client")
    lacks(early, "hold_first", "fault_evidence")


def test_others_may_act_while_the_message_is_held() -> None:
    proves(insert(GREEN, "signalled", f"disconnect @{C}#77 by=client\n exited instance=other.0 asked=false gone=true"))


def test_a_gate_that_let_go_by_itself_held_nothing() -> None:
    early = insert(GREEN, "signalled", f"gate_released k1 @{C}#1 gate=g forwarded=true why=deadline")
    lacks(early, "hold_first", "fault_evidence")


def test_a_producer_that_sends_again_because_of_the_hold() -> None:
    scenario = SPINE["store-confirm:confirm-lost"]
    aimed = replace(scenario.aimed, faults=("republish",))
    held = change(scenario.text, "gate_cut k1", "gate_held k1")
    again = insert(held, "confirm k1 @orders.0>broker.0#6", "publish k1 @orders.0>broker.0#7 confirms=true")
    assert "hold_first" not in codes(judge(history(held), EXACTLY, aimed))
    assert "hold_first" in codes(judge(history(again), EXACTLY, aimed))


def test_where_the_hold_is_the_fault_it_may_have_consequences() -> None:
    text = insert(GREEN, "signalled", deliver("1", 9, "true"))
    judgement = judge(history(text), EXACTLY, replace(CRASH.aimed, faults=("slow",)))
    assert "hold_first" not in codes(judgement)


def test_a_discard_at_a_dead_link_is_the_fault_and_not_the_hold() -> None:
    scenario = SPINE["effect-ack:partition"]
    proves(insert(scenario.text, "fault_injected", deliver("1", 4, "true")), scenario)


# progress_after


def test_something_published_after_the_heal_must_have_come_through() -> None:
    text = without(GREEN, "request k9", "effect k9", "response k9")
    judgement = CRASH.judge(text, AT_MOST)
    assert (judgement.verdict, codes(judgement)) == (Verdict.UNPROVEN, ["progress_after"])
    violated = CRASH.judge(text)
    assert violated.verdict is Verdict.VIOLATED
    assert violated.missing == ()
    assert any("not shown either: progress_after" in note for note in violated.notes)


def test_where_no_effect_is_intended_a_settle_is_progress() -> None:
    none = replace(AT_LEAST, count=0)
    text = without(GREEN, "effect k", "replay k", "request k", "response k")
    judgement = CRASH.judge(text, none)
    assert (judgement.verdict, judgement.findings) == (Verdict.UPHELD, ())


# drained


def test_the_drain_must_have_ended() -> None:
    lacks(without(GREEN, "drained within_s"), "drained", "quiet_end")


def test_a_drain_that_expired_over_what_is_known_to_be_lost_is_over() -> None:
    text = insert(GREEN, "gate_held", publish("3", 3))
    expired = change(text, "drained within_s", "+30s drain_expired within_s")
    assert CRASH.judge(expired).verdict is Verdict.VIOLATED
    blind = CRASH.judge(without(expired, "yields"))
    assert (blind.verdict, codes(blind)) == (Verdict.UNPROVEN, ["drained"])


@pytest.mark.parametrize("pause", ["+1s effect", "+29s effect"])
def test_nothing_is_lost_while_effects_still_come_in(pause: str) -> None:
    """A slow consumer is no lossy one: the last effect stands in the drain's last tenth."""
    text = insert(GREEN, "gate_held", publish("3", 3) + publish("4", 4))
    late = pause + f" k4 @{E}#5 sink=effect effect=effect#44"
    text = insert(text, "drained", late)
    rest = 30 - int(pause[1 : -len("s effect")])
    judgement = CRASH.judge(change(text, "drained within_s", f"+{rest}s drain_expired within_s"))
    assert judgement.verdict is (Verdict.VIOLATED if rest == 29 else Verdict.UNPROVEN)
    assert codes(judgement) == ([] if rest == 29 else ["drained"])
    bounded = CRASH.judge(
        change(text, "drained within_s", f"+{rest}s drain_expired within_s"), replace(EXACTLY, recover_within_s=60)
    )
    assert bounded.verdict is Verdict.VIOLATED


# redelivered


def test_a_redelivery_that_is_promised_and_due_must_come_and_have_a_consequence() -> None:
    lacks(without(GREEN, f"deliver k1 @{C}#4"), "redelivered")
    nothing = without(GREEN, f"request k1 @{E}#5", "replay k1", f"response k1 @{E}#5", f"settle k1 @{C}#4")
    lacks(nothing, "redelivered")
    proves(without(GREEN, f"request k1 @{E}#5", "replay k1", f"response k1 @{E}#5"))


def test_a_delivery_that_no_tap_saw_is_not_known_to_be_settled() -> None:
    lacks(without(GREEN, "deliver k1"), "redelivered")


def test_no_redelivery_is_due_where_none_is_promised() -> None:
    aimed = replace(CRASH.aimed, redelivers=False)
    assert judge(history(without(GREEN, f"deliver k1 @{C}#4")), EXACTLY, aimed).verdict is Verdict.UPHELD


@pytest.mark.parametrize("moment", ["gate_held", "gate_released"])
def test_no_redelivery_is_due_where_the_delivery_was_settled(moment: str) -> None:
    """Acknowledged early: the ack may reach the tap before the kill, or out of the dead process's buffers after."""
    scenario = SPINE["effect-response:crash"]
    text = insert(scenario.text, moment, settle("1"))
    text = without(
        text, f"deliver k1 @{C}#4", f"request k1 @{E}#5", "replay k1", f"response k1 @{E}#5", f"settle k1 @{C}#4"
    )
    judgement = proves(text, scenario)
    assert any(note.startswith("no redelivery is due") for note in judgement.notes)


def test_no_redelivery_is_due_before_the_effect() -> None:
    scenario = SPINE["stored:broker-kill"]
    assert not any("redelivery" in note for note in proves(scenario.text, scenario).notes)


# observed_whole


@pytest.mark.parametrize(
    "blind",
    [
        "unkeyed what=publish",
        f'unparsed @{C}#1 reason="not a frame" bytes=4',
        "foreign_key found=kzzzz-000001",
        "bypass instance=payment.0 remote=127.0.0.1:5672",
        "bounded instance=payment.0 why=processes",
    ],
)
def test_everything_must_have_been_seen(blind: str) -> None:
    lacks(insert(GREEN, "gate_held", blind), "observed_whole")


def test_unkeyed_messages_may_be_ignored_by_declaration() -> None:
    proves(insert(GREEN, "gate_held", "unkeyed what=publish"), promise=replace(EXACTLY, unkeyed_ignored=True))


@pytest.mark.parametrize("origin", ["harness", "relay", "keeper"])
def test_every_ledger_must_be_closed(origin: str) -> None:
    judgement = judge(history(GREEN, unended=[origin]), EXACTLY, CRASH.aimed)
    assert codes(judgement) == ["observed_whole"]


def test_no_ledger_may_have_a_gap() -> None:
    judgement = judge(history(GREEN, gaps=["relay: event 4 is followed by 6"]), EXACTLY, CRASH.aimed)
    assert codes(judgement) == ["observed_whole"]
    assert judgement.missing[0].why == "relay: event 4 is followed by 6"


def test_a_hole_keeps_a_violation_from_being_proven() -> None:
    text = insert(GREEN, "gate_held", publish("3", 3))
    assert CRASH.judge(text).verdict is Verdict.VIOLATED
    judgement = judge(history(text, gaps=["a hole"]), EXACTLY, CRASH.aimed)
    assert (judgement.verdict, codes(judgement)) == (Verdict.UNPROVEN, ["observed_whole"])
    assert [finding.kind.value for finding in judgement.findings] == ["lost"]


# quiet_end


def test_the_services_must_be_stopped_after_the_drain() -> None:
    lacks(without(GREEN, "stopped"), "quiet_end")
    lacks(insert(without(GREEN, "stopped"), "drain_started", 'stopped instances=["payment.0"]'), "quiet_end")
    lacks(change(GREEN, '["payment.0"]', '["other.0"]'), "quiet_end")


def test_what_had_exited_for_good_needs_no_stop() -> None:
    gone = "exited instance=payment.0 pid=101 incarnation=2 code=0 asked=false gone=true"
    proves(insert(change(GREEN, '["payment.0"]', "[]"), "drain_started", gone))


@pytest.mark.parametrize("cell", [cell for cell, scenario in SPINE.items() if "quiet why" in scenario.text])
def test_what_the_fault_left_alive_must_be_waited_out(cell: str) -> None:
    scenario = SPINE[cell]
    judgement = lacks(without(scenario.text, "quiet why"), "quiet_end", scenario=scenario)
    assert f"a process that {scenario.fault} left alive" in judgement.missing[0].why
    lacks(change(scenario.text, "waited_s=1.0", "waited_s=0"), "quiet_end", scenario=scenario)


def test_of_an_unknown_fault_somebody_must_say_whether_anything_can_still_act() -> None:
    text = GREEN.replace("fault=crash", "fault=brand-new")
    aimed = replace(CRASH.aimed, faults=("brand-new",))
    assert codes(judge(history(text), EXACTLY, aimed)) == ["quiet_end"]
    told = insert(text, "stopped", "quiet why=nothing waited_s=0")
    assert judge(history(told), EXACTLY, aimed).verdict is Verdict.UPHELD


def test_a_request_that_is_under_way_must_be_waited_out() -> None:
    under_way = f"request k2 @{E}#5 sink=effect"
    lacks(insert(GREEN, "stopped", under_way), "quiet_end")
    proves(insert(GREEN, "stopped", under_way + "\n quiet why=request waited_s=10"))
    proves(insert(GREEN, "stopped", under_way + f"\n disconnect @{E}#5 by=client"))
    proves(insert(GREEN, "stopped", under_way + f"\n refused k2 @{E}#5 sink=effect status=503"))


def test_a_producer_that_never_answered_must_be_waited_out() -> None:
    """Also where it is a consumer that crashes: the silent publish may still be under way."""
    aimed = replace(CRASH.aimed, sut_producer=True)
    silent = insert(GREEN, "gate_held", "invoke k3 op=3 producer=orders")
    assert codes(judge(history(silent), EXACTLY, aimed)) == ["quiet_end"]
    waited = insert(silent, "stopped", "quiet why=unanswered waited_s=1")
    assert judge(history(waited), EXACTLY, aimed).verdict is Verdict.UPHELD
