"""The catalogue of windows and faults: every id that the contract knows, whether this version runs it or not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Window:
    """A named stretch of a message's life in which a fault is dangerous."""

    id: str
    opens: str
    closes: str
    question: str
    can_duplicate: bool = False
    """Whether the effect, or the message, may exist already when the fault strikes."""

    @property
    def arrow(self) -> str:
        """The id as reports show it."""
        return self.id.replace("-", " → ")


WINDOWS: dict[str, Window] = {
    w.id: w
    for w in (
        Window("publish-store", "the producer sent it", "the broker has it", "request lost: does the producer retry?"),
        Window(
            "store-confirm",
            "the broker has it",
            "the producer knows",
            "confirm lost: does the producer's retry duplicate? republished: does the consumer survive the duplicate?",
            can_duplicate=True,
        ),
        Window("stored", "the broker has it", "it is delivered", "broker killed: is the message still there?"),
        Window(
            "store-deliver",
            "the broker handed it over",
            "the consumer has it",
            "delivery cut: was it settled when it was written to a socket?",
        ),
        Window(
            "deliver-effect",
            "the consumer has it",
            "the effect is applied",
            "crash: lost (acknowledged first) or redelivered (acknowledged last)?",
        ),
        Window(
            "effect-response",
            "the effect is applied",
            "the consumer knows",
            "answer lost, crash: does the retry, or the redelivery, repeat the effect?",
            can_duplicate=True,
        ),
        Window(
            "effect-ack",
            "the consumer knows",
            "the ack is settled",
            "crash: is the effect applied twice?",
            can_duplicate=True,
        ),
        Window(
            "ack-settle",
            "the ack is sent",
            "the broker applied it",
            "ack lost: is the redelivery harmless?",
            can_duplicate=True,
        ),
        Window(
            "slow",
            "it is delivered",
            "past the ack, visibility, poll or claim time-out",
            "held too long: two consumers on one message?",
        ),
        Window(
            "rebalance",
            "a member joins or leaves",
            "the assignment is settled",
            "uncommitted work: done twice, or skipped?",
            can_duplicate=True,
        ),
        Window(
            "dedup",
            "a key is recorded",
            "the key is needed again",
            "store gone: is the effect repeated?",
            can_duplicate=True,
        ),
        Window(
            "poison",
            "a message that can never succeed arrives",
            "it is dead-lettered",
            "does it block, cycle for ever, vanish, or land in the dead-letter place?",
        ),
    )
}


class Actor(StrEnum):
    """Whose links a gate stands on."""

    CONSUMER = "consumer"
    PRODUCER = "producer"


FAULTS: dict[str, str] = {
    "crash": "SIGKILL of the whole process tree of the replica that holds the message; restarted as a supervisor would",
    "crash-child": "SIGKILL of the worker child that holds the message",
    "crash-parent": "SIGKILL of the parent process alone; its workers may live on beside the next ones",
    "term": "SIGTERM of the replica that holds the message; SIGKILL when its grace is over; started again",
    "freeze": "the replica's processes are stopped until the broker has given it up, then go on, unaware",
    "slow": "the message is held past a time-out of the broker or of a lock",
    "publish-lost": "the publish is thrown away on its way to the broker, and the connection is closed",
    "confirm-lost": "the publisher confirm is thrown away on its way to the producer, and the connection is closed",
    "republish": "the harness publishes the aimed message's bytes once more, as a retrying upstream would",
    "ack-lost": "the consumer ack is thrown away on its way to the broker, and the connection is closed",
    "response-lost": "the sink's answer is thrown away after the effect was applied",
    "apply-late": "the sink applies a request whose caller has given up",
    "cut": "bytes on their way are thrown away, then the connection is closed",
    "partition": "nothing passes between the replica and the broker, in either direction, for a while",
    "partition-in": "nothing reaches the replica from the broker for a while",
    "partition-out": "nothing reaches the broker from the replica for a while",
    "latency": "everything on the link is late",
    "bandwidth": "the link is slow",
    "slice": "the link delivers in small pieces",
    "reset": "the connection is reset",
    "refuse": "new connections are refused for a while",
    "broker-kill": "SIGKILL of the broker, which is then started again on its data",
    "broker-restart": "the broker is stopped in good order and started again on its data",
    "broker-freeze": "the broker's processes are stopped for a while, then go on",
    "alarm": "the broker runs short of memory: it blocks who publishes, for a while",
    "join": "one more replica subscribes while a message is in another's hands",
    "leave": "a replica is asked to end with a message in hand, and others stay; later it is started again",
    "wipe": "the store loses its data",
    "restart": "the store is restarted",
    "unreachable": "the store cannot be reached for a while",
    "expire": "the key in the store expires",
    "outage": "the sink answers errors for a while",
    "malformed": "a message that cannot be read",
    "reject": "a message that the effect refuses for good",
    "killer": "a message that kills its consumer",
}


@dataclass(frozen=True, slots=True)
class ScenarioId:
    """`flow[window:fault]`; several faults are joined by `+`, in the order of their injection."""

    flow: str
    window: str
    faults: tuple[str, ...]

    @property
    def fault(self) -> str:
        return "+".join(self.faults)

    @property
    def cell(self) -> str:
        """`window:fault`, as waivers and `scenarios` name it."""
        return f"{self.window}:{self.fault}"

    def __str__(self) -> str:
        return f"{self.flow}[{self.cell}]"

    @property
    def slug(self) -> str:
        """The id as a folder name: no `:`, no brackets."""
        return f"{self.flow}-{self.window}-{self.fault}"
