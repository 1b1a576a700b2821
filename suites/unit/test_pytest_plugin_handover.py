"""What a worker hands over is read again, whatever way it ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from report_example import example

from chaosharness.flowfile import load
from chaosharness.model.errors import BadInput
from chaosharness.model.plan import Cell
from chaosharness.model.verdict import Result, RunResult, Verdict
from chaosharness.model.window import ScenarioId
from chaosharness.pytest_plugin.handover import RESULTS, Handover, State, read
from chaosharness.registry import Registry

FIRST, SECOND, *_ = example().results
DECLINED = tuple(result for result in example().results if result.verdict is Verdict.NOT_APPLICABLE)
AT_FIRST = RunResult(7, (), broken=())
LATER = RunResult(7, (), broken=("the relay died",), versions={"python": "3.11"})


@pytest.fixture
def handover(tmp_path: Path) -> Handover:
    handover = Handover(tmp_path, "gw0")
    handover.make_folder()
    return handover


def unfinished(handover: Handover) -> Result:
    flow = load(Path(__file__).parents[2] / "fixtures" / "flows" / "demo.toml", Registry.load()).flows[0]
    cell = Cell(ScenarioId(flow.name, "effect-ack", ("crash",)), None)
    return handover.unfinished(flow, cell, 7, "chaosharness run")


def test_all_of_a_worker_that_ended_in_good_order(handover: Handover) -> None:
    handover.write(State.DECLINED, AT_FIRST, *DECLINED)
    handover.write(State.BEGUN, AT_FIRST, unfinished(handover), item="a")
    handover.write(State.SETTLED, AT_FIRST, FIRST, item="a")
    handover.write(State.BEGUN, AT_FIRST, unfinished(handover), item="b")
    handover.write(State.SETTLED, LATER, SECOND, item="b")
    handover.write(State.WHOLE, LATER)
    left = read(handover.folder)
    assert (left.worker, left.run, left.declined, left.whole) == ("gw0", LATER, DECLINED, True)
    assert left.results == (("a", FIRST), ("b", SECOND))


def test_what_was_refused_has_no_result(handover: Handover) -> None:
    handover.write(State.BEGUN, AT_FIRST, unfinished(handover), item="a")
    handover.write(State.SETTLED, AT_FIRST, item="a")
    left = read(handover.folder)
    assert (left.results, left.whole) == ((), False)


def test_a_scenario_that_the_worker_ended_in_is_unproven_and_its_folder_is_found(handover: Handover) -> None:
    begun = unfinished(handover)
    slug = ScenarioId(begun.flow, begun.window, (begun.fault,)).slug
    for number, name in enumerate((slug, f"{slug}-child", f"{slug}-child-2")):
        (handover.folder / "scenarios" / name).mkdir(parents=True)
        os.utime(handover.folder / "scenarios" / name, (number, number))
    handover.write(State.SETTLED, AT_FIRST, FIRST, item="a")
    handover.write(State.BEGUN, LATER, begun, item="b")
    left = read(handover.folder)
    (_, (item, result)) = left.results
    assert (item, result.verdict, result.folder) == ("b", Verdict.UNPROVEN, f"workers/gw0/scenarios/{slug}")
    assert [one.why for one in result.judgement.missing] == [
        "the harness broke: worker gw0 ended before this scenario did"
    ]
    assert (left.run, left.whole) == (LATER, False)


def test_the_folder_of_a_scenario_that_was_run_before_is_another(handover: Handover) -> None:
    begun = unfinished(handover)
    slug = ScenarioId(begun.flow, begun.window, (begun.fault,)).slug
    for name in (slug, f"{slug}-2"):
        (handover.folder / "scenarios" / name).mkdir(parents=True)
        os.utime(handover.folder / "scenarios" / name, (1, 1))
    ended = handover.placed(Result(begun.id, begun.flow, "", "", None, begun.judgement, folder=f"scenarios/{slug}"))
    handover.write(State.SETTLED, AT_FIRST, ended, item="a")
    handover.write(State.BEGUN, AT_FIRST, begun, item="b")
    assert [result.folder for _, result in read(handover.folder).results] == [
        f"workers/gw0/scenarios/{slug}",
        f"workers/gw0/scenarios/{slug}-2",
    ]


def test_a_torn_line_is_passed_over(handover: Handover) -> None:
    handover.write(State.SETTLED, AT_FIRST, FIRST, item="a")
    whole = (handover.folder / RESULTS).read_bytes()
    handover.write(State.WHOLE, LATER)
    torn = (handover.folder / RESULTS).read_bytes()[:-20]
    for content in (whole, torn, whole + b"\0\0\0", whole + b'{"state": "whole"}\n'):
        (handover.folder / RESULTS).write_bytes(content)
        left = read(handover.folder)
        assert (left.results, left.run, left.whole) == ((("a", FIRST),), AT_FIRST, False)


def test_a_worker_that_wrote_nothing(handover: Handover) -> None:
    left = read(handover.folder)
    assert (left.results, left.declined, left.whole) == ((), (), False)


def test_a_folder_that_is_there_is_nobody_elses(handover: Handover, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--chaos-runs: the folder of worker gw0 cannot be made: .*File exists"):
        Handover(tmp_path, "gw0").make_folder()
