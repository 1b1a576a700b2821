"""A run as text for a terminal or a CI log, readable at 100 columns.

Goes in: a `RunResult` or a `Result`. Comes out: text without a last line break; ANSI colours only where
`colour` is set, ASCII signs where `encoding` has no others. To try it: `suites/unit/test_report_terminal.py`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaosharness.model.event import Event
from chaosharness.model.verdict import Result, RunResult, Verdict
from chaosharness.report import digest, explain
from chaosharness.report.matrix import Grid, Mark, grid, mark
from chaosharness.report.timeline import Zero, origin_of_time, rows
from chaosharness.report.words import clean, counted, listed, seconds

WIDTH = 100
EVENTS_SHOWN = 30
"""Lines of evidence for one finding; run.json has all."""
_ASCII = str.maketrans({"→": "->", "…": "...", "·": "|", "–": "-", "─": "-", **{m.sign: m.ascii for m in Mark}})
_COLOURS = {
    Mark.UPHELD: "32",
    Mark.WAIVED: "36",
    Mark.MEASURED: "32",
    Mark.VIOLATED: "1;31",
    Mark.UNPROVEN: "33",
    Mark.NOT_APPLICABLE: "2",
}


@dataclass(frozen=True, slots=True)
class Style:
    """What the reader's terminal can show."""

    colour: bool = False
    encoding: str = "utf-8"

    def text(self, text: str) -> str:
        """`text` on one line, in signs that the encoding has."""
        text = clean(text, 10_000)
        try:
            text.encode(self.encoding)
            "→✔✘–".encode(self.encoding)
        except (UnicodeEncodeError, LookupError):
            return text.translate(_ASCII).encode("ascii", "backslashreplace").decode()
        return text

    def marked(self, text: str, by: Mark) -> str:
        """`text` in the colour of the mark."""
        return f"\x1b[{_COLOURS[by]}m{text}\x1b[0m" if self.colour else text

    def strong(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.colour else text

    def sign(self, by: Mark) -> str:
        return self.marked(self.text(by.sign), by)


def matrix(run: RunResult, *, colour: bool = False, encoding: str = "utf-8", width: int = WIDTH) -> str:
    """Every scenario's mark, then what each flow comes to.

    Few flows: a column each, a row for every window and fault. More than fit: a row each, a column for every window, in
    it a mark for every fault.
    """
    style = Style(colour, encoding)
    if not run.results:
        return "no scenario was run"
    table = grid(run)
    columns = [max(len(style.text(clean(flow))), 1) for flow in table.flows]
    left, middle = _row_widths(table, style)
    wide = left + 2 + middle + sum(column + 2 for column in columns) > width
    lines = _by_flow(table, style, width) if wide else _by_fault(table, style, columns)
    legend = "  ".join(f"{style.sign(m)} {m.words}" for m in table.marks)
    return "\n".join([*lines, "", legend, "", *standings(run, style, width)])


def _row_widths(table: Grid, style: Style) -> tuple[int, int]:
    windows = [len(style.text(digest.arrow(window))) for window in table.windows]
    return max([6, *windows]), max(
        [5, *(len(style.text(fault)) for faults in table.faults.values() for fault in faults)]
    )


def _by_fault(table: Grid, style: Style, columns: Sequence[int]) -> list[str]:
    left, middle = _row_widths(table, style)
    head = [style.text(clean(flow)).ljust(column) for flow, column in zip(table.flows, columns, strict=True)]
    lines = [style.strong("  ".join([f"{'window':{left}}", f"{'fault':{middle}}", *head]).rstrip())]
    for window in table.windows:
        name = style.text(digest.arrow(window))
        for fault in table.faults[window]:
            cells = [
                _padded(table.at(flow, window, fault), column, style)
                for flow, column in zip(table.flows, columns, strict=True)
            ]
            lines.append("  ".join([f"{name:{left}}", f"{style.text(fault):{middle}}", *cells]).rstrip())
            name = ""
    return lines


def _padded(result: Result | None, column: int, style: Style) -> str:
    if result is None:
        return " " * column
    return style.sign(mark(result)) + " " * (column - 1)


def _by_flow(table: Grid, style: Style, width: int) -> list[str]:
    names = [style.text(clean(flow, 32)) for flow in table.flows]
    left = max(4, *(len(name) for name in names))
    lines: list[str] = []
    for band in _bands(table, style, width - left):
        heads = [_head(window, style) for window in band]
        wide = [_column(table, window, style) for window in band]
        if lines:
            lines.append("")
        for line in (0, 1):
            if not any(head[line] for head in heads):
                continue
            first = "flow" if line else ""
            cells = [f"{head[line]:{column}}" for head, column in zip(heads, wide, strict=True)]
            lines.append(style.strong("  ".join([f"{first:{left}}", *cells]).rstrip()))
        for flow, name in zip(table.flows, names, strict=True):
            marks = [
                _marks(table, flow, window, style) + " " * (column - len(table.faults[window]))
                for window, column in zip(band, wide, strict=True)
            ]
            lines.append("  ".join([f"{name:{left}}", *marks]).rstrip())
    lines.append("")
    lines.append("marks stand for these faults, in this order:")
    for window in table.windows:
        lines += _wrapped(style.text(f"{digest.arrow(window)}: {', '.join(table.faults[window])}"), width, "  ", "    ")
    return lines


def _bands(table: Grid, style: Style, room: int) -> list[list[str]]:
    """The windows in groups that fit beside the flows' names."""
    bands: list[list[str]] = [[]]
    used = 0
    for window in table.windows:
        needs = 2 + _column(table, window, style)
        if bands[-1] and used + needs > room:
            bands.append([])
            used = 0
        bands[-1].append(window)
        used += needs
    return bands


def _column(table: Grid, window: str, style: Style) -> int:
    return max(len(table.faults[window]), *(len(line) for line in _head(window, style)))


def _head(window: str, style: Style) -> tuple[str, str]:
    """A window's name on two lines: `effect →`, `ack`."""
    before, arrow, after = digest.arrow(window).partition(" → ")
    return (style.text(f"{before} →"), style.text(after)) if arrow else ("", style.text(before))


def _marks(table: Grid, flow: str, window: str, style: Style) -> str:
    found = (table.at(flow, window, fault) for fault in table.faults[window])
    return "".join(style.sign(mark(result)) if result else " " for result in found)


def standings(run: RunResult, style: Style, width: int = WIDTH) -> list[str]:
    """One line for each flow: what it declared, what its proven windows leave standing."""
    lines = []
    for flow in digest.standings(run):
        said = f"declared {flow.declared}" if flow.declared else "declared nothing"
        lines += _wrapped(style.text(f"{clean(flow.flow)}: {said}; {flow.words}"), width, "", "    ")
    return lines


def result_line(result: Result, *, colour: bool = False, encoding: str = "utf-8") -> str:
    """`✘ payment[effect-ack:crash]  violated: duplicated 1 (k7f3q-000117)  2.31 s`"""
    style = Style(colour, encoding)
    by = mark(result)
    line = f"{style.sign(by)} {style.text(clean(result.id))}  {style.marked(style.text(_outcome(result, by)), by)}"
    return line if result.verdict == Verdict.NOT_APPLICABLE else f"{line}  {seconds(result.duration_s)}"


def _outcome(result: Result, by: Mark) -> str:
    if by == Mark.NOT_APPLICABLE:
        return f"{by.words}: {clean(result.judgement.reason or 'no reason was recorded')}"
    if by == Mark.UNPROVEN:
        return f"{by.words}: {', '.join(one.code for one in result.judgement.missing)}"
    counting = [f for f in result.judgement.findings if f.waived is not None or (f.breaks and by == Mark.VIOLATED)]
    what = "; ".join(f"{f.kind} {len(f.keys):,} ({listed(f.keys, 3)})" if f.keys else f.kind.value for f in counting)
    return f"{by.words}: {what}" if what else by.words


def progress(index: int, total: int, id: str, phase: str) -> str:
    """`[ 3/24] payment[effect-ack:crash] drain`; `index` counts from 1."""
    return f"[{index:{len(str(total))}}/{total}] {clean(id)} {clean(phase)}"


def violation(result: Result, *, colour: bool = False, encoding: str = "utf-8", width: int = WIDTH) -> str:
    """What was declared, done and found, the smallest evidence, and the command that shows it again."""
    return "\n".join(_account(result, Style(colour, encoding), width, []))


def unproven(result: Result, *, colour: bool = False, encoding: str = "utf-8", width: int = WIDTH) -> str:
    """What the history does not show, and why; findings there are, but they prove nothing yet."""
    lacking = [("Not shown", explain.missing(one)) for one in result.judgement.missing]
    return "\n".join(_account(result, Style(colour, encoding), width, lacking))


def _account(result: Result, style: Style, width: int, lacking: Sequence[tuple[str, str]]) -> list[str]:
    by = mark(result)
    lines = [f"{style.sign(by)} {style.strong(style.text(clean(result.id)))}  {style.marked(by.words, by)}"]
    parts = [("Declared", explain.declared(result)), ("Done", explain.done(result)), *lacking]
    for name, text in parts:
        lines += _part(name, text, style, width)
    zero = origin_of_time(result)
    for finding in result.judgement.findings:
        note = explain.standing_of(finding)
        found = explain.found(finding) + (f" [{note}]" if note else "")
        lines += _part("Seen" if by == Mark.UNPROVEN else "Found", found, style, width)
        lines += _evidence(finding.evidence, zero, style, width)
    for note in result.judgement.notes:
        lines += _part("Note", clean(note, 400), style, width)
    if result.folder:
        lines += _part("Ledger", clean(result.folder), style, width)
    if result.reproduce:
        lines.append(f"  reproduce: {style.text(clean(result.reproduce, 2000))}")
    return lines


def _part(name: str, text: str, style: Style, width: int) -> list[str]:
    return _wrapped(style.text(text), width, f"  {name:<10} ", " " * 13)


def _evidence(events: Sequence[Event], zero: Zero, style: Style, width: int) -> list[str]:
    if not events:
        return []
    shown = rows(events[:EVENTS_SHOWN], zero)
    left = max(len(row.ms) for row in shown)
    middle = min(max(len(style.text(row.where)) for row in shown), 36)
    lines = _part("Evidence", f"times in ms; 0 = {zero.what}", style, width)
    for row in shown:
        start = f"    {row.ms:>{left}}  {style.text(row.where):{middle}}  "
        wrapped = _wrapped(style.text(row.what), width, start, " " * len(start))
        lines += [style.marked(line, Mark.UNPROVEN) for line in wrapped] if row.fault else wrapped
    if len(events) > EVENTS_SHOWN:
        lines.append(f"    and {counted(len(events) - EVENTS_SHOWN, 'more event')}, in run.json")
    return lines


def summary(
    run: RunResult,
    report: Path | None = None,
    *,
    reasons: bool = False,
    colour: bool = False,
    encoding: str = "utf-8",
    width: int = WIDTH,
) -> str:
    """The last lines: totals, waivers, advice, what broke; with `reasons` also why cells are not applicable."""
    style = Style(colour, encoding)
    lines: list[str] = []

    def block(title: str, items: Iterable[str]) -> None:
        said = [line for item in items for line in _wrapped(style.text(item), width, "  - ", "    ")]
        if said:
            lines.extend([style.strong(title), *said])

    block("The harness broke; nothing that depends on it is proven:", (clean(what, 400) for what in run.broken))
    block("Not applicable:", _reasons(run) if reasons else ())
    block("Advice, seen on the wire:", (_advice(one) for one in digest.advice(run)))
    block("Waived:", (_waiver(used) for used in digest.used_waivers(run.results)))
    block("Waivers that nothing used:", (clean(what) for what in run.unused_waivers))
    if run.interrupted:
        lines.append(style.marked("Interrupted: what follows is what had ended by then.", Mark.UNPROVEN))
    worst = Mark.VIOLATED if run.exit_code == 1 else Mark.UNPROVEN if run.exit_code else Mark.UPHELD
    end = f"{digest.totals(run).words} · {seconds(run.duration_s)} · seed {run.seed}"
    lines.append(style.marked(style.text(end), worst))
    if report is not None:
        lines.append(style.text(f"report: {report}"))
    return "\n".join(lines)


def _reasons(run: RunResult) -> Iterable[str]:
    return (f"{clean(r.flow)}: {clean(r.why, 400)} ({listed(r.cells)})" for r in digest.reasons(run))


def _advice(one: digest.FlowAdvice) -> str:
    return f"{clean(one.flow)}: {clean(one.text, 400)} [{clean(one.code)}, in {counted(one.scenarios, 'scenario')}]"


def _waiver(used: digest.UsedWaiver) -> str:
    return f"{clean(used.scenario)}: {used.kind} {used.count:,}, because {clean(used.because, 400)}"


def _wrapped(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    ) or [first.rstrip()]
