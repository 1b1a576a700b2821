"""The two ends of a link, for its tests: sockets with a time-out on everything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.links.link import Link
from chaosharness.model.address import Address
from chaosharness.ports.launch import Way

THIS_MACHINE = Way()
ARRIVES_WITHIN_S = 5.0
SILENT_FOR_S = 0.25
FULL_AFTER_S = 1.0


class Upstream:
    """Where a link leads: a listening socket that accepts when told to; `way`: by which Toxiproxy reaches it."""

    def __init__(self, way: Way = THIS_MACHINE) -> None:
        self._socket = socket.create_server((way.bind, 0))
        self._socket.settimeout(ARRIVES_WITHIN_S)
        self.address = Address(way.seen_as, self._socket.getsockname()[1])

    def close(self) -> None:
        self._socket.close()

    @contextmanager
    def through(self, link: Link) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A connection through the link: the client's end and the server's."""
        with socket.create_connection((link.listen.host, link.listen.port), ARRIVES_WITHIN_S) as client:
            server, _ = self._socket.accept()
            with server:
                server.settimeout(ARRIVES_WITHIN_S)
                yield client, server


def passes(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether bytes sent now arrive."""
    sender.sendall(b"ping")
    return receiver.recv(4) == b"ping"


def swallowed(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether bytes sent now neither arrive nor close anything."""
    sender.sendall(b"lost")
    receiver.settimeout(SILENT_FOR_S)
    try:
        receiver.recv(4)
    except TimeoutError:
        return True
    finally:
        receiver.settimeout(ARRIVES_WITHIN_S)
    return False


def closed(end: socket.socket) -> bool:
    """Whether this end sees the connection end, by FIN or RST."""
    try:
        return end.recv(1) == b""
    except ConnectionResetError:
        return True


def stuff(sender: socket.socket) -> int:
    """Sends until nothing more is taken for a while: the peer does not read; returns how many bytes that took."""
    total = 0
    sender.settimeout(FULL_AFTER_S)
    try:
        while True:
            total += sender.send(b"x" * 65536)
    except TimeoutError:
        return total
    finally:
        sender.settimeout(ARRIVES_WITHIN_S)
