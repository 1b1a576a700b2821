"""What passes between a client and Redis, read for one list that serves as a queue: bytes in, units with sightings out.

Pairing and framing: resp_pairs.py, resp_frames.py.

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

from collections.abc import Sequence

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder
from chaosharness.ports.wire import CodecOptions
from chaosharness.taps.resp_frames import ErrorReply, Value
from chaosharness.taps.resp_pairs import SCRIPTS, Command, Pairing, integer, text

PUSHES = frozenset({"LPUSH", "RPUSH", "LPUSHX", "RPUSHX"})
POPS = frozenset({"LPOP", "RPOP", "BLPOP", "BRPOP", "LMPOP", "BLMPOP"})
MOVES = frozenset({"LMOVE", "BLMOVE", "RPOPLPUSH", "BRPOPLPUSH"})
REMOVES = frozenset({"LREM", "LTRIM", "DEL", "UNLINK"})


class RespCodec(Pairing):
    """ports.wire.Codec for RESP2 and RESP3, one per connection."""

    def __init__(self, options: CodecOptions, finder: KeyFinder) -> None:
        """`options.source` is the list's key, as it stands on the wire."""
        super().__init__()
        self._source = options.source.encode()
        self._finder = finder
        self._processing: dict[bytes, list[str]] = {}
        """Lists that this connection moved messages of the source to, and the keys there, head first."""
        self._delivered: set[str] = set()

    # requests

    def sent(self, command: Command) -> list[Sighting]:
        """What a command says when it takes effect: at its request, or at the request of its EXEC."""
        name, args = command.name, command.args
        if name in PUSHES and len(args) > 1:
            return self._pushed(name, args[0], args[1:])
        if name in REMOVES and args:
            return self._removed(name, args)
        if name in POPS or name in MOVES:
            return self._asked(name) if self._source in _taken_from(command) else []
        if name in SCRIPTS and self._source in args and self.once("script"):
            detail = f"{name} works on {text(self._source)}: what a script does to it is not seen by the tap"
            return [Sighting(Kind.ADVICE, data={"code": "script_on_source", "detail": detail})]
        return []

    def _pushed(self, name: str, to: bytes, elements: Sequence[bytes]) -> list[Sighting]:
        place = text(to)
        if to != self._source:
            keys = self._keys(elements)
            return [Sighting(Kind.ASIDE, keys, {"what": name, "to": place})] if keys else []
        keys, strays = self._keys(elements), self._strays(elements, "publish", place)
        # Persistent: as durable as the server makes any list; a Redis client has no say in it.
        data = {"confirms": True, "persistent": True, "to": place}
        return [Sighting(Kind.PUBLISH, keys, data), *strays] if keys else strays

    def _asked(self, name: str) -> list[Sighting]:
        """The first pop or move is the subscription, and its answer: Redis says nothing until there is something."""
        if not self.once("subscribed"):
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
                return self._strays(args[2:], "settle", text(args[0])) if known else []
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
        numbers = [integer(arg) for arg in args[1:]]
        if len(numbers) != 2 or None in numbers:
            return ()
        start, stop = (n + len(known) if n < 0 else n for n in numbers if n is not None)
        kept = known[max(start, 0) : max(stop + 1, 0)]
        if args[0] in self._processing:
            self._processing[args[0]] = kept
        return tuple(key for key in known if key not in kept)

    # replies

    def answered(self, command: Command, value: Value) -> list[Sighting]:
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
        return [Sighting(Kind.ASIDE, (key,), {"what": name, "to": text(place)})]

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
            return [Sighting(Kind.RECLAIM, (key,), {"place": text(source)})]
        if to in self._processing:  # claimed from another consumer's list into one's own
            self._processing[to].insert(0 if at_head else len(self._processing[to]), key)
            return self._delivery(name, element, key, settled=False, place=to)
        aside = Sighting(Kind.ASIDE, (key,), {"what": name, "to": text(to)})
        return [Sighting(Kind.SETTLE, (key,), {"how": "remove"}), aside] if was_known else [aside]

    def _delivery(
        self, name: str, element: bytes, key: str | None, *, settled: bool, place: bytes | None = None
    ) -> list[Sighting]:
        if key is None:
            return self._strays([element], "deliver", text(self._source))
        # Redis marks nothing: a redelivery is known only where this connection saw the first one or the reclaim.
        data = {"redelivered": key in self._delivered, "settled": settled, "how": name}
        if place is not None:
            data["place"] = text(place)
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


def _taken_from(command: Command) -> Sequence[bytes]:
    """The lists that a pop or move may take from."""
    name, args = command.name, command.args
    if name in ("BLPOP", "BRPOP"):
        return args[:-1]
    if name in ("LMPOP", "BLMPOP"):
        lists = args[1:] if name == "BLMPOP" else args
        count = integer(lists[0]) if lists else None
        return lists[1 : 1 + count] if count and count > 0 else ()
    return args[:1]


def _popped(command: Command, value: Value) -> tuple[bytes, list[bytes]]:
    """The list that a pop took from, and what it took: each command has a reply shape of its own."""
    place = command.args[0] if command.args else b""
    if command.name not in ("LPOP", "RPOP"):  # [list, element] or [list, [elements]]
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], bytes)):
            return place, []
        place, value = value[0], value[1]
    elements = value if isinstance(value, list) else [value]
    return place, [element for element in elements if isinstance(element, bytes)]
