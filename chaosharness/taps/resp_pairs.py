"""Commands of one Redis connection paired with their replies; what a pair means is for the codec that derives from it.

A Redis connection is answered in order, so commands and replies pair first in, first out. Exceptions to that (pushes,
subscriptions, transactions) are handled here; what ends the pairing for good (MONITOR, replication, CLIENT REPLY OFF)
ends the decoding with `unparsed`. One unit per command or reply, byte-exact, all in one lane per direction.
To try it: `suites/unit/test_taps_resp_pairing.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaosharness.model.event import Kind, Sighting
from chaosharness.ports.wire import Side, Unit
from chaosharness.taps.resp_frames import ErrorReply, Frame, Framer, Malformed, Value

LANE = 1
SCRIPTS = frozenset({"EVAL", "EVALSHA", "FCALL"})
SUBSCRIPTIONS = frozenset(f"{s}{word}" for s in ("", "P", "S") for word in ("SUBSCRIBE", "UNSUBSCRIBE"))
MESSAGES = frozenset({b"message", b"pmessage", b"smessage"})
NOT_QUEUED = frozenset({"MULTI", "EXEC", "DISCARD", "WATCH", "QUIT", "RESET"})
"""Commands that act at once inside a transaction."""
UNPAIRED = frozenset({"MONITOR", "SYNC", "PSYNC"})
"""What follows them from the server are no replies."""


@dataclass(slots=True)
class Command:
    """A command that waits for its reply."""

    name: str
    args: list[bytes]
    """Without the name."""
    replies: int = 1
    queued: bool = False
    """Sent inside a transaction: answered by QUEUED now, and in EXEC's reply later."""
    members: list[Command] = field(default_factory=list)
    """Of an EXEC: the commands of its transaction."""
    said: Kind | None = None
    """What the codec made of it when it was sent, for its answer."""


class Pairing(ABC):
    """One connection, RESP2 or RESP3: `feed` and `split` of a ports.wire.Codec."""

    def __init__(self) -> None:
        self._framers = {Side.CLIENT: Framer(requests=True), Side.SERVER: Framer(requests=False)}
        self._gave_up = False
        self._due: deque[Command] = deque()
        """Commands without their reply, oldest first."""
        self._transaction: list[Command] | None = None
        self._resp3 = False
        self._channels: dict[str, set[bytes]] = {"": set(), "P": set(), "S": set()}
        """What the requests so far subscribe to: an UNSUBSCRIBE of all is answered once for each."""
        self._subscribed = 0
        """Subscriptions by the last reply that told."""
        self._told: set[str] = set()

    @abstractmethod
    def sent(self, command: Command) -> list[Sighting]:
        """What a command says when it takes effect: at its request, or at the request of its EXEC."""

    @abstractmethod
    def answered(self, command: Command, value: Value) -> list[Sighting]:
        """What a reply, or one result of EXEC's, says."""

    def once(self, what: str) -> bool:
        """True the first time: for what is said once a connection (a subscription, advice)."""
        if what in self._told:
            return False
        self._told.add(what)
        return True

    def feed(self, side: Side, data: bytes) -> Sequence[Unit]:
        """See ports.wire.Codec. A client that closes in the middle of a command loses it here; Redis ignores it too."""
        framer = self._framers[side]
        framer.feed(data)
        units: list[Unit] = []
        frame: Frame | None = None
        try:
            while not self._gave_up and (frame := framer.next()):
                seen = self._request(frame) if side is Side.CLIENT else self._reply(frame)
                units.append(Unit(frame.data, LANE, tuple(seen)))
                frame = None
        except Malformed as why:
            self._gave_up = True
            rest = (frame.data if frame else b"") + framer.rest()
            seen = [Sighting(Kind.UNPARSED, data={"reason": str(why), "bytes": len(rest)})]
            units.append(Unit(rest, LANE, tuple(seen)))
        if self._gave_up and (rest := framer.rest()):
            units.append(Unit(rest, LANE))
        return units

    def split(self, unit: Unit, key: str) -> tuple[Unit | None, Unit]:
        """Redis answers a command of several elements with one reply: nothing can be split."""
        return None, unit

    def _request(self, frame: Frame) -> list[Sighting]:
        words = [word for word in frame.value if isinstance(word, bytes)] if isinstance(frame.value, list) else []
        if not words:
            return []  # Redis ignores empty lines and empty arrays
        command = Command(words[0].decode("ascii", "replace").upper(), words[1:])
        name = command.name
        if name in UNPAIRED or _silences(command):
            raise Malformed(f"after {name} replies do not pair with commands any more")
        self._due.append(command)
        if self._transaction is not None and name not in NOT_QUEUED:
            command.queued = True
            self._transaction.append(command)
            return []
        if name in SUBSCRIPTIONS:
            command.replies = self._replies_due(command)
        elif name == "MULTI":
            self._transaction = self._transaction or []
        elif name == "EXEC":
            command.members, self._transaction = self._transaction or [], None
            return [seen for member in command.members for seen in self.sent(member)]
        elif name in ("DISCARD", "RESET"):
            self._transaction = None
        return self.sent(command)

    def _replies_due(self, command: Command) -> int:
        kind = command.name.removesuffix("SUBSCRIBE").removesuffix("UN")
        channels = self._channels[kind]
        if not command.name.endswith("UNSUBSCRIBE"):
            channels.update(command.args)
            return len(command.args) or 1  # without channels: one error
        due = len(command.args or channels) or 1
        channels.difference_update(command.args or list(channels))
        return due

    def _reply(self, frame: Frame) -> list[Sighting]:
        value = frame.value
        command = self._due[0] if self._due else None
        event = value[0] if isinstance(value, list) and value and isinstance(value[0], bytes) else b""
        if command and command.name in SUBSCRIPTIONS and not command.queued:
            answers = event.decode("ascii", "replace").upper() == command.name
            if answers or isinstance(value, ErrorReply):
                command.replies = command.replies - 1 if answers else 0
                if answers and isinstance(value, list) and isinstance(value[-1], int):
                    self._subscribed = value[-1]
                if command.replies == 0:
                    self._due.popleft()
                return []
        if frame.kind == ">" or (not self._resp3 and self._subscribed and event in MESSAGES):
            return []
        if command is None:
            if isinstance(value, ErrorReply):
                return []  # a refusal at the connect: too many clients, protected mode
            raise Malformed("a reply without a command")
        self._due.popleft()
        if command.queued and frame.kind == "+" and value == b"QUEUED":
            return []
        command.queued = False  # refused, or MULTI was: this is its own answer
        if command.name == "HELLO" and not isinstance(value, ErrorReply):
            self._resp3 = frame.kind == "%"
        elif command.name == "RESET":
            self._resp3, self._subscribed = False, 0
            self._channels = {kind: set() for kind in self._channels}
        if command.name != "EXEC":
            return self.answered(command, value)
        members = [member for member in command.members if member.queued]
        aborted = value if isinstance(value, ErrorReply) else ErrorReply(b"EXECABORT a watched key changed")
        results = value if isinstance(value, list) else [aborted] * len(members)
        if len(results) != len(members):
            raise Malformed(f"EXEC answers {len(results)} commands of {len(members)}")
        pairs = zip(members, results, strict=True)
        return [seen for member, result in pairs for seen in self.answered(member, result)]


def integer(text: bytes) -> int | None:
    """A number as Redis takes one (64 bits), or None."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if -(1 << 63) <= number < 1 << 63 else None


def text(name: bytes) -> str:
    """The name of a key or list as the ledger has it."""
    return name.decode("utf-8", "backslashreplace")


def _silences(command: Command) -> bool:
    words = [arg.upper() for arg in command.args[:2]]
    return command.name == "CLIENT" and words in ([b"REPLY", b"OFF"], [b"REPLY", b"SKIP"])
