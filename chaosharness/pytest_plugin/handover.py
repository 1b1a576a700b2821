"""What one of several pytest processes leaves for the process that makes the one report of them all.

Goes in, at the worker: its results, as they come. Comes out, at the controller: `Left`, whatever way the worker ended.
In between is `RUN/workers/NAME/results.jsonl`: a line before each scenario and a line after it, so that a worker that
is killed loses nothing, and the scenario that it was killed in is missed. To try it: `pytest -n 2 flows.toml`,
`suites/unit/test_pytest_plugin_handover.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.model.flow import Flow
from chaosharness.model.plan import Cell
from chaosharness.model.verdict import Code, Judgement, Missing, Result, RunResult, Verdict
from chaosharness.model.window import ScenarioId
from chaosharness.report.document import document
from chaosharness.report.read import rebuild

KEY = "chaosharness"
"""Where both sides look, in xdist's `workerinput` and `workeroutput`."""
WORKERS = "workers"
RESULTS = "results.jsonl"


class State(StrEnum):
    """What a line says."""

    DECLINED = "declined"
    """The cells that are not applicable, which no item stands for."""
    BEGUN = "begun"
    """A scenario is under way; its result is what to say of it if nothing follows."""
    SETTLED = "settled"
    """It is over: its result, or none if it was refused or interrupted."""
    WHOLE = "whole"
    """The worker has ended in good order; nothing follows."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file."""

    state: State
    item: str
    """The id of the scenario's test item."""
    run: dict[str, Any]
    """The run as it then stood; of its results, only those that the line is about."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a worker left. Folders of results are relative to the run's folder."""

    worker: str
    run: RunResult
    """As of its last line, without results."""
    results: tuple[tuple[str, Result], ...]
    """Each with the id of its item."""
    declined: tuple[Result, ...]
    whole: bool


class Handover:
    """The worker's side. `folder` is its own place in the run's."""

    def __init__(self, run_folder: Path, worker: str) -> None:
        self.worker = worker
        self.folder = run_folder / WORKERS / worker
        self._made = False

    def make_folder(self) -> Path:
        """The folder, made now. Raises BadInput: it cannot be made, or is there already."""
        try:
            self.folder.mkdir(parents=True)
        except OSError as refused:
            raise BadInput(f"--chaos-runs: the folder of worker {self.worker} cannot be made: {refused}") from refused
        self._made = True
        return self.folder

    def said(self, unmatched: str | None) -> dict[str, str | None]:
        """What goes to the controller itself, in plain types."""
        return {"folder": str(self.folder) if self._made else None, "unmatched": unmatched}

    def unfinished(self, flow: Flow, cell: Cell, seed: int, reproduce: str) -> Result:
        """What is to be said of a scenario if this worker ends before it does."""
        why = f"the harness broke: worker {self.worker} ended before this scenario did"
        semantic = flow.promise.semantic
        return Result(
            id=str(cell.id),
            flow=flow.name,
            window=cell.id.window,
            fault=cell.id.fault,
            declared=semantic.value if semantic else None,
            judgement=Judgement(Verdict.UNPROVEN, missing=(Missing(Code.OBSERVED_WHOLE, why),)),
            reproduce=reproduce,
            seed=seed,
            because=flow.promise.because,
        )

    def placed(self, result: Result) -> Result:
        """The result with its folder as seen from the run's folder."""
        return replace(result, folder=f"{WORKERS}/{self.worker}/{result.folder}") if result.folder else result

    def write(self, state: State, run: RunResult, *results: Result, item: str = "") -> None:
        """Appends a line: `run` as it stands now, of its results only `results`. Raises HarnessBroke.

        Once it has returned, a SIGKILL of this process does not lose it.
        """
        line = Line(state, item, document(replace(run, results=results)))
        path = self.folder / RESULTS
        try:
            with open(path, "ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as refused:
            raise HarnessBroke(f"{path}: cannot append ({refused}); what was recorded before is kept") from refused


def read(folder: Path) -> Left:
    """What the worker with this folder left; from the first line on that cannot be read, nothing."""
    run, whole = RunResult(0, ()), False
    results: list[tuple[str, Result]] = []
    declined: tuple[Result, ...] = ()
    begun: list[tuple[str, Result]] = []
    for state, item, run in _lines(folder / RESULTS):
        found = [(item, result) for result in run.results]
        begun = found if state is State.BEGUN else []
        if state is State.SETTLED:
            results += found
        elif state is State.DECLINED:
            declined = run.results
        whole = state is State.WHOLE
    results += [(item, _with_folder(result, folder, results)) for item, result in begun]
    return Left(folder.name, replace(run, results=()), tuple(results), declined, whole)


def _lines(path: Path) -> list[tuple[State, str, RunResult]]:
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.exists() else (), 1):
        try:
            said = msgspec.json.decode(line, type=Line)
            found.append((said.state, said.item, rebuild(said.run, f"{path}, line {number}")))
        except (msgspec.DecodeError, BadInput):  # the worker was killed while it wrote, or the disk was full
            break
    return found


def _with_folder(result: Result, folder: Path, before: list[tuple[str, Result]]) -> Result:
    """A scenario that never ended, with the folder that it had made by then."""
    slug = ScenarioId(result.flow, result.window, tuple(result.fault.split("+"))).slug
    known = {one.folder for _, one in before}
    made = [
        path
        for path in (folder / "scenarios").glob("*")
        if path.name == slug or path.name.removeprefix(f"{slug}-").isdigit()  # a number: it was run before
    ]
    places = {f"{WORKERS}/{folder.name}/scenarios/{path.name}": path.stat().st_mtime for path in made}
    unknown = [place for place in places if place not in known]
    return replace(result, folder=max(unknown, key=places.__getitem__)) if unknown else result
