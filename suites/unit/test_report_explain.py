"""Plain sentences: every kind and every code has its own, and nothing is claimed that the events do not show."""

from __future__ import annotations

from dataclasses import replace

from report_example import KEY, PAYMENT, not_applicable, scenario, unproven_partition, violated_crash, waived_kill

from chaosharness.model.event import Event, Kind
from chaosharness.model.verdict import Code, Finding, FindingKind, Missing
from chaosharness.report import explain


def test_every_finding_kind_and_code_has_words() -> None:
    assert set(explain.FOUND) == set(FindingKind)
    assert set(explain.DEMANDS) == set(Code)


def test_what_was_done_names_the_replica_only_if_the_gate_was_seen() -> None:
    done = explain.done(violated_crash())
    assert done.startswith(f"{KEY} was held between payment.0 and the broker in the window effect → ack (after: ")
    assert "Fault crash: SIGKILL of the whole process tree" in done
    assert explain.done(unproven_partition()).startswith(f"The fault was aimed at {KEY} in the window effect → ack")


def test_a_cut_is_called_a_cut() -> None:
    cut = Event(
        1, 0, "relay", Kind.GATE_CUT, (KEY,), "payment.0>broker.0", 1, {"gate": "g", "point": "settle", "bytes": 1}
    )
    assert f"{KEY} was cut off between" in explain.done(replace(violated_crash(), timelines={KEY: (cut,)}))


def test_faults_that_the_catalogue_does_not_know_are_named() -> None:
    odd = scenario(PAYMENT, "mine", "crash+odd", not_applicable("no"))
    assert explain.faults(odd).endswith("restarted as a supervisor would. Fault odd.")
    assert explain.window(odd) == "mine"


def test_findings_are_counted_and_bounded() -> None:
    keys = tuple(f"k7f3q-{n:06d}" for n in range(10_000))
    text = explain.found(Finding(FindingKind.LOST, keys, "never delivered"))
    assert text.startswith("lost: 10,000 messages never had the effect that was owed")
    assert "k7f3q-000019 and 9,980 more (never delivered)" in text
    assert "k7f3q-000020" not in text
    assert explain.found(Finding(FindingKind.BOUND_EXCEEDED, (), "max_loss = 3, lost 5")) == (
        "bound_exceeded: the scenario went beyond a declared bound (max_loss = 3, lost 5)"
    )


def test_what_does_not_count_says_why() -> None:
    assert explain.standing_of(waived_kill().judgement.findings[0]) == "waived, because transient by choice until 2027"
    assert explain.standing_of(violated_crash().judgement.findings[0]) == ""
    assert explain.standing_of(unproven_partition().judgement.findings[0]).startswith("reported only")


def test_missing_says_what_was_demanded_and_what_was_seen() -> None:
    assert (
        explain.missing(Missing(Code.DRAINED, "3 unacked"))
        == "drained: nothing may be in flight at the end; but 3 unacked"
    )
    assert explain.missing(Missing(Code.DRAINED, "")) == "drained: nothing may be in flight at the end"


def test_declared() -> None:
    assert explain.declared(violated_crash()) == "effectively_once, because a double charge costs real money"
    assert explain.declared(replace(violated_crash(), declared=None)) == "nothing (a probe)"
