"""Each finding whole: which keys, in what words, with which events; and no more events than it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from histories import change, insert, without
from spine import AT_LEAST, AT_MOST, CRASH, EXACTLY, PROBE, SPINE, C, E, H, P, apply, deliver, publish, settle
from test_checkers_findings import K3, held, stranded

from chaosharness.checkers.evidence import MOST, pick
from chaosharness.checkers.facts import Seen
from chaosharness.model.event import Event, Kind
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import FindingKind, Judgement

GREEN = CRASH.text
TWICE = insert(GREEN, "gate_held", K3 + apply("3", 3) + apply("3", 4) + settle("3"))
REJECTED = insert(GREEN, "gate_held", K3 + settle("3").replace("=ack", "=reject")) + "\nparked k3 place=dlq"
FAILED = f"invoke k3 op=3 producer=orders\n complete k3 op=3 outcome=fail\n confirm k3 @{P}#2 ok=true\n"
CLASH = f"request k3 @{E}#3 sink=effect\n key_reused k3 @{E}#3 sink=effect idempotency_key=k2\n"
OTHERS_CLASH = f"effect k2 @{E}#3 sink=mail effect=m idempotency_key=k2\n" + CLASH
LATE_OF_TWO = f"""
effect k3 @{E}#5 sink=effect effect=a
+3s effect k3 @{E}#5 sink=effect effect=b
effect k3 @{E}#5 sink=effect effect=c
"""
LATE = f"+3s effect k4 @{E}#5 sink=effect effect=l4\n +1s effect k3 @{E}#5 sink=effect effect=l3\n"
RETURNED = f"""
invoke k3 op=3 by=workload
publish k3 @{P}#2 discarded=true
publish k3 @{P}#2
returned k3 @{P}#2 reason=unroutable
confirm k3 @{P}#2 ok=true
complete k3 op=3 outcome=ok
"""
HANDED_OVER_TWICE = 2 * (deliver("3") + "\n") + apply("3", 3) + apply("3", 4)
REDELIVERIES = "".join(deliver("3", 1, "true") + "\n" + apply("3", number) for number in range(3, 9))
HANDED_OVER_OFTEN = K3 + REDELIVERIES + settle("3")


THREE_FAILED = "".join(f"invoke k3 op={op}\ncomplete k3 op={op} outcome=fail\n" for op in (31, 32, 33))
TWO_COPIES = publish("3", 3) + f"publish k3 @{H}#2 confirms=true\n"
NOBODY_CLAIMS_IT = (
    "held in orders:processing; nobody has claimed it since the fault, later messages went through, and a restart with "
    "a new identity did not bring it back"
)
WITHIN_20_S = replace(AT_LEAST, recover_within_s=20)


def judged(text: str, promise: Promise = EXACTLY, cell: str = "effect-ack:crash") -> Callable[[], Judgement]:
    """When it is asked for, not when this is read: a mutant is not there yet."""
    return lambda: SPINE[cell].judge(text, promise)


def again(cell: str) -> Callable[[], Judgement]:
    """The aimed message is applied once more, where it was a replay."""
    return judged(SPINE[cell].text.replace("replay k1", "effect k1 effect=again"), cell=cell)


ORDERED = replace(AT_LEAST, ordered_by="header:account")
SWAPPED = "".join(publish(n, int(n)).replace("by=workload", "by=workload ordering=o1") for n in ("3", "4"))
SWAPPED = insert(GREEN, "gate_held", SWAPPED + apply("4", 4) + apply("3", 3))
UNAPPLIED = without(
    GREEN, f"deliver k1 @{C}#4", f"settle k1 @{C}#4", "request k1", "effect k1", "response k1", "replay k1"
)
IN_TWO_PLACES = change(UNAPPLIED, "yields source=true", "yields k1 place=orders\n yields k1 place=aside")
NOWHERE_NAMED = change(UNAPPLIED, "yields source=true", "yields k1 source=true")
LOST = "publish-store:publish-lost"
NO_ANSWER = change(SPINE[LOST].text, "complete k1 op=1 outcome=ok told=true", "complete k1 op=1 outcome=info")
SILENT = judged(insert(NO_ANSWER, "stopped", 'quiet why="an answer was missing" waited_s=1'), cell=LOST)

FINDINGS: dict[str, tuple[Callable[[], Judgement], str, str, str, str]] = {
    "duplicated": (
        judged(TWICE), "duplicated", "k3", "applied again within one delivery",
        "publish k3, effect k3, effect k3, fault_injected",
    ),
    "duplicated, of the aimed message": (
        again("effect-ack:crash"), "duplicated", "k1", "applied again after a redelivery",
        "deliver k1, effect k1, gate_held k1, fault_injected, deliver k1, effect k1",
    ),
    "duplicated, by a republish": (
        again("store-confirm:republish"), "duplicated", "k1", "applied again after it was published more than once",
        "gate_held k1, fault_injected, deliver k1, effect k1, deliver k1, effect k1",
    ),
    "duplicated, handed over more than once": (
        judged(insert(GREEN, "gate_held", "invoke k3 op=3\n" + HANDED_OVER_TWICE)),
        "duplicated", "k3", "applied again after it was handed over more than once",
        "deliver k3, deliver k3, effect k3, effect k3, fault_injected",
    ),
    "duplicated, handed over more often than published": (
        judged(insert(GREEN, "gate_held", publish("3", 3) + HANDED_OVER_TWICE)),
        "duplicated", "k3", "applied again after a redelivery",
        "deliver k3, deliver k3, effect k3, effect k3, fault_injected",
    ),
    "duplicated, redelivered though it was published twice too": (
        judged(insert(GREEN, "gate_held", TWO_COPIES + HANDED_OVER_TWICE.replace("red=false", "red=true"))),
        "duplicated", "k3", "applied again after a redelivery",
        "deliver k3, deliver k3, effect k3, effect k3, fault_injected",
    ),
    "lost, handed over twice": (
        judged(insert(GREEN, "gate_held", K3 + deliver("3", 1, "true") + "\n" + settle("3"))), "lost", "k3",
        "acked without effect", "complete k3, deliver k3, deliver k3, settle k3, fault_injected",
    ),
    "max_loss, of what nobody was seen to publish": (
        judged(insert(GREEN, "gate_held", deliver("7") + "\n" + settle("7")), replace(AT_MOST, max_loss=0)),
        "bound_exceeded", "k7", "max_loss = 0, found 1", "deliver k7",
    ),
    "duplicated, of too many the first": (
        judged(insert(GREEN, "gate_held", HANDED_OVER_OFTEN)),
        "duplicated", "k3", "applied again after a redelivery",
        "deliver k3, deliver k3, effect k3, deliver k3, effect k3, effect k3, fault_injected",
    ),
    "max_duplicates": (
        judged(TWICE, replace(AT_LEAST, max_duplicates=0)), "bound_exceeded", "k3", "max_duplicates = 0, found 1",
        "complete k3, effect k3, effect k3",
    ),
    "max_loss": (
        judged(insert(GREEN, "gate_held", publish("3", 3) + publish("4", 4)), replace(AT_MOST, max_loss=1)),
        "bound_exceeded", "k3 k4", "max_loss = 1, found 2", "complete k3",
    ),
    "max_parked": (
        judged(REJECTED, replace(AT_MOST, max_parked=0)), "bound_exceeded", "k3", "max_parked = 0, found 1",
        "complete k3",
    ),
    "unexpected": (
        judged(insert(GREEN, "gate_held", deliver("7") + "\n" + apply("7", 7) + apply("7", 8) + apply("7", 9))),
        "unexpected", "k7", "an effect of a key that was never attempted", "deliver k7, effect k7, effect k7",
    ),
    "phantom": (
        judged(insert(GREEN, "gate_held", FAILED + apply("3", 3))), "phantom", "k3",
        "reported as failed, and applied all the same", "complete k3, confirm k3, effect k3",
    ),
    "key_reused": (
        judged(insert(GREEN, "gate_held", K3 + OTHERS_CLASH + apply("3", 3) + settle("3"))),
        "key_reused", "k3", "one idempotency key for two bodies", "effect k2, key_reused k3",
    ),
    "key_reused, of another message than the first": (
        judged(insert(GREEN, "gate_held", K3 + CLASH.replace("=k2", "=k1") + apply("3", 3) + settle("3"))),
        "key_reused", "k3", "one idempotency key for two bodies", "effect k1, key_reused k3",
    ),
    "phantom, of three attempts two": (
        judged(insert(GREEN, "gate_held", THREE_FAILED + apply("3", 3))),
        "phantom", "k3", "reported as failed, and applied all the same", "complete k3, complete k3, effect k3",
    ),
    "producer_gave_up": (
        SILENT, "producer_gave_up", "k1", "the producer never told its caller",
        "invoke k1, gate_cut k1, fault_injected, complete k1",
    ),
    "stuck": (
        judged(held(insert(GREEN, "gate_held", K3 + publish("4", 4)), "k3,k4"), WITHIN_20_S),
        "stuck", "k3 k4", "still held in orders at the recovery bound of 20 s",
        "complete k3, deliver k3, fault_injected, drain_expired, yields k3",
    ),
    "stuck, of the aimed message, in two places": (
        judged(IN_TWO_PLACES, WITHIN_20_S), "stuck", "k1", "still held in aside, orders at the recovery bound of 20 s",
        "complete k1, deliver k1, gate_held k1, fault_injected, drained, yields k1",
    ),
    "stuck, in a place without a name": (
        judged(NOWHERE_NAMED), "stuck", "k1", "still held at the recovery bound of 30 s",
        "complete k1, deliver k1, gate_held k1, fault_injected, drained, yields k1",
    ),
    "reordered": (
        judged(SWAPPED, ORDERED), "reordered", "k3",
        "the first effect came after that of a message of the same ordering key that was published later",
        "complete k3, invoke k4, effect k4, effect k3, fault_injected",
    ),
    "regressed": (
        judged(SWAPPED, ORDERED), "regressed", "k3",
        "the ordering key's last effect is that of an older message: its final state is out of date",
        "complete k3, invoke k4, effect k4, effect k3, fault_injected",
    ),
    "stranded": (
        judged(stranded()), "stranded", "k3",
        NOBODY_CLAIMS_IT,
        "complete k3, deliver k3, fault_injected, restarted_afresh, drain_expired, yields k3",
    ),
    "parked": (
        judged(REJECTED), "parked", "k3", "dead-lettered",
        "complete k3, deliver k3, fault_injected, drained, parked k3",
    ),
    "parked, as allowed": (
        judged(REJECTED, replace(EXACTLY, max_parked=1)),
        "parked", "k3", "dead-lettered, as max_parked = 1 allows",
        "complete k3, deliver k3, fault_injected, drained, parked k3",
    ),
    "lost": (
        judged(insert(GREEN, "gate_held", K3 + settle("3"))), "lost", "k3", "acked without effect",
        "complete k3, deliver k3, settle k3, fault_injected",
    ),
    "lost, never accepted": (
        judged(insert(GREEN, "gate_held", RETURNED)), "lost", "k3", "never accepted",
        "publish k3, returned k3, complete k3, fault_injected",
    ),
    "lost, confirmed before any answer": (
        judged(insert(GREEN, "gate_held", f"invoke k3 op=3\n publish k3 @{H}#2\n confirm k3 @{H}#2 ok=true")),
        "lost", "k3", "lost by the broker", "confirm k3, fault_injected",
    ),
    "late": (
        judged(
            insert(insert(GREEN, "gate_held", publish("3", 3) + publish("4", 4)), "drain_started", LATE),
            replace(AT_LEAST, recover_within_s=2),
        ),
        "late", "k3 k4", "recover_within_s = 2, the slowest took 4.02 s", "complete k3, fault_healed, effect k3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FINDINGS)
def test_each_finding_whole(case: str) -> None:
    judge, kind, keys, attribution, evidence = FINDINGS[case]
    (finding,) = [finding for finding in judge().findings if finding.kind.value == kind]
    assert finding.keys == tuple(keys.split())
    assert finding.attribution == attribution
    assert [f"{event.kind.value} {event.key or ''}".strip() for event in finding.evidence] == evidence.split(", ")


def test_the_aimed_key_is_the_example_and_else_the_first() -> None:
    """Its own gate is evidence only where it held that very key."""
    text = insert(GREEN, "gate_held", K3 + apply("3", 3) + apply("3", 4) + settle("3"))
    (finding,) = CRASH.judge(text.replace("replay k1", "effect k1 effect=again")).findings[:1]
    assert finding.keys == ("k1",)
    assert {event.key for event in finding.evidence} == {"k1", None}


def test_late_shows_the_effect_that_completed_the_message() -> None:
    """Neither one before it nor a duplicate after it."""
    owes_two = publish("3", 3).replace("invoke k3", "invoke k3 count=2")
    text = insert(insert(GREEN, "invoke k9", owes_two), "drain_started", LATE_OF_TWO)
    judgement = CRASH.judge(text, replace(AT_LEAST, recover_within_s=2))
    (finding,) = [finding for finding in judgement.findings if finding.kind is FindingKind.LATE]
    assert finding.attribution == "recover_within_s = 2, the slowest took 3.01 s"
    assert [event.data.get("effect", event.kind.value) for event in finding.evidence] == [
        "fault_healed",
        "complete",
        "b",
    ]


def test_a_probe_declares_nothing_that_could_be_broken() -> None:
    text = insert(insert(GREEN, "gate_held", publish("3", 3) + publish("4", 4)), "drain_started", LATE.splitlines()[0])
    judgement = CRASH.judge(text, replace(PROBE, recover_within_s=2, max_loss=0))
    assert [finding.kind.value for finding in judgement.findings] == ["lost", "late", "bound_exceeded"]
    assert not any(finding.breaks for finding in judgement.findings)


def test_the_aimed_key_is_told_even_where_another_comes_first() -> None:
    early = publish("0", 50) + deliver("0") + "\n" + apply("0", 50) + apply("0", 51)
    text = insert(GREEN, "gate_held", early).replace("replay k1", "effect k1 effect=again")
    (finding,) = CRASH.judge(text.replace("redelivered=true", "redelivered=false"), AT_LEAST).findings[1:]
    assert finding.keys == ("k1",)
    both = replace(AT_LEAST, max_duplicates=0)
    (bound,) = [one for one in CRASH.judge(text, both).findings if one.kind is FindingKind.BOUND_EXCEEDED]
    assert bound.keys == ("k0", "k1")
    assert {event.key for event in bound.evidence} == {"k1"}


def test_what_makes_it_owed_is_the_attempt_that_ended_well() -> None:
    failed = "invoke k3 op=30 producer=orders\n complete k3 op=30 outcome=fail\n"
    (_, bound) = CRASH.judge(
        insert(GREEN, "gate_held", failed + publish("3", 3)), replace(AT_MOST, max_loss=0)
    ).findings
    assert [event.data["outcome"] for event in bound.evidence] == ["ok"]


def test_evidence_is_cut_in_the_middle() -> None:
    seen = [Seen(at, Event(at, at, "relay", Kind.NOTE)) for at in range(20)]
    assert [event.seq for event in pick(*seen)] == [0, 1, 2, 3, 16, 17, 18, 19]
    assert [event.seq for event in pick(seen[5], None, seen[2], seen[5])] == [2, 5]
    assert len(pick(*seen[:MOST])) == MOST == 8
    assert [event.seq for event in pick(*seen[: MOST + 1])] == [0, 1, 2, 3, 5, 6, 7, 8]
