"""The way back from run.json: a run folder becomes a `RunResult` again, to be rendered anew.

Goes in: the folder that a run left. Comes out: its `RunResult`, or `BadInput` that says what was found instead.
To try it: `chaosharness report RUN_DIR`, `suites/unit/test_report_read.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from chaosharness.model.errors import BadInput
from chaosharness.model.verdict import Result, RunResult
from chaosharness.report.document import SCHEMA

RUN_JSON = "run.json"
_JUDGEMENT = ("verdict", "reason", "refutes", "counts", "findings", "notes", "advice")
"""What run.json has beside the scenario's own fields, and the model has in `Result.judgement`."""

T = TypeVar("T")


def read(folder: Path) -> RunResult:
    """The run that left `folder`. Raises BadInput: no run folder, or a run.json that cannot be read."""
    path = folder / RUN_JSON
    if not folder.is_dir():
        found = "a file; pass the folder that it is in" if folder.exists() else "nothing there"
        raise BadInput(f"{folder}: expected the folder of a run, found {found}")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{folder}: not the folder of a run: it has no {RUN_JSON}{_instead(folder)}") from None
    except OSError as bad:
        raise BadInput(f"{path}: cannot be read: {bad.strerror}") from bad
    try:
        data = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BadInput(f"{path}: expected JSON, found {len(content)} bytes that are not: {bad}") from bad
    return rebuild(data, str(path))


def _instead(folder: Path) -> str:
    runs = sorted(child.name for child in folder.iterdir() if (child / RUN_JSON).is_file())
    return f"; the last run in it is {folder / runs[-1]}" if runs else ""


def rebuild(data: object, where: str) -> RunResult:
    """The inverse of `document`, for what JSON keeps. Raises BadInput naming `where` and the place in it."""
    if not isinstance(data, dict) or "schema" not in data:
        raise BadInput(f'{where}: expected a run ({{"schema": {SCHEMA}, …}}), found {str(data)[:60]!r}')
    if data["schema"] != SCHEMA:
        raise BadInput(f"{where}: expected schema {SCHEMA}, found {str(data['schema'])[:20]!r}")
    scenarios = data.get("scenarios")
    if not isinstance(scenarios, list):
        raise BadInput(f"{where}: expected a list at `$.scenarios`, found {str(scenarios)[:60]!r}")
    results = [_converted(one, Result, _judged, f"{where}: scenario {i}") for i, one in enumerate(scenarios)]
    run = _converted(data, RunResult, lambda run: {**run, "results": ()}, where)
    return replace(run, results=tuple(results))


def _judged(scenario: dict[str, Any]) -> dict[str, Any]:
    judgement = {name: scenario[name] for name in _JUDGEMENT if name in scenario}
    return {**scenario, "judgement": {**judgement, "missing": scenario.get("unproven", [])}}


def _converted(data: object, kind: type[T], shape: Callable[[dict[str, Any]], dict[str, Any]], where: str) -> T:
    if not isinstance(data, dict):
        raise BadInput(f"{where}: expected an object, found {str(data)[:60]!r}")
    named = f" ({data['id']})" if isinstance(data.get("id"), str) else ""
    try:
        return msgspec.convert(shape(data), kind)
    except msgspec.ValidationError as bad:
        raise BadInput(f"{where}{named}: {str(bad).replace('$.judgement.', '$.')}") from bad
