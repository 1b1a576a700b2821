"""Faults of links and of the broker.

A flow that keeps its word is upheld, one that does not is violated, and a fault that left too little behind proves
nothing.
"""

from __future__ import annotations

import pytest
from histories import change, insert, without
from spine import AT_LEAST, AT_MOST, EXACTLY, PROBE, C, E, P, Scenario
from spine_broker import BROKER, PUBLISHED
from test_checkers_preconditions import codes

from chaosharness.model.verdict import FindingKind, Verdict

PARTITIONS = [cell for cell in BROKER if ":partition" in cell]
ENDS = [cell for cell in BROKER if cell.endswith((":broker-kill", ":broker-restart"))]
SLOW_LINKS = ["store-deliver:latency", "store-deliver:bandwidth", "store-deliver:slice"]


@pytest.mark.parametrize("cell", BROKER)
@pytest.mark.parametrize("promise", [EXACTLY, AT_LEAST, AT_MOST, PROBE], ids=lambda p: str(p.semantic))
def test_green(cell: str, promise: object) -> None:
    judgement = BROKER[cell].judge(promise=promise)  # type: ignore[arg-type]
    assert (judgement.findings, judgement.missing, judgement.verdict) == ((), (), Verdict.UPHELD)


# what a flow must not do


def violates(cell: str, text: str, kind: FindingKind, attribution: str) -> None:
    judgement = BROKER[cell].judge(text)
    assert judgement.verdict is Verdict.VIOLATED, judgement
    [finding] = judgement.findings
    assert (finding.kind, finding.keys) == (kind, ("k1",))
    assert attribution in (finding.attribution or "")


def twice(scenario: Scenario) -> str:
    """Under another idempotency key, which is what a service without any comes to."""
    again = f"effect k1 @{E}#3 sink=effect effect=effect#7 idempotency_key=other"
    if "replay k1" not in scenario.text:
        return insert(scenario.text, "drain_started", again)
    rows = scenario.text.splitlines()
    return "\n".join(again if "replay k1" in row else row for row in rows)


def lost(scenario: Scenario, *delivered: str) -> str:
    """Nothing ever comes of it."""
    gone = ("request k1", "effect k1", "response k1", f"settle k1 @{C}", *delivered)
    return without(scenario.text, *gone)


@pytest.mark.parametrize("cell", [c for c in PARTITIONS if not c.startswith("publish-store")])
def test_partition_red(cell: str) -> None:
    violates(cell, twice(BROKER[cell]), FindingKind.DUPLICATED, "applied again")


@pytest.mark.parametrize(
    "cell", ["publish-store:partition", "publish-store:partition-out", "publish-store:broker-kill"]
)
def test_a_producer_that_says_ok_red(cell: str) -> None:
    conn = 4 if cell.endswith("kill") else 1
    text = lost(BROKER[cell], f"publish k1 @{P}#7", "confirm k1", f"deliver k1 @{C}#{conn}")
    violates(cell, text, FindingKind.LOST, "never accepted")


@pytest.mark.parametrize("cell", ["store-deliver:partition", "store-deliver:partition-in", "store-deliver:reset"])
def test_settled_by_being_handed_over_red(cell: str) -> None:
    text = lost(BROKER[cell], f"deliver k1 @{C}#4")
    text = change(text, f"deliver k1 @{C}#1 redelivered=false settled=false", f"deliver k1 @{C}#1 settled=true")
    violates(cell, text, FindingKind.LOST, "never delivered")


def test_what_was_sent_into_a_partition_was_never_delivered() -> None:
    """But what was sent to a replica that only cannot answer was."""
    cell = "store-deliver:partition"
    text = lost(BROKER[cell], "discarded=true", f"deliver k1 @{C}#4")
    text = insert(text, "fault_healed", f"deliver k1 @{C}#1 redelivered=false settled=true how=push")
    violates(cell, text, FindingKind.LOST, "never delivered")
    out = text.replace("fault=partition ", "fault=partition-out ")
    out = change(out, "forwarded=false", "forwarded=true")
    violates("store-deliver:partition-out", out, FindingKind.LOST, "acked without effect")


def test_what_came_on_a_connection_made_after_the_cut_was_delivered() -> None:
    """The heal is recorded a little later than it is."""
    cell = "store-deliver:partition"
    text = without(lost(BROKER[cell], f"deliver k1 @{C}#4"), f"connect @{C}#4")
    early = f"connect @{C}#4\ndeliver k1 @{C}#4 redelivered=true settled=true how=push"
    violates(cell, insert(text, "fault_healed", early), FindingKind.LOST, "acked without effect")


@pytest.mark.parametrize("cell", [c for c in ENDS if not c.startswith("publish-store")])
def test_broker_ends_red(cell: str) -> None:
    violates(cell, twice(BROKER[cell]), FindingKind.DUPLICATED, "applied again")


def test_a_transient_message_does_not_outlive_a_restart_red() -> None:
    cell = "stored:broker-restart"
    violates(cell, lost(BROKER[cell], f"deliver k1 @{C}#4"), FindingKind.LOST, "lost by the broker")


@pytest.mark.parametrize("cell", [*SLOW_LINKS, "stored:broker-freeze", "store-deliver:refuse", "effect-response:reset"])
def test_a_time_out_that_was_too_short_red(cell: str) -> None:
    violates(cell, twice(BROKER[cell]), FindingKind.DUPLICATED, "applied again")


def test_alarm_red() -> None:
    """It takes a blocked connection for a done deal."""
    text = lost(BROKER["publish-store:alarm"], f"confirm k1 @{P}#6", "deliver k1")
    violates("publish-store:alarm", text, FindingKind.LOST, "never accepted")


def test_slow_red() -> None:
    violates("slow:slow", twice(BROKER["slow:slow"]), FindingKind.DUPLICATED, "applied again after a redelivery")


# what a fault must have left behind


def why(cell: str, text: str) -> str:
    judgement = BROKER[cell].judge(text)
    assert "fault_evidence" in codes(judgement)
    return next(missing.why for missing in judgement.missing if missing.code == "fault_evidence")


@pytest.mark.parametrize("cell", BROKER)
def test_every_fault_needs_its_injection_and_its_heal(cell: str) -> None:
    text, fault = BROKER[cell].text, BROKER[cell].fault
    assert "never injected" in why(cell, without(text, "fault_injected"))
    assert "never healed" in why(cell, without(text, "fault_healed"))
    unseen = change(text, f"fault_injected fault={fault} ok=true", f"fault_injected fault={fault} ok=false")
    assert "without evidence" in why(cell, unseen)


@pytest.mark.parametrize("cell", [*PARTITIONS, *SLOW_LINKS, "store-deliver:refuse"])
def test_the_link_must_be_that_of_the_held_replica(cell: str) -> None:
    link = P if cell.partition(":")[0] in PUBLISHED else C
    text = change(BROKER[cell].text, f"ok=true link={link}", "ok=true link=other.0>broker.0")
    assert "is other.0>broker.0" in why(cell, text)
    unnamed = why(cell, change(BROKER[cell].text, f"ok=true link={link}", "ok=true"))
    assert "no record of the link" in unnamed or "is None" in unnamed


@pytest.mark.parametrize("cell", [c for c in PARTITIONS if "forwarded=false" in BROKER[c].text])
def test_what_was_held_must_not_have_crossed(cell: str) -> None:
    assert "may have crossed" in why(cell, change(BROKER[cell].text, "forwarded=false", "forwarded=true"))


@pytest.mark.parametrize("cell", SLOW_LINKS)
def test_what_was_held_must_have_met_the_bad_link(cell: str) -> None:
    assert "did not go on" in why(cell, change(BROKER[cell].text, "forwarded=true", "forwarded=false"))


def test_evidence_of_a_reset() -> None:
    text = BROKER["store-deliver:reset"].text
    assert "was not closed" in why("store-deliver:reset", change(text, "#1 by=tap", "#1 by=server"))
    assert "sent on" in why("store-deliver:reset", change(text, "forwarded=false", "forwarded=true"))
    other = change(text, f"ok=true link={C}", f"ok=true link={E}")
    assert "the message was held on" in why("store-deliver:reset", other)


def test_evidence_of_a_refusal() -> None:
    cell, text = "store-deliver:refuse", BROKER["store-deliver:refuse"].text
    assert "end of file" in why(cell, change(text, f"disconnect @{C}#1 by=client", f"disconnect @{C}#1 by=tap"))
    assert "sent on" in why(cell, change(text, "forwarded=false", "forwarded=true"))


@pytest.mark.parametrize("cell", ENDS)
def test_evidence_of_a_brokers_end(cell: str) -> None:
    text = BROKER[cell].text
    signal = "kill" if cell.endswith("kill") else "term"
    assert "of the broker after" in why(cell, change(text, f"signal={signal}", "signal=freeze"))
    assert "was gone" in why(cell, change(text, "exited instance=rabbitmq.0", "exited instance=other.0"))
    started = "started instance=rabbitmq.0 pid=51"
    assert "not started again" in why(cell, change(text, started, started.replace("rabbitmq", "other")))
    by = "server" if signal == "kill" else "client"
    conn = f"{P}#6" if cell.partition(":")[0] in PUBLISHED else f"{C}#1"
    assert "did not close" in why(cell, change(text, f"disconnect @{conn} by={by}", f"disconnect @{conn} by=tap"))


def test_evidence_of_a_frozen_broker() -> None:
    cell, text = "stored:broker-freeze", BROKER["stored:broker-freeze"].text
    assert "not frozen" in why(cell, change(text, "signal=freeze", "signal=kill"))
    assert "never thawed" in why(cell, change(text, "signal=thaw", "signal=kill"))
    dead = "exited instance=rabbitmq.0 pid=50 incarnation=1 code=1 asked=false gone=true"
    assert "ended while" in why(cell, insert(text, "signalled instance=rabbitmq.0 signal=thaw", dead))


def test_evidence_of_an_alarm() -> None:
    cell, text = "publish-store:alarm", BROKER["publish-store:alarm"].text
    untold = without(text, f"blocked @{P}#6 reason")
    assert "nobody was told" in why(cell, untold)
    said = change(untold, f'link={P} evidence={{"what":"seen"}}', f'link={P} evidence={{"what":"x","alarmed":true}}')
    assert BROKER[cell].judge(said).verdict is Verdict.UPHELD


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f"closed @{C}#1", "closed @other.0>broker.0#1", "took nothing back"),
        ("acknowledgement timed out", "unknown delivery tag", "took nothing back"),
        ("scope=channel by=server", "scope=channel by=client", "took nothing back"),
        ("forwarded=true", "forwarded=false", "did not go on"),
    ],
)
def test_evidence_of_a_brokers_patience(old: str, new: str, words: str) -> None:
    assert words in why("slow:slow", change(BROKER["slow:slow"].text, old, new))
