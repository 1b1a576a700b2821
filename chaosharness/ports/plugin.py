"""What a broker, a sink and a fault must be; each is one file and one entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from chaosharness.model.address import Address
from chaosharness.model.aim import Aim
from chaosharness.model.flow import Effect, Flow, Source
from chaosharness.model.gate import Action, Hold
from chaosharness.ports.launch import Evidence, Instance, Namespace
from chaosharness.ports.wire import CodecOptions


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be published."""

    key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)


class Outcome(StrEnum):
    """How an operation completed; INFO is indeterminate, and the default of every doubt."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of one publish."""

    key: str
    outcome: Outcome
    detail: str = ""
    told: bool = False
    """The caller got an answer, whatever it said; an `info` that nobody was told of is the producer giving up."""


class BrokerProducer(Protocol):
    """The harness as producer: confirms, mandatory, no re-send of its own."""

    def send(self, message: Message) -> None:
        """Hands it over without waiting."""
        ...

    def completions(self, timeout_s: float) -> Sequence[Completion]:
        """What completed since the last call; waits up to `timeout_s` for the first.

        A lost connection completes all that is outstanding as INFO.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Held:
    """What the broker says it still has of the source: counts; None = unknown."""

    ready: int | None
    unacked: int | None
    dead: int | None = None

    @property
    def empty(self) -> bool:
        return self.ready == 0 and self.unacked == 0


class Broker(Protocol):
    """One kind of broker. Addresses given to it are a link's for traffic, the server's own for counts."""

    name: str
    server: str
    """Entry-point name of the Server that it lives on."""
    codec: str
    """Entry-point name of its wire codec."""
    redelivers: bool
    """The broker itself hands an unsettled delivery over again when its connection is lost."""

    def problems(self, source: Source) -> Sequence[str]:
        """Everything wrong with the source's options, each naming its key."""
        ...

    def reader(self, source: Source) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Command and environment (templates) of the harness's own reader, for a flow without a consumer."""
        ...

    def codec_options(self, source: Source, producer_link: bool) -> CodecOptions: ...

    def connection_string(self, address: Address, namespace: Namespace) -> str:
        """What the ecosystem calls one: `amqp://user:password@host:port/vhost`."""
        ...

    def aims(self, flow: Flow) -> Sequence[Aim]:
        """The windows that this broker gives to the flow."""
        ...

    def declare(self, server: Instance, namespace: Namespace, source: Source) -> None:
        """Makes the queue, topic or key before the system under test starts. Raises BadInput if refused."""
        ...

    def producer(self, address: Address, namespace: Namespace, source: Source) -> BrokerProducer:
        """A producer through the link at `address`."""
        ...

    def held(self, server: Instance, namespace: Namespace, source: Source, seen_at: Sequence[str]) -> Held:
        """Live counts for the drain. `seen_at`: other places that a tap saw messages moved to."""
        ...

    def yields(
        self,
        server: Instance,
        namespace: Namespace,
        source: Source,
        seen_at: Sequence[str],
        find: Callable[[bytes], str | None],
    ) -> Mapping[str, Sequence[str]]:
        """After the systems under test have stopped: the keys that the durable position still yields, by place.

        A place named `dead:…` is the declared dead-letter place: what is there is parked, not held.
        """
        ...


class Sink(Protocol):
    """One kind of effect."""

    name: str
    stub: str
    """Entry-point name of its Stub in the relay."""

    def problems(self, effect: Effect) -> Sequence[str]: ...

    def stub_options(self, effect: Effect) -> Mapping[str, Any]:
        """Plain JSON types: it crosses processes."""
        ...

    def connection_string(self, address: Address) -> str: ...

    def aims(self, flow: Flow, effect: Effect) -> Sequence[Aim]: ...


class ToxicLink(Protocol):
    """A link as a fault sees it."""

    @property
    def id(self) -> str: ...

    @property
    def listen(self) -> Address: ...

    def apply(self, *toxics: Mapping[str, Any]) -> AbstractContextManager[Evidence]:
        """Adds the toxics, reads them back; on exit removes them and reads back that they are gone."""
        ...


class Ticket(Protocol):
    """A gate that has fired."""

    @property
    def hold(self) -> Hold: ...

    def discard(self) -> Evidence:
        """Throws away what is held and all behind it; both ends are then closed."""
        ...

    def await_gone(self, timeout_s: float) -> Evidence:
        """Waits until an end of the held connection is at end of file."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault may act upon: all that belongs to the replica, the link and the broker that hold the message."""

    ticket: Ticket
    instance: Instance | None
    """The replica that holds the message; None where the gate is on the harness's own link."""
    restarts: bool
    """Whether that replica has a supervisor that starts it again."""
    link: ToxicLink
    """That replica's link to the broker."""
    server: Instance
    """The broker."""
    server_ready: Callable[[], None]
    """Waits until the broker serves clients again."""
    republish: Callable[[], Evidence]
    """Publishes the aimed message's bytes once more, on a connection of the harness's own; returns at its confirm."""


@dataclass(slots=True)
class Injection:
    """A fault that is in: what shows it, and afterwards what shows its heal."""

    evidence: Evidence
    healed: Evidence | None = None


class Release(StrEnum):
    """What becomes of the held message when the fault has its evidence."""

    FORWARD = "forward"
    DISCARD = "discard"


class Fault(Protocol):
    """One way to break something. One instance serves any number of scenarios."""

    id: str
    action: Action
    """What the gate is to do: HOLD for a fault that acts meanwhile; CUT for one that the gate carries out itself."""
    release: Release
    until: str
    """When it heals: `at_once` | `published` (model.plan.Step)."""
    leaves_survivors: bool
    """A process that the fault met lives on, and could still act on what it had in memory."""

    def inject(self, target: Target) -> AbstractContextManager[Injection]:
        """Entering injects and looks for evidence; leaving heals and looks again, into `Injection.healed`.

        For CUT, entering only gathers the evidence of what the gate did.
        """
        ...
