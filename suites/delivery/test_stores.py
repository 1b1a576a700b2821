"""Flows that lean on a store: correct ones keep their word, broken ones are found out, and each says what was done."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from product import FIXTURES

from chaosharness.checkers.verdict import NEVER_RECORDED
from chaosharness.flowfile import load
from chaosharness.ledger.reader import merge
from chaosharness.model.event import Event, Kind
from chaosharness.model.verdict import Result, Verdict
from chaosharness.registry import Registry
from chaosharness.session.backend import choose_backend
from chaosharness.session.session import Session

FLOWS = ("stores.toml", "stores_twins.toml")
TWINS = tomllib.loads((FIXTURES / "twins" / "stores.toml").read_text())["twin"]
EXPECTED = {one["scenario"]: one["finding"] for twin in TWINS.values() for one in twin["expect"]}
SLICE = ("record_before_effect[dedup:crash]", "fails_open[dedup:unreachable]", "lock_expires[slow:expire]")
"""The rest of them are for `ci/twins`."""


class Runs:
    """A session, in which any scenario of these flow files can be run."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.registry = Registry.load()
        files = [load(FIXTURES / "flows" / name, self.registry) for name in FLOWS]
        self.flows = {flow.name: flow for file in files for flow in file.flows}
        self.session = Session(self.registry, seed=7, runs=folder / "runs", backend=choose_backend(backend))

    def run(self, id_: str) -> Result:
        """One scenario, of a small workload."""
        flow = self.flows[id_.partition("[")[0]]
        flow = replace(flow, workload=replace(flow.workload, messages=40))
        (found,) = (one for one in self.registry.cells(flow) if str(one.id) == id_)
        return self.session.run_cell(flow, found)

    def events(self, result: Result, *kinds: Kind) -> list[Event]:
        assert result.folder
        return [event for event in merge(self.session.folder / result.folder) if event.kind in kinds]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    runs = Runs(tmp_path_factory.mktemp("stores"), "local")
    yield runs
    runs.session.close()


@pytest.mark.parametrize(
    "id_",
    ["charger[dedup:restart]", "charger[dedup:unreachable]", "charger[dedup:crash]",
     "claimer[dedup:crash]", "claimer[slow:expire]", "reminder[dedup:wipe]"],
)  # fmt: skip
def test_a_flow_that_does_not_lean_on_its_store_alone_keeps_its_word(runs: Runs, id_: str) -> None:
    result = runs.run(id_)
    assert (result.verdict, result.judgement.missing) == (Verdict.UPHELD, ()), result.judgement
    assert runs.events(result, Kind.RECORD)
    assert all(fault.data["ok"] for fault in runs.events(result, Kind.FAULT_INJECTED, Kind.FAULT_HEALED))
    assert [advice.code for advice in result.judgement.advice if advice.code == "short_ttl"] == []


@pytest.mark.parametrize("id_", SLICE)
def test_one_that_does_is_found_out(runs: Runs, id_: str) -> None:
    result = runs.run(id_)
    assert result.verdict is Verdict.VIOLATED, result.judgement
    assert EXPECTED[id_] in {finding.kind.value for finding in result.judgement.findings if finding.breaks}


def test_a_store_that_is_unreachable_stays_so_until_the_message_has_come_again(runs: Runs) -> None:
    result = runs.run("reminder[dedup:unreachable]")
    assert result.verdict is Verdict.UPHELD, result.judgement
    (injected,), (healed,) = (runs.events(result, kind) for kind in (Kind.FAULT_INJECTED, Kind.FAULT_HEALED))
    assert injected.link == "reminder.0>store.sent.0"
    assert "was handed over again, and then: " in healed.data["evidence"]["what"]


def test_a_time_to_live_that_is_too_short_is_found_and_advised_against(runs: Runs) -> None:
    result = runs.run("short_ttl[dedup:expire]")
    assert result.verdict is Verdict.VIOLATED, result.judgement
    assert "short_ttl" in [advice.code for advice in result.judgement.advice]


@pytest.mark.parametrize("id_", ["charger[dedup:expire]", "charger[slow:expire]"])
def test_what_outlives_every_retry_does_not_expire(runs: Runs, id_: str) -> None:
    result = runs.run(id_)
    assert result.verdict is Verdict.NOT_APPLICABLE, result.judgement
    reason = "redeliver_within_s = 3600" if id_ == "charger[dedup:expire]" else "had recorded nothing of the message"
    assert reason in (result.judgement.reason or "")
    assert runs.events(result, Kind.FAULT_INJECTED) == []


@pytest.mark.parametrize("fault", ["wipe", "crash"])
def test_a_flow_that_records_no_key_has_nothing_to_lose(runs: Runs, fault: str) -> None:
    """By delivery tag: nothing in the store names a message."""
    flow = runs.flows["dedup_by_delivery_tag"]
    assert flow.consumer
    result = runs.run(f"{flow.name}[dedup:{fault}]")
    assert result.verdict is Verdict.NOT_APPLICABLE, result.judgement
    reason = NEVER_RECORDED if fault == "crash" else "nothing there could be missed"
    assert reason in (result.judgement.reason or "")


def test_on_containers(docker_engine: object, tmp_path: Path) -> None:
    runs = Runs(tmp_path, "docker")
    try:
        for id_ in ("claimer[dedup:restart]", "claimer[slow:expire]", "claimer[dedup:unreachable]"):
            result = runs.run(id_)
            assert (result.verdict, result.judgement.missing) == (Verdict.UPHELD, ()), result.judgement
    finally:
        runs.session.close()
