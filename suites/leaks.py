"""What a session of tests must not leave behind: processes, listening ports, temporary files, containers.

Goes in: nothing. Comes out: what is left, in words. Only what this session made counts, whatever else the machine runs:
this process becomes a subreaper, so that every process it caused stays its descendant, however often it forked and
whoever was killed in between; and the session gets a temporary folder of its own.
To try it: suites/unit/test_rules_leaks.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaosharness.keeper import sockets, tree
from chaosharness.model.errors import TimedOut
from chaosharness.model.wait import wait_for
from chaosharness.servers.docker.engine import Engine

if TYPE_CHECKING:
    from chaosharness.servers.docker.sweep import Left

ENDS_WITHIN_S = 5.0
"""What was told to end may still be about it when the last test is over."""
LISTENING = "0A"
RUNS = Path(".chaosharness", "runs")


class Watch:
    """Knows what was there at the beginning; `left` is what there is besides."""

    def __init__(self) -> None:
        tree.become_subreaper()
        self._processes = {(row.pid, row.start) for row in _descendants()}
        self._ports = listening(os.getpid())
        self._environment = {name: os.environ.get(name) for name in ("TMPDIR", "PYTEST_DEBUG_TEMPROOT")}
        # pytest keeps the folders of its last sessions on purpose: those stay where they have always been
        os.environ["PYTEST_DEBUG_TEMPROOT"] = self._environment["PYTEST_DEBUG_TEMPROOT"] or tempfile.gettempdir()
        self._temporary = Path(tempfile.mkdtemp(prefix="chaosharness-suites-"))
        os.environ["TMPDIR"] = str(self._temporary)
        tempfile.tempdir = None
        # anybody may run chaosharness in this folder at the same time, but for CI
        self._runs = _entries(RUNS) if os.environ.get("CI") else None
        self._docker: Any = None
        self._keepers = Path()

    def look_at(self, engine: Engine, keepers: Path) -> None:
        """From now on what is on `engine` counts too, if its keeper's folder is below `keepers`."""
        from chaosharness.servers.docker.sweep import connect  # here: it takes time, and most need none

        self._docker = connect(engine.url, engine.settings)
        self._keepers = keepers.resolve()

    def left(self) -> list[str]:
        """One line for each process, port and file; those of processes on their way out too."""
        lines = [f"process {row.pid}: {_command(row.pid)}{_ports_of(row.pid)}" for row in self._left()]
        ports = listening(os.getpid())
        lines += [f"port {ports[inode]}: open in the test process itself" for inode in ports.keys() - self._ports]
        lines += [f"temporary file {path}" for path in sorted(_entries(self._temporary))]
        if self._runs is not None:
            lines += [f"run folder {path}" for path in sorted(_entries(RUNS) - self._runs)]
        return lines + [str(one) for one in self._left_on_engine()]

    def end(self) -> list[str]:
        """What is left when all had time to end. Then ends it, and gives the temporary folder back."""
        try:
            wait_for("all that the session made to be gone", ENDS_WITHIN_S, lambda: not self.left(), poll_s=0.02)
        except TimedOut:
            pass
        lines = self.left()
        while rows := self._left():
            for row in rows:
                tree.send(row, signal.SIGKILL)
        if self._docker:
            self._remove(self._left_on_engine())
            self._docker.close()
        shutil.rmtree(self._temporary)
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        tempfile.tempdir = None
        return lines

    def _left(self) -> list[tree.Process]:
        return [row for row in _descendants() if (row.pid, row.start) not in self._processes]

    def _left_on_engine(self) -> list[Left]:
        if self._docker is None:
            return []
        from chaosharness.servers.docker.sweep import found

        return [one for one in found(self._docker) if Path(one.folder).is_relative_to(self._keepers)]

    def _remove(self, left: list[Left]) -> None:
        from chaosharness.servers.docker.sweep import remove

        remove(self._docker, left)


def listening(pid: int) -> Mapping[str, int]:
    """The listening TCP sockets that a process has open: inode to port."""
    ports = dict(_listeners())
    try:
        held = sockets.inodes(pid)
    except OSError:  # it has just ended
        return {}
    return {inode: ports[inode] for inode in held if inode in ports}


def _listeners() -> Iterator[tuple[str, int]]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == LISTENING:
                yield fields[9], int(fields[1].rpartition(":")[2], 16)


def _descendants() -> list[tree.Process]:
    return [row for row in tree.below(tree.scan(), os.getpid()) if not row.gone]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "(ended meanwhile)"


def _ports_of(pid: int) -> str:
    ports = sorted(listening(pid).values())
    return f" (listens on {', '.join(map(str, ports))})" if ports else ""


def _entries(folder: Path) -> frozenset[Path]:
    return frozenset(folder.iterdir()) if folder.is_dir() else frozenset()
