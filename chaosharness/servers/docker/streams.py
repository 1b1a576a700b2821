"""A container's standard streams: its output to a log, or to and from a driver.

Goes in: an attached connection. Comes out: lines in a log, bytes on file descriptors. To try it:
`suites/conformance/test_docker_instance.py`.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from typing import Any

import docker.utils.socket as frames

from chaosharness.keeper.linelog import LineLog

STDOUT = 1
READ_BYTES = 65536


class Streams:
    """Of one incarnation; made before it starts, so that no byte is missed."""

    def __init__(self, client: Any, container: str, log: LineLog, stdio: tuple[int, int] | None) -> None:
        """`stdio`: descriptors that stay the caller's; without, standard output goes to the log, input is empty."""
        params = {"stdout": 1, "stderr": 1, "stream": 1, "stdin": 1 if stdio else 0}
        self._attached = client.api.attach_socket(container, params)
        # of a local engine it is a file over a socket, which closing the file leaves open
        self._connection: socket.socket = getattr(self._attached, "_sock", self._attached)
        self._log = log
        self._stdio = stdio
        self._woken, self._wake = os.pipe()
        self._threads = [threading.Thread(target=self._drain, name=f"output of {container[:12]}", daemon=True)]
        if stdio:
            self._threads.append(threading.Thread(target=self._feed, name=f"input of {container[:12]}", daemon=True))
        for thread in self._threads:
            thread.start()

    def end(self, within_s: float = 2.0) -> None:
        """After the container's end: what it wrote last is in the log when this returns, or the time is up."""
        os.write(self._wake, b".")
        for thread in self._threads:
            thread.join(within_s)
        self._attached.close()
        self._connection.close()
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self._woken)
            os.close(self._wake)

    def _drain(self) -> None:
        try:
            for stream, data in frames.frames_iter(self._attached, tty=False):  # type: ignore[no-untyped-call]
                if self._stdio and stream == STDOUT:
                    _write_all(self._stdio[1], data)
                else:
                    self._log.feed(data)
        except (OSError, ValueError):
            pass  # the container is gone, or the driver is
        self._log.flush()

    def _feed(self) -> None:
        """Only what the container can take is read: the rest waits for its next incarnation, as in a pipe."""
        assert self._stdio
        source = self._stdio[0]
        try:
            while source in select.select([source, self._woken], [], [])[0]:
                data = os.read(source, READ_BYTES)
                if not data:
                    self._connection.shutdown(socket.SHUT_WR)
                    return
                self._connection.sendall(data)
        except OSError:
            pass  # as above


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
