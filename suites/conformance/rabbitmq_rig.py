"""What the tests against a real RabbitMQ share: the broker, and a relay that shows a codec all that passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.address import Address
from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder, make_key
from chaosharness.ports.launch import Instance, Launcher, Namespace
from chaosharness.ports.wire import CodecOptions, Side, Unit
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.rabbitmq import RabbitMQ
from chaosharness.taps.amqp import AmqpCodec

NONCE = "kabcd"
SOON_S = 30.0


def key(number: int) -> str:
    return make_key(NONCE, number)


def keys(count: int, first: int = 0) -> tuple[str, ...]:
    return tuple(key(number) for number in range(first, first + count))


@dataclass(frozen=True)
class Rig:
    """One broker for a module's tests, and a vhost for each of them."""

    launcher: Launcher
    server: RabbitMQ
    instance: Instance

    @contextmanager
    def lease(self) -> Iterator[Namespace]:
        namespace = self.server.lease(self.instance, "test")
        try:
            yield namespace
        finally:
            self.server.release(self.instance, namespace)

    @property
    def amqp(self) -> Address:
        return self.instance.nodes["amqp"]


@contextmanager
def running(folder: Path) -> Iterator[Rig]:
    with KeeperClient.start(folder) as keeper:
        launcher, server = LocalLauncher(keeper), RabbitMQ()
        yield Rig(launcher, server, server.start(launcher, folder / "rabbitmq.0"))


def as_it_is(codec: AmqpCodec, unit: Unit) -> list[Unit]:
    return [unit]


@dataclass
class Relay:
    """Passes connections on to `upstream`, unit by unit, each through `pass_on`; `seen` has all sightings, in order."""

    upstream: Address
    options: CodecOptions
    pass_on: Callable[[AmqpCodec, Unit], list[Unit]] = as_it_is
    seen: list[Sighting] = field(default_factory=list)
    received: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    sent: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def __enter__(self) -> Relay:
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._started.wait(SOON_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()

    def drop(self) -> None:
        """Closes every connection there is."""
        for writer in list(self._writers):
            self._loop.call_soon_threadsafe(writer.close)

    def of(self, *kinds: Kind) -> list[Sighting]:
        return [sighting for sighting in self.seen if sighting.kind in kinds]

    def keys(self, kind: Kind) -> list[str]:
        return [key for sighting in self.of(kind) for key in sighting.keys]

    def advice(self) -> list[str]:
        return [sighting.data["code"] for sighting in self.of(Kind.ADVICE)]

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = Address(*server.sockets[0].getsockname())
        self._started.set()
        await self._over.wait()
        server.close()
        for writer in list(self._writers):
            writer.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SOON_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        codec = AmqpCodec(self.options, KeyFinder(NONCE))
        up_reader, up_writer = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        self._writers |= {writer, up_writer}
        try:
            await asyncio.gather(
                self._copy(codec, Side.CLIENT, reader, up_writer), self._copy(codec, Side.SERVER, up_reader, writer)
            )
        finally:
            self._tasks.discard(task)

    async def _copy(
        self, codec: AmqpCodec, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(65536):
                self.received[side] += len(data)
                for unit in codec.feed(side, data):
                    for part in self.pass_on(codec, unit):
                        self.seen += part.seen
                        self.sent[side] += len(part.data)
                        writer.write(part.data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
