"""Parts of a run become one: what differs is shown, and nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace

from report_example import example

from chaosharness.model.verdict import RunResult
from chaosharness.report.merge import merge


def part(**changes: object) -> RunResult:
    return replace(RunResult(7, ()), **changes)  # type: ignore[arg-type]


def test_one_part_is_the_run() -> None:
    whole = example()
    assert merge({"gw0": whole}, whole.results) == whole


def test_results_are_in_the_order_that_is_asked_for() -> None:
    first, second, *_ = example().results
    assert merge({"gw0": part(results=(second,)), "gw1": part(results=(first,))}, [first, second]).results == (
        first,
        second,
    )


def test_what_all_agree_on_stands_once_and_what_differs_names_the_processes() -> None:
    merged = merge(
        {
            "gw0": part(versions={"python": "3.11", "broker": "7.0"}, environment={"cores": 2, "images": {"a": "a:1"}}),
            "gw1": part(versions={"python": "3.11", "sink": "1"}, environment={"cores": 2, "images": {"b": "b:1"}}),
            "gw2": part(versions={"python": "3.11", "broker": "7.2"}, environment={"cores": 4, "images": {"a": "a:2"}}),
            "gw3": part(versions={"python": "3.11", "broker": "7.0"}),
        },
        (),
    )
    assert merged.versions == {"python": "3.11", "broker": "7.0 (gw0, gw3); 7.2 (gw2)", "sink": "1"}
    assert merged.environment == {
        "cores": "2 (gw0, gw1); 4 (gw2)",
        "images": {"a": "a:1 (gw0); a:2 (gw2)", "b": "b:1"},
    }


def test_one_that_broke_or_was_interrupted_is_enough() -> None:
    merged = merge({"gw0": part(broken=("a",)), "gw1": part(interrupted=True, broken=("b", "c"))}, ())
    assert (merged.interrupted, merged.broken) == (True, ("a", "b", "c"))


def test_it_began_with_the_first_and_took_as_long_as_the_longest() -> None:
    merged = merge(
        {
            "gw0": part(started="2026-11-02T10:00:01+00:00", duration_s=3.0),
            "gw1": part(started="2026-11-02T10:00:00+00:00", duration_s=2.0),
            "gw2": part(),
        },
        (),
    )
    assert (merged.started, merged.duration_s) == ("2026-11-02T10:00:00+00:00", 3.0)


def test_a_waiver_that_one_part_used_is_used() -> None:
    using = [result for result in example().results if any(f.waived for f in result.judgement.findings)]
    (result,) = using
    (finding,) = (f for f in result.judgement.findings if f.waived)
    used = f"{result.flow}: stored:* {finding.kind} ({finding.waived})"
    unused = f"{result.flow}: stored:* duplicated ({finding.waived})"
    elsewhere = f"another: stored:* {finding.kind} ({finding.waived})"
    parts = {
        "gw0": part(unused_waivers=(unused, elsewhere)),
        "gw1": part(unused_waivers=(used, unused)),
    }
    assert merge(parts, using).unused_waivers == (unused, elsewhere)
    assert merge(parts, ()).unused_waivers == (unused, elsewhere, used)
