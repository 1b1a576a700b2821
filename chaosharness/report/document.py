"""run.json: a run as plain data, in the shape that CONTRACT fixes.

Goes in: a `RunResult`. Comes out: a dict of plain types (`document`) and its text (`text`). `read.py` is the way back.
The shape's JSON Schema is run_schema.json beside this file; fields may be added to it, none change or go.
To try it: `suites/unit/test_report_document.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from chaosharness.model.event import Event
from chaosharness.model.verdict import Finding, Result, RunResult
from chaosharness.report.digest import standings, used_waivers

SCHEMA = 1


def document(run: RunResult) -> dict[str, Any]:
    """The run as run.json holds it: plain types only."""
    raw = {
        "schema": SCHEMA,
        "seed": run.seed,
        "versions": run.versions,
        "environment": run.environment,
        "started": run.started,
        "duration_s": round(run.duration_s, 6),
        "exit_code": run.exit_code,
        "interrupted": run.interrupted,
        "broken": run.broken,
        "unused_waivers": run.unused_waivers,
        "flows": [
            {
                "flow": flow.flow,
                "declared": flow.declared,
                "because": flow.because,
                "observed": flow.observed,
                "not_refuted_in": flow.proven,
                "windows": flow.windows,
            }
            for flow in standings(run)
        ],
        "scenarios": [_scenario(result) for result in run.results],
    }
    return {name: plain(value) for name, value in raw.items()}


def _scenario(result: Result) -> dict[str, Any]:
    judgement = result.judgement
    return {
        "id": result.id,
        "flow": result.flow,
        "window": result.window,
        "fault": result.fault,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "declared": result.declared,
        "because": result.because,
        "observed": result.observed,
        "refutes": judgement.refutes,
        "counts": judgement.counts,
        "findings": [_finding(finding) for finding in judgement.findings],
        "unproven_because": [one.code for one in judgement.missing],
        "unproven": [{"code": one.code, "why": one.why} for one in judgement.missing],
        "notes": judgement.notes,
        "advice": [
            {"code": one.code, "text": one.text, "evidence": [_event(e) for e in one.evidence]}
            for one in judgement.advice
        ],
        "waived": [
            {"kind": used.kind, "count": used.count, "because": used.because} for used in used_waivers([result])
        ],
        "reproduce": result.reproduce,
        "seed": result.seed,
        "target": result.target,
        "duration_s": round(result.duration_s, 6),
        "phases_s": {name: round(took_s, 6) for name, took_s in result.phases_s.items()},
        "folder": result.folder,
        "timelines": {key: [_event(e) for e in events] for key, events in result.timelines.items()},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "keys": finding.keys,
        "attribution": finding.attribution,
        "evidence": [_event(e) for e in finding.evidence],
        "breaks": finding.breaks,
        "waived": finding.waived,
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at_ns": event.at_ns,
        "origin": event.origin,
        "kind": event.kind,
        "keys": event.keys,
        "link": event.link,
        "conn": event.conn,
        "data": event.data,
    }


def plain(value: Any) -> Any:
    """`value` in JSON's types. What JSON has no room for (NaN, bytes, lone surrogates, huge numbers) becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(v) for v in value), key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return plain(str(value))


def text(run: RunResult) -> str:
    """run.json's text; what `--json` prints."""
    return msgspec.json.format(msgspec.json.encode(document(run)), indent=1).decode() + "\n"
