"""Each finding kind, red and green, on literal histories."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, history, insert, without
from spine import AT_LEAST, AT_MOST, CRASH, EXACTLY, PROBE, SPINE, C, E, apply, deliver, publish, replay, settle

from chaosharness.checkers.verdict import judge, observed
from chaosharness.model.semantic import Promise, Waiver
from chaosharness.model.verdict import Finding, FindingKind, Judgement, Verdict

GREEN = CRASH.text
K3 = publish("3", 3) + deliver("3") + "\n"
"""A third message before the fault, handed over and nothing more."""
FRESH = """
+30s drain_expired within_s=30
restarted_afresh instance=payment.1
subscribed @payment.1>broker.0#8 source=true
"""


def found(judgement: Judgement, kind: FindingKind) -> Finding:
    """The one finding of this kind."""
    (finding,) = [finding for finding in judgement.findings if finding.kind is kind]
    return finding


def kinds(judgement: Judgement) -> list[str]:
    return [finding.kind.value for finding in judgement.findings]


def codes(judgement: Judgement) -> set[str]:
    return {missing.code.value for missing in judgement.missing}


def held(text: str, keys: str = "k3", place: str = "orders") -> str:
    """The drain expired, and these are still there."""
    return change(
        change(text, "drained within_s=30", "+30s drain_expired within_s=30 waiting_for=1"),
        "yields source=true",
        f"yields {keys} source=true place={place}",
    )


def test_duplicated() -> None:
    text = insert(GREEN, "gate_held", K3 + apply("3", 3) + apply("3", 4) + settle("3"))
    judgement = CRASH.judge(text)
    assert judgement.verdict is Verdict.VIOLATED
    finding = found(judgement, FindingKind.DUPLICATED)
    assert (finding.keys, finding.attribution, finding.breaks) == (("k3",), "applied again within one delivery", True)
    assert judgement.refutes == {"effectively_once", "at_most_once"}
    assert CRASH.judge(text, AT_LEAST).verdict is Verdict.UPHELD
    assert CRASH.judge(text, AT_MOST).verdict is Verdict.VIOLATED


def test_a_redelivery_or_an_effect_recorded_twice_is_no_duplicate() -> None:
    assert CRASH.judge().counts["redelivered"] == 1
    again = insert(GREEN, "gate_held", K3 + apply("3", 3) + apply("3", 3) + settle("3"))
    assert CRASH.judge(again).findings == ()


def test_an_effect_of_a_message_that_is_to_be_dropped_is_one_too_many() -> None:
    none = replace(EXACTLY, count=0)
    assert found(CRASH.judge(GREEN, none), FindingKind.DUPLICATED).keys == ("k1", "k2", "k9")


def test_unexpected() -> None:
    text = insert(GREEN, "gate_held", apply("7", 7))
    judgement = CRASH.judge(text)
    assert (judgement.verdict, kinds(judgement)) == (Verdict.VIOLATED, ["unexpected"])
    assert judgement.refutes == {"at_most_once", "at_least_once", "effectively_once"}
    assert CRASH.judge(text, AT_MOST).verdict is Verdict.VIOLATED


def test_phantom() -> None:
    failed = "invoke k3 op=3 producer=orders\n complete k3 op=3 outcome=fail"
    assert CRASH.judge(insert(GREEN, "gate_held", failed)).findings == ()
    text = insert(GREEN, "gate_held", failed + apply("3", 3))
    judgement = CRASH.judge(text, AT_LEAST)
    assert (judgement.verdict, kinds(judgement)) == (Verdict.VIOLATED, ["phantom"])
    retried = insert(GREEN, "gate_held", failed + "\n invoke k3 op=4 producer=orders" + apply("3", 3))
    assert CRASH.judge(retried, AT_LEAST).findings == ()


def test_indeterminate_then_seen() -> None:
    """Nobody knew whether it was published; its effect says that it was: recovered, never lost."""
    unknown = "invoke k3 op=3 producer=orders\n complete k3 op=3 outcome=info\n"
    judgement = CRASH.judge(insert(GREEN, "gate_held", unknown + deliver("3") + apply("3", 3) + settle("3")))
    assert (judgement.verdict, judgement.findings, judgement.counts["recovered"]) == (Verdict.UPHELD, (), 1)
    unseen = CRASH.judge(insert(GREEN, "gate_held", unknown))
    assert (unseen.verdict, unseen.findings, unseen.counts["recovered"]) == (Verdict.UPHELD, (), 0)
    delivered = CRASH.judge(insert(GREEN, "gate_held", unknown + deliver("3")))
    assert (delivered.verdict, delivered.findings) == (Verdict.UPHELD, ())
    taken = CRASH.judge(insert(GREEN, "gate_held", unknown + deliver("3") + "\n" + settle("3")))
    assert (taken.verdict, kinds(taken)) == (Verdict.VIOLATED, ["lost"])
    auto = deliver("3").replace("settled=false", "settled=true")
    assert kinds(CRASH.judge(insert(GREEN, "gate_held", unknown + auto))) == ["lost"]


def test_stuck() -> None:
    text = held(insert(GREEN, "gate_held", publish("3", 3)))
    unproven = CRASH.judge(text)
    assert (unproven.verdict, codes(unproven)) == (Verdict.UNPROVEN, {"drained"})
    assert "raise drain_within_s" in unproven.missing[0].why
    finding = found(unproven, FindingKind.STUCK)
    assert (finding.keys, finding.breaks) == (("k3",), False)
    assert "in orders" in finding.attribution
    violated = CRASH.judge(text, replace(AT_LEAST, recover_within_s=20))
    assert (violated.verdict, found(violated, FindingKind.STUCK).breaks) == (Verdict.VIOLATED, True)
    assert violated.refutes == frozenset()


def test_not_stuck_when_it_drained() -> None:
    assert CRASH.judge(promise=replace(EXACTLY, recover_within_s=20)).verdict is Verdict.UPHELD


def stranded(fresh: str = FRESH, extra: str = "") -> str:
    """k3 in a processing list, and the restart afresh."""
    text = insert(GREEN, "gate_held", K3)
    text = change(text, "drained within_s=30", fresh + extra + "+5s drain_expired within_s=5")
    return change(text, "yields source=true", "yields k3 source=false place=orders:processing")


def test_stranded() -> None:
    judgement = CRASH.judge(stranded())
    assert (judgement.verdict, kinds(judgement)) == (Verdict.VIOLATED, ["stranded"])
    finding = found(judgement, FindingKind.STRANDED)
    assert "in orders:processing" in finding.attribution
    assert {event.kind.value for event in finding.evidence} >= {"restarted_afresh", "yields", "fault_injected"}
    assert judgement.refutes == {"at_least_once", "effectively_once"}
    assert CRASH.judge(stranded(), AT_MOST).verdict is Verdict.UPHELD


@pytest.mark.parametrize(
    ("fresh", "extra"),
    [
        ("+30s drain_expired within_s=30\n", ""),
        (FRESH, f"reclaim k3 @{C}#4 place=orders:processing\n"),
        (FRESH, deliver("3", 4, "true") + "\n"),
    ],
    ids=["no restart afresh", "reclaimed", "handed over again"],
)
def test_not_stranded_but_stuck(fresh: str, extra: str) -> None:
    judgement = CRASH.judge(stranded(fresh, extra))
    assert (judgement.verdict, kinds(judgement), codes(judgement)) == (Verdict.UNPROVEN, ["stuck"], {"drained"})


def test_not_stranded_while_nothing_went_through_after_the_heal() -> None:
    text = without(stranded(), "deliver k9", "request k9", "effect k9", "response k9", "settle k9")
    assert kinds(CRASH.judge(text)) == ["lost", "stuck"]


def test_what_stays_behind_with_its_effect_is_no_finding_once_nobody_claims_it() -> None:
    done = insert(stranded(), "gate_held", apply("3", 3))
    judgement = CRASH.judge(done)
    assert (judgement.verdict, judgement.findings) == (Verdict.UPHELD, ())
    assert any("where nobody claims them: 1" in note for note in judgement.notes)
    unknown = CRASH.judge(held(insert(GREEN, "gate_held", K3 + apply("3", 3))))
    assert (unknown.verdict, codes(unknown)) == (Verdict.UNPROVEN, {"drained"})


def test_parked() -> None:
    text = insert(GREEN, "gate_held", K3 + settle("3").replace("how=ack", "how=reject")) + "\n parked k3 place=dlq"
    judgement = CRASH.judge(text)
    assert (judgement.verdict, kinds(judgement)) == (Verdict.VIOLATED, ["parked"])
    assert judgement.refutes == {"at_least_once", "effectively_once"}
    assert CRASH.judge(text, AT_MOST).verdict is Verdict.UPHELD
    allowed = CRASH.judge(text, replace(EXACTLY, max_parked=1))
    assert (allowed.verdict, kinds(allowed), allowed.refutes) == (Verdict.UPHELD, ["parked"], frozenset())
    beyond = CRASH.judge(text, replace(AT_MOST, max_parked=0))
    assert (beyond.verdict, kinds(beyond)) == (Verdict.VIOLATED, ["parked", "bound_exceeded"])


@pytest.mark.parametrize("promise", [EXACTLY, AT_LEAST, AT_MOST], ids=lambda p: str(p.semantic))
def test_key_reused(promise: Promise) -> None:
    clash = f"request k3 @{E}#3 sink=effect\n key_reused k3 @{E}#3 sink=effect idempotency_key=k2\n"
    judgement = CRASH.judge(insert(GREEN, "gate_held", K3 + clash + apply("3", 3) + settle("3")), promise)
    assert (judgement.verdict, kinds(judgement)) == (Verdict.VIOLATED, ["key_reused"])
    assert [event.kind.value for event in found(judgement, FindingKind.KEY_REUSED).evidence] == ["effect", "key_reused"]


def test_a_replay_reuses_no_key() -> None:
    assert CRASH.judge(insert(GREEN, "gate_held", K3 + apply("3", 3) + replay("3", 3) + settle("3"))).findings == ()


@pytest.mark.parametrize("end", ["", "complete k1 op=1 outcome=info", "complete k1 op=1 outcome=info told=false"])
def test_producer_gave_up(end: str) -> None:
    scenario = SPINE["publish-store:publish-lost"]
    text = change(scenario.text, "complete k1 op=1 outcome=ok told=true", end)
    text = insert(text, "stopped", 'quiet why="a publish without an answer" waited_s=1')
    judgement = scenario.judge(text, AT_MOST)
    assert (judgement.verdict, kinds(judgement)) == (Verdict.VIOLATED, ["producer_gave_up"])
    assert found(judgement, FindingKind.PRODUCER_GAVE_UP).keys == ("k1",)
    assert judgement.refutes == frozenset()


@pytest.mark.parametrize("end", ["outcome=fail", "outcome=info told=true", "outcome=ok"])
def test_a_producer_that_tells_has_not_given_up(end: str) -> None:
    """The publish was lost, nothing was sent again, and the caller was told so: nothing is owed, but for an `ok`."""
    scenario = SPINE["publish-store:publish-lost"]
    text = change(scenario.text, "outcome=ok told=true", end)
    text = without(text, "broker.0#7", "deliver k1", "request k1", "effect k1", "response k1", "settle k1")
    assert kinds(scenario.judge(text)) == (["lost"] if end == "outcome=ok" else [])


def test_unanswered_outside_a_producer_window_is_only_indeterminate() -> None:
    text = insert(GREEN, "gate_held", "invoke k3 op=3 producer=orders")
    assert CRASH.judge(text).findings == ()


def test_late() -> None:
    promise = replace(AT_MOST, recover_within_s=2)
    text = change(GREEN, f"deliver k1 @{C}#4", f"+3s deliver k1 @{C}#4").replace("replay k1", "effect k1")
    first = without(text, "effect=effect#2")
    judgement = CRASH.judge(change(first, "sink=effect idempotency_key=k1", "sink=effect effect=x"), promise)
    assert kinds(judgement) == ["late"]
    finding = found(judgement, FindingKind.LATE)
    assert finding.keys == ("k1",)
    assert finding.attribution.startswith("recover_within_s = 2, the slowest took 3.0")
    assert judgement.verdict is Verdict.VIOLATED
    assert judgement.refutes == frozenset()


def test_not_late() -> None:
    """In time; or published long after the heal; or a replay, which is no effect."""
    promise = replace(EXACTLY, recover_within_s=2)
    assert CRASH.judge(change(GREEN, f"deliver k1 @{C}#4", f"+1s deliver k1 @{C}#4"), promise).findings == ()
    assert CRASH.judge(change(GREEN, "invoke k9", "+5s invoke k9"), promise).findings == ()
    assert CRASH.judge(change(GREEN, "replay k1", "+5s replay k1")).findings == ()


@pytest.mark.parametrize(("most", "kind"), [(0, Verdict.VIOLATED), (1, Verdict.UPHELD)])
def test_bound_exceeded(most: int, kind: Verdict) -> None:
    twice = insert(GREEN, "gate_held", K3 + apply("3", 3) + apply("3", 4) + settle("3"))
    judgement = CRASH.judge(twice, replace(AT_LEAST, max_duplicates=most))
    assert judgement.verdict is kind
    assert ("bound_exceeded" in kinds(judgement)) is (most == 0)
    gone = CRASH.judge(insert(GREEN, "gate_held", publish("3", 3)), replace(AT_MOST, max_loss=most))
    assert gone.verdict is kind
    if most == 0:
        assert found(gone, FindingKind.BOUND_EXCEEDED).attribution == "max_loss = 0, found 1"


def test_a_republished_duplicate_is_upstreams() -> None:
    scenario = SPINE["store-confirm:republish"]
    text = scenario.text.replace("replay k1", "effect k1 effect=twice", 1).replace("k1 effect=twice @", "k1 @", 1)
    bounded = scenario.judge(text, replace(AT_LEAST, max_duplicates=0))
    assert (bounded.verdict, kinds(bounded)) == (Verdict.UPHELD, ["duplicated"])
    assert scenario.judge(text, PROBE).refutes == {"effectively_once"}
    assert scenario.judge(text, AT_MOST).verdict is Verdict.NOT_APPLICABLE
    thrice = insert(text, "drain_started", f"effect k1 @{E}#3 sink=effect effect=third")
    own = scenario.judge(thrice, replace(AT_LEAST, max_duplicates=0))
    assert (own.verdict, kinds(own)) == (Verdict.VIOLATED, ["duplicated", "bound_exceeded"])
    assert scenario.judge(thrice, PROBE).refutes == {"effectively_once", "at_most_once"}


def test_a_probe_refutes_and_breaks_nothing() -> None:
    text = insert(GREEN, "gate_held", K3 + settle("3") + publish("4", 4) + deliver("4") + apply("4", 4) + apply("4", 5))
    judgement = CRASH.judge(text, PROBE)
    assert judgement.verdict is Verdict.UPHELD
    assert judgement.refutes == {"effectively_once", "at_least_once", "at_most_once"}
    assert not any(finding.breaks for finding in judgement.findings)


def test_observed_is_the_strongest_that_is_not_refuted() -> None:
    duplicated = frozenset({"effectively_once", "at_most_once"})
    lossy = frozenset({"effectively_once", "at_least_once"})
    assert observed([]) == observed([frozenset()]) == "effectively_once"
    assert observed([duplicated, frozenset()]) == "at_least_once"
    assert observed([lossy]) == "at_most_once"
    assert observed([lossy, duplicated]) is None


@pytest.mark.parametrize(
    ("cell", "finding", "most", "waived"),
    [
        ("effect-ack:crash", "duplicated", 1, True),
        ("effect-*:cras?", "duplicated", 2, True),
        ("*", "duplicated", 1, True),
        ("*", "duplicated", 0, False),
        ("*", "lost", 5, False),
        ("effect-[a]ck:crash", "duplicated", 5, False),
        ("effect-response:*", "duplicated", 5, False),
    ],
)
def test_waivers(cell: str, finding: str, most: int, waived: bool) -> None:
    text = insert(GREEN, "gate_held", K3 + apply("3", 3) + apply("3", 4) + settle("3"))
    promise = replace(EXACTLY, waivers=(Waiver(cell, finding, most, "one more mail is accepted"),))
    judgement = CRASH.judge(text, promise)
    assert judgement.verdict is (Verdict.UPHELD if waived else Verdict.VIOLATED)
    assert found(judgement, FindingKind.DUPLICATED).waived == ("one more mail is accepted" if waived else None)
    assert judgement.refutes == {"effectively_once", "at_most_once"}


def test_what_is_only_reported_uses_no_waiver() -> None:
    text = insert(GREEN, "gate_held", K3 + apply("3", 3) + apply("3", 4) + settle("3"))
    judgement = CRASH.judge(text, replace(AT_LEAST, waivers=(Waiver("*", "duplicated", 9, "accepted"),)))
    assert found(judgement, FindingKind.DUPLICATED).waived is None


def test_unproven_cannot_be_waived() -> None:
    promise = replace(EXACTLY, waivers=(Waiver("*", "stuck", 9, "accepted"),))
    text = held(insert(GREEN, "gate_held", publish("3", 3)))
    assert CRASH.judge(text, promise).verdict is Verdict.UNPROVEN


def test_advice_is_given_once_a_code_with_its_frame() -> None:
    lines = f"""
    advice k1 @{C}#1 code=auto_ack detail=seen
    advice k2 @{C}#1 code=auto_ack detail=seen
    advice @{C}#1 code=brand_new detail="what the tap says"
    """
    judgement = judge(history(insert(GREEN, "gate_held", lines)), EXACTLY, CRASH.aimed)
    assert [advice.code for advice in judgement.advice] == ["auto_ack", "brand_new"]
    assert "Acknowledge after the effect" in judgement.advice[0].text
    assert judgement.advice[1].text == "what the tap says"
    assert judgement.advice[0].evidence[0].keys == ("k1",)
