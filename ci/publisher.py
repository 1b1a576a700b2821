"""The fastest AMQP publisher to be had here: every frame made beforehand, confirms counted, nothing else done.

In: an address, a queue, keys, a size. Out: seconds from the first byte to the last confirm.
To try it: `ci/bench`, which sends through what it compares.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pamqp import body, commands, frame, header

from chaosharness.model.address import Address
from chaosharness.ports.launch import Namespace

BATCH = 100
"""Messages in one write."""
IN_FLIGHT = 1000
"""Unconfirmed messages at most."""
STALLED_S = 30.0
CONFIRM = struct.pack(">HH", 60, 80)
METHOD_FRAME = 1


@dataclass(frozen=True, slots=True)
class Load:
    """Messages as bytes on the wire, in batches of BATCH."""

    messages: int
    batches: tuple[bytes, ...]

    @classmethod
    def made(cls, queue: str, keys: Sequence[str], size: int) -> Load:
        """`size` bytes of body each; the key is the message_id; transient, mandatory not set."""
        publish = frame.marshal(commands.Basic.Publish(exchange="", routing_key=queue), 1)
        payload = frame.marshal(body.ContentBody(b"x" * size), 1)
        frames = [
            publish
            + frame.marshal(
                header.ContentHeader(0, size, commands.Basic.Properties(message_id=key, delivery_mode=1)), 1
            )
            + payload
            for key in keys
        ]
        batches = (b"".join(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH))
        return cls(len(frames), tuple(batches))


def publish(address: Address, namespace: Namespace, queue: str, load: Load) -> float:
    """Sends the load on a connection of its own, to a queue that it declares and deletes.

    Raises TimeoutError, OSError.
    """
    with socket.create_connection((address.host, address.port), timeout=STALLED_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Talk(connection)
        talk.open(namespace)
        talk.ask(commands.Queue.Declare(queue=queue, durable=False))
        talk.ask(commands.Confirm.Select())
        took = _send(connection, load)
        talk.ask(commands.Queue.Delete(queue=queue))
    return took


def _send(connection: socket.socket, load: Load) -> float:
    connection.setblocking(False)
    batches = list(reversed(load.batches))
    confirms = Confirms(load.messages)
    sent, rest = 0, memoryview(b"")
    began = time.perf_counter()
    while confirms.open:
        may_send = bool(rest) or (bool(batches) and sent - confirms.seen < IN_FLIGHT)
        readable, writable, _ = select.select([connection], [connection] if may_send else [], [], STALLED_S)
        if not readable and not writable:
            raise TimeoutError(f"{confirms.open} of {load.messages} messages were not confirmed in {STALLED_S:g} s")
        if readable:
            confirms.take(connection.recv(1 << 16))
        if writable:
            if not rest:
                rest = memoryview(batches.pop())
                sent += BATCH
            rest = rest[connection.send(rest) :]
    took = time.perf_counter() - began
    connection.setblocking(True)
    connection.settimeout(STALLED_S)
    return took


class Confirms:
    """Counts the messages that confirms cover; single ones may come out of order."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.open = messages
        self._below = 0
        """Every sequence number up to this one is confirmed."""
        self._above: set[int] = set()
        self._data = b""

    @property
    def seen(self) -> int:
        return self.messages - self.open

    def take(self, data: bytes) -> None:
        if not data:
            raise ConnectionError("the connection was closed")
        data = self._data + data
        at = 0
        while len(data) - at >= 7:
            size = int.from_bytes(data[at + 3 : at + 7], "big")
            if len(data) - at < size + 8:
                break
            if data[at] == METHOD_FRAME:
                if data[at + 7 : at + 11] != CONFIRM:
                    raise ConnectionError(f"expected a confirm, found {data[at : at + size + 8]!r}")
                self.count(int.from_bytes(data[at + 11 : at + 19], "big"), bool(data[at + 19]))
            at += size + 8
        self._data = data[at:]

    def count(self, tag: int, multiple: bool) -> None:
        """One confirm."""
        if multiple:
            self._below = max(self._below, tag)
            self._above = {each for each in self._above if each > self._below}
        else:
            self._above.add(tag)
        while self._below + 1 in self._above:
            self._below += 1
            self._above.discard(self._below)
        self.open = self.messages - self._below - len(self._above)


class Talk:
    """Questions and answers before and after the load."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""

    def open(self, namespace: Namespace) -> None:
        facts = namespace.facts
        self._connection.sendall(header.ProtocolHeader(0, 9, 1).marshal())
        self._answer()
        self._tell(commands.Connection.StartOk({}, "PLAIN", f"\0{facts['user']}\0{facts['password']}", "en_US"), 0)
        tune = self._answer()
        self._tell(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), 0)
        self._tell(commands.Connection.Open(facts["vhost"]), 0)
        self._answer()
        self.ask(commands.Channel.Open())

    def ask(self, question: frame.FrameTypes) -> None:
        self._tell(question, 1)
        self._answer()

    def _tell(self, what: frame.FrameTypes, channel: int) -> None:
        self._connection.sendall(frame.marshal(what, channel))

    def _answer(self) -> commands.Connection.Tune:
        """The next method; whoever asked knows which it is, and only Tune is looked into."""
        while len(self._data) < 7 or len(self._data) < 8 + int.from_bytes(self._data[3:7], "big"):
            data = self._connection.recv(1 << 16)
            if not data:
                raise ConnectionError("the connection was closed")
            self._data += data
        consumed, _, answer = frame.unmarshal(self._data)
        self._data = self._data[consumed:]
        if isinstance(answer, commands.Connection.Close | commands.Channel.Close):
            raise ConnectionError(f"refused: {answer.reply_code} {answer.reply_text}")
        return answer  # type: ignore[return-value]
