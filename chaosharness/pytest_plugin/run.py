"""The one chaosharness session of a pytest session, and what pytest shows of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow
from chaosharness.model.plan import Cell
from chaosharness.model.verdict import Result, RunResult, Verdict
from chaosharness.pytest_plugin.handover import KEY, Handover, State
from chaosharness.registry import Registry, check_only
from chaosharness.report import terminal
from chaosharness.session.backend import Backend

if TYPE_CHECKING:
    from chaosharness.pytest_plugin.controller import Controller
    from chaosharness.session.session import Session


@dataclass
class Run:
    """Options, and the session once a scenario needs it."""

    backend: Backend
    seed: int
    runs: Path
    target: str | None
    only: tuple[str, ...]
    handover: Handover | None = None
    """For a worker: where its results go. It writes no report."""
    controller: Controller | None = None
    """For a process that runs nothing itself, because its workers do."""
    registry: Registry = field(default_factory=Registry.load)
    session: Session | None = None
    result: RunResult | None = None
    """All of it, once it is finished and if a scenario was run."""
    page: Path | None = None
    seen: list[str] = field(default_factory=list)
    """Ids of all cells of all collected flows, for `--chaos-only` that matches nothing."""
    not_applicable: list[tuple[Flow, Cell]] = field(default_factory=list)
    """Cells that are not collected; they stand in the matrix all the same."""

    def decline(self, flow: Flow, cell: Cell) -> None:
        """A cell that is not applicable, which several tests may come upon."""
        if (flow, cell) not in self.not_applicable:
            self.not_applicable.append((flow, cell))

    def scenario(
        self, flow: Flow, cell: Cell, others: Sequence[Flow] = (), reproduce: str = "", *, item: str
    ) -> Result:
        """Runs one cell for the test item with that id, in the session; the first starts it. Raises BadInput."""
        session = self.session or self._begin()
        reproduce = reproduce or self._from_file(flow, cell)
        if self.handover is None:
            return session.run_cell(flow, cell, others, reproduce)
        if_it_ends = self.handover.unfinished(flow, cell, self.seed, reproduce)
        self.handover.write(State.BEGUN, session.result(), if_it_ends, item=item)
        settled: list[Result] = []
        try:
            settled.append(self.handover.placed(session.run_cell(flow, cell, others, reproduce)))
        finally:
            self.handover.write(State.SETTLED, session.result(), *settled, item=item)
        return settled[0]

    def _begin(self) -> Session:
        from chaosharness.session.session import Session  # here: it takes time to load, which every pytest would take

        folder = self.handover.make_folder() if self.handover else None
        self.session = session = Session(
            self.registry,
            backend=self.backend,
            seed=self.seed,
            runs=self.runs,
            folder=folder,
            target=self.target,
        )
        if self.handover:
            declined = self._declined(session)
            self.handover.write(State.DECLINED, session.result(), *declined)
        return session

    def _declined(self, session: Session) -> list[Result]:
        return [session.run_cell(flow, cell) for flow, cell in self.not_applicable]

    def _from_file(self, flow: Flow, cell: Cell) -> str:
        """The command that runs a flow file's scenario again."""
        near = Path(flow.origin).is_relative_to(Path.cwd())
        file = os.path.relpath(flow.origin) if near else flow.origin
        return shlex.join(["chaosharness", "run", file, "--only", str(cell.id), *self.again("--")])

    def again(self, prefix: str) -> list[str]:
        """The options that make another run do what this one does."""
        target = [f"{prefix}target", self.target] if self.target else []
        backend = [f"{prefix}backend", self.backend.name] if self.backend.asked else []
        return [f"{prefix}seed", str(self.seed), *target, *backend]

    def unmatched(self) -> str | None:
        """What is wrong with a `--chaos-only` that matched no cell of any flow."""
        if self.controller:
            return self.controller.unmatched
        try:
            check_only(self.only, self.seen, "--chaos-only")
        except BadInput as bad:
            return str(bad)
        return None

    def finish(self, interrupted: bool) -> None:
        """Ends what was started and writes the report, or hands over what it will be made of. Idempotent."""
        if self.result is not None:
            return
        if self.controller:
            finished = self.controller.finish()
            if finished:
                self.result, self.page = finished
            return
        session = self.session
        if session is None:
            return
        if not self.handover:
            self._declined(session)
        session.close()
        session.interrupted = interrupted
        self.result = session.result()
        if self.handover:
            self.handover.write(State.WHOLE, self.result)
        else:
            from chaosharness.report.write import write_or_say  # here: as above

            self.result, self.page = write_or_say(self.result, session.folder)


RUN = pytest.StashKey[Run]()


def pytest_report_header(config: pytest.Config) -> str:
    run = config.stash[RUN]
    return f"chaosharness: backend {run.backend}, seed {run.seed}"


@pytest.hookimpl(trylast=True)  # by then, those to whom a controller has given the tests have ended
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the report. A `--chaos-only` that matched no scenario is a usage error."""
    run = session.config.stash[RUN]
    run.finish(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
    if run.handover:
        session.config.workeroutput[KEY] = run.handover.said(run.unmatched())  # type: ignore[attr-defined]
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and run.unmatched():
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whatever pytest did: nothing is left."""
    run = config.stash.get(RUN, None)  # there is none where the options were bad
    if run and run.session:
        run.session.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    run = config.stash[RUN]
    if run.result is None:
        if unmatched := run.unmatched():
            terminalreporter.write_line(f"chaosharness: {unmatched}", red=True)
        return
    terminalreporter.section("chaosharness")
    terminalreporter.write_line(terminal.matrix(run.result, encoding=terminalreporter._tw._file.encoding or "ascii"))
    terminalreporter.write_line(terminal.summary(run.result, run.page))


def outcome(result: Result) -> None:
    """A verdict as pytest's outcome: fails with the explanation, skips with the reason."""
    if result.verdict is Verdict.VIOLATED:
        pytest.fail(terminal.violation(result), pytrace=False)
    if result.verdict is Verdict.UNPROVEN:
        pytest.fail(terminal.unproven(result), pytrace=False)
    if result.verdict is Verdict.NOT_APPLICABLE:
        pytest.skip(f"not applicable: {result.judgement.reason}")
