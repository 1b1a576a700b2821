"""`lost`, red and green, with each of its attributions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, insert
from spine import AT_LEAST, AT_MOST, CRASH, EXACTLY, SPINE, C, E, apply, deliver, publish, settle
from test_checkers_findings import GREEN, K3, found, kinds

from chaosharness.model.verdict import FindingKind, Judgement, Verdict


def lost(before_the_fault: str) -> tuple[str, Judgement]:
    """The attribution of k3, of which only this is known, and the judgement."""
    text = insert(GREEN, "gate_held", before_the_fault)
    judgement = CRASH.judge(text)
    assert judgement.verdict is Verdict.VIOLATED
    finding = found(judgement, FindingKind.LOST)
    assert finding.keys == ("k3",)
    assert 1 <= len(finding.evidence) <= 8
    assert CRASH.judge(text, AT_LEAST).verdict is Verdict.VIOLATED
    assert CRASH.judge(text, AT_MOST).verdict is Verdict.UPHELD
    return finding.attribution, judgement


def test_never_accepted() -> None:
    told = "invoke k3 op=3 producer=orders\n publish k3 @orders.0>broker.0#7 confirms=false discarded=true\n"
    assert lost(told + "complete k3 op=3 outcome=ok")[0] == "never accepted"


def test_never_accepted_because_returned() -> None:
    text = publish("3", 3).replace("confirm k3", "returned k3 @orders.0>broker.0#7 reason=NO_ROUTE\n confirm k3")
    assert lost(text)[0] == "never accepted"


def test_a_returned_publish_that_was_reported_as_failed_is_not_owed() -> None:
    text = publish("3", 3).replace("confirm k3", "returned k3 @orders.0>broker.0#7 reason=NO_ROUTE\n confirm k3")
    assert CRASH.judge(insert(GREEN, "gate_held", text.replace("outcome=ok", "outcome=fail"))).findings == ()


def test_returned_and_then_published_again_is_owed() -> None:
    once = publish("3", 3).replace("confirm k3", "returned k3 @orders.0>broker.0#7 reason=NO_ROUTE")
    wire_again = "\n".join(
        line for line in publish("3", 4).splitlines() if "publish k3" in line or "confirm k3" in line
    )
    assert lost(once + "\n" + wire_again + "\n")[0] == "lost by the broker"


def test_lost_by_the_broker() -> None:
    assert lost(publish("3", 3))[0] == "lost by the broker"


def test_lost_by_the_broker_after_an_unsettled_delivery_was_thrown_away() -> None:
    thrown = deliver("3") + " discarded=true"
    assert lost(publish("3", 3) + thrown)[0] == "lost by the broker"
    assert lost("invoke k3 op=3 producer=orders\n complete k3 op=3 outcome=ok\n" + thrown)[0] == "lost by the broker"


def test_never_delivered() -> None:
    thrown = deliver("3").replace("settled=false", "settled=true") + " discarded=true"
    assert lost(publish("3", 3) + thrown)[0] == "never delivered"


def test_never_delivered_though_no_tap_saw_it_leave() -> None:
    """With auto-ack the broker may have written it into the connection that ended, past what the tap could read."""
    scenario = SPINE["store-deliver:cut"]
    unseen = insert(scenario.text, "gate_cut", publish("3", 3))
    assert found(scenario.judge(unseen), FindingKind.LOST).attribution == "lost by the broker"
    auto_ack = unseen.replace("settled=false", "settled=true")
    assert found(scenario.judge(auto_ack), FindingKind.LOST).attribution == "never delivered"


def test_never_delivered_into_a_partition() -> None:
    scenario = SPINE["effect-ack:partition"]
    swallowed = publish("3", 3) + deliver("3").replace("settled=false", "settled=true")
    judgement = scenario.judge(insert(scenario.text, "fault_healed", swallowed))
    assert found(judgement, FindingKind.LOST).attribution == "never delivered"
    before = scenario.judge(insert(scenario.text, "gate_held", swallowed))
    assert found(before, FindingKind.LOST).attribution == "acked without effect"


def test_delivered_without_effect() -> None:
    assert lost(K3)[0] == "delivered without effect"
    assert lost(K3 + settle("3") + " discarded=true")[0] == "delivered without effect"
    assert lost(K3 + f"request k3 @{E}#3 sink=effect\n discarded k3 @{E}#3 sink=effect why=gone")[0].startswith("deli")


@pytest.mark.parametrize("how", ["ack", "remove", "reject", "nack"])
def test_acked_without_effect(how: str) -> None:
    words, judgement = lost(K3 + settle("3").replace("how=ack", f"how={how}"))
    assert words == "acked without effect"
    assert f"acked without effect: 1 settled by {how}" in judgement.notes


def test_acked_without_effect_on_delivery() -> None:
    words, judgement = lost(K3.replace("settled=false", "settled=true"))
    assert words == "acked without effect"
    assert "acked without effect: 1 settled by being handed over" in judgement.notes


def test_a_requeue_settles_nothing() -> None:
    assert lost(K3 + f"settle k3 @{C}#1 how=nack requeue=true")[0] == "delivered without effect"


def test_one_finding_for_each_attribution() -> None:
    text = insert(GREEN, "gate_held", K3 + publish("4", 4) + publish("5", 5))
    findings = CRASH.judge(text).findings
    assert {(f.attribution, f.keys) for f in findings} == {
        ("delivered without effect", ("k3",)),
        ("lost by the broker", ("k4", "k5")),
    }


def test_not_lost_with_its_effect() -> None:
    assert CRASH.judge(insert(GREEN, "gate_held", K3 + apply("3", 3) + settle("3"))).findings == ()


def test_fewer_effects_than_intended_is_lost() -> None:
    two = replace(EXACTLY, count=2)
    assert found(CRASH.judge(GREEN, two), FindingKind.LOST).keys == ("k1", "k2", "k9")


def test_loss_and_duplicate_do_not_cancel() -> None:
    """Two sinks with one effect each: twice in one of them is a loss and a duplicate."""
    text = GREEN
    for key in ("k1", "k2", "k9"):
        text = insert(text, "drain_started", f"effect {key} @{E}#5 sink=mail effect=mail-{key}")
    two = replace(EXACTLY, count=2, counts={"effect": 1, "mail": 1})
    assert CRASH.judge(text, two).findings == ()
    twice = change(text, "effect k2 @payment.0>effect.effect.0#5 sink=mail", f"effect k2 @{E}#5 sink=effect")
    assert kinds(CRASH.judge(twice, two)) == ["lost", "duplicated"]
    assert CRASH.judge(twice, replace(EXACTLY, count=2)).findings == ()


def test_what_fell_on_the_way_was_delivered_all_the_same_if_its_consumer_acted_on_it() -> None:
    thrown = publish("3", 3) + deliver("3") + " discarded=true"
    assert lost(thrown)[0] == "lost by the broker"
    assert lost(f"{thrown}\nrequest k3 @{E}#3 sink=effect")[0] == "delivered without effect"


def test_what_was_seen_to_fall_unsettled_is_the_brokers_whatever_settles_by_itself() -> None:
    others = publish("4", 4) + deliver("4").replace("settled=false", "settled=true") + "\n" + apply("4", 4)
    assert lost(others + publish("3", 3))[0] == "never delivered"
    assert lost(others + publish("3", 3) + deliver("3") + " discarded=true")[0] == "lost by the broker"


def test_a_broker_that_was_killed_has_written_nothing_away() -> None:
    scenario = SPINE["stored:broker-kill"]
    others = publish("4", 4) + deliver("4").replace("settled=false", "settled=true") + "\n" + apply("4", 4)
    judgement = scenario.judge(insert(scenario.text, "gate_held", others + publish("3", 3)))
    assert found(judgement, FindingKind.LOST).attribution == "lost by the broker"


def test_how_many_were_settled_how() -> None:
    two = K3 + settle("3") + publish("4", 4) + deliver("4") + "\n" + settle("4")
    assert "acked without effect: 2 settled by ack" in CRASH.judge(insert(GREEN, "gate_held", two)).notes
    thrown = publish("3", 3) + deliver("3").replace("settled=false", "settled=true") + " discarded=true"
    assert not any("acked without effect" in note for note in lost(thrown)[1].notes)


def test_a_delivery_after_the_heal_reached_its_consumer() -> None:
    """After the heal of that fault: another's says nothing of this link."""
    scenario = SPINE["effect-ack:partition"]
    settled = publish("3", 3) + deliver("3").replace("settled=false", "settled=true") + "\n"
    after = scenario.judge(insert(scenario.text, "drain_started", settled))
    assert found(after, FindingKind.LOST).attribution == "acked without effect"
    others_heal = 'fault_healed fault=crash ok=true evidence={"what":"another"}\n'
    before = scenario.judge(insert(scenario.text, "fault_healed", others_heal + settled))
    assert found(before, FindingKind.LOST).attribution == "never delivered"
