"""`term`: the replica is asked to end with a message in hand, as at every deployment; and `leave`: others stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.process import harness_holds, started_again
from chaosharness.faults.target import declined
from chaosharness.model.errors import TimedOut
from chaosharness.model.gate import Action
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Evidence, Instance, Scope, Signal
from chaosharness.ports.plugin import Injection, Release, Target

LETS_GO_WITHIN_S = 1.0
"""One that drops what it has in hand does so at once; one that finishes it waits for what the gate holds."""
LOOK_EVERY_S = 0.01
ALONE = "the service has one replica: nobody would be left"


class Term:
    """SIGTERM to the first process; what is held goes on; after `stop_grace_s` SIGKILL; then a restart."""

    id = "term"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = False

    def declines(self, target: Target) -> str | None:
        """Why it is not applicable."""
        return None

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: the signal was sent, with the message in hand; at the heal, that the replica has ended."""
        if target.instance is None:
            yield harness_holds("stop")
            return
        if why := self.declines(target):
            yield declined(why)
            return
        asked = target.instance.signal(Signal.TERM, Scope.PARENT)
        gone = target.ticket.await_gone(LETS_GO_WITHIN_S)
        then = gone.what if gone.ok else "it keeps the connection on which the message is held"
        injection = Injection(Evidence(asked.ok, f"{asked.what}; {then}", {**gone.facts, **asked.facts}))
        try:
            yield injection
        finally:
            ended = _ended(target.instance, target.stop_grace_s)
        again = started_again(target) if ended.ok else ended
        what = f"{ended.what}; {again.what}" if ended.ok else ended.what
        injection.healed = Evidence(again.ok, what, {**again.facts, **ended.facts})


class Leave(Term):
    """`leave`: as `term`, where other replicas take over what it had not begun."""

    id = "leave"

    def declines(self, target: Target) -> str | None:
        return None if target.others else ALONE


def _ended(instance: Instance, grace_s: float) -> Evidence:
    """By itself, or by SIGKILL when its grace is over: no process is left."""
    try:
        wait_for(f"{instance.name} to end after SIGTERM", grace_s, lambda: not instance.alive(), poll_s=LOOK_EVERY_S)
    except TimedOut:
        killed = instance.signal(Signal.KILL, Scope.TREE)
        what = f"{instance.name} had not ended {grace_s:g} s after SIGTERM: {killed.what}"
        return Evidence(killed.ok or not instance.alive(), what, {"forced": True})
    return Evidence(True, f"{instance.name} ended by itself", {"forced": False})
