"""One instance through its incarnations: started, restarted by policy, taken down, recorded.

Goes in: a launch request, signals. Comes out: incarnations, process events, `Evidence` gathered by looking afterwards.
To try it: `suites/conformance/test_keeper_restart.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chaosharness.keeper import tree
from chaosharness.keeper.incarnation import Family, Incarnation
from chaosharness.keeper.linelog import LineLog
from chaosharness.keeper.loop import Steps
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.ports.launch import Evidence

Record = Callable[[Kind, Mapping[str, Any]], None]

QUICK_S = 5.0
"""An incarnation that lived less counts as a repeat, and the next one waits longer."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 2.0
START_S = 10.0


def pause_s(repeats: int) -> float:
    """How long a supervisor waits before the next start, after so many quick exits before this one: 0, 0.1, 0.2 … 2."""
    return min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** (repeats - 1)) if repeats else 0.0


class OwnedInstance:
    """What the keeper knows of one name."""

    def __init__(
        self, family: Family, record: Record, name: str, request: dict[str, Any], stdio: tuple[int, int] | None
    ) -> None:
        """`request`: argv, env, folder, log, restart. `stdio` is owned from here on, until `close`."""
        self.name = name
        self.incarnations: list[Incarnation] = []
        """Those of which a process may be left: more than one where orphans of an earlier one live on."""
        self.number = 0
        self.exits: list[int] = []
        self.down = False
        """Taken down by the harness: stays so until `start`."""
        self._family = family
        self._record = record
        self._request = request
        self._stdio = stdio
        self._closed = False
        self._repeats = 0

    # what it is now

    @property
    def alive(self) -> bool:
        return any(incarnation.left for incarnation in self.incarnations)

    @property
    def busy(self) -> bool:
        """Alive, or about to be restarted by policy: its name is taken."""
        return self.alive or (not self.down and self._request["restart"] == "always")

    @property
    def mains(self) -> dict[int, Incarnation]:
        """The commands that run now, by process id."""
        return {i.main: i for i in self.incarnations if i.main is not None and i.code is None}

    def processes(self, table: tree.Table) -> list[tree.Process]:
        """Every living process of every incarnation."""
        return [process for incarnation in self.incarnations for process in incarnation.processes(table)]

    # what the harness does

    def start(self) -> Steps[Evidence]:
        """The next incarnation; ok=False with facts `errno` and `error` if the command could not be started."""
        began = time.monotonic()
        if self._closed and self._stdio:
            return Evidence(False, f"{self.name}: its standard input and output were closed when it was stopped")
        if running := self.mains:
            return Evidence(False, f"{self.name} is up already", {"pids": sorted(running)})
        self.down = False
        self._repeats = 0
        incarnation = self._next()
        if not (yield from self.settled()):
            raise HarnessBroke(f"{self.name}: waited {START_S:g} s for its minder to start it")
        if incarnation.error is not None:
            facts = {"error": incarnation.error, "errno": incarnation.errno}
            return Evidence(False, f"{self.name} could not be started: {incarnation.error}", facts)
        took_ms = round((time.monotonic() - began) * 1000, 1)
        return Evidence(
            True,
            f"{self.name} started: pid {incarnation.main}, incarnation {incarnation.number}",
            {"pids": [incarnation.main], "incarnation": incarnation.number, "took_ms": took_ms},
        )

    def settled(self) -> Steps[bool]:
        """Waits until no incarnation is in the middle of its start; False: one still is."""
        began = time.monotonic()
        while any(incarnation.starting for incarnation in self.incarnations):
            if time.monotonic() - began > START_S:
                return False
            yield 0.0005
        return True

    def take_down(self) -> None:
        """From now on its exits are asked for, and nothing restarts it but `start`."""
        self.down = True
        for incarnation in self.incarnations:
            incarnation.asked = True

    def close(self) -> None:
        """Gives up its standard input and output: who holds the other ends sees end of file."""
        if not self._closed:
            self._closed = True
            for fd in self._stdio or ():
                os.close(fd)

    def note(self, text: str) -> None:
        """A line in its log, which its minder writes."""
        try:
            log = LineLog(Path(self._request["log"]))
        except OSError:
            return  # a full disk, a log that was taken away: the ledger says it too
        log.note(text)
        log.close()

    def signalled(self, signal: str, scope: str, pids: set[int]) -> None:
        """Into the ledger, before the signal is sent."""
        data = {"instance": self.name, "signal": signal, "scope": scope, "pids": sorted(pids)}
        self._record(Kind.SIGNALLED, data)

    # what its incarnations tell

    def started(self, incarnation: Incarnation) -> None:
        data = {"instance": self.name, "pid": incarnation.main, "incarnation": incarnation.number}
        self._record(Kind.STARTED, data)

    def failed(self, incarnation: Incarnation) -> None:
        if incarnation.number > 1 and not incarnation.asked:
            self._again(incarnation)

    def exited(self, incarnation: Incarnation) -> None:
        self._record_exit(incarnation)
        if not incarnation.asked:
            assert incarnation.code is not None
            self.exits.append(incarnation.code)
            self._again(incarnation)

    def gone(self, incarnation: Incarnation) -> None:
        self.incarnations.remove(incarnation)
        if incarnation.code is not None and not incarnation.told_gone:
            self._record_exit(incarnation)

    def _record_exit(self, incarnation: Incarnation) -> None:
        incarnation.told_gone = not incarnation.left
        data = {
            "instance": self.name,
            "pid": incarnation.main,
            "incarnation": incarnation.number,
            "code": incarnation.code,
            "asked": incarnation.asked,
            "gone": not incarnation.left,
        }
        self._record(Kind.EXITED, data)

    # restarts

    def _next(self) -> Incarnation:
        self.number += 1
        incarnation = Incarnation(self._family, self, self.number, self._request, self._stdio)
        self.incarnations.append(incarnation)
        return incarnation

    def _again(self, ended: Incarnation) -> None:
        """As a supervisor would: at once, then with a growing pause."""
        if self.down or self._request["restart"] != "always":
            return
        if time.monotonic() - ended.born >= QUICK_S:
            self._repeats = 0
        number = self.number

        def respawn() -> None:
            if not self.down and self.number == number:
                try:
                    self._next()
                except OSError:  # no more processes may be forked now
                    self._family.loop.later(LAST_PAUSE_S, respawn)

        self._family.loop.later(pause_s(self._repeats), respawn)
        self._repeats += 1
