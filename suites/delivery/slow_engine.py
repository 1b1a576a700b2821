"""A Docker Engine that is slow to make containers: the real one, behind a socket that holds what asks for one.

Goes in: an engine's socket. Comes out: another, with two events. Who asks may be dead by the time it is let go; the
request goes on all the same, as one does that an engine has already taken. To try it: test_docker_leaks.py.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

CREATE = re.compile(rb"POST \S*/containers/create")
HELD_S = 60.0


@dataclass
class SlowEngine:
    """`url` is for DOCKER_HOST."""

    url: str
    asked: threading.Event = field(default_factory=threading.Event)
    """Set when a container has been asked for."""
    let_go: threading.Event = field(default_factory=threading.Event)
    """To be set, for it to be made."""
    on_request: Callable[[bytes], object] = lambda start: None
    """Told of the start of every other request."""


@contextmanager
def slow_engine(real: str, folder: Path) -> Iterator[SlowEngine]:
    """`real`: the engine's socket; `folder`: for the other one, a short name, as sockets want it."""
    path = str(folder / "slow.sock")
    slow = SlowEngine(f"unix://{path}")
    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threads.append(threading.Thread(target=_serve, args=(client, real, slow), daemon=True))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield slow
        finally:
            slow.let_go.set()
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join(HELD_S)


def _serve(client: socket.socket, real: str, slow: SlowEngine) -> None:
    with client, socket.socket(socket.AF_UNIX) as engine:
        engine.connect(real)
        answers = threading.Thread(target=_pass, args=(engine, client, None), daemon=True)
        answers.start()
        _pass(client, engine, slow)
        answers.join()


def _pass(source: socket.socket, sink: socket.socket, slow: SlowEngine | None) -> None:
    """What `slow` is given for are requests."""
    with suppress(OSError):
        while data := source.recv(65536):
            if slow and CREATE.match(data):
                slow.asked.set()
                slow.let_go.wait(HELD_S)
            elif slow:
                slow.on_request(data[:80])
            with suppress(OSError):  # who asked may be gone; what it asked for goes on
                sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
