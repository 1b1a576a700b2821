"""What every container and network of a harness carries: which session it is of, which process owns it, and where.

Goes in: labels. Comes out: whether their owner lives. To try it: `suites/unit/test_docker_labels.py`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

from chaosharness.keeper import tree

SESSION = "chaosharness.session"
OWNER = "chaosharness.owner"
NAME = "chaosharness.name"
"""The instance's."""
FOLDER = "chaosharness.folder"
"""The keeper's, which lies in the run's: its log tells of the end."""


class OwnerState(StrEnum):
    """What can be said of an owner from here."""

    ALIVE = "alive"
    DEAD = "dead"
    ELSEWHERE = "elsewhere"
    """On another machine, or out of sight in another pid namespace: nobody's to judge from here."""


def labels(session: str, name: str, folder: Path) -> dict[str, str]:
    """The labels of something that this process makes for `session`, whose keeper is in `folder`."""
    return {SESSION: session, OWNER: owner(os.getpid()), NAME: name, FOLDER: str(folder)}


def owner(pid: int) -> str:
    """`machine boot pid-namespace pid start`: a process that can be told from every other, before and after."""
    process = tree.look(pid)
    return f"{_here()} {pid} {process.start if process else 0}"


def owner_state(found: Mapping[str, str]) -> OwnerState:
    """Of whoever made the thing with these labels; without a readable owner, ELSEWHERE."""
    try:
        machine, boot, namespace, pid, start = found.get(OWNER, "").split(" ")
        process = tree.look(int(pid))
        started = int(start)
    except ValueError:
        return OwnerState.ELSEWHERE
    here = _here().split(" ")
    if (boot, namespace) == (here[1], here[2]):
        lives = process is not None and process.start == started and not process.gone
        return OwnerState.ALIVE if lives else OwnerState.DEAD
    rebooted = machine == here[0] and boot != here[1]
    return OwnerState.DEAD if rebooted else OwnerState.ELSEWHERE


@cache
def _here() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{_machine()} {boot} {os.stat('/proc/self/ns/pid').st_ino}"


def _machine() -> str:
    """The machine's id, which stays over a reboot; a container's has none, and its host name is drawn."""
    try:
        return Path("/etc/machine-id").read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


__all__ = ["FOLDER", "NAME", "OWNER", "SESSION", "OwnerState", "labels", "owner", "owner_state"]
