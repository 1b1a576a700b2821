"""The services and twins in other languages: manifest, flow files and sources held together, nothing built or run."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_manifest import FIXTURES, FLOWS, SMALL, TWINS, changed

from chaosharness.flowfile import load
from chaosharness.model.flow import Flow
from chaosharness.model.verdict import FindingKind
from chaosharness.registry import Registry, select

SUFFIXES = {"node": ".js", "java": ".java", "go": ".go"}
MANIFEST = tomllib.loads((TWINS / "languages.toml").read_text())
TWIN: dict[str, dict[str, Any]] = MANIFEST["twin"]


def sources(folder: Path) -> list[str]:
    """`node/payment.js`, …: the programs below it."""
    return sorted(
        path.relative_to(folder).as_posix()
        for language, suffix in SUFFIXES.items()
        for path in (folder / language).glob(f"*{suffix}")
    )


def source_of(flow: Flow) -> str:
    """What its consumer runs was made of: `java/Payment.java`."""
    assert flow.consumer
    program, *rest = flow.consumer.command.split()
    if program == "node":
        return f"node/{Path(rest[-1]).name}"
    if program == "java":
        return f"java/{Path(flow.consumer.env['CLASSPATH'].split(':')[0]).name}.java"
    return f"go/{Path(program).name}.go"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The flow files beside programs that only stand there: not every machine has the languages."""
    root = tmp_path_factory.mktemp("languages")
    built, flows = root / ".cache" / "languages" / "go", root / "fixtures" / "flows"
    programs = [built / Path(name).stem for name in (*sources(FIXTURES / "services"), *sources(TWINS))]
    for program in (*programs, root / "bin" / "node", root / "bin" / "java"):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(0o755)
    flows.mkdir(parents=True)
    for path in FLOWS.glob("languages*.toml"):
        shutil.copy(path, flows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(root / "bin"), prepend=os.pathsep)
        yield flows


@pytest.fixture(scope="module")
def correct(folder: Path) -> dict[str, Flow]:
    return {source_of(flow): flow for flow in load(folder / "languages.toml", Registry.load()).flows}


@pytest.fixture(scope="module")
def broken(folder: Path) -> dict[str, Flow]:
    name = Path(MANIFEST["flow_file"]).name
    return {flow.name: flow for flow in load(folder / name, Registry.load()).flows}


def test_every_service_has_a_flow(correct: dict[str, Flow]) -> None:
    assert sorted(correct) == sources(FIXTURES / "services")
    assert {source.partition("/")[0] for source in correct} == set(SUFFIXES)


def test_every_twin_is_in_the_manifest_and_each_language_has_two() -> None:
    files = sorted(twin["file"] for twin in TWIN.values())
    assert files == sources(TWINS)
    for language in SUFFIXES:
        assert sum(file.startswith(f"{language}/") for file in files) >= 2


@pytest.mark.parametrize("name", TWIN)
def test_a_twin_is_a_small_change_to_its_sibling_and_says_which(name: str) -> None:
    before, after = ((TWINS / TWIN[name][which]).read_text() for which in ("sibling", "file"))
    difference = changed(before, after)
    assert any(not line[2:].lstrip().startswith(("//", "*")) for line in difference), "only comments differ"
    assert len(difference) < SMALL, "\n".join(difference)
    assert after.splitlines()[0].startswith("// The bug: ")


@pytest.mark.parametrize("name", TWIN)
def test_a_twin_runs_in_its_flow_as_its_sibling_does(
    name: str, broken: dict[str, Flow], correct: dict[str, Flow]
) -> None:
    flow = broken[TWIN[name]["flow"]]
    assert source_of(flow) == TWIN[name]["file"]
    sibling = correct[Path(TWIN[name]["sibling"]).relative_to("../services").as_posix()]
    assert flow.promise.semantic == sibling.promise.semantic
    assert flow.effects == sibling.effects


@pytest.mark.parametrize("name", TWIN)
def test_what_must_find_a_twin_is_an_applicable_scenario_of_its_flow(name: str, broken: dict[str, Flow]) -> None:
    registry = Registry.load()
    flow = broken[TWIN[name]["flow"]]
    applicable = {str(cell.id) for cell in select(registry.cells(flow), flow.scenarios) if cell.not_applicable is None}
    assert TWIN[name]["expect"]
    for one in TWIN[name]["expect"]:
        assert set(one) <= {"scenario", "finding", "attribution"}
        assert one["scenario"] in applicable
        FindingKind(one["finding"])


def test_every_flow_of_the_twins_is_expected_to_be_found_out(broken: dict[str, Flow]) -> None:
    assert {twin["flow"] for twin in TWIN.values()} == set(broken)
