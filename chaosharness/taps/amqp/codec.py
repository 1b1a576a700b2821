"""`AmqpCodec`: the bytes of one AMQP 0-9-1 connection in, units with sightings out; the package says how to try it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder
from chaosharness.ports.wire import BARRIER, OVERTAKES, CodecOptions, Side, Unit
from chaosharness.taps.amqp.channel import Tagged, keys_of
from chaosharness.taps.amqp.dialogue import Dialogue
from chaosharness.taps.amqp.framing import HEARTBEAT, METHOD, PROTOCOL, UNLIMITED, Framer, Malformed, Stretch

_DELIVERY_TAG = slice(11, 19)
"""Where basic.ack and basic.nack have it: behind the frame's head (7 bytes) and the method's ids (4)."""


@dataclass(frozen=True, slots=True)
class Confirm(Unit):
    """A publisher confirm that knows what it covers, so that it can be split."""

    covered: tuple[Tagged, ...] = ()


class AmqpCodec:
    """Implements `ports.wire.Codec`. Lane = channel; a unit = one frame, or one message with all its frames."""

    def __init__(self, options: CodecOptions, finder: KeyFinder) -> None:
        self._dialogue = Dialogue(options, finder)
        self._framers = {side: Framer(side) for side in Side}
        self._gave_up = False

    def feed(self, side: Side, data: bytes) -> Sequence[Unit]:
        """Whole units so far. After the first bytes that cannot be read, both directions pass as plain units."""
        framer = self._framers[side]
        if self._gave_up:
            data = framer.rest() + data
            return [Unit(data)] if data else []
        framer.push(data)
        units: list[Unit] = []
        current = b""
        try:
            while stretch := framer.next():
                current = stretch.data
                units.append(self._unit(side, stretch))
                current = b""
        except Malformed as bad:
            units.append(self._give_up(str(bad), side, current + framer.rest()))
        except Exception as bad:  # by contract nothing is raised: what cannot be read is passed on, and said
            reason = f"a method that ends too early or cannot be decoded ({bad})"
            units.append(self._give_up(reason, side, current + framer.rest()))
        return units

    def split(self, unit: Unit, key: str) -> tuple[Unit | None, Unit]:
        """A confirm of several keys as (a confirm of all before `key`, the rest); (None, unit) if it is none."""
        if not isinstance(unit, Confirm) or not unit.seen or len(unit.seen[0].keys) < 2:
            return None, unit
        at = next((i for i, each in enumerate(unit.covered) if each.key == key and not each.returned), 0)
        if not at:
            return None, unit
        # The rest keeps its own tag: with `multiple` it covers what is still unconfirmed up to there.
        data = bytearray(unit.data)
        data[_DELIVERY_TAG] = struct.pack(">Q", unit.covered[at - 1].tag)
        return self._part(unit, bytes(data), unit.covered[:at]), self._part(unit, unit.data, unit.covered[at:])

    def _unit(self, side: Side, stretch: Stretch) -> Unit:
        if stretch.kind != METHOD:
            return self._no_method(side, stretch)
        read = self._dialogue.read(side, stretch)
        seen = read.seen
        if read.covered:
            return Confirm(stretch.data, stretch.channel, tuple(seen), read.covered)
        if read.frame_max is not None:
            for framer in self._framers.values():
                framer.limit = min(read.frame_max or UNLIMITED, UNLIMITED)
        if not seen:
            return Unit(stretch.data, stretch.channel)
        return Unit(stretch.data, OVERTAKES if read.overtakes else stretch.channel, tuple(seen))

    def _no_method(self, side: Side, stretch: Stretch) -> Unit:
        if stretch.kind == HEARTBEAT:
            return Unit(stretch.data, OVERTAKES)
        if stretch.kind == PROTOCOL:
            return Unit(stretch.data, BARRIER, _refusal(side, stretch.data))
        return Unit(stretch.data, stretch.channel)

    def _part(self, unit: Confirm, data: bytes, covered: tuple[Tagged, ...]) -> Unit:
        keys = keys_of(covered)
        seen = (Sighting(Kind.CONFIRM, keys, unit.seen[0].data),) if keys else ()
        return Confirm(data, unit.lane, seen, covered)

    def _give_up(self, reason: str, side: Side, data: bytes) -> Unit:
        self._gave_up = True
        seen = Sighting(Kind.UNPARSED, data={"reason": f"{side.value}: {reason}", "bytes": len(data)})
        return Unit(data, BARRIER, (seen,))


def _refusal(side: Side, data: bytes) -> tuple[Sighting, ...]:
    """A server sends a protocol header only to say that it does not speak the client's; it then closes."""
    if side is Side.CLIENT:
        return ()
    reason = f"the server does not speak AMQP 0-9-1 as the client asked; it answers with {data!r}"
    return (Sighting(Kind.CLOSED, data={"scope": "connection", "by": side.value, "code": None, "reason": reason}),)
