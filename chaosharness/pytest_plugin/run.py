"""The one chaosharness session of a pytest session, and what pytest shows of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow
from chaosharness.model.plan import Cell
from chaosharness.model.verdict import Result, Verdict
from chaosharness.registry import Registry, check_only
from chaosharness.report import terminal
from chaosharness.report.write import write
from chaosharness.session.backend import Backend
from chaosharness.session.session import Session


@dataclass
class Run:
    """Options, and the session once a scenario needs it."""

    backend: Backend
    seed: int
    runs: Path
    target: str | None
    only: tuple[str, ...]
    registry: Registry = field(default_factory=Registry.load)
    session: Session | None = None
    page: Path | None = None
    seen: list[str] = field(default_factory=list)
    """Ids of all cells of all collected flows, for `--chaos-only` that matches nothing."""
    not_applicable: list[tuple[Flow, Cell]] = field(default_factory=list)
    """Cells that are not collected; they stand in the matrix all the same."""

    def scenario(self, flow: Flow, cell: Cell, others: Sequence[Flow] = (), reproduce: str = "") -> Result:
        """Runs one cell in the session, which starts with the first. Raises BadInput."""
        if self.session is None:
            self.session = Session(
                self.registry,
                backend=self.backend,
                seed=self.seed,
                runs=self.runs,
                target=self.target,
            )
        return self.session.run_cell(flow, cell, others, reproduce or self._from_file(flow, cell))

    def _from_file(self, flow: Flow, cell: Cell) -> str:
        """The command that runs a flow file's scenario again."""
        line = ["chaosharness", "run", flow.origin, "--only", str(cell.id), "--seed", str(self.seed)]
        return shlex.join([*line, *(["--target", self.target] if self.target else [])])

    def unmatched(self) -> str | None:
        """What is wrong with a `--chaos-only` that matched no cell of any flow."""
        try:
            check_only(self.only, self.seen, "--chaos-only")
        except BadInput as bad:
            return str(bad)
        return None

    def finish(self, interrupted: bool) -> None:
        """Ends what was started and writes the report. Idempotent."""
        if self.session is None or self.page is not None:
            return
        session = self.session
        for flow, cell in self.not_applicable:
            session.run_cell(flow, cell)
        session.close()
        session.interrupted = interrupted
        self.page = write(session.result(), session.folder)


RUN = pytest.StashKey[Run]()


def pytest_report_header(config: pytest.Config) -> str:
    run = config.stash[RUN]
    return f"chaosharness: backend {run.backend}, seed {run.seed}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the report. A `--chaos-only` that matched no scenario is a usage error."""
    run = session.config.stash[RUN]
    run.finish(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and run.unmatched():
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whatever pytest did: nothing is left."""
    run = config.stash.get(RUN, None)  # there is none where the options were bad
    if run and run.session:
        run.session.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    run = config.stash[RUN]
    if run.session is None:
        if unmatched := run.unmatched():
            terminalreporter.write_line(f"chaosharness: {unmatched}", red=True)
        return
    result = run.session.result()
    terminalreporter.section("chaosharness")
    terminalreporter.write_line(terminal.matrix(result, encoding=terminalreporter._tw._file.encoding or "ascii"))
    terminalreporter.write_line(terminal.summary(result, run.page))


def outcome(result: Result) -> None:
    """A verdict as pytest's outcome: fails with the explanation, skips with the reason."""
    if result.verdict is Verdict.VIOLATED:
        pytest.fail(terminal.violation(result), pytrace=False)
    if result.verdict is Verdict.UNPROVEN:
        pytest.fail(terminal.unproven(result), pytrace=False)
    if result.verdict is Verdict.NOT_APPLICABLE:
        pytest.skip(f"not applicable: {result.judgement.reason}")
