"""The core scenarios: a flow that keeps its word is upheld, one that does not is violated, with its attribution."""

from __future__ import annotations

import pytest
from histories import change, insert, without
from spine import AT_LEAST, AT_MOST, EXACTLY, PROBE, SPINE, C, Scenario

from chaosharness.model.verdict import Finding, FindingKind, Judgement, Verdict


def one(judgement: Judgement, kind: FindingKind) -> Finding:
    """The finding of this kind; there must be exactly one."""
    found = [finding for finding in judgement.findings if finding.kind is kind]
    assert len(found) == 1, judgement.findings
    return found[0]


def repeated(scenario: Scenario, conn: int) -> str:
    """The aimed message's second request is applied again, since its idempotency key is another one."""
    text = change(
        scenario.text,
        f"replay k1 @payment.0>effect.effect.0#{conn} sink=effect idempotency_key=k1",
        f"effect k1 @payment.0>effect.effect.0#{conn} sink=effect effect=effect#7 idempotency_key=other",
    )
    assert text != scenario.text
    return text


@pytest.mark.parametrize("cell", SPINE)
@pytest.mark.parametrize("promise", [EXACTLY, AT_LEAST, AT_MOST, PROBE], ids=lambda p: str(p.semantic))
def test_green(cell: str, promise: object) -> None:
    judgement = SPINE[cell].judge(promise=promise)  # type: ignore[arg-type]
    assert judgement.findings == ()
    assert judgement.missing == ()
    assert judgement.refutes == frozenset()
    if cell == "store-confirm:republish" and promise is AT_MOST:
        assert judgement.verdict is Verdict.NOT_APPLICABLE
    else:
        assert judgement.verdict is Verdict.UPHELD
    assert judgement.counts["attempted"] == judgement.counts["owed"] == judgement.counts["effects"] == 3


def assert_duplicated(cell: str, conn: int, again: str) -> None:
    judgement = SPINE[cell].judge(repeated(SPINE[cell], conn))
    assert judgement.verdict is Verdict.VIOLATED
    finding = one(judgement, FindingKind.DUPLICATED)
    assert (finding.keys, finding.attribution) == (("k1",), f"applied again {again}, under another idempotency key")
    assert finding.breaks
    assert [event.kind.value for event in finding.evidence].count("effect") == 2
    assert judgement.refutes >= {"effectively_once"}
    tolerated = SPINE[cell].judge(repeated(SPINE[cell], conn), AT_LEAST)
    assert tolerated.verdict is Verdict.UPHELD
    assert not one(tolerated, FindingKind.DUPLICATED).breaks


def test_deliver_effect_crash_red() -> None:
    """Acknowledged first: the crash takes the message with it."""
    scenario = SPINE["deliver-effect:crash"]
    early = insert(scenario.text, "request k1", f"settle k1 @{C}#1 how=ack requeue=false multiple=false")
    early = without(
        early,
        f"deliver k1 @{C}#4",
        "request k1 @payment.0>effect.effect.0#5",
        "effect k1",
        "response k1",
        f"settle k1 @{C}#4",
    )
    judgement = scenario.judge(early)
    assert judgement.verdict is Verdict.VIOLATED
    finding = one(judgement, FindingKind.LOST)
    assert (finding.keys, finding.attribution) == (("k1",), "acked without effect")
    assert {event.kind.value for event in finding.evidence} >= {"complete", "deliver", "settle", "fault_injected"}
    assert "acked without effect: 1 settled by ack" in judgement.notes
    assert judgement.refutes == {"at_least_once", "effectively_once"}
    at_most = scenario.judge(early, AT_MOST)
    assert at_most.verdict is Verdict.UPHELD
    assert at_most.notes[0] == "loss measured: 1 of 3"


def test_effect_response_crash_red() -> None:
    assert_duplicated("effect-response:crash", 5, "after a redelivery")


def test_effect_ack_crash_red() -> None:
    assert_duplicated("effect-ack:crash", 5, "after a redelivery")


def test_ack_lost_red() -> None:
    assert_duplicated("ack-settle:ack-lost", 3, "after a redelivery")


def test_partition_red() -> None:
    assert_duplicated("effect-ack:partition", 3, "after a redelivery")


def test_confirm_lost_red() -> None:
    assert_duplicated("store-confirm:confirm-lost", 3, "after it was published more than once")


def test_republish_red() -> None:
    assert_duplicated("store-confirm:republish", 3, "after it was published more than once")


def test_publish_lost_red() -> None:
    """The producer said ok and never asked for a confirm."""
    scenario = SPINE["publish-store:publish-lost"]
    text = without(
        scenario.text,
        "publish k1 @orders.0>broker.0#7",
        "confirm k1",
        "deliver k1",
        "request k1",
        "effect k1",
        "response k1",
        "settle k1",
    )
    judgement = scenario.judge(text)
    assert judgement.verdict is Verdict.VIOLATED
    finding = one(judgement, FindingKind.LOST)
    assert (finding.keys, finding.attribution) == (("k1",), "never accepted")
    assert {event.kind.value for event in finding.evidence} >= {"complete", "publish", "gate_cut"}


def test_broker_kill_red() -> None:
    """A transient message: the broker had confirmed it, and forgot it."""
    scenario = SPINE["stored:broker-kill"]
    text = without(scenario.text, f"deliver k1 @{C}#4", "request k1", "effect k1", "response k1", f"settle k1 @{C}#4")
    judgement = scenario.judge(text)
    assert judgement.verdict is Verdict.VIOLATED
    assert one(judgement, FindingKind.LOST).attribution == "lost by the broker"
    assert any(note.startswith("process crash only") for note in judgement.notes)


def test_cut_red() -> None:
    """Settled by being handed over: what the cut threw away, nobody has."""
    scenario = SPINE["store-deliver:cut"]
    text = without(scenario.text, f"deliver k1 @{C}#4", "request k1", "effect k1", "response k1", f"settle k1 @{C}#4")
    text = change(
        text,
        f"deliver k1 @{C}#1 redelivered=false settled=false",
        f"deliver k1 @{C}#1 redelivered=false settled=true",
    )
    judgement = scenario.judge(text)
    assert judgement.verdict is Verdict.VIOLATED
    finding = one(judgement, FindingKind.LOST)
    assert finding.attribution == "never delivered"
    assert {event.kind.value for event in finding.evidence} >= {"deliver", "gate_cut"}
