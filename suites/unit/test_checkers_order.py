"""`reordered` and `regressed`, red and green, and everything that looks like them and is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, history, insert
from spine import AT_LEAST, AT_MOST, CRASH, EXACTLY, PROBE, SPINE, E, settle

from chaosharness.checkers.facts import gather
from chaosharness.checkers.ordering import compare
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import Finding, FindingKind, Judgement, Verdict

BY_ACCOUNT = replace(EXACTLY, ordered_by="body:json:$.account")
TOLERANT = replace(AT_LEAST, ordered_by="body:json:$.account")
LINK = "harness.0>broker.0"


def publish(number: int, ordering: str = "o1", outcome: str = "ok", completed: bool = True) -> str:
    """Begun and, unless told otherwise, completed before anything that comes later."""
    end = f"complete k{number} op={number} outcome={outcome}" if completed else ""
    return f"""
    invoke k{number} op={number} producer=harness by=workload ordering={ordering}
    publish k{number} @{LINK}#2 confirms=true
    confirm k{number} @{LINK}#2 ok=true
    {end}
    deliver k{number} @payment.0>broker.0#1 redelivered=false settled=false
    """


def effects(*numbers: int, sink: str = "effect") -> str:
    """Applied in this order; a number that comes again is a further effect."""
    return "\n".join(
        f"effect k{number} @{E}#3 sink={sink} effect={sink}-{number}-{at}" for at, number in enumerate(numbers)
    )


def judged(text: str, promise: Promise = TOLERANT) -> Judgement:
    """`text` in the middle of a green history; messages 31 … are settled in the end."""
    done = "\n".join(settle(str(number)) for number in (31, 32, 33, 34) if f"invoke k{number} " in text)
    return CRASH.judge(insert(CRASH.text, "gate_held", f"{text}\n{done}"), promise)


def of(judgement: Judgement, kind: FindingKind) -> Finding | None:
    return next((finding for finding in judgement.findings if finding.kind is kind), None)


def order(judgement: Judgement) -> dict[str, tuple[str, ...]]:
    wanted = (FindingKind.REORDERED, FindingKind.REGRESSED)
    return {finding.kind.value: finding.keys for finding in judgement.findings if finding.kind in wanted}


FOUR = publish(31) + publish(32) + publish(33) + publish(34)


def test_reordered() -> None:
    judgement = judged(FOUR + effects(31, 33, 32, 34), BY_ACCOUNT)
    assert judgement.verdict is Verdict.VIOLATED
    finding = of(judgement, FindingKind.REORDERED)
    assert finding
    assert finding.keys == ("k32",)
    assert finding.breaks
    assert [(event.kind.value, event.key) for event in finding.evidence if event.kind.value != "fault_injected"] == [
        ("complete", "k32"), ("deliver", "k32"), ("invoke", "k33"), ("effect", "k33"), ("effect", "k32"),
    ]  # fmt: skip
    assert (judgement.counts["reordered"], judgement.counts["regressed"]) == (1, 0)
    assert judgement.refutes == frozenset()
    assert order(judgement) == {"reordered": ("k32",)}


def test_every_message_that_was_overtaken_is_named() -> None:
    assert order(judged(FOUR + effects(34, 31, 32, 33)))["reordered"] == ("k31", "k32", "k33")
    assert order(judged(FOUR + effects(32, 31, 34, 33))) == {"reordered": ("k31", "k33"), "regressed": ("k33",)}


def test_a_replay_is_no_reordering() -> None:
    judgement = judged(FOUR + effects(31, 32, 33, 32, 33, 34))
    assert judgement.verdict is Verdict.UPHELD
    assert order(judgement) == {}
    assert order(judged(FOUR + effects(31, 32, 33, 34, 31, 32, 33, 34))) == {}


def test_regressed() -> None:
    judgement = judged(FOUR + effects(31, 32, 33, 34, 32))
    assert judgement.verdict is Verdict.VIOLATED
    assert order(judgement) == {"regressed": ("k32",)}
    finding = of(judgement, FindingKind.REGRESSED)
    assert finding
    assert [(event.kind.value, event.key) for event in finding.evidence if event.kind.value != "fault_injected"] == [
        ("complete", "k32"), ("deliver", "k32"), ("invoke", "k33"), ("effect", "k33"), ("effect", "k32"),
    ]  # fmt: skip


def test_the_last_message_of_all_may_come_again() -> None:
    assert order(judged(FOUR + effects(31, 32, 33, 34, 34))) == {}


def test_what_was_reordered_to_the_end_is_both() -> None:
    judgement = judged(publish(31) + publish(32) + effects(32, 31))
    assert order(judgement) == {"reordered": ("k31",), "regressed": ("k31",)}


def test_a_gap_is_no_disorder() -> None:
    lossy = replace(AT_MOST, ordered_by="header:account")
    judgement = judged(FOUR + effects(31, 34), lossy)
    assert (judgement.verdict, order(judgement)) == (Verdict.UPHELD, {})


def test_ordering_keys_are_apart() -> None:
    judgement = judged(publish(31, "o1") + publish(32, "o2") + publish(33, "o1") + effects(32, 31, 33))
    assert (judgement.verdict, order(judgement)) == (Verdict.UPHELD, {})


def test_what_was_applied_at_once_is_in_order() -> None:
    both = f"effect k31,k32 @{E}#3 sink=effect effect=batch"
    assert order(judged(publish(31) + publish(32) + both)) == {}


def test_sinks_are_apart() -> None:
    """What reached one sink first says nothing of another."""
    both = replace(BY_ACCOUNT, count=2, counts={"effect": 1, "mail": 1})
    text = publish(31) + publish(32) + effects(31, 32) + "\n" + effects(31, 32, sink="mail")
    others = effects(1, 2, 9, sink="mail")

    def found(text: str) -> dict[str, tuple[str, ...]]:
        green = insert(CRASH.text, "drain_started", others)
        return order(CRASH.judge(insert(green, "gate_held", text + "\n" + settle("31") + "\n" + settle("32")), both))

    assert found(text) == {}
    assert found(publish(31) + publish(32) + effects(31, 32) + "\n" + effects(32, 31, sink="mail")) == {
        "reordered": ("k31",), "regressed": ("k31",),
    }  # fmt: skip
    mixed = effects(31) + "\n" + effects(32, sink="mail") + "\n" + effects(32) + "\n" + effects(31, sink="mail")
    assert found(publish(31) + publish(32) + mixed)["reordered"] == ("k31",)


def test_publishes_that_overlap_have_no_order() -> None:
    overlapping = f"""
    invoke k31 op=31 producer=harness by=workload ordering=o1
    {publish(32)}
    complete k31 op=31 outcome=ok
    """
    one_after_the_other = publish(33) + publish(34) + effects(33, 34)
    assert order(judged(overlapping + effects(32, 31) + "\n" + one_after_the_other)) == {}


@pytest.mark.parametrize("outcome", ["info", "fail"])
def test_a_publish_that_did_not_end_ok_is_not_compared(outcome: str) -> None:
    """Neither as the older message nor as the newer one."""
    text = publish(31, outcome=outcome) + publish(32) + publish(33, outcome=outcome) + publish(34)
    assert order(judged(text + effects(33, 32, 31, 34))) == {}
    assert order(judged(text + effects(33, 34, 32, 31)))["reordered"] == ("k32",)


def test_a_publish_that_never_ended_is_not_compared() -> None:
    text = publish(31, completed=False) + publish(32) + publish(33)
    assert order(judged(text + effects(32, 31, 33))) == {}
    assert order(judged(text + effects(32, 33, 31))) == {}


def test_an_unknown_message_at_the_end_leaves_the_final_state_open() -> None:
    text = publish(31) + publish(32) + publish(33, outcome="info")
    assert order(judged(text + effects(31, 32, 31, 33))) == {}


def test_a_producers_own_retry_is_within_its_operation() -> None:
    """k31 was published twice before its operation ended; the copy comes before all that was begun later."""
    retried = f"""
    invoke k31 op=31 producer=orders by=workload ordering=o1
    publish k31 @{LINK}#2 confirms=true
    publish k31 @{LINK}#2 confirms=true
    confirm k31 @{LINK}#2 ok=true
    complete k31 op=31 outcome=ok
    """
    assert order(judged(retried + publish(32) + effects(31, 31, 32))) == {}
    assert order(judged(retried + publish(32) + effects(31, 32, 31))) == {"regressed": ("k31",)}


def test_what_a_republished_copy_leaves_behind_is_upstreams() -> None:
    scenario = SPINE["store-confirm:republish"]
    text = change(
        scenario.text, "invoke k1 op=1 producer=harness by=workload", "invoke k1 op=1 by=workload ordering=o1"
    )
    text = insert(text, "drain_started", publish(32) + effects(32) + "\n" + effects(1) + "\n" + settle("32"))
    judgement = scenario.judge(text, TOLERANT)
    assert (judgement.verdict, order(judgement)) == (Verdict.UPHELD, {})


def test_a_republished_messages_first_effect_is_compared() -> None:
    scenario = SPINE["store-confirm:republish"]
    text = change(
        scenario.text, "invoke k1 op=1 producer=harness by=workload", "invoke k1 op=1 by=workload ordering=o1"
    )
    early = publish(32) + effects(32) + "\n" + settle("32")
    assert order(scenario.judge(insert(text, "gate_held", early), TOLERANT)) == {"reordered": ("k1",)}


@pytest.mark.parametrize("promise", [EXACTLY, AT_LEAST, AT_MOST, PROBE], ids=lambda p: str(p.semantic))
def test_any_semantic_is_broken_where_order_is_declared_and_none_where_it_is_not(promise: Promise) -> None:
    text = publish(31) + publish(32) + effects(32, 31)
    assert order(judged(text, promise)) == {}
    assert judged(text, promise).verdict is Verdict.UPHELD
    declared = judged(text, replace(promise, ordered_by="header:account"))
    assert order(declared) == {"reordered": ("k31",), "regressed": ("k31",)}
    assert declared.verdict is (Verdict.UPHELD if promise is PROBE else Verdict.VIOLATED)


def test_how_many_messages_were_compared() -> None:
    """Those that an earlier one had come before, in all ordering keys together."""
    text = FOUR + publish(35, "o2") + publish(36, "o2") + publish(37, "o3") + publish(38, "o2", outcome="info")
    assert compare(gather(history(text))).compared == 3 + 1
    assert compare(gather(history("note text=nothing"))).compared == 0


def test_each_ordering_key_and_each_sink_has_its_own() -> None:
    text = publish(31, "o1") + publish(32, "o1") + publish(33, "o2") + publish(34, "o2") + effects(32, 31, 34, 33)
    assert order(judged(text)) == {"reordered": ("k31", "k33"), "regressed": ("k31", "k33")}


def test_a_completion_that_nobody_began_or_that_came_first_orders_nothing() -> None:
    early = "complete k31 op=31 outcome=ok\ninvoke k31 op=31 by=workload ordering=o1\n"
    assert order(judged(early + publish(32) + publish(33) + effects(32, 31, 33))) == {}
    orphan = "invoke k31 op=1 by=republish ordering=o1\ncomplete k31 op=31 outcome=ok\n"
    assert order(judged(orphan + publish(32) + publish(33) + effects(32, 33, 31))) == {}


def test_the_aimed_messages_gate_is_evidence() -> None:
    by = "invoke k1 op=1 producer=harness by=workload"
    text = change(CRASH.text, by, f"{by} ordering=o1").replace("effect k1", "replay k1", 1)
    text = insert(text, "gate_held", publish(32) + effects(32) + "\n" + settle("32"))
    finding = of(CRASH.judge(insert(text, "drain_started", effects(1)), TOLERANT), FindingKind.REORDERED)
    assert finding
    assert finding.keys == ("k1",)
    assert "gate_held" in [event.kind.value for event in finding.evidence]


def test_an_order_of_which_nothing_was_seen_is_not_upheld() -> None:
    """Each message alone in its ordering key, or none known at all."""
    for text in ("", publish(31, "o1") + publish(32, "o2") + effects(31, 32)):
        judgement = judged(text, BY_ACCOUNT)
        assert judgement.verdict is Verdict.UNPROVEN
        assert [(missing.code.value, "no two messages" in missing.why) for missing in judgement.missing] == [
            ("workload_ran", True)
        ]
