"""A good flow file, and stand-ins for the plugins: what a flow file is held to without any broker's code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaosharness.flowfile import load
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Effect, Flow, FlowFile, Source
from chaosharness.model.plan import Cell
from chaosharness.model.window import ScenarioId

GOOD = """\
[flow.payment]
semantic = "effectively_once"
because = "a double charge costs real money"
[flow.payment.source]
rabbitmq = "payments"
[flow.payment.consumer]
command = "sh pay.sh --queue payments"
env = { AMQP_URL = "{broker}", CHARGES_URL = "{effect}" }
[flow.payment.effect]
http = "POST /v1/charges"
idempotent_by = "header:Idempotency-Key"
"""


class Plain:
    """A broker and a sink that object to whatever they are told to."""

    def __init__(self, *objections: str) -> None:
        self.objections = objections

    def problems(self, part: Source | Effect) -> Sequence[str]:
        return self.objections


class Plugins:
    """As the registry, with this version's names."""

    def __init__(self, **plugins: Any) -> None:
        self.plugins = plugins

    def names(self, group: str) -> list[str]:
        return {
            "brokers": ["rabbitmq", "redis_list", "toy"],
            "sinks": ["http", "toybox"],
            "faults": ["ack-lost", "broker-kill", "crash", "partition"],
            "servers": ["rabbitmq", "redis"],
            "stores": ["redis"],
        }[group]

    def get(self, group: str, name: str) -> Any:
        return self.plugins.get(name, Plain())

    def cells(self, flow: Flow) -> list[Cell]:
        pairs = (("deliver-effect", "crash"), ("effect-ack", "crash"), ("effect-ack", "partition"))
        return [Cell(ScenarioId(flow.name, window, (fault,)), None) for window, fault in pairs]


def read(folder: Path, text: str, plugins: Plugins | None = None, *, probe: bool = False) -> FlowFile:
    """What the text comes to as `flows.toml` in `folder`."""
    path = folder / "flows.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, plugins or Plugins(), probe=probe)


def error(tmp_path: Path, text: str, plugins: Plugins | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, text, plugins)
    return caught.value


def said(tmp_path: Path, text: str, plugins: Plugins | None = None) -> str:
    return str(error(tmp_path, text, plugins)).replace(f"{tmp_path}/", "")
