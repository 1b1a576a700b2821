"""A container's standard streams: its output to a log, or to and from a driver.

Goes in: an attached connection. Comes out: lines in a log, bytes on file descriptors. To try it:
`suites/conformance/test_docker_streams.py`.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from chaosharness.keeper.linelog import LineLog

STDOUT = 1
HEADER = struct.Struct(">BxxxL")
"""Of a frame: which stream, how many bytes."""
READ_BYTES = 65536
PIECE_BYTES = select.PIPE_BUF
"""What takes anything takes so much at once."""
LOOK_S = 0.1
"""A driver that does not read is looked at so often."""
END_S = 2.0


class Stdio:
    """A driver's ends, over all incarnations. What Docker has taken is lost with one that did not read it."""

    def __init__(self, stdio: tuple[int, int]) -> None:
        """Descriptors to read the service's input from and to write its output to; they stay the caller's."""
        self.source, self.sink = os.dup(stdio[0]), os.dup(stdio[1])
        self.unsent = b""
        """Read from the driver, and for the next incarnation if this one does not take it."""

    def close(self) -> None:
        """No incarnation may be left: the driver then sees end of file."""
        os.close(self.source)
        os.close(self.sink)


class Streams:
    """Of one incarnation; made before it starts, so that no byte is missed."""

    def __init__(self, client: Any, container: str, log: LineLog, stdio: Stdio | None) -> None:
        """Without `stdio`, standard output goes to the log and input is empty. Raises docker.errors.APIError."""
        params = {"stdout": 1, "stderr": 1, "stream": 1, "stdin": 1 if stdio else 0}
        self._attached = client.api.attach_socket(container, params)
        # of a local engine it is a file over a socket, which closing the file leaves open
        self._connection: socket.socket = getattr(self._attached, "_sock", self._attached)
        self._connection.settimeout(None)
        self._log = log
        self._stdio = stdio
        self._hurried = False
        self._ended, self._end = os.pipe()
        self._threads = [threading.Thread(target=self._drain, name=f"output of {container[:12]}", daemon=True)]
        if stdio:
            feed = threading.Thread(target=self._feed, args=(stdio,), name=f"input of {container[:12]}", daemon=True)
            self._threads.append(feed)
        for thread in self._threads:
            thread.start()

    def hurry(self) -> None:
        """Before a kill: an engine waits for who reads its output. What the driver does not take is thrown away."""
        self._hurried = True

    def end(self, within_s: float = END_S) -> None:
        """After the container's end: what it wrote last is in the log, or with the driver if that reads, on return."""
        self._threads[0].join(within_s)
        self.hurry()
        os.write(self._end, b".")
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is at its end
        for thread in self._threads:
            thread.join()
        if answer := getattr(self._attached, "_response", None):
            answer.close()  # it holds a connection with TLS open
        self._attached.close()
        self._connection.close()
        os.close(self._ended)
        os.close(self._end)

    def _drain(self) -> None:
        try:
            for stream, data in self._frames():
                if self._stdio and stream == STDOUT:
                    with suppress(BrokenPipeError):  # the driver is gone: the engine waits for us all the same
                        self._pass_on(self._stdio.sink, data)
                else:
                    self._log.feed(data)
        except OSError:
            pass  # the container is gone
        self._log.flush()
        os.write(self._end, b".")  # nobody reads its input any more

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        rest = b""
        while data := self._connection.recv(READ_BYTES):
            rest += data
            while len(rest) >= HEADER.size:
                stream, size = HEADER.unpack_from(rest)
                if len(rest) < HEADER.size + size:
                    break
                yield stream, rest[HEADER.size : HEADER.size + size]
                rest = rest[HEADER.size + size :]

    def _pass_on(self, sink: int, data: bytes) -> None:
        while data:
            if _ready([], [sink], LOOK_S):
                data = data[os.write(sink, data[:PIECE_BYTES]) :]
            elif self._hurried:
                return

    def _feed(self, stdio: Stdio) -> None:
        """Reads on only when all has been taken: the rest waits in the driver's pipe, for whoever comes."""
        try:
            while True:
                takes = [self._connection.fileno()] if stdio.unsent else []
                if self._ended in _ready([self._ended] if takes else [self._ended, stdio.source], takes):
                    return
                if takes:
                    stdio.unsent = stdio.unsent[self._connection.send(stdio.unsent[:PIECE_BYTES]) :]
                    continue
                stdio.unsent = os.read(stdio.source, READ_BYTES)
                if not stdio.unsent:
                    self._connection.shutdown(socket.SHUT_WR)
                    return
        except OSError:
            pass  # the container is gone


def _ready(reading: Sequence[int], writing: Sequence[int], within_s: float | None = None) -> set[int]:
    """Which of these descriptors can be read, or written, without waiting; waits for the first."""
    poll = select.poll()
    for fd in reading:
        poll.register(fd, select.POLLIN)
    for fd in writing:
        poll.register(fd, select.POLLOUT)
    return {fd for fd, _ in poll.poll(None if within_s is None else within_s * 1000)}
