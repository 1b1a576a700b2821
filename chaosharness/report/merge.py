"""One run that several processes made together, from what each of them has of it.

Goes in: each process's `RunResult`, by the process's name, and all results in the order that the report is to have.
Comes out: one `RunResult`. To try it: `suites/unit/test_report_merge.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaosharness.model.verdict import Result, RunResult
from chaosharness.report.digest import waived


def merge(parts: Mapping[str, RunResult], results: Sequence[Result]) -> RunResult:
    """The run of which `parts`, at least one, are the parts; they share a seed.

    Where they differ (a version, the environment), each value stands with the names of its processes. The run took as
    long as its longest part; a waiver is unused if no part used it.
    """
    runs = list(parts.values())
    return RunResult(
        seed=runs[0].seed,
        results=tuple(results),
        versions=_merged({name: run.versions for name, run in parts.items()}),
        environment=_merged({name: run.environment for name, run in parts.items()}),
        started=min((run.started for run in runs if run.started), default=""),
        duration_s=max(run.duration_s for run in runs),
        interrupted=any(run.interrupted for run in runs),
        broken=tuple(what for run in runs for what in run.broken),
        unused_waivers=_unused(runs, results),
    )


def _merged(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What all agree on, as it is; else `7.0 (gw0, gw2); 7.2 (gw1)`."""
    names = dict.fromkeys(name for values in parts.values() for name in values)
    return {name: _agreed({part: values[name] for part, values in parts.items() if name in values}) for name in names}


def _agreed(values: Mapping[str, Any]) -> Any:
    if all(isinstance(value, Mapping) for value in values.values()):
        return _merged(values)
    said: dict[str, list[str]] = {}
    for part, value in values.items():
        said.setdefault(str(value), []).append(part)
    if len(said) == 1:
        return next(iter(values.values()))
    return "; ".join(f"{value} ({', '.join(who)})" for value, who in said.items())


def _unused(runs: Sequence[RunResult], results: Sequence[Result]) -> tuple[str, ...]:
    """Each part lists what it did not use itself: `FLOW: CELL FINDING (BECAUSE)`, as `session.unused_waivers` does."""
    used = {
        (f"{result.flow}: ", f" {finding.kind} ({finding.waived})") for result in results for finding in waived(result)
    }
    listed = dict.fromkeys(line for run in runs for line in run.unused_waivers)
    return tuple(
        line for line in listed if not any(line.startswith(flow) and line.endswith(what) for flow, what in used)
    )
