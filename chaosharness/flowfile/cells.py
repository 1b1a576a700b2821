"""`scenarios` and `[flow.X.waive]`: the places that name cells of the matrix, `window:fault`, by globs.

In: the flow's table, and the faults there are. Out: globs and `Waiver`s in which every name is known. To try it:
suites/unit/test_flowfile_bad.py.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chaosharness.flowfile.lines import KeyPath
from chaosharness.flowfile.plugins import Plugins
from chaosharness.flowfile.problems import Problems
from chaosharness.flowfile.table import Table, found
from chaosharness.model.names import did_you_mean, glob_match
from chaosharness.model.plan import Cell
from chaosharness.model.semantic import Waiver
from chaosharness.model.verdict import Code, FindingKind
from chaosharness.model.window import FAULTS, WINDOWS

KINDS = tuple(FindingKind)


def read_scenarios(flow: Table, plugins: Plugins) -> tuple[str, ...]:
    """Globs over `window:fault`; `*` where none are given."""
    globs = flow.texts("scenarios")
    if globs is None:
        return ("*",)
    if not globs:
        flow.problems.add(flow.at("scenarios"), 'names no scenario; expected e.g. ["effect-ack:*"]')
    for glob in globs:
        _check_glob(glob, flow.at("scenarios"), flow.problems, _faults(plugins))
    return globs


def read_waivers(table: Table | None, plugins: Plugins) -> tuple[Waiver, ...]:
    """One waiver for each finding kind of each entry."""
    waivers: list[Waiver] = []
    for cell, entry in table.tables() if table else ():
        _check_glob(cell, entry.path, entry.problems, _faults(plugins))
        because = entry.text("because")
        if "because" not in entry:
            entry.problems.add(entry.path, 'a waiver needs its reason: because = "…"')
        counts = {kind: entry.count(kind, 1) for kind in KINDS if kind in entry}
        if any(name == "unproven" or name in tuple(Code) for name in entry.data):
            entry.ask("unproven", *Code)
            entry.problems.add(entry.path, "unproven cannot be waived: make the scenario prove something")
        elif not counts and not entry.unasked():
            entry.problems.add(entry.path, f"waives nothing; expected a finding and how many, e.g. {KINDS[4]} = 1")
        entry.ask(*KINDS)
        entry.close()
        waivers += [Waiver(cell, kind, most, because or "") for kind, most in counts.items() if most is not None]
    return tuple(waivers)


def check_offered(
    path: KeyPath, globs: Sequence[str], cells: Sequence[Cell], plugins: Plugins, problems: Problems
) -> None:
    """Each glob of `scenarios` must match a cell of the flow; what the contract alone knows is not available yet."""
    ids = [cell.id.cell for cell in cells]
    windows = {cell.id.window for cell in cells}
    installed = plugins.names("faults")
    for glob in globs:
        if any(glob_match(glob, offered) for offered in ids):
            continue
        wanted = _known(glob, _faults(plugins))
        if not any(window in windows for window, _ in wanted):
            has = ", ".join(window for window in WINDOWS if window in windows) or "none"
            problems.later(path, f"the window of {found(glob)} (this flow has: {has})")
        elif not any(fault in installed for _, fault in wanted):
            problems.later(path, f"the fault of {found(glob)} (installed: {', '.join(installed) or 'none'})")
        else:
            problems.add(path, f"no scenario of this flow is {found(glob)}{did_you_mean(glob, ids)}")


def _faults(plugins: Plugins) -> list[str]:
    return list(dict.fromkeys([*FAULTS, *plugins.names("faults")]))


def _known(glob: str, faults: Collection[str]) -> list[tuple[str, str]]:
    """The pairs of known window and known fault that the glob matches."""
    return [(window, fault) for window in WINDOWS for fault in faults if glob_match(glob, f"{window}:{fault}")]


def _check_glob(glob: str, path: KeyPath, problems: Problems, faults: Collection[str]) -> None:
    window, colon, fault = glob.partition(":")
    parts = [glob] if "+" not in fault else [f"{window}:{one}" for one in fault.split("+")]
    if all(_known(part, faults) for part in parts):
        return
    if not colon:
        problems.add(path, f'expected "window:fault", found {found(glob)} (windows: {", ".join(WINDOWS)})')
        return
    before = len(problems)
    if not any(glob_match(window, known) for known in WINDOWS):
        problems.add(path, f'unknown window "{window}"{did_you_mean(window, WINDOWS)}')
    for one in fault.split("+"):
        if not any(glob_match(one, known) for known in faults):
            problems.add(path, f'unknown fault "{one}"{did_you_mean(one, faults)}')
    if len(problems) == before:
        problems.add(path, f'expected "window:fault", found {found(glob)}')
