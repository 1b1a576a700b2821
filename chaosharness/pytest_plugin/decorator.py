"""`@every_window(flow)`: one test item for each applicable cell; the test gets a `scenario` and runs it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from chaosharness.model.flow import Flow, Target
from chaosharness.model.plan import Cell
from chaosharness.model.verdict import Result
from chaosharness.pytest_plugin.run import RUN, Run, outcome
from chaosharness.registry import select
from chaosharness.session.choose import Choice, choose

Test = TypeVar("Test", bound=Callable[..., Any])
FLOWS = "_chaosharness_flows"


def every_window(*flows: Flow) -> Callable[[Test], Test]:
    """Decorates a test that takes `scenario`: it is run for every window that the flows have."""

    def decorate(test: Test) -> Test:
        setattr(test, FLOWS, flows)
        return test

    return decorate


@dataclass(frozen=True)
class Scenario:
    """One cell, ready to be run."""

    choice: Choice
    run_of: Run
    item: pytest.Item

    @property
    def id(self) -> str:
        """`payment[effect-ack:crash]`"""
        return str(self.choice.cell.id)

    def run(self, messages: int | None = None, target: Target | None = None) -> Result:
        """Runs it, with so many messages if given. Raises with the findings, the evidence and how to reproduce it.

        `target`: the message that the fault is aimed at: its number (the nth; from 0), its key, or a predicate on the
        payload (the first message for which it is true).
        """
        flow = self.choice.flow
        if messages is not None:
            flow = replace(flow, workload=replace(flow.workload, messages=messages))
        if target is not None:
            flow = replace(flow, workload=replace(flow.workload, target=target))
        result = self.run_of.scenario(
            flow, self.choice.cell, self.choice.others, self._reproduce(), item=self.item.nodeid
        )
        outcome(result)
        return result

    def _reproduce(self) -> str:
        # not its `nodeid`, to which --dist loadgroup adds the name of the group
        nodeid = f"{self.item.parent.nodeid}::{self.item.name}" if self.item.parent else self.item.nodeid
        return shlex.join(["pytest", nodeid, *self.run_of.again("--chaos-")])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item a cell; those that are not applicable are in the matrix only."""
    flows = getattr(metafunc.function, FLOWS, None)
    if flows is None:
        return
    run = metafunc.config.stash[RUN]
    chosen: list[Choice] = []
    for choice in choose(run.registry, flows):
        run.seen.append(str(choice.cell.id))
        if not select([choice.cell], only=run.only):
            continue
        if choice.cell.not_applicable:
            run.decline(choice.flow, choice.cell)
        else:
            chosen.append(choice)
    ids = [_plain_id(choice.cell) for choice in chosen]
    metafunc.parametrize("scenario", chosen, indirect=True, ids=ids)


def _plain_id(cell: Cell) -> str:
    return f"{cell.id.flow}[{cell.id.cell}]"


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """The cell that `@every_window` made this item of."""
    choice = getattr(request, "param", None)
    if not isinstance(choice, Choice):
        raise pytest.UsageError(
            f"{request.node.nodeid}: `scenario` needs the decorator @chaosharness.every_window(flow)"
        )
    return Scenario(choice, request.config.stash[RUN], request.node)
