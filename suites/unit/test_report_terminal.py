"""What a terminal shows, to the letter: plain, bounded, readable at 100 columns, in ASCII where nothing else goes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from report_example import (
    KEY,
    NO_PRODUCER,
    PAYMENT,
    Ledger,
    example,
    not_applicable,
    scenario,
    unproven_partition,
    upheld,
    violated_crash,
    waived_kill,
)

from chaosharness.model.event import Kind
from chaosharness.model.verdict import Finding, FindingKind, Judgement, RunResult, Verdict
from chaosharness.model.window import WINDOWS
from chaosharness.report.terminal import matrix, progress, result_line, summary, unproven, violation

MATRIX = """\
window             fault         payment  shipping
publish → store    publish-lost  –        ✔
store → confirm    confirm-lost  –        ✔
                   republish     ✔
stored             broker-kill   ✔        w
store → deliver    cut           ✔        ~
deliver → effect   crash         ✔        ✔
                   partition     ✔
effect → response  crash         ✔
effect → ack       crash         ✘        –
                   partition     ?
ack → settle       ack-lost      ✔

✔ upheld  w upheld, with a waived finding  ~ upheld, loss measured  ✘ violated  ? unproven  – not applicable

payment: declared effectively_once; observed at_least_once: not refuted in 6 of 7 windows
shipping: declared at_least_once; observed at_most_once: not refuted in 4 of 4 windows"""

WIDE = """\
           effect →  ack →
flow       ack       settle  slow  mine
payment    ✘?        ✔       –     ✔
a-service   ✔        ✔       –     ✔

marks stand for these faults, in this order:
  effect → ack: crash, partition
  ack → settle: ack-lost
  slow: slow
  mine: odd

✔ upheld  ✘ violated  ? unproven  – not applicable

payment: declared effectively_once;
    observed at_least_once: not refuted
    in 2 of 3 windows
a-service: declared effectively_once;
    observed effectively_once: not
    refuted in 3 of 3 windows"""

VIOLATION = """\
✘ payment[effect-ack:crash]  violated
  Declared   effectively_once, because a double charge costs real money
  Done       k7f3q-000117 was held between payment.0 and the broker in the window effect → ack
             (after: the consumer knows; before: the ack is settled). Fault crash: SIGKILL of the
             whole process tree of the replica that holds the message; restarted as a supervisor
             would.
  Found      duplicated: 1 message had more effects than intended: k7f3q-000117 (2 effects, 1
             intended: applied again after the redelivery, under another idempotency key)
  Evidence   times in ms; 0 = k7f3q-000117 is published
      +1.4  payment.0>broker.0 #3         broker delivers k7f3q-000117 to payment.0
      +6.2  payment.0>effect.effect.0 #4  sink http applies the effect of k7f3q-000117 (effect-118)
      +7.1  payment.0>broker.0 #3         gate holds the consumer ack of k7f3q-000117 (21 bytes)
     +11.9  payment.0>broker.0            crash is injected: SIGKILL to 2 processes of payment.0;
                                          all gone after 2 ms
    +842.7  payment.0>broker.0 #5         broker delivers k7f3q-000117 (redelivered) to payment.0
    +848.5  payment.0>effect.effect.0 #6  sink http applies the effect of k7f3q-000117 (effect-203)
  Ledger     scenarios/payment-effect-ack-crash
  reproduce: chaosharness run flows.toml --only 'payment[effect-ack:crash]' --seed 20261103"""

UNPROVEN = """\
? payment[effect-ack:partition]  unproven
  Declared   effectively_once, because a double charge costs real money
  Done       The fault was aimed at k7f3q-000117 in the window effect → ack (after: the consumer
             knows; before: the ack is settled). Fault partition: nothing passes between the replica
             and the broker, in either direction, for a while.
  Not shown  fault_evidence: the fault must be seen to have happened; but the toxic read back is on
             upstream alone; both directions were asked for
  Not shown  drained: nothing may be in flight at the end; but 3 messages were still unacknowledged
             after 30 s; raise drain_within_s
  Seen       stuck: 3 messages stayed held by the broker, without effect, until the recovery bound:
             k7f3q-000117, k7f3q-000118 and k7f3q-000119 (unacked at the broker) [reported only: it
             does not break what was declared]
  Ledger     scenarios/payment-effect-ack-partition
  reproduce: chaosharness run flows.toml --only 'payment[effect-ack:partition]' --seed 20261103"""

SUMMARY = """\
Advice, seen on the wire:
  - payment: the consumer sets no prefetch: one crash puts every waiting message at risk
    [unlimited_prefetch, in 3 scenarios]
Waived:
  - shipping[stored:broker-kill]: lost 1, because transient by choice until 2027
Waivers that nothing used:
  - payment: "dedup:wipe" = { duplicated = 1 }, because one more e-mail is accepted
1 violated · 1 unproven · 12 upheld (1 with a waived finding) · 3 not applicable · 31.4 s · seed 20261103
report: runs/1/report.html"""


def test_matrix_of_few_flows() -> None:
    assert matrix(example()) == MATRIX


def wide_run() -> RunResult:
    """Two flows, too many for 40 columns."""
    other = {**PAYMENT, "flow": "a-service"}
    ends = [
        (flow, window, fault)
        for window, fault in (("ack-settle", "ack-lost"), ("mine", "odd"))
        for flow in (PAYMENT, other)
    ]
    return RunResult(
        1,
        (
            violated_crash(),
            unproven_partition(),
            *(scenario(flow, window, fault, upheld()) for flow, window, fault in ends),
            scenario(other, "effect-ack", "partition", upheld()),
            *(scenario(flow, "slow", "slow", not_applicable("no")) for flow in (PAYMENT, other)),
        ),
    )


def test_matrix_of_more_flows_than_fit() -> None:
    assert matrix(wide_run(), width=40) == WIDE


@pytest.mark.parametrize("run", [example(), wide_run()])
@pytest.mark.parametrize("width", [40, 100])
def test_colour_changes_nothing_but_colour(run: RunResult, width: int) -> None:
    coloured = matrix(run, colour=True, width=width)
    assert "\x1b[1;31m✘\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == matrix(run, width=width)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "no such encoding"])
def test_ascii_where_the_signs_cannot_be_shown(encoding: str) -> None:
    shown = "\n".join(
        [
            matrix(example(), encoding=encoding),
            *(result_line(result, encoding=encoding) for result in example().results),
            violation(violated_crash(), encoding=encoding),
            summary(example(), Path("runs/ä"), encoding=encoding),
        ]
    )
    assert shown.isascii()
    assert "effect -> ack       crash         x        -" in shown
    assert "x payment[effect-ack:crash]" in shown


def test_a_large_matrix_fits_100_columns() -> None:
    flows = [{**PAYMENT, "flow": f"{'a-rather-long-name-of-a-flow' if n % 2 else 'flow'}-{n}"} for n in range(50)]
    run = RunResult(1, tuple(scenario(flow, window, "crash", upheld()) for flow in flows for window in WINDOWS))
    lines = matrix(run).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert len(lines) < 250
    assert all(window.arrow in "\n".join(lines) for window in WINDOWS.values())


def test_no_scenario() -> None:
    assert matrix(RunResult(1, ())) == "no scenario was run"
    assert summary(RunResult(1, ())) == "no scenario · 0.00 s · seed 1"


def test_violation() -> None:
    assert violation(violated_crash()) == VIOLATION


def test_unproven() -> None:
    assert unproven(unproven_partition()) == UNPROVEN


def test_a_waived_finding_says_so() -> None:
    assert "[waived, because transient by choice until 2027]" in violation(waived_kill())
    assert "Note       process crash only" in violation(waived_kill())


def test_long_evidence_and_many_keys_are_bounded() -> None:
    e = Ledger()
    keys = tuple(f"k7f3q-{n:06d}" for n in range(10_000))
    finding = Finding(FindingKind.LOST, keys, "never delivered", tuple(e(n, Kind.DELIVER) for n in range(500)))
    text = violation(replace(violated_crash(), judgement=Judgement(Verdict.VIOLATED, (finding,))))
    assert "and 470 more events, in run.json" in text
    assert "and 9,980 more" in text
    assert len(text.splitlines()) < 60


def test_hostile_text_cannot_act() -> None:
    bad = "\x1b[2J\u202e\r\n"
    e = Ledger()
    finding = Finding(FindingKind.LOST, (bad,), bad, (e(0, Kind.NOTE, text=bad), e(1, Kind.PUBLISH, link=bad, to=bad)))
    flow = {"flow": bad, "declared": PAYMENT["declared"], "because": bad}
    judgement = Judgement(Verdict.VIOLATED, (finding,), notes=(bad,))
    result = scenario(flow, bad, bad, judgement, reproduce=bad, folder=bad, target=bad)
    none = scenario(flow, bad, bad, not_applicable(bad))
    run = RunResult(1, (result, none), broken=(bad,), unused_waivers=(bad,))
    shown = [matrix(run), matrix(run, width=10), violation(result), unproven(result), summary(run, reasons=True)]
    for text in [*shown, result_line(result), result_line(none), progress(1, 2, bad, bad)]:
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("id", "line"),
    [
        ("payment[stored:broker-kill]", "✔ payment[stored:broker-kill]  upheld  1.87 s"),
        (
            "payment[effect-ack:crash]",
            f"✘ payment[effect-ack:crash]  violated: duplicated 1 ({KEY})  1.87 s",
        ),
        (
            "payment[effect-ack:partition]",
            "? payment[effect-ack:partition]  unproven: fault_evidence, drained  1.87 s",
        ),
        (
            "shipping[stored:broker-kill]",
            f"w shipping[stored:broker-kill]  upheld, with a waived finding: lost 1 ({KEY})  1.87 s",
        ),
        ("shipping[store-deliver:cut]", "~ shipping[store-deliver:cut]  upheld, loss measured  1.87 s"),
        (
            "payment[publish-store:publish-lost]",
            f"– payment[publish-store:publish-lost]  not applicable: {NO_PRODUCER}",
        ),
    ],
)
def test_result_line(id: str, line: str) -> None:
    (result,) = (result for result in example().results if result.id == id)
    assert result_line(result) == line


def test_progress() -> None:
    assert progress(3, 24, "payment[effect-ack:crash]", "drain") == "[ 3/24] payment[effect-ack:crash] drain"


def test_summary() -> None:
    assert summary(example(), Path("runs/1/report.html")) == SUMMARY


def test_reasons_are_given_on_demand() -> None:
    told = summary(example(), reasons=True)
    assert "(publish-store:publish-lost and\n    store-confirm:confirm-lost)" in told
    assert "Not applicable:" not in summary(example())


def test_summary_of_what_went_wrong() -> None:
    run = replace(example(), interrupted=True, broken=("the relay died",))
    told = summary(run)
    assert told.startswith("The harness broke; nothing that depends on it is proven:\n  - the relay died\n")
    assert "Interrupted: what follows is what had ended by then." in told
