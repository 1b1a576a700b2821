"""A session that a module's tests share, a flow that keeps its promise, and faults that can be replaced by worse ones.

In: a folder. Out: `Bench.run(cell, flow)`, the result of one scenario. Each sabotage is a change of `bench.flow`, of
a fault, or of one module's constant; `Bench.green` shows the same cell upheld without it, once for each flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import requests

from chaosharness.flowfile import load
from chaosharness.model.flow import Flow
from chaosharness.model.plan import Plan
from chaosharness.model.verdict import Result, Verdict
from chaosharness.ports.launch import Instance
from chaosharness.ports.plugin import Fault
from chaosharness.registry import Registry
from chaosharness.registry.registry import PORTS, PREFIX
from chaosharness.scenario.planning import make_plan
from chaosharness.scenario.rig import Rig
from chaosharness.session.session import Session

CLERK = Path(__file__).with_name("clerk.py")
FLOW = f"""
[flow.clerk]
semantic = "effectively_once"
because = "a double charge costs real money"
drain_within_s = 20
[flow.clerk.source]
rabbitmq = "orders"
[flow.clerk.consumer]
command = "python3 {CLERK}"
env = {{ AMQP_URL = "{{broker}}", QUEUE = "orders", CHARGES_URL = "{{effect}}" }}
[flow.clerk.effect]
http = "POST /v1/charges"
idempotent_by = "header:Idempotency-Key"
[flow.clerk.workload]
messages = 30
payload = '{{"order_id": "{{key}}"}}'
"""


class Overlay(Registry):
    """All that is installed, with some faults replaced for a while."""

    def __init__(self) -> None:
        super().__init__(point for group in PORTS for point in entry_points(group=PREFIX + group))
        self._replaced: dict[str, Fault] = {}

    def get(self, group: str, name: str) -> Any:
        if group == "faults" and name in self._replaced:
            return self._replaced[name]
        return super().get(group, name)

    @contextmanager
    def replaced(self, fault: Fault) -> Iterator[None]:
        """`fault` in the place of the one with its id."""
        self._replaced[fault.id] = fault
        try:
            yield
        finally:
            del self._replaced[fault.id]


class Bench:
    """One session."""

    def __init__(self, folder: Path) -> None:
        self.registry = Overlay()
        file = folder / "flows.toml"
        file.write_text(FLOW, encoding="utf-8")
        (self.flow,) = load(file, self.registry).flows
        self.session = Session(self.registry, seed=7, runs=folder / "runs")
        self._green: set[str] = set()

    def plan(self, cell: str, flow: Flow | None = None) -> Plan:
        """What the session would run."""
        flow = flow or self.flow
        cells = {one.id.cell: one for one in self.registry.cells(flow)}
        return make_plan(
            flow, cells[cell], [self.registry.fault(name) for name in cells[cell].id.faults], self.session.seed
        )

    def run_plan(self, plan: Plan, flow: Flow | None = None) -> Result:
        """One scenario, whatever comes of it."""
        return self.session.run_plan(flow or self.flow, plan)

    def run(self, cell: str, flow: Flow | None = None) -> Result:
        """One scenario, as the seed plans it."""
        return self.run_plan(self.plan(cell, flow), flow)

    def green(self, cell: str, flow: Flow | None = None) -> None:
        """The cell is upheld, and so it is the sabotage that makes the difference. Asked again, it is known."""
        asked = f"{cell} {flow or self.flow}"
        if asked not in self._green:
            result = self.run(cell, flow)
            assert result.verdict is Verdict.UPHELD, said(result)
            self._green.add(asked)

    def with_env(self, **env: str) -> Flow:
        """The flow, its consumer with these switches on."""
        assert self.flow.consumer
        return replace(self.flow, consumer=replace(self.flow.consumer, env={**self.flow.consumer.env, **env}))

    def with_command(self, command: str, **service: Any) -> Flow:
        """The flow with another program for its consumer."""
        assert self.flow.consumer
        return replace(self.flow, consumer=replace(self.flow.consumer, command=command, **service))

    @property
    def rig(self) -> Rig:
        """What runs; its servers are started where they are not."""
        return self.session._parts.rig([self.flow])

    @property
    def broker(self) -> Instance:
        """The running broker itself."""
        return self.rig.servers["rabbitmq"].instance

    def vhost(self) -> str:
        """The newest of the broker: that of the scenario that is being run."""
        management = self.broker.nodes["management"]
        answer = requests.get(f"http://{management}/api/vhosts", auth=("chaosharness", "chaosharness"), timeout=10)
        nonce = self.rig.nonces  # of those that have ended
        return next(str(one["name"]) for one in answer.json() if one["name"] != "/" and one["name"][:-2] not in nonce)


@contextmanager
def running(folder: Path) -> Iterator[Bench]:
    bench = Bench(folder)
    with bench.session:
        yield bench


def missing(result: Result) -> dict[str, str]:
    """What an unproven result lacks: code to reason."""
    assert result.verdict is Verdict.UNPROVEN, said(result)
    return {one.code.value: one.why for one in result.judgement.missing}


def said(result: Result) -> str:
    """All that a failing test should show of a result."""
    judgement = result.judgement
    lacks = [f"{one.code}: {one.why}" for one in judgement.missing]
    found = [f"{one.kind}: {one.attribution} {one.keys}" for one in judgement.findings]
    return "\n".join([f"{result.id} is {result.verdict}", *lacks, *found, *judgement.notes, str(judgement.reason)])
