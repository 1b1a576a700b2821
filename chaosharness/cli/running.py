"""`run` and `probe`: a session over a flow file, its progress, and what it prints in the end."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from chaosharness.cli.printing import print_run, style_of
from chaosharness.flowfile import load
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow
from chaosharness.model.plan import Cell, Plan
from chaosharness.model.verdict import Result, RunResult, Verdict
from chaosharness.registry import Registry
from chaosharness.report import terminal
from chaosharness.report.document import text
from chaosharness.report.write import write_or_say
from chaosharness.scenario.replay import read_plan
from chaosharness.session.backend import check_images, choose_backend
from chaosharness.session.choose import choose, sharers
from chaosharness.session.session import Session


def run_command(options: argparse.Namespace) -> int:
    """`run FILE`, `run --replay PLAN` and `probe FILE`. Raises BadInput before anything is started."""
    backend = choose_backend(options.backend)
    probing = options.command == "probe"
    registry = Registry.load()
    replay = read_plan(Path(options.replay)) if getattr(options, "replay", None) else None
    file = options.file or (replay[1] if replay else None)
    if file is None:
        raise BadInput("run: expected a flow file, or --replay with a scenario plan")
    flows = [_without_semantic(flow) if probing else flow for flow in load(Path(file), registry, probe=probing).flows]
    if replay:
        choices, plan = [], replay[0]
        flow = _flow_of(plan, flows, options.replay)
        check_images(backend, [flow])
        total = 1
    else:
        choices = choose(registry, flows, options.only)
        check_images(backend, [choice.flow for choice in choices])
        total = sum(1 for choice in choices if not choice.cell.not_applicable)
        plan = None
    progress = Progress(total, quiet=options.json)
    session = Session(
        registry,
        seed=options.seed if plan is None else plan.seed,
        backend=backend,
        runs=Path(options.runs),
        target=options.target,
        progress=progress.phase,
    )
    with session, terminated_like_interrupted():
        try:
            if plan is not None:
                line = f"chaosharness run --replay {shlex.quote(options.replay)}"
                progress.result(session.run_plan(flow, plan, sharers(flow, flows), line))
            else:
                for choice in choices:
                    line = reproduce_line(options, file, choice.cell, session.seed)
                    progress.result(session.run_cell(choice.flow, choice.cell, choice.others, line))
        except KeyboardInterrupt:
            session.interrupted = True
        finally:
            progress.clear()
            session.close()
            run, page = write_or_say(session.result(), session.folder)
    if options.json:
        sys.stdout.write(text(run))
    else:
        print_run(run, page)
    return _probe_code(run) if probing else run.exit_code


def reproduce_line(options: argparse.Namespace, file: str, cell: Cell, seed: int) -> str:
    """The command that runs the same scenario again."""
    line = ["chaosharness", options.command, file, "--only", str(cell.id), "--seed", str(seed)]
    if options.target:
        line += ["--target", options.target]
    if options.backend:
        line += ["--backend", options.backend]
    return shlex.join(line)


def _probe_code(run: RunResult) -> int:
    """0 if every applicable window could be decided, else 3; what breaks more comes first."""
    if run.exit_code in (130, 4):
        return run.exit_code
    return 3 if any(result.verdict is Verdict.UNPROVEN for result in run.results) else 0


def _without_semantic(flow: Flow) -> Flow:
    return replace(flow, promise=replace(flow.promise, semantic=None))


def _flow_of(plan: Plan, flows: list[Flow], where: str) -> Flow:
    for flow in flows:
        if flow.name == plan.flow:
            return flow
    raise BadInput(
        f"--replay {where}: its flow {plan.flow!r} is not in the flow file ({', '.join(f.name for f in flows)})"
    )


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: everything is taken down, and the report is written."""

    def interrupt(signal_number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Progress:
    """A progress line on a terminal, a line for each result elsewhere; on standard error."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._index = 0
        self._live = sys.stderr.isatty() and not quiet
        self._scenario = ""

    def phase(self, scenario: str, phase: str) -> None:
        """The scenario has come to this phase."""
        if scenario != self._scenario:
            self._scenario = scenario
            self._index += 1
        if self._live:
            line = terminal.progress(self._index, self._total, scenario, phase)
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)

    def result(self, result: Result) -> None:
        """The scenario has ended."""
        self.clear()
        if not self._quiet and result.verdict is not Verdict.NOT_APPLICABLE:
            print(terminal.result_line(result, **style_of(sys.stderr)), file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Takes the progress line away."""
        if self._live:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
