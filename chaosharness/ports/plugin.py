"""What a broker, a sink and a fault must be; each is one file and one entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from chaosharness.model.address import Address
from chaosharness.model.aim import Aim
from chaosharness.model.event import Event
from chaosharness.model.flow import Effect, Flow, Source, StoreUse
from chaosharness.model.gate import Action, Hold
from chaosharness.model.semantic import Promise
from chaosharness.ports.launch import Evidence, Instance, Namespace
from chaosharness.ports.wire import CodecOptions


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be published."""

    key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    ordering: str | None = None
    """Its ordering key, where the flow has one: of each, one message is published after the other."""
    says: Mapping[str, Any] = field(default_factory=dict)
    """What its invocation records of it: `ordering`, `class`, `count`, `counts` (model.event)."""


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


class SettlingBroker(Protocol):
    """A broker that writes down only after a while what was declared, and can be told to do it now. Opt-in."""

    def settle(self, server: Instance, namespace: Namespace) -> None:
        """Called when all services are ready: what they declared is there by then."""
        ...


class AlarmingBroker(Protocol):
    """A broker that can run short of memory. Opt-in: what offers `alarm` has it."""

    def alarm(self, server: Instance) -> AbstractContextManager[Evidence]:
        """From entering to leaving it is short, takes nothing from producers, and says so; either is looked at."""
        ...

    def alarmed(self, server: Instance) -> bool:
        """What it says of itself now."""
        ...


class TimingBroker(Protocol):
    """A broker that takes a delivery away from a consumer that is too slow. Opt-in: what offers `slow` has it."""

    def consumer_timeout(self, server: Instance, seconds: float) -> AbstractContextManager[Evidence]:
        """For channels opened from now on; as it was before, after it."""
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


class Store(Protocol):
    """One kind of store. Addresses given to it are a link's for traffic; what it does itself it does past the taps."""

    name: str
    server: str
    """Entry-point name of the Server that it lives on: one of its own, beside any broker of that kind."""
    codec: str
    """Entry-point name of its wire codec, whose `source` is the store's name."""

    def connection_string(self, address: Address, namespace: Namespace) -> str: ...

    def aims(self, flow: Flow, use: StoreUse) -> Sequence[Aim]:
        """The windows that this store gives to the flow."""
        ...

    def wipe(self, server: Instance, namespace: Namespace) -> Evidence:
        """Takes all data of the namespace away, and looks."""
        ...

    def expire(self, server: Instance, namespace: Namespace, key: str, within_s: float) -> Evidence:
        """Of the entries that name the message's key, lets those expire whose time would end within so long, and looks.

        Facts: `expired`, their names; where there are none, nothing was done.
        """
        ...


class ToxicLink(Protocol):
    """A link as a fault sees it."""

    @property
    def id(self) -> str: ...

    @property
    def listen(self) -> Address: ...

    @property
    def upstream(self) -> Address:
        """The tap or sink that it leads to, as Toxiproxy names it."""
        ...

    def apply(self, *toxics: Mapping[str, Any]) -> AbstractContextManager[Evidence]:
        """Adds the toxics, reads them back; on exit removes them and reads back that they are gone."""
        ...

    def disable(self) -> Evidence:
        """Closes every connection and refuses new ones, until `enable`."""
        ...

    def enable(self) -> Evidence: ...


class Ticket(Protocol):
    """A gate that has fired."""

    @property
    def hold(self) -> Hold: ...

    def discard(self) -> Evidence:
        """Throws away what is held and all behind it; the connection itself is left to whoever ends it."""
        ...

    def forward(self) -> Evidence:
        """Lets what is held go on, before the fault's other acts."""
        ...

    def await_gone(self, timeout_s: float) -> Evidence:
        """Waits until an end of the held connection is at end of file."""
        ...


class Witness(Protocol):
    """What has been recorded so far by taps, sinks and keeper, for a fault that waits for it."""

    def so_far(self) -> Sequence[Event]:
        """All that has been read; its length is a mark for `wait`."""
        ...

    def wait(self, what: str, timeout_s: float, match: Callable[[Event], bool], after: int = 0) -> Event | None:
        """The first event after the mark that matches; None when the time is over."""
        ...


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """A store of the flow, as a fault sees it."""

    use: StoreUse
    store: Store
    server: Instance
    server_ready: Callable[[], None]
    namespace: Namespace
    link: ToxicLink | None
    """The held replica's link to it; None where that service never names it."""
    others: Sequence[ToxicLink] = ()
    """The links of the service's other replicas to it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault may act upon: all that belongs to the replica, the link and the broker that hold the message."""

    key: str
    """The aimed one."""
    promise: Promise
    ticket: Ticket
    instance: Instance | None
    """The replica that holds the message; None where the gate is on the harness's own link."""
    others: Sequence[Instance]
    """The service's other replicas."""
    restarts: bool
    """Whether that replica has a supervisor that starts it again."""
    stop_grace_s: float
    """How long the service may take to end after SIGTERM."""
    link: ToxicLink
    """That replica's link to the broker."""
    held_link: ToxicLink
    """The link on which the message is held: to the broker, the sink or the store."""
    store: StoreTarget | None
    """The store that the gate stands at, else the flow's first one; None where it has none."""
    witness: Witness
    sever: Callable[[], Evidence]
    """Closes all connections of the replica's broker link at the tap, as a broker does that hears no heartbeat."""
    sever_held: Callable[[], Evidence]
    """The same of the link on which the message is held."""
    join: Callable[[], Evidence]
    """Starts one more replica; returns when a tap has seen it subscribe. It ends with the scenario."""
    again: Callable[[float], Ticket | None]
    """Arms the gate once more; the aimed key's next hold within so many seconds, or None."""
    control_sink: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Tells the aimed sink (the flow's first, where the gate is at none) how to behave; what it says to that."""
    toxiproxy_log: Path
    """Toxiproxy's: the order in which links took their clients."""
    broker: Broker
    server: Instance
    """The broker's."""
    server_ready: Callable[[], None]
    """Waits until the broker serves clients again."""
    republish: Callable[[], Evidence]
    """Publishes the aimed message's bytes once more, on a connection of the harness's own; returns at its confirm."""
    prepared: Evidence | None = None
    """What the fault's `prepare` came to."""


@dataclass(slots=True)
class Injection:
    """A fault that is in: what shows it, and afterwards what shows its heal."""

    evidence: Evidence
    healed: Evidence | None = None
    declined: str | None = None
    """Why the fault turns out not to be applicable here; it has then done nothing."""
    release: Release | None = None
    """In place of the fault's own, where what becomes of the held message depends on where it is held."""


class Release(StrEnum):
    """What becomes of the held message when the fault has its evidence."""

    FORWARD = "forward"
    DISCARD = "discard"
    SEVER = "sever"
    """Thrown away, and the replica's connections to the broker closed: what it held is handed over again."""


class Fault(Protocol):
    """One way to break something. One instance serves any number of scenarios.

    Three things more, for those that need them: `deadline_s: float`, how long the gate may hold (default 5 s);
    `spoil(message) -> Message`, which changes the aimed message before the harness publishes it; and
    `prepare(broker, server) -> ContextManager[Evidence]`, around all of the scenario, the systems under test included.
    """

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
