"""From a cell of the matrix and a seed to a plan: which message is aimed at, what is held where, when it heals."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

from chaosharness.flowfile.message import filled
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow, Target
from chaosharness.model.key import key_number, make_key, new_nonce
from chaosharness.model.plan import Cell, Plan, Step
from chaosharness.ports.plugin import Fault


def kept_back(messages: int) -> int:
    """How many messages are published after the heal only: a tenth, at least one."""
    return max(1, messages // 10)


HOLD_DEADLINE_S = 5.0
"""How long a gate may hold, for a fault that says nothing else."""


def make_plan(flow: Flow, cell: Cell, faults: Sequence[Fault], seed: int, target: Target | None = None) -> Plan:
    """The plan of one cell: the same arguments, the same plan. Raises BadInput for a target that names no message.

    `faults`: those of the cell, in order; the gate does what the first one needs.
    """
    if cell.aim is None or cell.not_applicable:
        raise ValueError(f"{cell.id} is not applicable: {cell.not_applicable}")
    aim, messages = cell.aim, flow.workload.messages
    wanted = target if target is not None else flow.workload.target
    return Plan(
        flow=flow.name,
        window=cell.id.window,
        seed=seed,
        messages=messages,
        target=_target_number(flow, seed, str(cell.id), wanted),
        kept_back=kept_back(messages),
        point=aim.point,
        actor=aim.actor,
        server=aim.server,
        action=faults[0].action,
        unsettled=aim.unsettled,
        after_effects=aim.after_effects,
        redelivers=all(fault.id in aim.redelivers for fault in faults),
        steps=tuple(Step(fault.id, fault.until) for fault in faults),
        once_applied=aim.once_applied,
        deadline_s=max(getattr(fault, "deadline_s", HOLD_DEADLINE_S) for fault in faults),
    )


def make_nonce(plan: Plan, taken: Sequence[str]) -> str:
    """The scenario's nonce: from its seed and id, and none that the run has used."""
    rng = random.Random(f"{plan.seed}:{plan.id}")
    while (nonce := new_nonce(rng)) in taken:
        pass
    return nonce


def _target_number(flow: Flow, seed: int, scenario: str, wanted: Target | None) -> int:
    before_heal = flow.workload.messages - kept_back(flow.workload.messages)
    if wanted is None:
        return _drawn(random.Random(f"target:{seed}:{scenario}"), flow, before_heal)
    if callable(wanted):
        number = _matched(flow, wanted, getattr(wanted, "__name__", repr(wanted)), before_heal)
    elif isinstance(wanted, int) or wanted.isdigit():
        number = int(wanted)
    elif ":" in wanted:
        number = _matched(flow, _load_predicate(flow, wanted), repr(wanted), before_heal)
    else:
        try:
            number = key_number(wanted)
        except ValueError:
            raise BadInput(
                f"{flow.origin}: target {wanted!r}: expected a message's number, a key or module:function"
            ) from None
    if not 0 <= number < max(before_heal, 1):
        raise BadInput(
            f"{flow.origin}: target {wanted!r}: of {flow.workload.messages} messages, "
            f"0 to {before_heal - 1} are sent before the heal"
        )
    return number


def _drawn(rng: random.Random, flow: Flow, count: int) -> int:
    """A number in the middle of `count` messages; counted from 1 it is a prime: no multiple of a batch or prefetch.

    None that is to be dropped: the first message of all is of no class.
    """
    owing = [n for n in range(2, count + 1) if flow.workload.owed(n - 1, 1)]
    primes = [n for n in owing if all(n % d for d in range(2, int(n**0.5) + 1))]
    middle = [n for n in primes if count / 4 <= n <= count * 3 / 4] or primes or [1]
    return rng.choice(middle) - 1


def _matched(flow: Flow, predicate: Callable[[str], object], name: str, count: int) -> int:
    """The first message of whose payload the predicate is true; the keys in it have a nonce that no scenario has."""
    for number in range(count):
        payload = filled(flow.workload, number, make_key("knone", number)).body.decode()
        try:
            meant = predicate(payload)
        except Exception as failed:  # anybody's code
            raise BadInput(f"{flow.origin}: target {name}: failed for {payload!r}: {failed!r}") from failed
        if meant:
            return number
    raise BadInput(f"{flow.origin}: target {name}: true for none of the first {count} payloads")


def _load_predicate(flow: Flow, wanted: str) -> Callable[[str], Any]:
    module, _, function = wanted.partition(":")
    if flow.folder not in sys.path:
        sys.path.insert(0, flow.folder)
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as bad:
        raise BadInput(f"{flow.origin}: target {wanted!r}: cannot be loaded: {bad}") from bad
    if not callable(found):
        raise BadInput(f"{flow.origin}: target {wanted!r}: expected a function of the payload, found {found!r}")
    return found  # type: ignore[no-any-return]
