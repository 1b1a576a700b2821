"""The command line: what can be typed, and what each failure's exit code is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from chaosharness.cli import commands
from chaosharness.cli.doctor import doctor as doctor_command
from chaosharness.cli.running import run_command
from chaosharness.model.errors import DISK, ChaosError, HarnessBroke
from chaosharness.session.backend import BACKENDS, VARIABLE
from chaosharness.session.defaults import DEFAULT_RUNS

EXIT_CODES = """exit codes: 0 upheld (waived findings included); 1 violated; 2 bad input or usage; 3 unproven;
4 the harness broke; 130 interrupted. Mixed: 4, then 1, then 3."""


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="chaosharness",
        description="Declares what a message flow promises, breaks it where it hurts, says whether the promise holds.",
        epilog=EXIT_CODES,
    )
    commands_ = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands_, "run", "run the scenarios of a flow file and judge its flows")
    _add_run(commands_, "probe", "find out which semantic a flow keeps, without a declared one")
    doctor = commands_.add_parser("doctor", help="what this machine can run, and what dead harnesses left on it")
    doctor.add_argument(
        "--clean", action="store_true", help="remove containers, networks and volumes whose harness is gone"
    )
    doctor.set_defaults(do=doctor_command)
    init = commands_.add_parser("init", help="write a commented flows.toml, and a service that it runs, here")
    init.set_defaults(do=commands.init)
    report = commands_.add_parser("report", help="print a run again, and write its report.html anew")
    report.add_argument("run_dir", metavar="RUN_DIR", help="a run's folder, e.g. .chaosharness/runs/…")
    report.set_defaults(do=commands.report)
    explain = commands_.add_parser("explain", help="a paragraph on a window, fault, finding, code or any other term")
    explain.add_argument("term", metavar="TERM", nargs="+", help="e.g. effect-ack, lost, hold_first")
    explain.set_defaults(do=commands.explain)
    for command in (doctor, init, report, explain):
        command.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else")
    return top


def _add_run(commands_: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str) -> None:
    run = commands_.add_parser(name, help=what, description=what, epilog=EXIT_CODES)
    run.add_argument("file", metavar="FILE", nargs="?" if name == "run" else None, help="a flow file (flows.toml)")
    run.add_argument(
        "--only",
        metavar="GLOB",
        action="append",
        default=[],
        help="scenarios whose id matches, e.g. 'payment[effect-*'; * and ? are wildcards; repeatable",
    )
    run.add_argument("--seed", type=int, metavar="N", help="the same seed aims at the same messages (default: random)")
    run.add_argument("--target", metavar="WHICH", help="the aimed message: a number, a key, or module:function")
    run.add_argument("--backend", choices=BACKENDS, help=f"where servers come from (default: ${VARIABLE}, else auto)")
    run.add_argument(
        "--runs", metavar="DIR", default=str(DEFAULT_RUNS), help=f"where runs are kept (default: {DEFAULT_RUNS})"
    )
    run.add_argument("--json", action="store_true", help="run.json on standard output, nothing else")
    if name == "run":
        run.add_argument("--replay", metavar="FILE", help="run a scenario plan that a report printed (plan.json)")
    run.set_defaults(do=run_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; argparse itself exits 2 on bad usage."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.do(options)
    except ChaosError as error:
        print(f"chaosharness: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("chaosharness: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as refused:
        if refused.errno not in DISK:
            raise
        print(f"chaosharness: {refused}: a run keeps its record there, and cannot go on without", file=sys.stderr)
        return HarnessBroke.exit_code
    return code
