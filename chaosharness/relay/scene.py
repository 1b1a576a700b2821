"""Everything of one scenario inside the relay: its ledger, gates, taps and sinks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from chaosharness.ledger.writer import Ledger
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind, Sighting
from chaosharness.model.gate import Gate, Point
from chaosharness.model.key import KeyFinder, Place
from chaosharness.ports.wire import Codec, CodecOptions, Side, Stub
from chaosharness.relay.gates import ArmedGate, Gates, wants_cut
from chaosharness.relay.pump import Connection


@cache
def load(group: str, name: str) -> Any:
    """What the entry point `name` of `group` names. Raises HarnessBroke if there is none."""
    for entry in entry_points(group=group, name=name):
        return entry.load()
    raise HarnessBroke(f"relay: no entry point {name!r} in group {group!r}")


class StubHolder:
    """A request or response that a gate holds."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def let_go(self, forward: bool) -> int:
        if not self.done.done():
            self.done.set_result(forward)
        return 0


class Scene:
    """One scenario's part of the relay; also what sinks' stubs are given (ports.wire.StubControl)."""

    def __init__(self, folder: Path, nonce: str, others: Sequence[str]) -> None:
        self.nonce = nonce
        self.others = tuple(others)
        self.ledger = Ledger(folder, "relay")
        self.gates = Gates(self._append)
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self._stubs: dict[str, Stub] = {}
        self._tap_servers: list[asyncio.Server] = []
        self._sink_servers: list[asyncio.Server] = []
        self._sink_ends: dict[int, tuple[str, asyncio.Transport]] = {}
        """Open connections to sinks, by number."""
        self._ended = False

    def _append(
        self,
        kind: Kind,
        keys: Sequence[str] = (),
        *,
        link: str | None = None,
        conn: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        with self._or_shut():
            self.ledger.append(kind, keys, link=link, conn=conn, data=data)

    @contextmanager
    def _or_shut(self) -> Iterator[None]:
        """What cannot be recorded may not go on: nobody is left waiting for an answer that will never pass."""
        try:
            yield
        except HarnessBroke:
            for server in (*self._tap_servers, *self._sink_servers):
                server.close()
            for connection in list(self._connections):
                connection.abort()
            for _, transport in self._sink_ends.values():
                transport.abort()
            raise

    def finder(self, place: str | None) -> KeyFinder:
        return KeyFinder(self.nonce, self.others, Place(place) if place else None)

    # taps

    async def open_tap(self, link: LinkId, upstream: Address, codec: str, options: CodecOptions, host: str) -> Address:
        """Listens for one link and passes each connection on to `upstream` through a codec of its own."""
        make_codec = load("chaosharness.codecs", codec)
        finder = self.finder(options.place)

        def accept() -> asyncio.BaseProtocol:
            made: Codec = make_codec(options, finder)
            connection = Connection(
                next(self._numbers),
                link,
                upstream,
                made,
                self.gates,
                self.record_wire,
                self._append,
                self._connections.discard,
            )
            self._connections.add(connection)
            return connection.ends[Side.CLIENT]

        server = await asyncio.get_running_loop().create_server(accept, host, 0, backlog=128)
        self._tap_servers.append(server)
        return _address(server)

    def record_wire(self, sightings: Sequence[Sighting], link: str, conn: int, *, discarded: bool = False) -> None:
        """Tap sightings into the ledger; `discarded` marks what never went on."""
        if discarded:
            sightings = [replace(sighting, data={**sighting.data, "discarded": True}) for sighting in sightings]
        with self._or_shut():
            self.ledger.append_all(sightings, link=link, conn=conn)

    # sinks

    def add_sink(self, name: str, stub: str, options: Mapping[str, Any]) -> None:
        """One stub, shared by all links to it: what it has applied it has applied for all replicas."""
        make_stub = load("chaosharness.sink_stubs", stub)
        self._stubs[name] = make_stub(options, self.finder(options.get("key")))

    async def open_sink(self, name: str, link: LinkId, host: str) -> Address:
        """Listens for one link to the sink `name`."""
        stub = self._stubs[name]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: stub.connection(str(link), self), host, 0, backlog=128)
        self._sink_servers.append(server)
        return _address(server)

    def opened(self, link: str, transport: asyncio.Transport) -> int:
        number = next(self._numbers)
        if self._ended:
            transport.abort()
        else:
            self._sink_ends[number] = link, transport
            self._append(Kind.CONNECT, link=link, conn=number)
        return number

    def gone(self, link: str, conn: int) -> None:
        self._close_sink_end(link, conn, Side.CLIENT.value)

    def close(self, link: str, conn: int) -> None:
        found = self._sink_ends.get(conn)
        self._close_sink_end(link, conn, "tap")
        if found:
            found[1].close()

    def _close_sink_end(self, link: str, conn: int, by: str) -> None:
        if self._sink_ends.pop(conn, None):
            self._append(Kind.DISCONNECT, link=link, conn=conn, data={"by": by})
            self.gates.connection_gone(link, conn)

    def record(self, sightings: Sequence[Sighting], link: str, conn: int) -> None:
        if self._ended:  # a request that was held to the end: it is not applied, and its ledger is complete
            return
        for sighting in sightings:
            self._append(sighting.kind, sighting.keys, link=link, conn=conn, data=sighting.data)
            if sighting.kind is Kind.EFFECT:
                for key in sighting.keys:
                    self.gates.count_effect(key)

    async def pass_gate(self, point: Point, key: str, link: str, conn: int, size: int) -> bool:
        if conn not in self._sink_ends:
            return False
        where = LinkId.parse(link)
        armed: ArmedGate | None = self.gates.stops(Sighting(Kind(point.value), (key,)), where, conn)
        if armed is None:
            return True
        if wants_cut(armed):
            self.gates.cut(armed, where, conn, size)
            self.close(link, conn)
            return False
        holder = StubHolder()
        self.gates.hold(armed, holder, where, conn, size)
        return await holder.done and conn in self._sink_ends

    # gates, cuts and the end

    def sever(self, link: LinkId) -> int:
        """Closes every connection of a tap's link; what is held of it is thrown away. Returns how many there were."""
        tapped = [connection for connection in self._connections if connection.link == link]
        for connection in tapped:
            self.ledger.append(Kind.SEVERED, link=str(link), conn=connection.number)
            connection.close_after_flush("tap")
        served = [number for number, (name, _) in self._sink_ends.items() if name == str(link)]
        for number in served:
            self.ledger.append(Kind.SEVERED, link=str(link), conn=number)
            self.close(str(link), number)
        return len(tapped) + len(served)

    def control_sink(self, name: str, control: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tells a stub how to behave from now on; returns what it says. Raises HarnessBroke where it cannot be told."""
        tell = getattr(self._stubs[name], "control", None)
        if tell is None:
            raise HarnessBroke(f"the sink {name} cannot be told to misbehave: its stub has no `control`")
        said: Mapping[str, Any] = tell(control)
        return said

    def arm(self, gate: Gate) -> None:
        self.gates.arm(gate)

    def close_sinks(self) -> None:
        """No request is taken from now on: neither on a new connection nor on an open one."""
        for server in self._sink_servers:
            server.close()
        self._sink_servers.clear()
        for conn, (link, transport) in list(self._sink_ends.items()):
            self._close_sink_end(link, conn, "tap")
            transport.abort()

    def end(self) -> None:
        """Ends every connection and listener, and closes the ledger as complete."""
        self.close_sinks()
        self.gates.disarm_all()
        for server in self._tap_servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        self._ended = True
        self.ledger.end()


def _address(server: asyncio.Server) -> Address:
    host, port = server.sockets[0].getsockname()[:2]
    return Address(host, port)
