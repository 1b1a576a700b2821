"""A flow's row of the matrix: which scenarios there are, and why the others are not.

In: what the broker and the sinks aim at (`Aim`), and the installed faults. Out: a `Cell` for each window and fault.
To try it: suites/unit/test_registry_cells.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from chaosharness.model.aim import Aim
from chaosharness.model.errors import BadInput, NotAvailableYet
from chaosharness.model.names import glob_match, nearest
from chaosharness.model.plan import Cell
from chaosharness.model.window import FAULTS, WINDOWS, Actor, ScenarioId

ANY_FAULT = "*"
"""Stands for the fault of a window that has none to offer."""
_ID = re.compile(r"(?P<flow>[^\[]*)\[(?P<window>[^:\]]*):(?P<fault>[^\]]*)\]?")


def cells_of(flow: str, aims: Iterable[Aim], installed: Collection[str]) -> list[Cell]:
    """In the catalogue's order of windows; one cell for each window and fault, an applicable one before any other."""
    cells: dict[tuple[str, str], Cell] = {}
    for aim in aims:
        named = list(dict.fromkeys([*aim.offers, *(fault for fault in aim.declined if fault != ANY_FAULT)]))
        for fault in named or [ANY_FAULT]:
            cell = Cell(ScenarioId(flow, aim.window, (fault,)), aim, _why_not(aim, fault, installed))
            known = cells.get((aim.window, fault))
            if known is None or (known.not_applicable and not cell.not_applicable):
                cells[aim.window, fault] = cell
    order = [*WINDOWS, *dict.fromkeys(window for window, _ in cells if window not in WINDOWS)]
    return sorted(cells.values(), key=lambda cell: order.index(cell.id.window))


def pairs_of(single: Sequence[Cell], globs: Iterable[str], holds: Callable[[str], bool]) -> list[Cell]:
    """The scenarios of two faults that the globs (over `window:fault+fault`) name: all pairs are too many.

    `holds`: whether a fault acts while the gate holds. One that the gate carries out by itself can only come first.
    The first is one of the window's own; so is the second, or, where it has none of the name, one of any other window
    of the same actor.
    """
    pairs: dict[ScenarioId, Cell] = {}
    for glob in globs:
        window, _, faults = glob.partition(":")
        one, plus, other = faults.partition("+")
        if not plus:
            continue
        firsts = [cell for cell in single if glob_match(window, cell.id.window) and glob_match(one, cell.id.fault)]
        for first in firsts:
            named = [cell for cell in single if glob_match(other, cell.id.fault) and _actor(cell) is _actor(first)]
            seconds = [cell for cell in named if cell.id.window == first.id.window] or named
            for second in seconds:
                cell = _pair(first, second, holds)
                if first.id.fault != second.id.fault:
                    pairs.setdefault(cell.id, cell)
    return list(pairs.values())


def _actor(cell: Cell) -> Actor | None:
    return cell.aim.actor if cell.aim else None


def _pair(first: Cell, second: Cell, holds: Callable[[str], bool]) -> Cell:
    """Aimed as its first fault is."""
    id_ = ScenarioId(first.id.flow, first.id.window, (first.id.fault, second.id.fault))
    reason = first.not_applicable or second.not_applicable
    if reason is None and not holds(second.id.fault):
        reason = f"{second.id.fault} is carried out by the gate itself, so it can only come first"
    return Cell(id_, first.aim, reason)


def _why_not(aim: Aim, fault: str, installed: Collection[str]) -> str | None:
    declined = aim.declined.get(fault) or aim.declined.get(ANY_FAULT)
    if declined:
        return declined
    if fault == ANY_FAULT:
        return "no fault can be aimed here"
    return None if fault in installed else f"fault {fault} is not installed"


def cell_glob(only: str) -> str:
    """What a glob over the full id says of its cell: `window:fault` of `flow[window:fault]`; else `*`."""
    asked = _ID.fullmatch(only)
    return f"{asked['window']}:{asked['fault']}" if asked else "*"


def select(cells: Sequence[Cell], scenarios: Sequence[str] = ("*",), only: Sequence[str] = ()) -> list[Cell]:
    """Those that the flow picks (globs over `window:fault`) and the caller (globs over the full id; none = all)."""
    return [
        cell
        for cell in cells
        if any(glob_match(glob, cell.id.cell) for glob in scenarios)
        and (not only or any(glob_match(glob, str(cell.id)) for glob in only))
    ]


def check_only(globs: Sequence[str], ids: Sequence[str], option: str = "--only") -> None:
    """Each glob must match one of the ids of all cells. `option`: where they were given.

    Raises BadInput with the nearest ids; NotAvailableYet where it names a window or a fault of the contract that no
    cell has.
    """
    for glob in globs:
        if any(glob_match(glob, id_) for id_ in ids):
            continue
        asked = _ID.fullmatch(glob)
        later = asked and _not_yet(asked["flow"], asked["window"], asked["fault"], ids)
        if later:
            raise NotAvailableYet(later, f"{option} {glob}")
        near = nearest(glob, ids, 3) or list(ids[:3])
        hint = f"; nearest: {', '.join(near)}" if near else "; there are none"
        form = "" if asked else "; an id has the form flow[window:fault]"
        raise BadInput(f"{option} {glob}: matches no scenario{form}{hint}")


def _not_yet(flow: str, window: str, fault: str, ids: Sequence[str]) -> str | None:
    """What the glob asks for that the contract knows and no cell of the flow has."""
    there = [found for found in map(_ID.fullmatch, ids) if found and glob_match(flow, found["flow"])]
    if not there or (window not in WINDOWS and not any(glob_match(window, one["window"]) for one in there)):
        return None
    if window in WINDOWS and not any(one["window"] == window for one in there):
        return f"the window {window}"
    missing = fault in FAULTS and not any(one["fault"] == fault for one in there)
    return f"the fault {fault}" if missing else None
