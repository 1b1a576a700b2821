"""Clients of a real RabbitMQ through a relay's tap, for its tests: pika's, and one that sends single frames."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pika
import pika.exceptions
from pamqp import commands, frame, header
from pamqp.exceptions import UnmarshalingException
from relay_bench import QUEUE, Scene

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.model.address import Address
from chaosharness.model.flow import Source
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Namespace
from chaosharness.ports.plugin import BrokerProducer

SOURCE = Source("rabbitmq", QUEUE)
SOON_S = 30.0


@dataclass(frozen=True)
class Bench:
    """A scenario of a relay with one tap in front of a RabbitMQ's empty queue."""

    scene: Scene
    server: Instance
    namespace: Namespace
    tap: Address

    @contextmanager
    def client(self, through: Address | None = None, heartbeat: int | None = None) -> Iterator[Any]:
        """A pika connection, through the tap unless said otherwise; its end may be lost before the test's."""
        address, facts = through or self.tap, self.namespace.facts
        credentials = pika.PlainCredentials(facts["user"], facts["password"])
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(address.host, address.port, facts["vhost"], credentials, heartbeat=heartbeat)
        )
        try:
            yield connection
        finally:
            with suppress(pika.exceptions.AMQPError):
                connection.close()

    def direct(self) -> Any:
        return self.client(self.server.nodes["amqp"])

    def fill(self, keys: Sequence[str]) -> None:
        """Into the queue, past the tap."""
        with self.direct() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for key in keys:
                channel.basic_publish("", QUEUE, key.encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)

    def drain(self, count: int) -> list[str]:
        """Waits until so many messages are ready, then takes them all, past the tap."""
        with self.direct() as connection:
            channel = connection.channel()

            def ready() -> int:
                return int(channel.queue_declare(QUEUE, passive=True).method.message_count)

            wait_for(f"{count} ready", SOON_S, lambda: ready() >= count, last_seen=ready)
            found = []
            while (got := channel.basic_get(QUEUE, auto_ack=True))[0]:
                found.append(got[2].decode())
            return found

    def producer(self) -> BrokerProducer:
        return RabbitMQBroker().producer(self.tap, self.namespace, SOURCE)


def publish(channel: Any, keys: Sequence[str]) -> None:
    """Without confirms, in one go, until all are written or the connection is lost."""
    with suppress(pika.exceptions.AMQPError):
        for key in keys:
            channel.basic_publish("", QUEUE, key.encode())


def consume(connection: Any, count: int) -> list[str]:
    """Up to `count` messages, fewer if the connection is lost before."""
    found: list[str] = []
    channel = connection.channel()
    channel.basic_qos(prefetch_count=10)
    with suppress(pika.exceptions.AMQPError):
        for method, _, body in channel.consume(QUEUE, inactivity_timeout=SOON_S):
            assert method, f"nothing came within {SOON_S:g} s after {found}"
            found.append(body.decode())
            channel.basic_ack(method.delivery_tag)
            if len(found) == count:
                break
    return found


class FrameClient:
    """An AMQP client that does what it is told, frame by frame, on channel 1."""

    def __init__(self, address: Address, namespace: Namespace, heartbeat: int = 0) -> None:
        facts = namespace.facts
        self.socket = socket.create_connection((address.host, address.port), SOON_S)
        self._buffer = b""
        self.socket.sendall(header.ProtocolHeader().marshal())
        self.until("Connection.Start")
        login = f"\0{facts['user']}\0{facts['password']}"
        self.send(commands.Connection.StartOk({}, "PLAIN", login, "en_US"), channel=0)
        tune = self.until("Connection.Tune")
        self.send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, heartbeat), channel=0)
        self.send(commands.Connection.Open(facts["vhost"]), channel=0)
        self.until("Connection.OpenOk")
        self.send(commands.Channel.Open())
        self.until("Channel.OpenOk")

    def send(self, *methods: Any, channel: int = 1) -> None:
        self.socket.sendall(b"".join(frame.marshal(method, channel) for method in methods))

    def next(self) -> Any:
        """The next frame. Raises TimeoutError, or EOFError where the connection ended."""
        while True:
            with suppress(UnmarshalingException, ValueError):
                size, _, found = frame.unmarshal(self._buffer)
                self._buffer = self._buffer[size:]
                return found
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data

    def until(self, name: str) -> Any:
        """The next frame of this name; others before it are passed over."""
        while (found := self.next()).name != name:
            pass
        return found

    def reset_after_fin(self) -> None:
        """What a process does that shuts its connection down and is gone before the other end says anything."""
        self.socket.shutdown(socket.SHUT_WR)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


@contextmanager
def frame_client(bench: Bench, heartbeat: int = 0) -> Iterator[FrameClient]:
    client = FrameClient(bench.tap, bench.namespace, heartbeat)
    try:
        yield client
    finally:
        client.socket.close()
