"""A run as one HTML file that needs nothing else: no script, no font, no address outside it.

Goes in: a `RunResult`. Comes out: the page's text; what it draws is laid out here, how it looks is in page.html and
page.css. However large the run, the page stays bounded. To try it: `suites/unit/test_report_html.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from chaosharness.model.event import Event
from chaosharness.model.verdict import Finding, Result, RunResult, Verdict
from chaosharness.report import digest, explain, words
from chaosharness.report.matrix import Mark, grid, mark
from chaosharness.report.timeline import FAULT_KINDS, Row, Zero, identity, origin_of_time, rows

TIMELINES_SHOWN = 5
"""Keys of one finding whose timeline the page shows."""
ROWS_SHOWN = 120
"""Lines of one timeline; the least telling are left out."""
_KEY = re.compile(r"\b[a-z0-9]{1,12}-\d{6}\b")
TEXT_SHOWN = 2000
"""Characters of one value."""
ROWS_OF_A_PAGE = 20_000
"""Lines of all timelines together; after that scenarios point to their folder."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One table of events."""

    title: str
    zero: str
    """What happened at 0 ms."""
    lines: tuple[tuple[int, Row], ...]
    """Each with how many events were left out just before it."""


@dataclass(frozen=True, slots=True)
class Found:
    """One finding as the page shows it."""

    words: str
    note: str
    timelines: tuple[Timeline, ...]
    without: str
    """What is said of the timelines that are not shown."""


@dataclass(frozen=True, slots=True)
class Section:
    """One scenario as the page shows it."""

    anchor: str
    result: Result
    mark: Mark
    arrow: str
    declared: str
    done: str
    missing: tuple[str, ...]
    found: tuple[Found, ...]
    counts: tuple[tuple[str, str], ...]
    phases: tuple[tuple[str, str], ...]
    folder: str | None
    """A relative address."""
    took: str

    @property
    def open(self) -> bool:
        """Worth reading without being asked to."""
        return self.mark in (Mark.VIOLATED, Mark.UNPROVEN, Mark.WAIVED)


@dataclass(frozen=True, slots=True)
class FlowPart:
    """One flow's heading and its sections, the worst first."""

    standing: digest.Standing
    sections: tuple[Section, ...]


class _Budget:
    """How many timeline lines the page still has room for."""

    def __init__(self, lines: int) -> None:
        self.left = lines

    def take(self, lines: int) -> bool:
        if lines > self.left:
            return False
        self.left -= lines
        return True


def page(run: RunResult) -> str:
    """The whole page. Its size is bounded by the number of scenarios, not by that of keys or events."""
    anchors = _anchors(run.results)
    budget = _Budget(ROWS_OF_A_PAGE)
    severity = {Mark.VIOLATED: 0, Mark.UNPROVEN: 1, Mark.WAIVED: 2}
    parts = []
    for flow, results in digest.by_flow(run).items():
        shown = sorted(
            (r for r in results if r.verdict != Verdict.NOT_APPLICABLE), key=lambda r: severity.get(mark(r), 3)
        )
        sections = tuple(_section(result, anchors[id(result)], budget) for result in shown)
        parts.append(FlowPart(digest.standing(flow, results), sections))
    return _template().render(
        run=run,
        totals=digest.totals(run),
        standings={part.standing.flow: part.standing for part in parts},
        grid=grid(run),
        anchor=lambda result: anchors[id(result)],
        mark=mark,
        Mark=Mark,
        arrow=digest.arrow,
        parts=parts,
        worst=[s for part in parts for s in part.sections if s.mark in (Mark.VIOLATED, Mark.UNPROVEN)],
        advice=[(one, rows(one.evidence[:3], Zero(0, ""))) for one in digest.advice(run)],
        used_waivers=digest.used_waivers(run.results),
        reasons=digest.reasons(run),
        took=words.seconds(run.duration_s),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("chaosharness", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = words.number
    environment.filters["listed"] = words.listed
    environment.filters["keys"] = _keys
    environment.filters["counted"] = words.counted
    environment.globals["css"] = resources.files("chaosharness.report").joinpath("page.css").read_text("utf-8")
    return environment.get_template("page.html")


def _keys(text: str) -> Markup:
    """`text`, escaped, with its message keys kept on one line."""
    return Markup(_KEY.sub(r'<span class="key">\g<0></span>', str(escape(_shown(text)))))


def _shown(value: object) -> object:
    """What the page shows of a value: markup of its own as it is, all else as one line of clean text."""
    return value if isinstance(value, Markup) else words.clean(value, TEXT_SHOWN)


def _anchors(results: Sequence[Result]) -> dict[int, str]:
    """By `id()` of the result: a fragment that stays the same from run to run, and is unique on the page."""
    anchors: dict[int, str] = {}
    taken: dict[str, int] = {}
    for result in results:
        slug = re.sub(r"[^A-Za-z0-9_]+", "-", result.id).strip("-") or "scenario"
        taken[slug] = taken.get(slug, 0) + 1
        anchors[id(result)] = slug if taken[slug] == 1 else f"{slug}.{taken[slug]}"
    return anchors


def _section(result: Result, anchor: str, budget: _Budget) -> Section:
    zero = origin_of_time(result)
    shown: set[str] = set()
    findings = tuple(_found(result, finding, zero, shown, budget) for finding in result.judgement.findings)
    return Section(
        anchor=anchor,
        result=result,
        mark=mark(result),
        arrow=digest.arrow(result.window),
        declared=explain.declared(result),
        done=explain.done(result),
        missing=tuple(explain.missing(one) for one in result.judgement.missing),
        found=findings,
        counts=tuple((name.replace("_", " "), words.number(n)) for name, n in result.judgement.counts.items()),
        phases=tuple((name, words.seconds(took_s)) for name, took_s in result.phases_s.items()),
        folder=f"./{quote(result.folder)}/" if result.folder else None,
        took=words.seconds(result.duration_s),
    )


def _found(result: Result, finding: Finding, zero: Zero, shown: set[str], budget: _Budget) -> Found:
    """`shown`: the keys whose timeline this scenario has already; grows."""
    proof = {identity(event) for event in finding.evidence}
    first = [key for key in finding.keys[:TIMELINES_SHOWN] if key in result.timelines]
    timelines = []
    in_timelines: set[tuple[str, int]] = set()
    for key in first:
        events = result.timelines[key]
        in_timelines |= {identity(event) for event in events}
        if key not in shown and budget.take(min(len(events), ROWS_SHOWN)):
            shown.add(key)
            timelines.append(_timeline(f"What happened to {key}", events, zero, proof, key))
    # The evidence that no timeline has, e.g. that of a scenario as a whole.
    rest = [event for event in finding.evidence if identity(event) not in in_timelines]
    if rest and budget.take(min(len(rest), ROWS_SHOWN)):
        timelines.append(_timeline("Evidence" if not first else "More evidence", rest, zero, proof))
    more = sum(key in result.timelines for key in finding.keys) - len(first)
    hidden = more + sum(key not in shown for key in first)
    without = f"{words.counted(hidden, 'more timeline')}: in run.json and in the scenario's ledger" if hidden else ""
    return Found(explain.found(finding), explain.standing_of(finding), tuple(timelines), without)


def _timeline(
    title: str, events: Sequence[Event], zero: Zero, proof: set[tuple[str, int]], about: str | None = None
) -> Timeline:
    """At most `ROWS_SHOWN` lines: what is evidence or fault first, then the beginning, then the end."""
    telling = [i for i, event in enumerate(events) if identity(event) in proof or event.kind in FAULT_KINDS]
    spare = max(ROWS_SHOWN - len(telling), 0)
    ends = [*range(len(events))[: spare - spare // 2], *range(len(events))[max(len(events) - spare // 2, 0) :]]
    # The last event always: a gap is shown before a line.
    chosen = sorted({*telling[: ROWS_SHOWN - 1], *ends, len(events) - 1}) if events else []
    left_out = [i - before - 1 for before, i in zip([-1, *chosen], chosen, strict=False)]
    shown = rows([events[i] for i in chosen], zero, proof, about)
    return Timeline(title, zero.what, tuple(zip(left_out, shown, strict=True)))
