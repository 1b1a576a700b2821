"""A plan read back from the file that a run left in its scenario's folder, held to what a plan must be.

In: `plan.json`, perhaps edited by hand. Out: a `Plan`, and the flow file that it names; or BadInput that says what is
wrong. To try it: `chaosharness run --replay plan.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import msgspec

from chaosharness.model.errors import BadInput
from chaosharness.model.names import did_you_mean
from chaosharness.model.plan import Plan
from chaosharness.model.window import WINDOWS

BESIDES = ("plan", "id", "file")
"""What a plan's file says beside the plan itself: the format's version, the scenario's id, the flow file."""
UNTIL = ("at_once", "published")


def read_plan(path: Path) -> tuple[Plan, str | None]:
    """The plan, and its flow file where it names one. Raises BadInput."""
    where = f"--replay {path}"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as bad:
        raise BadInput(f"{where}: cannot be read as a scenario plan: {bad}") from bad
    if not isinstance(data, dict) or data.get("plan") != 1:
        raise BadInput(f'{where}: expected a scenario plan ({{"plan": 1, …}}), found {str(data)[:60]!r}')
    given = {name: value for name, value in data.items() if name not in BESIDES}
    try:
        plan, file = msgspec.convert(given, Plan), msgspec.convert(data.get("file"), str | None)
    except msgspec.ValidationError as bad:
        raise BadInput(f"{where}: not a scenario plan of this version: {bad}") from bad
    problems = [*_unknown(given), *_problems(plan)]
    if problems:
        raise BadInput("\n".join(f"{where}: {problem}" for problem in problems))
    return plan, file


def _unknown(given: dict[str, object]) -> Iterator[str]:
    known = [field.name for field in fields(Plan)]
    for name in given:
        if name not in known:
            yield f"{name}: unknown key{did_you_mean(name, known)}"


def _problems(plan: Plan) -> Iterator[str]:
    if plan.window not in WINDOWS:
        yield f'window: unknown window "{plan.window}"{did_you_mean(plan.window, WINDOWS)}'
    if not plan.steps:
        yield "steps: expected at least one fault, found none"
    for step in plan.steps:
        if step.until not in UNTIL:
            yield f"steps: until: expected {' or '.join(UNTIL)}, found {step.until!r}"
    if plan.messages < 1:
        yield f"messages: expected 1 or more, found {plan.messages}"
    elif not 0 <= plan.kept_back < plan.messages:
        yield f"kept_back: expected 0 to {plan.messages - 1} of {plan.messages} messages, found {plan.kept_back}"
    elif not 0 <= plan.target < plan.messages - plan.kept_back:
        sent = plan.messages - plan.kept_back
        yield f"target: expected 0 to {sent - 1}, the messages that are sent before the heal, found {plan.target}"
    for name in ("hold_within_s", "deadline_s"):
        if not 0 < getattr(plan, name) < float("inf"):
            yield f"{name}: expected a number of seconds above 0, found {getattr(plan, name)!r}"
