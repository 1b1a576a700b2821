"""A conversation with a RESP codec in literal bytes, and the sightings that are expected of it."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder, Place
from chaosharness.ports.wire import CodecOptions, Side, Unit
from chaosharness.taps.resp import RespCodec
from chaosharness.taps.resp_pairs import LANE

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason for a property to fail."""
K1, K2, K3 = (f"kabcd-00000{n}" for n in (1, 2, 3))
FOREIGN = "kzzzz-000009"
OK, QUEUED, NIL = b"+OK\r\n", b"+QUEUED\r\n", b"$-1\r\n"


def body(key: str) -> bytes:
    return b'{"id": "%s"}' % key.encode()


def cmd(*words: str | bytes) -> bytes:
    args = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args)


def bulk(data: str | bytes) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return b"$%d\r\n%s\r\n" % (len(data), data)


def array(*items: bytes, mark: bytes = b"*") -> bytes:
    return mark + b"%d\r\n" % len(items) + b"".join(items)


class Talk:
    """A codec and what it has seen so far."""

    def __init__(self, source: str = "jobs", place: str | None = None) -> None:
        finder = KeyFinder("kabcd", ("kzzzz",), Place(place) if place else None)
        self.codec = RespCodec(CodecOptions(source, place=place), finder)

    def units(self, side: Side, data: bytes) -> list[Unit]:
        units = list(self.codec.feed(side, data))
        assert b"".join(unit.data for unit in units) == data
        assert {unit.lane for unit in units} <= {LANE}
        return units

    def client(self, *data: bytes) -> list[Sighting]:
        return [seen for unit in self.units(Side.CLIENT, b"".join(data)) for seen in unit.seen]

    def server(self, *data: bytes) -> list[Sighting]:
        return [seen for unit in self.units(Side.SERVER, b"".join(data)) for seen in unit.seen]

    def ask(self, request: bytes, reply: bytes) -> list[Sighting]:
        return self.client(request) + self.server(reply)


def publish(*keys: str) -> Sighting:
    return Sighting(Kind.PUBLISH, keys, {"confirms": True, "persistent": True, "to": "jobs"})


def confirm(*keys: str, ok: bool = True) -> Sighting:
    return Sighting(Kind.CONFIRM, keys, {"ok": ok})


def deliver(key: str, how: str, place: str | None = None, redelivered: bool = False) -> Sighting:
    data: dict[str, Any] = {"redelivered": redelivered, "settled": place is None, "how": how}
    return Sighting(Kind.DELIVER, (key,), data | ({"place": place} if place else {}))


def settle(*keys: str) -> Sighting:
    return Sighting(Kind.SETTLE, keys, {"how": "remove"})


def kinds(seen: list[Sighting]) -> list[Kind]:
    return [sighting.kind for sighting in seen]


MOVES = [
    cmd("BLMOVE", "jobs", "mine", "RIGHT", "LEFT", "0"),
    cmd("LMOVE", "jobs", "mine", "RIGHT", "LEFT"),
    cmd("RPOPLPUSH", "jobs", "mine"),
    cmd("BRPOPLPUSH", "jobs", "mine", "0"),
]


def take(talk: Talk, *keys: str, to: str = "mine") -> None:
    """Moves keys from the source to a processing list."""
    for key in keys:
        talk.ask(cmd("LMOVE", "jobs", to, "LEFT", "RIGHT"), bulk(body(key)))
