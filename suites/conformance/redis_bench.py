"""A Redis of the tests' own, behind the local launcher; and a relay that shows a codec every byte of a connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.address import Address
from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance
from chaosharness.ports.wire import CodecOptions, Side
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.redis import Redis
from chaosharness.taps.resp import RespCodec

NONCE = "kabcd"


@contextmanager
def launching(folder: Path) -> Iterator[LocalLauncher]:
    with KeeperClient.start(folder) as keeper:
        yield LocalLauncher(keeper)


@contextmanager
def running(folder: Path) -> Iterator[Instance]:
    with launching(folder) as launcher:
        yield Redis().start(launcher, folder / "redis.0")


class Tap:
    """Listens, and passes every connection on to `upstream` through a codec of its own; forwards units only."""

    def __init__(self, upstream: Address, source: str) -> None:
        self._upstream = upstream
        self._options = CodecOptions(source)
        self._finder = KeyFinder(NONCE)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = ExitStack()
        self._threads: list[threading.Thread] = []
        self.seen: list[Sighting] = []
        self.fed = 0
        self.passed = 0
        self._spawn(self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def of(self, *kinds: Kind) -> list[Sighting]:
        with self._lock:
            return [sighting for sighting in self.seen if sighting.kind in kinds]

    def await_seen(self, kind: Kind, count: int) -> list[Sighting]:
        """Bytes reach the tap's peer before `seen` can be asked, but not always this thread's eyes."""
        return wait_for(f"{count} {kind}", 5, lambda: found if len(found := self.of(kind)) >= count else None)

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._sockets.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((self._upstream.host, self._upstream.port))
            except OSError:  # it was killed: the client sees an end of file, as behind Toxiproxy
                client.close()
                continue
            codec = RespCodec(self._options, self._finder)
            with self._lock:
                for end in (client, server):
                    self._sockets.callback(_end, end)
            self._spawn(self._pump, codec, Side.CLIENT, client, server)
            self._spawn(self._pump, codec, Side.SERVER, server, client)

    def _pump(self, codec: RespCodec, side: Side, source: socket.socket, to: socket.socket) -> None:
        try:
            while data := source.recv(1000):
                with self._lock:
                    units = codec.feed(side, data)
                    self.fed += len(data)
                    self.passed += sum(len(unit.data) for unit in units)
                    self.seen += [sighting for unit in units for sighting in unit.seen]
                to.sendall(b"".join(unit.data for unit in units))
        except OSError:  # a reset: Redis was killed with a command unread
            pass
        _hang_up(to, socket.SHUT_WR)


def _end(end: socket.socket) -> None:
    _hang_up(end, socket.SHUT_RDWR)
    end.close()


def _hang_up(end: socket.socket, how: int) -> None:
    try:
        end.shutdown(how)
    except OSError:  # it is gone already
        pass
