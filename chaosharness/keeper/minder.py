"""The parent of one incarnation of one instance: a fork of the keeper, so that it costs a millisecond.

Goes in: a recipe as plain data, a socket to the keeper. Comes out, as JSON lines on that socket: `{"pid": n}` or
`{"error": text, "errno": n}`, then `{"exited": code, "left": bool}` when the command itself has ended, then end of
file when no descendant is left. End of file from the keeper (it is gone, however) ends the whole tree. To try it:
`suites/conformance/test_keeper_end.py`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaosharness.keeper import tree
from chaosharness.keeper.linelog import LineLog
from chaosharness.keeper.loop import Loop
from chaosharness.keeper.spawn import spawn

_READ_BYTES = 64 * 1024
_DRAIN_BYTES = 4 * 1024 * 1024
"""More than a pipe holds: output that is older than an exit is in the log before the exit is reported."""


def fork(keeper: socket.socket, request: dict[str, Any], stdio: tuple[int, int] | None) -> int:
    """Forks the minder and returns its process id. `keeper` is the minder's end of the socket. Raises OSError."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = _main(keeper, request, stdio)
        except BaseException:  # whatever it is, a copy of the keeper must not go on
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def _main(keeper: socket.socket, request: dict[str, Any], stdio: tuple[int, int] | None) -> int:
    os.setsid()
    tree.become_subreaper()
    _close_all_but((0, 1, 2, keeper.fileno(), *(stdio or ())))
    minder = Minder(keeper, request["incarnation"])
    if minder.start(request, stdio):
        minder.loop.run()
    return 0


def _close_all_but(kept: Sequence[int]) -> None:
    """What the keeper has open (other minders' sockets!) must not be held open here."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own descriptor


class Minder:
    """Runs one command, writes its output to the log, reaps its tree, and outlives all of it."""

    def __init__(self, keeper: socket.socket, incarnation: int) -> None:
        self.loop = Loop(
            signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, on_signal=self._on_signal
        )
        self._keeper = keeper
        self._incarnation = incarnation
        self._main = 0
        self._log: LineLog
        self._output = -1
        self._ending = False

    def start(self, request: dict[str, Any], stdio: tuple[int, int] | None) -> bool:
        """Starts the command, or reports why not."""
        try:
            self._log = LineLog(Path(request["log"]))
            os.chdir(request["folder"])
            self._output, theirs = os.pipe()
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            given = (stdio[0], stdio[1], theirs) if stdio else (null, theirs, theirs)
            self._main = spawn(request["argv"], request["env"], given)
        except (OSError, ValueError) as error:
            self._tell(error=str(error), errno=getattr(error, "errno", None))
            return False
        for fd in {null, *given}:
            os.close(fd)
        self._log.note(f"started: pid {self._main}, incarnation {self._incarnation}")
        self._tell(pid=self._main)
        os.set_blocking(self._output, False)
        self.loop.watch(self._output, self._read)
        self.loop.watch(self._keeper, self._end)
        self._reap()
        return True

    def _tell(self, **message: Any) -> None:
        try:
            self._keeper.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._end()  # nobody listens: the keeper is gone

    def _read(self) -> int:
        """One read of the output into the log; 0 when there is nothing now, or nothing more."""
        if self._output < 0:
            return 0
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._log.feed(data)
        else:
            self.loop.forget(self._output)
            os.close(self._output)
            self._output = -1
        return len(data)

    def _drain(self) -> None:
        total = 0
        while total < _DRAIN_BYTES and (size := self._read()):
            total += size

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGTERM:
            self._end()

    def _reap(self) -> None:
        """Takes every exit there is; as a subreaper, a minder without children has no descendants."""
        code: int | None = None
        left = True
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                left = False
                break
            if pid == 0:
                break
            if pid == self._main:
                code = os.waitstatus_to_exitcode(status)
        if code is not None:
            self._drain()
            self._log.flush()
            self._log.note(f"exited: pid {self._main}, code {code}")
            self._tell(exited=code, left=left)
        if not left:
            self._drain()
            self._log.close()
            self.loop.stop()

    def _end(self) -> None:
        """Kills the tree, again and again until there is none: a fork may have outrun the look at it."""
        if not self._ending:
            self._ending = True
            self.loop.forget(self._keeper)
            self._kill()

    def _kill(self) -> None:
        for process in tree.below(tree.scan(), os.getpid()):
            tree.send(process, signal.SIGKILL)
        self.loop.later(0.002, self._kill)
