"""The twins' manifests and the demo's expectations, held to the files, flows, scenarios and windows that they name."""

from __future__ import annotations

import difflib
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chaosharness.flowfile import load
from chaosharness.model.flow import Flow
from chaosharness.model.verdict import FindingKind, Verdict
from chaosharness.model.window import WINDOWS
from chaosharness.registry import Registry, select

FIXTURES = Path(__file__).parents[2] / "fixtures"
TWINS = FIXTURES / "twins"
FLOWS = FIXTURES / "flows"
OTHER_LANGUAGES = "languages.toml"
MANIFESTS = [tomllib.loads(path.read_text()) for path in sorted(TWINS.glob("*.toml")) if path.name != OTHER_LANGUAGES]
TWIN: dict[str, dict[str, Any]] = {name: twin for manifest in MANIFESTS for name, twin in manifest["twin"].items()}
CORRECT = [
    path for name in ("services", "workers", "stores", "poison", "broker") if (path := FLOWS / f"{name}.toml").exists()
]
SMALL = 25  # changed lines


def selected(path: Path) -> dict[str, bool]:
    """Scenario id → whether it is applicable, for all that the flow file selects."""
    registry = Registry.load()
    cells = [cell for flow in load(path, registry).flows for cell in select(registry.cells(flow), flow.scenarios)]
    return {str(cell.id): cell.not_applicable is None for cell in cells}


def flows_of(path: Path) -> dict[str, Flow]:
    return {flow.name: flow for flow in load(path, Registry.load()).flows}


def changed(before: str, after: str) -> list[str]:
    """The lines that differ, `-` and `+`; blank ones aside."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "-+" and line[2:].strip()]


def commands_of(flow: Flow) -> list[str]:
    """Of its consumer and its producer."""
    return [one.command for one in (flow.consumer, flow.producer.service if flow.producer else None) if one]


def files_of(command: str) -> set[str]:
    """The names of the files that a command runs."""
    return {Path(word).name for word in shlex.split(command)}


@pytest.fixture(scope="module")
def twin_flows() -> dict[str, Flow]:
    return {name: flow for manifest in MANIFESTS for name, flow in flows_of(TWINS / manifest["flow_file"]).items()}


@pytest.fixture(scope="module")
def twin_scenarios() -> dict[str, bool]:
    return {id: it for manifest in MANIFESTS for id, it in selected(TWINS / manifest["flow_file"]).items()}


@pytest.fixture(scope="module")
def correct_flows() -> list[Flow]:
    return [flow for path in CORRECT for flow in flows_of(path).values()]


def test_no_twin_is_in_two_manifests() -> None:
    assert sum(len(manifest["twin"]) for manifest in MANIFESTS) == len(TWIN)


def test_every_twin_file_is_in_the_manifest() -> None:
    assert sorted({twin["file"] for twin in TWIN.values()}) == sorted(path.name for path in TWINS.glob("*.py"))


@pytest.mark.parametrize("name", TWIN)
def test_a_twin_is_a_small_change_to_its_sibling_and_says_which(name: str) -> None:
    twin = TWIN[name]
    before, after = (TWINS / twin["sibling"]).read_text(), (TWINS / twin["file"]).read_text()
    difference = changed(before, after)
    assert any(not line[2:].startswith("#") for line in difference), "only comments differ"
    assert len(difference) < SMALL, "\n".join(difference)
    assert after.splitlines()[0].startswith("# The bug: ")


def test_the_measure_of_a_change_counts_what_changed() -> None:
    assert changed("a\nb\nc\n", "a\n\nB\nc\n") == ["- b", "+ B"]


@pytest.mark.parametrize("name", TWIN)
def test_a_twin_runs_in_its_flow_under_the_promise_of_its_sibling(
    name: str, twin_flows: dict[str, Flow], correct_flows: list[Flow]
) -> None:
    flow = twin_flows[TWIN[name]["flow"]]
    assert any(TWIN[name]["file"] in files_of(command) for command in commands_of(flow))
    file = Path(TWIN[name]["sibling"]).name
    siblings = [one for one in correct_flows if any(file in files_of(command) for command in commands_of(one))]
    assert flow.promise.semantic in {sibling.promise.semantic for sibling in siblings}


@pytest.mark.parametrize("name", TWIN)
def test_what_must_find_a_twin_is_a_scenario_of_its_service(
    name: str, twin_flows: dict[str, Flow], twin_scenarios: dict[str, bool]
) -> None:
    expected = TWIN[name]["expect"]
    assert expected[0]["scenario"].startswith(TWIN[name]["flow"] + "[")
    for one in expected:
        assert set(one) <= {"scenario", "finding", "attribution"}
        assert twin_scenarios.get(one["scenario"]), f"{one['scenario']}: not among the applicable scenarios"
        FindingKind(one["finding"])
        flow = twin_flows[one["scenario"].partition("[")[0]]
        assert any(TWIN[name]["file"] in files_of(command) for command in commands_of(flow))


def test_every_flow_of_the_twins_is_expected_to_be_found_out(twin_flows: dict[str, Flow]) -> None:
    expected = {one["scenario"].partition("[")[0] for twin in TWIN.values() for one in twin["expect"]}
    assert expected == set(twin_flows)


def test_every_window_has_a_twin_or_a_reason_and_not_both() -> None:
    found = {one["scenario"].partition("[")[2].partition(":")[0] for twin in TWIN.values() for one in twin["expect"]}
    reasons = {window: why for manifest in MANIFESTS for window, why in manifest.get("windows", {}).items()}
    assert found | set(reasons) == set(WINDOWS)
    assert not found & set(reasons)
    assert all(len(reason) > 20 for reason in reasons.values())


def test_every_sample_service_has_a_flow(correct_flows: list[Flow]) -> None:
    used = {file for flow in correct_flows for command in commands_of(flow) for file in files_of(command)}
    assert sorted({path.name for path in (FIXTURES / "services").glob("*.py")} - used) == []


def test_the_demo_expects_a_verdict_of_every_scenario_it_selects() -> None:
    expected = tomllib.loads((FLOWS / "demo_expected.toml").read_text())
    applicable = selected(FLOWS / "demo.toml")
    assert set(expected) == set(applicable)
    assert {Verdict(verdict) for verdict in expected.values()} >= {Verdict.UPHELD, Verdict.VIOLATED}
    assert {id: verdict != Verdict.NOT_APPLICABLE for id, verdict in expected.items()} == applicable
