"""Whole lives of messages over one connection, as fast as its server takes them: what a tap is measured with.

In: an address of RabbitMQ or Redis, or of a tap before it. Out: seconds from the first byte to the last answer.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pamqp import commands
from publisher import BATCH, METHOD_FRAME, STALLED_S, Confirms, Load, Talk

from chaosharness.model.address import Address
from chaosharness.ports.launch import Namespace

IN_FLIGHT = 500
"""Messages that are published and not yet both confirmed and delivered, at most."""
PIPELINED = 50
"""Commands of Redis in one write."""
_CONFIRM, _DELIVER = struct.pack(">HH", 60, 80), struct.pack(">HH", 60, 60)
_ACK = struct.Struct(">BHIHHQBB")
_TAG = struct.Struct(">QB")


def through_rabbitmq(address: Address, namespace: Namespace, queue: str, load: Load) -> float:
    """Each message is published, confirmed, delivered and acknowledged by itself; all on one channel.

    Raises TimeoutError, OSError.
    """
    with _connected(address) as connection:
        talk = Talk(connection)
        talk.open(namespace)
        talk.ask(commands.Queue.Declare(queue=queue, durable=False))
        talk.ask(commands.Confirm.Select())
        talk.ask(commands.Basic.Qos(prefetch_count=IN_FLIGHT))
        talk.ask(commands.Basic.Consume(queue=queue, consumer_tag="bench"))
        took = _live(connection, load)
        talk.ask(commands.Queue.Delete(queue=queue))
    return took


def _live(connection: socket.socket, load: Load) -> float:
    batches = iter(load.batches)
    confirms = Confirms(load.messages)
    sent = delivered = 0
    rest, data = b"", b""
    connection.setblocking(False)
    began = time.perf_counter()
    while confirms.open or delivered < load.messages:
        if not rest and sent < load.messages and sent - min(confirms.seen, delivered) < IN_FLIGHT:
            rest = next(batches)
            sent += BATCH
        readable, writable, _ = select.select([connection], [connection] if rest else [], [], STALLED_S)
        if not readable and not writable:
            raise TimeoutError(f"of {load.messages} messages {confirms.seen} were confirmed, {delivered} delivered")
        if writable:
            rest = rest[connection.send(rest) :]
        if readable:
            arrived = connection.recv(1 << 18)
            if not arrived:
                raise ConnectionError("the connection was closed")
            data += arrived
            taken = 0
            for end, method in _methods(data):
                taken = end
                if method[:4] == _CONFIRM:
                    tag, multiple = _TAG.unpack_from(method, 4)
                    confirms.count(tag, bool(multiple))
                elif method[:4] == _DELIVER:
                    delivered += 1
                    (tag, _) = _TAG.unpack_from(method, 5 + method[4])
                    rest += _ACK.pack(METHOD_FRAME, 1, 13, 60, 80, tag, 0, 0xCE)
            data = data[taken:]
    while rest:
        select.select([], [connection], [], STALLED_S)
        rest = rest[connection.send(rest) :]
    took = time.perf_counter() - began
    connection.setblocking(True)
    connection.settimeout(STALLED_S)
    return took


def _methods(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each whole frame ends, and its payload; nothing for the payload of frames that are no methods."""
    at = 0
    while len(data) - at >= 8:
        end = at + int.from_bytes(data[at + 3 : at + 7], "big") + 8
        if end > len(data):
            return
        yield end, data[at + 7 : end - 1] if data[at] == METHOD_FRAME else b""
        at = end


def through_redis(address: Address, db: int, queue: str, payloads: Sequence[bytes]) -> float:
    """Each message is pushed, moved to a processing list and removed from there, in pipelines.

    Raises TimeoutError, OSError.
    """
    name, working = queue.encode(), queue.encode() + b":working"
    with _connected(address) as connection:
        _piped(connection, [_command(b"SELECT", b"%d" % db), _command(b"DEL", name, working)])
        steps: list[Callable[[bytes], bytes]] = [
            lambda payload: _command(b"LPUSH", name, payload),
            lambda payload: _command(b"LMOVE", name, working, b"RIGHT", b"LEFT"),
            lambda payload: _command(b"LREM", working, b"1", payload),
        ]
        pipelines = [
            [step(payload) for payload in payloads[first : first + PIPELINED]]
            for first in range(0, len(payloads), PIPELINED)
            for step in steps
        ]
        began = time.perf_counter()
        for pipeline in pipelines:
            _piped(connection, pipeline)
        return time.perf_counter() - began


def _piped(connection: socket.socket, pipeline: Sequence[bytes]) -> None:
    """Sends them in one write and reads as many replies: a line each, and another line for a bulk string."""
    connection.sendall(b"".join(pipeline))
    due, data = len(pipeline), b""
    while due:
        arrived = connection.recv(1 << 18)
        if not arrived:
            raise ConnectionError("the connection was closed")
        data += arrived
        lines = data.split(b"\r\n")
        data = lines.pop()
        for line in lines:
            if line[:1] == b"-":
                raise ConnectionError(f"refused: {line!r}")
            due -= line[:1] != b"$"  # its bulk string comes on the next line


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


@contextmanager
def _connected(address: Address) -> Iterator[socket.socket]:
    with socket.create_connection((address.host, address.port), timeout=STALLED_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection
