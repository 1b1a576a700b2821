"""The session: everything that scenarios share, from the keeper to the run folder."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import msgspec

from chaosharness.model.errors import DISK, BadInput, ChaosError, HarnessBroke
from chaosharness.model.flow import Flow
from chaosharness.model.plan import Cell, Plan
from chaosharness.model.verdict import Code, Judgement, Missing, Result, RunResult, Verdict
from chaosharness.registry import Registry
from chaosharness.scenario.planning import make_plan
from chaosharness.scenario.rig import Rig
from chaosharness.scenario.run import run_scenario
from chaosharness.session.backend import Backend, choose_backend
from chaosharness.session.defaults import DEFAULT_RUNS, new_seed
from chaosharness.session.parts import Parts


class Session:
    """One run. A context manager: leaving it ends every process that it started; nothing starts before it is needed.

    `seed` decides every plan; `backend`: None for the environment's choice; `runs` is where the run's folder is made,
    unless there is a `folder` for it already; `progress` is told (scenario id, phase).
    """

    def __init__(
        self,
        registry: Registry,
        *,
        seed: int | None = None,
        runs: Path = DEFAULT_RUNS,
        folder: Path | None = None,
        backend: Backend | None = None,
        target: str | None = None,
        progress: Callable[[str, str], None] = lambda scenario, phase: None,
    ) -> None:
        self.registry = registry
        self.seed = new_seed() if seed is None else seed
        self.backend = backend or choose_backend(None)
        self.folder = folder or _new_run_folder(runs)
        self.results: list[Result] = []
        self.broken: list[str] = []
        self.interrupted = False
        self._target = target
        self._progress = progress
        self._flows: dict[str, Flow] = {}
        self._parts = Parts(registry, self.backend, self.folder)
        self._began = time.monotonic()
        self._started = datetime.now(UTC)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends everything that was started; what goes wrong with that is in `broken`. Idempotent."""
        try:
            self._parts.close()
        except ChaosError as broke:
            self.broken.append(f"the end of it all: {broke}")

    # scenarios

    def start(self, flows: Sequence[Flow]) -> Rig:
        """All that scenarios of these flows need, running; the first of them would start it. Raises as it does."""
        return self._parts.rig(flows)

    def run_cell(self, flow: Flow, cell: Cell, others: Sequence[Flow] = (), reproduce: str = "") -> Result:
        """Runs one cell, or says why it is not applicable; keeps the result. Raises BadInput for what cannot be run."""
        self._flows[flow.name] = flow
        if cell.not_applicable or cell.aim is None:
            return self._keep(self._not_applicable(flow, cell))
        faults = [self.registry.fault(name) for name in cell.id.faults]
        plan = make_plan(flow, cell, faults, self.seed, self._target)
        return self.run_plan(flow, plan, others, reproduce)

    def run_plan(self, flow: Flow, plan: Plan, others: Sequence[Flow] = (), reproduce: str = "") -> Result:
        """Runs one plan. What breaks in the harness is in the result (unproven) and in `broken`."""
        self._flows[flow.name] = flow
        scenario = str(plan.id)
        self._progress(scenario, "servers")
        rig = self.start([flow, *others])
        rig.phase = lambda phase: self._progress(scenario, phase)
        began = time.monotonic()
        try:
            result = run_scenario(rig, flow, plan, others=others, reproduce=reproduce)
            if result.folder:
                self._write_plan(flow, plan, result.folder)
        except BadInput:
            raise
        except Exception as broke:  # also what is no ChaosError: a plugin's mistake, or our own
            why = _words(broke)
            try:
                self.close()  # what broke one scenario must not break the next: it gets servers of its own
            except ChaosError as also:
                why += f"; and when all was ended: {also}"
            self.broken.append(f"{scenario}: {why}")
            result = _broken(flow, plan, why, reproduce, time.monotonic() - began)
        return self._keep(result)

    def _keep(self, result: Result) -> Result:
        self.results.append(result)
        return result

    def _not_applicable(self, flow: Flow, cell: Cell) -> Result:
        semantic = flow.promise.semantic
        return Result(
            id=str(cell.id),
            flow=flow.name,
            window=cell.id.window,
            fault=cell.id.fault,
            declared=semantic.value if semantic else None,
            judgement=Judgement(Verdict.NOT_APPLICABLE, reason=cell.not_applicable),
            because=flow.promise.because,
            seed=self.seed,
        )

    def _write_plan(self, flow: Flow, plan: Plan, folder: str) -> None:
        data = msgspec.json.format(msgspec.json.encode({**plan.as_json(), "file": flow.origin}), indent=2)
        (self.folder / folder / "plan.json").write_bytes(data + b"\n")

    # the end

    def result(self) -> RunResult:
        """All so far, as a finished run."""
        return RunResult(
            seed=self.seed,
            results=tuple(self.results),
            versions={
                "chaosharness": version("chaosharness"),
                "python": platform.python_version(),
                **dict(sorted(self._parts.versions.items())),
            },
            environment={
                "backend": str(self.backend),
                **({"images": dict(sorted(self._parts.images.items()))} if self._parts.images else {}),
                "platform": platform.platform(),
                "cores": len(os.sched_getaffinity(0)),
                "command": " ".join(sys.argv[:1] + sys.argv[1:]),
            },
            started=self._started.isoformat(timespec="seconds"),
            duration_s=round(time.monotonic() - self._began, 3),
            interrupted=self.interrupted,
            broken=tuple(self.broken),
            unused_waivers=tuple(unused_waivers(self._flows, self.results)),
        )


def unused_waivers(flows: Mapping[str, Flow], results: Sequence[Result]) -> list[str]:
    """Waivers of these flows that covered no finding, in words."""
    used = {
        (result.flow, finding.kind.value, finding.waived)
        for result in results
        for finding in result.judgement.findings
        if finding.waived
    }
    return [
        f"{flow.name}: {waiver.cell} {waiver.finding} ({waiver.because})"
        for flow in flows.values()
        for waiver in flow.promise.waivers
        if (flow.name, waiver.finding, waiver.because) not in used
    ]


def _words(broke: Exception) -> str:
    """What broke; of an error that nobody foresaw also where."""
    if isinstance(broke, ChaosError) or (isinstance(broke, OSError) and broke.errno in DISK):
        return str(broke)
    frames = traceback.extract_tb(broke.__traceback__)
    where = "; ".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames[-3:])
    return f"{type(broke).__name__}: {broke} ({where})"


def _broken(flow: Flow, plan: Plan, why: str, reproduce: str, duration_s: float) -> Result:
    semantic = flow.promise.semantic
    missing = Missing(Code.OBSERVED_WHOLE, f"the harness broke: {why}")
    return Result(
        id=str(plan.id),
        flow=flow.name,
        window=plan.window,
        fault=plan.id.fault,
        declared=semantic.value if semantic else None,
        judgement=Judgement(Verdict.UNPROVEN, missing=(missing,)),
        reproduce=reproduce,
        duration_s=round(duration_s, 3),
        seed=plan.seed,
        because=flow.promise.because,
    )


def _new_run_folder(runs: Path) -> Path:
    """`RUNS/2026-11-23T16-02-26-1`: no colon, never one that is there."""
    stamp = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    for number in range(1, 10_000):
        folder = (runs / f"{stamp}-{number}").resolve()
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as refused:
            raise BadInput(f"--runs {runs}: the run's folder cannot be made: {refused}") from refused
        return folder
    raise HarnessBroke(f"{runs}: 10,000 runs began within one second")


__all__ = ["Session", "unused_waivers"]
