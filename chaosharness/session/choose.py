"""Which scenarios a run has: the cells that flows pick and the caller asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow
from chaosharness.model.names import glob_match
from chaosharness.model.plan import Cell
from chaosharness.registry import Registry, cell_glob, check_only, select

NAMED_AT_MOST = 5


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
    picked = {flow.name: select(cells[flow.name], flow.scenarios) for flow in flows}
    if only:
        check_only(only, [str(cell.id) for row in cells.values() for cell in row])
        _check_picked(only, [str(cell.id) for row in picked.values() for cell in row])
    return [Choice(flow, cell, sharers(flow, flows)) for flow in flows for cell in select(picked[flow.name], only=only)]


def _check_picked(only: Sequence[str], ids: Sequence[str]) -> None:
    """To run nothing because a flow leaves out what is asked for would be a pass that proved nothing."""
    for glob in only:
        if not any(glob_match(glob, id_) for id_ in ids):
            raise BadInput(
                f"--only {glob}: matches only what the flow's own `scenarios` leave out; it has {_some(ids)}"
            )


def _some(ids: Sequence[str]) -> str:
    named = ", ".join(ids[:NAMED_AT_MOST]) or "none"
    return named if len(ids) <= NAMED_AT_MOST else f"{named}, and {len(ids) - NAMED_AT_MOST} more"


def sharers(flow: Flow, flows: Sequence[Flow]) -> tuple[Flow, ...]:
    """The other flows over the same deployment: they name the same shared service."""
    if flow.consumer is None or not flow.consumer.shared:
        return ()
    name = flow.consumer.name
    return tuple(f for f in flows if f is not flow and f.consumer and f.consumer.shared and f.consumer.name == name)
