"""Faults of a replica's processes on the backend docker: services in containers, and processes beside containers.

In a container the ids are its own, children end with the first process, and Toxiproxy sees the container's address;
of a process it sees whatever the way through Docker's networks makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import said
from product import FIXTURES

from chaosharness.flowfile import load
from chaosharness.ledger.reader import merge
from chaosharness.model.event import Event, Kind
from chaosharness.model.verdict import Result, Verdict
from chaosharness.registry import Registry
from chaosharness.servers.docker.engine import Engine
from chaosharness.session.backend import choose_backend
from chaosharness.session.session import Session

IMAGE = "chaosharness/service:debian12"


class Contained:
    """A session on Docker, and the flows of workers.toml and its twins."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry.load()
        files = (FIXTURES / "flows" / name for name in ("workers.toml", "workers_twins.toml"))
        self.flows = {flow.name: flow for file in files for flow in load(file, self.registry).flows}
        self.session = Session(self.registry, seed=7, runs=folder / "runs", backend=choose_backend("docker"))

    def run(self, name: str, cell: str, image: str | None = IMAGE) -> Result:
        """One scenario; `image` None: the service as a process."""
        flow = self.flows[name]
        assert flow.consumer
        if image:
            command = flow.consumer.command.replace("../", "")
            flow = replace(flow, consumer=replace(flow.consumer, image=image, command=command, cwd=None))
        (found,) = (one for one in self.registry.cells(flow) if one.id.cell == cell)
        return self.session.run_cell(flow, found)

    def events(self, result: Result, *kinds: Kind) -> list[Event]:
        assert result.folder
        return [event for event in merge(self.session.folder / result.folder) if event.kind in kinds]

    def evidence(self, result: Result) -> dict[str, Any]:
        """Of the one fault, in a scenario that is upheld."""
        assert result.verdict is Verdict.UPHELD, said(result)
        (injected,) = self.events(result, Kind.FAULT_INJECTED)
        return dict(injected.data["evidence"])


@pytest.fixture(scope="module")
def contained(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contained]:
    found = Contained(tmp_path_factory.mktemp("workers"))
    with found.session:
        yield found


@pytest.mark.parametrize("cell", ["deliver-effect:crash-child", "effect-ack:crash-child"])
def test_a_worker_in_a_container_dies_and_its_parent_goes_on(contained: Contained, cell: str) -> None:
    result = contained.run("prefork", cell)
    facts = contained.evidence(result)
    (struck,) = facts["pids"]
    assert struck != 1
    assert 1 in facts["left"]
    assert facts["parent"] is False
    assert len(contained.events(result, Kind.STARTED)) == 1  # nobody but the parent has replaced it


def test_a_worker_beside_containers_is_known_by_its_connection_too(contained: Contained) -> None:
    result = contained.run("prefork", "deliver-effect:crash-child", image=None)
    assert contained.evidence(result)["by"] == "client"


def test_a_dead_worker_shows_a_twin_in_a_container(contained: Contained) -> None:
    result = contained.run("prefork_begun_is_done", "deliver-effect:crash-child")
    assert result.verdict is Verdict.VIOLATED, said(result)
    assert [finding.kind.value for finding in result.judgement.findings] == ["lost"]


@pytest.mark.parametrize(("name", "fault"), [("prefork", "crash-parent"), ("members", "crash-child")])
def test_what_a_container_cannot_show_is_not_applicable(contained: Contained, name: str, fault: str) -> None:
    result = contained.run(name, f"deliver-effect:{fault}")
    assert result.verdict is Verdict.NOT_APPLICABLE, said(result)
    assert contained.events(result, Kind.FAULT_INJECTED) == []


def test_a_frozen_container_is_a_zombie(contained: Contained) -> None:
    result = contained.run("no_dedup_members", "rebalance:freeze")
    assert result.verdict is Verdict.VIOLATED, said(result)
    assert [finding.kind.value for finding in result.judgement.findings] == ["duplicated"]


@pytest.mark.parametrize("fault", ["join", "leave"])
def test_containers_join_and_leave(contained: Contained, fault: str) -> None:
    result = contained.run("members", f"rebalance:{fault}")
    contained.evidence(result)
