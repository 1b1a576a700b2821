"""No instance may have more than `PROCESSES` processes: one that forks for ever is ended before the machine is.

Goes in: the keeper's instances. Comes out: the end of one that has too many, and a call that says so. Limits of the
kernel would do it too, but root has none, and a control group is not everywhere the harness's to make. To try it:
`suites/delivery/test_bad_systems.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from chaosharness.keeper import signals, tree
from chaosharness.keeper.instance import OwnedInstance
from chaosharness.keeper.loop import Loop
from chaosharness.ports.launch import Scope

PROCESSES = 1000
LOOK_S = 0.1
_LOAD = Path("/proc/loadavg")


class Bound:
    """Looks at all instances as long as the loop runs."""

    def __init__(
        self, loop: Loop, instances: Callable[[], Iterable[OwnedInstance]], told: Callable[[OwnedInstance, int], None]
    ) -> None:
        """`told`: an instance, and how many processes it had; it is being ended then."""
        self._loop = loop
        self._instances = instances
        self._told = told
        self._ending: set[str] = set()
        self._before = _threads()
        self._look()

    def _look(self) -> None:
        # Threads of the whole machine, which one small read tells: a closer look only where there are many more.
        if _threads() - self._before > PROCESSES:
            table = tree.scan()
            for instance in self._instances():
                count = len(instance.processes(table)) if instance.alive else 0
                if count > PROCESSES and instance.name not in self._ending:
                    self._end(instance, count)
        self._loop.later(LOOK_S, self._look)

    def _end(self, instance: OwnedInstance, count: int) -> None:
        self._ending.add(instance.name)
        self._told(instance, count)
        self._loop.start(signals.kill(instance, Scope.TREE), lambda _: self._ending.discard(instance.name))


def _threads() -> int:
    """How many threads there are, of all processes."""
    return int(_LOAD.read_text().split()[3].partition("/")[2])
