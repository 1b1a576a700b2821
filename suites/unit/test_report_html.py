"""The page: all there, nothing hostile alive, nothing from outside, bounded however large the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from report_example import (
    KEY,
    NO_PRODUCER,
    PAYMENT,
    Ledger,
    crash_timeline,
    example,
    scenario,
    upheld,
    violated_crash,
)

from chaosharness.model.event import Kind
from chaosharness.model.verdict import Advice, Code, Finding, FindingKind, Judgement, Missing, RunResult, Verdict
from chaosharness.model.window import WINDOWS
from chaosharness.report.html import ROWS_OF_A_PAGE, ROWS_SHOWN, page

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags, ids, links and text of a page; fails on a tag that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]

    def count(self, tag: str, **attrs: str) -> int:
        return sum(t == tag and all(a.get(k.rstrip("_")) == v for k, v in attrs.items()) for t, a in self.tags)


def test_the_images_that_servers_ran_from_are_told_by_server() -> None:
    images = {"rabbitmq": "mirror.example/rabbitmq:4.0.5", "toxiproxy": "toxiproxy:2.12.0"}
    backend = "docker (engine 28.2 at unix:///var/run/docker.sock answers)"
    shown = Page(page(replace(example(), environment={"backend": backend, "images": images})))
    assert backend in shown.text
    assert "rabbitmq: mirror.example/rabbitmq:4.0.5, toxiproxy: toxiproxy:2.12.0" in shown.text


def test_the_example_is_all_there() -> None:
    shown = Page(page(example()))
    for said in (
        "1 violated · 1 unproven · 12 upheld (1 with a waived finding) · 3 not applicable",
        "20261103",
        "toxiproxy",
        "Linux 6.1",
        "effect → response",
        "because a double charge costs real money",
        "Observed at_least_once: not refuted in 6 of 7 windows",
        "duplicated: 1 message had more effects than intended",
        "broker delivers k7f3q-000117 (redelivered) to payment.0",
        "0 ms: k7f3q-000117 is published",
        "+842.7",
        "chaosharness run flows.toml --only 'payment[effect-ack:crash]' --seed 20261103",
        "drained: nothing may be in flight at the end; but 3 messages were still unacknowledged",
        "transient by choice until 2027",
        "one more e-mail is accepted",
        "the consumer sets no prefetch",
        NO_PRODUCER,
    ):
        assert said in shown.text, said


def test_every_cell_leads_to_its_scenario() -> None:
    shown = Page(page(example()))
    ids = shown.attributes("id")
    assert len(ids) == len(set(ids))
    fragments = [href[1:] for href in shown.attributes("href") if href.startswith("#")]
    assert set(fragments) <= set(ids)
    assert len([href for href in fragments if href == "not-applicable"]) == 3
    assert "payment-effect-ack-crash" in fragments


def test_one_scenario_twice_has_two_places() -> None:
    once = scenario(PAYMENT, "stored", "broker-kill", upheld())
    ids = Page(page(RunResult(1, (once, replace(once, seed=2))))).attributes("id")
    assert {"payment-stored-broker-kill", "payment-stored-broker-kill.2"} <= set(ids)


def test_it_needs_nothing_from_outside_and_runs_nothing() -> None:
    text = page(example())
    shown = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _ in shown.tags}
    assert not re.search(r"url\(|@import|https?:", text)
    assert all(href.startswith(("#", "./")) for href in shown.attributes("href"))
    assert "default-src 'none'" in text


def test_it_serves_light_dark_and_paper() -> None:
    text = page(example())
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_tables_have_headers_and_verdicts_words() -> None:
    shown = Page(page(example()))
    assert shown.count("table") > 0
    assert shown.count("th") == shown.count("th", scope="col") + shown.count("th", scope="row")
    assert shown.text.count("violated: crash") == 1  # the matrix cell, for who cannot see the sign


def test_evidence_and_fault_rows_are_marked() -> None:
    text = page(RunResult(1, (violated_crash(),)))
    assert text.count('<span class="tag">evidence</span>') == len(violated_crash().judgement.findings[0].evidence)
    assert text.count('<span class="tag fault">fault</span>') == 3


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\x1b[2J\u202e{{ 7 * 7 }}"


def test_hostile_text_stays_text() -> None:
    e = Ledger()
    data: Mapping[str, Any] = dict.fromkeys(("what", "to", "place", "reason", "text", "detail"), HOSTILE)
    events = tuple(e(n, kind, link=HOSTILE, **data) for n, kind in enumerate(Kind))
    finding = Finding(FindingKind.LOST, (HOSTILE,), HOSTILE, events)
    judgement = Judgement(
        Verdict.VIOLATED,
        (finding, replace(finding, waived=HOSTILE)),
        (Missing(Code.DRAINED, HOSTILE),),
        (Advice(HOSTILE, HOSTILE, events),),
        {HOSTILE: 1},
        (HOSTILE,),
        reason=HOSTILE,
    )
    flow = {"flow": HOSTILE, "declared": HOSTILE, "because": HOSTILE}
    more: dict[str, Any] = {"observed": HOSTILE, "reproduce": HOSTILE, "folder": "javascript:alert(1)" + HOSTILE}
    results = tuple(
        replace(
            scenario(flow, HOSTILE, HOSTILE, replace(judgement, verdict=verdict), **more),
            target=HOSTILE,
            timelines={HOSTILE: events},
            phases_s={HOSTILE: 1.0},
        )
        for verdict in Verdict
    )
    run = RunResult(
        1, results, {HOSTILE: HOSTILE}, {HOSTILE: [HOSTILE]}, HOSTILE, broken=(HOSTILE,), unused_waivers=(HOSTILE,)
    )
    text = page(run)
    shown = Page(text)
    assert not {"script", "img"} & {tag for tag, _ in shown.tags}
    assert not any(name.startswith("on") for _, attrs in shown.tags for name in attrs)
    assert all(href.startswith(("#", "./")) for href in shown.attributes("href"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{ 7 * 7 }}" in shown.text


def test_an_empty_an_interrupted_and_a_broken_run_say_so() -> None:
    assert "No scenario was run." in Page(page(RunResult(1, ()))).text
    assert "Interrupted." in Page(page(RunResult(1, (), interrupted=True))).text
    assert "the relay died" in Page(page(RunResult(1, (), broken=("the relay died",)))).text


def many_keys(events: int = 20) -> RunResult:
    """50 flows × 12 windows, each with a finding of 10,000 keys."""
    keys = tuple(f"k7f3q-{n:06d}" for n in range(10_000))
    e = Ledger()
    story = tuple(e(n, Kind.DELIVER, redelivered=False, settled=False) for n in range(events))
    finding = Finding(FindingKind.LOST, keys, "never delivered", story[:3])
    judgement = Judgement(Verdict.VIOLATED, (finding,))
    timelines = dict.fromkeys(keys, story)
    flows = [{**PAYMENT, "flow": f"flow-{n:02d}"} for n in range(50)]
    return RunResult(
        1,
        tuple(scenario(flow, window, "crash", judgement, timelines=timelines) for flow in flows for window in WINDOWS),
    )


def test_a_large_run_stays_bounded() -> None:
    text = page(many_keys())
    assert len(text) < 12_000_000
    assert text.count('<td class="ms">') <= ROWS_OF_A_PAGE
    assert "k7f3q-000019" in text
    assert "k7f3q-000020" not in text
    assert text.count("9,980 more") == 600
    assert "9,995 more timelines: in run.json" in text
    assert "10,000 more timelines: in run.json" in text  # past the page's own bound


def test_a_finding_shows_five_timelines_and_a_key_once() -> None:
    run = many_keys()
    result = run.results[0]
    (finding,) = result.judgement.findings
    twice = replace(
        result, judgement=replace(result.judgement, findings=(finding, replace(finding, kind=FindingKind.LATE)))
    )
    assert Page(page(RunResult(1, (twice,)))).count("caption") == 5


def test_a_long_timeline_keeps_its_ends_its_evidence_and_its_faults() -> None:
    e = Ledger()
    story = [e(n, Kind.NOTE, text=f"note {n}.") for n in range(5_000)]
    story[2_000] = e(2_000, Kind.FAULT_INJECTED, fault="cut", ok=True, evidence={})
    result = violated_crash()
    (finding,) = result.judgement.findings
    judgement = replace(result.judgement, findings=(replace(finding, evidence=(story[3_000],)),))
    text = page(RunResult(1, (replace(result, judgement=judgement, timelines={KEY: tuple(story)}),)))
    assert text.count('<td class="ms">') == ROWS_SHOWN
    for said in ("note 0.", "note 3000.", "note 4999.", "cut is injected", "events left out here"):
        assert said in text, said
    assert "note 2500." not in text


def test_evidence_without_a_timeline_is_shown_by_itself() -> None:
    result = replace(violated_crash(), timelines={})
    shown = Page(page(RunResult(1, (result,))))
    assert "Evidence" in shown.text
    assert "gate holds the consumer ack" in shown.text
    assert len(crash_timeline()) > len(result.judgement.findings[0].evidence)
