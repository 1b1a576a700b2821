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
from chaosharness.model.verdict import Advice, Finding, Result, RunResult
from chaosharness.report.digest import standings, used_waivers

SCHEMA = 1


def document(run: RunResult) -> dict[str, Any]:
    """The run as run.json holds it: plain types only."""
    return {
        "schema": SCHEMA,
        "seed": run.seed,
        "versions": plain(run.versions),
        "environment": plain(run.environment),
        "started": run.started,
        "duration_s": round(run.duration_s, 6),
        "exit_code": run.exit_code,
        "interrupted": run.interrupted,
        "broken": [plain(what) for what in run.broken],
        "unused_waivers": [plain(what) for what in run.unused_waivers],
        "flows": [
            {
                "flow": s.flow,
                "declared": s.declared,
                "because": plain(s.because),
                "observed": s.observed,
                "not_refuted_in": s.proven,
                "windows": s.windows,
            }
            for s in standings(run)
        ],
        "scenarios": [scenario(result) for result in run.results],
    }


def scenario(result: Result) -> dict[str, Any]:
    """One element of `scenarios`."""
    judgement = result.judgement
    return {
        "id": result.id,
        "flow": result.flow,
        "window": result.window,
        "fault": result.fault,
        "verdict": judgement.verdict.value,
        "reason": plain(judgement.reason),
        "declared": result.declared,
        "because": plain(result.because),
        "observed": result.observed,
        "refutes": sorted(judgement.refutes),
        "counts": plain(judgement.counts),
        "findings": [_finding(finding) for finding in judgement.findings],
        "unproven_because": [one.code.value for one in judgement.missing],
        "unproven": [{"code": one.code.value, "why": plain(one.why)} for one in judgement.missing],
        "notes": [plain(note) for note in judgement.notes],
        "advice": [_advice(one) for one in judgement.advice],
        "waived": [
            {"kind": used.kind, "count": used.count, "because": plain(used.because)} for used in used_waivers([result])
        ],
        "reproduce": plain(result.reproduce),
        "seed": result.seed,
        "target": result.target,
        "duration_s": round(result.duration_s, 6),
        "phases_s": {name: round(took_s, 6) for name, took_s in result.phases_s.items()},
        "folder": result.folder,
        "timelines": {key: [event(e) for e in events] for key, events in result.timelines.items()},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "keys": list(finding.keys),
        "attribution": plain(finding.attribution),
        "evidence": [event(e) for e in finding.evidence],
        "breaks": finding.breaks,
        "waived": plain(finding.waived),
    }


def _advice(one: Advice) -> dict[str, Any]:
    return {"code": one.code, "text": plain(one.text), "evidence": [event(e) for e in one.evidence]}


def event(one: Event) -> dict[str, Any]:
    """A ledger event as plain data."""
    return {
        "seq": one.seq,
        "at_ns": one.at_ns,
        "origin": one.origin,
        "kind": one.kind.value,
        "keys": list(one.keys),
        "link": one.link,
        "conn": one.conn,
        "data": plain(one.data),
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
