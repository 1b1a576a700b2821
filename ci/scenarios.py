"""Runs scenarios for the scripts of this folder: one session, a line for each result, the report.

In: a flow file and ids or patterns of scenarios. Out: the finished run, its folder and report. To try it: `ci/twins`.
"""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaosharness.cli.printing import style_of
from chaosharness.cli.running import terminated_like_interrupted
from chaosharness.flowfile import load
from chaosharness.model.errors import ChaosError
from chaosharness.model.verdict import Result, RunResult, Verdict
from chaosharness.registry import Registry
from chaosharness.report import terminal
from chaosharness.report.write import write
from chaosharness.session.backend import Backend
from chaosharness.session.choose import Choice, choose
from chaosharness.session.defaults import DEFAULT_RUNS
from chaosharness.session.session import Session

INTERRUPTED = 130
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
CORRECT = ("services", "workers", "stores", "poison", "broker")
"""Flow files of correct services, in `fixtures/flows`; those in other languages are for `ci/languages`."""
ELSEWHERE = ("languages.toml",)
"""Manifests of twins that `ci/languages` runs."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has ended, interrupted or not."""

    run: RunResult
    folder: Path
    page: Path
    """Its report.html."""


def manifests() -> list[Path]:
    """What each twin must be found out by: `fixtures/twins/*.toml`."""
    return [path for path in sorted((FIXTURES / "twins").glob("*.toml")) if path.name not in ELSEWHERE]


def twin_flows() -> list[Path]:
    """The flow files that the manifests name."""
    named = [tomllib.loads(path.read_text(encoding="utf-8"))["flow_file"] for path in manifests()]
    return [(FIXTURES / "twins" / name).resolve() for name in named]


def cells(flow_file: Path, only: Sequence[str] = ()) -> list[Choice]:
    """The scenarios of a flow file, not applicable ones included. Raises BadInput."""
    registry = Registry.load()
    return choose(registry, load(flow_file, registry).flows, only)


def run(
    choices: Sequence[Choice],
    *,
    seed: int,
    seeds: Sequence[int] | None = None,
    runs: Path,
    each: Callable[[Result], None],
    backend: Backend | None = None,
) -> Finished:
    """Runs them in one session, so that servers start once; `each` is told every result. Raises ChaosError.

    `seed` decides every plan, unless `seeds` has one of its own for each; `backend`: None for the environment's.
    """
    session = Session(Registry.load(), seed=seed, runs=runs, backend=backend)
    with session, terminated_like_interrupted():
        try:
            for choice, own in zip(choices, seeds or [seed] * len(choices), strict=True):
                session.seed = own
                line = reproduce_line(Path(choice.flow.origin), str(choice.cell.id), own, backend)
                each(session.run_cell(choice.flow, choice.cell, choice.others, line))
        except KeyboardInterrupt:
            session.interrupted = True
        finally:
            session.close()
            session.seed = seed
            finished = session.result()
            page = write(finished, session.folder)
    return Finished(finished, session.folder, page)


def reproduce_line(flow_file: Path, scenario: str, seed: int, backend: Backend | None = None) -> str:
    """The command, typed in the current folder, that runs the scenario again; names the backend where one was named."""
    line = ["chaosharness", "run", os.path.relpath(flow_file), "--only", scenario, "--seed", str(seed)]
    return shlex.join([*line, *(["--backend", backend.name] if backend and backend.asked else [])])


def outcome(result: Result) -> str:
    """What it came to, on one line: the verdict, and why."""
    if result.verdict is Verdict.NOT_APPLICABLE:
        return f"not applicable: {result.judgement.reason}"
    if result.verdict is Verdict.UNPROVEN:
        return f"unproven: {'; '.join(f'{one.code}: {one.why}' for one in result.judgement.missing)}"
    findings = [f"{one.kind} {len(one.keys)} ({one.attribution})" for one in result.judgement.findings]
    return ": ".join([result.verdict, *([", ".join(findings)] if findings else [])])


def say(result: Result) -> None:
    """One line for the result."""
    print(terminal.result_line(result, **style_of(sys.stdout)), flush=True)


def runs_folder(named: str | None) -> Path:
    """`--runs`, from the current folder; without it the one of this project."""
    return Path(named) if named else Path(__file__).resolve().parent.parent / DEFAULT_RUNS


def guarded(name: str, main: Callable[[], int]) -> int:
    """`main`'s exit code, or its error's: 2 bad input, 4 the harness broke, 130 interrupted."""
    try:
        return main()
    except ChaosError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED


__all__ = [
    "CORRECT",
    "FIXTURES",
    "INTERRUPTED",
    "Finished",
    "cells",
    "guarded",
    "manifests",
    "outcome",
    "reproduce_line",
    "run",
    "runs_folder",
    "say",
    "twin_flows",
]
