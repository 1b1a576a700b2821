"""Processes as /proc shows them: who descends from whom, what state each is in.

Goes in: process ids. Comes out: `Process` rows, and signals sent to exactly the process that was seen. Linux only.
To try it: `python -c "from chaosharness.keeper import tree; print(tree.below(tree.scan(), 1))"`.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """One row of /proc. `start` (clock ticks since boot) tells it from a later process with the same id."""

    pid: int
    ppid: int
    state: str
    threads: int
    start: int

    @property
    def gone(self) -> bool:
        """Dead but for its exit code. A dead leader whose threads are still ending holds its ports: not gone."""
        return self.state in "ZX" and self.threads <= 1


Table = Mapping[int, Process]


def become_subreaper() -> None:
    """Orphans below this process become its children, not init's. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _read(path: str) -> bytes | None:
    """None: the process is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        return os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)


def look(pid: int) -> Process | None:
    """The process as it is now; None if there is none."""
    stat = _read(f"/proc/{pid}/stat")
    if not stat:
        return None
    # the name may hold spaces and brackets: count from the last bracket
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Process(pid, int(fields[1]), chr(fields[0][0]), int(fields[17]), int(fields[19]))


def scan() -> Table:
    """Every process of this machine (of this pid namespace)."""
    rows = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {row.pid: row for row in rows if row}


def below(table: Table, *roots: int, skip: Iterable[int] = ()) -> list[Process]:
    """The descendants of `roots`, nearest first, without the roots; `skip` is left out with all below it."""
    children: dict[int, list[Process]] = {}
    for row in table.values():
        children.setdefault(row.ppid, []).append(row)
    skipped = frozenset(skip)
    found: list[Process] = []
    queue = list(roots)
    for pid in queue:
        for row in children.get(pid, ()):
            if row.pid not in skipped:
                found.append(row)
                queue.append(row.pid)
    return found


def send(process: Process, number: signal.Signals) -> bool:
    """Signals the very process that was seen, never a later one with its id. False: not signalled."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError:
        fd = -1  # an old kernel, a strict sandbox: the id could be reused in the microseconds after the look
    try:
        now = look(process.pid)
        if now is None or now.start != process.start or now.gone:
            return False
        if fd < 0:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if fd >= 0:
            os.close(fd)
    return True


def thread_states(pid: int) -> Iterator[str]:
    """The state letter of each thread; nothing for a process that is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return
    for thread in threads:
        stat = _read(f"/proc/{pid}/task/{thread}/stat")
        if stat:
            yield chr(stat[stat.rindex(b")") + 2])


def stopped(pid: int) -> bool:
    """Every thread is stopped (or already dead): nothing of it can act."""
    return all(state in "TtZX" for state in thread_states(pid))


def running(pid: int) -> bool:
    """No thread is stopped."""
    return all(state not in "Tt" for state in thread_states(pid))
