"""One tapped connection: bytes in, units out, in order, each recorded before it goes on.

A hold stalls its lane (a channel) in its direction; other lanes and what overtakes (heartbeats) go on. A cut lets what
went before be sent, throws away the unit and all behind it, and closes both ends with FIN: a reset could destroy
bytes that the peer has not read yet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from chaosharness.model.address import Address, LinkId
from chaosharness.model.event import Kind, Sighting
from chaosharness.ports.wire import BARRIER, Codec, Side, Unit
from chaosharness.relay.gates import ArmedGate, Gates, Recorder, wants_cut

CLOSE_WITHIN_S = 2.0
"""How long a cut connection's other end may take to close before it is reset."""
HIGH_WATER = 1 << 20
KEPT_BYTES = 8 << 20
"""What waits behind a hold, or for a broker that does not answer yet: a sender of more is not read until it goes on."""


_UNPARSED = Kind.UNPARSED
_OTHER = {Side.CLIENT: Side.SERVER, Side.SERVER: Side.CLIENT}


class Record(Protocol):
    """Writes one sighting of one connection."""

    def __call__(self, sightings: Sequence[Sighting], link: str, conn: int, *, discarded: bool = False) -> None: ...


class Stream:
    """One direction of one connection; holds what is stalled in it."""

    def __init__(self, side: Side, connection: Connection) -> None:
        self.side = side
        self.connection = connection
        self.out: asyncio.Transport | None = None
        self.dead = False
        """Everything from now on is thrown away."""
        self._stalled: dict[int, deque[Unit]] = {}
        self._early: list[bytes] = []
        self._held_lane: int | None = None
        self._seen: list[Sighting] = []
        self._kept = 0
        """Bytes in `_stalled` or `_early`."""
        self._outgoing: list[bytes] = []
        """Forwarded, not yet recorded and written: what one read brought is one write to the ledger and one onward."""

    def feed(self, data: bytes) -> None:
        """Bytes from this direction's sender; also what is thrown away is decoded, so that the record says it."""
        if self.out is None and not self.dead:
            self._early.append(data)
            self._keep(len(data))
            return
        units = self.connection.codec.feed(self.side, data)
        for unit in units:
            self._take(unit)
        self.flush()
        if any(sighting.kind is _UNPARSED for unit in units for sighting in unit.seen):
            self.connection.other(self).feed(b"")

    def start(self, out: asyncio.Transport) -> None:
        """The receiver is there: send what came before it was."""
        self.out = out
        early, self._early = self._early, []
        self._let_flow()
        for data in early:
            self.feed(data)

    def _take(self, unit: Unit) -> None:
        if self.dead:
            self._discard(unit)
        elif not self._stalled:  # nearly always
            self._pass(unit)
        elif unit.lane in self._stalled:
            self._stalled[unit.lane].append(unit)
            self._keep(len(unit.data))
        elif unit.lane == BARRIER:
            self._stalled[BARRIER] = deque([unit])
            self._keep(len(unit.data))
        else:
            self._pass(unit)

    def _pass(self, unit: Unit) -> None:
        connection = self.connection
        for sighting in unit.seen:
            armed = connection.gates.stops(sighting, connection.link, connection.number) if sighting.keys else None
            if armed:
                before, stopped = connection.codec.split(unit, armed.gate.key)
                if before:
                    self._forward(before)
                self._stop(armed, stopped)
                return
        self._seen += unit.seen
        self._outgoing.append(unit.data)

    def _stop(self, armed: ArmedGate, unit: Unit) -> None:
        connection = self.connection
        self.flush()  # what went before is in the ledger before the gate
        if wants_cut(armed):
            connection.gates.cut(armed, connection.link, connection.number, len(unit.data))
            self.dead = True
            self._discard(unit)
            self._discard_stalled()
            connection.close_after_flush("tap")
        else:
            self._stalled[unit.lane] = deque([unit])
            self._held_lane = unit.lane
            connection.gates.hold(armed, self, connection.link, connection.number, len(unit.data))

    def let_go(self, forward: bool) -> int:
        """Holder.let_go: the held unit goes on, then what waits behind it; or this direction is dead from here on."""
        if not forward:
            self.dead = True
            return self._discard_stalled()
        lane, self._held_lane = self._held_lane, None
        self._let_flow()
        waiting = self._stalled.pop(lane, deque()) if lane is not None else deque[Unit]()
        if waiting:
            self._forward(waiting.popleft())
        while waiting:
            self._take(waiting.popleft())
        if set(self._stalled) == {BARRIER}:
            for unit in self._stalled.pop(BARRIER):
                self._take(unit)
        self.flush()
        return 0

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > KEPT_BYTES:
            self.connection.flow(self.side, pause=True, why="kept")

    def _let_flow(self) -> None:
        if self._kept > KEPT_BYTES:
            self.connection.flow(self.side, pause=False, why="kept")
        self._kept = 0

    def _forward(self, unit: Unit) -> None:
        self._seen += unit.seen
        self._outgoing.append(unit.data)

    def flush(self) -> None:
        """Records what was forwarded, then writes it."""
        seen, self._seen = self._seen, []
        outgoing, self._outgoing = self._outgoing, []
        if seen:
            self.connection.record(seen, str(self.connection.link), self.connection.number)
        if outgoing and self.out and not self.out.is_closing():
            self.out.write(b"".join(outgoing))

    def _discard(self, unit: Unit) -> None:
        self.flush()
        if unit.seen:
            self.connection.record(unit.seen, str(self.connection.link), self.connection.number, discarded=True)

    def _discard_stalled(self) -> int:
        stalled = [unit for lane in self._stalled.values() for unit in lane]
        self._stalled.clear()
        for unit in stalled:
            self._discard(unit)
        return sum(len(unit.data) for unit in stalled)


class End(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, side: Side, connection: Connection) -> None:
        self.side = side
        self.connection = connection
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self.connection.end_opened(self)

    def data_received(self, data: bytes) -> None:
        self.connection.streams[self.side].feed(data)

    def eof_received(self) -> bool:
        self.connection.end_gone(self.side)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.end_gone(self.side)

    def pause_writing(self) -> None:
        self.connection.flow(_OTHER[self.side], pause=True, why="full")

    def resume_writing(self) -> None:
        self.connection.flow(_OTHER[self.side], pause=False, why="full")


class Connection:
    """A client's connection and the one to the broker behind it."""

    def __init__(
        self,
        number: int,
        link: LinkId,
        upstream: Address,
        codec: Codec,
        gates: Gates,
        record: Record,
        append: Recorder,
        forget: Callable[[Connection], None],
    ) -> None:
        self.number = number
        self.link = link
        self.upstream = upstream
        self.codec = codec
        self.gates = gates
        self.record = record
        self.append = append
        self._forget = forget
        self.streams = {side: Stream(side, self) for side in Side}
        self.ends = {side: End(side, self) for side in Side}
        self._closing = False
        self._pauses: dict[Side, set[str]] = {side: set() for side in Side}
        self._opened: list[Side] = []
        self._gone: set[Side] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def end_opened(self, end: End) -> None:
        assert end.transport
        self._opened.append(end.side)
        if end.side is Side.CLIENT:
            self.append(Kind.CONNECT, link=str(self.link), conn=self.number)
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self.streams[Side.SERVER].start(end.transport)
        elif self._closing:
            end.transport.abort()
        else:
            self.streams[Side.CLIENT].start(end.transport)
            if Side.CLIENT in self._gone:
                self.close_after_flush(Side.CLIENT.value)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.ends[Side.SERVER], self.upstream.host, self.upstream.port
            )
        except OSError:
            self.close_after_flush(Side.SERVER.value)

    def end_gone(self, side: Side) -> None:
        """An end of file or a reset: the other end is told as soon as it has what went before."""
        self._gone.add(side)
        if self._opened == [Side.CLIENT] and not self._closing:
            return  # what the client sent goes on as soon as there is an end to take it
        self.close_after_flush(side.value)
        if self._gone == set(self._opened):
            self.abort()

    def close_after_flush(self, by: str) -> None:
        """Closes both ends with FIN once what went before has been sent; `by` whose end came first. Idempotent.

        Each end is read, and what it still says thrown away, until it closes too: closing with unread bytes would
        be a reset, which may destroy what the peer has not read.
        """
        if self._closing:
            return
        self._closing = True
        self.append(Kind.DISCONNECT, link=str(self.link), conn=self.number, data={"by": by})
        self.gates.connection_gone(str(self.link), self.number)
        for stream in self.streams.values():
            stream.flush()
            stream.dead = True
        self._timer = asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self.abort)
        for end in self.ends.values():
            if end.transport and not end.transport.is_closing():
                end.transport.resume_reading()
                with contextlib.suppress(OSError):  # it was reset in the meantime
                    end.transport.write_eof()

    def abort(self) -> None:
        """Closes both ends now."""
        self._closing = True
        if self._connecting:
            self._connecting.cancel()
        if self._timer:
            self._timer.cancel()
        for end in self.ends.values():
            if end.transport:
                end.transport.abort()
        self._forget(self)

    def other(self, stream: Stream) -> Stream:
        """The other direction."""
        return self.streams[_OTHER[stream.side]]

    def flow(self, side: Side, *, pause: bool, why: str) -> None:
        """Back-pressure: `side` is not read while its peer does not read ("full"), or too much waits here ("kept")."""
        reasons = self._pauses[side]
        (reasons.add if pause else reasons.discard)(why)
        end = self.ends[side].transport
        if end and not end.is_closing():
            if reasons:
                end.pause_reading()
            else:
                end.resume_reading()
