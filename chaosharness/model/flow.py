"""A flow as its flow file or `Flow` declares it: checked, complete, with every default filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaosharness.model.semantic import Promise

Target = str | int | Callable[[str], object]
"""A message's number, from 0; its key; or, as `module:function` or itself, a function: true of the payload meant."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where messages come from: a broker by its registered name, and the queue, topic or key there."""

    broker: str
    name: str
    declare: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the broker itself understands (`arguments`, `exchange`, `routing_key`, `dead_letter`, …), checked by it."""
    key: str | None = None
    """A `Place`, where the key cannot be found by its shape."""
    unkeyed: str = "unproven"
    """`unproven` | `ignore`"""


@dataclass(frozen=True, slots=True)
class Service:
    """A system under test: how to run it. Strings are templates, filled at launch."""

    name: str
    command: str
    """Of a container: in place of the image's own; empty: the image's own."""
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    cwd: str | None = None
    """Absolute; relative paths were resolved against the flow file's folder. Of a container: a path inside."""
    replicas: int = 1
    restart: str = "always"
    """`always` | `never`"""
    stop_grace_s: float = 10.0
    image: str | None = None
    """Run as a container of it; None: as a process of this machine."""
    network: str | None = None
    """Of a container: a Docker network of the user's that it joins too."""
    shared: bool = False
    """True for `[service.NAME]`, whose templates name the flow: `{payment.effect}`."""


@dataclass(frozen=True, slots=True)
class Producer:
    """A system under test that publishes when it is driven."""

    service: Service
    drive: str = "stdin"
    """`stdin`, or `METHOD /path` for a service that listens at `{port}`."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Where effects land: a sink by its registered name, and what counts there."""

    name: str
    """`effect` where a flow has one; else its name in `[flow.X.effects.NAME]`."""
    sink: str
    target: str
    """What the sink makes of it, e.g. `POST /v1/charges`; empty = any."""
    count: int = 1
    key: str | None = None
    idempotent_by: str | None = None
    answer_status: int = 200
    answer_body: str = "{}"


@dataclass(frozen=True, slots=True)
class StoreUse:
    """What the flow's services lean on to keep its promise: a store by its registered name."""

    name: str
    """As the templates have it: `{stores.NAME}`."""
    kind: str
    shared: bool = False
    """One with all flows that declare a shared store of this name; else the flow's alone."""


@dataclass(frozen=True, slots=True)
class PayloadClass:
    """Messages of another kind among the workload's."""

    name: str
    payload: str
    every: int
    """Of the messages, counted from 1, each that this divides is of the class."""
    counts: Mapping[str, int] | None = None
    """Effect's name → distinct effects owed there; None: as the effects themselves say."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is sent through the flow in one scenario."""

    messages: int = 200
    in_flight: int = 10
    rate_per_s: float | None = None
    payload: str = '{"key": "{key}"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    ordered_keys: int | None = None
    """How many ordering keys the messages take in turn; None: there is no `{ordered_key}`."""
    classes: tuple[PayloadClass, ...] = ()
    """Of a message that is of several, the first counts."""
    target: Target | None = None
    """Which message a fault is aimed at; None = drawn from the seed."""

    def class_of(self, number: int) -> PayloadClass | None:
        """The class of the message with this number (from 0), or None."""
        return next((one for one in self.classes if (number + 1) % one.every == 0), None)

    def owed(self, number: int, by_flow: int) -> int:
        """How many effects that message owes: as its class says, else as the flow does."""
        one = self.class_of(number)
        return by_flow if one is None or one.counts is None else sum(one.counts.values())


@dataclass(frozen=True, slots=True)
class Flow:
    """One named path producer → broker → consumer → effect, under one declared semantic, with the reason for it."""

    name: str
    source: Source
    promise: Promise
    consumer: Service | None = None
    """None: the harness reads the source itself, and arrival is the effect."""
    producer: Producer | None = None
    """None: the harness publishes, with confirms."""
    effects: tuple[Effect, ...] = ()
    stores: tuple[StoreUse, ...] = ()
    workload: Workload = Workload()
    scenarios: tuple[str, ...] = ("*",)
    """Globs over `window:fault`."""
    origin: str = "<python>"
    """The flow file, or where the `Flow` was made; for errors and reproduce lines."""
    folder: str = "."
    """What relative paths are relative to: the flow file's folder."""
    images: Mapping[str, str] = field(default_factory=dict)
    """The flow file's `[images]`: by server, in place of the official ones."""


@dataclass(frozen=True, slots=True)
class FlowFile:
    """All of one `flows.toml`."""

    path: str
    flows: tuple[Flow, ...]
