"""The keeper's side of one minder: what became of the command, and which processes are its own.

Goes in: a recipe as plain data. Comes out: calls of `Owner` when the command has started, when it has ended, and when
its whole tree is gone. To try it: `suites/conformance/test_keeper_restart.py`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import Any, Protocol

from chaosharness.keeper import minder, tree
from chaosharness.keeper.loop import Loop, Steps


class Owner(Protocol):
    """Who is told; each call at most once for an incarnation, in this order."""

    def started(self, incarnation: Incarnation) -> None: ...

    def failed(self, incarnation: Incarnation) -> None:
        """It could not be started: see its `error`."""
        ...

    def exited(self, incarnation: Incarnation) -> None:
        """The command has ended; descendants of it may live on (`left`)."""
        ...

    def gone(self, incarnation: Incarnation) -> None:
        """No process of it is left."""
        ...


class Family:
    """All minders, and what falls to the keeper when one of them is killed."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.minders: dict[int, Incarnation] = {}
        self._orphaned: set[Incarnation] = set()

    def reap(self) -> None:
        """Takes every exit of a child of the keeper: minders, and processes whose minder was killed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if incarnation := self.minders.pop(pid, None):
                incarnation.minder_ended(code)
            else:
                for orphan in self._orphaned:
                    if orphan.main == pid:
                        orphan.main_ended(code, left=True)

    def strays(self, table: tree.Table) -> list[tree.Process]:
        """Processes below the keeper that no living minder minds."""
        return tree.below(table, os.getpid(), skip=self.minders)

    def sweep(self, incarnation: Incarnation) -> Steps[None]:
        """Ends the strays; they are this incarnation's unless two minders were killed at once."""
        self._orphaned.add(incarnation)
        while strays := self.strays(tree.scan()):
            for process in strays:
                tree.send(process, signal.SIGKILL)
            yield 0.002
        self._orphaned.discard(incarnation)


class Incarnation:
    """One life of an instance."""

    def __init__(
        self, family: Family, owner: Owner, number: int, request: dict[str, Any], stdio: tuple[int, int] | None
    ) -> None:
        """Forks the minder. Raises OSError."""
        self.number = number
        self.main: int | None = None
        self.code: int | None = None
        self.error: str | None = None
        self.errno: int | None = None
        self.asked = False
        """The harness has done something that is to end it."""
        self.left = True
        """Some process of it may be left."""
        self.told_gone = False
        """The ledger has its end."""
        self.born = time.monotonic()
        self._family = family
        self._owner = owner
        self._minded = True
        self._input = b""
        self._socket, theirs = socket.socketpair()
        try:
            self._minder = minder.fork(theirs, {**request, "incarnation": number}, stdio)
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._socket.setblocking(False)
        family.minders[self._minder] = self
        family.loop.watch(self._socket, self._read)

    @property
    def starting(self) -> bool:
        """Its minder has not told yet what became of the start."""
        return self.main is None and self.error is None

    def processes(self, table: tree.Table) -> list[tree.Process]:
        """All that live, nearest to the minder first."""
        below = tree.below(table, self._minder) if self._minded else self._family.strays(table)
        return [process for process in below if not process.gone]

    def _read(self) -> bool:
        """Takes what the minder says; False when there is no more."""
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._family.loop.forget(self._socket)
            return False
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            self._told(json.loads(line))
        return True

    def _told(self, message: dict[str, Any]) -> None:
        if "pid" in message:
            self.main = message["pid"]
            self._owner.started(self)
        elif "error" in message:
            self.error, self.errno = message["error"], message["errno"]
            self._owner.failed(self)
        else:
            self.main_ended(message["exited"], message["left"])

    def main_ended(self, code: int, left: bool) -> None:
        """The command's own exit, as its minder or, where that was killed, the keeper saw it."""
        if self.code is None:
            self.code, self.left = code, left
            self._owner.exited(self)

    def minder_ended(self, code: int) -> None:
        """A minder ends by itself when nothing is left; one that was killed leaves its tree to the keeper."""
        while self._read():
            pass
        self._family.loop.forget(self._socket)
        self._socket.close()
        self._minded = False
        if code == 0:
            self._finish(None)
        else:
            self._family.loop.start(self._family.sweep(self), self._finish)

    def _finish(self, failure: object) -> None:
        if isinstance(failure, Exception):
            raise failure
        self.left = False
        if self.starting:
            self.error = "its minder was killed before the command could start"
            self._owner.failed(self)
        elif self.main is not None:
            self.main_ended(-signal.SIGKILL, left=False)
        self._owner.gone(self)
