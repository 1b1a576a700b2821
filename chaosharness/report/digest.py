"""What a run comes to: totals, each flow's standing, advice, waivers, reasons; the numbers behind every report.

Goes in: a `RunResult`. Comes out: small frozen data that the terminal, the page and run.json show alike.
To try it: `suites/unit/test_report_digest.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaosharness.checkers.semantics import observed
from chaosharness.model.event import Event
from chaosharness.model.verdict import Finding, Result, RunResult, Verdict
from chaosharness.model.window import WINDOWS
from chaosharness.report.words import counted

LOSS_MEASURED = "loss measured"
"""How the note begins that marks an upheld scenario which could not have duplicated."""


def loss_measured(result: Result) -> bool:
    """Upheld, but in a window that cannot duplicate: SEMANTICS leaves it out of "n of m windows"."""
    return result.verdict == Verdict.UPHELD and any(n.startswith(LOSS_MEASURED) for n in result.judgement.notes)


def waived(result: Result) -> tuple[Finding, ...]:
    """The findings that a waiver covers."""
    return tuple(finding for finding in result.judgement.findings if finding.waived is not None)


@dataclass(frozen=True, slots=True)
class Totals:
    """How many scenarios ended how; `waived` counts those of `upheld` that a waiver had a part in."""

    upheld: int
    violated: int
    unproven: int
    not_applicable: int
    waived: int

    @property
    def words(self) -> str:
        """`1 violated · 2 unproven · 6 upheld (1 with a waived finding) · 3 not applicable`, zeros left out."""
        upheld = f"{self.upheld:,} upheld" + (f" ({self.waived:,} with a waived finding)" if self.waived else "")
        parts = [
            (self.violated, f"{self.violated:,} violated"),
            (self.unproven, f"{self.unproven:,} unproven"),
            (self.upheld, upheld),
            (self.not_applicable, f"{self.not_applicable:,} not applicable"),
        ]
        return " · ".join(text for count, text in parts if count) or "no scenario"


def totals(run: RunResult) -> Totals:
    """Counts by verdict."""
    by_verdict = {v: sum(result.verdict == v for result in run.results) for v in Verdict}
    with_waiver = sum(result.verdict == Verdict.UPHELD and bool(waived(result)) for result in run.results)
    return Totals(
        by_verdict[Verdict.UPHELD],
        by_verdict[Verdict.VIOLATED],
        by_verdict[Verdict.UNPROVEN],
        by_verdict[Verdict.NOT_APPLICABLE],
        with_waiver,
    )


def by_flow(run: RunResult) -> dict[str, list[Result]]:
    """The results of each flow, flows in the order of their first scenario."""
    flows: dict[str, list[Result]] = {}
    for result in run.results:
        flows.setdefault(result.flow, []).append(result)
    return flows


@dataclass(frozen=True, slots=True)
class Standing:
    """What a flow declared, and what its proven windows leave standing."""

    flow: str
    declared: str | None
    because: str
    observed: str | None
    """The strongest semantic that no proven window refutes; None: each is refuted, or nothing was proven."""
    proven: int
    """Windows in which every applicable scenario is proven."""
    windows: int
    """Windows with an applicable scenario, those left out in which loss was only measured."""
    anything_proven: bool

    @property
    def words(self) -> str:
        """`observed at_least_once: not refuted in 5 of 6 windows`; never "is"."""
        if not self.anything_proven:
            return "observed nothing: no scenario was proven"
        if self.observed is None:
            return "observed none: every semantic is refuted"
        if not self.windows:
            return f"observed {self.observed}: loss measured only"
        return f"observed {self.observed}: not refuted in {self.proven} of {counted(self.windows, 'window')}"


def standing(flow: str, results: Sequence[Result]) -> Standing:
    """What the scenarios of one flow come to."""
    applicable = [result for result in results if result.verdict != Verdict.NOT_APPLICABLE]
    proven = [result for result in applicable if result.verdict in (Verdict.UPHELD, Verdict.VIOLATED)]
    strongest = observed(result.judgement.refutes for result in proven) if proven else None
    by_window: dict[str, list[Result]] = {}
    for result in applicable:
        if not loss_measured(result):
            by_window.setdefault(result.window, []).append(result)
    whole = sum(all(r.verdict != Verdict.UNPROVEN for r in of_window) for of_window in by_window.values())
    declared = next((result.declared for result in results if result.declared), None)
    because = next((result.because for result in results if result.because), "")
    return Standing(flow, declared, because, strongest, whole, len(by_window), bool(proven))


def standings(run: RunResult) -> tuple[Standing, ...]:
    """One for each flow."""
    return tuple(standing(flow, results) for flow, results in by_flow(run).items())


@dataclass(frozen=True, slots=True)
class FlowAdvice:
    """One piece of advice for a flow, however many of its scenarios saw the reason."""

    flow: str
    code: str
    text: str
    scenarios: int
    evidence: tuple[Event, ...]
    """As the first of them saw it."""


def advice(run: RunResult) -> tuple[FlowAdvice, ...]:
    """All advice, once for each flow, code and text."""
    found: dict[tuple[str, str, str], FlowAdvice] = {}
    for result in run.results:
        for one in {(a.code, a.text): a for a in result.judgement.advice}.values():
            place = (result.flow, one.code, one.text)
            seen = found.get(place)
            evidence = seen.evidence if seen else one.evidence
            found[place] = FlowAdvice(*place, (seen.scenarios if seen else 0) + 1, evidence)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class UsedWaiver:
    """A finding that a waiver covered."""

    scenario: str
    kind: str
    count: int
    because: str


def used_waivers(results: Iterable[Result]) -> tuple[UsedWaiver, ...]:
    """Every waived finding, in the order of the scenarios."""
    return tuple(
        UsedWaiver(result.id, finding.kind.value, len(finding.keys), finding.waived or "")
        for result in results
        for finding in waived(result)
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some cells of a flow are not applicable."""

    flow: str
    why: str
    cells: tuple[str, ...]
    """`window:fault`"""


def reasons(run: RunResult) -> tuple[Reason, ...]:
    """The reasons for all that is not applicable, cells with one reason together."""
    found: dict[tuple[str, str], list[str]] = {}
    for result in run.results:
        if result.verdict == Verdict.NOT_APPLICABLE:
            why = result.judgement.reason or "no reason was recorded"
            found.setdefault((result.flow, why), []).append(f"{result.window}:{result.fault}")
    return tuple(Reason(flow, why, tuple(cells)) for (flow, why), cells in found.items())


def arrow(window: str) -> str:
    """A window's id as reports show it: `effect → ack`; one that this version does not know, as it is."""
    return WINDOWS[window].arrow if window in WINDOWS else window
