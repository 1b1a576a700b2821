"""What a service asks of Redis as a store of its own (done keys, locks, claims): bytes in, units with sightings out.

A command is told by the message key that stands anywhere in its arguments, whatever the service calls its entries:

    SET done:KEY 1 NX EX 60       record (ttl 60 s, fresh_only); its answer is recorded
    SADD done KEY, HSETNX, INCR   record; SADD, HSETNX, SETNX are fresh_only by themselves
    EXISTS, GET, SISMEMBER, …     lookup; its answer is looked_up
    EXPIRE done:KEY 60            record with a time to live; a shorter one than before is forget
    DEL, SREM, HDEL, PERSIST, …   forget
    EVAL, EVALSHA, FCALL          record: what a script does is not seen, nor which time to live it gives

A key that is hashed or otherwise rewritten is not seen. Pairing and framing: resp_pairs.py, resp_frames.py.
To try it: `suites/unit/test_taps_redis_store.py` feeds literal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder
from chaosharness.ports.wire import CodecOptions
from chaosharness.taps.resp_frames import ErrorReply, Value
from chaosharness.taps.resp_pairs import SCRIPTS, Command, Pairing, integer, text

FRESH = frozenset({"SETNX", "MSETNX", "HSETNX", "SADD", "PFADD", "BF.ADD", "CF.ADDNX"})
"""Records that by themselves tell whether the entry was there: they answer 0 if it was."""
COUNTS = frozenset({"INCR", "INCRBY", "HINCRBY", "ZINCRBY"})
"""Records whose answer is how often by now."""
RECORDS = FRESH | COUNTS | {"SET", "SETEX", "PSETEX", "GETSET", "MSET", "HSET", "HMSET", "HSETEX", "ZADD", "SETBIT"}
EXPIRES = {"EXPIRE": 1.0, "PEXPIRE": 0.001, "EXPIREAT": None, "PEXPIREAT": None}
"""Command → seconds in its unit; None: a date."""
LOOKUPS = frozenset({
    "GET", "MGET", "EXISTS", "TTL", "PTTL", "TYPE", "STRLEN", "TOUCH", "GETEX", "HGET", "HMGET", "HGETALL", "HEXISTS",
    "SISMEMBER", "SMISMEMBER", "ZSCORE", "ZRANK", "LPOS", "BF.EXISTS", "CF.EXISTS", "EVAL_RO", "EVALSHA_RO", "FCALL_RO",
})  # fmt: skip
FORGETS = frozenset({"DEL", "UNLINK", "GETDEL", "SREM", "HDEL", "ZREM", "LREM", "PERSIST", "CF.DEL"})
MANY = frozenset({"MSET", "MSETNX"})
"""Of several entries, so that no one name is the entry."""
ABSENT = {"TTL": -2, "PTTL": -2}
"""What these answer where there is nothing; other numbers are of something that is there."""


class RedisStoreCodec(Pairing):
    """ports.wire.Codec for RESP2 and RESP3, one per connection."""

    def __init__(self, options: CodecOptions, finder: KeyFinder) -> None:
        """`options.source` is the store's name, as the ledger has it."""
        super().__init__()
        self._store = options.source
        self._finder = finder
        self._lives: dict[bytes, float | None] = {}
        """Entries that this connection recorded → their time to live."""

    def sent(self, command: Command) -> list[Sighting]:
        name, args = command.name, command.args
        kind = self._kind(command)
        if kind is None:
            return []
        keys = self._keys(args)
        if not keys:
            foreign = self._finder.foreign(*args)
            return [Sighting(Kind.FOREIGN_KEY, data={"found": foreign})] if foreign else []
        data: dict[str, Any] = {"store": self._store, "command": name}
        seen = []
        if kind is Kind.RECORD:
            data |= self._recorded(command)
            if name in SCRIPTS and self.once("script"):
                detail = f"{name} works on the store {self._store}: what a script does there is not seen by the tap"
                seen.append(Sighting(Kind.ADVICE, data={"code": "script_on_store", "detail": detail}))
        elif kind is Kind.FORGET:
            for entry in args:
                self._lives.pop(entry, None)
        command.said = kind
        return [Sighting(kind, keys, data), *seen]

    def answered(self, command: Command, value: Value) -> list[Sighting]:
        if command.said is Kind.RECORD:
            data = {"store": self._store, "ok": _taken(command, value)}
            return [Sighting(Kind.RECORDED, self._keys(command.args), data)]
        if command.said is not Kind.LOOKUP:
            return []
        groups: dict[bool, dict[str, None]] = {}
        for key, found in self._found(command, value):
            groups.setdefault(found, {})[key] = None
        return [
            Sighting(Kind.LOOKED_UP, tuple(keys), {"store": self._store, "found": found})
            for found, keys in groups.items()
        ]

    def _kind(self, command: Command) -> Kind | None:
        name = command.name
        if name in EXPIRES:
            return Kind.FORGET if self._shortens(command) else Kind.RECORD
        if name in RECORDS or name in SCRIPTS:
            return Kind.RECORD
        return Kind.LOOKUP if name in LOOKUPS else Kind.FORGET if name in FORGETS else None

    def _recorded(self, command: Command) -> dict[str, Any]:
        """What the request says of the entry: its name, whether it must be fresh, its time to live if that is known."""
        name, args = command.name, command.args
        data: dict[str, Any] = {"fresh_only": name in FRESH or _only_if_absent(command)}
        if name in SCRIPTS or name in MANY:
            return data
        data["entry"] = text(args[0])
        known, lives = _time_to_live(command)
        if not known:
            self._lives.pop(args[0], None)
            return data
        if lives is None and name not in ("SET", "GETSET"):  # what only adds to an entry leaves its time as it was
            if not self._finder.find(args[0]):  # one entry of many messages: others may have given it a time
                return data
            lives = self._lives.get(args[0])
        self._lives[args[0]] = lives
        return data | {"ttl_s": lives}

    def _shortens(self, command: Command) -> bool:
        known, lives = _time_to_live(command)
        before = self._lives.get(command.args[0]) if command.args else None
        return known and lives is not None and (lives <= 0 or (before is not None and lives < before))

    def _found(self, command: Command, value: Value) -> list[tuple[str, bool]]:
        """Each key that was looked up, and whether it is there; an error leaves that unsaid."""
        if isinstance(value, ErrorReply):
            return []
        asked = command.args if command.name == "MGET" else command.args[1:]
        if command.name in ("MGET", "HMGET", "SMISMEMBER") and isinstance(value, list) and len(value) == len(asked):
            each = zip(asked, value, strict=True)
            found = [(key, _there(command, one)) for arg, one in each for key in self._keys([arg])]
            if found:
                return found
        return [(key, _there(command, value)) for key in self._keys(command.args)]

    def _keys(self, args: Sequence[bytes]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key for arg in args if (key := self._finder.find(arg))))


def _options(command: Command) -> list[bytes]:
    """The words behind the entry, and behind its value where that comes first."""
    behind = {"SET": 2, "ZADD": 1, "HSETEX": 1}.get(command.name)
    return [] if behind is None else [arg.upper() for arg in command.args[behind:]]


def _only_if_absent(command: Command) -> bool:
    return not {b"NX", b"FNX"}.isdisjoint(_options(command))


def _time_to_live(command: Command) -> tuple[bool, float | None]:
    """Whether the command tells it, and what: seconds, or None for one that has no end."""
    name, args = command.name, command.args
    if name in EXPIRES:
        unit, given = EXPIRES[name], args[1:2]
    elif name in ("SETEX", "PSETEX"):
        unit, given = (1.0 if name == "SETEX" else 0.001), args[1:2]
    else:
        options = _options(command)
        if {b"KEEPTTL", b"EXAT", b"PXAT"} & set(options):
            return False, None
        at = next((at for at, word in enumerate(options) if word in (b"EX", b"PX")), None)
        if at is None:
            return True, None
        unit, given = (1.0 if options[at] == b"EX" else 0.001), options[at + 1 : at + 2]
    number = integer(given[0]) if given else None
    return (False, None) if unit is None or number is None else (True, number * unit)


def _taken(command: Command, value: Value) -> bool:
    """Whether the entry is there because of this command: it was not refused, and not there already."""
    if isinstance(value, ErrorReply):
        return False
    name = command.name
    if name == "GETSET" or (name == "SET" and b"GET" in _options(command)):
        return value is None  # what was there before
    if name == "SET":
        return value is not None
    number = integer(value) if isinstance(value, bytes) else value
    if name in COUNTS:
        return number == 1
    if name in FRESH or name in EXPIRES or _only_if_absent(command):
        return number != 0
    return value is not None


def _there(command: Command, value: Value) -> bool:
    name = command.name
    if isinstance(value, list):
        return any(item not in (None, 0) for item in value)
    if name in ABSENT:
        return value != ABSENT[name]
    if name in ("LPOS", "ZRANK"):
        return value is not None  # a place, which may be 0
    if isinstance(value, bytes):
        return value != (b"none" if name == "TYPE" else b"f" if name.endswith(".EXISTS") else None)
    return bool(value)
