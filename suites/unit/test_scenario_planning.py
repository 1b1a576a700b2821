"""Which message a fault is aimed at: the nth, a key, a predicate on the payload, or one drawn from the seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosharness.faults.crash import Crash
from chaosharness.faults.partition import Partition
from chaosharness.model.aim import Aim
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow, Source, Target, Workload
from chaosharness.model.gate import Point
from chaosharness.model.plan import Cell, Plan
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.model.window import Actor, ScenarioId
from chaosharness.scenario.planning import make_plan

AIM = Aim("effect-ack", Point.SETTLE, Actor.CONSUMER, "broker", ("crash",), redelivers=frozenset({"crash"}))
CELL = Cell(ScenarioId("pay", "effect-ack", ("crash",)), AIM)


def aimed(flow: Flow, target: Target | None = None, seed: int = 1) -> int:
    return make_plan(flow, CELL, [Crash()], seed, target).target


def a_flow(folder: Path | str = ".", **workload: object) -> Flow:
    return Flow(
        "pay",
        Source("rabbitmq", "orders"),
        Promise(Semantic.AT_LEAST_ONCE),
        workload=Workload(**workload),  # type: ignore[arg-type]
        folder=str(folder),
    )


def odd_amount(payload: str) -> bool:
    return '"n": "' in payload and payload.endswith('7"}')


def test_the_nth() -> None:
    assert aimed(a_flow(), 17) == 17
    assert aimed(a_flow(), "17") == 17
    assert aimed(a_flow(target=5)) == 5
    assert aimed(a_flow(target=5), 6) == 6, "what the caller asks for comes first"


def test_a_key() -> None:
    assert aimed(a_flow(), "k7f3q-000017") == 17


def test_a_predicate_on_the_payload(tmp_path: Path) -> None:
    flow = a_flow(tmp_path, payload='{"n": "{key}"}')
    assert aimed(flow, odd_amount) == 7
    (tmp_path / "predicates_of_a_test.py").write_text("def seventh(payload): return payload.endswith('17\"}')\n")
    assert aimed(flow, "predicates_of_a_test:seventh") == 17


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (180, "target 180: of 200 messages, 0 to 179 are sent before the heal"),
        ("nothing", "target 'nothing': expected a message's number, a key or module:function"),
        (lambda payload: False, "target <lambda>: true for none of the first 180 payloads"),
        (lambda payload: payload["n"], 'target <lambda>: failed for \'{"key": '),
        ("no_such_module:f", "target 'no_such_module:f': cannot be loaded"),
        ("os:sep", "target 'os:sep': expected a function of the payload, found '/'"),
    ],
)
def test_a_target_that_names_no_message(target: Target, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        aimed(a_flow(), target)
    assert said in str(caught.value)


@pytest.mark.parametrize("messages", [1, 2, 3, 10, 60, 200, 1000])
def test_one_drawn_is_no_multiple_of_a_batch_and_in_the_middle(messages: int) -> None:
    for seed in range(50):
        number = aimed(a_flow(messages=messages), seed=seed)
        nth = number + 1
        assert 0 <= number < max(1, messages - max(1, messages // 10))
        if messages >= 10:
            assert all(nth % batch for batch in range(2, nth)), f"the {nth}th ends a batch"
        assert aimed(a_flow(messages=messages), seed=seed) == number, "the same seed, the same message"


def test_two_faults_in_their_order() -> None:
    cell = Cell(ScenarioId("pay", "effect-ack", ("crash", "partition")), AIM)
    plan: Plan = make_plan(a_flow(), cell, [Crash(), Partition()], 1)
    assert [(step.fault, step.until) for step in plan.steps] == [("crash", "at_once"), ("partition", "published")]
    assert not plan.redelivers, "after the second one the aim promises none"
