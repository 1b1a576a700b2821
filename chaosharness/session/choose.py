"""Which scenarios a run has: the cells that flows pick and the caller asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosharness.model.flow import Flow
from chaosharness.model.plan import Cell
from chaosharness.registry import Registry, cell_glob, check_only, select


@dataclass(frozen=True, slots=True)
class Choice:
    """One cell to be run, with the flows that share its deployment."""

    flow: Flow
    cell: Cell
    others: tuple[Flow, ...] = ()


def choose(registry: Registry, flows: Sequence[Flow], only: Sequence[str] = ()) -> list[Choice]:
    """Every cell that is asked for, applicable or not, in the flows' order. Raises BadInput if `only` matches none."""
    asked = [cell_glob(glob) for glob in only]
    cells = {flow.name: registry.cells(flow, asked) for flow in flows}
    if only:
        check_only(only, [str(cell.id) for row in cells.values() for cell in row])
    return [
        Choice(flow, cell, sharers(flow, flows))
        for flow in flows
        for cell in select(cells[flow.name], flow.scenarios, only)
    ]


def sharers(flow: Flow, flows: Sequence[Flow]) -> tuple[Flow, ...]:
    """The other flows over the same deployment: they name the same shared service."""
    if flow.consumer is None or not flow.consumer.shared:
        return ()
    name = flow.consumer.name
    return tuple(f for f in flows if f is not flow and f.consumer and f.consumer.shared and f.consumer.name == name)
