"""What passes between a client and Redis, read for one list that serves as a queue: bytes in, units with sightings out.

One unit per command or reply, byte-exact, all in one lane per direction: a Redis connection is answered in order, so
commands and replies pair first in, first out. Exceptions to that pairing (pushes, subscriptions, transactions) are
handled here; commands that end it for good (MONITOR, replication, CLIENT REPLY OFF) end the decoding with `unparsed`.

How a list queue speaks in the ledger's words:

    LPUSH source payload          publish, confirmed by its integer reply
    BRPOP source                  subscribe at the request; its reply is deliver (settled by being handed over)
    BLMOVE source processing      subscribe at the request; its reply is deliver (unsettled: the message is in `place`)
    LREM processing payload       settle
    LMOVE processing source       reclaim at its reply
    MULTI … EXEC                  requests take effect at EXEC, replies at EXEC's reply

To try it: `suites/unit/test_taps_resp_codec.py` feeds literal bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder
from chaosharness.ports.wire import CodecOptions, Side, Unit
from chaosharness.taps.resp_frames import ErrorReply, Frame, Framer, Malformed, Value

LANE = 1

PUSHES = frozenset({"LPUSH", "RPUSH", "LPUSHX", "RPUSHX"})
POPS = frozenset({"LPOP", "RPOP", "BLPOP", "BRPOP", "LMPOP", "BLMPOP"})
MOVES = frozenset({"LMOVE", "BLMOVE", "RPOPLPUSH", "BRPOPLPUSH"})
REMOVES = frozenset({"LREM", "LTRIM", "DEL", "UNLINK"})
SCRIPTS = frozenset({"EVAL", "EVALSHA", "FCALL"})
SUBSCRIPTIONS = frozenset(f"{s}{word}" for s in ("", "P", "S") for word in ("SUBSCRIBE", "UNSUBSCRIBE"))
MESSAGES = frozenset({b"message", b"pmessage", b"smessage"})
NOT_QUEUED = frozenset({"MULTI", "EXEC", "DISCARD", "WATCH", "QUIT", "RESET"})
"""Commands that act at once inside a transaction."""
UNPAIRED = frozenset({"MONITOR", "SYNC", "PSYNC"})
"""What follows them from the server are no replies."""


@dataclass(slots=True)
class _Command:
    """A command that waits for its reply."""

    name: str
    args: list[bytes]
    """Without the name."""
    replies: int = 1
    queued: bool = False
    """Sent inside a transaction: answered by QUEUED now, and in EXEC's reply later."""
    members: list[_Command] = field(default_factory=list)
    """Of an EXEC: the commands of its transaction."""


class RespCodec:
    """ports.wire.Codec for RESP2 and RESP3, one per connection."""

    def __init__(self, options: CodecOptions, finder: KeyFinder) -> None:
        """`options.source` is the list's key, as it stands on the wire."""
        self._source = options.source.encode()
        self._finder = finder
        self._framers = {Side.CLIENT: Framer(requests=True), Side.SERVER: Framer(requests=False)}
        self._gave_up = False
        self._due: deque[_Command] = deque()
        """Commands without their reply, oldest first."""
        self._transaction: list[_Command] | None = None
        self._resp3 = False
        self._channels: dict[str, set[bytes]] = {"": set(), "P": set(), "S": set()}
        """What the requests so far subscribe to: an UNSUBSCRIBE of all is answered once for each."""
        self._subscribed = 0
        """Subscriptions by the last reply that told."""
        self._processing: dict[bytes, list[str]] = {}
        """Lists that this connection moved messages of the source to, and the keys there, head first."""
        self._delivered: set[str] = set()
        self._told: set[str] = set()
        """What is said once a connection: subscribe, advice."""

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
        """Redis answers a push of several elements with one number: nothing can be split."""
        return None, unit

    # pairing

    def _request(self, frame: Frame) -> list[Sighting]:
        words = [word for word in frame.value if isinstance(word, bytes)] if isinstance(frame.value, list) else []
        if not words:
            return []  # Redis ignores empty lines and empty arrays
        command = _Command(words[0].decode("ascii", "replace").upper(), words[1:])
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
            return [seen for member in command.members for seen in self._sent(member)]
        elif name in ("DISCARD", "RESET"):
            self._transaction = None
        return self._sent(command)

    def _replies_due(self, command: _Command) -> int:
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
            return self._answered(command, value)
        members = [member for member in command.members if member.queued]
        aborted = value if isinstance(value, ErrorReply) else ErrorReply(b"EXECABORT a watched key changed")
        results = value if isinstance(value, list) else [aborted] * len(members)
        if len(results) != len(members):
            raise Malformed(f"EXEC answers {len(results)} commands of {len(members)}")
        pairs = zip(members, results, strict=True)
        return [seen for member, result in pairs for seen in self._answered(member, result)]

    # requests

    def _sent(self, command: _Command) -> list[Sighting]:
        """What a command says when it takes effect: at its request, or at the request of its EXEC."""
        name, args = command.name, command.args
        if name in PUSHES and len(args) > 1:
            return self._pushed(name, args[0], args[1:])
        if name in REMOVES and args:
            return self._removed(name, args)
        if name in POPS or name in MOVES:
            return self._asked(name) if self._source in _taken_from(command) else []
        if name in SCRIPTS and self._source in args and self._once("script"):
            detail = f"{name} works on {self._name(self._source)}: what a script does to it is not seen by the tap"
            return [Sighting(Kind.ADVICE, data={"code": "script_on_source", "detail": detail})]
        return []

    def _pushed(self, name: str, to: bytes, elements: Sequence[bytes]) -> list[Sighting]:
        place = self._name(to)
        if to != self._source:
            keys = self._keys(elements)
            return [Sighting(Kind.ASIDE, keys, {"what": name, "to": place})] if keys else []
        keys, strays = self._keys(elements), self._strays(elements, "publish", place)
        # Persistent: as durable as the server makes any list; a Redis client has no say in it.
        data = {"confirms": True, "persistent": True, "to": place}
        return [Sighting(Kind.PUBLISH, keys, data), *strays] if keys else strays

    def _asked(self, name: str) -> list[Sighting]:
        """The first pop or move is the subscription, and its answer: Redis says nothing until there is something."""
        if not self._once("subscribed"):
            return []
        auto_ack = name in POPS
        data = {"consumer": name, "source": True}
        seen = [
            Sighting(Kind.SUBSCRIBE, data={**data, "auto_ack": auto_ack}),
            Sighting(Kind.SUBSCRIBED, data=data),
        ]
        if auto_ack:
            detail = f"{name} settles each message by handing it over: one that is lost on its way, or in work, is lost"
            seen.append(Sighting(Kind.ADVICE, data={"code": "auto_ack", "detail": detail}))
        return seen

    def _removed(self, name: str, args: list[bytes]) -> list[Sighting]:
        """LREM names its element, so it settles on any connection: after a restart the list is not known here.

        DEL and LTRIM name none: they settle what this connection knows to be there. A pop or move from a processing
        list tells its key in the reply only, which then carries the settle (`_popped`, `_moved`).
        """
        if name == "LREM":
            if len(args) != 3:
                return []
            keys = self._keys(args[2:])
            for key in keys:
                self._forget(args[0], key)
            if not keys:
                known = args[0] in self._processing
                return self._strays(args[2:], "settle", self._name(args[0])) if known else []
        elif name == "LTRIM":
            keys = self._trimmed(args)
        else:
            keys = tuple(key for place in args for key in self._processing.get(place, ()))
            for place in args:
                if place in self._processing:
                    self._processing[place] = []
        return [Sighting(Kind.SETTLE, keys, {"how": "remove"})] if keys else []

    def _trimmed(self, args: list[bytes]) -> tuple[str, ...]:
        """The keys that LTRIM takes off what is known of the list (older elements of it are not known here)."""
        known = self._processing.get(args[0], [])
        numbers = [_int(arg) for arg in args[1:]]
        if len(numbers) != 2 or None in numbers:
            return ()
        start, stop = (n + len(known) if n < 0 else n for n in numbers if n is not None)
        kept = known[max(start, 0) : max(stop + 1, 0)]
        if args[0] in self._processing:
            self._processing[args[0]] = kept
        return tuple(key for key in known if key not in kept)

    # replies

    def _answered(self, command: _Command, value: Value) -> list[Sighting]:
        """What a reply, or one result of EXEC's, says."""
        name, args = command.name, command.args
        if name in PUSHES and len(args) > 1 and args[0] == self._source:
            keys = self._keys(args[1:])
            ok = isinstance(value, int) and value > 0  # LPUSHX answers 0 when it did nothing
            return [Sighting(Kind.CONFIRM, keys, {"ok": ok})] if keys else []
        if isinstance(value, ErrorReply) or value is None:
            return []
        if name in POPS:
            place, elements = _popped(command, value)
            return [seen for element in elements for seen in self._popped(name, place, element)]
        if name in MOVES and len(args) > 1 and isinstance(value, bytes):
            at_head = name.endswith("RPOPLPUSH") or [to.upper() for to in args[3:4]] == [b"LEFT"]
            return self._moved(name, args[0], args[1], value, at_head)
        return []

    def _popped(self, name: str, place: bytes, element: bytes) -> list[Sighting]:
        key = self._key(element)
        if place == self._source:
            return self._delivery(name, element, key, settled=True)
        if key is None:
            return []
        if place in self._processing:
            self._forget(place, key)
            return [Sighting(Kind.SETTLE, (key,), {"how": "remove"})]
        return [Sighting(Kind.ASIDE, (key,), {"what": name, "to": self._name(place)})]

    def _moved(self, name: str, source: bytes, to: bytes, element: bytes, at_head: bool) -> list[Sighting]:
        key = self._key(element)
        if source == self._source:
            known = self._processing.setdefault(to, [])
            if key:
                known.insert(0 if at_head else len(known), key)
            return self._delivery(name, element, key, settled=False, place=to)
        if key is None:
            return []
        was_known = source in self._processing
        self._forget(source, key)
        if to == self._source:
            self._delivered.add(key)  # somebody had it before: what comes next is a redelivery
            return [Sighting(Kind.RECLAIM, (key,), {"place": self._name(source)})]
        if to in self._processing:  # claimed from another consumer's list into one's own
            self._processing[to].insert(0 if at_head else len(self._processing[to]), key)
            return self._delivery(name, element, key, settled=False, place=to)
        aside = Sighting(Kind.ASIDE, (key,), {"what": name, "to": self._name(to)})
        return [Sighting(Kind.SETTLE, (key,), {"how": "remove"}), aside] if was_known else [aside]

    def _delivery(
        self, name: str, element: bytes, key: str | None, *, settled: bool, place: bytes | None = None
    ) -> list[Sighting]:
        if key is None:
            return self._strays([element], "deliver", self._name(self._source))
        # Redis marks nothing: a redelivery is known only where this connection saw the first one or the reclaim.
        data = {"redelivered": key in self._delivered, "settled": settled, "how": name}
        if place is not None:
            data["place"] = self._name(place)
        self._delivered.add(key)
        return [Sighting(Kind.DELIVER, (key,), data)]

    # keys and names

    def _key(self, element: bytes) -> str | None:
        place = self._finder.place
        if place is None:
            return self._finder.find(element)
        return self._finder.find((place.read(body=element) or "").encode())

    def _keys(self, elements: Sequence[bytes]) -> tuple[str, ...]:
        return tuple(key for element in elements if (key := self._key(element)))

    def _strays(self, elements: Sequence[bytes], what: str, place: str) -> list[Sighting]:
        """Payloads without a key of this scenario."""
        seen = []
        for element in elements:
            if self._key(element) is None:
                foreign = self._finder.foreign(element)
                seen.append(
                    Sighting(Kind.FOREIGN_KEY, data={"found": foreign})
                    if foreign
                    else Sighting(Kind.UNKEYED, data={"what": what, "place": place})
                )
        return seen

    def _forget(self, place: bytes, key: str) -> None:
        if key in self._processing.get(place, ()):
            self._processing[place].remove(key)

    def _once(self, what: str) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True

    @staticmethod
    def _name(place: bytes) -> str:
        return place.decode("utf-8", "backslashreplace")


def _silences(command: _Command) -> bool:
    words = [arg.upper() for arg in command.args[:2]]
    return command.name == "CLIENT" and words in ([b"REPLY", b"OFF"], [b"REPLY", b"SKIP"])


def _int(text: bytes) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _taken_from(command: _Command) -> Sequence[bytes]:
    """The lists that a pop or move may take from."""
    name, args = command.name, command.args
    if name in ("BLPOP", "BRPOP"):
        return args[:-1]
    if name in ("LMPOP", "BLMPOP"):
        lists = args[1:] if name == "BLMPOP" else args
        count = _int(lists[0]) if lists else None
        return lists[1 : 1 + count] if count and count > 0 else ()
    return args[:1]


def _popped(command: _Command, value: Value) -> tuple[bytes, list[bytes]]:
    """The list that a pop took from, and what it took: each command has a reply shape of its own."""
    place = command.args[0] if command.args else b""
    if command.name not in ("LPOP", "RPOP"):  # [list, element] or [list, [elements]]
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], bytes)):
            return place, []
        place, value = value[0], value[1]
    elements = value if isinstance(value, list) else [value]
    return place, [element for element in elements if isinstance(element, bytes)]
