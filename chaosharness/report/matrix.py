"""The matrix flows × windows as data: which cells there are, in what order, and how each one is marked.

Goes in: a `RunResult`. Comes out: a `Grid` that the terminal and the page draw. To try it:
`suites/unit/test_report_matrix.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from chaosharness.model.verdict import Result, RunResult, Verdict
from chaosharness.model.window import FAULTS, WINDOWS
from chaosharness.report.digest import by_flow, loss_measured, waived


class Mark(Enum):
    """How a cell is shown: the sign, the sign where only ASCII can be shown, and the words of the legend."""

    UPHELD = ("✔", "+", "upheld")
    WAIVED = ("w", "w", "upheld, with a waived finding")
    MEASURED = ("~", "~", "upheld, loss measured")
    VIOLATED = ("✘", "x", "violated")
    UNPROVEN = ("?", "?", "unproven")
    NOT_APPLICABLE = ("–", "-", "not applicable")

    @property
    def sign(self) -> str:
        return self.value[0]

    @property
    def ascii(self) -> str:
        return self.value[1]

    @property
    def words(self) -> str:
        return self.value[2]

    @property
    def slug(self) -> str:
        """As a CSS class: `not-applicable`."""
        return self.name.lower().replace("_", "-")


def mark(result: Result) -> Mark:
    """The mark of one scenario."""
    if result.verdict == Verdict.UPHELD:
        if waived(result):
            return Mark.WAIVED
        return Mark.MEASURED if loss_measured(result) else Mark.UPHELD
    return Mark[result.verdict.name]


@dataclass(frozen=True, slots=True)
class Grid:
    """Flows × windows; a cell holds the flow's scenarios in that window, in the order of `faults`."""

    flows: tuple[str, ...]
    windows: tuple[str, ...]
    faults: Mapping[str, tuple[str, ...]]
    """Window → every fault that any flow has there."""
    cells: Mapping[tuple[str, str], tuple[Result, ...]]
    """(flow, window) → its scenarios; a pair without any is not in it."""
    marks: tuple[Mark, ...]
    """Those that occur, for the legend."""

    def at(self, flow: str, window: str, fault: str) -> Result | None:
        """The last scenario of that cell, or None."""
        found = [result for result in self.cells.get((flow, window), ()) if result.fault == fault]
        return found[-1] if found else None


def grid(run: RunResult) -> Grid:
    """Windows and faults in the catalogue's order, what it does not know after that in order of appearance."""
    windows = _ordered((result.window for result in run.results), WINDOWS)
    faults = {
        window: _ordered((result.fault for result in run.results if result.window == window), FAULTS)
        for window in windows
    }
    cells: dict[tuple[str, str], list[Result]] = {}
    for result in run.results:
        cells.setdefault((result.flow, result.window), []).append(result)
    occurring = {mark(result) for result in run.results}
    return Grid(
        tuple(by_flow(run)),
        windows,
        faults,
        {
            place: tuple(sorted(results, key=lambda result: faults[place[1]].index(result.fault)))
            for place, results in cells.items()
        },
        tuple(m for m in Mark if m in occurring),
    )


def _ordered(found: Iterable[str], catalogue: Iterable[str]) -> tuple[str, ...]:
    present = dict.fromkeys(found)
    known = [name for name in catalogue if name in present]
    return (*known, *(name for name in present if name not in known))
