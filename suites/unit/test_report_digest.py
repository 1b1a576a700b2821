"""Totals, standings, advice and reasons: counted from small literal results."""

from __future__ import annotations

from dataclasses import replace

from report_example import AUTO_ACK, NO_PRODUCER, PAYMENT, example, not_applicable, scenario, upheld, violated_crash

from chaosharness.model.verdict import Code, Judgement, Missing, Result, RunResult, Verdict
from chaosharness.report import digest

UNPROVEN = Judgement(Verdict.UNPROVEN, missing=(Missing(Code.WINDOW_HIT, ""),))


def standing(*results: Result) -> digest.Standing:
    return digest.standing("payment", results)


def test_totals_leave_zeros_out() -> None:
    assert (
        digest.totals(example()).words
        == "1 violated · 1 unproven · 12 upheld (1 with a waived finding) · 3 not applicable"
    )
    assert digest.totals(RunResult(1, (scenario(PAYMENT, "stored", "broker-kill", upheld()),))).words == "1 upheld"
    assert digest.totals(RunResult(1, ())).words == "no scenario"


def test_observed_is_the_strongest_that_no_proven_window_refutes() -> None:
    stored = scenario(PAYMENT, "stored", "broker-kill", upheld())
    assert standing(stored).words == "observed effectively_once: not refuted in 1 of 1 window"
    assert standing(stored, violated_crash()).words == "observed at_least_once: not refuted in 2 of 2 windows"


def test_an_unproven_scenario_refutes_nothing_and_its_window_does_not_count() -> None:
    stored = scenario(PAYMENT, "stored", "broker-kill", upheld())
    claim = replace(UNPROVEN, refutes=frozenset({"effectively_once"}))
    half = standing(
        stored, scenario(PAYMENT, "effect-ack", "crash", claim), scenario(PAYMENT, "effect-ack", "partition", upheld())
    )
    assert half.words == "observed effectively_once: not refuted in 1 of 2 windows"


def test_loss_measured_and_not_applicable_are_left_out() -> None:
    stored = scenario(PAYMENT, "stored", "broker-kill", upheld())
    measured = scenario(PAYMENT, "deliver-effect", "crash", upheld(notes=("loss measured: 3 of 200",)))
    none = scenario(PAYMENT, "publish-store", "cut", not_applicable(NO_PRODUCER))
    assert standing(stored, measured, none).words == "observed effectively_once: not refuted in 1 of 1 window"
    assert standing(measured).words == "observed effectively_once: loss measured only"


def test_nothing_proven_and_everything_refuted_are_said() -> None:
    assert (
        standing(scenario(PAYMENT, "stored", "broker-kill", UNPROVEN)).words
        == "observed nothing: no scenario was proven"
    )
    every = frozenset({"at_most_once", "at_least_once", "effectively_once"})
    worst = scenario(PAYMENT, "effect-ack", "crash", Judgement(Verdict.VIOLATED, refutes=every))
    assert standing(worst).words == "observed none: every semantic is refuted"


def test_advice_is_given_once_for_each_flow() -> None:
    (one,) = digest.advice(example())
    assert (one.flow, one.code, one.scenarios) == ("payment", AUTO_ACK.code, 3)


def test_cells_with_one_reason_stand_together() -> None:
    first, second = digest.reasons(example())
    assert first.cells == ("publish-store:publish-lost", "store-confirm:confirm-lost")
    assert second.flow == "shipping"


def test_used_waivers_name_the_scenario() -> None:
    (used,) = digest.used_waivers(example().results)
    assert (used.scenario, used.kind, used.count) == ("shipping[stored:broker-kill]", "lost", 1)
