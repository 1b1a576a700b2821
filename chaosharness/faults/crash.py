"""`crash`: the replica that holds the message dies as by the out-of-memory killer or a lost node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.process import harness_holds, started_again
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Scope, Signal
from chaosharness.ports.plugin import Injection, Release, Target

GONE_WITHIN_S = 5.0


class Crash:
    """SIGKILL of the whole process tree, then a restart as a supervisor would."""

    id = "crash"
    action = Action.HOLD
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = False

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is twofold: no process is left, and the held connection reached its end of file."""
        if target.instance is None:
            yield harness_holds("kill")
            return
        killed = target.instance.signal(Signal.KILL, Scope.TREE)
        gone = target.ticket.await_gone(GONE_WITHIN_S)
        injection = Injection(
            Evidence(killed.ok and gone.ok, f"{killed.what}; {gone.what}", {**killed.facts, **gone.facts})
        )
        yield injection
        injection.healed = started_again(target)
