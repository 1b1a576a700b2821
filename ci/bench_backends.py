"""Docker against local, in turns and in one run: a session's start, a scenario, a broker's restart, a session's end.

In: a scenario. Out: seconds on each backend, and the ratio of docker's to local's. Part of `ci/bench`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import containers
import scenarios

from chaosharness.model.errors import HarnessBroke, MissingServer
from chaosharness.model.verdict import Verdict
from chaosharness.ports.launch import Signal
from chaosharness.registry import Registry
from chaosharness.session.backend import Backend, choose_backend
from chaosharness.session.choose import Choice
from chaosharness.session.session import Session

MEASURED = {
    "session_s": "session's start: keeper, relay, Toxiproxy, RabbitMQ",
    "scenario_s": "scenario, servers up",
    "restart_s": "broker's restart after SIGKILL",
    "end_s": "session's end",
}
"""Name in the figures to words."""
Seconds = dict[str, list[float]]


def backends() -> Mapping[str, Backend | str]:
    """Local, and docker with the versions of the local servers; a reason where that cannot be had."""
    local = choose_backend("local")
    try:
        return {"local": local, "docker": containers.backend("docker", containers.PREFERRED)}
    except MissingServer as missing:
        return {"local": local, "docker": str(missing)}


def measure(choice: Choice, folder: Path, rounds: int, scenarios_each: int) -> dict[str, Seconds]:
    """By backend and what was measured; without docker where it cannot be had."""
    found: dict[str, Seconds] = {}
    for _ in range(rounds):
        for name, backend in backends().items():
            if isinstance(backend, Backend):
                seconds = found.setdefault(name, {one: [] for one in MEASURED})
                _round(seconds, backend, choice, folder, scenarios_each)
    return found


def _round(seconds: Seconds, backend: Backend, choice: Choice, folder: Path, scenarios_each: int) -> None:
    began = time.monotonic()
    session = Session(Registry.load(), seed=1, runs=folder, backend=backend)
    try:
        rig = session.start([choice.flow])
        seconds["session_s"].append(time.monotonic() - began)
        for number in range(scenarios_each):
            session.seed = number
            began = time.monotonic()
            result = session.run_cell(choice.flow, choice.cell, choice.others)
            if result.verdict is not Verdict.UPHELD:
                raise HarnessBroke(f"{result.id} should be upheld on {backend}: {scenarios.outcome(result)}")
            if number:  # the first one in a session also meets cold caches
                seconds["scenario_s"].append(time.monotonic() - began)
        broker = rig.servers[session.registry.broker(choice.flow.source.broker).server]
        broker.instance.signal(Signal.KILL)
        began = time.monotonic()
        broker.instance.restart()
        broker.server.wait_ready(broker.instance)
        seconds["restart_s"].append(time.monotonic() - began)
    finally:
        began = time.monotonic()
        session.close()
    seconds["end_s"].append(time.monotonic() - began)


def pairs(found: Mapping[str, Seconds], one: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Docker's and local's seconds of one measurement, in the order of the rounds; None without docker."""
    if "docker" not in found:
        return None
    return found["docker"][one], found["local"][one]
