"""`crash-parent`: the first process of the replica dies alone; its workers live on as orphans beside the next ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.process import harness_holds, started_again
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Scope, Signal
from chaosharness.ports.plugin import Injection, Release, Target

NO_ORPHANS = "no process of the service would outlive its first one: `crash` is the same"


class CrashParent:
    """SIGKILL of the parent alone, then a restart as by a supervisor that watches the parent alone."""

    id = "crash-parent"
    action = Action.HOLD
    release = Release.FORWARD
    """An orphan that holds the message goes on with it; what the parent held went down with its connection."""
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: the parent is gone, and others of its tree are not."""
        if target.instance is None:
            yield harness_holds("kill")
            return
        if not target.instance.survivors():
            yield Injection(Evidence(False, NO_ORPHANS), declined=NO_ORPHANS)
            return
        killed = target.instance.signal(Signal.KILL, Scope.PARENT)
        orphans = target.instance.survivors()
        what = f"{killed.what}; {orphans} of its descendants live on"
        injection = Injection(Evidence(killed.ok and orphans > 0, what, {**killed.facts, "orphans": orphans}))
        yield injection
        injection.healed = started_again(target)
